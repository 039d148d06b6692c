/**
 * From packets to bytes.
 *
 * Invariants: a packet that breaks a rule of the standard is refused before a byte of it is written, so that
 * a failed call leaves the output as it was; every field of the caller's object is read once; memory that
 * `take` gave away is never written again.
 */
import { HubwireError } from "../errors.js";
import { bodyOf } from "./body.js";
import { checkFlags, checkPacketId, checkWhole, publishLength, wholeSize } from "./check.js";
import { INVALID, fault } from "./fault.js";
import { FIRST_BYTES, NAMES } from "./header.js";
import { topicLength } from "./topics.js";
import { dataLength } from "./values.js";
import type { AcknowledgementPacket, PacketInit, PublishInit, QoS } from "./types.js";
import type { NativeBuffer } from "./utf8.js";

/** For a connection on which nothing happens; each is twice the one before. */
const FIRST_SLAB = 256;
/** Larger ones cost more than they save: their memory is new to the process each time. */
const MAX_SLAB = 0x4000;
/** Payloads of at least this many bytes are lent, not copied. */
const LEND = 0x4000;

/** Fewer bytes than this are copied faster one by one than by the platform; `npm run bench -- codec`. */
const FEW = 24;

const NOTHING = /* @__PURE__ */ Buffer.alloc(0);

// Set by the class.
/** Writes a packet and takes just it. */
let takeOne: (writer: PacketWriter, packet: PacketInit) => Uint8Array;
/** Checks a packet without writing it, and returns its size. */
let checkOne: (writer: PacketWriter, packet: PacketInit) => number;

/** Collects encoded packets, ready to be sent. */
export class PacketWriter {
  #slab = NOTHING;
  /** Its memory: to ask the slab each time costs `encode` a fifth. */
  #buffer: ArrayBufferLike = NOTHING.buffer;
  /** `#slab[#start, #at)` is output that is not yet in `#full`. */
  #start = 0;
  #at = 0;
  #full: Uint8Array[] = [];
  #fullBytes = 0;
  /** The last topic name, checked, and its bytes in UTF-8. */
  #topic = "";
  #topicLength = 0;
  /** What it is written from: its bytes, which begin `#topicMemory`, once it came twice. */
  #topicData: Uint8Array | string = "";
  #topicMemory = NOTHING;

  static {
    takeOne = (writer, packet) => {
      writer.packet(packet);
      const bytes = new Uint8Array(writer.#buffer, writer.#start, writer.#at - writer.#start);
      writer.#start = writer.#at;
      if (writer.#at > MAX_SLAB) writer.#begin(NOTHING);
      return bytes;
    };
    checkOne = (writer, packet) => writer.#packet(packet, true);
  }

  /** Bytes written since the last `take`. */
  get byteLength(): number {
    return this.#fullBytes + this.#at - this.#start;
  }

  /**
   * All output since the last call, in order; lent payloads are the arrays that were passed to `publish`.
   * What the others lie in is shared with output to come: it must not be transferred.
   */
  take(): Uint8Array[] {
    this.#seal();
    const output = this.#full;
    this.#full = [];
    this.#fullBytes = 0;
    return output;
  }

  #seal(): void {
    const length = this.#at - this.#start;
    if (length > 0) this.#lend(this.#slab.subarray(this.#start, this.#at), length);
    this.#start = this.#at;
  }

  #lend(bytes: Uint8Array, length: number): void {
    this.#full.push(bytes);
    this.#fullBytes += length;
  }

  /** Makes room for `size` bytes in one piece. */
  #reserve(size: number): void {
    if (this.#slab.length - this.#at >= size) return;
    this.#seal();
    const next = Math.min(MAX_SLAB, 2 * this.#slab.length);
    this.#begin(Buffer.allocUnsafeSlow(Math.max(size, next, FIRST_SLAB)));
  }

  #begin(slab: typeof NOTHING): void {
    this.#slab = slab;
    this.#buffer = slab.buffer;
    this.#start = this.#at = 0;
  }

