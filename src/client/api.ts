/** The types of MqttClient's methods, events and counters. */
import type { QoS } from "../codec/types.js";
import type { HubwireError } from "../errors.js";
import type { SessionMetrics } from "../session/types.js";

/**
 * - `idle`: before the first `connect()`; messages are queued.
 * - `waiting`: for the next attempt. `connecting`: up to CONNACK. `connected`.
 * - `renewing`: a planned reconnect drains. `closing`: `close()` drains. `ending`: DISCONNECT is on its way.
 * - `stopped`: given up; `connect()` starts again. `closed`: for good.
 */
export type ClientState =
  "idle" | "waiting" | "connecting" | "connected" | "renewing" | "closing" | "ending" | "stopped" | "closed";

export interface ClientEvents {
  connect: [{ sessionPresent: boolean }];
  disconnect: [error: HubwireError | undefined];
  reconnecting: [{ attempt: number; delay: number; error: HubwireError }];
  error: [error: HubwireError];
}

export interface SignalOptions {
  /** Ends the waiting with ERR_ABORTED. */
  signal?: AbortSignal | undefined;
}

export interface PublishOptions extends SignalOptions {
  /** Default 0. */
  qos?: QoS | undefined;
  /** Default false. */
  retain?: boolean | undefined;
}

export interface SubscribeOptions extends SignalOptions {
  /** The highest QoS at which the server may send. Default 0. */
  qos?: QoS | undefined;
}

export interface CloseOptions {
  /** Sends DISCONNECT at once, without waiting for what is in flight. */
  force?: boolean | undefined;
}

export interface RenewOptions {
  /** ms to wait for acknowledgements before DISCONNECT. Default 5,000. */
  drainTimeout?: number | undefined;
}

/** Counters since the client was made. */
export interface ClientMetrics extends SessionMetrics {
  bytesReceived: number;
  bytesSent: number;
  /** Accepted connections. */
  connects: number;
  /** Attempts after the first of a `connect()`. */
  reconnects: number;
}
