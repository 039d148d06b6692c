/**
 * Received messages with those who subscribed, and back as acknowledgements.
 *
 * Invariants: a message is acknowledged, or refused, once: when all handlers and mailboxes that got it are done, at once
 * where there are none (MQTT-4.5.0-2), and after `handlerTimeout` whatever a handler does. `count` and `bytes` say what
 * they have in hand, a chunk of memory counted as long as any of its messages is, so that the client can stop reading.
 */
import { HubwireError } from "../errors.js";
import { insert, type Link, newList, unlink } from "../session/list.js";
import { withoutPinning } from "../session/memory.js";
import { Route } from "../session/route.js";
import type { Message } from "../session/types.js";
import type { QoS } from "../codec/types.js";
import type { Delivery, Mailbox } from "./mailbox.js";

/** Called with each message; a QoS 1 or 2 message is acknowledged when what it returns has resolved. */
export type MessageHandler = (message: Message) => void | Promise<void>;

/** A subscription: its messages go to the handler or into the mailbox. */
export class MessageRoute extends Route {
  readonly handler: MessageHandler | undefined;
  readonly mailbox: Mailbox | undefined;

  constructor(topicFilter: string, qos: QoS, handler: MessageHandler | undefined, mailbox: Mailbox | undefined) {
    super(topicFilter, qos);
    this.handler = handler;
    this.mailbox = mailbox;
  }
}

/** What the deliveries ask of the client. */
export interface DeliveryOwner {
  now(): number;
  /** The message is done with; `failed`: a handler did not take it. Not called for QoS 0. */
  finished(deliveryId: number, failed: boolean): void;
  /** A handler failed. */
  failed(error: HubwireError): void;
  /** `count` or `bytes` changed. */
  pressure(): void;
  /** There is a deadline, or an earlier one. */
  deadlineChanged(): void;
}

/** Memory that messages are in, as long as when it was first seen: a handler may give it away. */
interface Chunk {
  readonly memory: ArrayBufferLike;
  readonly bytes: number;
  messages: number;
}

/** A message that somebody still works on. */
class Work {
  readonly id: number;
  readonly chunk: Chunk;
  left = 0;
  failed = false;

  constructor(id: number, chunk: Chunk) {
    this.id = id;
    this.chunk = chunk;
  }
}

/** A handler that has not settled. */
class Running implements Link {
  prev: Link = undefined!;
  next: Link = undefined!;
  readonly work: Work;
  readonly startedAt: number;
  isOver = false;

  constructor(work: Work, startedAt: number) {
    this.work = work;
    this.startedAt = startedAt;
  }
}

export class Deliveries {
  /** Messages in handlers and mailboxes. */
  count = 0;
  /** The memory that they keep alive, bytes. */
  bytes = 0;
  readonly #owner: DeliveryOwner;
  readonly #handlerTimeout: number;
  /** In order of their start. */
  readonly #running = newList();
  /** Made for the first message that somebody still works on. */
  #chunks: Map<ArrayBufferLike, Chunk> | undefined;

  /** `handlerTimeout`: ms. */
  constructor(owner: DeliveryOwner, handlerTimeout: number) {
    this.#owner = owner;
    this.#handlerTimeout = handlerTimeout;
  }

  /** `id` is the session's delivery, 0 with QoS 0. */
  deliver(message: Message, id: number, routes: readonly MessageRoute[]): void {
    const { topic, qos, retain, dup } = message;
    let { payload } = message;
    let work: Work | undefined;
    let failed = false;
    for (const { handler, mailbox } of routes) {
      let result: void | Promise<void> = undefined;
      // What waits in a mailbox must not keep the chunk alive that it came in.
      if (mailbox) payload = withoutPinning(payload);
      // Each has an object of its own, to change or to freeze.
      const own = mailbox || routes.length > 1 ? { topic, payload, qos, retain, dup } : message;
      if (handler) {
        try {
          result = handler(own);
          if (typeof result?.then !== "function") continue;
        } catch (error) {
          failed = true;
          this.#report(error);
          continue;
        }
      }
      work ??= this.#begin(id, payload.buffer);
      work.left++;
      if (mailbox) mailbox.put(own, this.#delivery(work));
      else this.#follow(result as Promise<void>, work);
    }
    if (work) {
      work.failed ||= failed;
      this.#finish(work);
    } else if (id !== 0) this.#owner.finished(id, failed);
  }

  #begin(id: number, memory: ArrayBufferLike): Work {
    const chunks = (this.#chunks ??= new Map());
    let chunk = chunks.get(memory);
    if (!chunk) {
      chunks.set(memory, (chunk = { memory, bytes: memory.byteLength, messages: 0 }));
      this.bytes += chunk.bytes;
    }
    const work = new Work(id, chunk);
    chunk.messages++;
    this.count++;
    // Held by `deliver` itself until all have got it.
    work.left = 1;
    return work;
  }

  /** One of those who had it is done. */
  #finish(work: Work): void {
    if (--work.left > 0) return this.#owner.pressure();
    const { chunk } = work;
    if (--chunk.messages === 0) {
      // Stryker disable next-line OptionalChaining: it was made for this one or one before.
      this.#chunks?.delete(chunk.memory);
      this.bytes -= chunk.bytes;
    }
    this.count--;
    this.#owner.pressure();
    if (work.id !== 0) this.#owner.finished(work.id, work.failed);
  }

  #delivery(work: Work): Delivery {
    return { done: () => this.#finish(work) };
  }

  #follow(result: Promise<void>, work: Work): void {
    const running = new Running(work, this.#owner.now());
    insert(running, this.#running);
    if (running.prev === this.#running) this.#owner.deadlineChanged();
    const over = (error: unknown, failed: boolean): void => {
      if (failed && !running.isOver) this.#report(error);
      this.#end(running, failed);
    };
    try {
      Promise.resolve(result).then(
        () => over(undefined, false),
        (error: unknown) => over(error, true),
      );
    } catch (error) {
      // A promise of a kind of its own.
      over(error, true);
    }
  }

  #end(running: Running, failed: boolean): void {
    if (running.isOver) return;
    running.isOver = true;
    unlink(running);
    running.work.failed ||= failed;
    this.#finish(running.work);
  }

  /** When `tick` has to be called at the latest, ms. */
  get nextDeadline(): number {
    const first = this.#running.next;
    return first === this.#running ? Infinity : (first as Running).startedAt + this.#handlerTimeout;
  }

  /** Gives up handlers that do not settle: their messages must not hold up all others. */
  tick(now: number): void {
    while (this.nextDeadline <= now) {
      const text = `a message handler has not settled within ${this.#handlerTimeout} ms; its message is given up`;
      this.#owner.failed(new HubwireError("ERR_HANDLER", text));
      this.#end(this.#running.next as Running, true);
    }
  }

  #report(cause: unknown): void {
    this.#owner.failed(new HubwireError("ERR_HANDLER", "a message handler failed", { cause }));
  }
}
