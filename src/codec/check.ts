/**
 * Whether a PUBLISH may be sent, and how large it will be, without encoding it. `PacketWriter` asks the same
 * functions in the same order, so that what passes here is written, and what does not is refused alike.
 *
 * Invariant: for a good one nothing is allocated.
 */
import { INVALID, MAX_PACKET_SIZE, fault } from "./fault.js";
import { nonZero } from "./fields.js";
import { topicLength } from "./topics.js";
import type { QoS } from "./types.js";
import { checkBoolean, checkInteger, dataLength } from "./values.js";

/** The size of a packet with that remaining length, bytes. Throws ERR_INVALID_PACKET for more than there can be. */
export function wholeSize(length: number): number {
  const size = length + (length < 0x80 ? 2 : length < 0x4000 ? 3 : length < 0x200000 ? 4 : 5);
  if (size > MAX_PACKET_SIZE) throw fault(INVALID, `packet is over ${MAX_PACKET_SIZE} bytes`);
  return size;
}

/** Throws ERR_INVALID_PACKET. */
export function checkPacketId(value: number): void {
  checkInteger(value, "packetId", 0xffff);
  nonZero(value, INVALID);
}

/** Checks what stands beside topic and payload in a PUBLISH. Throws ERR_INVALID_PACKET. */
export function checkFlags(qos: QoS, retain: boolean, dup: boolean, packetId: number): void {
  checkInteger(qos, "qos", 2, "3.3.1-4");
  checkBoolean(retain, "retain");
  checkBoolean(dup, "dup");
  if (qos > 0) checkPacketId(packetId);
  else if (dup) throw fault(INVALID, "DUP with QoS 0", "3.3.1-2");
  else if (packetId !== 0) throw fault(INVALID, "packetId with QoS 0", "2.3.1-5");
}

/** The remaining length of a PUBLISH with a topic of that many bytes and a payload of that many. */
export const publishLength = (topicBytes: number, payloadBytes: number, qos: QoS): number =>
  (qos === 0 ? 2 : 4) + topicBytes + payloadBytes;

/**
 * The size of a legal PUBLISH as `encode` writes it, bytes, fixed header included; `payload` is its length in
 * bytes. Checks nothing but that there can be such a packet: throws ERR_INVALID_PACKET for one over
 * MAX_PACKET_SIZE.
 */
export function publishSize(topic: string, payload: number, qos: QoS): number {
  return wholeSize(publishLength(Buffer.byteLength(topic), payload, qos));
}

/**
 * Checks a PUBLISH whose packet identifier is still to come. Returns its size, bytes, fixed header included.
 * Throws the ERR_INVALID_PACKET that encoding it would. Allocates nothing.
 */
export function checkPublish(topic: string, payload: Uint8Array | string, qos: QoS, retain: boolean): number {
  return checkWhole(topic, payload, qos, retain, false, qos === 0 ? 0 : 1);
}

/** The same of a PUBLISH that has its identifier, 0 with QoS 0. */
export function checkWhole(
  topic: string,
  payload: Uint8Array | string,
  qos: QoS,
  retain: boolean,
  dup: boolean,
  packetId: number,
): number {
  const topicBytes = topicLength(topic, INVALID);
  checkFlags(qos, retain, dup, packetId);
  return wholeSize(publishLength(topicBytes, dataLength(payload, "payload"), qos));
}
