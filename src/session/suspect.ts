/**
 * A message that kills its connection (policy 12): who is it, and is it really the one?
 *
 * Invariants: a message is accused only after CONNECTIONS accepted connections in a row that the other end ended with the
 * same oldest message unacknowledged and nothing gained; it is condemned only when a connection without it thrived and
 * one with nothing else under way ended again as soon as it was there. Whatever does not fit clears it. So a broker in
 * trouble, a takeover or a bad network costs no message.
 *
 * watching: all messages go. without: none goes, so that a second one of the kind cannot clear the first; the connection
 * thrives where PINGRESP comes after the others had ended. alone: the accused goes, and nothing else. Neither stage lasts
 * longer than its PINGREQ may take to be answered.
 */
import type { Publication } from "./exchange.js";
import type { SessionParts } from "./parts.js";
import type { Time } from "./time.js";

const CONNECTIONS = 5;
/** ms that a verdict allows for besides what the connections lived before. */
const SLACK = 50;

export type SuspectStage = "watching" | "without" | "alone";

export class Suspect {
  stage: SuspectStage = "watching";
  /** The message that was the oldest when the last connection ended, or that is accused. */
  message: Publication | undefined;
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
    if (what === this.message) this.clear();
  }

  /** PINGRESP. */
  alive(now: number): void {
    if (this.stage === "without" && now - this.#openedAt > this.#longest) {
      this.stage = "alone";
      this.#probeAt = this.#overAt = Infinity;
    } else if (this.stage === "alone" && now - this.#aloneAt > this.#longest) this.clear();
  }

  /** The accused goes, and nothing else is under way. */
  sentAlone(time: Time): void {
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
   * An accepted connection ended, through the other end's doing or not, with `oldest` unacknowledged. Returns the
   * message that is condemned.
   */
  ended(now: number, oldest: Publication | undefined, byPeer: boolean): Publication | undefined {
    const { stage, message } = this;
    if (stage === "watching") {
      this.#watch(now, oldest, byPeer);
      return undefined;
    }
    const wasAlone = this.#aloneAt <= now;
    const guilty = byPeer && wasAlone && now - this.#aloneAt <= 2 * this.#longest + SLACK;
    this.clear();
    return guilty ? message : undefined;
  }

  #watch(now: number, oldest: Publication | undefined, byPeer: boolean): void {
    if (!oldest || !byPeer || this.#gained) return this.clear();
    if (oldest !== this.message) {
      this.clear();
      this.message = oldest;
    }
    this.#count++;
    this.#longest = Math.max(this.#longest, now - this.#openedAt);
    if (this.#count >= CONNECTIONS) this.stage = "without";
  }

  /** Nothing is known against any message. */
  clear(): void {
    this.stage = "watching";
    this.message = undefined;
    this.#count = this.#longest = 0;
    this.#aloneAt = this.#probeAt = this.#overAt = Infinity;
  }
}
