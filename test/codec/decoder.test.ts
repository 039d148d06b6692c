/** Framing, ownership of memory, limits and errors of `Decoder` and `PacketReader`. */
import { describe, expect, test } from "vitest";
import {
  Decoder,
  MAX_PACKET_SIZE,
  PacketReader,
  decode,
  encode,
  type Packet,
  type PacketSink,
} from "../../src/codec/index.js";
import { concat, cut, hex, read, refusal } from "./support.js";

/** A remaining length of three bytes. */
const threeBytes = (length: number) =>
  Uint8Array.of((length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14);
const puback = (packetId: number) => ({ type: "puback", packetId }) as const;
const publish = (topic: string, payload: Uint8Array) => encode({ type: "publish", topic, payload }).slice();

/** The payloads that a reader delivers, as it delivers them. */
function payloads(pieces: readonly Uint8Array[]): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new PacketReader((packet) => {
    if (packet.type === "publish") found.push(packet.payload);
  });
  for (const piece of pieces) reader.push(piece);
  return found;
}

describe("ownership", () => {
  test("a payload inside one chunk is a view of it, at any offset of its buffer", () => {
    const outer = concat(hex("ff ff ff"), hex("30 05 0001 61 0102"), hex("ff"));
    const chunk = outer.subarray(3, 10);
    const [payload] = payloads([chunk]);
    expect(payload).toStrictEqual(hex("0102"));
    expect(payload?.buffer).toBe(outer.buffer);
    expect(payload?.byteOffset).toBe(8);
    expect(decode(chunk)).toMatchObject({ payload: hex("0102") });
  });

  test("a payload of a Buffer is a plain Uint8Array", () => {
    const [payload] = payloads([Buffer.from("300500016101" + "02", "hex")]);
    expect(Object.getPrototypeOf(payload)).toBe(Uint8Array.prototype);
  });

  test.each([3, 1_000, 70_000])("a split packet of %i bytes has memory of its own, never written again", (size) => {
    const bytes = publish("topic", new Uint8Array(size).fill(1));
    const found: Uint8Array[] = [];
    const reader = new PacketReader((packet) => packet.type === "publish" && found.push(packet.payload));
    for (let i = 0; i < 40; i++) {
      for (const piece of cut(bytes, Math.ceil(bytes.length / 3))) {
        reader.push(piece);
        piece.fill(0xee);
      }
    }
    expect(found.length).toBe(40);
    for (const payload of found) expect(payload.length === size && payload.every((byte) => byte === 1)).toBe(true);
    const spans = found.map(({ buffer, byteOffset }) => ({ buffer, byteOffset }));
    for (const [i, a] of spans.entries()) {
      for (const b of spans.slice(0, i)) {
        expect(a.buffer !== b.buffer || Math.abs(a.byteOffset - b.byteOffset) >= size).toBe(true);
      }
    }
  });

  test("a delivered topic does not change with its chunk", () => {
    const chunk = publish("first/topic/of/it", hex(""));
    const topics: string[] = [];
    const reader = new PacketReader((packet) => packet.type === "publish" && topics.push(packet.topic));
    reader.push(chunk);
    chunk.fill(0x41, 4);
    reader.push(publish("first/topic/of/it", hex("")));
    expect(topics).toEqual(["first/topic/of/it", "first/topic/of/it"]);
  });
});

