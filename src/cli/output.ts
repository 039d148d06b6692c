/**
 * What commands print to standard output: one JSON document a line for programs, a readable line for a person at a
 * terminal.
 *
 * Invariants: colour and readable lines only on a terminal, unless `NO_COLOR` or `--json` says otherwise; no byte of a
 * body is lost: what is no text is base64; a control character of a body cannot move the cursor of a terminal.
 */
import { once } from "node:events";
import type { Io } from "./io.js";

/** Something to tell: what it is, whom it is about, and more. */
export interface Told {
  readonly type: string;
  readonly [name: string]: unknown;
}

/** For the table of options of a command that prints records. */
export const outputOptions = {
  json: { help: "print JSON on a terminal too; elsewhere it is the rule" },
} as const;

/** One line of JSON: a Map as an object, an error as its code and message. */
export const json = (value: unknown): string => JSON.stringify(value, plain);

function plain(_key: string, value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries(value);
  if (!(value instanceof Error)) return value;
  const { code, message, statement } = value as Error & { code?: string; statement?: string };
  return { code, message, statement };
}

/** Text where the bytes are text, base64 where they are not. */
export function bodyFields(payload: Uint8Array): { body: string } | { base64: string } {
  try {
    return { body: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload) };
  } catch {
    return { base64: Buffer.from(payload).toString("base64") };
  }
}

const COLOURS: Readonly<Record<string, number>> = { error: 31, refused: 31, violation: 31, disconnected: 33 };
/** What a person does not want to read each time. */
const HIDDEN = /^(topic|stamps|qos|username|cleanSession|keepAlive|enqueuedTime|enqueuedTimeUtc|completedTime)$/;
const GREEN = 32;
const DIM = 2;

export class Output {
  readonly #io: Io;
  readonly #readable: boolean;
  readonly #colour: boolean;

  constructor(io: Io, asJson: boolean | undefined) {
    this.#io = io;
    this.#readable = io.stdout.isTTY === true && !asJson;
    this.#colour = this.#readable && !io.env["NO_COLOR"];
  }

  /** Resolves when there is room for more, so that a slow reader holds up who waits for it. */
  async print(record: Told): Promise<void> {
    const { stdout, stop } = this.#io;
    if (stdout.destroyed || stdout.write(`${this.#readable ? this.#line(record) : json(record)}\n`)) return;
    // The stream may end in place of draining; then there is nobody to wait for.
    if (!stdout.destroyed) await once(stdout, "drain", { signal: stop }).catch(() => {});
  }

  #paint(code: number, text: string): string {
    return this.#colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  }

  /** `12:34:56 telemetry    pump/filter  21.5  alarm=no` */
  #line({ type, deviceId, moduleId, body, base64, ...rest }: Told): string {
    const time = new Date(this.#io.clock.wallTime()).toTimeString().slice(0, 8);
    const who = [deviceId, moduleId].filter((id) => id !== undefined).join("/");
    const details = Object.entries(rest).flatMap(([name, value]) => detail(name, value));
    const said = body ?? (base64 === undefined ? undefined : `base64 ${String(base64)}`);
    const parts = [who, said === undefined ? "" : visible(String(said)), this.#paint(DIM, details.join("  "))];
    const head = `${this.#paint(DIM, time)} ${this.#paint(COLOURS[type] ?? GREEN, type.padEnd(12))}`;
    return [head, ...parts.filter((part) => part !== "")].join("  ").trimEnd();
  }
}

/** `name=value`; the entries of properties each by itself, nothing for what is not there or empty. */
function detail(name: string, value: unknown): string[] {
  if (value === undefined || value === null || value === false || HIDDEN.test(name)) return [];
  if (value instanceof Map)
    return [...value].map(([key, item]) => visible(item === null ? String(key) : `${key}=${item}`));
  if (name === "properties" || name === "systemProperties") return detail("", new Map(Object.entries(value as object)));
  const text = typeof value === "string" ? value : json(value);
  return text === undefined || text === "" ? [] : [`${name}=${visible(text)}`];
}

/** Control characters, which a terminal would obey, as escapes. */
function visible(text: string): string {
  return text.replace(/[\0-\x1f\x7f-\x9f]/g, (character) => {
    const short: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
    return short[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}
