/** The session state machine: skeleton of the public surface. */
import type { QoS, SubscriptionRequest } from "../codec/types.js";
import type { HubwireError } from "../errors.js";
import type { ConnectOptions, SessionMetrics, SessionOptions, SessionSink, Trace } from "./types.js";

export type SessionState = "closed" | "connecting" | "connected" | "closing";

export class Session<R> {
  state: SessionState = "closed";
  trace: Trace | undefined = undefined;
  readonly metrics: SessionMetrics = {
    packetsReceived: 0, packetsSent: 0, messagesReceived: 0, messagesSent: 0, resends: 0,
    duplicatesSuppressed: 0, inflight: 0, queued: 0, queuedBytes: 0,
  };

  constructor(_sink: SessionSink<R>, _options: SessionOptions) {}
  open(_connect: ConnectOptions, _now: number): void {}
  receive(_chunk: Uint8Array, _now: number): void {}
  lost(_error: HubwireError | undefined, _now: number): void {}
  publish(_topic: string, _payload: Uint8Array | string, _qos: QoS, _retain: boolean, _request: R | undefined,
    _now: number): void {}
  subscribe(_subscriptions: readonly SubscriptionRequest[], _request: R | undefined, _now: number): void {}
  unsubscribe(_topicFilters: readonly string[], _request: R | undefined, _now: number): void {}
  cancel(_request: R, _error: HubwireError, _now: number): void {}
  acknowledge(_deliveryId: number, _now: number): void {}
  refuse(_deliveryId: number, _now: number): void {}
  writable(_ready: boolean, _now: number): void {}
  reading(_on: boolean, _now: number): void {}
  drain(_includeQueue: boolean, _now: number): void {}
  disconnect(_now: number): void {}
  end(_error: HubwireError): void {}
  nextDeadline(): number { return Infinity; }
  tick(_now: number): void {}
  takeOutput(): Uint8Array[] { return []; }
}
