/**
 * UTF-8 encoded strings, both directions (section 1.5.3).
 *
 * Invariants: a string that leaves here in either direction is well-formed UTF-8 of at most 65,535 bytes,
 * with no surrogate and no U+0000; a byte order mark is a character like any other (MQTT-1.5.3-3).
 */
// Not the global of that name: a getter, which costs a tenth of what decoding a topic does.
import { Buffer } from "node:buffer";
import type { ErrorCode } from "../errors.js";
import { MALFORMED, fault } from "./fault.js";

/** A Buffer with the methods that Node's type declarations leave out. */
export interface NativeBuffer extends Buffer {
  /** What `toString("utf8", start, end)` calls, on any Uint8Array. */
  utf8Slice(start: number, end: number): string;
  latin1Slice(start: number, end: number): string;
  /** What `write` calls, likewise. */
  latin1Write(text: string, offset: number, length: number): number;
  utf8Write(text: string, offset: number, length: number): number;
}

export const native = Buffer.prototype as NativeBuffer;

/** The string in `bytes[start, end)`; `text`, where it is known but not checked. Throws ERR_MALFORMED_PACKET: MQTT-1.5.3-1, MQTT-1.5.3-2. */
export function readUtf8(
  bytes: Uint8Array,
  start: number,
  end: number,
  text: string = native.utf8Slice.call(bytes, start, end),
): string {
  // Whatever is ill-formed was replaced by U+FFFD, and only what is well-formed comes back as it was.
  if (text.includes("\ufffd") && Buffer.from(text).compare(bytes, start, end)) {
    throw fault(MALFORMED, "ill-formed UTF-8", "1.5.3-1");
  }
  if (text.includes("\0")) throw fault(MALFORMED, "string with U+0000", "1.5.3-2");
  return text;
}

/** In a pattern with `u`, the two halves of a pair are one character: this matches what has no partner. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/** The number of bytes of `text` in UTF-8. Throws `code` where there is none: MQTT-1.5.3-1. */
export function utf8Length(text: string, code: ErrorCode): number {
  const length = Buffer.byteLength(text);
  if (length !== text.length && LONE_SURROGATE.test(text)) {
    throw fault(code, "string with lone surrogate", "1.5.3-1");
  }
  return length;
}

/** Checks a string field and returns its bytes in UTF-8. Throws `code`; `name` says which field it is. */
export function stringLength(text: unknown, name: string, code: ErrorCode): number {
  if (typeof text !== "string") throw fault(code, `${name} must be a string`);
  const length = utf8Length(text, code);
  if (length > 65_535) throw fault(code, `${name} is over 65,535 bytes`, "4.7.3-3");
  if (text.includes("\0")) throw fault(code, `${name} with U+0000`, "1.5.3-2");
  return length;
}
