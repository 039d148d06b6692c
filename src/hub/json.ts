/** JSON as it comes from the hub and goes there. */
import { attempt } from "../check.js";

export type JsonObject = Record<string, unknown>;

/** Objects and arrays within each other that are followed; a twin has ten at most. */
const DEEPEST = 100;

/** UTF-8 text of a payload; ill-formed bytes become U+FFFD. */
export const textOf = (payload: Uint8Array): string =>
  Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString();

/** The bytes that `value` is or is a view of; undefined for anything else. Throws what the value does. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The JSON object in a payload; undefined for anything else, and for what is too deep to be walked through. */
export function parseObject(payload: Uint8Array): JsonObject | undefined {
  const value = attempt((): unknown => JSON.parse(textOf(payload)), undefined);
  return isJsonObject(value) && isShallow(value, DEEPEST) ? value : undefined;
}

const isShallow = (value: unknown, levels: number): boolean =>
  typeof value !== "object" ||
  value === null ||
  (levels > 0 && Object.values(value).every((member) => isShallow(member, levels - 1)));
