/** The hub as twin, methods and inbox see it: what they may ask of the client that they are parts of. */
import type { Clock } from "../clock.js";
import { HubwireError } from "../errors.js";
import type { Busy } from "./busy.js";

export interface HubAccess {
  readonly clock: Clock;
  /** 0 <= value < 1. */
  readonly random: () => number;
  /** ms that an answer may take. */
  readonly timeout: number;
  /** ms that a handler may take whose end others wait for. */
  readonly handlerTimeout: number;
  /** Whether CONNACK came and the connection is still there. */
  connected(): boolean;
  /** QoS 0, as the hub's answers and requests are. */
  publish(topic: string, payload: string | Uint8Array): Promise<void>;
  /** Settles with SUBACK, also where the filter was asked for before; rejects when the client gives up. */
  subscribed(topicFilter: string): Promise<void>;
  /** For what no caller waits for. */
  report(error: HubwireError): void;
  /** Handlers that a planned reconnect waits for. */
  readonly busy: Busy;
}

/** Of what has not settled in time. */
export const lateHandler = (what: string, ms: number): HubwireError =>
  new HubwireError("ERR_HANDLER", `${what} has not settled within ${ms} ms; it is given up`);

/** Errors of our own stay as they are; any other becomes the cause of one. */
export const asHubwireError = (error: unknown, message: string): HubwireError =>
  error instanceof HubwireError ? error : new HubwireError("ERR_HANDLER", message, { cause: error });
