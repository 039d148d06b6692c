/**
 * The decoder equals the independent oracle: exhaustively on short inputs, on every split of the vectors, and
 * on random and mutated packets. What `decode` takes, `encode` writes back.
 *
 * HUBWIRE_EXHAUSTIVE=1 runs the whole of the short inputs (about 34 million, some minutes).
 */
import { describe, expect, test } from "vitest";
import { HubwireError, PacketReader, decode, encode, type Packet } from "../../src/codec/index.js";
import { oracle } from "./oracle.mjs";
import { concat, cut, toHex } from "./support.js";
import { vectors } from "./vectors.js";

const exhaustive = process.env["HUBWIRE_EXHAUSTIVE"] === "1";

function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const plain = (value: unknown): string =>
  JSON.stringify(value, (_key, field: unknown) => (field instanceof Uint8Array ? toHex(field) : field));

/** What a fresh reader makes of `pieces`, in the oracle's terms. */
function ours(pieces: readonly Uint8Array[]): ReturnType<typeof oracle> {
  const packets: Packet[] = [];
  const reader = new PacketReader((packet) => packets.push(packet));
  try {
    for (const piece of pieces) reader.push(piece);
  } catch (error) {
    if (!(error instanceof HubwireError) || error.code !== "ERR_MALFORMED_PACKET") throw error;
    return { packets, end: "malformed" };
  }
  // Incomplete or complete: a PINGRESP behind it comes out, or does not.
  const before = packets.length;
  try {
    reader.push(Uint8Array.of(0xd0, 0));
  } catch {
    return { packets: packets.slice(0, before), end: "incomplete" };
  }
  const complete = packets.length === before + 1 && packets[before]?.type === "pingresp";
  return { packets: packets.slice(0, before), end: complete ? "complete" : "incomplete" };
}

/** Throws where the codec and the oracle differ; returns whether the input was one legal packet. */
function compare(bytes: Uint8Array): boolean {
  const expected = oracle(bytes);
  let packet: Packet | undefined;
  try {
    packet = decode(bytes);
  } catch (error) {
    if (!(error instanceof HubwireError) || error.code !== "ERR_MALFORMED_PACKET") throw error;
  }
  const legal = expected.end === "complete" && expected.packets.length === 1;
  if (legal !== (packet !== undefined)) throw new Error(`${toHex(bytes)}: oracle ${expected.end}, decode differs`);
  if (packet === undefined) return false;
  if (plain(packet) !== plain(expected.packets[0])) throw new Error(`${toHex(bytes)}: ${plain(packet)}`);
  if (toHex(encode(packet)) !== toHex(bytes)) {
    // Only a remaining length in more bytes than it needs does not come back as it was.
    if (plain(decode(encode(packet))) !== plain(packet)) throw new Error(`${toHex(bytes)}: encode differs`);
  }
  return true;
}

/** Runs `visit` on all arrays of `values` for each position. */
function product(values: readonly (readonly number[])[], visit: (bytes: Uint8Array) => void): number {
  const bytes = new Uint8Array(values.length);
  let count = 0;
  const fill = (at: number): void => {
    if (at === values.length) {
      count++;
      visit(bytes);
      return;
    }
    for (const value of values[at] ?? []) {
      bytes[at] = value;
      fill(at + 1);
    }
  };
  fill(0);
  return count;
}

const everything = Array.from({ length: 256 }, (_, i) => i);
/** One of each kind: the edges of every rule on single bytes. */
const telling = [
  0, 1, 2, 3, 4, 5, 6, 0x23, 0x2b, 0x2f, 0x61, 0x7f, 0x80, 0x81, 0x82, 0xbf, 0xc2, 0xe0, 0xed, 0xf4, 0xff,
];
const third = exhaustive ? everything : telling;

