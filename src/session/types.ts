/**
 * The boundary between the session (which decides) and its owner (which has the socket, the clock and the
 * user).
 *
 * Invariants: the session calls the sink synchronously and only from inside one of its own methods; all times
 * are milliseconds on one monotonic clock that the owner reads; every request handed in is settled exactly
 * once. Hot events are calls of the sink, of which only `deliver` may call the session back; cold ones wait for
 * the owner, who takes them with `takeEvent` after each call that is not from inside the sink.
 *
 * What an owner must know besides: `drain` ends (with `drained`) at once when there is no connection, and
 * when the connection is lost; messages that a store restored have no deadline, so the owner bounds its
 * waiting for `drained`. `end` closes the store; what was accepted and is unfinished stays in it for the next
 * process.
 */
import type { HubwireError } from "../errors.js";
import type { QoS, WillInit } from "../codec/types.js";
import type { Publication } from "./exchange.js";
import type { SessionStore } from "./journal.js";
import type { Route } from "./route.js";

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
  /**
   * ms, from the last (re)send on a live connection to the final acknowledgement; time without a connection
   * does not count (`maxAge` bounds that).
   */
  operationTimeout: number;
  /** Whether a message that kills its connection is found and given up (policy 12). */
  poisonDetection: boolean;
  /** Bounds of what waits unsent: because there is no connection, or because `maxInflight` is reached. */
  queue: {
    /** Messages; 0 refuses to queue at all. */
    maxCount: number;
    /** Bytes of memory; also bounds what is in flight, a single message excepted. */
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
  /** The topic name that it was published to. */
  topic: string;
  /** The receiver's to keep: never reused by the library. Often a view of a larger chunk. */
  payload: Uint8Array;
  /** The QoS of this delivery (section 3.3.1.2). */
  qos: QoS;
  /** The server had kept it: it is older than the subscription (MQTT-3.3.1-8, MQTT-3.3.1-9). */
  retain: boolean;
  /** The server says that it may have sent this message before. */
  dup: boolean;
}

/** What a session tells its owner at once. `R` and `A` are the owner's publications and askings, `S` its routes. */
export interface SessionSink<P extends Publication, A, S extends Route> {
  /** There is output to fetch with `takeOutput`; said once each time output becomes non-empty. */
  wantsWrite(): void;
  /**
   * An application message, and the routes that it goes to: none where nobody subscribed to its topic; undefined where
   * that subscription has ended a short time ago. With QoS 1 and 2 the owner calls `acknowledge(deliveryId)` when it is
   * done (it may do so inside this call); `deliveryId` is 0 with QoS 0.
   */
  deliver(message: Message, deliveryId: number, routes: readonly S[] | undefined): void;
  /** A request is over. `returnCodes` with SUBSCRIBE only: one a filter, 0x80 for a refused one. */
  settle(request: P | A, error: HubwireError | undefined, returnCodes: readonly number[] | undefined): void;
  /**
   * All of these are over, and the session will not look at them again: the owner goes through them once, whenever it
   * likes, for they may be many.
   */
  settleAll(requests: Iterable<P>, error: HubwireError): void;
  /** The next deadline moved to an earlier time than `nextDeadline()` last returned. */
  deadlineChanged(): void;
}

/** What the owner takes after the call in which it happened. */
export type SessionEvent =
  /** CONNACK with code 0 arrived; resends and restored subscriptions are already in the output. */
  | { type: "accepted"; sessionPresent: boolean }
  /** The connection must be closed at once; the session takes and sends nothing more on it. */
  | { type: "failed"; error: HubwireError }
  /** `drain` was asked for and nothing is left to wait for; once a `drain`. */
  | { type: "drained" }
  /** The server refused a subscription when it was restored; its routes have ended. */
  | { type: "refused"; topicFilter: string; routes: readonly Route[] }
  /** A message is given up for which nobody waits. */
  | { type: "abandoned"; error: HubwireError }
  /** The server acknowledges QoS 2 as QoS 1; once a connection. */
  | { type: "downgraded"; error: HubwireError }
  /** Nothing is read, so nothing shows whether the peer lives: read what is there now, however full all is. */
  | { type: "look" };

/** Which way a traced packet went. */
export type Direction = "in" | "out";
/** Called for each packet while tracing is on; `topic` is that of a PUBLISH, or the filters of what asks for some. */
export type Trace = (direction: Direction, type: string, packetId: number, byteLength: number, topic?: string) => void;

/** Counters since the session was made. */
export interface SessionMetrics {
  /** MQTT packets of any type that came. */
  packetsReceived: number;
  /** MQTT packets of any type that were sent. */
  packetsSent: number;
  /** PUBLISH packets that came. */
  messagesReceived: number;
  /** PUBLISH packets that were sent. */
  messagesSent: number;
  /** PUBLISH and PUBREL sent again after a reconnect. */
  resends: number;
  /** Inbound QoS 2 duplicates that were not delivered. */
  duplicatesSuppressed: number;
  /** Sent and not yet acknowledged now. */
  inflight: number;
  /** Waiting unsent now. */
  queued: number;
  /** The memory of those, bytes. */
  queuedBytes: number;
}

export const newMetrics = (): SessionMetrics => ({
  packetsReceived: 0,
  packetsSent: 0,
  messagesReceived: 0,
  messagesSent: 0,
  resends: 0,
  duplicatesSuppressed: 0,
  inflight: 0,
  queued: 0,
  queuedBytes: 0,
});
