/**
 * From packets to bytes.
 *
 * Invariants: a packet that breaks a rule of the standard is refused before a byte of it is written, so that
 * a failed call leaves the output as it was; every field of the caller's object is read once; memory that
 * `take` gave away is never written again.
 */
import { HubwireError } from "../errors.js";
import { bodyOf } from "./body.js";
import { checkBoolean, checkInteger, dataLength } from "./checks.js";
import { FIRST_BYTES, NAMES } from "./decode.js";
import { INVALID, MALFORMED, MAX_PACKET_SIZE, fault } from "./fault.js";
import { nonZero } from "./fields.js";
import { checkName } from "./topics.js";
import { stringLength } from "./utf8.js";
import type { AcknowledgementPacket, PacketInit, PublishInit, QoS } from "./types.js";

const FIRST_SLAB = 512;
/** Larger ones cost more than they save: their memory is new to the process each time. */
const MAX_SLAB = 0x4000;
/** Payloads of at least this many bytes are lent, not copied. */
const LEND = 0x4000;

/** Longer topic names are encoded each time. */
const MAX_TOPIC = 4096;

const NOTHING = Buffer.allocUnsafeSlow(0);
const NO_WORDS = new Float64Array(0);

function checkPacketId(value: unknown): void {
  checkInteger(value, "packetId", 0xffff);
  nonZero(value as number, INVALID);
}

/** The bytes that `length` takes in the fixed header. */
function lengthSize(length: number): number {
  if (length > MAX_PACKET_SIZE) throw fault(INVALID, "packet is over 268,435,455 bytes");
  return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x200000 ? 3 : 4;
}

/** Set by the class, for `encode`: writes a packet and takes just it. */
let takeOne: (writer: PacketWriter, packet: PacketInit) => Uint8Array;

/** Collects encoded packets, ready to be sent. */
export class PacketWriter {
  #slab = NOTHING;
  #buffer: ArrayBufferLike = NOTHING.buffer;
  #view = new DataView(NOTHING.buffer);
  /** `#slab[#start, #at)` is output that is not yet in `#full`. */
  #start = 0;
  #at = 0;
  #full: Uint8Array[] = [];
  #fullBytes = 0;
  #nextSlab = FIRST_SLAB;
  /**
   * The last topic name, checked, and its bytes in words of 8, the last of which overlaps the one before. No
   * word of well-formed UTF-8 is a NaN, which a copy as floating point number might change.
   */
  #topic = "";
  #topicLength = 0;
  #topicWords = NO_WORDS;

  static {
    takeOne = (writer, packet) => {
      writer.packet(packet);
      const bytes = new Uint8Array(writer.#buffer, writer.#start, writer.#at - writer.#start);
      writer.#start = writer.#at;
      if (writer.#at > MAX_SLAB) writer.#take(NOTHING);
      return bytes;
    };
  }

  /** Bytes written since the last `take`. */
  get byteLength(): number {
    return this.#fullBytes + this.#at - this.#start;
  }

  /**
   * All output since the last call, in order. The arrays belong to the caller; those of lent payloads are
   * views of the memory that was passed to `publish`.
   */
  take(): Uint8Array[] {
    this.#seal();
    const output = this.#full;
    this.#full = [];
    this.#fullBytes = 0;
    return output;
  }

  #seal(): void {
    if (this.#at > this.#start) this.#lend(this.#slab.subarray(this.#start, this.#at));
    this.#start = this.#at;
  }

  #lend(bytes: Uint8Array): void {
    this.#full.push(bytes);
    this.#fullBytes += bytes.length;
  }

  /** Makes room for `size` bytes in one piece. */
  #reserve(size: number): void {
    if (this.#slab.length - this.#at >= size) return;
    this.#seal();
    this.#take(Buffer.allocUnsafeSlow(Math.max(size, this.#nextSlab)));
    this.#nextSlab = Math.min(MAX_SLAB, this.#nextSlab * 2);
  }

  #take(slab: typeof NOTHING): void {
    this.#slab = slab;
    this.#buffer = slab.buffer;
    this.#view = new DataView(this.#buffer);
    this.#start = this.#at = 0;
  }