describe("errors", () => {
  test("all packets before the bad one are delivered, and nothing after it", () => {
    const { packets, error } = read([hex("40020001 40020002 40020000 40020003")]);
    expect(packets).toEqual([puback(1), puback(2)]);
    expect(error?.statement).toBe("MQTT-2.3.1-1");
  });

  test("every later push throws the same error and delivers nothing", () => {
    const packets: Packet[] = [];
    const reader = new PacketReader((packet) => packets.push(packet));
    const first = refusal(() => reader.push(hex("00")));
    expect(refusal(() => reader.push(hex("d000")))).toBe(first);
    expect(refusal(() => reader.push(hex("")))).toBe(first);
    expect(refusal(() => reader.push("x" as never))).toBe(first);
    expect(packets).toEqual([]);
  });

  test("an illegal first byte, flag or length is refused before the rest of the packet is there", () => {
    for (const digits of ["00", "f0", "41", "36", "38", "4003", "c001", "2080 01", "ffffffff", "30ffffffff"]) {
      expect(read([hex(digits)]).error?.code, digits).toBe("ERR_MALFORMED_PACKET");
      expect(read(cut(hex(digits), 1)).error?.code, digits).toBe("ERR_MALFORMED_PACKET");
    }
  });

  test("what a sink's method throws comes out of this push and every later one", () => {
    const thrown = new RangeError("from the sink");
    let heard = 0;
    const decoder = new Decoder({
      puback: () => {
        heard++;
        throw thrown;
      },
    });
    for (let i = 0; i < 2; i++) expect(() => decoder.push(hex("40020001 40020002"))).toThrow(thrown);
    expect(heard).toBe(1);
    const nothing = new PacketReader(() => {
      throw undefined;
    });
    let caught = 0;
    for (let i = 0; i < 2; i++) {
      try {
        nothing.push(hex("d000"));
      } catch {
        caught++;
      }
    }
    expect(caught).toBe(2);
  });

  test("push from inside a sink's method is refused", () => {
    const decoder: Decoder = new Decoder({ pingresp: () => decoder.push(hex("d000")) });
    const error = refusal(() => decoder.push(hex("d000")));
    expect([error.code, error.message]).toEqual(["ERR_INVALID_ARGUMENT", "push from inside a sink method"]);
  });

  test("a chunk that is no Uint8Array is refused, and the stream goes on", () => {
    const packets: Packet[] = [];
    const reader = new PacketReader((packet) => packets.push(packet));
    reader.push(hex("40"));
    const heir = Object.create(Uint8Array.prototype);
    const proxy = new Proxy(new Uint8Array(2), {});
    const gone = Proxy.revocable({}, {});
    gone.revoke();
    const others = [undefined, null, "d000", [0xd0, 0], new ArrayBuffer(2), new Uint16Array(2), {}, 5];
    for (const bad of [...others, heir, proxy, gone.proxy]) {
      expect(refusal(() => reader.push(bad as never)).code).toBe("ERR_INVALID_ARGUMENT");
      expect(refusal(() => decode(bad as never)).code).toBe("ERR_INVALID_ARGUMENT");
    }
    reader.push(hex("020001"));
    expect(packets).toEqual([puback(1)]);
  });

  test("decode: nothing, too little, too much", () => {
    for (const digits of ["", "d0", "3080", "40020001 00", "d000 d000"]) {
      expect(refusal(() => decode(hex(digits))).code).toBe("ERR_MALFORMED_PACKET");
    }
  });
});

