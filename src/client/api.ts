/** The types of MqttClient's methods, events and counters. */
import type { QoS } from "../codec/types.js";
import type { HubwireError } from "../errors.js";
import type { SessionMetrics } from "../session/types.js";

/**
 * - `idle`: before the first `connect()`; messages are queued.
 * - `waiting`: for the next attempt. `connecting`: up to CONNACK. `connected`.
 * - `renewing`: a planned reconnect drains. `leaving`: its DISCONNECT is on its way.
 * - `closing`: `close()` drains. `ending`: its DISCONNECT is on its way.
 * - `stopped`: given up; `connect()` starts again. `closed`: for good.
 */
export type ClientState =
  | "idle"
  | "waiting"
  | "connecting"
  | "connected"
  | "renewing"
  | "leaving"
  | "closing"
  | "ending"
  | "stopped"
  | "closed";

/** The events of an `MqttClient`. */
export interface ClientEvents {
  /** CONNACK was positive. `sessionPresent`: the server has kept the session. */
  connect: [ConnectEvent];
  /** A connection is over; without an error as planned, by `close()` or `reconnect()`. */
  disconnect: [error: HubwireError | undefined];
  /** Another attempt follows in `delay` ms, the `attempt`th in a row; `error` ended the one before. */
  reconnecting: [ReconnectingEvent];
  /** What belongs to no call: nobody else is told. */
  error: [error: HubwireError];
}

/** What the `connect` event tells. */
export interface ConnectEvent {
  /** Whether the server had kept the session (section 3.2.2.2). */
  sessionPresent: boolean;
}

/** What the `reconnecting` event tells. */
export interface ReconnectingEvent {
  /** The attempt that follows, counted from 1 since the last connection. */
  attempt: number;
  /** ms until it begins. */
  delay: number;
  /** What ended the connection or the attempt before. */
  error: HubwireError;
}

/** What ends a call early. */
export interface SignalOptions {
  /** Ends the waiting with ERR_ABORTED. */
  signal?: AbortSignal | undefined;
}

/** How long `connect` tries. */
export interface ConnectCallOptions extends SignalOptions {
  /** ms for all attempts together; Infinity tries for ever. Default 30,000. */
  timeout?: number | undefined;
}

/** How a message is published. */
export interface PublishOptions extends SignalOptions {
  /** Default 0. */
  qos?: QoS | undefined;
  /** Default false. */
  retain?: boolean | undefined;
}

/** How a topic filter is subscribed. */
export interface SubscribeOptions extends SignalOptions {
  /** The highest QoS at which the server may send. Default 0. */
  qos?: QoS | undefined;
}

/** How a client is closed. */
export interface CloseOptions {
  /** Sends DISCONNECT at once, without waiting for what is in flight. */
  force?: boolean | undefined;
}

/** How a connection is replaced by a new one. */
export interface RenewOptions extends ConnectCallOptions {
  /** ms to wait for acknowledgements before DISCONNECT. Default 5,000. */
  drainTimeout?: number | undefined;
}

/** Counters since the client was made. */
export interface ClientMetrics extends SessionMetrics {
  /** Bytes read from connections, MQTT alone: without what TLS and WebSocket add. */
  bytesReceived: number;
  /** Bytes given to connections, counted likewise. */
  bytesSent: number;
  /** Accepted connections. */
  connects: number;
  /** Attempts after the first of a `connect()`. */
  reconnects: number;
  /** Messages in handlers and mailboxes now. */
  undelivered: number;
  /** The memory that they keep alive, bytes. */
  undeliveredBytes: number;
}
