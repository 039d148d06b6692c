/** `PacketWriter`: the client's path, in bytes; and who owns what. */
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { PacketWriter, decode, encode, type QoS } from "../../src/codec/index.js";
import { concat, hex, refusal, toHex } from "./support.js";

const written = (action: (writer: PacketWriter) => void): string => {
  const writer = new PacketWriter();
  action(writer);
  return toHex(concat(...writer.take()));
};

test("the acknowledgements and the two packets without fields [MQTT-2.3.1-6 +]", () => {
  expect(written((writer) => writer.puback(0x1234))).toBe("40021234");
  expect(written((writer) => writer.pubrec(1))).toBe("50020001");
  expect(written((writer) => writer.pubrel(65_535))).toBe("6202ffff");
  expect(written((writer) => writer.pubcomp(256))).toBe("70020100");
  expect(written((writer) => writer.pingreq())).toBe("c000");
  expect(written((writer) => writer.disconnect())).toBe("e000");
});

test("PUBLISH in plain arguments, and its size", () => {
  const writer = new PacketWriter();
  expect(writer.publish("a/b", hex("00ff"), 1, false, false, 10)).toBe(11);
  expect(writer.publish("a", "hi", 0, true, false, 0)).toBe(7);
  expect(writer.publish("a", "", 2, false, true, 7)).toBe(7);
  expect(writer.byteLength).toBe(25);
  expect(toHex(concat(...writer.take()))).toBe("32090003612f62000a00ff" + "31050001616869" + "3c05000161" + "0007");
});

test("the same topic again, others between, of every length: the same bytes as encode", () => {
  const topics = Array.from({ length: 60 }, (_, i) => "topic/é/".repeat(8).slice(0, i + 1));
  topics.push("x".repeat(4_095), "x".repeat(4_096), "x".repeat(4_097), "y".repeat(4_096));
  const writer = new PacketWriter();
  const expected: Uint8Array[] = [];
  for (const topic of [...topics, ...[...topics].reverse()]) {
    for (let i = 0; i < 3; i++) {
      writer.publish(topic, "p", 1, false, false, 1);
      expected.push(encode({ type: "publish", topic, payload: "p", qos: 1, packetId: 1 }));
    }
  }
  expect(toHex(concat(...writer.take()))).toBe(toHex(concat(...expected)));
});

test("a refused PUBLISH changes nothing, and the topic before it is still right", () => {
  const writer = new PacketWriter();
  writer.publish("some/topic/name", "1", 0, false, false, 0);
  const bad: Parameters<PacketWriter["publish"]>[] = [
    ["a/#", "", 0, false, false, 0],
    ["", "", 0, false, false, 0],
    [undefined as never, "", 0, false, false, 0],
    ["some/topic/name", "", 3 as QoS, false, false, 1],
    ["some/topic/name", "", 1, false, false, 0],
    ["some/topic/name", "", 0, false, false, 5],
    ["some/topic/name", "", 0, false, true, 0],
    ["some/topic/name", "", 0, 1 as never, false, 0],
    ["some/topic/name", "", 0, false, 0 as never, 0],
    ["some/topic/name", 5 as never, 0, false, false, 0],
    ["some/topic/name", "\ud800", 0, false, false, 0],
  ];
  for (const args of bad) expect(refusal(() => writer.publish(...args)).code).toBe("ERR_INVALID_PACKET");
  for (const id of [0, -1, 65_536, 1.5, "1" as never]) {
    for (const method of ["puback", "pubrec", "pubrel", "pubcomp"] as const) {
      expect(refusal(() => writer[method](id)).code).toBe("ERR_INVALID_PACKET");
    }
  }
  writer.publish("some/topic/name", "2", 0, false, false, 0);
  const one = "3012000f" + toHex(Buffer.from("some/topic/name")) + "31";
  expect(toHex(concat(...writer.take()))).toBe(one + one.slice(0, -2) + "32");
});

test("what take gave away is never written again, nor what encode returned", () => {
  const writer = new PacketWriter();
  const taken: Uint8Array[] = [];
  const copies: string[] = [];
  for (let i = 0; i < 3_000; i++) {
    writer.publish("topic/of/it", new Uint8Array(i % 90).fill(i), 1, false, false, 1 + i);
    if (i % 7 === 0) for (const bytes of writer.take()) (taken.push(bytes), copies.push(toHex(bytes)));
    const encoded = encode({ type: "publish", topic: "e", payload: new Uint8Array(i % 90).fill(i) });
    taken.push(encoded);
    copies.push(toHex(encoded));
  }
  expect(taken.map(toHex)).toEqual(copies);
});

