/** The bytes of a store's file: those that devices have on their disks, by an encoder of the test's own. */
import { describe, expect, test } from "vitest";
import {
  encodeRecord,
  fileHead,
  MAX_BODY,
  MAX_KEY,
  type Place,
  readFileHead,
  RecordReader,
} from "../../src/client/store/records.js";
import { seeded } from "../support/random.js";
import { SimulatedDisk } from "./simulated-disk.js";

const SALT = 0x89abcdef;

/** CRC-32 of IEEE 802.3, bit by bit. */
function crc(bytes: Uint8Array, from = 0): number {
  let value = ~from >>> 0;
  for (const byte of bytes) {
    value = (value ^ byte) >>> 0;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? ((value >>> 1) ^ 0xedb88320) >>> 0 : value >>> 1;
  }
  return ~value >>> 0;
}

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, at) => Math.floor(value / 2 ** (8 * at)) % 256);

function record(at: number, key: number, body: Uint8Array | undefined, salt = SALT): Buffer {
  const head = [...little(body ? body.length : 0xffffffff, 4), ...little(key, 6)];
  const start = (salt ^ (at % 2 ** 32) ^ Math.floor(at / 2 ** 32)) >>> 0;
  const check = crc(Uint8Array.from(head), start);
  return Buffer.from([...head, ...little(check, 4), ...(body ? [...body, ...little(crc(body, check), 4)] : [])]);
}

function head(salt = SALT): Buffer {
  const start = Buffer.concat([Buffer.from("hubwire2"), Buffer.from(little(salt, 4))]);
  return Buffer.concat([start, Buffer.from(little(crc(start), 4))]);
}

/** A disk with these bytes, and who reads them. */
function reading(...pieces: Uint8Array[]) {
  const disk = new SimulatedDisk(seeded(1), 4096);
  const file = disk.open("f");
  const all = Buffer.concat(pieces);
  for (let done = 0; done < all.length;) done += disk.write(file, all.subarray(done), done);
  disk.calls.clear();
  return { disk, file, size: all.length, reader: new RecordReader(disk, file, SALT) };
}

const text = Buffer.from("hello");
const filled = (length: number): Uint8Array => Uint8Array.from({ length }, (_, at) => at * 7);

describe("written", () => {
  test("as they are documented, byte by byte", () => {
    expect(fileHead(SALT)).toEqual(head());
    expect(head().toString("hex")).toBe("6875627769726532efcdab893f5d5962");
    for (const at of [16, 0xfffffff0, 2 ** 32 + 5, 2 ** 40 + 2 ** 33 + 1])
      for (const key of [1, 65_536, 2 ** 40 + 3, MAX_KEY])
        for (const body of [undefined, new Uint8Array(0), text, filled(300)])
          expect(encodeRecord(SALT, at, key, body), `${at} ${key}`).toEqual(record(at, key, body));
    expect(MAX_BODY).toBe(0xfffffffe);
  });
});

describe("the head of a file", () => {
  const changed = (...ats: number[]): Buffer => {
    const bytes = head();
    for (const at of ats) bytes[at]! ^= 1;
    return bytes;
  };
  const zeros = (from: number, to = 16): Buffer => head().fill(0, from, to);

  test.each<[string, Buffer, number, unknown]>([
    ["whole", head(), 16, { salt: SALT }],
    ["whole, with records", head(), 500, { salt: SALT }],
    ["nothing", Buffer.alloc(0), 0, "new"],
    ["its beginning", head().subarray(0, 5), 5, "new"],
    ["its beginning, and zeros", zeros(3).subarray(0, 12), 12, "new"],
    ["another beginning", Buffer.from("hubwire1").subarray(0, 8), 8, "foreign"],
    ["zeros", Buffer.alloc(16), 16, "new"],
    ["half of it, and zeros", zeros(8), 16, "new"],
    ["half of it behind zeros", zeros(0, 8), 16, "new"],
    ["the same, with records behind it", zeros(0, 8), 17, "damaged"],
    ["another salt", changed(8), 500, "damaged"],
    ["another check", changed(15), 500, "damaged"],
    ["another mark", changed(0), 500, "damaged"],
    ["another mark, alone", changed(7), 16, "damaged"],
    ["another mark and salt", changed(0, 9), 500, "foreign"],
    ["zeros in front of records", Buffer.alloc(16), 500, "damaged"],
    ["bytes with a zero among them", Buffer.from("a note\0of 16 byt"), 500, "foreign"],
    ["text", Buffer.from("a note of 16 byt"), 500, "foreign"],
  ])("%s", (_what, bytes, size, verdict) => expect(readFileHead(bytes, size)).toEqual(verdict));
});

