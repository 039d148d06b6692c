/**
 * What options are given: numbers, pairs, JSON, files. Whatever is wrong is told by the option's name alone.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { HubwireError } from "../errors.js";
import { badArgument } from "./command.js";

/** Bytes of the largest file that an option may name; certificates and connection strings are far smaller. */
const MOST_FILE = 1024 * 1024;
const CHUNK = 64 * 1024;

/** A whole number of an option, within bounds. */
export function integer(name: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw badArgument(`--${name} takes a whole number from ${min} to ${max}`);
  }
  return value;
}

/** A number of an option that may have decimals: over 0, at most `max`. */
export function positive(name: string, text: string | undefined, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || !(value > 0 && value <= max)) {
    throw badArgument(`--${name} takes a number above 0, of at most ${max}`);
  }
  return value;
}

/** Splits repeated `name=value` options; a name alone has the value null. */
export function pairs(name: string, texts: readonly string[] = []): Map<string, string | null> {
  const map = new Map<string, string | null>();
  for (const text of texts) {
    const at = text.indexOf("=");
    const key = at < 0 ? text : text.slice(0, at);
    if (key === "") throw badArgument(`--${name} takes name=value`);
    map.set(key, at < 0 ? null : text.slice(at + 1));
  }
  return map;
}

/** The JSON value of an option, a line or a file; `what` names it. */
export function jsonOf(what: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Node quotes the text, so its error goes no further.
    throw badArgument(`${what} takes JSON`);
  }
}

/** The JSON object of an option, a line or a file. */
export function jsonObjectOf(what: string, text: string): Record<string, unknown> {
  const value = jsonOf(what, text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw badArgument(`${what} takes a JSON object`);
  return value as Record<string, unknown>;
}

/** The bytes of a file that an option names, a pipe too; `max` bounds them. */
export function fileOf(option: string, path: string, max = MOST_FILE): Buffer {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const parts: Buffer[] = [];
    for (let size = 0; ;) {
      const part = Buffer.alloc(CHUNK);
      const read = readSync(file, part, 0, CHUNK, null);
      if (read === 0) return Buffer.concat(parts, size);
      parts.push(part.subarray(0, read));
      size += read;
      if (size > max) throw new HubwireError("ERR_LIMIT", `--${option}: the file has more than ${max} bytes`);
    }
  } catch (cause) {
    if (cause instanceof HubwireError) throw cause;
    // The path is not repeated: it may be a secret that was meant for another option.
    const code = (cause as { code?: string }).code ?? "unreadable";
    throw badArgument(`--${option}: the file cannot be read (${code})`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
