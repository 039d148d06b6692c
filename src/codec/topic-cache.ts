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
 * A word that begins before the topic reads into its length, and of less than 6 bytes into the fixed header, which must then
 * be the same too: there are four bytes at least. Words are compared as floating point numbers, eight bytes at a time: legal
 * UTF-8 without U+0000 makes none that is zero or a NaN.
 *
 * The constants were chosen with `npm run bench -- codec`.
 */
import { MALFORMED } from "./fault.js";
import { checkName } from "./topics.js";
import { native, readUtf8 } from "./utf8.js";

declare const WebAssembly: unknown;
/** Without a compiler any loop here costs more than what it saves; there is no WebAssembly then. */
const COMPILED = typeof WebAssembly === "object";
/** Once there are so many words of 8 bytes all are forgotten; as strings the same topics take twice as much at most. */
const MAX_WORDS = 960;
/** Longer topics are decoded each time, and so are those of less than 4 bytes. */
const MAX_TOPIC = 512;
/** After so many topics that were not found, none is looked for until ROUND have come. */
const PATIENCE = 128;
const ROUND = 4096;
/** Bytes of a text that topics are cut out of, and that each of them keeps alive. */
const STRETCH = 512;
/** Bytes from a topic to the end of its packet up to which it is cut: of longer ones too few share a text. */
const SHORT = 127;

const pairAt = (view: DataView, at: number): number =>
  view.getInt32(at, true) ^ Math.imul(view.getInt32(at + 4, true), 5);

export class TopicCache {
  /** By slot, the hash's first bits: hash of the topic that was there last, where its words are, or 0, and its string. */
  #hashes: number[] = [];
  #places: number[] = [];
  #topics: string[] = [];
  /** By topic: its length and bytes; the last word may overlap the one before. The first of all equals nothing. */
  #words = [NaN];
  #misses = 0;
  /** The bytes `[#from, #to)`, each a character. */
  #text = "";
  #from = 0;
  #to = 0;

  /** Other bytes come. */
  begin(): void {
    this.#to = 0;
  }

  /**
   * The topic name in `bytes[start, end)`, of a packet that ends at `next`; `view` covers all of `bytes`, of which nothing
   * from `limit` on is known.
   * Throws ERR_MALFORMED_PACKET: MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-3.3.2-2, MQTT-4.7.3-1.
   */
  get(bytes: Uint8Array, view: DataView, start: number, end: number, next: number, limit: number): string {
    const length = end - start;
    if (!COMPILED || length < 4 || length > MAX_TOPIC) return this.#decode(bytes, start, end);
    if (this.#misses >= PATIENCE) {
      const text = next - start > SHORT ? undefined : this.#cut(bytes, view, start, end, limit);
      return this.#decode(bytes, start, end, text);
    }
    // All of a topic of up to 71 bytes, and evenly some of a longer one.
    const step = Math.max(8, length >> 3);
    let hash = pairAt(view, end - 8);
    for (let place = start; place < end - 8; place += step) {
      hash = Math.imul(hash, 0x85ebca6b) ^ pairAt(view, place);
    }
    hash = Math.imul(hash, 0x85ebca6b);
    const slot = hash >>> 24;
    const again = this.#hashes[slot] === hash;
    if (again && this.#same(this.#places[slot]!, view, start, end)) {
      this.#misses = 0;
      return this.#topics[slot]!;
    }
    const topic = this.#decode(bytes, start, end);
    if (this.#words.length > MAX_WORDS) {
      // Full: begins anew with the topics that come from now on.
      this.#hashes = [];
      this.#places = [];
      this.#topics = [];
      this.#words = [NaN];
    }
    const words = this.#words;
    this.#hashes[slot] = hash;
    this.#places[slot] = again ? words.length : 0;
    if (again) {
      this.#topics[slot] = topic;
      for (let place = start - 2; place < end - 8; place += 8) words.push(view.getFloat64(place, true));
      words.push(view.getFloat64(end - 8, true));
    }
    return topic;
  }

  #decode(bytes: Uint8Array, start: number, end: number, text?: string): string {
    this.#misses = (this.#misses + 1) & (ROUND - 1);
    return checkName(readUtf8(bytes, start, end, text), MALFORMED);
  }

  /** The topic cut out of a text of several packets; undefined where it is not ASCII. */
  #cut(bytes: Uint8Array, view: DataView, start: number, end: number, limit: number): string | undefined {
    for (let at = end - 4; at > start - 4; at -= 4) if (view.getInt32(at) & 0x80808080) return;
    if (end > this.#to) {
      this.#from = start;
      this.#to = Math.min(limit, start + STRETCH);
      this.#text = native.latin1Slice.call(bytes, start, this.#to);
    }
    return this.#text.slice(start - this.#from, end - this.#from);
  }

  /** Whether the topic whose words begin at `at` is the one in `view[start, end)`. */
  #same(at: number, view: DataView, start: number, end: number): boolean {
    const words = this.#words;
    for (let place = start - 2; place < end - 8; place += 8) {
      if (words[at++] !== view.getFloat64(place, true)) return false;
    }
    return words[at] === view.getFloat64(end - 8, true);
  }
}
