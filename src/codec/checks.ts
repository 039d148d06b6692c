/**
 * What the types promise, and callers without types get wrong. Invariant: nothing is read twice, nothing
 * converted.
 */
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

/**
 * isView first: it sees through what only inherits from Uint8Array, and calls no trap of a Proxy. An array of another
 * realm (a `vm` context, some test runners) is no instance of this one's class, but bytes all the same.
 */
export function isBytes(value: unknown): value is Uint8Array {
  return (
    ArrayBuffer.isView(value) &&
    (value instanceof Uint8Array || Object.prototype.toString.call(value) === "[object Uint8Array]")
  );
}

const { prototype } = Object.getPrototypeOf(Uint8Array) as { prototype: object };
/**
 * The platform's own `byteLength`: a subclass may say what it likes, and memory behind the bytes is not the
 * peer's to see.
 */
const lengthOf = Object.getOwnPropertyDescriptor(prototype, "byteLength")!.get!;

/** The bytes of a payload or password. Throws ERR_INVALID_PACKET. */
export function dataLength(data: unknown, name: string): number {
  if (typeof data === "string") return utf8Length(data, INVALID);
  if (!isBytes(data)) throw fault(INVALID, `${name} must be a string or a Uint8Array`);
  return lengthOf.call(data) as number;
}
