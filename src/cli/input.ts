/**
 * Standard input, read a line at a time or to its end.
 *
 * Invariants: nothing is read before it is asked for, so a slow command holds up who writes to it; a line or a whole
 * that is longer than its limit is refused before more of it is read; when `stop` is aborted the input is at its end.
 */
import type { Readable } from "node:stream";
import { HubwireError } from "../errors.js";

/** Standard input: a terminal, or anything else. */
export type InputStream = Readable & { readonly isTTY?: boolean };

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

export class Input {
  readonly #stream: () => InputStream;
  readonly #stop: AbortSignal;
  #iterator: AsyncIterator<Buffer> | undefined;
  /** Read and not yet handed out. */
  #left: Buffer = Buffer.alloc(0);
  /** A line was refused, and its end did not come yet. */
  #skipping = false;

  /** `stream` is asked for when something is read, because to look at a process's standard input opens it. */
  constructor(stream: () => InputStream, stop: AbortSignal) {
    this.#stream = stream;
    this.#stop = stop;
  }

  /** Whether a person would have to type what is read. */
  get isTerminal(): boolean {
    return this.#stream().isTTY === true;
  }

  /**
   * The next line without its end, or undefined after the last. Rejects with ERR_LIMIT where one is longer than `max`
   * bytes; the call after that reads the line after it.
   */
  async line(max: number): Promise<Buffer | undefined> {
    if (this.#skipping) await this.#skip();
    const parts: Buffer[] = [];
    for (let size = 0; ;) {
      const end = this.#left.indexOf(NEWLINE);
      const part = end < 0 ? this.#left : this.#left.subarray(0, end);
      parts.push(part);
      size += part.length;
      if (size > max) {
        this.#skipping = true;
        throw new HubwireError("ERR_LIMIT", `a line of standard input is longer than ${max} bytes`);
      }
      if (end >= 0) {
        this.#left = this.#left.subarray(end + 1);
        return withoutReturn(Buffer.concat(parts, size));
      }
      const more = await this.#read();
      this.#left = more ?? Buffer.alloc(0);
      if (more === undefined) return size === 0 ? undefined : withoutReturn(Buffer.concat(parts, size));
    }
  }

  async #skip(): Promise<void> {
    let end = this.#left.indexOf(NEWLINE);
    while (end < 0) {
      const more = await this.#read();
      this.#left = more ?? Buffer.alloc(0);
      if (more === undefined) break;
      end = this.#left.indexOf(NEWLINE);
    }
    this.#left = this.#left.subarray(end + 1);
    this.#skipping = false;
  }

  /** All lines that are left. */
  async *lines(max: number): AsyncGenerator<Buffer> {
    for (let line = await this.line(max); line !== undefined; line = await this.line(max)) yield line;
  }

  /** All that is left. Rejects with ERR_LIMIT over `max` bytes. */
  async rest(max: number): Promise<Buffer> {
    const parts = [this.#left];
    let size = this.#left.length;
    this.#left = Buffer.alloc(0);
    for (let more = await this.#read(); more !== undefined; more = await this.#read()) {
      parts.push(more);
      size += more.length;
      if (size > max) throw new HubwireError("ERR_LIMIT", `standard input holds more than ${max} bytes`);
    }
    return Buffer.concat(parts, size);
  }

  /** Lets go of the stream, which would otherwise keep the process alive. */
  close(): void {
    if (this.#iterator !== undefined) this.#stream().destroy();
  }

  /** The next chunk; undefined at the end, and once the command is to stop. */
  #read(): Promise<Buffer | undefined> {
    this.#iterator ??= this.#stream()[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    const reading = this.#iterator.next();
    return new Promise((resolve, reject) => {
      const stop = (): void => resolve(undefined);
      if (this.#stop.aborted) stop();
      this.#stop.addEventListener("abort", stop, { once: true });
      reading
        .then(({ done, value }) => resolve(done ? undefined : Buffer.from(value)), reject)
        .finally(() => this.#stop.removeEventListener("abort", stop));
    });
  }
}

/** Lines of Windows end in two characters. */
function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line;
}
