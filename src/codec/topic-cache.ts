/**
 * From the bytes of a topic name to its string, without decoding a topic that comes again and again.
 *
 * Invariants: a topic is remembered when its hash comes for the second time with no other between in its slot,
 * never at first sight; it was checked then, so that a hit needs a comparison and nothing else; the cache owns its
 * bytes, so that no chunk is kept alive; it holds less than 48 KiB, whatever comes. While nothing is found, one
 * topic in 32 is looked for, so that topics which never come again cost what they cost without a cache, and the
 * strings of short ones are cut out of a text of several packets, of at most STRETCH bytes: asking the platform for
 * a string costs more than its characters.
 *
 * The constants were chosen with `npm run bench -- codec`.
 */
import { MALFORMED } from "./fault.js";
import { checkName } from "./topics.js";
import { native, readUtf8 } from "./utf8.js";

const SLOTS = 256;
/** Room for so many words of 8 bytes; as strings the same topics take twice as much at most. */
const MAX_WORDS = 1024;
/** Longer topics are decoded each time, and so are those of less than 4 bytes. */
const MAX_TOPIC = 512;
/** After so many topics that were not found, none is looked for until ROUND have come. */
const PATIENCE = 128;
const ROUND = 4096;
/** Bytes of a text that topics are cut out of, and that each of them keeps alive. */
const STRETCH = 512;
/** Bytes from a topic to the end of its packet up to which it is cut: of longer ones too few share a text. */
const SHORT = 128;

// What a cache has before its first topic; never written to.
const NO_SLOTS = /* @__PURE__ */ new Int32Array(2 * SLOTS);
const NO_WORDS = /* @__PURE__ */ new Float64Array(1);

/** A hash over all bytes of a topic of up to 8 bytes, and over some of a longer one: where identifiers mostly are. */
function hashOf(view: DataView, start: number, end: number): number {
  const length = end - start;
  let hash = mix(length ^ view.getInt32(end - 4, true)) ^ view.getInt32(start, true);
  if (length >= 8) {
    const middle = start + (length >> 1);
    hash ^= view.getInt32(end - 8, true) + Math.imul(view.getInt32(start + (length >> 2), true), 3);
    hash = mix(hash) ^ (view.getInt32(middle - 4, true) + Math.imul(view.getInt32(middle, true), 5));
    hash = mix(hash ^ view.getInt32(start + 4, true));
    // Bits only move up in a product; this brings them down again.
    hash ^= hash >>> 15;
  }
  return mix(hash);
}

const mix = (bits: number): number => Math.imul(bits, 0x9e3779b1);

export class TopicCache {
  /** By slot, of two: the hash of the topic that was there last, and where its words are, or 0. */
  #slots = NO_SLOTS;
  #topics: string[] = [];
  /**
   * By topic: its length, bytes; then its bytes in words of 8, of which the last may overlap the one before,
   * or the first four and the last four of less than 8 bytes. As floating point numbers, which are compared 8
   * bytes at a time: legal UTF-8 without U+0000 makes no word that is zero or a NaN.
   */
  #words = NO_WORDS;
  #used = 1;
  #misses = 0;
  /** The bytes from `#from` on, each a character. */
  #text = "";
  #from = 0;
  /** SHORT, or 0 once there was a topic that is not ASCII, up to the next look. */
  #short = SHORT;

  /** Other bytes come. */
  begin(): void {
    this.#text = "";
    this.#from = 0;
  }

  /**
   * The topic name in `bytes[start, end)`, of a packet that ends at `next`; `view` covers all of `bytes`, of which nothing
   * from `limit` on is known.
   * Throws ERR_MALFORMED_PACKET: MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-3.3.2-2, MQTT-4.7.3-1.
   */
  get(bytes: Uint8Array, view: DataView, start: number, end: number, next: number, limit: number): string {
    const length = end - start;
    if (length < 4 || length > MAX_TOPIC) return this.#decode(bytes, start, end);
    if (this.#misses >= PATIENCE) {
      return this.#decode(
        bytes,
        start,
        end,
        next - start > this.#short ? undefined : this.#cut(bytes, view, start, end, limit),
      );
    }
    const hash = hashOf(view, start, end);
    const slot = (hash >>> 23) & ~1;
    const again = this.#slots[slot] === hash;
    if (again && this.#same(this.#slots[slot + 1]!, view, start, end)) {
      this.#misses = 0;
      return this.#topics[slot]!;
    }
    const topic = this.#decode(bytes, start, end);
    if (again) this.#remember(slot, topic, view, start, end);
    else {
      this.#short = SHORT;
      if (this.#slots === NO_SLOTS) this.#slots = new Int32Array(2 * SLOTS);
      this.#slots[slot] = hash;
      this.#slots[slot + 1] = 0;
    }
    return topic;
  }

  #decode(bytes: Uint8Array, start: number, end: number, text?: string): string {
    this.#misses = (this.#misses + 1) & (ROUND - 1);
    const topic = readUtf8(bytes, start, end, text);
    checkName(topic, MALFORMED);
    return topic;
  }

  /** The topic cut out of a text of several packets; undefined where it is not ASCII. */
  #cut(bytes: Uint8Array, view: DataView, start: number, end: number, limit: number): string | undefined {
    let bits = view.getInt32(end - 4, true);
    for (let at = start; at < end - 4; at += 4) bits |= view.getInt32(at, true);
    if (bits & 0x80808080) return void (this.#short = 0);
    if (end - this.#from > this.#text.length) {
      this.#text = native.latin1Slice.call(bytes, start, Math.min(limit, start + STRETCH));
      this.#from = start;
    }
    return this.#text.slice(start - this.#from, end - this.#from);
  }

  /** Whether the topic whose words begin at `at` is the one in `view[start, end)`. */
  #same(at: number, view: DataView, start: number, end: number): boolean {
    const words = this.#words;
    const length = end - start;
    if (words[at++] !== length) return false;
    if (length < 8) return words[at] === view.getInt32(start, true) && words[at + 1] === view.getInt32(end - 4, true);
    const last = end - 8;
    for (; start < last; start += 8) if (words[at++] !== view.getFloat64(start, true)) return false;
    return words[at] === view.getFloat64(last, true);
  }

  #remember(slot: number, topic: string, view: DataView, start: number, end: number): void {
    const length = end - start;
    let at = this.#used;
    this.#used += (length >> 3) + 3;
    if (this.#used > MAX_WORDS) {
      // Full: begins anew with the topics that come from now on.
      this.#slots.fill(0);
      this.#topics = [];
      this.#used = 1;
      return;
    }
    if (this.#used > this.#words.length) {
      const grown = new Float64Array(Math.min(MAX_WORDS, 2 * this.#used));
      grown.set(this.#words);
      this.#words = grown;
    }
    this.#slots[slot + 1] = at;
    this.#topics[slot] = topic;
    const words = this.#words;
    words[at++] = length;
    if (length < 8) {
      words[at] = view.getInt32(start, true);
      words[at + 1] = view.getInt32(end - 4, true);
      return;
    }
    const last = end - 8;
    for (; start < last; start += 8) words[at++] = view.getFloat64(start, true);
    words[at] = view.getFloat64(last, true);
  }
}