describe("arguments", () => {
  test.each([0, 1, -5, NaN, "10", null, {}, 1n])("maxPacketSize %o is refused", (maxPacketSize) => {
    const options = { maxPacketSize } as never;
    expect(refusal(() => new Decoder({}, options)).code).toBe("ERR_INVALID_ARGUMENT");
    expect(refusal(() => new PacketReader(() => {}, options)).code).toBe("ERR_INVALID_ARGUMENT");
  });

  test.each([2, 1e9, Infinity, undefined])("maxPacketSize %o is taken", (maxPacketSize) => {
    const packets: Packet[] = [];
    new PacketReader((packet) => packets.push(packet), { maxPacketSize }).push(hex("c000"));
    expect(packets).toEqual([{ type: "pingreq" }]);
  });

  test("an option that does not exist is refused, and the one that does is named", () => {
    const unreadable = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error("no");
        },
      },
    );
    for (const options of [{ maxPacketsize: 5 }, { maxPacketSize: 5, max: 5 }, unreadable] as never[]) {
      expect(refusal(() => new Decoder({}, options)).code).toBe("ERR_INVALID_ARGUMENT");
      expect(refusal(() => new PacketReader(() => {}, options)).code).toBe("ERR_INVALID_ARGUMENT");
    }
    expect(refusal(() => new Decoder({}, { max: 5 } as never)).message).toBe("there is no option but maxPacketSize");
  });

  test.each([null, 5, "x", true])("options %o are refused", (options) => {
    expect(refusal(() => new Decoder({}, options as never)).code).toBe("ERR_INVALID_ARGUMENT");
  });

  test.each([undefined, null, 5, "x", { publish: 5 }, { disconnect: null }, { connect: {} }])(
    "%o as a sink is refused",
    (sink) => {
      expect(refusal(() => new Decoder(sink as never)).code).toBe("ERR_INVALID_ARGUMENT");
    },
  );

  test.each([undefined, null, {}, "x"])("%o as onPacket is refused", (onPacket) => {
    expect(refusal(() => new PacketReader(onPacket as never)).code).toBe("ERR_INVALID_ARGUMENT");
  });

  test("a sink may be of a class, and its methods use this", () => {
    class Counter implements PacketSink {
      count = 0;
      puback(packetId: number): void {
        this.count += packetId;
      }
      pingresp(): void {
        this.count += 1000;
      }
    }
    const counter = new Counter();
    const decoder = new Decoder(counter);
    decoder.push(hex("40020007 d000 c000 40020008"));
    expect(counter.count).toBe(1015);
  });
});

describe("limits", () => {
  test("maxPacketSize counts the whole packet, and is checked at the header", () => {
    const bytes = publish("a", new Uint8Array(10));
    expect(bytes.length).toBe(15);
    expect(read([bytes], { maxPacketSize: 15 }).packets.length).toBe(1);
    for (const pieces of [[bytes], cut(bytes, 1), [bytes.slice(0, 2)]]) {
      const { packets, error } = read(pieces, { maxPacketSize: 14 });
      expect(packets).toEqual([]);
      expect(error).toEqual({
        code: "ERR_PACKET_TOO_LARGE",
        statement: undefined,
        message: "publish of 15 bytes; maxPacketSize is 14",
      });
    }
  });

  test("a short packet over the limit is refused too", () => {
    expect(read([hex("40020001")], { maxPacketSize: 3 }).error?.code).toBe("ERR_PACKET_TOO_LARGE");
    expect(read([hex("40020001")], { maxPacketSize: 4 }).packets).toEqual([puback(1)]);
  });

  test("256 MB declared and nothing sent: refused at the header, or no memory taken for it", () => {
    const header = hex("30 ff ff ff 7f 0001 61");
    expect(read([header], { maxPacketSize: MAX_PACKET_SIZE - 1 }).error?.code).toBe("ERR_PACKET_TOO_LARGE");
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 50 }, () => new PacketReader(() => {}));
    for (const reader of readers) reader.push(header);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 << 20);
    // Also for the types that are never that long.
    for (const digits of ["40 ff ff ff 7f", "d0 ff ff ff 7f", "20 80 80 80 01", "b0 80 80 01"]) {
      expect(read([hex(digits)]).error?.code).toBe("ERR_MALFORMED_PACKET");
    }
  });

  test("a SUBACK of a million codes and one more", () => {
    const codes = (count: number) => concat(hex("90"), threeBytes(count + 2), hex("0001"), new Uint8Array(count));
    const most = 1_048_576;
    const { packets } = read([codes(most)]);
    expect(packets[0]?.type === "suback" && packets[0].returnCodes.length).toBe(most);
    expect(read([codes(most + 1)]).error?.code).toBe("ERR_PACKET_TOO_LARGE");
  });

  test.each([1_460, 65_536, 3 << 20])("a 20 MiB packet in chunks of %i takes its size and 8 MiB at most", (size) => {
    const bytes = publish("topic", new Uint8Array(20 << 20).fill(3));
    let delivered = 0;
    let peak = 0;
    const reader = new PacketReader((packet) => {
      if (packet.type === "publish") delivered = packet.payload.length;
      expect(packet.type === "publish" && packet.payload[0] === 3 && packet.payload.at(-1) === 3).toBe(true);
    });
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );
    globalThis.gc?.();
    const before = process.memoryUsage().arrayBuffers;
    for (const [i, piece] of pieces.entries()) {
      reader.push(piece);
      if (i % 64 === 0 || size > 65_536) peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
    }
    expect(delivered).toBe(20 << 20);
    expect(peak).toBeLessThanOrEqual(bytes.length + (8 << 20));
  });

  test.each([1_023, 1_024, 1_025, 65_535, 65_536, 65_537, 300_000])("a packet of %i bytes, byte by byte", (size) => {
    const header = size > 16_384 + 3 ? 4 : 3;
    const payload = Uint8Array.from({ length: size - header - 3 }, (_, i) => i);
    const bytes = publish("t", payload);
    expect(bytes.length).toBe(size);
    const [whole] = payloads(cut(bytes, 1));
    expect(Buffer.compare(whole ?? hex(""), payload)).toBe(0);
    const halves = payloads([
      bytes.slice(0, size - 1),
      concat(bytes.slice(size - 1), bytes.slice(0, 1)),
      bytes.slice(1),
    ]);
    expect(halves.map((half) => Buffer.compare(half, payload))).toEqual([0, 0]);
  });

  test("split packets of many sizes, one after the other, do not disturb each other", () => {
    const sizes = Array.from({ length: 200 }, (_, i) => (i * 37) % 1_200);
    const stream = concat(...sizes.map((size, i) => publish(`t/${i}`, new Uint8Array(size).fill(i))));
    for (const size of [1, 7, 100, 1_000]) {
      const found = payloads(cut(stream, size));
      expect(found.map(({ length }) => length)).toEqual(sizes);
      expect(found.every((payload, i) => payload.every((byte) => byte === (i & 0xff)))).toBe(true);
    }
  });
});

