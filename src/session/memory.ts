/**
 * What a waiting message costs, so that queues are bounded by memory and not by what the messages say of themselves.
 *
 * `npm run bench -- memory` measures it.
 */

/** The exchange, its promise and the two functions that settle it, bytes. */
const OVERHEAD = 440;
/** What an array of bytes costs besides its bytes. */
const ARRAY = 160;
/** An array this small a part of its memory, where that is more than Node's pool for small ones, gets its own. */
const LARGE = 0x2000;
const PART = 4;

/** Bytes that a string takes: the engine keeps one for each character where all are in Latin-1. */
function stringMemory(text: string): number {
  return Buffer.byteLength(text) === text.length ? text.length : 2 * text.length;
}

/** Bytes that a message takes while it waits. */
export function messageMemory(topic: string, payload: Uint8Array | string): number {
  const rest = typeof payload === "string" ? stringMemory(payload) : ARRAY + payload.byteLength;
  return OVERHEAD + stringMemory(topic) + rest;
}

/** `payload`, or a copy of it where it would keep much more memory alive than it is long. */
export function withoutPinning<T extends Uint8Array | string>(payload: T): T | Uint8Array {
  if (typeof payload === "string") return payload;
  const pinned = payload.buffer.byteLength;
  return pinned > LARGE && pinned > PART * payload.byteLength ? new Uint8Array(payload) : payload;
}
