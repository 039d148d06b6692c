/**
 * Received messages on their way to those who subscribed, and back as acknowledgements.
 *
 * Invariants: a message is acknowledged, or refused, once: when all handlers and mailboxes that got it are
 * done, at once where there are none (MQTT-4.5.0-2). `count` and `bytes` say what they have in hand, so that
 * the client can stop reading. The list of routes is replaced, never changed, so a handler may subscribe and
 * unsubscribe.
 */
import { matchTopic } from "../codec/index.js";
import { HubwireError } from "../errors.js";
import type { Message } from "../session/types.js";
import type { Delivery, Mailbox, MessageHandler } from "./subscription.js";

/** Where messages that match a filter go: to the one or the other. */
export interface Route {
  topicFilter: string;
  handler: MessageHandler | undefined;
  mailbox: Mailbox | undefined;
}

/** What the dispatcher asks of the client. */
export interface DispatchOwner {
  /** The message is done with; `failed`: a handler did not take it. Not called for QoS 0. */
  finished(deliveryId: number, failed: boolean): void;
  /** A handler failed. */
  failed(error: HubwireError): void;
  /** `count` or `bytes` changed. */
  pressure(): void;
}

/** A message that somebody still works on. */
interface Work extends Delivery {
  left: number;
  failed: boolean;
}

type Predicate = (route: Route) => boolean;

const NO_ROUTES: Route[] = [];

export class Dispatcher {
  /** Messages in handlers and mailboxes. */
  count = 0;
  /** Their payload bytes. */
  bytes = 0;
  readonly #owner: DispatchOwner;
  #routes = NO_ROUTES;
  /** The routes of the topic that came last: it often comes again. */
  #lastTopic = "";
  #lastRoutes = NO_ROUTES;
  /** Messages of a resumed session that came before the program subscribed anew; undefined: keep none. */
  #early: { message: Message; id: number }[] | undefined;

  constructor(owner: DispatchOwner) {
    this.#owner = owner;
  }

  add(route: Route): void {
    this.#set([...this.#routes, route]);
    const early = this.#early;
    if (!early) return;
    // The subscriptions of an earlier process were there before this one said who handles their messages.
    this.#early = [];
    for (const { message, id } of early) {
      this.#hold(message, -1);
      this.deliver(message, id);
    }
  }

  some(wanted: Predicate): boolean {
    return this.#routes.some(wanted);
  }

  /** Their iteration ends after the messages that wait. */
  drop(unwanted: Predicate): void {
    for (const route of this.#routes) if (unwanted(route)) route.mailbox?.end(false);
    this.#set(this.#routes.filter((route) => !unwanted(route)));
  }

  /** Who waits for a message gets the error; `undefined`: messages may come again. */
  fail(error: HubwireError | undefined, wanted?: Predicate): void {
    for (const route of this.#routes) if (!wanted || wanted(route)) route.mailbox?.fail(error);
  }

  /** Nothing is delivered or acknowledged any more. */
  end(): void {
    for (const { mailbox } of this.#routes) mailbox?.end(true);
    this.#set(NO_ROUTES);
    this.#early = undefined;
  }

  /** Messages that nobody subscribed to are kept from now on, up to `dropEarly`. */
  keepEarly(): void {
    this.#early = [];
  }

  /** Long enough waited: nobody subscribes to these. */
  dropEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const { message, id } of early) {
      this.#hold(message, -1);
      this.#owner.finished(id, false);
    }
  }

  /** `id` is the session's delivery, 0 with QoS 0. */
  deliver(message: Message, id: number): void {
    const routes = message.topic === this.#lastTopic ? this.#lastRoutes : this.#match(message.topic);
    if (routes.length === 0 && this.#early && id !== 0) {
      this.#early.push({ message, id });
      this.#hold(message, 1);
      return;
    }
    let work: Work | undefined;
    let failed = false;
    for (const { handler, mailbox } of routes) {
      let result: unknown;
      if (handler) {
        try {
          result = handler(message);
        } catch (error) {
          failed = true;
          this.#report(error);
          continue;
        }
        if (typeof (result as Promise<void> | undefined)?.then !== "function") continue;
      }
      if (work === undefined) {
        work = { left: 0, failed, done: () => this.#done(work as Work, message, id) };
        this.#hold(message, 1);
      }
      work.left++;
      if (mailbox) mailbox.put(message, work);
      else this.#follow(result as Promise<void>, work);
    }
    if (work !== undefined) work.failed ||= failed;
    else if (id !== 0) this.#owner.finished(id, failed);
  }

  #follow(result: Promise<void>, work: Work): void {
    result.then(work.done, (error: unknown) => {
      work.failed = true;
      this.#report(error);
      work.done();
    });
  }

  #done(work: Work, message: Message, id: number): void {
    if (--work.left > 0) return;
    this.#hold(message, -1);
    if (id !== 0) this.#owner.finished(id, work.failed);
  }

  #report(cause: unknown): void {
    this.#owner.failed(new HubwireError("ERR_HANDLER", "a message handler failed", { cause }));
  }

  #match(topic: string): Route[] {
    this.#lastTopic = topic;
    return (this.#lastRoutes = this.#routes.filter(({ topicFilter }) => matchTopic(topicFilter, topic)));
  }

  #set(routes: Route[]): void {
    this.#routes = routes;
    this.#lastTopic = "";
  }

  #hold(message: Message, sign: 1 | -1): void {
    this.count += sign;
    this.bytes += sign * message.payload.length;
    this.#owner.pressure();
  }
}
