/**
 * Where received messages come in: to their handlers and mailboxes, or kept for a subscription that is still to come, or
 * told as what nobody expected.
 *
 * Invariant: every message with QoS 1 or 2 is acknowledged or refused once, whoever gets it, so that none holds up those
 * behind it.
 */
import type { Message } from "../session/types.js";
import type { Bounds } from "./bounds.js";
import { Deliveries, type DeliveryOwner, type MessageRoute } from "./deliveries.js";
import { EarlyMessages } from "./early.js";
import { unexpectedError } from "./failures.js";

/** Messages in handlers and mailboxes above which reading stops; below half of it reading goes on. */
const HIGH_COUNT = 1_024;
/** The same while own requests wait for an answer, which arrives behind the messages that are held back. */
const PATIENT_COUNT = 65_536;
/** What the objects around a message take, bytes: a heap must have room for as many as may wait. */
const OBJECTS = 256;

export class Reception {
  readonly deliveries: Deliveries;
  readonly #owner: DeliveryOwner;
  readonly #bounds: Bounds;
  readonly #early = new EarlyMessages();
  /** It was told on this connection that messages come which nobody expected. */
  #isTold = false;
  /** Nothing is delivered any more. */
  #isClosed = false;

  constructor(owner: DeliveryOwner, handlerTimeout: number, bounds: Bounds) {
    this.#owner = owner;
    this.#bounds = bounds;
    this.deliveries = new Deliveries(owner, handlerTimeout);
  }

  /** A connection begins; `mayResume`: perhaps with a session that an earlier process subscribed for. */
  opened(mayResume: boolean): void {
    this.#isTold = false;
    if (mayResume) this.#early.begin();
  }

  /** See `SessionSink.deliver`. */
  deliver(message: Message, deliveryId: number, routes: readonly MessageRoute[] | undefined): void {
    if (this.#isClosed) return;
    if (routes && routes.length > 0) this.deliveries.deliver(message, deliveryId, routes);
    else if (routes && this.#early.keep(message, deliveryId)) this.#owner.pressure();
    else this.#drop(message, deliveryId, routes !== undefined);
  }

  #drop(message: Message, deliveryId: number, isUnexpected: boolean): void {
    if (isUnexpected && !this.#isTold) {
      this.#isTold = true;
      this.#owner.failed(unexpectedError(message.topic));
    }
    if (deliveryId !== 0) this.#owner.finished(deliveryId, false);
  }

  /** There is a new subscription: who of the early messages is for it? */
  subscribed(match: (topic: string) => readonly MessageRoute[]): void {
    for (const { message, deliveryId } of this.#early.take()) this.deliver(message, deliveryId, match(message.topic));
  }

  /** Long enough waited: nobody subscribes to what is still kept. */
  endEarly(): void {
    for (const { message, deliveryId } of this.#early.end()) this.#drop(message, deliveryId, true);
    this.#owner.pressure();
  }

  /** The connection is gone, and what was kept of it comes again. */
  lost(): void {
    this.#early.take();
  }

  /** How full all is: 1 is full. `isPatient`: own requests wait for an answer. */
  load(isPatient: boolean): number {
    const { inbound, inboundPatient } = this.#bounds;
    const { count, bytes } = this.deliveries;
    const objects = (count + this.#early.count) * OBJECTS;
    const all = bytes + this.#early.bytes + objects;
    const most = isPatient ? inboundPatient : inbound;
    return Math.max(all / most, (count + this.#early.count) / (isPatient ? PATIENT_COUNT : HIGH_COUNT));
  }

  close(): void {
    this.#isClosed = true;
    this.#early.end();
  }

  get nextDeadline(): number {
    return this.deliveries.nextDeadline;
  }

  tick(now: number): void {
    this.deliveries.tick(now);
  }
}
