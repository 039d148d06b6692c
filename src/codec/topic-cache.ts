/**
 * From the bytes of a topic name to its string, without decoding a topic that was seen before.
 *
 * Invariants: every topic in the cache was checked when it went in, so that a hit needs a comparison and
 * nothing else; the cache owns its bytes, so that no chunk is kept alive; it holds at most MAX_ENTRIES topics
 * of MAX_WORDS words in all. A full cache takes nothing more, until REPEATS topics that it lacks have come
 * again: then the topics in use are others by now, and it starts anew. So a peer that never repeats a topic,
 * or any other hostile choice of topics, costs a hash and at times a copy on top of the decoding that it
 * forces anyway.
 *
 * The constants were chosen with `npm run bench -- codec`.
 */
import { MALFORMED } from "./fault.js";
import { checkName } from "./topics.js";
import { readUtf8 } from "./utf8.js";

const MAX_ENTRIES = 2048;
const FIRST_WORDS = 0x80;
const MAX_WORDS = 0x10000;
/** Longer topics are decoded each time. */
const MAX_CACHED_TOPIC = 4096;
const REPEATS = 256;

interface Entry {
  /** Bytes. */
  readonly length: number;
  /** Position in the cache's memory, words of 8 bytes. */
  readonly at: number;
  readonly topic: string;
}

const NONE: Entry = { length: -1, at: 0, topic: "" };

/** A hash over `view[start, end)`, of 8 bytes or more, in words that may overlap. */
function hashOf(view: DataView, start: number, end: number): number {
  let a = end - start;
  let b = a;
  const last = end - 8;
  for (; start < last; start += 8) {
    a = Math.imul(a ^ view.getInt32(start, true), 0x9e3779b1);
    b = Math.imul(b ^ view.getInt32(start + 4, true), 0x85ebca6b);
    // Bits only move up in a product; this brings them down again.
    a ^= a >>> 15;
    b ^= b >>> 13;
  }
  return mix(a ^ view.getInt32(last, true), b ^ view.getInt32(last + 4, true));
}

function mix(a: number, b: number): number {
  const hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b);
  return hash ^ (hash >>> 15);
}

/** A topic of fewer than 8 bytes as two words. */
function low(view: DataView, start: number, length: number): number {
  if (length > 3) return view.getInt32(start, true);
  return length > 1 ? view.getInt16(start, true) : length;
}

function high(view: DataView, end: number, length: number): number {
  if (length > 3) return view.getInt32(end - 4, true);
  return view.getUint8(end - 1);
}

export class TopicCache {
  readonly #entries = new Map<number, Entry>();
  /** The last entry found, by the low bits of its length: several topics in turn mostly differ in length. */
  readonly #recent: Entry[] = [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE];
  /**
   * The bytes of the entries, in whole words of 8 bytes and a last one that overlaps the one before. As
   * floating point numbers: a legal topic is without 0x00, so that it has no zero of the other sign; and no
   * word of well-formed UTF-8 is a NaN.
   */
  #words = new Float64Array(0);
  #pairs = new Int32Array(0);
  #used = 0;
  /** Hashes of topics that a full cache did not take, by their high byte; and how many of them came again. */
  #seen: Int32Array | undefined;
  #repeats = 0;

  /**
   * The topic name in `bytes[start, end)`; `view` covers all of `bytes`.
   * Throws ERR_MALFORMED_PACKET: MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-3.3.2-2, MQTT-4.7.3-1.
   */
  get(bytes: Uint8Array, view: DataView, start: number, end: number): string {
    const length = end - start;
    const recent = this.#recent[length & 7]!;
    if (recent.length === length && this.#same(recent.at, view, start, end)) return recent.topic;
    const hash =
      length < 8 ? mix(low(view, start, length), high(view, end, length)) : hashOf(view, start, end);
    const entry = this.#entries.get(hash);
    if (entry !== undefined && entry.length === length && this.#same(entry.at, view, start, end)) {
      this.#recent[length & 7] = entry;
      return entry.topic;
    }
    const topic = readUtf8(bytes, start, end);
    checkName(topic, MALFORMED);
    if (length <= MAX_CACHED_TOPIC && this.#admits(hash, length)) this.#add(hash, topic, view, start, end);
    return topic;
  }

  /** Whether the words at `at` are those of `view[start, end)`, which has the same length. */
  #same(at: number, view: DataView, start: number, end: number): boolean {
    const words = this.#words;
    const last = end - 8;
    if (start > last) {
      const length = end - start;
      return (
        this.#pairs[2 * at] === low(view, start, length) &&
        this.#pairs[2 * at + 1] === high(view, end, length)
      );
    }
    for (; start < last - 24; start += 32, at += 4) {
      if (
        words[at] !== view.getFloat64(start, true) ||
        words[at + 1] !== view.getFloat64(start + 8, true) ||
        words[at + 2] !== view.getFloat64(start + 16, true) ||
        words[at + 3] !== view.getFloat64(start + 24, true)
      ) {
        return false;
      }
    }
    for (; start < last; start += 8) if (words[at++] !== view.getFloat64(start, true)) return false;
    return words[at] === view.getFloat64(last, true);
  }

  #admits(hash: number, length: number): boolean {
    if (this.#entries.size < MAX_ENTRIES && this.#used + (length >> 3) < MAX_WORDS) return true;
    const seen = (this.#seen ??= new Int32Array(256));
    // The high bits depend on every byte.
    const slot = hash >>> 24;
    if (seen[slot] === hash && ++this.#repeats > REPEATS) {
      this.#entries.clear();
      this.#recent.fill(NONE);
      this.#repeats = this.#used = 0;
      return true;
    }
    seen[slot] = hash;
    return false;
  }

  #add(hash: number, topic: string, view: DataView, start: number, end: number): void {
    const length = end - start;
    let at = this.#used;
    const entry = { length, at, topic };
    this.#used += (length >> 3) + 1;
    if (this.#used > this.#words.length) {
      const grown = new Float64Array(Math.min(MAX_WORDS, Math.max(FIRST_WORDS, 2 * this.#used)));
      grown.set(this.#words);
      this.#words = grown;
      this.#pairs = new Int32Array(grown.buffer);
    }
    const last = end - 8;
    if (start > last) {
      this.#pairs[2 * at] = low(view, start, length);
      this.#pairs[2 * at + 1] = high(view, end, length);
    } else {
      for (; start < last; start += 8) this.#words[at++] = view.getFloat64(start, true);
      this.#words[at] = view.getFloat64(last, true);
    }
    this.#entries.set(hash, entry);
    this.#recent[length & 7] = entry;
  }
}
