/**
 * The boundary between the session (which decides) and its owner (which has the socket, the clock and the
 * user).
 *
 * Invariants: the session calls the sink synchronously and only from inside one of its own methods; all times
 * are milliseconds on one monotonic clock that the owner reads; every request handed in is settled exactly
 * once. `settle`, `wantsWrite`, `refused`, `abandoned` and `deadlineChanged` must not call the session back; the others
 * may.
 *
 * What an owner must know besides: `drain` ends (with `drained`) at once when there is no connection, and
 * when the connection is lost; messages that a store restored have no deadline, so the owner bounds its
 * waiting for `drained`. `end` closes the store; what was accepted and is unfinished stays in it for the next
 * process.
 */
import type { HubwireError } from "../errors.js";
import type { QoS, WillInit } from "../codec/types.js";
import type { SessionStore } from "./journal.js";

/** The credentials and will of one connection attempt. */
export interface ConnectOptions {
  clientId: string;
  cleanSession: boolean;
  /** Seconds; 0 turns keep alive off. */
  keepAlive: number;
  username?: string | undefined;
  password?: Uint8Array | string | undefined;
  will?: WillInit | undefined;
}

/** What a full queue does with the next message. */
export type QueueOverflow = "reject" | "drop-oldest";

export interface SessionOptions {
  /** The largest packet accepted from the peer, bytes. */
  maxPacketSize: number;
  /** QoS 1 and 2 messages sent and not yet acknowledged, at most; 1 to 65,535. */
  maxInflight: number;
  /** The same for QoS 2 alone. Default: as many as `maxInflight`. */
  maxInflightQos2?: number | undefined;
  /** From `open` to CONNACK, ms. */
  connectTimeout: number;
  /**
   * ms. SUBSCRIBE and UNSUBSCRIBE: from the call to the answer. PUBLISH: from the last (re)send on a live
   * connection to the final acknowledgement; time without a connection does not count (`maxAge` bounds that).
   */
  operationTimeout: number;
  /** Bounds of what waits unsent: because there is no connection, or because `maxInflight` is reached. */
  queue: {
    /** Messages; 0 refuses to queue at all. */
    maxCount: number;
    /** Topic and payload bytes. */
    maxBytes: number;
    /** ms from acceptance; also bounds a sent, unacknowledged message while there is no connection. */
    maxAge: number;
    overflow: QueueOverflow;
    /** Whether QoS 0 messages wait too; otherwise they are rejected with ERR_NOT_CONNECTED while offline. */
    qos0: boolean;
  };
  /** Where QoS 1 and 2 messages survive the process; nothing is kept without it. */
  store?: SessionStore | undefined;
}

export type { SessionStore };

/** A received application message, as the user sees it. */
export interface Message {
  topic: string;
  /** The receiver's to keep: never reused by the library. Often a view of a larger chunk. */
  payload: Uint8Array;
  qos: QoS;
  retain: boolean;
  /** The server says that it may have sent this message before. */
  dup: boolean;
}

/** What a session tells its owner. `R` is the owner's own request object; the session only carries it. */
export interface SessionSink<R> {
  /** There is output to fetch with `takeOutput`; said once each time output becomes non-empty. */
  wantsWrite(): void;
  /** CONNACK with code 0 arrived; resends and restored subscriptions are already in the output. */
  connected(sessionPresent: boolean): void;
  /**
   * An application message. With QoS 1 and 2 the owner calls `acknowledge(deliveryId)` when it is done (it
   * may do so inside this call); `deliveryId` is 0 with QoS 0.
   */
  deliver(message: Message, deliveryId: number): void;
  /** A request is over. `returnCodes` with SUBSCRIBE only: one a filter, 0x80 for a refused one. */
  settle(request: R, error: HubwireError | undefined, returnCodes: readonly number[] | undefined): void;
  /** The owner must close the transport at once; the session takes and sends nothing more on it. */
  fail(error: HubwireError): void;
  /** The server refused a remembered subscription when it was restored; it is forgotten. */
  refused?(topicFilter: string): void;
  /** A message that the store brought back from an earlier process is given up, and no request waits for it. */
  abandoned?(error: HubwireError): void;
  /** `drain` was asked for and nothing is left to wait for; said once a `drain`. */
  drained(): void;
  /** The next deadline moved to an earlier time than `nextDeadline()` last returned. */
  deadlineChanged(): void;
}

/** Which way a traced packet went. */
export type Direction = "in" | "out";
/** Called for each packet while tracing is on. */
export type Trace = (direction: Direction, type: string, packetId: number, byteLength: number) => void;

/** Counters since the session was made. */
export interface SessionMetrics {
  packetsReceived: number;
  packetsSent: number;
  messagesReceived: number;
  messagesSent: number;
  /** PUBLISH and PUBREL sent again after a reconnect. */
  resends: number;
  /** Inbound QoS 2 duplicates that were not delivered. */
  duplicatesSuppressed: number;
  /** Sent and not yet acknowledged now. */
  inflight: number;
  /** Waiting unsent now. */
  queued: number;
  queuedBytes: number;
}
