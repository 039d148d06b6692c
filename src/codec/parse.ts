/**
 * From bytes to the sink's methods: one whole packet after the other, straight from the chunk.
 *
 * Invariants: a packet is checked completely before the sink hears of it; the checks come in one order (fixed
 * header, size, remaining length, fields), so that the same bytes give the same error however they were
 * split; "need more bytes" is a return value.
 *
 * A remaining length in more bytes than it needs is accepted: MQTT 3.1.1 limits the field to four bytes and,
 * unlike MQTT 5, does not ask for the shortest form (section 2.2.3).
 */
import { Fields, nonZero, word } from "./fields.js";
import { MALFORMED, TOO_LARGE, fault } from "./fault.js";
import type { TopicCache } from "./topic-cache.js";
import { checkFilter, checkName } from "./topics.js";
import type { ConnectPacket, PacketSink, QoS, SubscriptionRequest } from "./types.js";
import type { HubwireError } from "../errors.js";

/** The packet names by type number (section 2.2.1). */
export const NAMES = [
  "",
  "connect",
  "connack",
  "publish",
  "puback",
  "pubrec",
  "pubrel",
  "pubcomp",
  "subscribe",
  "suback",
  "unsubscribe",
  "unsuback",
  "pingreq",
  "pingresp",
  "disconnect",
] as const;

/**
 * The only legal first byte by type number, but for PUBLISH: PUBREL, SUBSCRIBE and UNSUBSCRIBE carry 0010.
 */
export const FIRST_BYTES = NAMES.map((_, type) => (type << 4) | (type === 6 || type === 8 || type === 10 ? 2 : 0));

/** A return code takes one byte of a packet and eight in memory, a filter of one character over a hundred. */
const MAX_ENTRIES = 0x100000;

const ILLEGAL = -2;
const ANY = -1;

/** By first byte: ILLEGAL, or the only legal remaining length, or ANY. */
const RULES = new Int8Array(256).fill(ILLEGAL);
for (let type = 1; type < 15; type++) {
  RULES[FIRST_BYTES[type]!] = type > 11 ? 0 : (type > 3 && type < 8) || type === 2 || type === 11 ? 2 : ANY;
}
for (let flags = 1; flags < 14; flags++) if ((flags & 6) !== 6 && (flags & 14) !== 8) RULES[0x30 | flags] = ANY;

/** Why `first` with `length` breaks its rule. */
function headerFault(first: number, length: number): HubwireError {
  const type = first >> 4;
  if (RULES[first] !== ILLEGAL) return fault(MALFORMED, `${NAMES[type]} with remaining length ${length}`);
  if (type === 0 || type === 15) return fault(MALFORMED, `reserved packet type ${type}`);
  if (type !== 3) {
    // Only the four with a statement of their own are even and over 5, but for PINGREQ.
    const own = type > 5 && type % 2 === 0 && type !== 12;
    return fault(MALFORMED, `${NAMES[type]} with wrong flags`, own ? `3.${type}.1-1` : "2.2.2-2");
  }
  return (first & 6) === 6 ? fault(MALFORMED, "QoS 3", "3.3.1-4") : fault(MALFORMED, "DUP with QoS 0", "3.3.1-2");
}

/**
 * Reads the fixed header at `at`. Returns the size of the whole packet, or 0 where the header is incomplete.
 * Throws ERR_MALFORMED_PACKET, ERR_PACKET_TOO_LARGE.
 */
export function packetSize(bytes: Uint8Array, at: number, end: number, maxPacketSize: number): number {
  const first = bytes[at]!;
  const rule = RULES[first]!;
  if (rule === ILLEGAL) throw headerFault(first, 0);
  let length = 0;
  for (let size = 1; ; size++) {
    if (size > 4) throw fault(MALFORMED, "remaining length over four bytes");
    if (at + size >= end) return 0;
    const byte = bytes[at + size]!;
    length |= (byte & 0x7f) << (7 * (size - 1));
    if (byte < 0x80) {
      if (rule !== ANY && rule !== length) throw headerFault(first, length);
      const total = 1 + size + length;
      if (total > maxPacketSize) {
        throw fault(TOO_LARGE, `${NAMES[first >> 4]} of ${total} bytes; maxPacketSize is ${maxPacketSize}`);
      }
      return total;
    }
  }
}

