/**
 * The bodies of all packets but PUBLISH and the three that have none.
 *
 * Invariants: every field of the caller's object is read once; what can't be written in its field's form is
 * refused here; all other rules are the decoder's own, run over the finished body, so that the two sides
 * agree.
 */
import { INVALID, fault } from "./fault.js";
import { Fields } from "./fields.js";
import { NAMES } from "./header.js";
import { parse } from "./parse.js";
import { stringLength } from "./utf8.js";
import { checkBoolean, checkInteger, dataLength, plainBytes } from "./values.js";
import type { AcknowledgementPacket, PacketInit, PacketType } from "./types.js";

function word(value: number, name: string): Uint8Array {
  checkInteger(value, name, 0xffff);
  return Uint8Array.of(value >> 8, value);
}

/** A payload or password behind its length. */
function binary(data: Uint8Array | string, name: string): Uint8Array[] {
  const length = word(dataLength(data, name), `length of ${name}`);
  return [length, typeof data === "string" ? Buffer.from(data) : plainBytes(data)];
}

function text(value: string, name: string): Uint8Array[] {
  stringLength(value, name, INVALID);
  return binary(value, name);
}

/** A packet identifier, and behind it what `entry` makes of each member of a copy of `list`: nothing is read twice. */
function entries<T>(
  packetId: number,
  list: readonly T[],
  name: string,
  entry: (value: T) => Uint8Array[],
): Uint8Array[] {
  if (!Array.isArray(list)) throw fault(INVALID, `${name} must be an array`);
  const parts = [word(packetId, "packetId")];
  for (const value of [...list] as T[]) parts.push(...entry(value));
  return parts;
}

/** By packet name, the parts of its body; all others are a packet identifier and no more. */
const PARTS: { readonly [Type in PacketType]?: (packet: Extract<PacketInit, { type: Type }>) => Uint8Array[] } = {
  connect({ clientId, cleanSession = true, keepAlive = 60, username, password, will }) {
    checkBoolean(cleanSession, "cleanSession");
    // The level, and the flags, to which the fields add theirs.
    const start = Uint8Array.of(4, cleanSession ? 2 : 0);
    const parts = [...text("MQTT", ""), start, word(keepAlive, "keepAlive"), ...text(clientId, "clientId")];
    if (will !== undefined) {
      const { topic, payload, qos = 0, retain = false } = will;
      checkInteger(qos, "will.qos", 2, "3.1.2-14");
      checkBoolean(retain, "will.retain");
      start[1]! |= 4 | (qos << 3) | (retain ? 0x20 : 0);
      parts.push(...text(topic, "will.topic"), ...binary(payload, "will.payload"));
    }
    if (username !== undefined) {
      start[1]! |= 0x80;
      parts.push(...text(username, "username"));
    }
    if (password !== undefined) {
      start[1]! |= 0x40;
      parts.push(...binary(password, "password"));
    }
    return parts;
  },
  connack({ sessionPresent = false, returnCode }) {
    checkBoolean(sessionPresent, "sessionPresent");
    checkInteger(returnCode, "returnCode", 5);
    return [Uint8Array.of(sessionPresent ? 1 : 0, returnCode)];
  },
  subscribe: ({ packetId, subscriptions }) =>
    entries(packetId, subscriptions, "subscriptions", ({ topicFilter, qos = 0 }) => {
      checkInteger(qos, "qos", 2, "3-8.3-4");
      return [...text(topicFilter, "topicFilter"), Uint8Array.of(qos)];
    }),
  suback: ({ packetId, returnCodes }) =>
    entries(packetId, returnCodes, "returnCodes", (code) => {
      checkInteger(code, "returnCode", 0x80, "3.9.3-2");
      return [Uint8Array.of(code)];
    }),
  unsubscribe: ({ packetId, topicFilters }) =>
    entries(packetId, topicFilters, "topicFilters", (filter) => text(filter, "topicFilter")),
};

/**
 * The body of `packet`, which is of `type`: not PUBLISH, and none of the last three. Throws ERR_INVALID_PACKET for a field
 * of the wrong form, ERR_MALFORMED_PACKET for what is against the rules.
 */
export function bodyOf(type: number, packet: PacketInit): Uint8Array {
  const parts = PARTS[NAMES[type] as "connect"];
  const bytes = Buffer.concat(
    parts ? parts(packet as never) : [word((packet as AcknowledgementPacket).packetId, "packetId")],
  );
  parse({}, type, new Fields(bytes, 0, bytes.length));
  return bytes;
}
