/**
 * UTF-8 encoded strings, both directions (section 1.5.3).
 *
 * Invariants: a string that leaves here in either direction is well-formed UTF-8 of at most 65,535 bytes, with
 * no surrogate and no U+0000; a byte order mark is a character like any other (MQTT-1.5.3-3).
 */
import type { ErrorCode } from "../errors.js";
import { MALFORMED, fault } from "./fault.js";

/**
 * Checks `bytes[start, end)`. Returns the or of all bytes, so that 0x80 and above means "not only ASCII".
 * Throws ERR_MALFORMED_PACKET: MQTT-1.5.3-1, MQTT-1.5.3-2.
 */
function checkUtf8(bytes: Uint8Array, start: number, end: number): number {
  let all = 0;
  for (let at = start; at < end; ) {
    const lead = bytes[at++]!;
    all |= lead;
    if (lead === 0) throw fault(MALFORMED, "string with U+0000", "1.5.3-2");
    if (lead < 0x80) continue;
    // The Unicode standard's table 3-7: only the second byte's range depends on the first. This is what keeps
    // overlong forms, surrogates and anything above U+10FFFF out.
    let more = lead < 0xc2 || lead > 0xf4 ? 4 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    let low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    let high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    if (at + more > end) more = 4;
    for (; more; more--) {
      const next = bytes[at++]!;
      if (more > 3 || next < low || next > high) throw fault(MALFORMED, "ill-formed UTF-8", "1.5.3-1");
      low = 0x80;
      high = 0xbf;
    }
  }
  return all;
}

/** The string in `bytes[start, end)`. Throws ERR_MALFORMED_PACKET: MQTT-1.5.3-1, MQTT-1.5.3-2. */
export function readUtf8(bytes: Uint8Array, start: number, end: number): string {
  const encoding = checkUtf8(bytes, start, end) < 0x80 ? "latin1" : "utf8";
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString(encoding);
}

/** In a pattern with `u`, the two halves of a pair are one character: this matches what has no partner. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/** The number of bytes of `text` in UTF-8. Throws `code` where there is none: MQTT-1.5.3-1. */
export function utf8Length(text: string, code: ErrorCode): number {
  const length = Buffer.byteLength(text);
  if (length !== text.length && LONE_SURROGATE.test(text)) {
    throw fault(code, "string with a lone surrogate", "1.5.3-1");
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
