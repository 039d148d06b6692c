/**
 * A message, or a request, that kills its connection (policy 12): who is it, and is it really the one?
 *
 * Invariants: a message is accused only after CONNECTIONS accepted connections in a row that the other end ended with the
 * same oldest message unacknowledged and nothing gained, or, where that is not so, with the same oldest request unanswered;
 * either is condemned only when a connection without it thrived and one with nothing else under way ended again as soon as it
 * was there. Whatever does not fit clears it. So a broker in trouble, a takeover or a bad network costs nothing.
 *
 * watching: all go. without: none goes, so that a second one of the kind cannot clear the first; the connection
 * thrives where PINGRESP comes after the others had ended. alone: the accused goes, and nothing else. Neither stage lasts
 * longer than its PINGREQ may take to be answered.
 */
import type { Exchange } from "./exchange.js";
import type { SessionParts } from "./parts.js";
import type { Time } from "./time.js";

const CONNECTIONS = 5;
/** ms that a verdict allows for besides what the connections lived before. */
const SLACK = 50;

export type SuspectStage = "watching" | "without" | "alone";

export class Suspect {
  stage: SuspectStage = "watching";
  /** Who was the oldest when the last connection ended, or is accused. */
  accused: Exchange | undefined;
  /** The connections that ended in a row with it. */
  #count = 0;
  /** ms that the longest of them lived. */
  #longest = 0;
  #openedAt = 0;
  #gained = false;
  /** When the accused went alone. */
  #aloneAt = Infinity;
  /** When a PINGREQ has to show that the connection lives; Infinity: at no time. */
  #probeAt = Infinity;
  /** When the answer to it counts as lost, which clears the accused; Infinity: none is awaited. */
  #overAt = Infinity;

  /** A connection was accepted. */
  opened(time: Time): void {
    this.#openedAt = time.now;
    this.#gained = false;
    this.#aloneAt = this.#overAt = Infinity;
    this.#probeAt = this.stage === "without" ? time.now + this.#longest + SLACK : Infinity;
    time.schedule(this.#probeAt);
  }

  /** Something was acknowledged: the message itself, or another. */
  acknowledged(what: unknown): void {
    this.#gained = true;
    if (what === this.accused) this.clear();
  }

  /** PINGRESP. */
  alive(now: number): void {
    if (this.stage === "without" && now - this.#openedAt > this.#longest) {
      this.stage = "alone";
      this.#probeAt = this.#overAt = Infinity;
    } else if (this.stage === "alone" && now - this.#aloneAt > this.#longest) this.clear();
  }

  /** Whether a request has to wait. */
  holds(what: Exchange): boolean {
    return this.stage === "without" || (this.stage === "alone" && what !== this.accused);
  }

  /** It goes; the accused does so where nothing else is under way. */
  sent(what: Exchange, time: Time): void {
    if (this.stage !== "alone" || what !== this.accused) return;
    this.#aloneAt = time.now;
    this.#probeAt = time.now + this.#longest + SLACK;
    time.schedule(this.#probeAt);
  }

  /** Sends the PINGREQ that is due. Whether its answer is overdue, which clears the accused. */
  tick({ time, output, options }: SessionParts): boolean {
    if (this.stage === "watching") return false;
    if (time.isDue(this.#probeAt)) {
      this.#probeAt = Infinity;
      this.#overAt = time.now + options.operationTimeout;
      output.pingreq(time.now);
    }
    if (!time.isDue(this.#overAt)) return false;
    this.clear();
    return true;
  }

  /**
   * An accepted connection ended, through the other end's doing or not, with these as the oldest message and request that
   * were not answered. Returns who is condemned.
   */
  ended(
    now: number,
    message: Exchange | undefined,
    asking: Exchange | undefined,
    byPeer: boolean,
  ): Exchange | undefined {
    const { stage, accused } = this;
    if (stage === "watching") {
      // A request that is the oldest already stays so, whatever message comes beside it.
      const ofMessage = !this.#gained && (!asking || asking !== accused);
      this.#watch(now, (ofMessage && message) || asking, byPeer);
      return undefined;
    }
    const wasAlone = this.#aloneAt <= now;
    const guilty = byPeer && wasAlone && now - this.#aloneAt <= 2 * this.#longest + SLACK;
    this.clear();
    return guilty ? accused : undefined;
  }

  #watch(now: number, oldest: Exchange | undefined, byPeer: boolean): void {
    if (!oldest || !byPeer) return this.clear();
    if (oldest !== this.accused) {
      this.clear();
      this.accused = oldest;
    }
    this.#count++;
    this.#longest = Math.max(this.#longest, now - this.#openedAt);
    if (this.#count >= CONNECTIONS) this.stage = "without";
  }

  /** Nothing is known against anybody. */
  clear(): void {
    this.stage = "watching";
    this.accused = undefined;
    this.#count = this.#longest = 0;
    this.#aloneAt = this.#probeAt = this.#overAt = Infinity;
  }
}