  /** Writes the fixed header, for which there is room, and returns the position behind it. */
  #fixedHeader(first: number, length: number): number {
    const slab = this.#slab;
    let at = this.#at;
    slab[at++] = first;
    for (; length > 0x7f; length >>>= 7) slab[at++] = length | 0x80;
    slab[at++] = length;
    return at;
  }

  /** Writes two bytes at `at`, and returns the position behind them. */
  #word(at: number, value: number): number {
    const slab = this.#slab;
    slab[at] = value >> 8;
    slab[at + 1] = value;
    return at + 2;
  }

  /** Checks a topic name. */
  #check(topic: string): void {
    this.#topicLength = topicLength(topic, INVALID);
    this.#topic = this.#topicData = topic;
  }

  /** Keeps the bytes of the topic name, for it will come again: most that come once never do. */
  #learn(): void {
    const length = this.#topicLength;
    if (this.#topicMemory.length < length) this.#topicMemory = Buffer.allocUnsafeSlow(2 * length);
    const bytes = this.#topicMemory.subarray(0, length);
    (bytes as NativeBuffer).utf8Write(this.#topic, 0, length);
    this.#topicData = bytes;
  }

  /** Writes `data`, which takes `length` bytes, at `at`, and returns the position behind it. */
  #data(at: number, data: Uint8Array | string, length: number): number {
    const slab = this.#slab;
    if (typeof data === "string") {
      // ASCII by the shorter way saves a third of a PUBLISH with a string for its payload.
      if (length === data.length) (slab as NativeBuffer).latin1Write(data, at, length);
      else (slab as NativeBuffer).utf8Write(data, at, length);
    } else if (length < FEW) for (let i = 0; i < length; i++) slab[at + i] = data[i]!;
    else slab.set(data, at);
    return at + length;
  }

  /**
   * Writes a PUBLISH and returns its size, bytes. `packetId` is 0 with QoS 0. A `Uint8Array` payload of `lend` bytes
   * and more, 16 KiB where nothing is said, is lent: it must not change until the output was sent. Throws
   * ERR_INVALID_PACKET.
   */
  publish(
    topic: string,
    payload: Uint8Array | string,
    qos: QoS,
    retain: boolean,
    dup: boolean,
    packetId: number,
    lend: number = LEND,
  ): number {
    if (topic !== this.#topic || !topic) this.#check(topic);
    else if (typeof this.#topicData === "string") this.#learn();
    checkFlags(qos, retain, dup, packetId);
    const payloadLength = dataLength(payload, "payload");
    const topicBytes = this.#topicLength;
    const length = publishLength(topicBytes, payloadLength, qos);
    const lent = payloadLength >= lend && typeof payload !== "string" ? payloadLength : 0;
    const size = wholeSize(length);
    this.#reserve(size - lent);
    let at = this.#fixedHeader(0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0), length);
    at = this.#data(this.#word(at, topicBytes), this.#topicData, topicBytes);
    if (qos !== 0) at = this.#word(at, packetId);
    this.#at = at;
    if (lent) {
      this.#seal();
      this.#lend(payload as Uint8Array, lent);
    } else this.#at = this.#data(at, payload, payloadLength);
    return size;
  }

  #acknowledge(first: number, packetId: number): number {
    checkPacketId(packetId);
    this.#reserve(4);
    this.#at = this.#word(this.#fixedHeader(first, 2), packetId);
    return 4;
  }

  /** Writes a packet with that body. */
  #whole(first: number, body: Uint8Array): number {
    const { length } = body;
    const size = wholeSize(length);
    this.#reserve(size);
    this.#at = this.#data(this.#fixedHeader(first, length), body, length);
    return size;
  }

  /** Writes a PUBACK. Throws ERR_INVALID_PACKET. */
  puback(packetId: number): void {
    this.#acknowledge(0x40, packetId);
  }

  /** Writes a PUBREC. Throws ERR_INVALID_PACKET. */
  pubrec(packetId: number): void {
    this.#acknowledge(0x50, packetId);
  }

  /** Writes a PUBREL. Throws ERR_INVALID_PACKET. */
  pubrel(packetId: number): void {
    this.#acknowledge(0x62, packetId);
  }

  /** Writes a PUBCOMP. Throws ERR_INVALID_PACKET. */
  pubcomp(packetId: number): void {
    this.#acknowledge(0x70, packetId);
  }

  /** Writes a PINGREQ. */
  pingreq(): void {
    this.#whole(0xc0, NOTHING);
  }

  /** Writes a DISCONNECT. */
  disconnect(): void {
    this.#whole(0xe0, NOTHING);
  }

  /** Writes any packet. Payloads are copied. Throws ERR_INVALID_PACKET. */
  packet(packet: PacketInit): void {
    this.#packet(packet, false);
  }

  #packet(packet: PacketInit, onlyCheck: boolean): number {
    try {
      const type = NAMES.indexOf(packet.type);
      if (type < 1) throw fault(INVALID, "unknown packet type");
      if (type === 3) {
        const { topic, payload = "", qos = 0, retain = false, dup = false, packetId } = packet as PublishInit;
        // With QoS 0 an identifier may be left out, but not be there, even as 0.
        const id = qos !== 0 ? packetId! : packetId === undefined ? 0 : -1;
        return onlyCheck
          ? checkWhole(topic, payload, qos, retain, dup, id)
          : this.publish(topic, payload, qos, retain, dup, id, Infinity);
      }
      const first = FIRST_BYTES[type]!;
      if (type < 8 && type > 3 && !onlyCheck)
        return this.#acknowledge(first, (packet as AcknowledgementPacket).packetId);
      const body = type > 11 ? NOTHING : bodyOf(type, packet);
      return onlyCheck ? wholeSize(body.length) : this.#whole(first, body);
    } catch (cause) {
      // What the decoder's rules refuse is the caller's fault here; and a getter of the caller's object may throw anything.
      if (!(cause instanceof HubwireError)) throw new HubwireError(INVALID, "packet cannot be read", { cause });
      throw cause.code === INVALID ? cause : new HubwireError(INVALID, cause.message, { statement: cause.statement });
    }
  }
}

const shared = new PacketWriter();

/**
 * The exact bytes of `packet`, which are the caller's: a view of memory that other packets share, each with a
 * stretch of its own, so that it must not be transferred to another thread. Throws ERR_INVALID_PACKET.
 */
export function encode(packet: PacketInit): Uint8Array {
  return takeOne(shared, packet);
}

/**
 * Checks any packet and returns its size, bytes, fixed header included; no payload is copied for it. Throws the
 * ERR_INVALID_PACKET that encoding it would.
 */
export function checkPacket(packet: PacketInit): number {
  return checkOne(shared, packet);
}
