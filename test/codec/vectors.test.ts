/** Every packet type in literal bytes, both directions, whole and split everywhere. */
import { describe, expect, test } from "vitest";
import { PacketReader, PacketWriter, decode, type Packet } from "../../src/codec/index.js";
import { calls, concat, cut, read, encode } from "./support.js";
import { vectors } from "./vectors.js";

const all = concat(...vectors.map(({ bytes }) => bytes));
const packets = vectors.map(({ packet }) => packet);

test("the vectors hold all fourteen types", () => {
  expect(new Set(packets.map(({ type }) => type)).size).toBe(14);
});

describe.each(vectors)("$name", ({ bytes, packet }) => {
  test("decodes", () => {
    expect(decode(bytes)).toStrictEqual(packet);
    expect(decode(Buffer.from(bytes))).toStrictEqual(packet);
  });

  test("encodes", () => {
    expect(encode(packet)).toStrictEqual(bytes);
    const writer = new PacketWriter();
    writer.packet(packet);
    expect(writer.byteLength).toBe(bytes.length);
    expect(concat(...writer.take())).toStrictEqual(bytes);
    expect(writer.byteLength).toBe(0);
    expect(writer.take()).toEqual([]);
  });

  test("comes out the same when split at any point", () => {
    for (let at = 0; at <= bytes.length; at++) {
      expect(read([bytes.slice(0, at), bytes.slice(at)])).toStrictEqual({
        packets: [packet],
        error: undefined,
      });
    }
  });

  test("comes out the same when split at any two points", () => {
    for (let a = 0; a < bytes.length; a += bytes.length > 40 ? 7 : 1) {
      for (let b = a; b < bytes.length; b += bytes.length > 40 ? 5 : 1) {
        const outcome = read([bytes.slice(0, a), bytes.slice(a, b), bytes.slice(b)]);
        expect(outcome).toStrictEqual({ packets: [packet], error: undefined });
      }
    }
  });

  test("is incomplete without its last byte and too long with one more", () => {
    expect(() => decode(bytes.slice(0, -1))).toThrow(/incomplete/);
    expect(() => decode(concat(bytes, Uint8Array.of(0xc0)))).toThrow(/after the packet/);
  });
});

test("all of them in one stream, in pieces of any size", () => {
  for (let size = 1; size <= all.length; size++) {
    expect(read(cut(all, size)), `pieces of ${size}`).toStrictEqual({ packets, error: undefined });
  }
});

test("all of them in one stream, split at every point", () => {
  for (let at = 0; at <= all.length; at++) {
    expect(read([all.slice(0, at), all.slice(at)]).packets).toStrictEqual(packets);
  }
});

test("the sink gets plain arguments, in order, whole or byte by byte", () => {
  const expected = packets.map((packet: Packet): unknown[] => {
    switch (packet.type) {
      case "connect":
        return ["connect", packet];
      case "connack":
        return ["connack", packet.sessionPresent, packet.returnCode];
      case "publish": {
        const { topic, payload, qos, retain, dup, packetId = 0 } = packet;
        return ["publish", topic, payload, qos, retain, dup, packetId];
      }
      case "subscribe":
        return ["subscribe", packet.packetId, packet.subscriptions];
      case "suback":
        return ["suback", packet.packetId, packet.returnCodes];
      case "unsubscribe":
        return ["unsubscribe", packet.packetId, packet.topicFilters];
      case "pingreq":
      case "pingresp":
      case "disconnect":
        return [packet.type];
      default:
        return [packet.type, packet.packetId];
    }
  });
  expect(calls([all])).toStrictEqual(expected);
  expect(calls(cut(all, 1))).toStrictEqual(expected);
});

test("one stream twice through one reader", () => {
  const seen: Packet[] = [];
  const reader = new PacketReader((packet) => seen.push(packet));
  reader.push(all.slice());
  for (const piece of cut(all, 3)) reader.push(piece);
  expect(seen).toStrictEqual([...packets, ...packets]);
});
