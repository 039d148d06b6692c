/**
 * Messages of a device or module on their way to the service: what their topic says, what the hub adds.
 *
 * "Use MQTT to communicate with IoT Hub" says how topics are read and what RETAIN and a will become, "Create and read IoT
 * Hub messages" what counts towards the size and which stamps keep a device from speaking for another.
 *
 * Invariant: nothing of the topic is believed about who sent the message.
 */
import type { QoS, Will } from "../codec/index.js";
import { decodeProperties, splitProperties, type SystemProperties } from "../wire/property-bag.js";
import { parseOutbound } from "../wire/topics.js";
import { messageIdObjection } from "../wire/twin-limits.js";
import type { Stamps, TelemetryMessage } from "./events.js";
import { violation } from "./link.js";
import { messageBytes } from "./message-bytes.js";

/** What a telemetry topic says, kept because a device mostly sends to one topic. */
export interface TelemetryTopic {
  readonly topic: string;
  readonly properties: ReadonlyMap<string, string | null>;
  readonly systemProperties: SystemProperties;
  /** What the properties count towards the size of the message. */
  readonly bytes: number;
}

/** Who sends, as the events name it, and what the hub says about the sender. */
export interface Sender {
  readonly deviceId: string;
  readonly moduleId: string | undefined;
  readonly stamps: Stamps;
}

/** Throws a violation unless `topic` is the sender's own telemetry topic, with properties that the hub takes. */
export function readTelemetryTopic(topic: string, deviceId: string, moduleId: string | undefined): TelemetryTopic {
  const parsed = parseOutbound(topic);
  if (parsed?.kind !== "telemetry" || parsed.deviceId !== deviceId || parsed.moduleId !== moduleId) {
    throw violation("a message to a topic that is not the device's own");
  }
  // A question mark before the bag is part of the first name here; the decoder takes one away.
  // Some SDKs end the topic of a module's output with a slash; one that is meant is escaped.
  const properties = decodeProperties(`?${parsed.bag.replace(/\/$/, "")}`);
  const bytes = messageBytes(new Uint8Array(0), properties);
  const systemProperties = splitProperties(properties);
  const found = systemProperties.messageId === undefined ? undefined : messageIdObjection(systemProperties.messageId);
  if (found !== undefined) throw violation(found);
  return { topic, systemProperties, properties, bytes };
}

/** Throws a violation for a message over `limit`. */
export function checkSize(topic: TelemetryTopic, payload: Uint8Array, limit: number): void {
  const size = payload.length + topic.bytes;
  if (size > limit) throw violation(`a message of ${size} bytes is over the ${limit} allowed`);
}

/** Throws a violation unless `will` is one that the hub can publish: telemetry of the device, at most QoS 1. */
export function checkWill(will: Will, deviceId: string, moduleId: string | undefined, limit: number): void {
  const topic = readTelemetryTopic(will.topic, deviceId, moduleId);
  if (will.qos === 2) throw violation("IoT Hub takes no QoS 2 will");
  checkSize(topic, will.payload, limit);
}

/** The message for the listeners, who may change it. */
export function telemetryMessage(
  { deviceId, moduleId, stamps }: Sender,
  topic: TelemetryTopic,
  payload: Uint8Array,
  packet: { qos: QoS; retain: boolean; dup: boolean; isWill: boolean; enqueuedTime: Date },
): TelemetryMessage {
  const properties = new Map(topic.properties);
  // The hub stores nothing; it only tells that the flag was set.
  if (packet.retain) properties.set("mqtt-retain", "true");
  if (packet.isWill) properties.set("iothub-MessageType", "Will");
  const message: TelemetryMessage = {
    deviceId,
    payload,
    properties,
    systemProperties: { ...topic.systemProperties },
    enqueuedTime: packet.enqueuedTime,
    topic: topic.topic,
    qos: packet.qos,
    dup: packet.dup,
    stamps,
  };
  if (moduleId !== undefined) message.moduleId = moduleId;
  if (topic.systemProperties.outputName !== undefined) message.outputName = topic.systemProperties.outputName;
  return message;
}
