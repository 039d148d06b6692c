/**
 * The packets that are not hot, field by field: CONNECT, CONNACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK.
 *
 * Invariant: a packet is checked completely before the sink hears of it.
 */
import { MALFORMED, TOO_LARGE, fault } from "./fault.js";
import { nonZero, type Fields } from "./fields.js";
import { NAMES } from "./header.js";
import { checkFilter, checkName } from "./topics.js";
import type { ConnectPacket, PacketSink, QoS, SubscriptionRequest } from "./types.js";

/** A return code takes one byte of a packet and eight in memory, a filter of one character over a hundred. */
const MAX_ENTRIES = 0x100000;

/**
 * Checks and delivers a packet of the types that are not hot; `fields` are its body. Throws
 * ERR_MALFORMED_PACKET, and ERR_PACKET_TOO_LARGE for more than MAX_ENTRIES filters or return codes.
 */
export function parse(sink: PacketSink, type: number, fields: Fields): void {
  if (type === 1) return parseConnect(sink, fields);
  if (type === 2) return parseConnack(sink, fields.byte(), fields.byte());
  const packetId = nonZero(fields.word());
  const list = LISTS[type];
  if (!list) return sink[NAMES[type] as "unsuback"]?.(packetId);
  const [statement, next] = list;
  if (!fields.more) throw fault(MALFORMED, `empty ${NAMES[type]}`, statement);
  // Kept only where somebody waits for them.
  const wanted = sink[NAMES[type] as "suback"] !== undefined;
  const entries: never[] = [];
  for (let count = 0; fields.more; count++) {
    if (count === MAX_ENTRIES) throw fault(TOO_LARGE, `${NAMES[type]} of over ${MAX_ENTRIES} entries`);
    const entry = next(fields);
    if (wanted) entries.push(entry as never);
  }
  sink[NAMES[type] as "suback"]?.(packetId, entries);
}

/** By packet type: the statement that an empty list breaks, and what reads an entry. */
const LISTS: { readonly [type: number]: readonly [statement: string, next: (fields: Fields) => unknown] | undefined } =
  {
    8: ["3.8.3-3", parseSubscription],
    9: ["3.8.4-5", parseReturnCode],
    10: ["3.10.3-2", parseFilter],
  };

function parseFilter(fields: Fields): string {
  return checkFilter(fields.text(), MALFORMED);
}

function parseSubscription(fields: Fields): SubscriptionRequest {
  const topicFilter = parseFilter(fields);
  const qos = fields.byte();
  if (qos > 2) throw fault(MALFORMED, `requested QoS ${qos}`, "3-8.3-4");
  return { topicFilter, qos: qos as QoS };
}

function parseReturnCode(fields: Fields): number {
  const code = fields.byte();
  if (code > 2 && code !== 0x80) throw fault(MALFORMED, `suback returnCode ${code}`, "3.9.3-2");
  return code;
}

function parseConnack(sink: PacketSink, flags: number, returnCode: number): void {
  if (flags > 1) throw fault(MALFORMED, "connack with wrong flags");
  if (returnCode > 5) throw fault(MALFORMED, `connack returnCode ${returnCode}`);
  if (flags && returnCode) throw fault(MALFORMED, "sessionPresent with returnCode", "3.2.2-4");
  sink.connack?.(flags === 1, returnCode);
}

function parseConnect(sink: PacketSink, fields: Fields): void {
  if (fields.text() !== "MQTT") throw fault(MALFORMED, "protocol name not MQTT", "3.1.2-1");
  const level = fields.byte();
  if (level !== 4) throw fault(MALFORMED, `protocol level ${level}`, "3.1.2-2");
  const flags = fields.byte();
  if (flags & 1) throw fault(MALFORMED, "connect with wrong flags", "3.1.2-3");
  const qos = (flags >> 3) & 3;
  if (!(flags & 4)) {
    if (qos) throw fault(MALFORMED, "will QoS without a will", "3.1.2-13");
    if (flags & 0x20) throw fault(MALFORMED, "will retain without a will", "3.1.2-15");
  }
  if (qos === 3) throw fault(MALFORMED, "will QoS 3", "3.1.2-14");
  if ((flags & 0xc0) === 0x40) throw fault(MALFORMED, "password without username", "3.1.2-22");
  const keepAlive = fields.word();
  const clientId = fields.text();
  const cleanSession = (flags & 2) !== 0;
  if (clientId === "" && !cleanSession) throw fault(MALFORMED, "empty clientId without cleanSession", "3.1.3-7");
  const packet: ConnectPacket = { type: "connect", clientId, cleanSession, keepAlive };
  if (flags & 4) {
    const topic = checkName(fields.text(), MALFORMED);
    packet.will = { topic, payload: fields.binary(), qos: qos as QoS, retain: (flags & 0x20) !== 0 };
  }
  if (flags & 0x80) packet.username = fields.text();
  if (flags & 0x40) packet.password = fields.binary();
  if (fields.more) throw fault(MALFORMED, "packet longer than its fields");
  sink.connect?.(packet);
}
