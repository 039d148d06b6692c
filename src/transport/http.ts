/**
 * The head of an HTTP/1.1 message: all that an upgrade and a CONNECT need of HTTP.
 *
 * Invariants: sans-IO; a head arrives in pieces cut anywhere, and is refused at its first wrong byte or when it grows
 * over the limit, so that no more memory than that is taken for it. Texts of the peer are printable when they leave.
 */

/** The first line, the header fields by lower-case name (several of one name joined by `, `), and what came behind. */
export interface HttpHead {
  readonly firstLine: string;
  readonly fields: ReadonlyMap<string, string>;
  readonly rest: Uint8Array;
}

/** What arrives is no HTTP, or too much of it. */
export class HttpFault extends Error {}

const FIELD = /^([!#$%&'*+\-.^_`|~\w]+):[ \t]*(.*?)[ \t]*$/;

/** Collects one head. */
export class HttpHeadReader {
  readonly #begins: readonly string[];
  readonly #limit: number;
  #text = "";

  /** `begins`: with which of these it may begin. */
  constructor(begins: readonly string[], limit: number) {
    this.#begins = begins;
    this.#limit = limit;
  }

  /** The head, once it is whole. @throws HttpFault */
  push(chunk: Uint8Array): HttpHead | undefined {
    const before = this.#text.length;
    // One character a byte.
    this.#text += Buffer.from(chunk.buffer, chunk.byteOffset, Math.min(chunk.length, this.#limit + 1)).toString(
      "latin1",
    );
    if (!this.#begins.some((begin) => begin.startsWith(this.#text.slice(0, begin.length)))) {
      throw new HttpFault("what came is not HTTP");
    }
    const end = /\r?\n\r?\n/g;
    end.lastIndex = Math.max(0, before - 3);
    const found = end.exec(this.#text);
    if ((found?.index ?? this.#text.length) > this.#limit) throw new HttpFault("the HTTP head is too long");
    if (!found) return undefined;
    const [firstLine = "", ...lines] = this.#text.slice(0, found.index).split(/\r?\n/);
    const fields = new Map<string, string>();
    for (const line of lines) {
      const [, name, value = ""] = FIELD.exec(line) ?? [];
      if (name === undefined) throw new HttpFault("a line of the HTTP head is no header field");
      const key = name.toLowerCase();
      const earlier = fields.get(key);
      fields.set(key, earlier === undefined ? value : `${earlier}, ${value}`);
    }
    return { firstLine, fields, rest: chunk.subarray(end.lastIndex - before) };
  }
}

/** Reads the head of a response. */
export const responseReader = (): HttpHeadReader => new HttpHeadReader(["HTTP/1.1 ", "HTTP/1.0 "], 16 * 1024);

/** The status and its text; undefined where the first line is none of a response. */
export function statusOf({ firstLine }: HttpHead): { status: number; text: string } | undefined {
  const [, status, text = ""] = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(firstLine) ?? [];
  return status === undefined ? undefined : { status: Number(status), text: printable(text, 80) };
}

/** Whether another answer follows: 1xx, which a client must take even unasked (RFC 9110, section 15.2); 101 is the last. */
export const isInterim = ({ firstLine }: HttpHead): boolean => /^\S+ 1(?!01)\d\d(?!\d)/.test(firstLine);

/** Whether the same request may be answered otherwise later. */
export const isPassing = (status: number): boolean => status >= 500 || status === 408 || status === 429;

/** Whether a field that is a list of tokens has this one, which is in lower case. */
export const hasToken = (head: HttpHead, name: string, token: string): boolean =>
  (head.fields.get(name) ?? "").split(",").some((item) => item.trim().toLowerCase() === token);

/** A peer's text, fit for an error. */
export const printable = (text: string, length: number): string => text.slice(0, length).replace(/[^\x20-\x7e]/g, "?");
