/**
 * The topic cache, through a reader: that its answers are right whatever comes, when it decodes, and what it
 * holds.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import { PacketReader, encode } from "../../src/codec/index.js";
import type { NativeBuffer } from "../../src/codec/utf8.js";
import { concat, cut, hex, read } from "./support.js";

/** What is alive, bytes. */
async function held(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  // Memory of buffers is given back a moment after the collection that found them.
  for (let turn = 0; turn < 3; turn++) {
    collect();
    await new Promise((done) => setImmediate(done));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const publish = (topic: string, payload: Uint8Array) => encode({ type: "publish", topic, payload }).slice();

describe("the topic cache", () => {
  const topicsOf = (stream: Uint8Array): string[] =>
    read([stream]).packets.map((packet) => (packet.type === "publish" ? packet.topic : ""));
  const stream = (topics: readonly string[]) => concat(...topics.map((topic) => publish(topic, hex("00"))));

  test("topics of every length from 1 to 80, repeated in turn", () => {
    const topics = Array.from({ length: 80 }, (_, i) => "abcdefghij".repeat(8).slice(0, i + 1));
    const turns = [...topics, ...topics, ...[...topics].reverse()];
    expect(topicsOf(stream(turns))).toEqual(turns);
  });

  test("topics that differ in one byte, at each position, one after the other", () => {
    for (const length of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 41, 63, 72, 100]) {
      const base = "x".repeat(length);
      const turns = [base];
      for (let at = 0; at < length; at++) turns.push(base.slice(0, at) + "y" + base.slice(at + 1), base);
      expect(topicsOf(stream([...turns, ...turns]))).toEqual([...turns, ...turns]);
    }
  });

  test("more topics than it holds, in several orders, then others again and again", () => {
    const many = Array.from({ length: 5_000 }, (_, i) => `devices/${i}/messages/${"é".repeat(i % 5)}`);
    const few = Array.from({ length: 40 }, (_, i) => `other/${i}`);
    const turns = [...many, ...[...many].reverse()];
    for (let i = 0; i < 40; i++) turns.push(...few);
    turns.push(...many.slice(0, 300), ...few);
    expect(topicsOf(stream(turns))).toEqual(turns);
  });

  test("more bytes than it holds, and topics too long for it", () => {
    const turns = Array.from({ length: 600 }, (_, i) => `${i}/`.padEnd(i % 7 === 0 ? 4_097 : 4_000 - (i % 9), "z"));
    expect(topicsOf(stream([...turns, ...turns]))).toEqual([...turns, ...turns]);
  });

  /** A reader's answers, and how many of the topics had to be decoded for them. */
  function counted(Reader = PacketReader): { decodes(topics: readonly string[]): number } {
    const seen: string[] = [];
    const reader = new Reader((packet) => packet.type === "publish" && seen.push(packet.topic));
    const native = Buffer.prototype as NativeBuffer;
    const { utf8Slice } = native;
    return {
      decodes(topics) {
        // With payloads beside which no topic is cut out of a longer text.
        const bytes = concat(...topics.map((topic) => publish(topic, new Uint8Array(128))));
        let decoded = 0;
        native.utf8Slice = function (start: number, end: number) {
          decoded++;
          return utf8Slice.call(this, start, end);
        };
        try {
          reader.push(bytes);
        } finally {
          native.utf8Slice = utf8Slice;
        }
        expect(seen.splice(0)).toEqual(topics);
        return decoded;
      },
    };
  }

  const times = (count: number, topic: string) => Array.from({ length: count }, () => topic);
  const different = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `different/${from + i}`);

  test("a topic is remembered at its second sight, from 4 bytes to 512", () => {
    for (const length of [4, 5, 7, 8, 9, 15, 16, 17, 40, 63, 511, 512]) {
      const topic = "abcdefghij".repeat(52).slice(0, length);
      expect(counted().decodes(times(10, topic)), `${length} bytes`).toBe(2);
    }
    for (const length of [1, 2, 3, 513]) {
      expect(counted().decodes(times(10, "x".repeat(length))), `${length} bytes`).toBe(10);
    }
  });

  test("where the platform compiles nothing, and so has no WebAssembly, every topic is decoded by it", async () => {
    vi.stubGlobal("WebAssembly", undefined);
    vi.resetModules();
    try {
      const { PacketReader } = await import("../../src/codec/index.js");
      const cache = counted(PacketReader);
      expect(cache.decodes(times(10, "topic"))).toBe(10);
      expect(cache.decodes(different(1_000))).toBe(1_000);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test("another topic of its slot makes it be forgotten, and two sights bring it back", () => {
    const cache = counted();
    cache.decodes(times(2, "topic"));
    expect(cache.decodes(["topic"])).toBe(0);
    // One of so many has the slot; after 128 none would be looked for.
    for (let from = 0; from < 2_000; from += 100) {
      cache.decodes(times(3, "other"));
      cache.decodes(different(100, from));
    }
    expect(cache.decodes(times(5, "topic"))).toBe(2);
  });

  test("twenty topics in turn are found but for those that share a slot", () => {
    const cache = counted();
    const turn = Array.from({ length: 20 }, (_, i) => `building-2/room-${101 + i}/temperature`);
    cache.decodes([...turn, ...turn]);
    expect(cache.decodes(turn)).toBeLessThan(6);
  });

  test("after 128 topics that were not found none is looked for until 4,096 have come", () => {
    const cache = counted();
    cache.decodes(different(128));
    expect(cache.decodes(times(3_968, "topic"))).toBe(3_968);
    expect(cache.decodes(times(10, "topic"))).toBe(2);
    expect(cache.decodes(different(127))).toBe(127);
    expect(cache.decodes(times(10, "again"))).toBe(10);
  });

  test("one that is found gives patience for 128 more", () => {
    const cache = counted();
    cache.decodes(times(2, "topic"));
    for (let i = 0; i < 5; i++) {
      // What is found meanwhile: the slot of "topic" may have been taken.
      cache.decodes(different(100, 100 * i));
      expect(cache.decodes(times(10, "topic"))).toBeLessThan(3);
    }
  });

  describe("short topics that never come again", () => {
    const tired = stream(different(128));
    /** What comes of a stream behind topics for which the cache gave up. */
    const behind = (bytes: Uint8Array, size = Infinity) => {
      const { packets, error } = read([tired, ...cut(bytes, Math.min(size, bytes.length))]);
      return { topics: packets.slice(128).map((packet) => (packet.type === "publish" ? packet.topic : "")), error };
    };

    test("are the same however they are cut out: ASCII or not, of all lengths, in chunks of all sizes", () => {
      const topics = Array.from({ length: 400 }, (_, i) =>
        `${i}/${i % 3 ? "" : "\u00e9\u20ac"}`.padEnd(1 + (i % 131), "x"),
      );
      const bytes = concat(...topics.map((topic, i) => publish(topic, new Uint8Array(i % 40).fill(i))));
      for (const size of [1, 7, 100, 511, 1_460, 5_000, Infinity]) {
        expect(behind(bytes, size)).toEqual({ topics, error: undefined });
      }
    });

    test("are cut out of a text of several packets, but for those that are not ASCII", () => {
      const native = Buffer.prototype as NativeBuffer;
      const { latin1Slice } = native;
      const seen: string[] = [];
      const reader = new PacketReader((packet) => packet.type === "publish" && seen.push(packet.topic));
      const textsOf = (topics: readonly string[]) => {
        let texts = 0;
        native.latin1Slice = function (start: number, end: number) {
          texts++;
          expect(end - start).toBeLessThanOrEqual(512);
          return latin1Slice.call(this, start, end);
        };
        try {
          reader.push(stream(topics));
        } finally {
          native.latin1Slice = latin1Slice;
        }
        expect(seen.splice(0)).toEqual(topics);
        return texts;
      };
      expect(textsOf(different(128))).toBe(0);
      const texts = textsOf(different(1_000, 128));
      expect(texts).toBeGreaterThan(10);
      expect(texts).toBeLessThan(100);
      expect(textsOf(["\u00e9\u00e9/1", ...different(1_000, 2_000)])).toBeGreaterThan(10);
      expect(textsOf(different(500, 4_000).map((topic) => `${topic}/\u00e9`))).toBe(0);
    });

    test("are refused where they are no topic names, and those before them are delivered", () => {
      const good = publish("devices/a/messages", hex(""));
      for (const bad of [0x00, 0x23, 0x2b, 0x80, 0xc3, 0xff]) {
        for (const at of [0, 1, 3, 7, 8, 11, 16, 17]) {
          const spoilt = good.slice();
          spoilt[4 + at] = bad;
          const { topics, error } = behind(concat(good, good, spoilt, good));
          expect(topics).toEqual(["devices/a/messages", "devices/a/messages"]);
          expect(error?.code).toBe("ERR_MALFORMED_PACKET");
        }
      }
      expect(behind(hex("3002 0000")).error?.statement).toBe("MQTT-4.7.3-1");
    });

    test("keep no more alive than 512 bytes and themselves", async () => {
      const kept: string[] = [];
      let packets = 0;
      const reader = new PacketReader((packet) => {
        // One of each text.
        if (packet.type === "publish" && packets++ % 64 === 0) kept.push(packet.topic);
      });
      const push = (from: number) => reader.push(stream(different(16_000, from)));
      push(100_000);
      const before = await held();
      kept.length = 0;
      for (let i = 0; i < 10; i++) push(200_000 + 16_000 * i);
      expect(kept.length).toBe(2_500);
      expect(((await held()) - before) / kept.length).toBeLessThan(1_000);
      expect(kept[0]).toBe("different/200000");
    });
  });

  test("full, it begins anew, and nothing that it held before is found", () => {
    const long = Array.from({ length: 16 }, (_, i) => `${i}/`.padEnd(500, "x"));
    const cache = counted();
    const filled = long.flatMap((topic) => times(2, topic));
    expect(cache.decodes(filled)).toBe(32);
    expect(cache.decodes(times(3, long[15]!))).toBe(0);
    // One that is not known, and there is no room.
    cache.decodes(["another"]);
    expect(cache.decodes(long)).toBe(16);
    expect(cache.decodes(times(10, long[15]!))).toBe(1);
    // Where the first one lay begins another, of another length.
    const other = counted();
    other.decodes([...times(2, "aaaaaaaa"), ...long.flatMap((topic) => times(2, topic))]);
    expect(other.decodes(times(3, "bbbbbbbbx"))).toBe(2);
    expect(other.decodes(["bbbbbbbb", "aaaaaaaa", "bbbbbbbbx"])).toBe(2);
  });

  test("topics in turn that differ in a byte are found, wherever it is, but for those that share a slot", () => {
    for (const length of [8, 13, 31, 60]) {
      const turn = Array.from({ length }, (_, at) => "x".repeat(at) + "y".repeat(length - at));
      const cache = counted();
      cache.decodes([...turn, ...turn]);
      expect(cache.decodes(turn), `${length} bytes`).toBeLessThan(length / 2);
    }
  });

  test("topics that differ only where the hash does not look are told apart", () => {
    const topics = Array.from({ length: 500 }, (_, i) => `${"x".repeat(83)}${i + 1_000}${"x".repeat(173)}`);
    const turns = topics.flatMap((topic, i) => [topic, topic, topics[i >> 1]!, topic]);
    expect(topicsOf(stream([...turns, ...turns]))).toEqual([...turns, ...turns]);
  });

  test("whatever topics come, a decoder holds less than 64 KiB", async () => {
    const worst = stream(
      Array.from({ length: 1_000 }, (_, i) => `\u20ac/${i >> 1}/`.padEnd(i % 3 === 0 ? 100 : 505, "x")),
    );
    const readers: PacketReader[] = [];
    const add = () => {
      const reader = new PacketReader(() => {});
      for (const piece of cut(worst, 1_000)) reader.push(piece);
      readers.push(reader);
    };
    // What is compiled or grows once is not the decoders'.
    for (let i = 0; i < 5; i++) add();
    const before = await held();
    for (let i = 0; i < 40; i++) add();
    expect(((await held()) - before) / 40).toBeLessThan(65_536);
    expect(readers.length).toBe(45);
  });

  test("a bad topic after its good neighbours is still refused", () => {
    const good = publish("devices/a/messages", hex(""));
    for (const bad of [0x00, 0x23, 0x2b, 0x80, 0xff]) {
      for (const at of [0, 1, 3, 7, 8, 11, 16, 17]) {
        const spoilt = good.slice();
        spoilt[4 + at] = bad;
        const { packets, error } = read([concat(good, good, spoilt, good)]);
        expect(packets.length).toBe(2);
        expect(error?.code).toBe("ERR_MALFORMED_PACKET");
      }
    }
  });

  test("words that are NaN or infinity as numbers: ill-formed each time", () => {
    for (const word of ["000000000000f07f", "ffffffffffffff7f", "6161616161 61f0ff", "61616161616161ff"]) {
      for (let i = 0; i < 2; i++)
        expect(read([concat(hex("300a0008"), hex(word))]).error?.code).toBe("ERR_MALFORMED_PACKET");
    }
  });
});
