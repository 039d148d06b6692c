/**
 * What the types promise, and callers without types get wrong. Invariant: nothing is read twice, nothing
 * converted.
 */
import { Buffer } from "node:buffer";
import { INVALID, fault } from "./fault.js";
import { utf8Length } from "./utf8.js";

/** Throws ERR_INVALID_PACKET. */
export function checkBoolean(value: unknown, name: string): void {
  if (typeof value !== "boolean") throw fault(INVALID, `${name} must be a boolean`);
}

/** Throws ERR_INVALID_PACKET. */
export function checkInteger(value: unknown, name: string, max: number, statement?: string): void {
  if (!(Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max)) {
    throw fault(INVALID, `${name} must be an integer from 0 to ${max}`, statement);
  }
}

// The platform's own answers. A caller's class may say what it likes, and run what it likes to say so; and
// memory behind the bytes is not the peer's to see.
const prototype = Object.getPrototypeOf(Uint8Array.prototype) as object;
const own = (name: string | symbol) => Object.getOwnPropertyDescriptor(prototype, name)!.get!;
const tagOf = own(Symbol.toStringTag);
const lengthOf = own("byteLength");
const bufferOf = own("buffer");
const offsetOf = own("byteOffset");

/** Whether `value` is a Uint8Array, of this realm or another (a `vm` context, some test runners). */
export function isBytes(value: unknown): value is Uint8Array {
  return tagOf.call(value) === "Uint8Array";
}

/** `bytes`, or a plain view of the same memory where they are of a class or realm of their own. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  // Asked first, this tells the compiler the shape of `bytes`, and the prototype costs nothing.
  const { length } = bytes;
  const kind = Object.getPrototypeOf(bytes) as unknown;
  const real = lengthOf.call(bytes) as number;
  if ((kind === Buffer.prototype || kind === Uint8Array.prototype) && length === real) return bytes;
  return new Uint8Array(bufferOf.call(bytes) as ArrayBuffer, offsetOf.call(bytes) as number, real);
}

/** The bytes of a payload or password. Throws ERR_INVALID_PACKET. */
export function dataLength(data: unknown, name: string): number {
  if (typeof data === "string") return utf8Length(data, INVALID);
  if (!isBytes(data)) throw fault(INVALID, `${name} must be a string or a Uint8Array`);
  return lengthOf.call(data) as number;
}
