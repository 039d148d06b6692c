/**
 * The bytes of a store's file.
 *
 * Invariants: a record's checks hold at its own place in its own file only (they start from the file's salt and the
 * place), so neither what an earlier file left on the disk nor a payload that looks like a record is ever taken for
 * one; the check of a body starts from that of its head, so the two belong together.
 *
 * File: "hubwire2", salt (4 bytes), CRC-32 of these twelve (4); then records. Record: body length (4), key (6), CRC-32
 * of these ten (4), body, CRC-32 of the body (4). Integers are little endian. The length all ones, with no body, is the
 * removal of the key.
 */
import { type Disk, readAll } from "./disk.js";

const MARK = Buffer.from("hubwire2");
/** Bytes of a file before its first record. */
export const FILE_HEAD = 16;
/** Bytes of a record before its body; all of a removal. */
export const HEAD = 14;
const REMOVAL = 0xffffffff;
export const MAX_KEY = 2 ** 47;
/** Bytes of a body at most: a buffer of Node's is never larger. */
export const MAX_BODY = REMOVAL - 1;
const WINDOW = 0x10000;

let table: Int32Array | undefined;

/** CRC-32 as in IEEE 802.3, going on from `previous`. */
function crc32(bytes: Uint8Array, previous: number): number {
  // Stryker disable all: made once, before a mutant of it is switched on.
  table ??= Int32Array.from({ length: 256 }, (_, byte) => {
    for (let bit = 0; bit < 8; bit++) byte = (byte >>> 1) ^ (byte & 1 ? 0xedb88320 : 0);
    return byte;
  });
  // Stryker restore all
  let crc = ~previous;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}

/** Where the check of a record at `at` starts from. */
const start = (salt: number, at: number): number => (salt ^ at ^ Math.floor(at / 2 ** 32)) >>> 0;

/** The head of a new file. */
export function fileHead(salt: number): Buffer {
  const head = Buffer.alloc(FILE_HEAD);
  head.set(MARK);
  head.writeUInt32LE(salt, 8);
  head.writeUInt32LE(crc32(head.subarray(0, 12), 0), 12);
  return head;
}

/**
 * What the first bytes (up to FILE_HEAD) of a file of `size` bytes say: its salt; or `new`, a file that was just being
 * made; `damaged`, ours; `foreign`, somebody else's.
 */
export function readFileHead(head: Buffer, size: number): { salt: number } | "new" | "damaged" | "foreign" {
  const mark = head.subarray(0, MARK.length);
  const begun = mark.every((byte, at) => byte === 0 || byte === MARK[at]);
  if (head.length < FILE_HEAD) return begun ? "new" : "foreign";
  const salt = head.readUInt32LE(8);
  const whole = fileHead(salt).equals(head);
  if (whole) return { salt };
  if (begun && size === FILE_HEAD) return "new";
  // Either half of the head tells that it is ours.
  const rest = fileHead(salt).subarray(MARK.length).equals(head.subarray(MARK.length));
  return rest || mark.equals(MARK) || head.every((byte) => byte === 0) ? "damaged" : "foreign";
}

/** The record that puts `body`, or removes the key where there is none, to stand at `at`. */
export function encodeRecord(salt: number, at: number, key: number, body: Uint8Array | undefined): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD + (body ? body.length + 4 : 0));
  bytes.writeUInt32LE(body ? body.length : REMOVAL, 0);
  bytes.writeUIntLE(key, 4, 6);
  const check = crc32(bytes.subarray(0, 10), start(salt, at));
  bytes.writeUInt32LE(check, 10);
  if (body) {
    bytes.set(body, HEAD);
    bytes.writeUInt32LE(crc32(body, check), HEAD + body.length);
  }
  return bytes;
}

/** A record's place in its file, in bytes with head and checks. */
export interface Place {
  readonly at: number;
  readonly length: number;
}

export interface Found extends Place {
  readonly key: number;
  readonly removal: boolean;
}

/** Reads a file's records, through a window, so that a large file costs no memory. */
export class RecordReader {
  readonly #disk: Disk;
  readonly #file: number;
  readonly #salt: number;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;

  constructor(disk: Disk, file: number, salt: number) {
    this.#disk = disk;
    this.#file = file;
    this.#salt = salt;
  }

  /** The record at `at` of a file of `size` bytes; undefined where no whole and undamaged one is. */
  find(at: number, size: number): Found | undefined {
    if (size - at < HEAD) return undefined;
    const head = this.#bytes(at, HEAD, size);
    const bodyLength = head.readUInt32LE(0);
    const removal = bodyLength === REMOVAL;
    const length = removal ? HEAD : HEAD + bodyLength + 4;
    const key = head.readUIntLE(4, 6);
    // The cheap looks first: all of a torn end is searched with this.
    if (length > size - at || key < 1 || key > MAX_KEY) return undefined;
    let check = head.readUInt32LE(10);
    if (crc32(head.subarray(0, 10), start(this.#salt, at)) !== check) return undefined;
    // Stryker disable next-line ConditionalExpression: the check of a removal stands where that of a body would.
    if (!removal) {
      const end = at + length - 4;
      // Stryker disable next-line EqualityOperator: nothing has the check of what is before it.
      for (let from = at + HEAD; from < end; from += WINDOW) {
        check = crc32(this.#bytes(from, Math.min(WINDOW, end - from), size), check);
      }
      if (this.#bytes(end, 4, size).readUInt32LE(0) !== check) return undefined;
    }
    return { at, length, key, removal };
  }

  /** Whether an undamaged record stands anywhere behind `at`. */
  anyBehind(at: number, size: number): boolean {
    // Stryker disable next-line ArithmeticOperator: time only.
    while (++at <= size - HEAD) if (this.find(at, size)) return true;
    return false;
  }

  /** A copy of the body of the record at `place`; undefined where it is no longer the one of `key`. */
  body(key: number, place: Place, size: number): Buffer | undefined {
    const found = this.find(place.at, size);
    if (found?.key !== key || found.length !== place.length) return undefined;
    const from = place.at + HEAD;
    const length = place.length - HEAD - 4;
    // Stryker disable next-line EqualityOperator: memory only.
    if (length > WINDOW) return readAll(this.#disk, this.#file, from, length);
    return Buffer.from(this.#bytes(from, length, size));
  }

  /** Forgets what was read ahead: the file changed. */
  forget(): void {
    this.#window = Buffer.alloc(0);
  }

  /** `length` bytes, at most a window's, of a file that has `size`. */
  #bytes(at: number, length: number, size: number): Buffer {
    let from = at - this.#windowAt;
    // Stryker disable next-line ConditionalExpression,EqualityOperator: what is there could be read anew.
    if (from < 0 || from + length > this.#window.length) {
      this.#window = readAll(this.#disk, this.#file, at, Math.min(WINDOW, size - at));
      this.#windowAt = at;
      from = 0;
    }
    return this.#window.subarray(from, from + length);
  }
}
