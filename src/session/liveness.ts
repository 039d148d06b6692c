/**
 * Whether the server still answers (policy 11): a connection whose acknowledgements stop is sick.
 *
 * Invariants: it is sick when its oldest unanswered packet has waited for the patience and no answer of any came
 * meanwhile, or for three times as long whatever came; each sick connection doubles the patience, to MOST at most, until
 * an answer comes: a slow or throttling server must not be hammered.
 */
const MOST = 600_000;
const WHATEVER_COMES = 3;

export class Liveness {
  readonly #timeout: number;
  #answeredAt = -Infinity;
  #doublings = 0;

  /** `timeout`: ms, the patience to begin with. */
  constructor(timeout: number) {
    this.#timeout = timeout;
  }

  /** An answer to a request or message came. */
  answered(now: number): void {
    this.#answeredAt = now;
    this.#doublings = 0;
  }

  /** When a connection is sick whose oldest unanswered packet was sent then, ms. */
  sickAt(sentAt: number): number {
    const patience = Math.min(this.#timeout * 2 ** this.#doublings, Math.max(MOST, this.#timeout));
    return sentAt + patience * (this.#answeredAt > sentAt ? WHATEVER_COMES : 1);
  }

  /** The connection was found sick. */
  sick(): void {
    this.#doublings++;
  }
}
