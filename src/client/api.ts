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

export interface ClientEvents {
  /** CONNACK was positive. `sessionPresent`: the server has kept the session. */
  connect: [{ sessionPresent: boolean }];
  /** A connection is over; without an error as planned, by `close()` or `reconnect()`. */
  disconnect: [error: HubwireError | undefined];
  /** Another attempt follows in `delay` ms, the `attempt`th in a row; `error` ended the one before. */
  reconnecting: [{ attempt: number; delay: number; error: HubwireError }];
  /** What belongs to no call: nobody else is told. */
  error: [error: HubwireError];
}

export interface SignalOptions {
  /** Ends the waiting with ERR_ABORTED. */
  signal?: AbortSignal | undefined;
}

export interface ConnectCallOptions extends SignalOptions {
  /** ms for all attempts together; Infinity tries for ever. Default 30,000. */
  timeout?: number | undefined;
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

export interface RenewOptions extends ConnectCallOptions {
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
  /** Messages in handlers and mailboxes now. */
  undelivered: number;
  /** The memory that they keep alive, bytes. */
  undeliveredBytes: number;
}