/**
 * Delivers every whole packet of `bytes[at, end)`. Returns the position of the first incomplete one. `view`
 * is of all `bytes`, where there is one already. The sink is told that a payload lies in `owner`, `shift`
 * bytes before where it lies in `bytes`. Throws ERR_MALFORMED_PACKET, ERR_PACKET_TOO_LARGE and
 * whatever the sink throws.
 */
export function deliver(
  bytes: Uint8Array,
  at: number,
  end: number,
  sink: PacketSink,
  maxPacketSize: number,
  topics: TopicCache,
  view?: DataView,
  owner = bytes,
  shift = 0,
): number {
  while (at < end) {
    const first = bytes[at]!;
    let start = at + 2;
    let next = end + 1;
    if (start <= end) {
      const rule = RULES[first]!;
      let length = bytes[at + 1]!;
      if (length > 0x7f) {
        const second = start < end ? bytes[start]! : 0x80;
        length = second > 0x7f ? ILLEGAL : (length & 0x7f) | (second << 7);
        start++;
      }
      if (length >= 0 && (rule === length || rule === ANY) && start - at + length <= maxPacketSize) {
        next = start + length;
      }
    }
    if (next > end) {
      // Everything that is not legal and whole at first sight, or over 16 KiB.
      const size = packetSize(bytes, at, end, maxPacketSize);
      next = at + size;
      if (size === 0 || next > end) break;
      // Whole at second sight: the length takes three or four bytes, and `start` is at the third.
      while (bytes[start++]! > 0x7f);
    }
    let packetId;
    switch (first >> 4) {
      case 3: {
        const topicStart = start + 2;
        const topicEnd = topicStart + word(bytes, start);
        const qos = ((first >> 1) & 3) as QoS;
        const payload = qos === 0 ? topicEnd : topicEnd + 2;
        // Of a body of less than two bytes the topic's length is not its own, and this refuses it whatever it
        // is.
        if (topicStart > next || payload > next) throw fault(MALFORMED, "publish shorter than its fields");
        view ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        const topic = topics.get(bytes, view, topicStart, topicEnd);
        packetId = qos === 0 ? 0 : nonZero(word(bytes, topicEnd));
        const retain = (first & 1) !== 0;
        sink.publish?.(topic, owner, payload - shift, next - shift, qos, retain, (first & 8) !== 0, packetId);
        break;
      }
      case 4:
        packetId = nonZero(word(bytes, start));
        sink.puback?.(packetId);
        break;
      case 5:
        packetId = nonZero(word(bytes, start));
        sink.pubrec?.(packetId);
        break;
      case 6:
        packetId = nonZero(word(bytes, start));
        sink.pubrel?.(packetId);
        break;
      case 7:
        packetId = nonZero(word(bytes, start));
        sink.pubcomp?.(packetId);
        break;
      case 12:
        sink.pingreq?.();
        break;
      case 13:
        sink.pingresp?.();
        break;
      case 14:
        sink.disconnect?.();
        break;
      default:
        parse(sink, first >> 4, new Fields(owner, start - shift, next - shift));
    }
    at = next;
  }
  return at;
}

/**
 * Checks and delivers a packet of the types that are not hot; `fields` are its body. Throws
 * ERR_MALFORMED_PACKET, and ERR_PACKET_TOO_LARGE for more than MAX_ENTRIES filters or return codes.
 */
