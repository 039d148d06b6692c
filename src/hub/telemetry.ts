/**
 * Telemetry as the hub wants it: topic, property bag and body of a message, checked before anything is sent.
 *
 * Invariant: what is returned is within the hub's size limit and of a QoS that it takes; otherwise a typed error.
 */
import { HubwireError } from "../errors.js";
import { HUB_LIMITS } from "../wire/limits.js";
import { encodeProperties, type PropertiesInit, propertyEntries, SYSTEM_PROPERTIES } from "../wire/property-bag.js";
import { telemetryTopic } from "../wire/topics.js";

/** Text and bytes are sent as they are, anything else as JSON. */
export type TelemetryBody = unknown;

export interface TelemetryOptions {
  /** The application's own; a null value is sent as the name alone. */
  properties?: PropertiesInit | undefined;
  messageId?: string | undefined;
  correlationId?: string | undefined;
  userId?: string | undefined;
  to?: string | undefined;
  expiry?: Date | string | undefined;
  /** The hub routes on the body only with `application/json` and `contentEncoding` `utf-8`. */
  contentType?: string | undefined;
  contentEncoding?: string | undefined;
  /** A module's output. */
  outputName?: string | undefined;
  subject?: string | undefined;
  interfaceId?: string | undefined;
  /** When the data came about. */
  creationTime?: Date | string | undefined;
  /** Default 1; the hub closes the connection on 2. */
  qos?: 0 | 1 | undefined;
  /** The hub stores nothing but adds the property `mqtt-retain`. */
  retain?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

const SYSTEM_NAMES = /* @__PURE__ */ Object.keys(SYSTEM_PROPERTIES) as (keyof TelemetryOptions &
  keyof typeof SYSTEM_PROPERTIES)[];

const refusal = (message: string): HubwireError => new HubwireError("ERR_INVALID_ARGUMENT", message);

export interface EncodedTelemetry {
  topic: string;
  payload: string | Uint8Array;
  qos: 0 | 1;
  /** Bytes, counted as the hub counts. */
  size: number;
}

/** Throws ERR_LIMIT over 256 KiB, ERR_INVALID_ARGUMENT for what cannot be sent. */
export function encodeTelemetry(
  { deviceId, moduleId }: { deviceId: string; moduleId?: string | undefined },
  body: TelemetryBody,
  options: TelemetryOptions,
): EncodedTelemetry {
  const { qos = 1, properties } = options;
  if (qos !== 0 && qos !== 1) throw refusal("qos is 0 or 1: the hub closes the connection on QoS 2");
  const [payload, isJson] = encodeBody(body);
  const bag = new Map<string, string | null>();
  let size = Buffer.byteLength(payload);
  for (const name of SYSTEM_NAMES) {
    let value: unknown = options[name];
    if (value === undefined && isJson) {
      if (name === "contentType") value = "application/json";
      if (name === "contentEncoding") value = "utf-8";
    }
    if (value === undefined || value === null) continue;
    if (value instanceof Date && !Number.isNaN(value.getTime())) value = value.toISOString();
    if (typeof value !== "string") throw refusal(`${name} must be a string`);
    size += Buffer.byteLength(value);
    bag.set(SYSTEM_PROPERTIES[name], value);
  }
  if (properties) {
    for (const [name, value] of propertyEntries(properties)) {
      if (bag.has(name)) throw refusal(`${JSON.stringify(name)} is given as an option and as a property`);
      size += Buffer.byteLength(name) + (typeof value === "string" ? Buffer.byteLength(value) : 0);
      bag.set(name, value);
    }
  }
  if (size > HUB_LIMITS.telemetry) {
    throw new HubwireError(
      "ERR_LIMIT",
      `a message of ${size} bytes, properties included, is over the hub's ${HUB_LIMITS.telemetry}`,
    );
  }
  return { topic: telemetryTopic(deviceId, moduleId, encodeProperties(bag)), payload, qos, size };
}

function encodeBody(body: unknown): [payload: string | Uint8Array, isJson: boolean] {
  if (typeof body === "string" || body instanceof Uint8Array) return [body, false];
  if (body instanceof ArrayBuffer) return [new Uint8Array(body), false];
  if (ArrayBuffer.isView(body)) return [new Uint8Array(body.buffer, body.byteOffset, body.byteLength), false];
  let json: string | undefined;
  try {
    json = JSON.stringify(body);
  } catch (cause) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "the body cannot be written as JSON", { cause });
  }
  if (json === undefined) throw refusal("the body is missing; text, bytes or a JSON value can be sent");
  return [json, true];
}
