/**
 * When to try again: exponential backoff with full jitter, which spreads the clients of a restarted server
 * evenly.
 *
 * Invariants: the ceiling doubles with each failure up to `maxDelay` and falls back to `minDelay` only after
 * a connection that outlived it; two clients that share one identity therefore slow each other down instead
 * of fighting, however quickly each connection succeeds.
 */

/** ms, a day at most. */
export interface ReconnectOptions {
  /** The first delay is random between 0 and this. Default 1,000. */
  minDelay?: number | undefined;
  /** The ceiling never passes this. Default 60,000. */
  maxDelay?: number | undefined;
}

/**
 * Connections in a row that the peer closed soon after it accepted them, before that is called a takeover.
 */
const TAKEOVERS = 3;

export class Backoff {
  readonly #minDelay: number;
  readonly #maxDelay: number;
  readonly #random: () => number;
  #failures = 0;
  #shortLived = 0;

  constructor(minDelay: number, maxDelay: number, random: () => number) {
    this.#minDelay = minDelay;
    this.#maxDelay = maxDelay;
    this.#random = random;
  }

  /**
   * A connection that had been accepted is over after `upTime` ms. Returns whether this is one of several in
   * a row that the peer closed early: another client with the same identity is likely (MQTT-3.1.4-2).
   */
  ended(upTime: number, byPeer: boolean): boolean {
    if (upTime >= this.#ceiling()) {
      this.#failures = this.#shortLived = 0;
      return false;
    }
    return byPeer && ++this.#shortLived >= TAKEOVERS;
  }

  /** ms to wait before the next attempt. After a takeover it is at least half the longest delay. */
  next(takeover = false): number {
    const delay = takeover ? (this.#maxDelay * (1 + this.#random())) / 2 : this.#ceiling() * this.#random();
    this.#failures++;
    return delay;
  }

  #ceiling(): number {
    return Math.min(this.#maxDelay, this.#minDelay * 2 ** this.#failures);
  }
}
