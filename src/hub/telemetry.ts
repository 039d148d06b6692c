/**
 * Telemetry as the hub wants it: topic, property bag and body of a message, checked before anything is sent.
 *
 * Invariant: what is returned is within the hub's size limit and of a QoS that it takes; otherwise a typed error.
 */
import { checkSignal } from "../abort.js";
import { trustTopic } from "../client/arguments.js";
import { checkOptions, invalid, orInvalid, type Rules } from "../check.js";
import { HubwireError } from "../errors.js";
import { encodeJson } from "../wire/json.js";
import { HUB_LIMITS } from "../wire/limits.js";
import { BagKey, BagWriter, isPlain, type PropertiesInit, SYSTEM_PROPERTIES } from "../wire/property-bag.js";
import { bytesOf } from "./json.js";
import { messageIdObjection } from "../wire/twin-limits.js";

/** Text and bytes are sent as they are, anything else as JSON. */
export type TelemetryBody = unknown;

/** What belongs to one message besides its body. */
export interface TelemetryOptions {
  /** The application's own; a null value is sent as the name alone. */
  properties?: PropertiesInit | undefined;
  /** At most 128 ASCII letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ ' */
  messageId?: string | undefined;
  /** The id of a message that this one answers, by custom. */
  correlationId?: string | undefined;
  /** Who it comes from. */
  userId?: string | undefined;
  /** Where it goes to. */
  to?: string | undefined;
  /** When it is worth nothing any more; text is ISO 8601, UTC. */
  expiry?: Date | string | undefined;
  /** The hub routes on the body only with `application/json` and `contentEncoding` `utf-8`. */
  contentType?: string | undefined;
  /** E.g. `utf-8`. */
  contentEncoding?: string | undefined;
  /** A module's output. */
  outputName?: string | undefined;
  /** The component of a Plug and Play device (`dt-subject`). */
  subject?: string | undefined;
  /** The interface of a Plug and Play device. */
  interfaceId?: string | undefined;
  /** When the data came about; text is ISO 8601, UTC. */
  creationTime?: Date | string | undefined;
  /** Default 1; the hub closes the connection on 2. */
  qos?: 0 | 1 | undefined;
  /** The hub stores nothing but adds the property `mqtt-retain`. */
  retain?: boolean | undefined;
  /** Ends the waiting with ERR_ABORTED; the message may have arrived. */
  signal?: AbortSignal | undefined;
}

const TELEMETRY_RULES: Rules = {
  properties: "object",
  messageId: "string",
  correlationId: "string",
  userId: "string",
  to: "string",
  expiry: "string|object",
  contentType: "string",
  contentEncoding: "string",
  outputName: "string",
  subject: "string",
  interfaceId: "string",
  creationTime: "string|object",
  qos: "number",
  retain: "boolean",
  signal: "object",
};

export interface EncodedTelemetry {
  topic: string;
  payload: string | Uint8Array;
  qos: 0 | 1;
  retain: boolean;
  signal: AbortSignal | undefined;
  /** Bytes, counted as the hub counts. */
  size: number;
}

/**
 * `topic` is the identity's, without a property bag. Throws ERR_LIMIT over 256 KiB and for a message id that
 * is too long, ERR_INVALID_ARGUMENT for what cannot be sent.
 */
export function encodeTelemetry(
  topic: string,
  body: TelemetryBody,
  given: TelemetryOptions | undefined,
  outputName?: string,
): EncodedTelemetry {
  const options = checkOptions(given, TELEMETRY_RULES, "sendTelemetry");
  const { qos = 1, retain = false, signal, properties } = options;
  if (signal !== undefined) checkSignal(signal);
  if (qos !== 0 && qos !== 1) throw invalid("qos is 0 or 1: the hub closes the connection on QoS 2");
  if (outputName !== undefined) options.outputName = outputName;
  let payload = asItIs(body);
  if (payload === undefined) {
    payload = encodeJson(body, "the body");
    options.contentType ??= "application/json";
    options.contentEncoding ??= "utf-8";
  }
  const bag = new BagWriter(topic);
  addSystemProperties(bag, options);
  if (properties !== undefined) {
    bag.addAll(properties);
    if (bag.hasSystemName) refuseTwice(options, properties);
  }
  const size = bag.size + (typeof payload === "string" ? Buffer.byteLength(payload) : payload.length);
  if (size > HUB_LIMITS.telemetry) {
    throw new HubwireError(
      "ERR_LIMIT",
      `a message of ${size} bytes, properties included, is over the hub's ${HUB_LIMITS.telemetry}`,
    );
  }
  const { text } = bag;
  // To look at a character makes one string of all its pieces, which take more memory and may have to wait for long.
  const isAscii = text.charCodeAt(text.length - 1) < 0x80 && isPrintable(topic);
  if (isAscii && text.length <= 0xffff) trustTopic(text);
  return { topic: text, payload, qos, retain, signal, size };
}

