/**
 * From packets to bytes.
 *
 * Invariants: a packet that breaks a rule of the standard is refused before a byte of it is written, so that
 * a failed call leaves the output as it was; every field of the caller's object is read once; memory that
 * `take` gave away is never written again.
 */
import { HubwireError } from "../errors.js";
import { INVALID, MAX_PACKET_SIZE, fault } from "./fault.js";
import { checkFilter, checkName } from "./topics.js";
import { stringLength, utf8Length } from "./utf8.js";
import type { ConnectInit, PacketInit, PublishInit, QoS, SubscribeInit } from "./types.js";

const FIRST_SLAB = 512;
/** Larger ones cost more than they save: their memory is new to the process each time. */
const MAX_SLAB = 0x4000;
/** Payloads of at least this many bytes are lent, not copied. */
const LEND = 0x4000;

/** Longer topic names are encoded each time. */
const MAX_TOPIC = 4096;

const NOTHING = Buffer.allocUnsafeSlow(0);
const NO_WORDS = new Float64Array(0);

function checkBoolean(value: unknown, name: string): void {
  if (typeof value !== "boolean") throw fault(INVALID, `${name} must be a boolean`);
}

function checkWord(value: unknown, name: string): void {
  if (!(Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff)) {
    throw fault(INVALID, `${name} must be an integer from 0 to 65,535`);
  }
}

function checkQos(value: unknown, name: string, statement: string): void {
  if (value !== 0 && value !== 1 && value !== 2) throw fault(INVALID, `${name} must be 0, 1 or 2`, statement);
}

function checkPacketId(value: unknown): void {
  checkWord(value, "packetId");
  if (value === 0) throw fault(INVALID, "packet identifier 0", "2.3.1-1");
}

/** The bytes of a payload or password. */
function dataLength(data: unknown, name: string): number {
  if (typeof data === "string") return utf8Length(data, INVALID);
  if (!ArrayBuffer.isView(data) || !(data instanceof Uint8Array)) {
    throw fault(INVALID, `${name} must be a Uint8Array or a string`);
  }
  return data.length;
}

function list(value: unknown, name: string, statement: string): readonly unknown[] {
  if (!Array.isArray(value)) throw fault(INVALID, `${name} must be an array`);
  if (value.length === 0) throw fault(INVALID, `${name} is empty`, statement);
  return value;
}

function filterLength(filter: unknown): number {
  const length = stringLength(filter, "topicFilter", INVALID);
  checkFilter(filter as string, INVALID);
  return length;
}