describe("read", () => {
  test("a put, an empty one, a removal, and nothing at the end", () => {
    const pieces = [head(), record(16, 5, text), record(39, 6, new Uint8Array(0)), record(57, 5, undefined)];
    const { reader, size } = reading(...pieces);
    expect(reader.find(16, size)).toEqual({ at: 16, length: 23, key: 5, removal: false });
    expect(reader.find(39, size)).toEqual({ at: 39, length: 18, key: 6, removal: false });
    expect(reader.find(57, size)).toEqual({ at: 57, length: 14, key: 5, removal: true });
    expect(reader.find(71, size)).toBeUndefined();
    expect(reader.find(16, size), "and again").toMatchObject({ key: 5 });
    expect(reader.body(5, { at: 16, length: 23 }, size)).toEqual(text);
    expect(reader.body(6, { at: 39, length: 18 }, size)).toEqual(Buffer.alloc(0));
  });

  test("not at another place, of another file, cut short, with a key that none has, or with another body", () => {
    const good = record(16, 5, text);
    const broken = Buffer.from(good);
    broken[good.length - 1]! ^= 1;
    for (const [what, bytes] of [
      ["of another place", record(17, 5, text)],
      ["of another file", record(16, 5, text, SALT + 1)],
      ["without its last byte", good.subarray(0, -1)],
      ["without its head", good.subarray(0, 13)],
      ["key 0", record(16, 0, text)],
      ["a key above all", record(16, MAX_KEY + 1, text)],
      ["another check", broken],
      ["another body", Buffer.concat([good.subarray(0, 15), Buffer.from("a"), good.subarray(16)])],
    ] as const) {
      const { reader, size } = reading(head(), bytes);
      expect(reader.find(16, size), what).toBeUndefined();
      expect(reader.body(5, { at: 16, length: 23 }, size), what).toBeUndefined();
    }
    const least = reading(head(), record(16, 1, text));
    expect(least.reader.find(16, least.size)?.key).toBe(1);
    const { reader, size } = reading(head(), record(16, MAX_KEY, text));
    expect(reader.find(16, size)?.key).toBe(MAX_KEY);
    for (const [key, place] of [
      [6, { at: 16, length: 23 }],
      [MAX_KEY, { at: 16, length: 22 }],
      [MAX_KEY, { at: 17, length: 23 }],
    ] as [number, Place][])
      expect(reader.body(key, place, size), "not the one that is asked for").toBeUndefined();
  });

  test.each([0xfff2, 0x10000, 0x10001, 0x20000, 200_000])(
    "a body of %i bytes, through a window of 64 KiB",
    (length) => {
      const body = filled(length);
      const { reader, size, disk } = reading(head(), record(16, 7, body), record(16 + length + 18, 8, text));
      expect(reader.find(16, size)).toEqual({ at: 16, length: length + 18, key: 7, removal: false });
      expect(reader.find(16 + length + 18, size)).toMatchObject({ key: 8 });
      // Each byte is read once or twice, for the windows begin with what is asked for.
      expect(disk.calls.get("read")).toBeLessThan(length / 4096 + 20);
      expect(reader.body(7, { at: 16, length: length + 18 }, size)?.equals(body)).toBe(true);
      expect(reader.body(8, { at: 16 + length + 18, length: 23 }, size)).toEqual(text);
      const { reader: damaged } = reading(head(), record(16, 7, body).fill(1, length - 3, length - 2));
      expect(damaged.find(16, 16 + length + 18)).toBeUndefined();
    },
  );

  test("a body is the reader's to keep", () => {
    const { reader, size } = reading(head(), record(16, 5, text));
    const first = reader.body(5, { at: 16, length: 23 }, size)!;
    first.fill(0);
    expect(reader.body(5, { at: 16, length: 23 }, size)).toEqual(text);
  });

  test("what was read ahead is read anew once the file has changed", () => {
    const { reader, size, disk, file } = reading(head(), record(16, 5, text));
    expect(reader.find(16, size)).toMatchObject({ key: 5 });
    const other = record(16, 9, text);
    for (let done = 0; done < other.length;) done += disk.write(file, other.subarray(done), 16 + done);
    reader.forget();
    expect(reader.find(16, size)).toMatchObject({ key: 9 });
  });

  test("a good one anywhere behind a place, up to the last", () => {
    const gap = Buffer.alloc(10);
    const { reader, size } = reading(head(), gap, record(26, 5, undefined));
    expect(size).toBe(40);
    expect(reader.anyBehind(16, size)).toBe(true);
    expect(reader.anyBehind(25, size)).toBe(true);
    expect(reader.anyBehind(26, size), "not at the place itself").toBe(false);
    expect(reader.anyBehind(16, size - 1), "nor one that is cut").toBe(false);
  });
});
