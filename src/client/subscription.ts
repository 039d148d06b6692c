/**
 * A subscription as the user holds it, and the mailbox of one that is read by iteration.
 *
 * Invariants: each message that enters a mailbox leaves it once, in order; its `done` is called once, when
 * the consumer asks for the next message or the subscription is given up. A mailbox has no bound of its own:
 * the client stops reading from the socket while too much waits in all of them together.
 */
import type { QoS } from "../codec/types.js";
import { HubwireError } from "../errors.js";
import type { Message } from "../session/types.js";

/** Called with each message; a QoS 1 or 2 message is acknowledged when what it returns has resolved. */
export type MessageHandler = (message: Message) => void | Promise<void>;

/** Says that the consumer is done with a message. */
export interface Delivery {
  done(): void;
}

type Result = IteratorResult<Message, undefined>;

const END: IteratorReturnResult<undefined> = { done: true, value: undefined };

export class Mailbox {
  #messages: Message[] = [];
  #deliveries: Delivery[] = [];
  #head = 0;
  #current: Delivery | undefined;
  #waiting: { resolve(result: Result): void; reject(error: unknown): void }[] = [];
  #ended = false;
  #failure: HubwireError | undefined;

  put(message: Message, delivery: Delivery): void {
    if (this.#ended) {
      delivery.done();
      return;
    }
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      // Where the consumer asked twice before it got anything, the first message is done with by now.
      this.#finishCurrent();
      this.#current = delivery;
      waiting.resolve({ done: false, value: message });
      return;
    }
    this.#messages.push(message);
    this.#deliveries.push(delivery);
  }

  /** Acknowledges the message handed out before, and hands out the next. */
  next(): Promise<Result> {
    this.#finishCurrent();
    if (this.#head < this.#messages.length) {
      const value = this.#messages[this.#head] as Message;
      this.#current = this.#deliveries[this.#head++];
      // Half of the array is history: cutting it off now costs constant time a message.
      if (this.#head * 2 > this.#messages.length) this.#compact();
      return Promise.resolve({ done: false, value });
    }
    if (this.#ended) return Promise.resolve(END);
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /**
   * No more messages will come; iteration ends after those that wait. `drop`: at once, and nothing that the
   * consumer has not finished is acknowledged.
   */
  end(drop: boolean): void {
    this.#ended = true;
    if (drop) {
      this.#messages = [];
      this.#deliveries = [];
      this.#head = 0;
      this.#current = undefined;
    }
    for (const { resolve } of this.#waiting.splice(0)) resolve(END);
  }

  /**
   * Nothing more can come until a later connection (`undefined` then): who waits for a message gets the
   * error.
   */
  fail(error: HubwireError | undefined): void {
    this.#failure = error;
    if (error) for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #finishCurrent(): void {
    const current = this.#current;
    this.#current = undefined;
    current?.done();
  }

  #compact(): void {
    this.#messages.splice(0, this.#head);
    this.#deliveries.splice(0, this.#head);
    this.#head = 0;
  }
}

/**
 * A subscription that the server granted. Made without a handler, it is read with `for await`: by one
 * consumer at a time; messages wait while nobody reads, and when many wait the client stops reading from the
 * network. Leaving the loop neither ends the subscription nor acknowledges the message in hand; a later loop
 * goes on (and acknowledges that message when it asks for its first).
 */
export class Subscription implements AsyncIterable<Message> {
  readonly topicFilter: string;
  /** The highest QoS at which the server sends. */
  readonly grantedQos: QoS;
  readonly #mailbox: Mailbox | undefined;
  readonly #unsubscribe: () => Promise<void>;

  constructor(topicFilter: string, grantedQos: QoS, mailbox: Mailbox | undefined, unsubscribe: () => Promise<void>) {
    this.topicFilter = topicFilter;
    this.grantedQos = grantedQos;
    this.#mailbox = mailbox;
    this.#unsubscribe = unsubscribe;
  }

  /** Ends this subscription; UNSUBSCRIBE goes out unless another subscription has the same filter. */
  unsubscribe(): Promise<void> {
    return this.#unsubscribe();
  }

  [Symbol.asyncIterator](): AsyncIterator<Message, undefined> {
    const mailbox = this.#mailbox;
    if (mailbox === undefined) {
      throw new HubwireError("ERR_INVALID_ARGUMENT", "a subscription with a handler cannot be iterated");
    }
    let over = false;
    return {
      next: () => (over ? Promise.resolve(END) : mailbox.next()),
      return: () => {
        over = true;
        return Promise.resolve(END);
      },
    };
  }
}