export function parse(sink: PacketSink, type: number, fields: Fields): void {
  if (type === 1) return parseConnect(sink, fields);
  if (type === 2) return parseConnack(sink, fields.byte(), fields.byte());
  const packetId = fields.packetId();
  /** What `next` reads, over and over to the end of the packet; kept only where somebody waits for it. */
  const all = <T>(statement: string, next: () => T): T[] => {
    if (!fields.more) throw fault(MALFORMED, `empty ${NAMES[type]}`, statement);
    const entries: T[] = [];
    const wanted = sink[NAMES[type] as keyof PacketSink] !== undefined;
    for (let count = 0; fields.more; count++) {
      if (count === MAX_ENTRIES) throw fault(TOO_LARGE, `${NAMES[type]} of over ${MAX_ENTRIES} entries`);
      const entry = next();
      if (wanted) entries.push(entry);
    }
    return entries;
  };
  const topicFilter = (): string => {
    const filter = fields.text();
    checkFilter(filter, MALFORMED);
    return filter;
  };
  if (type === 8) {
    const subscriptions = all("3.8.3-3", (): SubscriptionRequest => {
      const filter = topicFilter();
      const qos = fields.byte();
      if (qos > 2) throw fault(MALFORMED, `requested QoS ${qos}`, "3-8.3-4");
      return { topicFilter: filter, qos: qos as QoS };
    });
    sink.subscribe?.(packetId, subscriptions);
  } else if (type === 9) {
    const returnCodes = all("3.8.4-5", () => {
      const code = fields.byte();
      if (code > 2 && code !== 0x80) throw fault(MALFORMED, `suback return code ${code}`, "3.9.3-2");
      return code;
    });
    sink.suback?.(packetId, returnCodes);
  } else if (type === 10) {
    const topicFilters = all("3.10.3-2", topicFilter);
    sink.unsubscribe?.(packetId, topicFilters);
  } else sink.unsuback?.(packetId);
}

function parseConnack(sink: PacketSink, flags: number, returnCode: number): void {
  if (flags > 1) throw fault(MALFORMED, "connack with reserved flags");
  if (returnCode > 5) throw fault(MALFORMED, `connack return code ${returnCode}`);
  if (flags && returnCode) throw fault(MALFORMED, "session present with a refusal", "3.2.2-4");
  sink.connack?.(flags === 1, returnCode);
}

function parseConnect(sink: PacketSink, fields: Fields): void {
  if (fields.text() !== "MQTT") throw fault(MALFORMED, "protocol name is not MQTT", "3.1.2-1");
  const level = fields.byte();
  if (level !== 4) throw fault(MALFORMED, `protocol level ${level}`, "3.1.2-2");
  const flags = fields.byte();
  if (flags & 1) throw fault(MALFORMED, "reserved connect flag", "3.1.2-3");
  const qos = (flags >> 3) & 3;
  if (!(flags & 4)) {
    if (qos) throw fault(MALFORMED, "will QoS without a will", "3.1.2-13");
    if (flags & 0x20) throw fault(MALFORMED, "will retain without a will", "3.1.2-15");
  }
  if (qos === 3) throw fault(MALFORMED, "will QoS 3", "3.1.2-14");
  if ((flags & 0xc0) === 0x40) throw fault(MALFORMED, "password without user name", "3.1.2-22");
  const keepAlive = fields.word();
  const clientId = fields.text();
  const cleanSession = (flags & 2) !== 0;
  if (clientId === "" && !cleanSession) throw fault(MALFORMED, "empty client id with a kept session", "3.1.3-7");
  const packet: ConnectPacket = { type: "connect", clientId, cleanSession, keepAlive };
  if (flags & 4) {
    const topic = fields.text();
    checkName(topic, MALFORMED);
    packet.will = { topic, payload: fields.binary(), qos: qos as QoS, retain: (flags & 0x20) !== 0 };
  }
  if (flags & 0x80) packet.username = fields.text();
  if (flags & 0x40) packet.password = fields.binary();
  fields.done();
  sink.connect?.(packet);
}