let lastPrintable = "";

/** Whether an identity's topic is a name that can be sent, all of it ASCII. Property bags always are. */
function isPrintable(topic: string): boolean {
  if (topic === lastPrintable) return true;
  if (!/^[ !"$-*,-~]+$/.test(topic)) return false;
  lastPrintable = topic;
  return true;
}

// As they are written.
const MID = /* @__PURE__ */ new BagKey("&%24.mid=");
const CID = /* @__PURE__ */ new BagKey("&%24.cid=");
const UID = /* @__PURE__ */ new BagKey("&%24.uid=");
const TO = /* @__PURE__ */ new BagKey("&%24.to=");
const EXP = /* @__PURE__ */ new BagKey("&%24.exp=");
const CT = /* @__PURE__ */ new BagKey("&%24.ct=");
const CE = /* @__PURE__ */ new BagKey("&%24.ce=");
const ON = /* @__PURE__ */ new BagKey("&%24.on=");
const SUB = /* @__PURE__ */ new BagKey("&%24.sub=");
const IFID = /* @__PURE__ */ new BagKey("&%24.ifid=");
const CTIME = /* @__PURE__ */ new BagKey("&%24.ctime=");

/** Always in this order. Written out because that is several times as fast as a loop over names. */
function addSystemProperties(bag: BagWriter, options: TelemetryOptions): void {
  const { messageId, correlationId, userId, to, expiry, contentType, contentEncoding } = options;
  const { outputName, subject, interfaceId, creationTime } = options;
  if (messageId !== undefined) bag.addOnce(MID, checkMessageId(messageId));
  if (correlationId !== undefined) bag.addValue(CID, correlationId);
  if (userId !== undefined) bag.addValue(UID, userId);
  if (to !== undefined) bag.addValue(TO, to);
  if (expiry !== undefined) bag.addValue(EXP, isoText(expiry, "expiry"));
  if (contentType !== undefined) bag.addValue(CT, contentType);
  if (contentEncoding !== undefined) bag.addValue(CE, contentEncoding);
  if (outputName !== undefined) bag.addValue(ON, outputName);
  if (subject !== undefined) bag.addValue(SUB, subject);
  if (interfaceId !== undefined) bag.addValue(IFID, interfaceId);
  if (creationTime !== undefined) bag.addValue(CTIME, isoText(creationTime, "creationTime"));
}

function checkMessageId(messageId: string): string {
  if (isPlain(messageId)) return messageId;
  const objection = messageIdObjection(messageId);
  if (objection === undefined) return messageId;
  throw new HubwireError(messageId.length > HUB_LIMITS.messageId ? "ERR_LIMIT" : "ERR_INVALID_ARGUMENT", objection);
}

/** Of a name that is there twice, nobody knows which the hub takes. */
function refuseTwice(options: TelemetryOptions, properties: PropertiesInit): void {
  for (const [name, wire] of Object.entries(SYSTEM_PROPERTIES)) {
    if (options[name as keyof TelemetryOptions] === undefined) continue;
    if (properties instanceof Map ? properties.has(wire) : Object.hasOwn(properties, wire)) {
      throw invalid(`${JSON.stringify(wire)} is given as an option and as a property`);
    }
  }
}

function isoText(value: Date | string, name: string): string {
  if (typeof value === "string") return value;
  const text = `option ${name} of sendTelemetry must be a string or a valid Date`;
  return orInvalid(() => Date.prototype.toISOString.call(value), text);
}

/** What is sent as it is; undefined for what is sent as JSON. */
function asItIs(body: unknown): string | Uint8Array | undefined {
  if (typeof body === "string") return body;
  try {
    return bytesOf(body);
  } catch (cause) {
    throw invalid("the body cannot be read", { cause });
  }
}
