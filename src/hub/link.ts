/** What the parts of a device client share: time, the connection, and a place for errors that no caller waits for. */
import type { Clock } from "../clock.js";
import { HubwireError } from "../errors.js";

export interface Link {
  readonly clock: Clock;
  /** ms. */
  readonly timeout: number;
  /** Whether CONNACK came and the connection is still there. */
  connected(): boolean;
  /** QoS 0, as the hub's answers and requests are. */
  publish(topic: string, payload: string | Uint8Array): Promise<void>;
  /** Settles with SUBACK; asks once for each filter, however often it is called. */
  subscribe(topicFilter: string, qos: 0 | 1): Promise<void>;
  report(error: HubwireError): void;
  /** Handlers that a planned reconnect should wait for. */
  readonly busy: Set<Promise<unknown>>;
}

/** Keeps `work` in `busy` until it has settled. */
export function track(busy: Set<Promise<unknown>>, work: Promise<unknown>): void {
  const done = (): boolean => busy.delete(work);
  busy.add(work);
  work.then(done, done);
}

/** Errors of our own stay as they are; any other becomes the cause of one. */
export const asHubwireError = (error: unknown, message: string): HubwireError =>
  error instanceof HubwireError ? error : new HubwireError("ERR_HANDLER", message, { cause: error });

/** UTF-8 text of a payload; ill-formed bytes become U+FFFD. */
export const textOf = (payload: Uint8Array): string =>
  Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString();

export type JsonObject = Record<string, unknown>;

export const isJsonObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The JSON object in a payload; undefined for anything else. */
export function parseObject(payload: Uint8Array): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(textOf(payload));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