describe("chunks of any size", () => {
  /** Packets around the sizes at which the decoder keeps them in other memory. */
  const sizes = [0, 1, 17, 300, 1_000, 1_010, 1_020, 1_030, 2_030, 2_050, 5_000, 16_400, 70_000];
  const order = Array.from({ length: 75 }, (_, i) => sizes[(i * 7 + ((i * i) >> 3)) % sizes.length]!);
  const packets = order.map((size, i) => {
    if (i % 5 > 0) return publish(`t/${i}`, new Uint8Array(size).fill(i));
    const password = new Uint8Array(size & 0x3ff).fill(i);
    return encode({ type: "connect", clientId: `c${i}`, username: "u", password }).slice();
  });
  /** The last field of a packet, as `decode` delivers it. */
  const last = (packet: Packet) =>
    (packet.type === "publish" ? packet.payload : packet.type === "connect" && packet.password) || hex("");
  const stream = concat(...packets);
  /** Where each packet's payload or password, its last field, ends. */
  const ends = packets.map(
    (
      (sum) =>
      ({ length }) =>
        (sum += length)
    )(0),
  );

  const edges = [1, 2, 5, 256, 257, 1_023, 1_024, 1_025, 1_460, 2_047, 2_048, 2_049, 4_096, 20_000];
  const patterns = [
    ...edges.map((size) => ({ title: `${size}`, sizeOf: () => size })),
    { title: "sizes that change", sizeOf: (i: number) => edges[(i * 5 + (i >> 2)) % edges.length]! },
    { title: "long and short ones in turn", sizeOf: (i: number) => (i % 2 === 0 ? 9_000 : 1 + (i % 700)) },
    { title: "short ones, then longer and longer", sizeOf: (i: number) => 1 + 13 * i },
  ];

  test.each(patterns)("$title: views of one chunk, or memory that nobody writes again", (pattern) => {
    const chunks: { start: number; end: number; memory: Uint8Array }[] = [];
    for (let at = 0; at < stream.length;) {
      const memory = stream.slice(at, at + pattern.sizeOf(chunks.length));
      chunks.push({ start: at, end: at + memory.length, memory });
      at += memory.length;
    }
    const found: Uint8Array[] = [];
    const reader = new PacketReader((packet) => found.push(last(packet)));
    for (const { memory } of chunks) reader.push(memory);
    const expected = packets.map((packet) => last(decode(packet)));
    const differ = () => found.findIndex((bytes, i) => Buffer.compare(bytes, expected[i]!) !== 0);
    expect([found.length, differ()]).toEqual([packets.length, -1]);
    const split: Uint8Array[] = [];
    let at = 0;
    for (const [i, bytes] of found.entries()) {
      const end = ends[i]!;
      const start = end - packets[i]!.length;
      while (chunks[at]!.end <= start) at++;
      const home = chunks[at]!;
      if (end > home.end) split.push(bytes);
      else {
        expect(bytes.buffer).toBe(home.memory.buffer);
        expect(bytes.byteOffset).toBe(home.memory.byteOffset + end - bytes.length - home.start);
      }
    }
    // Nobody else has a byte of a packet that was split.
    const copies = split.map((bytes) => bytes.slice());
    for (const { memory } of chunks) memory.fill(0xee);
    for (const [i, bytes] of split.entries()) {
      bytes.fill(0xdd);
      const next = split[i + 1];
      if (next !== undefined) expect(Buffer.compare(next, copies[i + 1]!)).toBe(0);
    }
    expect(split.every((bytes) => Object.getPrototypeOf(bytes) === Uint8Array.prototype)).toBe(true);
    expect(split.every((bytes) => bytes.every((byte) => byte === 0xdd))).toBe(true);
  });
});

