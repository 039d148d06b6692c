/**
 * From the bytes of a topic name to its string, without decoding a topic that was seen before.
 *
 * Invariants: every topic in the cache was checked when it went in, so that a hit needs a comparison and nothing
 * else; entries own their bytes, so that no chunk is kept alive; at most MAX_ENTRIES topics of MAX_BYTES bytes in
 * all. When either is reached everything is forgotten: a peer that never repeats a topic pays for a hash and a
 * copy on top of the decoding that it forces anyway, however it chooses its topics.
 */
import { MALFORMED } from "./fault.js";
import { checkName } from "./topics.js";
import { readUtf8 } from "./utf8.js";

const MAX_ENTRIES = 2048;
const MAX_BYTES = 0x80000;
/** Longer topics are decoded each time. */
const MAX_TOPIC = 4096;

interface Entry {
  readonly view: DataView;
  readonly topic: string;
}

/** Whether `length` bytes of `view` at `at` are those of `entry`. */
function same(entry: Entry, view: DataView, at: number, length: number): boolean {
  const known = entry.view;
  if (known.byteLength !== length) return false;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    if (known.getInt32(i, true) !== view.getInt32(at + i, true)) return false;
  }
  for (; i < length; i++) {
    if (known.getUint8(i) !== view.getUint8(at + i)) return false;
  }
  return true;
}

export class TopicCache {
  readonly #entries = new Map<number, Entry>();
  #bytes = 0;
  #last: Entry | undefined;

  /**
   * The topic name in `bytes[start, end)`; `view` covers all of `bytes`.
   * Throws ERR_MALFORMED_PACKET: MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-3.3.2-2, MQTT-4.7.3-1.
   */
  get(bytes: Uint8Array, view: DataView, start: number, end: number): string {
    const length = end - start;
    if (this.#last !== undefined && same(this.#last, view, start, length)) return this.#last.topic;
    let hash = length;
    let at = start;
    for (; at + 4 <= end; at += 4) hash = Math.imul(hash ^ view.getInt32(at, true), 0x9e3779b1) ^ (hash >>> 15);
    for (; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x9e3779b1);
    hash ^= hash >>> 15;
    let entry = this.#entries.get(hash);
    if (entry === undefined || !same(entry, view, start, length)) {
      const topic = readUtf8(bytes, start, end);
      checkName(topic, MALFORMED);
      if (length > MAX_TOPIC) return topic;
      if (this.#entries.size >= MAX_ENTRIES || this.#bytes + length > MAX_BYTES) {
        this.#entries.clear();
        this.#bytes = 0;
      }
      this.#bytes += length;
      const own = new Uint8Array(length);
      own.set(bytes.subarray(start, end));
      entry = { view: new DataView(own.buffer), topic };
      this.#entries.set(hash, entry);
    }
    this.#last = entry;
    return entry.topic;
  }
}