test("small packets between two takes leave in one piece", () => {
  const writer = new PacketWriter();
  writer.packet({ type: "connect", clientId: "c" });
  for (let i = 1; i < 60; i++) writer.puback(i);
  expect(writer.take().length).toBe(1);
});

test("a packet that ends where a piece of memory does, or does not quite fit into it", () => {
  for (let left = 0; left < 12; left++) {
    for (const packet of [
      { type: "puback", packetId: 0x0102 },
      { type: "pingreq" },
      { type: "unsuback", packetId: 3 },
      { type: "publish", topic: "a", payload: hex("07"), qos: 1, packetId: 9 },
    ] as const) {
      const writer = new PacketWriter();
      // The first piece has 256 bytes.
      const filler = { type: "publish", topic: "t", payload: new Uint8Array(256 - 6 - left).fill(5) } as const;
      writer.packet(filler);
      expect(writer.byteLength).toBe(256 - left);
      for (let i = 0; i < 3; i++) writer.packet(packet);
      const expected = concat(encode(filler), encode(packet), encode(packet), encode(packet));
      expect(toHex(concat(...writer.take()))).toBe(toHex(expected));
    }
  }
});

test.each([
  [[1, true, 5, 1], "dup must be a boolean"],
  [[1, "yes", false, 1], "retain must be a boolean"],
  [[2, false, false, 0], "packetId 0 (MQTT-2.3.1-1)"],
  [[3, false, false, 1], "qos must be an integer from 0 to 2 (MQTT-3.3.1-4)"],
  [[0, false, true, 0], "DUP with QoS 0 (MQTT-3.3.1-2)"],
  [[0, false, false, 7], "packetId with QoS 0 (MQTT-2.3.1-5)"],
])("%o is no PUBLISH, and the message says why", ([qos, retain, dup, packetId], message) => {
  const writer = new PacketWriter();
  const call = () => writer.publish("t", "", qos as QoS, retain as boolean, dup as boolean, packetId as number);
  expect(refusal(call).message).toBe(message);
});

test("output grows over many pieces of memory, in order", () => {
  const writer = new PacketWriter();
  const expected: Uint8Array[] = [];
  let size = 0;
  for (let i = 0; i < 400; i++) {
    const payload = new Uint8Array((i * 97) % 3_000).fill(i);
    size += writer.publish("t", payload, 0, false, false, 0);
    expected.push(encode({ type: "publish", topic: "t", payload }));
  }
  expect(writer.byteLength).toBe(size);
  expect(Buffer.compare(concat(...writer.take()), concat(...expected))).toBe(0);
});

test.each([16_383, 16_384, 100_000])("a payload of %i bytes: lent from 16 KiB on, by publish alone", (size) => {
  const payload = new Uint8Array(size).fill(9);
  const writer = new PacketWriter();
  writer.pingreq();
  const length = writer.publish("t", payload, 1, false, false, 2);
  writer.pingreq();
  expect(writer.byteLength).toBe(length + 4);
  const pieces = writer.take();
  expect(pieces.includes(payload)).toBe(size >= 16_384);
  const packet = { type: "publish", topic: "t", payload, qos: 1, packetId: 2 } as const;
  const expected = concat(hex("c000"), encode(packet), hex("c000"));
  expect(Buffer.compare(concat(...pieces), expected)).toBe(0);
  writer.packet(packet);
  expect(writer.take().includes(payload)).toBe(false);
  const text = "x".repeat(size);
  expect(writer.publish("t", text, 0, false, false, 0)).toBeGreaterThan(size);
  expect(toHex(concat(...writer.take()).subarray(-3))).toBe("787878");
});

test("encode keeps no large memory for later packets", () => {
  const large = encode({ type: "publish", topic: "t", payload: new Uint8Array(1 << 20) });
  const small = encode({ type: "pingreq" });
  expect(small.buffer).not.toBe(large.buffer);
  expect(small.buffer.byteLength).toBeLessThan(1 << 17);
});

test("fields are read once: an object that changes its mind can't make an illegal packet", () => {
  let reads = 0;
  const packet = {
    type: "unsubscribe" as const,
    packetId: 1,
    topicFilters: new Proxy(["a"], {
      get(target, key, receiver) {
        if (key === "0") return reads++ === 0 ? "a" : "a\0#";
        return Reflect.get(target, key, receiver) as unknown;
      },
    }),
  };
  expect(toHex(encode(packet))).toBe("a205000100" + "0161");
});

