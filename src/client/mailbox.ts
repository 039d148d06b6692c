/**
 * Messages of a subscription that is read by iteration.
 *
 * Invariants: each message leaves in order and to one reader; each delivery is done once: when its reader asks for the
 * next, or leaves, or when nobody will read it any more. A mailbox has no bound of its own: the client stops reading from
 * the socket while too much waits in all of them together.
 */
import type { HubwireError } from "../errors.js";
import type { Message } from "../session/types.js";

/** Says, once, that the consumer is done with a message. */
export interface Delivery {
  done(): void;
}

export type ReadResult = IteratorResult<Message, undefined>;

export const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** Messages that are kept of a subscription that is ending and that nobody reads. */
const LATE = 1_024;

interface Waiting {
  reader: Reader;
  resolve(result: ReadResult): void;
  reject(error: unknown): void;
}

export class Mailbox {
  #messages: Message[] = [];
  #deliveries: (Delivery | undefined)[] = [];
  #head = 0;
  #waiting: Waiting[] = [];
  /** Readers that are in the middle of it. */
  #readers = 0;
  #state: "open" | "ending" | "ended" = "open";
  #failure: HubwireError | undefined;

  put(message: Message, delivery: Delivery): void {
    const waiting = this.#waiting.shift();
    if (waiting) {
      waiting.reader.take(delivery);
      waiting.resolve({ done: false, value: message });
    } else if (this.#state === "open" || this.#readers > 0) {
      this.#messages.push(message);
      this.#deliveries.push(delivery);
    } else {
      // Perhaps nobody will ever read it: it must hold up nothing.
      delivery.done();
      if (this.#messages.length - this.#head >= LATE) return;
      this.#messages.push(message);
      this.#deliveries.push(undefined);
    }
  }

  /** The next message for `reader`, who is done with the one before. */
  next(reader: Reader): Promise<ReadResult> {
    if (this.#head < this.#messages.length) {
      const value = this.#messages[this.#head] as Message;
      reader.take(this.#deliveries[this.#head++]);
      // Half of the array is history: cutting it off now costs constant time a message.
      // Stryker disable next-line ConditionalExpression,EqualityOperator,ArithmeticOperator: time and memory only.
      if (this.#head * 2 > this.#messages.length) this.#compact();
      return Promise.resolve({ done: false, value });
    }
    if (this.#state === "ended") return Promise.resolve(END);
    if (this.#failure) {
      this.#failed(reader);
      return Promise.reject(this.#failure);
    }
    return new Promise((resolve, reject) => this.#waiting.push({ reader, resolve, reject }));
  }

  /** A reader has begun. */
  entered(): void {
    this.#readers++;
  }

  /** A reader has left; what it waited for is for the next. */
  left(reader: Reader): void {
    this.#readers--;
    const mine = this.#waiting.filter((waiting) => waiting.reader === reader);
    this.#waiting = this.#waiting.filter((waiting) => waiting.reader !== reader);
    for (const { resolve } of mine) resolve(END);
    if (this.#state !== "open") this.#release();
  }

  /** The subscription is to end: only who reads now will read what still comes. */
  ending(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.#release();
  }

  /** It does not end after all. */
  reopen(): void {
    if (this.#state === "ending") this.#state = "open";
  }

  /** No more messages will come; iteration ends after those that wait. */
  end(): void {
    this.#state = "ended";
    this.#release();
    for (const { resolve } of this.#waiting.splice(0)) resolve(END);
  }

  /** The client is closed, and acknowledges nothing any more: iteration ends at once, and what waits is let go of. */
  close(): void {
    this.#state = "ended";
    const deliveries = this.#deliveries.splice(0).slice(this.#head);
    this.#messages = [];
    this.#head = 0;
    for (const delivery of deliveries) delivery?.done();
    for (const { resolve } of this.#waiting.splice(0)) resolve(END);
  }

  /**
   * Nothing more can come until a later connection (`undefined` then): who waits for a message gets the
   * error.
   */
  fail(error: HubwireError | undefined): void {
    this.#failure = error;
    if (!error) return;
    for (const { reader, reject } of this.#waiting.splice(0)) {
      this.#failed(reader);
      reject(error);
    }
  }

  /**
   * An error ends a loop without a `return()`: its reader has left, unless it asks again. There is nothing to let go of:
   * it would have got what waits.
   */
  #failed(reader: Reader): void {
    if (reader.failed()) this.#readers--;
  }

  /** Where nobody reads, what waits holds up nothing any more; it can still be read. */
  #release(): void {
    if (this.#readers > 0) return;
    // They are let go of in order: where the newest has been, all have.
    // Stryker disable next-line ConditionalExpression: without it the loop finds nothing to do.
    if (this.#deliveries.at(-1) === undefined) return;
    for (let index = this.#head; index < this.#deliveries.length; index++) {
      const delivery = this.#deliveries[index];
      this.#deliveries[index] = undefined;
      delivery?.done();
    }
  }

  #compact(): void {
    this.#messages.splice(0, this.#head);
    this.#deliveries.splice(0, this.#head);
    this.#head = 0;
  }
}

/** One `for await` over a subscription. */
export class Reader implements AsyncIterator<Message, undefined> {
  readonly #mailbox: Mailbox;
  #state: "new" | "reading" | "over" = "new";
  #inHand: Delivery | undefined;

  constructor(mailbox: Mailbox) {
    this.#mailbox = mailbox;
  }

  /** The mailbox hands a message over. */
  take(delivery: Delivery | undefined): void {
    // Where the consumer asked twice before it got anything, the first message is done with by now.
    this.#finish();
    this.#inHand = delivery;
  }

  /** Acknowledges the message handed out before, and hands out the next. */
  next(): Promise<ReadResult> {
    if (this.#state === "over") return Promise.resolve(END);
    if (this.#state === "new") this.#mailbox.entered();
    this.#state = "reading";
    this.#finish();
    return this.#mailbox.next(this);
  }

  /** Acknowledges the message in hand; a `next` that waits ends. */
  return(): Promise<ReadResult> {
    const wasReading = this.#state === "reading";
    this.#state = "over";
    this.#finish();
    if (wasReading) this.#mailbox.left(this);
    return Promise.resolve(END);
  }

  /** Its `next` is rejected. Whether it was reading. */
  failed(): boolean {
    const wasReading = this.#state === "reading";
    this.#state = "new";
    return wasReading;
  }

  #finish(): void {
    const delivery = this.#inHand;
    this.#inHand = undefined;
    delivery?.done();
  }
}
