/**
 * The life of a client: in which phase it is, and what comes after a connection or an attempt has ended. No socket, timer
 * or event; the client carries out what is decided here.
 *
 * Invariants: the phase is the whole state of the connection; it follows the table, checked at each step
 * (`src/README.md` shows it); before the first acceptance what cannot pass stops the client at once; afterwards nothing
 * that a peer can do stops it (policy 5).
 */
import type { HubwireError } from "../errors.js";
import type { ClientState } from "./api.js";
import { Backoff } from "./backoff.js";

/** Which phase may follow which. */
export const FOLLOWERS: { readonly [phase in ClientState]: readonly ClientState[] } = {
  idle: ["connecting", "closed"],
  waiting: ["connecting", "stopped", "closed"],
  connecting: ["connected", "waiting", "stopped", "closed"],
  connected: ["renewing", "closing", "waiting", "stopped", "closed"],
  renewing: ["leaving", "closing", "waiting", "stopped", "closed"],
  leaving: ["connecting", "ending", "closed"],
  closing: ["ending", "closed"],
  ending: ["closed"],
  stopped: ["connecting", "closed"],
  closed: [],
};

/** The phases between CONNACK and the end of the connection. */
const UP: readonly ClientState[] = ["connected", "renewing", "leaving", "closing", "ending"];

/** ms before the end of `connect()` in which no attempt begins any more. */
const LAST_ATTEMPT = 50;

export interface LifeCycleOptions {
  /** ms; undefined: one attempt a `connect()`. */
  reconnect: { minDelay: number; maxDelay: number } | undefined;
  random: () => number;
}

/** What comes after a connection or attempt that ended. */
export type Sequel =
  /** Another attempt in `delay` ms, the `attempt`th in a row. */
  | { do: "retry"; delay: number; attempt: number; isTakeover: boolean }
  /** None, until the next `connect()`. */
  | { do: "stop" };

export class LifeCycle {
  /** Monotonic ms at which the phase ends by itself. */
  wakeAt = Infinity;
  /** Why the last attempt or connection ended. */
  lastError: HubwireError | undefined;
  readonly #options: LifeCycleOptions;
  readonly #backoff: Backoff;
  #phase: ClientState = "idle";
  /** A connection was accepted since the client started or was stopped. */
  #wasAccepted = false;
  #acceptedAt = 0;
  #failures = 0;

  constructor(options: LifeCycleOptions) {
    this.#options = options;
    const { minDelay = 0, maxDelay = 0 } = options.reconnect ?? {};
    this.#backoff = new Backoff(minDelay, maxDelay, options.random);
  }

  get phase(): ClientState {
    return this.#phase;
  }

  /** CONNACK was seen, and the end of that connection not yet. */
  get isUp(): boolean {
    return UP.includes(this.#phase);
  }

  /** Failures go on in the background: nobody has to wait for the first acceptance. */
  get wasAccepted(): boolean {
    return this.#wasAccepted;
  }

  /** Of the client in whose place this one is. */
  inherit(wasAccepted: boolean): boolean {
    return (this.#wasAccepted = wasAccepted);
  }

  /** `timeout`: ms after which the phase ends by itself. */
  enter(phase: ClientState, now: number, timeout = Infinity): void {
    if (!FOLLOWERS[this.#phase].includes(phase)) throw new Error(`${this.#phase} is never followed by ${phase}`);
    this.#phase = phase;
    this.wakeAt = now + timeout;
    if (phase === "stopped") this.#wasAccepted = false;
  }

  /** `connect()` begins anew. */
  restart(): void {
    this.lastError = undefined;
    this.#failures = 0;
  }

  /** CONNACK. `timeout` as of `enter`. */
  accepted(now: number, timeout: number): void {
    this.enter("connected", now, timeout);
    this.#acceptedAt = now;
    this.#wasAccepted = true;
    this.restart();
  }

  /** A connection or attempt ended by itself; `patience`: ms that `connect()` has left, Infinity where nobody waits. */
  ended(error: HubwireError, now: number, patience: number): Sequel {
    this.lastError = error;
    const { reconnect, random } = this.#options;
    const byPeer = error.code === "ERR_CONNECTION_LOST";
    const isTakeover = this.isUp && this.#backoff.ended(now - this.#acceptedAt, byPeer);
    let delay = this.#backoff.next(isTakeover);
    if (!reconnect) return { do: "stop" };
    if (!error.retryable) {
      // What worked may work again: a certificate or token was read while it was being replaced. One that can only expire does not.
      if (!this.#wasAccepted || error.code === "ERR_SAS_EXPIRED") return { do: "stop" };
      delay = (reconnect.maxDelay * (1 + random())) / 2;
    }
    const left = this.#wasAccepted ? Infinity : patience;
    if (delay >= left) {
      if (left < LAST_ATTEMPT) return { do: "stop" };
      // Not given up before its time, which would be by chance: the next attempt is within what is left.
      delay = left * random();
    }
    return { do: "retry", delay, attempt: ++this.#failures, isTakeover };
  }
}