  /** Makes room for a packet and writes its fixed header. */
  #begin(first: number, length: number, lent = 0): void {
    const size = lengthSize(length);
    this.#reserve(1 + size + length - lent);
    const slab = this.#slab;
    let at = this.#at;
    slab[at++] = first;
    for (; length > 0x7f; length >>>= 7) slab[at++] = length | 0x80;
    slab[at++] = length;
    this.#at = at;
  }

  #word(value: number): void {
    const at = this.#at;
    this.#slab[at] = value >> 8;
    this.#slab[at + 1] = value;
    this.#at = at + 2;
  }

  /** Writes `text`, which takes `length` bytes, without its length. */
  #chars(text: string, length: number): void {
    if (length === text.length && length < 16) {
      for (let i = 0; i < length; i++) this.#slab[this.#at++] = text.charCodeAt(i);
    } else {
      this.#slab.write(text, this.#at, length === text.length ? "latin1" : "utf8");
      this.#at += length;
    }
  }

  /** Writes the topic name of a PUBLISH, checked before, at `#at`. */
  #topicName(topic: string, length: number, known: boolean): void {
    this.#word(length);
    const view = this.#view;
    let at = this.#at;
    const last = at + length - 8;
    let i = 0;
    if (known && length > 7) {
      const words = this.#topicWords;
      for (; at < last; at += 8) view.setFloat64(at, words[i++]!, true);
      view.setFloat64(last, words[i]!, true);
      this.#at = last + 8;
      return;
    }
    this.#chars(topic, length);
    if (length > MAX_TOPIC) return;
    this.#topic = topic;
    this.#topicLength = length;
    if (length < 8) return;
    if (this.#topicWords.length * 8 < length) this.#topicWords = new Float64Array(length >> 2);
    const words = this.#topicWords;
    for (; at < last; at += 8) words[i++] = view.getFloat64(at, true);
    words[i] = view.getFloat64(last, true);
  }

  #data(data: Uint8Array | string, length: number): void {
    if (typeof data === "string") this.#chars(data, length);
    // Of an array whose memory was transferred away the length is 0, and `set` throws.
    else if (length) {
      this.#slab.set(data, this.#at);
      this.#at += length;
    }
  }

  /**
   * Writes a PUBLISH and returns its size, bytes. `packetId` is 0 with QoS 0. A `Uint8Array` payload of 16
   * KiB and more is lent: it must not change until the output was sent. Throws ERR_INVALID_PACKET.
   */
  publish(
    topic: string,
    payload: Uint8Array | string,
    qos: QoS,
    retain: boolean,
    dup: boolean,
    packetId: number,
  ): number {
    return this.#publish(topic, payload, qos, retain, dup, packetId, LEND);
  }

  #publish(
    topic: string,
    payload: Uint8Array | string,
    qos: QoS,
    retain: boolean,
    dup: boolean,
    packetId: number,
    lend: number,
  ): number {
    const known = topic === this.#topic && this.#topicLength > 0;
    let topicLength = this.#topicLength;
    if (!known) {
      topicLength = stringLength(topic, "topic", INVALID);
      checkName(topic, INVALID);
    }
    checkInteger(qos, "qos", 2, "3.3.1-4");
    checkBoolean(retain, "retain");
    checkBoolean(dup, "dup");
    if (qos === 0) {
      if (dup) throw fault(INVALID, "DUP with QoS 0", "3.3.1-2");
      if (packetId !== 0) throw fault(INVALID, "packet identifier with QoS 0", "2.3.1-5");
    } else checkPacketId(packetId);
    const payloadLength = dataLength(payload, "payload");
    const length = 2 + topicLength + (qos && 2) + payloadLength;
    const lent = typeof payload !== "string" && payloadLength >= lend ? payloadLength : 0;
    this.#begin(0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0), length, lent);
    this.#topicName(topic, topicLength, known);
    if (qos) this.#word(packetId);
    if (lent) {
      this.#seal();
      this.#lend(payload as Uint8Array);
    } else this.#data(payload, payloadLength);
    return 1 + lengthSize(length) + length;
  }

  #acknowledge(first: number, packetId: number): void {
    checkPacketId(packetId);
    this.#begin(first, 2);
    this.#word(packetId);
  }

  /** Throws ERR_INVALID_PACKET. */
  puback(packetId: number): void {
    this.#acknowledge(0x40, packetId);
  }

  /** Throws ERR_INVALID_PACKET. */
  pubrec(packetId: number): void {
    this.#acknowledge(0x50, packetId);
  }

  /** Throws ERR_INVALID_PACKET. */
  pubrel(packetId: number): void {
    this.#acknowledge(0x62, packetId);
  }

  /** Throws ERR_INVALID_PACKET. */
  pubcomp(packetId: number): void {
    this.#acknowledge(0x70, packetId);
  }

  pingreq(): void {
    this.#begin(0xc0, 0);
  }

  disconnect(): void {
    this.#begin(0xe0, 0);
  }

  /** Writes any packet. Payloads are copied. Throws ERR_INVALID_PACKET. */
  packet(packet: PacketInit): void {
    try {
      const name = packet.type;
      if (name === "publish") return this.#publishPacket(packet as PublishInit);
      const type = NAMES.indexOf(name);
      const first = FIRST_BYTES[type]!;
      if (type < 1) throw fault(INVALID, "unknown packet type");
      else if (type > 11) this.#begin(first, 0);
      else if ((type > 3 && type < 8) || type === 11) {
        this.#acknowledge(first, (packet as AcknowledgementPacket).packetId);
      } else {
        const body = bodyOf(type, packet);
        this.#begin(first, body.length);
        this.#data(body, body.length);
      }
    } catch (cause) {
      // A getter of the caller's object may throw anything; and what the decoder's rules refuse is its fault
      // here.
      if (!(cause instanceof HubwireError))
        throw new HubwireError(INVALID, "packet can't be read", { cause });
      const { code, message, statement } = cause;
      throw code === MALFORMED ? new HubwireError(INVALID, message, { statement }) : cause;
    }
  }

  #publishPacket(packet: PublishInit): void {
    const { topic, payload = NOTHING, qos = 0, retain = false, dup = false, packetId } = packet;
    if (qos === 0 && packetId !== undefined) throw fault(INVALID, "packet identifier with QoS 0", "2.3.1-5");
    this.#publish(topic, payload, qos, retain, dup, qos === 0 ? 0 : (packetId as number), Infinity);
  }
}

const shared = new PacketWriter();

/**
 * The exact bytes of `packet`, which are the caller's: a view of memory that other packets share, each with a
 * stretch of its own. Throws ERR_INVALID_PACKET.
 */
export function encode(packet: PacketInit): Uint8Array {
  return takeOne(shared, packet);
}
