/**
 * What a waiting message costs, so that queues are bounded by memory and not by what the messages say of themselves, and
 * how it is made to cost little.
 *
 * `npm run bench -- memory` measures it.
 */
import { INVALID } from "../codec/fault.js";
import { topicLength } from "../codec/topics.js";
import { plainBytes } from "../codec/values.js";

/** The exchange, its promise and the function that settles it, and the head of a string, bytes. */
const OVERHEAD = 285;
/** What an array of bytes costs besides its bytes. */
const ARRAY = 200;
/** What a signal of its own costs: the platform's object, its listener, and who it would end. */
export const SIGNAL_MEMORY = 1_500;
/** Payloads of fewer bytes are packed. More are lent to the socket, and should not be copied twice. */
const SMALL = 0x4000;
/** An array this small a part of its memory, where that is more than Node's pool for small ones, gets its own. */
const LARGE = 0x2000;
const PART = 4;
/** So many times as much memory as is counted may be kept alive by an array that waits to be sent. */
const HARDLY_MORE = 1.25;

/** Bytes that a string takes: the engine keeps one for each character where all are in Latin-1. */
const stringMemory = (text: string, bytes: number): number => (bytes === text.length ? bytes : 2 * text.length);

/** Bytes that a message takes while it waits; `isPacked`: `content` is what `packed` made of its payload. */
export function messageMemory(topic: string, content: Uint8Array | string, isPacked: boolean): number {
  const { length } = content;
  const ofContent =
    typeof content !== "string"
      ? ARRAY + length
      : isPacked
        ? length
        : stringMemory(content, Buffer.byteLength(content));
  return OVERHEAD + stringMemory(topic, topicLength(topic, INVALID)) + ofContent;
}

/**
 * A small payload as text of which each character is a byte, the form in which the engine keeps it in the least memory:
 * an array would take 200 bytes more, and the caller's own text may be a piece of one that is much longer. undefined for
 * a large one.
 */
export function packed(payload: Uint8Array | string): string | undefined {
  if (payload.length >= SMALL) return undefined;
  if (typeof payload !== "string") {
    const { buffer, byteOffset, length } = plainBytes(payload);
    return Buffer.from(buffer, byteOffset, length).toString("latin1");
  }
  const bytes = Buffer.from(payload);
  return bytes.length < SMALL ? bytes.toString("latin1") : undefined;
}

let lastOwn = "";

/** The topic as a text of its own: it may be a piece of one that is much longer. Mostly it is that of the message before. */
export function ownTopic(topic: string): string {
  if (topic !== lastOwn) lastOwn = Buffer.from(topic).toString();
  return lastOwn;
}

/**
 * Whether `payload` keeps hardly more memory alive than it is long. Node's pool for small arrays is everybody's. A large
 * text may be a piece of a much larger one, which nobody can see.
 */
export function isFrugal(payload: Uint8Array | string): boolean {
  if (typeof payload === "string") return payload.length < SMALL;
  const { buffer, length } = plainBytes(payload);
  return buffer.byteLength <= HARDLY_MORE * length || buffer.byteLength === Buffer.poolSize;
}

/** `payload`, or a copy of it where it would keep much more memory alive than it is long. */
export function withoutPinning(payload: Uint8Array): Uint8Array {
  const pinned = payload.buffer.byteLength;
  return pinned > LARGE && pinned > PART * payload.byteLength ? new Uint8Array(payload) : payload;
}
