/**
 * The bodies of CONNECT, CONNACK, SUBSCRIBE, SUBACK and UNSUBSCRIBE, which are not hot.
 *
 * Invariants: every field of the caller's object is read once; what can't be written in its field's form is
 * refused here; all other rules are the decoder's own, run over the finished body, so that the two sides
 * agree.
 */
import { INVALID, fault } from "./fault.js";
import { Fields } from "./fields.js";
import { parse } from "./parse.js";
import { stringLength } from "./utf8.js";
import { checkBoolean, checkInteger, dataLength, plainBytes } from "./values.js";
import type { PacketInit } from "./types.js";

/** The fields of a body, one after the other. */
class Body {
  readonly parts: Uint8Array[] = [];

  byte(value: number): void {
    this.parts.push(Uint8Array.of(value));
  }

  word(value: number, name: string): void {
    checkInteger(value, name, 0xffff);
    this.parts.push(Uint8Array.of(value >> 8, value));
  }

  /** A payload or password behind its length. */
  binary(data: Uint8Array | string, name: string): void {
    this.word(dataLength(data, name), `length of ${name}`);
    this.parts.push(typeof data === "string" ? Buffer.from(data) : plainBytes(data));
  }

  text(value: string, name: string): void {
    stringLength(value, name, INVALID);
    this.binary(value, name);
  }
}

/** By packet type (section 2.2.1). */
const FIELDS: { readonly [type: number]: (body: Body, packet: never) => void } = {
  1: connect,
  2: connack,
  8: subscribe,
  9: suback,
  10: unsubscribe,
};

type Init<Type> = Extract<PacketInit, { type: Type }>;

function connect(body: Body, packet: Init<"connect">): void {
  const { clientId, cleanSession = true, keepAlive = 60, username, password, will } = packet;
  checkBoolean(cleanSession, "cleanSession");
  body.text("MQTT", "");
  // The flags come to stand in the second byte, when they are known.
  const start = Uint8Array.of(4, cleanSession ? 2 : 0);
  body.parts.push(start);
  body.word(keepAlive, "keepAlive");
  body.text(clientId, "clientId");
  if (will !== undefined) {
    const { topic, payload, qos = 0, retain = false } = will;
    checkInteger(qos, "will.qos", 2, "3.1.2-14");
    checkBoolean(retain, "will.retain");
    start[1]! |= 4 | (qos << 3) | (retain ? 0x20 : 0);
    body.text(topic, "will.topic");
    body.binary(payload, "will.payload");
  }
  if (username !== undefined) {
    start[1]! |= 0x80;
    body.text(username, "username");
  }
  if (password !== undefined) {
    start[1]! |= 0x40;
    body.binary(password, "password");
  }
}

function connack(body: Body, { sessionPresent = false, returnCode }: Init<"connack">): void {
  checkBoolean(sessionPresent, "sessionPresent");
  checkInteger(returnCode, "returnCode", 5);
  body.byte(sessionPresent ? 1 : 0);
  body.byte(returnCode);
}

/** A copy, so that nothing is read twice. */
function list<T>(value: readonly T[], name: string): T[] {
  if (!Array.isArray(value)) throw fault(INVALID, `${name} must be an array`);
  return [...value] as T[];
}

function subscribe(body: Body, { packetId, subscriptions }: Init<"subscribe">): void {
  body.word(packetId, "packetId");
  for (const { topicFilter, qos = 0 } of list(subscriptions, "subscriptions")) {
    checkInteger(qos, "qos", 2, "3-8.3-4");
    body.text(topicFilter, "topicFilter");
    body.byte(qos);
  }
}

function suback(body: Body, { packetId, returnCodes }: Init<"suback">): void {
  body.word(packetId, "packetId");
  const codes = list(returnCodes, "returnCodes");
  for (const code of codes) checkInteger(code, "a return code", 0x80, "3.9.3-2");
  body.parts.push(Uint8Array.from(codes));
}

function unsubscribe(body: Body, { packetId, topicFilters }: Init<"unsubscribe">): void {
  body.word(packetId, "packetId");
  for (const filter of list(topicFilters, "topicFilters")) body.text(filter, "topicFilter");
}

/**
 * The body of `packet`, which is of `type`: one of the five. Throws ERR_INVALID_PACKET for a field of the
 * wrong form, ERR_MALFORMED_PACKET for what is against the rules.
 */
export function bodyOf(type: number, packet: PacketInit): Uint8Array {
  const body = new Body();
  FIELDS[type]!(body, packet as never);
  const bytes = Buffer.concat(body.parts);
  parse({}, type, new Fields(bytes, 0, bytes.length));
  return bytes;
}