describe("short inputs", () => {
  const limit = Error.stackTraceLimit;
  const quietly = (values: readonly (readonly number[])[]) => {
    Error.stackTraceLimit = 0;
    let legal = 0;
    try {
      return { count: product(values, (bytes) => (legal += compare(bytes) ? 1 : 0)), legal };
    } finally {
      Error.stackTraceLimit = limit;
    }
  };

  test("of one byte", () => expect(quietly([everything])).toEqual({ count: 256, legal: 0 }));
  test("of two bytes", () => expect(quietly([everything, everything])).toEqual({ count: 65_536, legal: 3 }));
  test("of three bytes", { timeout: 900_000 }, () => {
    const { count, legal } = quietly([everything, third, third]);
    expect(count).toBe(256 * third.length ** 2);
    // PINGREQ, PINGRESP and DISCONNECT with a length of two bytes.
    expect(legal).toBe(3);
  });
  test("with bodies of two bytes", { timeout: 900_000 }, () => {
    const { count, legal } = quietly([everything, [2], third, third]);
    expect(count).toBe(256 * third.length ** 2);
    expect(legal).toBe(exhaustive ? 5 * 65_535 + 7 : 5 * (telling.length ** 2 - 1) + 7);
  });
  test("PUBLISH of every first byte with a topic of one and two bytes", () => {
    const publishes = Array.from({ length: 16 }, (_, i) => 0x30 | i);
    quietly([publishes, [4], [0], [2], telling, everything]);
    quietly([publishes, [5], [0], [1], telling, [0, 1], telling]);
    expect(quietly([[0x30], [5], [0], [3], telling, everything, telling]).legal).toBeGreaterThan(1_000);
  });
});

describe("streams", () => {
  const streams = vectors.map(({ bytes }) => bytes);
  const all = concat(...streams.filter(({ length }) => length < 100));

  test("every split point of every vector", () => {
    for (const bytes of streams) {
      const expected = plain(oracle(bytes));
      for (let at = 0; at <= bytes.length; at++) {
        expect(plain(ours([bytes.slice(0, at), bytes.slice(at)]))).toBe(expected);
      }
    }
  });

  test("every prefix of every vector", () => {
    for (const bytes of streams) {
      for (let at = 0; at < bytes.length; at++) {
        const prefix = bytes.slice(0, at);
        expect(plain(ours([prefix]))).toBe(plain(oracle(prefix)));
        expect(plain(ours(cut(prefix, 1)))).toBe(plain(oracle(prefix)));
      }
    }
  });

  test("every byte of every vector with every value", () => {
    Error.stackTraceLimit = 0;
    let legal = 0;
    for (const bytes of streams.filter(({ length }) => length < 100)) {
      for (let at = 0; at < bytes.length; at++) {
        const mutant = bytes.slice();
        for (let value = 0; value < 256; value++) {
          mutant[at] = value;
          legal += compare(mutant) ? 1 : 0;
        }
      }
    }
    Error.stackTraceLimit = 10;
    expect(legal).toBeGreaterThan(10_000);
  });

  test("random mutations of the vectors in one stream, split at random", { timeout: 900_000 }, () => {
    const pick = random(20_260_101);
    const seen = { complete: 0, incomplete: 0, malformed: 0 };
    const turns = exhaustive ? 300_000 : 6_000;
    for (let turn = 0; turn < turns; turn++) {
      const from = pick(all.length);
      const bytes = [...all.subarray(from < 100 ? 0 : from, all.length - pick(20))];
      for (let edits = pick(4); edits > 0; edits--) {
        const at = pick(bytes.length);
        if (pick(3) > 0) bytes[at] = pick(256);
        else if (pick(2) > 0) bytes.splice(at, 1 + pick(3));
        else bytes.splice(at, 0, pick(256));
      }
      const stream = Uint8Array.from(bytes);
      const expected = oracle(stream);
      seen[expected.end]++;
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < stream.length;) {
        const size = 1 + pick(1 + pick(60));
        pieces.push(stream.slice(at, at + size));
        at += size;
      }
      for (const way of [[stream], cut(stream, 1), pieces]) {
        const outcome = ours(way);
        if (plain(outcome) !== plain(expected)) expect(outcome, toHex(stream)).toEqual(expected);
      }
    }
    expect(Math.min(seen.complete, seen.incomplete, seen.malformed)).toBeGreaterThan(turns / 100);
  });

  test("random bytes behind every legal header", { timeout: 900_000 }, () => {
    Error.stackTraceLimit = 0;
    const pick = random(7);
    const firsts = [0x10, 0x20, 0x30, 0x31, 0x32, 0x34, 0x3b, 0x40, 0x62, 0x82, 0x90, 0xa2, 0xb0];
    for (let turn = 0; turn < (exhaustive ? 2_000_000 : 60_000); turn++) {
      const length = pick(14);
      const bytes = new Uint8Array(2 + length);
      bytes[0] = firsts[pick(firsts.length)] ?? 0;
      bytes[1] = length;
      for (let at = 2; at < bytes.length; at++) bytes[at] = telling[pick(telling.length)] ?? 0;
      // A plausible length of the first string, where there is one.
      if (pick(2) > 0 && length > 4) bytes.set([0, 1 + pick(length - 3)], pick(2) > 0 ? 2 : 4);
      compare(bytes);
    }
    Error.stackTraceLimit = 10;
  });
});
