/**
 * What a hub tells, and what its parts share to tell it.
 *
 * Invariant: an event's object is made for its listeners and never changed or reused by the hub.
 */
import type { EventEmitter } from "node:events";
import type { QoS } from "../codec/index.js";
import type { HubwireError } from "../errors.js";
import type { SystemProperties } from "../wire/property-bag.js";
import type { Clock } from "../clock.js";
import type { CloudCompletion } from "./cloud-queue.js";
import type { Limits } from "./limits.js";
import type { CloseReason } from "./link.js";
import type { Operation, ThrottleOutcome, Throttles } from "./throttle.js";
import type { JsonObject } from "./twin.js";

/** Who an event is about. */
export interface Source {
  /** The device, or the one that the module is of. */
  deviceId: string;
  /** The module; absent where it is about the device itself. */
  moduleId?: string;
}

/**
 * What the hub says about who sent a message ("Anti-spoofing properties"); nothing that the device says gets in here.
 */
export interface Stamps {
  /** The device that the connection belongs to. */
  readonly "iothub-connection-device-id": string;
  /** Its module, where the connection is a module's. */
  readonly "iothub-connection-module-id"?: string;
  /** Tells devices apart that had the same id one after the other. */
  readonly "iothub-connection-auth-generation-id": string;
  /** JSON: `{"scope":"hub|device|module","type":"sas|x509","issuer":"iothub"}`. */
  readonly "iothub-connection-auth-method": string;
  /** The model id of the user name, where there is one. */
  readonly "dt-dataschema"?: string;
}

/** A message from a device or module. */
export interface TelemetryMessage extends Source {
  /** Always a Buffer. The listener's to keep; often a view of a larger chunk. */
  payload: Uint8Array;
  /**
   * The application's properties; a name without a value is null. A will has `iothub-MessageType` = `Will`.
   */
  properties: Map<string, string | null>;
  /** The system properties that the device sent along. */
  systemProperties: SystemProperties;
  /** When the hub took it, by its clock. */
  enqueuedTime: Date;
  /** The module's output, where it named one. */
  outputName?: string;
  /** As the device sent it, with the property bag. */
  topic: string;
  /** The QoS at which the device sent it, 0 or 1. */
  qos: QoS;
  /** The device says that it may have sent it before (section 3.3.1.1). */
  dup: boolean;
  /** What the hub says about the sender. */
  stamps: Stamps;
}

/** A device or module has connected. */
export interface ConnectedEvent extends Source {
  /** Of CONNECT: `<device>` or `<device>/<module>`. */
  clientId: string;
  /** Of CONNECT (section 3.1.2.4). */
  cleanSession: boolean;
  /** Of CONNACK: the hub had kept the session (section 3.2.2.2). */
  sessionPresent: boolean;
  /** Seconds. */
  keepAlive: number;
  /** Of CONNECT, as it was sent. */
  username: string;
  /** Of the user name. */
  apiVersion?: string;
  /** The id of a DTDL model, likewise (IoT Plug and Play). */
  modelId?: string;
  /** What the device calls itself, likewise. */
  productInfo?: string;
}

/** A device's or module's connection ended. */
export interface DisconnectedEvent extends Source {
  /** Who ended it, and why. */
  reason: CloseReason;
  /** With the reasons "violation" and "throttled". */
  error?: HubwireError;
}

/** A CONNECT was refused. */
export interface RefusedEvent {
  /** Of CONNECT. */
  clientId: string;
  /** Of CONNACK; 0 where the connection was closed without one. */
  returnCode: number;
  /** For people; never with a secret. */
  reason: string;
}

/** A client broke a rule. */
export interface ViolationEvent {
  /** Empty before CONNECT. */
  clientId: string;
  /** The rule that was broken: the `statement` of MQTT 3.1.1, where it is one of those. */
  error: HubwireError;
}

/** Reported properties changed. */
export interface ReportedEvent extends Source {
  /** What the device sent; null for what it deleted. */
  patch: JsonObject;
  /** `$version` of the reported properties from now on. */
  version: number;
}

