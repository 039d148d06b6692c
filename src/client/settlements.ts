/**
 * Requests that wait for their end: from their begin, when a signal may end them, to the settling of their promises.
 *
 * Invariants: what is over is settled once and in the order in which it came to be over; of what one step ends SLICE are
 * settled at once, and the rest in turns of the event loop of their own, so that the end of all that waits blocks nothing
 * (policy 14). What is decided is decided: only the news of it takes its time.
 */
import type { HubwireError } from "../errors.js";
import { type SessionRequest, settle, type SignalOwner, Signals } from "./requests.js";

/** Requests that are settled in one turn: the callbacks of so many promises take about a millisecond. */
export const SLICE = 2_000;

/** Requests that end alike, and have to wait for it. */
interface Batch {
  readonly error: HubwireError | undefined;
  readonly value: unknown;
  readonly requests: Iterator<SessionRequest>;
  /** Where they come one by one, what is iterated over: SLICE at most, since an array that grows long is copied often. */
  readonly list: SessionRequest[] | undefined;
  next: Batch | undefined;
}

export class Settlements {
  readonly #signals: Signals<SessionRequest>;
  #first: Batch | undefined;
  #last: Batch | undefined;
  /** How many more may be settled in this step. */
  #room = SLICE;
  /** A turn is to come. */
  #isTurning = false;
  #whenDone: (() => void)[] | undefined;

  constructor(owner: SignalOwner<SessionRequest>) {
    this.#signals = new Signals(owner);
  }

  /** The request waits, at most until `signal` is aborted. Throws ERR_INVALID_ARGUMENT where that cannot be listened to. */
  begun(request: SessionRequest, signal: AbortSignal | undefined): void {
    this.#signals.add(request, signal);
  }

  /** The request does not wait after all. */
  forget(request: SessionRequest): void {
    this.#signals.remove(request);
  }

  /** A step of the client begins: a call of the user's, a chunk of input, a deadline. */
  step(): void {
    this.#room = SLICE;
  }

  /** The request is over: with `error`, or with `value`. */
  over(request: SessionRequest, error: HubwireError | undefined, value: unknown): void {
    const last = this.#last;
    if (last === undefined && this.#room > 0) {
      this.#room--;
      this.#settle(request, error, value);
      return;
    }
    const list = last && last.error === error && last.value === value ? last.list : undefined;
    if (list !== undefined && list.length < SLICE) return void list.push(request);
    const only = [request];
    this.#append({ error, value, requests: only[Symbol.iterator](), list: only, next: undefined });
  }

  /** All of these are over, with `error`; who they are is asked when their turn has come. */
  allOver(requests: Iterable<SessionRequest>, error: HubwireError): void {
    const iterator = requests[Symbol.iterator]();
    for (; !this.#first && this.#room > 0; this.#room--) {
      const { done, value: request } = iterator.next();
      if (done) return;
      this.#settle(request, error, undefined);
    }
    this.#append({ error, value: undefined, requests: iterator, list: undefined, next: undefined });
  }

  #append(batch: Batch): void {
    if (this.#last) this.#last.next = batch;
    else this.#first = batch;
    this.#last = batch;
    if (this.#isTurning) return;
    this.#isTurning = true;
    this.#nextTurn();
  }

  /** Calls back when nothing waits to be settled any more: at once where that is so. */
  whenDone(callback: () => void): void {
    if (!this.#isTurning) callback();
    else (this.#whenDone ??= []).push(callback);
  }

  #turn(): void {
    if (!this.#first) {
      // A turn behind the last of them, whose callbacks have run by now.
      this.#isTurning = false;
      for (const callback of this.#whenDone?.splice(0) ?? []) callback();
      return;
    }
    this.#settleSome(SLICE);
    this.#nextTurn();
  }

  #nextTurn(): void {
    setImmediate(() => this.#turn());
  }

  #settleSome(count: number): void {
    for (let left = count; left > 0 && this.#first;) {
      const { requests, error, value, next } = this.#first;
      const { done, value: request } = requests.next();
      if (done) {
        this.#first = next;
        if (!next) this.#last = undefined;
        continue;
      }
      this.#settle(request, error, value);
      left--;
    }
  }

  #settle(request: SessionRequest, error: HubwireError | undefined, value: unknown): void {
    this.#signals.remove(request);
    settle(request, error, value);
  }
}
