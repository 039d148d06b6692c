/**
 * The user: makes the calls that the program says, on the real client, and tells those who judge what came of them.
 *
 * Invariant: a step that refers to a subscription that there is not does nothing.
 */
import type { MqttClient } from "../../src/client/index.js";
import type { Arrivals } from "./arrivals.js";
import type { Calls, Facts } from "./calls.js";
import type { Deliveries, Sub } from "./deliveries.js";
import type { Message } from "../../src/client/index.js";
import { messageId, payloadOf } from "./payload.js";
import type { ClientEvent, Handler, Op, UserOp } from "./program.js";
import type { Report } from "./report.js";
import type { Scheduler } from "./scheduler.js";
import { Signals } from "./signals.js";
import { code } from "./subject.js";

/** A granted subscription, as the client returned it. */
interface Granted {
  unsubscribe(): Promise<void>;
  [Symbol.asyncIterator](): AsyncIterator<Message, undefined>;
}

interface Own extends Sub {
  granted: Granted | undefined;
  iterator: { it: AsyncIterator<Message, undefined>; returned: boolean; waiting: number } | undefined;
  messages: number;
  /** It may go on: the server refused the filter of another, or `unsubscribe` failed. Nothing is owed to it. */
  uncertain: boolean;
  /** The user asked for its end. */
  ended: boolean;
  /** Loops that run. */
  loops: number;
}

interface Listener {
  event: ClientEvent;
  left: number;
  op: Op;
}

/** The identifiers of subscriptions of a crowd begin here. */
const CROWD = 2_000_000;

class LeaveLoop extends Error {}

export class User {
  readonly subs = new Map<number, Own>();
  /** Payloads that handlers are busy with, by the memory that they pin. */
  readonly held = new Map<ArrayBufferLike, number>();
  readonly #client: MqttClient;
  readonly #scheduler: Scheduler;
  readonly #report: Report;
  readonly #facts: Facts;
  readonly #calls: Calls;
  readonly #deliveries: Deliveries;
  readonly #arrivals: Arrivals;
  readonly #perform: (op: Op) => void;
  readonly #signals = new Signals();
  #listeners: Listener[] = [];
  #fair = false;
  #lastId = 0;
  #lastSub = 1_000_000;

