/**
 * From the bytes of a topic name to its string, without decoding a topic that was seen before.
 *
 * Invariants: every topic in the cache was checked when it went in, so that a hit needs a comparison and
 * nothing else; the cache owns its bytes, so that no chunk is kept alive; it holds at most MAX_TOPICS topics
 * of MAX_WORDS words in all. A full cache takes nothing more, until topics that it lacks have come again
 * REPEATS times: then the topics in use are others by now, and it starts anew. So whatever topics a hostile
 * peer chooses, one costs at most two hashes, three comparisons, a look at 2 * PROBES slots and a copy on top
 * of the decoding that it forces anyway.
 *
 * The constants were chosen with `npm run bench -- codec`.
 */
import { MALFORMED } from "./fault.js";
import { checkName } from "./topics.js";
import { readUtf8 } from "./utf8.js";

const MAX_TOPICS = 2048;
const FIRST_SLOTS = 0x20;
const FIRST_WORDS = 0x80;
const MAX_WORDS = 0x10000;
/** Longer topics are decoded each time. */
const MAX_CACHED_TOPIC = 4096;
const REPEATS = 256;
/** How many slots are looked at for a topic. */
const PROBES = 16;

/** What a search finds in place of a slot: no topic with that hash, or another one. */
const ABSENT = -1;
const OTHER = -2;

// What a cache has before its first topic; never written to. What is at 0 is longer than any topic.
const EMPTY_SLOTS = new Int32Array(1);
const EMPTY_PAIRS = Int32Array.of(0, 0x10000);
const EMPTY_WORDS = new Float64Array(EMPTY_PAIRS.buffer);

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

/** A hash over all bytes of a short topic, and over some of a longer one: where identifiers mostly are. */
function quickHash(view: DataView, start: number, end: number): number {
  const length = end - start;
  if (length < 8) return mix(low(view, start, length), high(view, end, length));
  const last = mix(length ^ view.getInt32(end - 8, true), view.getInt32(end - 4, true));
  if (length < 16) return mix(last ^ view.getInt32(start, true), view.getInt32(start + 4, true));
  const second = start + 8;
  const quarter = start + (length >> 2);
  const half = start + (length >> 1);
  const a = view.getInt32(second, true) + Math.imul(view.getInt32(quarter, true), 3);
  const b = view.getInt32(second + 4, true) + Math.imul(view.getInt32(quarter + 4, true), 5);
  return mix(last ^ (a - view.getInt32(half + 4, true)), b + Math.imul(view.getInt32(half, true), 3));
}

