/**
 * One operation of the user and what the session knows of it: a PUBLISH, SUBSCRIBE or UNSUBSCRIBE on its way
 * to its final acknowledgement.
 *
 * Invariants: it is in exactly one of the session's lists; `packetId` is not 0 exactly while it is in the
 * session's table under that identifier; `settled` means that nobody waits for it any more although its
 * identifier is still taken (MQTT-2.3.1-3).
 */
import type { QoS, SubscriptionRequest } from "../codec/types.js";
import type { Link } from "./list.js";

/** What an exchange waits for: to be sent, or the packet type (section 2.2.1) that moves it on. */
export const QUEUED = 0;
export const PUBACK = 4;
export const PUBREC = 5;
export const PUBCOMP = 7;
export const SUBACK = 9;
export const UNSUBACK = 11;

export interface Exchange<R> extends Link {
  /** Undefined: nobody asked in this process (restored from the store, or the session's own subscribing). */
  request: R | undefined;
  awaits: number;
  packetId: number;
  settled: boolean;
  /** ms. */
  acceptedAt: number;
  /** ms; the last packet sent for it. */
  sentAt: number;
  topic: string;
  payload: Uint8Array | string;
  qos: QoS;
  retain: boolean;
  /** Topic and payload bytes; counted only for one that is queued. */
  size: number;
  /** The store's keys of the message and of its state; 0 where there is no such record. */
  key: number;
  stateKey: number;
  /** What SUBSCRIBE and UNSUBSCRIBE ask for. */
  asks: readonly SubscriptionRequest[];
}

const NOTHING: readonly SubscriptionRequest[] = [];

/** A new exchange, in no list yet. */
export function newExchange<R>(
  request: R | undefined,
  awaits: number,
  now: number,
  topic = "",
  payload: Uint8Array | string = "",
  qos: QoS = 0,
  retain = false,
  asks = NOTHING,
): Exchange<R> {
  return {
    prev: undefined!,
    next: undefined!,
    request,
    awaits,
    packetId: 0,
    settled: false,
    acceptedAt: now,
    sentAt: now,
    topic,
    payload,
    qos,
    retain,
    size: 0,
    key: 0,
    stateKey: 0,
    asks,
  };
}
