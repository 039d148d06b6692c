/**
 * What the user asked for and the server has to answer: a message on its way to its final acknowledgement, and a
 * SUBSCRIBE or UNSUBSCRIBE.
 *
 * Invariants: an exchange is in exactly one list of the part of the session that owns it; `packetId` is not 0 exactly
 * while it holds that identifier; `settled` means that nobody waits for it any more, although its identifier may still
 * be taken (MQTT-2.3.1-3). The owner of the session makes them, with fields of its own where it likes, so that a request
 * and its exchange are one object and neither has to be searched for.
 */
import type { QoS } from "../codec/types.js";
import { insert, type Link, takeAll, unlink, walk, walkAll } from "./list.js";
import { isFrugal, messageMemory, ownTopic, packed, SIGNAL_MEMORY } from "./memory.js";

/** What an exchange waits for: to be sent, or the packet type (section 2.2.1) that moves it on. */
export const QUEUED = 0;
export const PUBACK = 4;
export const PUBREC = 5;
export const PUBCOMP = 7;
export const SUBACK = 9;
export const UNSUBACK = 11;

// What a publication's bits mean, besides its QoS.
const RETAIN = 4;
const SETTLED = 8;
const PACKED = 16;
const SIGNAL = 32;
const AWAITS = 6;
const AWAITS_MASK = 15 << AWAITS;
const PACKET_ID = 10;

const EMPTY = new Uint8Array(0);
const nobody = (_value: unknown): void => {};

/** A PUBLISH. Its small values share a number: a field for each would take eight bytes of every message that waits. */
export class Publication implements Link {
  prev: Link = undefined!;
  next: Link = undefined!;
  /** Whole ms, as all times of an exchange: a fraction would take memory of its own. */
  acceptedAt = 0;
  /** The last packet sent for it. */
  sentAt = 0;
  topic: string;
  /** The memory that it takes, bytes. */
  size = 0;
  private content: Uint8Array | string;
  private bits: number;
  /** The owner's: ends its promise. Not a field of a derived class, whose instances take the engine longer to make. */
  resolve: (value: unknown) => void;

  constructor(topic: string, payload: Uint8Array | string, qos: QoS, retain: boolean, resolve = nobody) {
    this.topic = topic;
    this.content = payload;
    this.bits = qos | (retain ? RETAIN : 0);
    this.resolve = resolve;
  }

  get qos(): QoS {
    return (this.bits & 3) as QoS;
  }

  get retain(): boolean {
    return (this.bits & RETAIN) !== 0;
  }

  get awaits(): number {
    return (this.bits & AWAITS_MASK) >> AWAITS;
  }

  set awaits(type: number) {
    this.bits = (this.bits & ~AWAITS_MASK) | (type << AWAITS);
  }

  get packetId(): number {
    return this.bits >> PACKET_ID;
  }

  set packetId(id: number) {
    this.bits = (this.bits & ((1 << PACKET_ID) - 1)) | (id << PACKET_ID);
  }

  get settled(): boolean {
    return (this.bits & SETTLED) !== 0;
  }

  /** Nobody waits for it any more. */
  settle(): void {
    this.bits |= SETTLED;
  }

  /** A signal, which no other request has, may end it, and waits with it. */
  hasSignal(): void {
    this.bits |= SIGNAL;
  }

  get payload(): Uint8Array | string {
    return this.bits & PACKED ? Buffer.from(this.content as string, "latin1") : this.content;
  }

  /**
   * From now on it waits. A small payload is kept in as little memory as can be; `briefly`: as it is where that takes
   * hardly more, for to pack and unpack it costs more than to send it.
   */
  wait(briefly: boolean): void {
    if (!briefly || !isFrugal(this.content)) this.pack();
    const ofSignal = this.bits & SIGNAL && SIGNAL_MEMORY;
    this.size = ofSignal + messageMemory(this.topic, this.content, (this.bits & PACKED) > 0);
  }

  /** The caller is told that it is over and may change his array, but it may be sent again. */
  own(): this {
    // One that was given away meanwhile is empty, and cannot be copied.
    if (typeof this.content !== "string" && this.content.length > 0) this.content = new Uint8Array(this.content);
    return this;
  }

  private pack(): void {
    if (this.bits & PACKED) return;
    this.topic = ownTopic(this.topic);
    const text = packed(this.content);
    if (text !== undefined) {
      this.content = text;
      this.bits |= PACKED;
    } else if (!isFrugal(this.content)) this.content = Buffer.from(this.content as Uint8Array);
  }

  /** PUBREC came: what was to be sent is not needed any more. */
  empty(): void {
    this.topic = "";
    this.content = EMPTY;
    this.bits &= ~PACKED;
  }
}

/** A message that a store brought back from an earlier process; nobody waits for it in this one. */
export class Restored extends Publication {}

/** Those of the lists for whom somebody waits; each counts as settled when it is handed out. */
export function* awaitedOf(lists: readonly Link[]): Iterable<Publication> {
  for (const publication of walkAll<Publication>(lists)) {
    if (publication.settled || publication instanceof Restored) continue;
    publication.settle();
    yield publication;
  }
}

/** A list of all in this one for whom somebody may wait, who leave it; each counts as settled already. */
export function settledNow(list: Link): Link {
  const all = takeAll(list);
  for (const publication of walk<Publication>(all)) {
    if (publication instanceof Restored) {
      unlink(publication);
      insert(publication, list);
    } else publication.settle();
  }
  return all;
}

/** A SUBSCRIBE or UNSUBSCRIBE; `Subscription` is the owner's object for one subscription. */
export class Asking<S> implements Link {
  prev: Link = undefined!;
  next: Link = undefined!;
  awaits: number;
  packetId = 0;
  settled = false;
  acceptedAt = 0;
  sentAt = 0;
  /** On this connection or an earlier one: the server may have heard of it. */
  wasSent = false;
  /** The topic filters, and for SUBSCRIBE the QoS of each. */
  readonly topicFilters: readonly string[];
  readonly qos: readonly QoS[];
  /** The subscriptions that it begins (one a filter) or ends: those that there were when it was asked for. */
  readonly subscriptions: readonly S[];

  constructor(
    awaits: typeof SUBACK | typeof UNSUBACK,
    topicFilters: readonly string[],
    qos: readonly QoS[],
    subscriptions: readonly S[],
  ) {
    this.awaits = awaits;
    this.topicFilters = topicFilters;
    this.qos = qos;
    this.subscriptions = subscriptions;
  }
}

/** Asked by the session itself: to restore subscriptions, or to end what nobody wants. */
export class OwnAsking<S> extends Asking<S> {}

/** Whatever holds a packet identifier. */
export type Exchange = Publication | Asking<unknown>;