  /** `perform` does an operation of the world's or the user's. */
  constructor(
    client: MqttClient,
    scheduler: Scheduler,
    report: Report,
    facts: Facts,
    judges: { calls: Calls; deliveries: Deliveries; arrivals: Arrivals },
    perform: (op: Op) => void,
  ) {
    this.#client = client;
    this.#scheduler = scheduler;
    this.#report = report;
    this.#facts = facts;
    this.#calls = judges.calls;
    this.#deliveries = judges.deliveries;
    this.#arrivals = judges.arrivals;
    this.#perform = perform;
    client.on("connect", () => {
      facts.connects++;
      this.#heard("connect");
      if (this.#fair) for (const own of this.subs.values()) this.#readOn(own);
    });
    client.on("disconnect", (error) => this.#heard("disconnect", error));
    client.on("reconnecting", ({ error }) => this.#heard("reconnecting", error));
    client.on("error", (error) => this.#heard("error", error));
  }

  perform(op: UserOp): void {
    switch (op.do) {
      case "connect":
        return void this.connect(op.timeout, this.#signals.of(op.signal));
      case "publish":
        for (let i = 0; i < op.times; i++) {
          void this.publish(op.topic, op.qos, op.size, this.#signals.of(op.signal), op.poison);
        }
        return;
      case "subscribe":
        return void this.subscribe(op.id, op.filter, op.qos, op.handler, this.#signals.of(op.signal));
      case "unsubscribe":
        return void this.unsubscribe(op.filter, this.#signals.of(op.signal));
      case "end":
        return void this.end(op.sub);
      case "loop":
        return void this.loop(op.sub, op.take, op.ms, op.leave);
      case "next":
        return this.#next(op.sub, op.times);
      case "return":
        return this.#return(op.sub);
      case "abort":
        this.#scheduler.touch();
        return this.#signals.abort(op.signal);
      case "reconnect":
        return void this.#calls.make({ id: this.nextId(), name: "reconnect", timeout: op.drainTimeout }, () =>
          this.#client.reconnect(op.drainTimeout === undefined ? {} : { drainTimeout: op.drainTimeout }),
        );
      case "close":
        return void this.close(op.force);
      case "rest":
        return;
      case "pile":
        for (let i = 0; i < op.times; i++) {
          void this.publish("up/pile", op.qos, 10, i % 2 ? undefined : this.#signals.of(op.signal));
        }
        return;
      case "crowd":
        return this.#crowd(op.times, op.end);
      case "listen":
        this.#listeners.push({ event: op.event, left: op.nth, op: op.op });
        return;
    }
  }

  /** Filters of their own, which no message comes for. */
  #crowd(times: number, end: boolean): void {
    for (let i = 0; i < times; i++) {
      const filter = `crowd/${i}/x`;
      if (end) void this.unsubscribe(filter);
      else void this.subscribe(CROWD + i, filter, 0, { style: "return" });
    }
  }

  nextId(): number {
    return ++this.#lastId;
  }

  connect(timeout?: number, signal?: AbortSignal): Promise<unknown> {
    const options = { ...(signal && { signal }), ...(timeout !== undefined && { timeout }) };
    return this.#calls.make({ id: this.nextId(), name: "connect", timeout, signal }, () =>
      this.#client.connect(options),
    );
  }

  /** Resolves to whether the message has arrived; never rejects. */
  async publish(topic: string, qos: 0 | 1 | 2, size: number, signal?: AbortSignal, poison = false): Promise<boolean> {
    const id = this.nextId();
    const payload = payloadOf(id, size, poison);
    const wrong = topic.includes("\u0001");
    let ended = "";
    await this.#calls.make({ id, name: "publish", qos, size, signal, poison, wrong }, () =>
      this.#client.publish(topic, payload, { qos, ...(signal && { signal }) }).then(
        () => this.#arrivals.completed(id, qos),
        (error: unknown) => {
          ended = code(error);
          this.#arrivals.refused(id, ended);
          throw error;
        },
      ),
    );
    return ended === "";
  }

  async subscribe(id: number, filter: string, qos: 0 | 1 | 2, handler?: Handler, signal?: AbortSignal): Promise<Own> {
    const own: Own = {
      id,
      filter,
      handler,
      live: false,
      over: false,
      granted: undefined,
      iterator: undefined,
      messages: 0,
      uncertain: false,
      ended: false,
      loops: 0,
    };
    this.subs.set(id, own);
    this.#deliveries.subs.push(own);
    let ended = false;
    this.#asked.set(own, () => (ended = true));
    const granted = await this.#calls.make({ id, name: "subscribe", signal }, () => {
      const options = { qos, ...(signal && { signal }) };
      const take = handler && ((message: Message) => this.#handle(own, handler, message));
      return this.#client.subscribe(filter, options, take);
    });
    own.granted = granted;
    own.live = granted !== undefined && !ended && !this.#facts.closeAsked;
    if (this.#fair) this.#readOn(own);
    return own;
  }

  /** What makes a subscription that is still pending none that is live. */
  readonly #asked = new Map<Own, () => void>();

  async unsubscribe(filter: string, signal?: AbortSignal): Promise<void> {
    const concerned = [...this.subs.values()].filter((own) => own.filter === filter);
    for (const own of concerned) this.#endAsked(own, true);
    const details = { id: this.nextId(), name: "unsubscribe" as const, signal };
    const done = await this.#calls.make(details, () =>
      this.#client.unsubscribe(filter, signal && { signal }).then(() => true),
    );
    // A subscription that was granted only after the call is none that it ends.
    for (const own of concerned) this.#unsubscribed(own, done !== undefined);
  }

  async end(sub: number): Promise<void> {
    const own = this.subs.get(sub);
    if (own?.granted === undefined) return;
    const { granted } = own;
    this.#endAsked(own, true);
    const done = await this.#calls.make({ id: this.nextId(), name: "end" }, () =>
      granted.unsubscribe().then(() => true),
    );
    this.#unsubscribed(own, done !== undefined);
  }

  close(force: boolean): Promise<unknown> {
    this.#facts.closeAsked = true;
    for (const own of this.subs.values()) this.#endAsked(own);
    const closed = this.#calls.make({ id: this.nextId(), name: "close", force }, () => this.#client.close({ force }));
    return closed.then(() => (this.#facts.closed = true));
  }

  /** The server refused this filter: nothing is owed to who has it. */
  refused(filter: string): void {
    this.#facts.refusedFilters.add(filter);
    for (const own of this.subs.values()) {
      if (own.filter !== filter) continue;
      own.uncertain ||= !own.ended;
      this.#endAsked(own);
    }
  }

  /** Reads until `take` messages came, and then leaves. */
  async loop(sub: number, take: number, ms: number, leave: "break" | "throw"): Promise<void> {
    const own = this.subs.get(sub);
    if (own?.granted === undefined || own.handler) return;
    own.loops++;
    let taken = 0;
    try {
      for await (const message of own.granted) {
        this.#scheduler.touch();
        const finish = this.#deliveries.received(own, messageId(message.payload), message.dup);
        this.onRead(message.payload);
        if (ms > 0 && !this.#fair)
          await new Promise<void>((done) => void this.#scheduler.after(ms, () => this.#call(done)));
        finish(true);
        if (++taken < take || this.#fair) continue;
        if (leave === "throw") throw new LeaveLoop("the body of the loop failed");
        break;
      }
    } catch (error) {
      this.#scheduler.touch();
      if (!(error instanceof LeaveLoop)) this.#report.log(`loop over ${sub} ended with ${code(error)}`);
    }
    own.loops--;
    this.#report.log(`loop over ${sub} is left after ${taken} messages`);
  }

  #call(done: () => void): void {
    this.#scheduler.touch();
    done();
  }

  #next(sub: number, times: number): void {
    const own = this.subs.get(sub);
    if (own?.granted === undefined || own.handler) return;
    const current = (own.iterator ??= { it: own.granted[Symbol.asyncIterator](), returned: false, waiting: 0 });
    for (let i = 0; i < times; i++) {
      current.waiting++;
      void this.#calls
        .make({ id: this.nextId(), name: "next" }, () => current.it.next())
        .then((result) => {
          current.waiting--;
          // After return() nobody looks at it any more: what comes here is lost.
          if (result === undefined || result.done || current.returned) return;
          this.#deliveries.received(own, messageId(result.value.payload), result.value.dup)(true);
        });
    }
  }

  #return(sub: number): void {
    const current = this.subs.get(sub)?.iterator;
    if (current === undefined) return;
    this.subs.get(sub)!.iterator = undefined;
    this.#scheduler.touch();
    this.#report.log(`return() of the iterator of ${sub}`);
    current.returned = true;
    void Promise.resolve(current.it.return?.()).then(() => {
      this.#scheduler.touch();
      void this.#scheduler.after(0, () =>
        this.#report.check(current.waiting === 0, () => `next() of ${sub} is pending after return()`),
      );
    });
  }

  #unsubscribed(own: Own, done: boolean): void {
    if (done) own.over = own.granted !== undefined;
    else own.uncertain = true;
    if (!done && this.#fair) this.#readOn(own);
  }

  #endAsked(own: Own, byUser = false): void {
    own.live = false;
    own.ended ||= byUser;
    if (byUser) own.uncertain = false;
    this.#asked.get(own)?.();
  }

  #handle(own: Own, { style, ms = 0, every = 1, inside }: Handler, message: Message): void | Promise<void> {
    this.#scheduler.touch();
    const id = messageId(message.payload);
    this.#report.check(!this.#facts.closed, () => `a handler was called with message ${id} after close() had resolved`);
    const finish = this.#deliveries.received(own, id, message.dup);
    const count = ++own.messages;
    if (inside?.nth === count && !this.#fair) this.#perform(inside.op);
    const fails = (style === "fail" || style === "reject") && count % every === 0 && !this.#facts.closeAsked;
    if (style === "fail" && fails && !this.#fair) {
      finish(false);
      throw new Error("the handler failed");
    }
    if (style === "never" && !this.#fair) return new Promise(() => {});
    if (style === "return" || style === "fail" || style === "never") return finish(true);
    const { buffer } = message.payload;
    this.held.set(buffer, (this.held.get(buffer) ?? 0) + 1);
    return new Promise<void>((resolve, reject) => {
      const end = (): void => {
        this.#scheduler.touch();
        const left = this.held.get(buffer)! - 1;
        if (left === 0) this.held.delete(buffer);
        else this.held.set(buffer, left);
        const failed = fails && !this.#fair;
        finish(!failed);
        if (failed) reject(new Error("the handler failed"));
        else resolve();
      };
      this.#scheduler.after(this.#fair ? 0 : ms, end);
    });
  }

  /** Handlers take what comes, whoever reads goes on reading, and nothing is called from inside others. */
  makePeace(): void {
    this.#fair = true;
    for (const own of this.subs.values()) this.#readOn(own);
  }

  #readOn(own: Own): void {
    if (own.handler || own.granted === undefined) return;
    if (own.iterator) this.#return(own.id);
    const readable = own.live || own.uncertain;
    this.#scheduler.touch();
    if (readable && own.loops === 0) void this.loop(own.id, Infinity, 0, "break");
  }

  #heard(event: ClientEvent, error?: unknown): void {
    this.#scheduler.touch();
    this.#report.log(`event ${event}${error === undefined ? "" : ` ${code(error)}`}`);
    // Its own end may be told, and that the store could not be closed.
    const isLast = event === "disconnect" || code(error) === "ERR_STORE";
    const isClosed = this.#facts.closed || (this.#client.state === "closed" && !isLast);
    this.#report.check(!isClosed, () => `event ${event} after the client was closed`);
    this.onEvent(event, error);
    const due = this.#listeners.filter((listener) => listener.event === event && --listener.left === 0);
    this.#listeners = this.#listeners.filter(({ left }) => left > 0);
    if (!this.#fair) for (const { op } of due) this.#perform(op);
  }

  /** For those who judge: a loop read a message. */
  onRead: (payload: Uint8Array) => void = () => {};

  /** For those who judge. */
  onEvent: (event: ClientEvent, error: unknown) => void = () => {};

  /** A subscription of the continuation's. */
  newSub(): number {
    return ++this.#lastSub;
  }
}
