/**
 * The bodies of CONNECT, CONNACK, SUBSCRIBE, SUBACK and UNSUBSCRIBE, which are not hot.
 *
 * Invariants: every field of the caller's object is read once; what can't be written in its field's form is
 * refused here; all other rules are the decoder's own, run over the finished body, so that the two sides
 * agree.
 */
import { Buffer } from "node:buffer";
import { checkBoolean, checkInteger, dataLength } from "./values.js";
import { parse } from "./parse.js";
import { INVALID, fault } from "./fault.js";
import { Fields } from "./fields.js";
import { stringLength } from "./utf8.js";
import type { PacketInit } from "./types.js";

type Init<Type> = Extract<PacketInit, { type: Type }>;

function twoBytes(value: number, name: string): Uint8Array {
  checkInteger(value, name, 0xffff);
  return Uint8Array.of(value >> 8, value);
}

/** A payload or password behind its length. */
function binary(data: Uint8Array | string, name: string): Uint8Array {
  const length = dataLength(data, name);
  const field = Buffer.concat([twoBytes(length, `length of ${name}`)], 2 + length);
  if (typeof data === "string") field.write(data, 2);
  else field.set(data, 2);
  return field;
}

function text(value: string, name: string): Uint8Array {
  stringLength(value, name, INVALID);
  return binary(value, name);
}

function list<T>(value: readonly T[], name: string): readonly T[] {
  if (!Array.isArray(value)) throw fault(INVALID, `${name} must be an array`);
  return [...value] as T[];
}

function connect(packet: Init<"connect">): Uint8Array[] {
  const { clientId, cleanSession = true, keepAlive = 60, username, password, will } = packet;
  checkBoolean(cleanSession, "cleanSession");
  let flags = cleanSession ? 2 : 0;
  const fields = [twoBytes(keepAlive, "keepAlive"), text(clientId, "clientId")];
  if (will !== undefined) {
    const { topic, payload, qos = 0, retain = false } = will;
    checkInteger(qos, "will.qos", 2, "3.1.2-14");
    checkBoolean(retain, "will.retain");
    flags |= 4 | (qos << 3) | (retain ? 0x20 : 0);
    fields.push(text(topic, "will.topic"), binary(payload, "will.payload"));
  }
  if (username !== undefined) {
    flags |= 0x80;
    fields.push(text(username, "username"));
  }
  if (password !== undefined) {
    flags |= 0x40;
    fields.push(binary(password, "password"));
  }
  return [text("MQTT", ""), Uint8Array.of(4, flags), ...fields];
}

function connack({ sessionPresent = false, returnCode }: Init<"connack">): Uint8Array[] {
  checkBoolean(sessionPresent, "sessionPresent");
  checkInteger(returnCode, "returnCode", 5);
  return [Uint8Array.of(sessionPresent ? 1 : 0, returnCode)];
}

function subscribe({ packetId, subscriptions }: Init<"subscribe">): Uint8Array[] {
  const entries = list(subscriptions, "subscriptions").flatMap(({ topicFilter, qos = 0 }) => {
    checkInteger(qos, "qos", 2, "3-8.3-4");
    return [text(topicFilter, "topicFilter"), Uint8Array.of(qos)];
  });
  return [twoBytes(packetId, "packetId"), ...entries];
}

function suback({ packetId, returnCodes }: Init<"suback">): Uint8Array[] {
  const codes = list(returnCodes, "returnCodes");
  for (const code of codes) checkInteger(code, "a return code", 0x80, "3.9.3-2");
  return [twoBytes(packetId, "packetId"), Uint8Array.from(codes)];
}

function unsubscribe({ packetId, topicFilters }: Init<"unsubscribe">): Uint8Array[] {
  return [
    twoBytes(packetId, "packetId"),
    ...list(topicFilters, "topicFilters").map((filter) => text(filter, "topicFilter")),
  ];
}

/** By packet type (section 2.2.1). */
const FIELDS: Readonly<Record<number, (packet: never) => Uint8Array[]>> = {
  1: connect,
  2: connack,
  8: subscribe,
  9: suback,
  10: unsubscribe,
};

/**
 * The body of `packet`, which is of `type`: one of the five. Throws ERR_INVALID_PACKET for a field of the
 * wrong form, ERR_MALFORMED_PACKET for what is against the rules.
 */
export function bodyOf(type: number, packet: PacketInit): Uint8Array {
  const body = Buffer.concat(FIELDS[type]!(packet as never));
  parse({}, type, new Fields(body, 0, body.length));
  return body;
}
