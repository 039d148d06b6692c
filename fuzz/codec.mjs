// What the codec's targets share: the built package, which errors may leave it, and equality.
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const dist = process.env.HUBWIRE_DIST ?? resolve(import.meta.dirname, "../dist");
export const codec = await import(pathToFileURL(resolve(dist, "codec/index.js")).href);
const { HubwireError } = codec;

/** Documented codes that may leave the decoder, and those that may leave the encoder. */
export const DECODING = ["ERR_MALFORMED_PACKET", "ERR_PACKET_TOO_LARGE"];
export const ENCODING = ["ERR_INVALID_PACKET"];

/** `error` where it is a HubwireError with one of `codes`; anything else is passed on. */
export function documented(error, codes) {
  if (error instanceof HubwireError && codes.includes(error.code)) return error;
  throw error;
}

/** The HubwireError with which `reader` refuses `chunk`, if it does. */
export function refusal(reader, chunk) {
  try {
    reader.push(chunk);
  } catch (error) {
    return documented(error, DECODING);
  }
  return undefined;
}

/** The HubwireError with one of `codes` that `call(argument)` throws, if it does. */
export function refused(call, argument, codes) {
  try {
    call(argument);
  } catch (error) {
    return documented(error, codes);
  }
  return undefined;
}

/** Whether two values made of plain objects, arrays, bytes and primitives are the same. */
export function same(a, b) {
  // 0 and -0 are two values.
  if (a === b) return a !== 0 || Object.is(a, b);
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b);
  if (a instanceof Uint8Array || b instanceof Uint8Array) return sameBytes(a, b);
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  let surplus = 0;
  for (const key in a) {
    if (!same(a[key], b[key]) || (a[key] === undefined && !(key in b))) return false;
    surplus++;
  }
  for (const _key in b) surplus--;
  return surplus === 0;
}

function sameBytes(a, b) {
  if (!(a instanceof Uint8Array && b instanceof Uint8Array) || a.length !== b.length) return false;
  if (a.length > 64) return Buffer.compare(a, b) === 0;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const text = (value) =>
  JSON.stringify(value, (_key, field) => (field instanceof Uint8Array ? Buffer.from(field).toString("hex") : field));

export function equal(a, b, what) {
  if (!same(a, b)) throw new Error(`${what}: ${text(a)} is not ${text(b)}`);
}
