/**
 * Where requests meet the session: the one place that calls it, and takes what comes of a call.
 *
 * Invariants: the session's cold events, and the ends of subscriptions, are taken when its method has returned, so that
 * nothing calls it from inside itself; each request that was begun is handed on once to be settled; a store has one desk at a
 * time.
 */
import type { Clock } from "../clock.js";
import { invalid } from "../check.js";
import type { HubwireError } from "../errors.js";
import { Publication, Session, UNSUBACK } from "../session/index.js";
import type { Message, SessionEvent, SessionOptions, SessionSink, SessionStore } from "../session/index.js";
import type { MessageRoute } from "./deliveries.js";
import type { Flow } from "./flow.js";
import { type AskRequest, promiseOf, type SessionRequest, type SignalOwner } from "./requests.js";
import { Settlements } from "./settlements.js";

/** What the desk asks of its owner. */
export interface DeskOwner {
  readonly flow: Flow;
  /** See `SessionSink`. */
  deliver(message: Message, deliveryId: number, routes: readonly MessageRoute[] | undefined): void;
  deadlineChanged(): void;
  /** A cold event; the session may be called. */
  event(event: SessionEvent): void;
}

/** Stores of clients that have not ended: a second one would send the other's messages, and forget them. */
const storesInUse = new WeakSet<SessionStore>();

const asItIs = (error: HubwireError): HubwireError => error;

export class Desk implements SessionSink<Publication, AskRequest, MessageRoute>, SignalOwner<SessionRequest> {
  readonly session: Session<Publication, AskRequest, MessageRoute>;
  /** What callers hear of an error that a message ended with. */
  explain = asItIs;
  /** Requests that are not over. */
  pending = 0;
  readonly #clock: Clock;
  readonly #settlements = new Settlements(this);
  readonly #owner: DeskOwner;
  readonly #store: SessionStore | undefined;
  /** Requests that ended while the session was at work, and whose subscriptions may have ended with them. */
  readonly #settled: AskRequest[] = [];
  /** The session is at work, and what comes of it is taken by whoever began. */
  #isBusy = false;

  constructor(options: SessionOptions, clock: Clock, owner: DeskOwner) {
    this.#clock = clock;
    this.#owner = owner;
    const { store } = options;
    if (store && storesInUse.has(store)) throw invalid("option store of MqttClient is in use by another client");
    if (store) storesInUse.add(store);
    this.#store = store;
    this.session = new Session<Publication, AskRequest, MessageRoute>(this, options);
  }

  // --- what the session says while it is at work ---

  wantsWrite(): void {
    this.#owner.flow.wantsWrite();
  }

  deliver(message: Message, deliveryId: number, routes: readonly MessageRoute[] | undefined): void {
    this.#owner.deliver(message, deliveryId, routes);
  }

  deadlineChanged(): void {
    this.#owner.deadlineChanged();
  }

  settleAll(requests: Iterable<Publication>, error: HubwireError): void {
    // They are the last of all: what else was pending is settled already, or at the end of the client.
    this.pending = 0;
    this.#settlements.allOver(requests, this.explain(error));
  }

  settle(request: SessionRequest, error: HubwireError | undefined, value: unknown): void {
    this.pending--;
    if (request instanceof Publication) {
      return this.#settlements.over(request, error && this.explain(error), undefined);
    }
    this.#settlements.over(request, error, value);
    this.#settled.push(request);
  }

  // --- what the owner asks for ---

  /** Runs what calls the session, and takes what comes of it unless another call does. */
  run<T>(work: () => T): T {
    if (this.#isBusy) return work();
    this.#isBusy = true;
    this.#settlements.step();
    try {
      return work();
    } finally {
      this.#isBusy = false;
      this.#take();
    }
  }

  #take(): void {
    // Stryker disable next-line ConditionalExpression,EqualityOperator: time only, of an array for each call.
    if (this.#settled.length > 0) for (const request of this.#settled.splice(0)) endRoutes(request);
    for (let event = this.session.takeEvent(); event; event = this.session.takeEvent()) this.#owner.event(event);
  }

  /**
   * Hands a request to the session (see `Session.publish`, `Session.ask`). Returns the promise of a message of QoS 0, which
   * is over at once most of the time; all others have theirs. Not by `run`, whose closure costs each call.
   */
  begin(request: SessionRequest, signal: AbortSignal | undefined): Promise<void> | undefined {
    const isInside = this.#isBusy;
    if (!isInside) this.#settlements.step();
    this.#isBusy = true;
    try {
      // First: a signal that cannot be listened to must not let the request go.
      this.#settlements.begun(request, signal);
      const { now } = this.#owner.flow;
      if (request instanceof Publication) {
        if (this.session.publish(request, now)) {
          this.#settlements.forget(request);
          return Promise.resolve();
        }
      } else this.session.ask(request, now);
      this.pending++;
      return request instanceof Publication && !request.qos ? promiseOf(request) : undefined;
    } catch (error) {
      this.#settlements.forget(request);
      throw error;
    } finally {
      this.#isBusy = isInside;
      if (!isInside) this.#take();
    }
  }

  /** Their signal was aborted. */
  giveUp(requests: Iterable<SessionRequest>, error: HubwireError): void {
    this.run(() => this.session.cancel(requests, error, this.#clock.now()));
  }

  /** Calls back when all requests that are over have been settled. */
  whenSettled(callback: () => void): void {
    this.#settlements.whenDone(callback);
  }

  /** See `Session.end`. */
  end(error: HubwireError): void {
    storesInUse.delete(this.#store!);
    this.run(() => this.session.end(error));
    this.pending = 0;
  }

  /** A delivery is done with; `isRefused`: given up. */
  finished(deliveryId: number, isRefused: boolean): void {
    const { now } = this.#owner.flow;
    if (isRefused) return this.run(() => this.session.refuse(deliveryId, now));
    // Stryker disable next-line ConditionalExpression: time only, of a closure for each message.
    if (this.#isBusy) this.session.acknowledge(deliveryId, now);
    else this.run(() => this.session.acknowledge(deliveryId, now));
  }
}

/** The subscriptions of a request that is over may have ended with it. */
function endRoutes({ awaits, subscriptions }: AskRequest): void {
  for (const { mailbox, state } of subscriptions) {
    if (state === "ended") mailbox?.end();
    else if (awaits === UNSUBACK) mailbox?.reopen();
  }
}
