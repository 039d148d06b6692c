/** Who has waited for too long, who cannot wait at all, and the errors for both. */
import { HubwireError } from "../errors.js";
import { type Publication, Restored } from "./exchange.js";
import type { Link } from "./list.js";
import type { Time } from "./time.js";
import type { SessionOptions } from "./types.js";

export const queueFull = (): HubwireError => new HubwireError("ERR_QUEUE_FULL", "the queue of unsent messages is full");
export const notConnected = (): HubwireError =>
  new HubwireError("ERR_NOT_CONNECTED", "no connection, and this message may not wait for one");

/**
 * One error for all that is refused within a millisecond: a program may offer 100,000 messages in one turn, and an error
 * with its stack takes more memory than a message that waits.
 */
export function eachMillisecond(make: () => HubwireError): (now: number) => HubwireError {
  let at: number;
  let error: HubwireError;
  return (now) => (now === at ? error : ((at = now), (error = make())));
}

const timedOut = (): HubwireError => new HubwireError("ERR_TIMEOUT", "not acknowledged within operationTimeout");
const expired = (): HubwireError =>
  new HubwireError("ERR_MESSAGE_EXPIRED", "the message waited for longer than maxAge");

/** When the oldest of a list was sent, ms; Infinity where it is empty. */
export const firstSentAt = (list: Link): number => (list.next === list ? Infinity : (list.next as Publication).sentAt);

/** One look at all that wait. `isInOrder` of a list: whoever comes later in it is due later, and need not be looked at. */
export class Expiry {
  readonly #time: Time;
  readonly #options: SessionOptions;
  readonly #isOpen: boolean;
  readonly #giveUp: (publication: Publication, error: HubwireError) => void;

  constructor(
    time: Time,
    options: SessionOptions,
    isOpen: boolean,
    giveUp: (publication: Publication, error: HubwireError) => void,
  ) {
    this.#time = time;
    this.#options = options;
    this.#isOpen = isOpen;
    this.#giveUp = giveUp;
  }

  /** What waits to be sent has `maxAge` from its acceptance. */
  atUnsent(list: Link, isInOrder: boolean): void {
    const { maxAge } = this.#options.queue;
    this.#look(list, (publication) => publication.acceptedAt + maxAge, expired, isInOrder);
  }

  /** What was sent has `operationTimeout` from the last sending; without a connection that time does not count. */
  atSent(list: Link, isInOrder: boolean): void {
    const { operationTimeout } = this.#options;
    if (!this.#isOpen) return this.atUnsent(list, isInOrder);
    this.#look(list, (publication) => publication.sentAt + operationTimeout, timedOut, isInOrder);
  }

  #look(list: Link, dueAt: (of: Publication) => number, late: () => HubwireError, isInOrder: boolean): void {
    // One error for all, for there may be many.
    let error: HubwireError | undefined;
    for (let link = list.next; link !== list;) {
      const publication = link as Publication;
      link = link.next;
      // A message of an earlier process stays until it is delivered.
      if (publication.settled || publication instanceof Restored) continue;
      if (this.#time.isDue(dueAt(publication))) this.#giveUp(publication, (error ??= late()));
      else if (isInOrder) return;
    }
  }
}