describe("chunks of classes of their own", () => {
  const long = publish("a", new Uint8Array(2_990).fill(1));
  const stream = concat(long, hex("40020001"), publish("b", hex("0203")));

  test("a class that can't be made from a buffer", () => {
    class Named extends Uint8Array {
      constructor(name: string, bytes: Uint8Array) {
        if (typeof name !== "string") throw new Error("a name first");
        super(bytes);
      }
    }
    for (const size of [1, 900, 2_500, 5_000]) {
      const pieces = cut(stream, size).map((bytes) => new Named("chunk", bytes));
      expect(read(pieces)).toEqual(read([stream]));
    }
  });

  test("a class that lies about its length", () => {
    class Lie extends Uint8Array {
      override get length(): number {
        return 60;
      }
    }
    expect(read([new Lie(hex("40020001"))]).packets).toEqual([puback(1)]);
    expect(decode(new Lie(hex("40020001")))).toEqual(puback(1));
  });
});

describe("memory that a consumer transfers away", () => {
  const packet = publish("topic/of/it", hex("0102"));
  const pieces = [packet.slice(0, 9), concat(packet.slice(9), packet, hex("40020007"))];
  const transfer = (bytes: Uint8Array) => structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });

  test("a split packet's, while its chunk has more", () => {
    const packets: Packet[] = [];
    const reader = new PacketReader((item) => {
      packets.push(item);
      if (packets.length === 1 && item.type === "publish") transfer(item.payload);
    });
    for (const piece of [...pieces, ...pieces]) reader.push(piece);
    const turn = ["publish", "publish", "puback"];
    expect(packets.map(({ type }) => type)).toEqual([...turn, ...turn]);
  });

  test("with it the beginning of another: nothing more is delivered, and the caller is told", () => {
    const found: Uint8Array[] = [];
    const reader = new PacketReader((item) => item.type === "publish" && found.push(item.payload));
    for (const piece of [packet.slice(0, 9), concat(packet.slice(9), packet.slice(0, 9))]) reader.push(piece);
    transfer(found[0]!);
    expect(refusal(() => reader.push(packet.slice(9))).code).toBe("ERR_INVALID_ARGUMENT");
    expect(found.length).toBe(1);
  });
});
