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
import type { Faults } from "./faults.js";
import type { Limits } from "./limits.js";
import type { CloseReason } from "./link.js";
import type { JsonObject } from "./twin.js";

/** Who an event is about. */
export interface Source {
  deviceId: string;
  moduleId?: string;
}

/** A message from a device or module. */
export interface TelemetryMessage extends Source {
  /** Always a Buffer. The listener's to keep; often a view of a larger chunk. */
  payload: Uint8Array;
  /**
   * The application's properties; a name without a value is null. A will has `iothub-MessageType` = `Will`.
   */
  properties: Map<string, string | null>;
  systemProperties: SystemProperties;
  enqueuedTime: Date;
  /** The module's output, where it named one. */
  outputName?: string;
  topic: string;
  qos: QoS;
  dup: boolean;
}

export interface ConnectedEvent extends Source {
  clientId: string;
  cleanSession: boolean;
  sessionPresent: boolean;
  /** Seconds. */
  keepAlive: number;
  username: string;
  /** Of the user name. */
  apiVersion?: string;
  modelId?: string;
  productInfo?: string;
}

export interface DisconnectedEvent extends Source {
  reason: CloseReason;
  /** With the reason "violation". */
  error?: HubwireError;
}

export interface RefusedEvent {
  clientId: string;
  /** Of CONNACK. */
  returnCode: number;
  reason: string;
}

export interface ViolationEvent {
  /** Empty before CONNECT. */
  clientId: string;
  error: HubwireError;
}

export interface ReportedEvent extends Source {
  patch: JsonObject;
  version: number;
}

export interface SubscribedEvent extends Source {
  topicFilter: string;
  /** Granted: 0, 1, or 0x80 for refused. */
  returnCode: number;
}

export interface RegisteredEvent {
  registrationId: string;
  deviceId: string;
  /** What the device sent along, if anything. */
  payload?: unknown;
}

/** The events of a HubEmulator. */
export interface HubEvents {
  telemetry: [TelemetryMessage];
  connected: [ConnectedEvent];
  disconnected: [DisconnectedEvent];
  /** A CONNECT was answered with a return code, or closed. */
  refused: [RefusedEvent];
  /** A client broke the protocol, or a rule of IoT Hub, and its connection was closed. */
  violation: [ViolationEvent];
  subscribed: [SubscribedEvent];
  reportedProperties: [ReportedEvent];
  /** A message to a device left its queue, in whatever way. */
  completed: [CloudCompletion];
  /** The same, for the outcomes that the message's `ack` asked for. */
  feedback: [CloudCompletion];
  /** The provisioning service assigned a device. */
  registered: [RegisteredEvent];
}

/** What the parts of one hub share. */
export interface HubContext {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly faults: Faults;
  readonly events: EventEmitter<HubEvents>;
}
