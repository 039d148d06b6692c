/** How IoT Hub counts a message ("Create and read IoT Hub messages", message size), in either direction. */
import { SYSTEM_PROPERTIES } from "../wire/property-bag.js";

const SYSTEM_NAMES: ReadonlySet<string> = new Set(Object.values(SYSTEM_PROPERTIES));

/**
 * The size of a message as the hub counts it: the body, the values of system properties, and the names and
 * values of application properties, in bytes of UTF-8.
 */
export function messageBytes(payload: Uint8Array, wire: ReadonlyMap<string, string | null>): number {
  let size = payload.length;
  for (const [name, value] of wire) {
    if (!SYSTEM_NAMES.has(name)) size += Buffer.byteLength(name);
    if (typeof value === "string") size += Buffer.byteLength(value);
  }
  return size;
}