/** A hash over all bytes, 8 or more, in words that may overlap. */
function fullHash(view: DataView, start: number, end: number): number {
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

export class TopicCache {
  /**
   * A hash table, at most half full: positions in `#words`, 0 where a slot is empty. A topic has the number
   * of its slot in `#topics`. It is under its quick hash or, where another one has that, under its full hash.
   */
  #slots = EMPTY_SLOTS;
  #topics: string[] = [];
  #count = 0;
  /**
   * By topic: a word for hash and length, then its bytes in whole words of 8 and a last one that overlaps the
   * one before. As floating point numbers: a legal topic is without 0x00, so that it has no zero of the other
   * sign; and no word of well-formed UTF-8 is a NaN.
   */
  #words = EMPTY_WORDS;
  /** The same memory: `#pairs[2 * at]` is a hash, the next one a length in bytes. */
  #pairs = EMPTY_PAIRS;
  #used = 1;
  /**
   * By the low bits of the length, for several topics in turn mostly differ in it: the topic that was found
   * last in the table; and, if it was found there twice in a row, the one to be compared with at once.
   */
  readonly #last = new Int32Array(8);
  readonly #recent = new Int32Array(8);
  readonly #recentTopics = ["", "", "", "", "", "", "", ""];
  /** Hashes of topics that a full cache did not take, by their high byte; and how many of them came again. */
  #seen: Int32Array | undefined;
  #repeats = 0;

  /**
   * The topic name in `bytes[start, end)`; `view` covers all of `bytes`.
   * Throws ERR_MALFORMED_PACKET: MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-3.3.2-2, MQTT-4.7.3-1.
   */
  get(bytes: Uint8Array, view: DataView, start: number, end: number): string {
    const length = end - start;
    const recent = length & 7;
    const at = this.#recent[recent]!;
    if (this.#pairs[2 * at + 1] === length && this.#same(at + 1, view, start, end)) {
      return this.#recentTopics[recent]!;
    }
    const hash = quickHash(view, start, end);
    const slot = this.#search(hash, view, start, end);
    if (slot < 0) return this.#miss(hash, slot, bytes, view, start, end);
    const found = this.#slots[slot]!;
    const topic = this.#topics[slot]!;
    if (this.#last[recent] === found) {
      this.#recent[recent] = found;
      this.#recentTopics[recent] = topic;
    } else {
      this.#last[recent] = found;
      this.#recent[recent] = 0;
    }
    return topic;
  }

  /** The slot of the topic under `hash`, or ABSENT or OTHER. Compares once at most. */
  #search(hash: number, view: DataView, start: number, end: number): number {
    const slots = this.#slots;
    const pairs = this.#pairs;
    const mask = slots.length - 1;
    let slot = hash & mask;
    for (let step = 1; step <= PROBES; step++) {
      const at = slots[slot]!;
      if (at === 0) return ABSENT;
      if (pairs[2 * at] === hash) {
        return pairs[2 * at + 1] === end - start && this.#same(at + 1, view, start, end) ? slot : OTHER;
      }
      slot = (slot + step) & mask;
    }
    return ABSENT;
  }

  #miss(hash: number, found: number, bytes: Uint8Array, view: DataView, start: number, end: number): string {
    const length = end - start;
    if (found === OTHER && length >= 16 && length <= MAX_CACHED_TOPIC) {
      hash = fullHash(view, start, end);
      found = this.#search(hash, view, start, end);
      if (found >= 0) return this.#topics[found]!;
    }
    const topic = readUtf8(bytes, start, end);
    checkName(topic, MALFORMED);
    if (found === ABSENT && length <= MAX_CACHED_TOPIC && this.#admits(hash, length)) {
      this.#add(hash, topic, view, start, end);
    }
    return topic;
  }

  /** Whether the words at `at` are those of `view[start, end)`, which has the same length. */
  #same(at: number, view: DataView, start: number, end: number): boolean {
    const words = this.#words;
    const last = end - 8;
    if (start > last) {
      const length = end - start;
      return this.#pairs[2 * at] === low(view, start, length) && this.#pairs[2 * at + 1] === high(view, end, length);
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
    if (this.#count < MAX_TOPICS && this.#used + (length >> 3) + 2 <= MAX_WORDS) return true;
    const seen = (this.#seen ??= new Int32Array(256));
    // The high bits depend on every byte that was hashed.
    const place = hash >>> 24;
    if (seen[place] === hash && ++this.#repeats > REPEATS) {
      this.#slots.fill(0);
      this.#topics.fill("");
      this.#recent.fill(0);
      this.#last.fill(0);
      this.#count = this.#repeats = 0;
      this.#used = 1;
      return true;
    }
    seen[place] = hash;
    return false;
  }

  #add(hash: number, topic: string, view: DataView, start: number, end: number): void {
    if (2 * this.#count >= this.#slots.length - 1) this.#grow();
    let at = this.#used;
    if (!this.#claim(hash, at, topic)) return;
    this.#count++;
    const length = end - start;
    this.#used += (length >> 3) + 2;
    if (this.#used > this.#words.length) {
      const grown = new Float64Array(Math.min(MAX_WORDS, Math.max(FIRST_WORDS, 2 * this.#used)));
      grown.set(this.#words);
      this.#words = grown;
      this.#pairs = new Int32Array(grown.buffer);
    }
    this.#pairs[2 * at] = hash;
    this.#pairs[2 * at++ + 1] = length;
    const last = end - 8;
    if (start > last) {
      this.#pairs[2 * at] = low(view, start, length);
      this.#pairs[2 * at + 1] = high(view, end, length);
    } else {
      for (; start < last; start += 8) this.#words[at++] = view.getFloat64(start, true);
      this.#words[at] = view.getFloat64(last, true);
    }
  }

  /** Puts a topic in the first free slot for `hash`; false where all that are looked at are taken. */
  #claim(hash: number, at: number, topic: string): boolean {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash & mask;
    for (let step = 1; step <= PROBES; step++) {
      if (slots[slot] === 0) {
        slots[slot] = at;
        this.#topics[slot] = topic;
        return true;
      }
      slot = (slot + step) & mask;
    }
    return false;
  }

  #grow(): void {
    const slots = this.#slots;
    const topics = this.#topics;
    const size = Math.max(FIRST_SLOTS, 2 * slots.length);
    this.#slots = new Int32Array(size);
    this.#topics = new Array<string>(size).fill("");
    for (const [slot, at] of slots.entries()) {
      if (at !== 0) this.#claim(this.#pairs[2 * at]!, at, topics[slot]!);
    }
  }
}
