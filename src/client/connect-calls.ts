/**
 * The calls of `connect()` and `reconnect()` that wait for CONNACK.
 *
 * Invariant: each has a deadline of its own and settles once.
 */
import type { HubwireError } from "../errors.js";
import { ConnectRequest, capture, settle, type SignalOwner, Signals } from "./requests.js";

export interface ConnectCallsOwner {
  /** Calls ended with `error`; perhaps nobody waits any more. */
  connectCallsEnded(error: HubwireError): void;
}

export class ConnectCalls implements SignalOwner<ConnectRequest> {
  /** Made when somebody waits. */
  #waiting: Set<ConnectRequest> | undefined;
  readonly #signals = new Signals<ConnectRequest>(this);
  readonly #owner: ConnectCallsOwner;

  constructor(owner: ConnectCallsOwner) {
    this.#owner = owner;
  }

  /** Their signal was aborted. */
  giveUp(requests: Iterable<ConnectRequest>, error: HubwireError): void {
    for (const request of requests) this.#end(request, error);
    this.#owner.connectCallsEnded(error);
  }

  /** A promise for the next acceptance; `deadline`: monotonic ms. */
  add(signal: AbortSignal | undefined, deadline: number): Promise<void> {
    const promise = new Promise<void>(capture);
    const request = new ConnectRequest(deadline);
    this.#signals.add(request, signal);
    (this.#waiting ??= new Set()).add(request);
    return promise;
  }

  /** Whether somebody waits. */
  get some(): boolean {
    return !!this.#waiting?.size;
  }

  /** The earliest deadline, ms. */
  get nextDeadline(): number {
    let next = Infinity;
    for (const { deadline } of this.#waiting ?? []) next = Math.min(next, deadline);
    return next;
  }

  /** The latest deadline, ms; -Infinity where nobody waits. */
  get lastDeadline(): number {
    let last = -Infinity;
    for (const { deadline } of this.#waiting ?? []) last = Math.max(last, deadline);
    return last;
  }

  /** One waits no longer. */
  #end(request: ConnectRequest, error: HubwireError | undefined): void {
    this.#waiting!.delete(request);
    this.#signals.remove(request);
    settle(request, error);
  }

  /** Whose time has come gets `error`. Whether there was one. */
  expire(now: number, error: () => HubwireError): boolean {
    let some = false;
    for (const request of this.#waiting ?? []) {
      if (request.deadline > now) continue;
      this.#end(request, error());
      some = true;
    }
    return some;
  }

  /** All are over: accepted, or failed with `error`. */
  settleAll(error: HubwireError | undefined): void {
    for (const request of this.#waiting ?? []) this.#end(request, error);
    this.#waiting = undefined;
  }
}