/** The bytes that `length` takes in the fixed header. */
function lengthSize(length: number): number {
  if (length > MAX_PACKET_SIZE) throw fault("ERR_INVALID_PACKET", "packet is over 268,435,455 bytes");
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
   * The last topic name, checked, and its bytes in words of 8, the last of which overlaps the one before. No word
   * of well-formed UTF-8 is a NaN, which a copy as floating point number might change.
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

  #text(text: string, length: number): void {
    this.#word(length);
    this.#chars(text, length);
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
   * Writes a PUBLISH and returns its size, bytes. `packetId` is 0 with QoS 0. A `Uint8Array` payload of 16 KiB and
   * more is lent: it must not change until the output was sent.
   * Throws ERR_INVALID_PACKET.
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
    checkQos(qos, "qos", "3.3.1-4");
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
    const at = this.#at;
    try {
      this.#packet(packet);
    } catch (cause) {
      // A getter of the caller's object may throw anything, at any time before the first byte is written.
      this.#at = at;
      throw cause instanceof HubwireError ? cause : new HubwireError(INVALID, "packet can't be read", { cause });
    }
  }

  #packet(packet: PacketInit): void {
    if (typeof packet !== "object" || packet === null) throw fault(INVALID, "packet must be an object");
    switch (packet.type) {
      case "connect":
        return this.#connect(packet);
      case "connack": {
        const { sessionPresent = false, returnCode } = packet;
        checkBoolean(sessionPresent, "sessionPresent");
        checkWord(returnCode, "returnCode");
        if (returnCode > 5) throw fault(INVALID, "returnCode is over 5");
        if (sessionPresent && returnCode) throw fault(INVALID, "session present with a refusal", "3.2.2-4");
        this.#begin(0x20, 2);
        return this.#word((sessionPresent ? 0x100 : 0) | returnCode);
      }
      case "publish":
        return this.#publishPacket(packet);
      case "puback":
        return this.#acknowledge(0x40, packet.packetId);
      case "pubrec":
        return this.#acknowledge(0x50, packet.packetId);
      case "pubrel":
        return this.#acknowledge(0x62, packet.packetId);
      case "pubcomp":
        return this.#acknowledge(0x70, packet.packetId);
      case "unsuback":
        return this.#acknowledge(0xb0, packet.packetId);
      case "subscribe":
        return this.#subscribe(packet);
      case "suback": {
        const { packetId } = packet;
        const codes = [...list(packet.returnCodes, "returnCodes", "3.8.4-5")] as number[];
        checkPacketId(packetId);
        for (const code of codes) {
          if (code !== 0 && code !== 1 && code !== 2 && code !== 0x80) {
            throw fault(INVALID, "returnCodes must be 0, 1, 2 or 128", "3.9.3-2");
          }
        }
        this.#begin(0x90, 2 + codes.length);
        this.#word(packetId);
        for (const code of codes) this.#slab[this.#at++] = code;
        return;
      }
      case "unsubscribe": {
        const { packetId } = packet;
        const filters = [...list(packet.topicFilters, "topicFilters", "3.10.3-2")] as string[];
        checkPacketId(packetId);
        const lengths = filters.map(filterLength);
        this.#begin(0xa2, lengths.reduce((sum, length) => sum + 2 + length, 2));
        this.#word(packetId);
        filters.forEach((filter, i) => this.#text(filter, lengths[i]!));
        return;
      }
      case "pingreq":
        return this.#begin(0xc0, 0);
      case "pingresp":
        return this.#begin(0xd0, 0);
      case "disconnect":
        return this.#begin(0xe0, 0);
      default:
        throw fault(INVALID, "unknown packet type");
    }
  }

  #publishPacket(packet: PublishInit): void {
    const { topic, payload = NOTHING, qos = 0, retain = false, dup = false, packetId } = packet;
    if (qos === 0 && packetId !== undefined) throw fault(INVALID, "packet identifier with QoS 0", "2.3.1-5");
    this.#publish(topic, payload, qos, retain, dup, qos === 0 ? 0 : (packetId as number), Infinity);
  }

  #subscribe(packet: SubscribeInit): void {
    const { packetId } = packet;
    const entries = list(packet.subscriptions, "subscriptions", "3.8.3-3").map((entry) => {
      if (typeof entry !== "object" || entry === null) throw fault(INVALID, "a subscription must be an object");
      const { topicFilter, qos = 0 } = entry as { topicFilter: string; qos?: QoS };
      const length = filterLength(topicFilter);
      checkQos(qos, "qos", "3-8.3-4");
      return { topicFilter, qos, length };
    });
    checkPacketId(packetId);
    this.#begin(0x82, entries.reduce((sum, { length }) => sum + 3 + length, 2));
    this.#word(packetId);
    for (const { topicFilter, qos, length } of entries) {
      this.#text(topicFilter, length);
      this.#slab[this.#at++] = qos;
    }
  }

  #connect(packet: ConnectInit): void {
    const { clientId, cleanSession = true, keepAlive = 60, username, password, will } = packet;
    const idLength = stringLength(clientId, "clientId", INVALID);
    checkBoolean(cleanSession, "cleanSession");
    checkWord(keepAlive, "keepAlive");
    if (clientId === "" && !cleanSession) throw fault(INVALID, "empty client id with a kept session", "3.1.3-7");
    let flags = cleanSession ? 2 : 0;
    let length = 10 + 2 + idLength;
    let willFields: readonly [string, number, Uint8Array | string, number] | undefined;
    if (will !== undefined) {
      if (typeof will !== "object" || will === null) throw fault(INVALID, "will must be an object");
      const { topic, payload, qos = 0, retain = false } = will;
      const topicLength = stringLength(topic, "will.topic", INVALID);
      checkName(topic, INVALID);
      const payloadLength = dataLength(payload, "will.payload");
      if (payloadLength > 0xffff) throw fault(INVALID, "will.payload is over 65,535 bytes");
      checkQos(qos, "will.qos", "3.1.2-14");
      checkBoolean(retain, "will.retain");
      flags |= 4 | (qos << 3) | (retain ? 0x20 : 0);
      length += 4 + topicLength + payloadLength;
      willFields = [topic, topicLength, payload, payloadLength];
    }
    let usernameLength = 0;
    if (username !== undefined) {
      usernameLength = stringLength(username, "username", INVALID);
      flags |= 0x80;
      length += 2 + usernameLength;
    }
    let passwordLength = 0;
    if (password !== undefined) {
      if (username === undefined) throw fault(INVALID, "password without user name", "3.1.2-22");
      passwordLength = dataLength(password, "password");
      if (passwordLength > 0xffff) throw fault(INVALID, "password is over 65,535 bytes");
      flags |= 0x40;
      length += 2 + passwordLength;
    }
    this.#begin(0x10, length);
    this.#text("MQTT", 4);
    this.#word(0x400 | flags);
    this.#word(keepAlive);
    this.#text(clientId, idLength);
    if (willFields !== undefined) {
      const [topic, topicLength, payload, payloadLength] = willFields;
      this.#text(topic, topicLength);
      this.#word(payloadLength);
      this.#data(payload, payloadLength);
    }
    if (username !== undefined) this.#text(username, usernameLength);
    if (password !== undefined) {
      this.#word(passwordLength);
      this.#data(password, passwordLength);
    }
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
