/**
 * Calls that wait for their end: their promises, and the signals that may end them earlier.
 *
 * Invariants: a request is its own exchange with the server, so that neither is ever searched for; the session settles it,
 * once; a signal has one listener for each kind of request, however many calls share it.
 */
import { aborted, listenTo, unlisten } from "../abort.js";
import type { QoS } from "../codec/types.js";
import type { HubwireError } from "../errors.js";
import { Asking, Publication, type SUBACK, type UNSUBACK } from "../session/index.js";
import type { MessageRoute } from "./deliveries.js";

type Resolve = (value: unknown) => void;

// One executor for all promises: a closure a call would be the largest allocation of a publish.
let resolveNext: Resolve;

/** The executor of a promise; the request that is made next settles it. */
export const capture = (resolve: (value: never) => void): void => {
  resolveNext = resolve as Resolve;
};

/** `publish`; of the promise that `capture` was called for last. QoS 0 is mostly over at once, and has none yet. */
export const publication = (topic: string, payload: Uint8Array | string, qos: QoS, retain: boolean): Publication =>
  new Publication(topic, payload, qos, retain, qos ? resolveNext : undefined);

/** A promise for a message that has none. */
export function promiseOf(message: Publication): Promise<void> {
  const promise = new Promise<void>(capture);
  message.resolve = resolveNext;
  return promise;
}

/** `subscribe` or `unsubscribe`; of the promise that `capture` was called for last. */
export class AskRequest extends Asking<MessageRoute> {
  readonly resolve: Resolve = resolveNext;

  constructor(awaits: typeof SUBACK | typeof UNSUBACK, topicFilter: string, qos: QoS, routes: readonly MessageRoute[]) {
    super(awaits, [topicFilter], [qos], routes);
  }
}

/** `connect` or `reconnect`; of the promise that `capture` was called for last. */
export class ConnectRequest {
  readonly resolve: Resolve = resolveNext;
  /** ms on the monotonic clock. */
  readonly deadline: number;

  constructor(deadline: number) {
    this.deadline = deadline;
  }
}

/** What the session is asked for. */
export type SessionRequest = Publication | AskRequest;

/** Who hears of an aborted signal. */
export interface SignalOwner<R> {
  /** The signal of these requests was aborted: all of one signal at once and in order, for they may be many. */
  giveUp(requests: Iterable<R>, error: HubwireError): void;
}

type Waiting<R> = Map<AbortSignal, { requests: Set<R>; listener: () => void }>;

/** Who has to be told when a signal is aborted. The maps are made for the first one. */
export class Signals<R extends SessionRequest | ConnectRequest> {
  #waiting: Waiting<R> | undefined;
  /** Of the requests that have one. */
  #signals: Map<R, AbortSignal> | undefined;
  readonly #owner: SignalOwner<R>;

  constructor(owner: SignalOwner<R>) {
    this.#owner = owner;
  }

  /** The request ends with its signal, where it has one. Throws ERR_INVALID_ARGUMENT for one that cannot be listened to. */
  add(request: R, signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const all = (this.#waiting ??= new Map());
    const known = all.get(signal);
    if (known) known.requests.add(request);
    else this.#listen(all, request, signal);
    (this.#signals ??= new Map()).set(request, signal);
  }

  #listen(all: Waiting<R>, request: R, signal: AbortSignal): void {
    const requests = new Set([request]);
    const listener = (): void => {
      all.delete(signal);
      this.#owner.giveUp(requests, aborted(signal));
    };
    listenTo(signal, listener);
    if (request instanceof Publication) request.hasSignal();
    all.set(signal, { requests, listener });
  }

  /** The request is over. */
  remove(request: R): void {
    if (!this.#signals?.size) return;
    const signal = this.#signals.get(request);
    this.#signals.delete(request);
    const known = signal && this.#waiting?.get(signal);
    if (!known) return;
    known.requests.delete(request);
    if (known.requests.size > 0) return;
    this.#waiting?.delete(signal);
    unlisten(signal, known.listener);
  }
}

/** A rejected promise of each error: many requests may end with one. */
const failures = new WeakMap<HubwireError, Promise<never>>();

/**
 * Ends the request's promise. Of the two functions that do so one is kept, which is a sixth of what a waiting message
 * takes; whoever fails follows a promise that has failed.
 */
export function settle(
  request: SessionRequest | ConnectRequest,
  error: HubwireError | undefined,
  value?: unknown,
): void {
  request.resolve(error ? failed(error) : value);
}

function failed(error: HubwireError): Promise<never> {
  let failure = failures.get(error);
  if (!failure) failures.set(error, (failure = Promise.reject(error)));
  return failure;
}
