/**
 * What the device just did: over MQTT 3.1.1 the hub answers many a mistake by closing the connection and nothing else,
 * so that the error's explanation needs it.
 *
 * Invariant: one error of the connection is seen by many calls; each gets the same explanation of it.
 */
import type { Clock } from "../clock.js";
import type { HubwireError } from "../errors.js";
import { asHubwireError } from "./access.js";
import { type Activity, explainError } from "./explain.js";

/** ms in which a large message may be why the connection closed. */
const LARGEST_COUNTS = 10_000;
/** ms: a connection that ended sooner was short. */
const SHORT_LIFE = 60_000;

export class ActivityNotes {
  readonly #clock: Clock;
  readonly #explained = new WeakMap<object, HubwireError>();
  #acceptedAt: number | undefined;
  #shortLived = 0;
  #largest = 0;
  #largestAt = -Infinity;
  #sent = 0;
  #second = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  accepted(): void {
    this.#acceptedAt = this.#clock.now();
  }

  /** The connection is over; `asPlanned`: this end did it. To be called after its error was explained. */
  ended(asPlanned: boolean): void {
    this.#shortLived = asPlanned || !this.#isShort ? 0 : this.#shortLived + 1;
    this.#acceptedAt = undefined;
  }

  /** A message of that many bytes is sent. */
  sending(size: number): void {
    const now = this.#clock.now();
    if (now - this.#second >= 1_000) {
      this.#second = now;
      this.#sent = 0;
    }
    this.#sent++;
    if (size >= this.#largest || now - this.#largestAt > LARGEST_COUNTS) {
      this.#largest = size;
      this.#largestAt = now;
    }
  }

  /** Adds what a device can do about it. `name` is the identity's, `expiresAt` its token's end on the clock. */
  explain(error: unknown, name: string, expiresAt: number): HubwireError {
    const plain = asHubwireError(error, "failed");
    const known = this.#explained.get(plain);
    if (known) return known;
    const explained = explainError(plain, this.#activity(expiresAt), name);
    this.#explained.set(plain, explained);
    this.#explained.set(explained, explained);
    return explained;
  }

  get #isShort(): boolean {
    return this.#acceptedAt !== undefined && this.#clock.now() - this.#acceptedAt < SHORT_LIFE;
  }

  #activity(expiresAt: number): Activity {
    const now = this.#clock.now();
    return {
      accepted: this.#acceptedAt !== undefined,
      upTime: now - (this.#acceptedAt ?? Infinity),
      tokenLeft: expiresAt - now,
      largest: now - this.#largestAt <= LARGEST_COUNTS ? this.#largest : 0,
      rate: now - this.#second < 2_000 ? this.#sent : 0,
      shortLived: this.#shortLived + (this.#isShort ? 1 : 0),
    };
  }
}
