/**
 * Waiting until nothing is on its way any more, before a planned reconnect or the end.
 *
 * Invariant: whoever asked hears of the end once, be it that all was acknowledged or that the connection went.
 */
import type { Outbound } from "./outbound.js";
import type { SessionParts } from "./parts.js";
import type { Route } from "./route.js";
import type { Subscriptions } from "./subscriptions.js";

export class Drain<S extends Route> {
  readonly #parts: SessionParts;
  readonly #outbound: Outbound;
  readonly #subscriptions: Subscriptions<S>;
  #waitsFor: "nothing" | "acknowledgements" | "everything" = "nothing";

  constructor(parts: SessionParts, outbound: Outbound, subscriptions: Subscriptions<S>) {
    this.#parts = parts;
    this.#outbound = outbound;
    this.#subscriptions = subscriptions;
  }

  /** Waits for what is in flight; `includeQueue`: and for what is queued, which still goes out. */
  begin(includeQueue: boolean): void {
    this.#waitsFor = includeQueue ? "everything" : "acknowledgements";
    this.#outbound.isHolding = !includeQueue;
  }

  /** Something may have been the last. */
  check(): void {
    if (this.#waitsFor === "nothing" || this.#outbound.awaited > 0 || this.#subscriptions.awaited > 0) return;
    if (this.#waitsFor === "acknowledgements" || this.#outbound.isQueueEmpty) this.end();
  }

  /** There is no connection: nothing can be waited for. */
  end(): void {
    if (this.#waitsFor === "nothing") return;
    this.#waitsFor = "nothing";
    this.#parts.event({ type: "drained" });
  }

  /** A new connection, on which everything goes: a drain may have been asked for when the old one was gone already. */
  forget(): void {
    this.#waitsFor = "nothing";
    this.#outbound.isHolding = false;
  }
}