/** A twin request was not answered with success. */
export interface TwinRefusedEvent extends Source {
  /** What the device was answered with, like HTTP's. */
  status: number;
  /** For people. */
  reason: string;
}

/** A device or module subscribed, or tried to. */
export interface SubscribedEvent extends Source {
  /** As the device wrote it. */
  topicFilter: string;
  /** Granted: 0, 1, or 0x80 for a filter that ended the connection. */
  returnCode: number;
  /** Why it was refused. */
  reason?: string;
}

/** A subscription was given up. */
export interface UnsubscribedEvent extends Source {
  /** As the device wrote it. */
  topicFilter: string;
}

/** The quota of an operation is used up. */
export interface ThrottledEvent extends Partial<Source> {
  /** What there was too much of; `poll` is a registration that asks how it stands. */
  operation: Operation | "poll";
  /**
   * `delayed`: operations wait from now on (told once, until none waits); `refused`: answered 429, or CONNACK 3;
   * `closed`: the connection was cut.
   */
  outcome: ThrottleOutcome;
}

/** The record of a feedback message ("Message feedback"), told by itself, not in batches. */
export interface FeedbackEvent extends CloudCompletion {
  /** The `messageId` of the message. */
  originalMessageId: string;
  /** ISO 8601: when the outcome happened. */
  enqueuedTimeUtc: string;
  /** Its outcome. */
  statusCode: CloudCompletion["outcome"];
  /** The outcome in words. */
  description: string;
  /** Tells devices apart that had the same id one after the other. */
  deviceGenerationId: string;
}

/** The provisioning service assigned a device. */
export interface RegisteredEvent {
  /** As the device wrote it. */
  registrationId: string;
  /** The device that it is at the assigned hub. */
  deviceId: string;
  /** What the device sent along, if anything. */
  payload?: unknown;
}

/** The events of a HubEmulator. */
export interface HubEvents {
  /** A message from a device or module, a will included. */
  telemetry: [TelemetryMessage];
  /** CONNACK was sent. */
  connected: [ConnectedEvent];
  /** A connection ended. */
  disconnected: [DisconnectedEvent];
  /** A CONNECT was answered with a return code, or closed. */
  refused: [RefusedEvent];
  /** A client broke the protocol, or a rule of IoT Hub, and its connection was closed. */
  violation: [ViolationEvent];
  /** A SUBSCRIBE, granted or not; one event a filter. */
  subscribed: [SubscribedEvent];
  /** An UNSUBSCRIBE of a filter that was subscribed. */
  unsubscribed: [UnsubscribedEvent];
  /** A device changed its reported properties. */
  reportedProperties: [ReportedEvent];
  /** A twin request was answered with an error. */
  twinRefused: [TwinRefusedEvent];
  /** A quota is used up. */
  throttled: [ThrottledEvent];
  /** A message to a device left its queue, in whatever way. */
  completed: [CloudCompletion];
  /** The same, for the outcomes that the message's `ack` asked for. */
  feedback: [FeedbackEvent];
  /** The provisioning service assigned a device. */
  registered: [RegisteredEvent];
  /** What `exportState` returns is not what it was: identities, twins, enrolments. */
  changed: [];
  /** A listening socket failed, for want of file descriptors for example; the hub goes on. */
  error: [HubwireError];
}

/** Their names. */
export const HUB_EVENTS = Object.keys({
  telemetry: 0,
  connected: 0,
  disconnected: 0,
  refused: 0,
  violation: 0,
  subscribed: 0,
  unsubscribed: 0,
  reportedProperties: 0,
  twinRefused: 0,
  throttled: 0,
  completed: 0,
  feedback: 0,
  registered: 0,
  changed: 0,
  error: 0,
} satisfies Record<keyof HubEvents, 0>);

/** What the parts of one hub share. */
export interface HubContext {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly throttles: Throttles;
  readonly events: EventEmitter<HubEvents>;
}