test("a payload that only looks like bytes is refused; one that was transferred away is empty", () => {
  const writer = new PacketWriter();
  const fake = Object.create(Uint8Array.prototype) as Uint8Array;
  expect(refusal(() => writer.publish("t", fake, 0, false, false, 0)).code).toBe("ERR_INVALID_PACKET");
  expect(refusal(() => encode({ type: "publish", topic: "t", payload: fake })).code).toBe("ERR_INVALID_PACKET");
  const gone = hex("0102");
  structuredClone(gone, { transfer: [gone.buffer as ArrayBuffer] });
  writer.publish("t", gone, 0, false, false, 0);
  expect(toHex(concat(...writer.take()))).toBe("3003000174");
});

test("a payload is as long as its bytes, whatever its own length says", () => {
  class Lie extends Uint8Array {
    override get length(): number {
      return 1000;
    }
  }
  const payload = new Lie([1, 2]);
  expect([...encode({ type: "publish", topic: "t", payload })]).toEqual([0x30, 5, 0, 1, 0x74, 1, 2]);
});

/** What passes for a Uint8Array at a glance, and is longer or shorter than it says. */
const impostors: [string, () => unknown][] = [
  ["numbers under its prototype", () => Object.setPrototypeOf(new Float64Array(16), Uint8Array.prototype)],
  [
    "numbers under its name",
    () =>
      new (class extends Float64Array {
        override get [Symbol.toStringTag](): never {
          return "Uint8Array" as never;
        }
      })(16),
  ],
  [
    "large integers under its name",
    () =>
      new (class extends BigUint64Array {
        override get [Symbol.toStringTag](): never {
          return "Uint8Array" as never;
        }
      })(4),
  ],
  ["a view under its prototype", () => Object.setPrototypeOf(new DataView(new ArrayBuffer(8)), Uint8Array.prototype)],
];

test.each(impostors)("%s are no payload, and leave the output as it was", (_title, make) => {
  const payload = make() as Uint8Array;
  const writer = new PacketWriter();
  expect(refusal(() => writer.publish("t", payload, 0, false, false, 0)).code).toBe("ERR_INVALID_PACKET");
  expect(refusal(() => encode({ type: "publish", topic: "t", payload })).code).toBe("ERR_INVALID_PACKET");
  expect(refusal(() => decode(payload)).code).toBe("ERR_INVALID_ARGUMENT");
  writer.pingreq();
  expect(toHex(concat(...writer.take(), encode({ type: "pingreq" })))).toBe("c000c000");
});

test("a password and a will are as long as their bytes, whatever their own length says", () => {
  class Lie extends Uint8Array {
    override get length(): number {
      return 1000;
    }
    override valueOf(): never {
      return "other" as never;
    }
  }
  const bytes = encode({
    type: "connect",
    clientId: "c",
    username: "u",
    password: new Lie([1, 2]),
    will: { topic: "w", payload: new Lie([3]) },
  });
  const expected = "101a 00044d515454 04c6003c 000163 000177 000103 000175 00020102";
  expect(toHex(bytes)).toBe(expected.replaceAll(" ", ""));
});

test("a lent payload counts as long as it is", () => {
  class Lie extends Uint8Array {
    override get length(): number {
      throw new Error("nobody asks");
    }
  }
  const writer = new PacketWriter();
  const size = writer.publish("t", new Lie(20_000), 0, false, false, 0);
  expect([size, writer.byteLength]).toEqual([20_007, 20_007]);
});

test.each([1n, Symbol("one"), { valueOf: () => 1 }, "1", null, undefined, 1.5, 0, 65_536])(
  "%o is no packet identifier",
  (packetId) => {
    const writer = new PacketWriter();
    for (const call of [
      () => writer.puback(packetId as never),
      () => writer.publish("t", "", 1, false, false, packetId as never),
      () => encode({ type: "pubrel", packetId: packetId as never }),
    ]) {
      expect(refusal(call).code).toBe("ERR_INVALID_PACKET");
    }
    expect(writer.byteLength).toBe(0);
  },
);

test("whatever a getter of the packet throws, the packet is invalid", () => {
  const thrown = refusal(() => decode(hex("00")));
  const packet = {
    type: "puback" as const,
    get packetId(): number {
      throw thrown;
    },
  };
  expect(refusal(() => encode(packet)).code).toBe("ERR_INVALID_PACKET");
});

test("bytes of another realm are bytes", () => {
  const bytes = runInNewContext("Uint8Array.of(0x30, 5, 0, 1, 0x74, 1, 2)") as Uint8Array;
  expect(bytes).not.toBeInstanceOf(Uint8Array);
  expect(decode(bytes)).toMatchObject({ type: "publish", topic: "t" });
  const payload = runInNewContext("Uint8Array.of(1, 2)") as Uint8Array;
  expect([...encode({ type: "publish", topic: "t", payload })]).toEqual([0x30, 5, 0, 1, 0x74, 1, 2]);
});
