/**
 * The session: the client's side of MQTT 3.1.1 without a socket, timer or clock (section 4.1). It has the state of the
 * connection, hands packets to the part that owns what they are about, and knows when there is nothing left to wait for.
 *
 * Invariants:
 * - Every request is settled exactly once, and the session holds no other reference to it afterwards.
 * - Each piece of state has one owner: messages on their way out `Outbound`, SUBSCRIBE and UNSUBSCRIBE with their routes
 *   `Subscriptions`, messages from the server `Arrivals`, identifiers `PacketIds`, output `Output`, deadlines `Time`.
 * - After a violation, `lost`, `disconnect` or `end` nothing more is delivered or written for that connection.
 */
import { Decoder } from "../codec/index.js";
import { HubwireError } from "../errors.js";
import { Answers } from "./answers.js";
import { Arrivals } from "./arrivals.js";
import { Drain } from "./drain.js";
import { type Asking, Publication } from "./exchange.js";
import { Handshake } from "./handshake.js";
import type { SessionStore } from "./journal.js";
import { forAll } from "./list.js";
import { Outbound } from "./outbound.js";
import type { SessionParts } from "./parts.js";
import { Output } from "./output.js";
import { PacketIds } from "./packet-ids.js";
import { isByPeer, violation } from "./refusals.js";
import type { Route } from "./route.js";
import { ServerPackets } from "./server-packets.js";
import { Subscriptions } from "./subscriptions.js";
import { Time } from "./time.js";
import { newMetrics } from "./types.js";
import type { ConnectOptions, SessionEvent, SessionMetrics, SessionOptions, SessionSink, Trace } from "./types.js";
import { Watch } from "./watch.js";

export type SessionState = "closed" | "connecting" | "connected" | "closing";

export class Session<P extends Publication, A extends Asking<S>, S extends Route> {
  /** Live counters; not to be written to. */
  readonly metrics: SessionMetrics = newMetrics();
  readonly #options: SessionOptions;
  readonly #parts: SessionParts;
  readonly #outbound: Outbound;
  readonly #subscriptions: Subscriptions<S>;
  readonly #arrivals: Arrivals<S>;
  readonly #handshake = new Handshake();
  readonly #answers: Answers<S>;
  readonly #watch: Watch;
  readonly #drain: Drain<S>;
  readonly #events: SessionEvent[] = [];
  #state: SessionState = "closed";
  #isOver = false;
  readonly #packets: ServerPackets<S>;
  #decoder: Decoder | undefined;
  #isRestored = false;

  constructor(sink: SessionSink<P, A, S>, options: SessionOptions) {
    this.#options = options;
    const time = new Time(sink);
    const output = new Output(this.metrics, sink);
    this.#parts = {
      time,
      output,
      ids: new PacketIds(),
      metrics: this.metrics,
      options,
      settle: (exchange, error, returnCodes) => sink.settle(exchange as P | A, error, returnCodes),
      settleAll: (publications, error) => sink.settleAll(publications as Iterable<P>, error),
      event: (event) => void this.#events.push(event),
    };
    this.#outbound = new Outbound(this.#parts);
    this.#subscriptions = new Subscriptions(this.#parts, this.#outbound.suspect);
    this.#arrivals = new Arrivals(this.#parts, this.#subscriptions.filters, sink);
    this.#answers = new Answers(this.#parts, this.#outbound);
    this.#watch = new Watch(this.#parts, this.#answers.liveness);
    this.#drain = new Drain(this.#parts, this.#outbound, this.#subscriptions);
    this.#packets = new ServerPackets({
      parts: this.#parts,
      outbound: this.#outbound,
      subscriptions: this.#subscriptions,
      arrivals: this.#arrivals,
      answers: this.#answers,
      keepAlive: this.#watch.keepAlive,
      onConnack: (sessionPresent, returnCode) => this.#onConnack(sessionPresent, returnCode),
    });
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Called for each packet while set. */
  get trace(): Trace | undefined {
    return this.#parts.output.trace;
  }

  set trace(trace: Trace | undefined) {
    this.#parts.output.trace = trace;
  }

  /** Bytes that `takeOutput` would return. */
  get outputBytes(): number {
    return this.#parts.output.byteLength;
  }

  /** More waits to be sent once the output is taken: see `writable`. */
  get hasMore(): boolean {
    return this.#outbound.hasMore;
  }

  /** The next cold event; undefined when all are taken. Not from inside the sink. */
  takeEvent(): SessionEvent | undefined {
    return this.#events.length > 0 ? this.#events.shift() : undefined;
  }

  // ---- what the owner asks for

  /**
   * The transport is up: puts CONNECT into the output (MQTT-3.1.0-1). Throws ERR_INVALID_PACKET where
   * `connect` breaks a rule of section 3.1, ERR_STORE, ERR_CLOSED after `end`; and does nothing then.
   */
  open(connect: ConnectOptions, now: number): void {
    this.#enter(now);
    if (this.#state !== "closed") this.lost(undefined, now);
    const { output } = this.#parts;
    output.connect({ type: "connect", ...connect }, now);
    this.#state = "connecting";
    this.#handshake.sent(connect.cleanSession);
    this.#answers.opened();
    this.#watch.keepAlive.start(connect.keepAlive * 1000, now);
    this.#decoder = new Decoder(this.#packets, { maxPacketSize: this.#options.maxPacketSize });
    this.#drain.forget();
  }

  /** Bytes from the transport, which must not be written to afterwards. Never throws; not from inside the sink. */
  receive(chunk: Uint8Array, now: number): void {
    const decoder = this.#decoder;
    if (!decoder) return;
    this.#parts.time.now = now;
    this.#watch.keepAlive.received(now);
    try {
      this.#packets.receive(decoder, chunk);
      // What waited for room in the window, or for an identifier.
      this.#goOn();
    } catch (cause) {
      // Another decoder, or none: the owner ended this connection from inside the sink.
      if (decoder !== this.#decoder) return;
      const message = "processing a packet failed (MQTT-4.8.0-2)";
      this.#fail(cause instanceof HubwireError ? cause : new HubwireError("ERR_HANDLER", message, { cause }));
    }
  }

  /** The transport is gone; what a reconnect can finish is kept. `error` undefined: as planned. Ignored when that is known. */
  lost(error: HubwireError | undefined, now: number): void {
    if (this.#state === "closed") return;
    const { time, output } = this.#parts;
    time.now = now;
    this.#state = "closed";
    this.#decoder = undefined;
    output.close();
    this.#arrivals.lost();
    const asking = this.#subscriptions.lost();
    try {
      const reason = error ?? new HubwireError("ERR_CONNECTION_LOST", "the connection was lost");
      const condemned = this.#outbound.lost(reason, isByPeer(error), asking);
      if (condemned) this.#subscriptions.condemn(condemned as A);
    } catch (storeError) {
      this.#parts.event({ type: "abandoned", error: storeError as HubwireError });
    }
    this.#drain.end();
    time.schedule(now);
  }

  /**
   * Sends a message, or queues it where there is no connection, no room or something queued. The payload must not change
   * until it is settled. True: it was QoS 0 and has been written, and is not settled by the sink. Throws, and has taken
   * nothing then: ERR_INVALID_PACKET, ERR_QUEUE_FULL, ERR_NOT_CONNECTED, ERR_STORE, ERR_CLOSED.
   */
  publish(publication: P, now: number): boolean {
    this.#enter(now);
    return this.#outbound.publish(publication);
  }

  /** The routes that an UNSUBSCRIBE would end (see `Subscriptions`). */
  routesToEnd(topicFilter: string, only?: S): readonly S[] | undefined {
    return this.#subscriptions.routesToEnd(topicFilter, only);
  }

  /** Where messages of a topic go. */
  match(topic: string): readonly S[] {
    return this.#subscriptions.filters.match(topic);
  }

  /** All routes that have not ended. */
  routes(): Iterable<S> {
    return this.#subscriptions.filters.routes();
  }

  /** Ends a route whose filter others want too. */
  endRoute(route: S): void {
    this.#subscriptions.filters.remove(route);
  }

  /** Sends SUBSCRIBE or UNSUBSCRIBE; waits where there is no connection, and is sent again after a lost one. */
  ask(asking: A, now: number): void {
    this.#enter(now);
    this.#subscriptions.ask(asking);
  }

  /**
   * Settles with `error` those of the requests that are pending: what was never sent never is; what is in flight keeps its
   * packet identifier until it is acknowledged.
   */
  cancel(requests: Iterable<P | A>, error: HubwireError, now: number): void {
    if (this.#isOver) return;
    this.#guard(now, () => {
      forAll(requests, (request) => {
        if (request instanceof Publication) this.#outbound.giveUp(request, error);
        else this.#subscriptions.giveUp(request, error);
      });
      this.#goOn();
    });
  }

  /** Settles all that is pending with `error`. */
  cancelAll(error: HubwireError, now: number): void {
    this.#guard(now, () => {
      this.#subscriptions.giveUpAll(error);
      this.#outbound.giveUpAll(error);
      this.#drain.check();
    });
  }

  /**
   * The owner has taken a delivery over (MQTT-4.3.2-2): its PUBACK or PUBREC leaves when those of all earlier
   * deliveries have. Ignored for 0 and for one of an earlier connection (but see `Inbound`).
   */
  acknowledge(deliveryId: number, now: number): void {
    this.#settleDelivery(deliveryId, false, now);
  }

  /** The owner gives a delivery up: not acknowledged, it holds up no other, and comes again if the server sends it. */
  refuse(deliveryId: number, now: number): void {
    this.#settleDelivery(deliveryId, true, now);
  }

  #settleDelivery(deliveryId: number, refused: boolean, now: number): void {
    this.#parts.time.now = now;
    try {
      this.#arrivals.settle(deliveryId, refused);
    } catch (error) {
      this.#fail(error as HubwireError);
    }
  }

  /** Whether the transport takes more; while not, new PUBLISH wait in the queue. True after `open`; goes on with the queue. */
  writable(ready: boolean, now: number): void {
    this.#outbound.isWritable = ready;
    this.#guard(now, () => this.#goOn());
  }

  /** `bytes` of output were handed to the transport. */
  wrote(bytes: number): void {
    this.#watch.keepAlive.wrote(bytes);
  }

  /** The network took output that had had to wait; or the owner, asked for a look, has no room for what it would see. */
  progressed(now: number): void {
    this.#watch.keepAlive.taken(now);
  }

  /** Whether the owner reads from the transport; while not, PINGRESP is not late. True after `open`. */
  reading(on: boolean, now: number): void {
    this.#watch.keepAlive.reading(on);
    if (this.#watch.keepAlive.interval) this.#parts.time.schedule(now);
  }

  /**
   * Sends no new PUBLISH (`includeQueue`: none but the queued ones) and says `drained` when everything sent, SUBSCRIBE and
   * UNSUBSCRIBE included, is acknowledged, or there is no connection. Ends with the next `open`.
   */
  drain(includeQueue: boolean, now: number): void {
    this.#drain.begin(includeQueue);
    this.#guard(now, () => {
      this.#outbound.pump();
      if (this.#state === "connected") this.#drain.check();
      else this.#drain.end();
    });
  }

  /** Writes DISCONNECT; nothing is written or taken after it on this connection (MQTT-3.14.4-2). */
  disconnect(now: number): void {
    if (!this.#decoder) return;
    this.#parts.output.disconnect(now);
    this.#state = "closing";
    this.#arrivals.isOpen = false;
    this.#outbound.isHolding = true;
    this.#outbound.hasMore = false;
    this.#decoder = undefined;
  }

  /**
   * Settles all that is pending with `error` and closes the store, in which unfinished messages stay for the
   * next process. Every later `open`, `publish` and `ask` throws ERR_CLOSED. Throws what the store does.
   */
  end(error: HubwireError): void {
    this.#isOver = true;
    const { time } = this.#parts;
    // A DISCONNECT that is not fetched yet is still to be sent.
    if (this.#state === "closing") this.#state = "closed";
    else this.lost(error, time.now);
    time.due = Infinity;
    this.#outbound.end(error);
    this.#subscriptions.end(error);
    this.#options.store?.close();
  }

  /** When `tick` has to be called at the latest, ms; Infinity where there is nothing to wait for. */
  nextDeadline(): number {
    return this.#parts.time.due;
  }

  /** Does what is due at `now`; cheap when nothing is. */
  tick(now: number): void {
    const { time } = this.#parts;
    if (now < time.due) return;
    time.due = Infinity;
    this.#guard(now, () => {
      this.#outbound.tick();
      this.#subscriptions.tick();
      const oldest = Math.min(this.#outbound.oldestSentAt, this.#subscriptions.oldestSentAt);
      if (this.#state === "connected") this.#watch.check(oldest);
      this.#goOn();
    });
  }

  /** All output since the last call, to be sent in order. */
  takeOutput(): Uint8Array[] {
    return this.#parts.output.take();
  }

  // ---- packets from the server

  #onConnack(isPresent: boolean, returnCode: number): void {
    if (this.#state !== "connecting") throw violation("a second CONNACK", "MQTT-3.2.0-1");
    const sessionPresent = this.#handshake.answered(isPresent, returnCode);
    this.#state = "connected";
    const isSure = sessionPresent && !this.#handshake.isDoubtful;
    this.#arrivals.opened(sessionPresent, isSure);
    this.#outbound.opened(sessionPresent);
    this.#subscriptions.opened(sessionPresent, isSure);
    this.#handshake.followed();
    this.#outbound.pump();
    this.#parts.time.schedule(this.#parts.time.now);
    this.#parts.event({ type: "accepted", sessionPresent });
  }

  // ---- connection, drain and time

  /** Before anything that takes on work. */
  #enter(now: number): void {
    if (this.#isOver) throw new HubwireError("ERR_CLOSED", "the client is closed");
    this.#parts.time.now = now;
    if (this.#isRestored) return;
    if (this.#options.store) this.#restore(this.#options.store);
    this.#isRestored = true;
  }

  #restore(store: SessionStore): void {
    const inbound: number[] = [];
    const setAside = (error: HubwireError): void => this.#parts.event({ type: "abandoned", error });
    const publications = store.restore(this.#parts.time.now, (packetId) => void inbound.push(packetId), setAside);
    this.#arrivals.restore(store, inbound);
    this.#outbound.restore(store, publications);
    this.#parts.ids.restore(publications);
  }

  #goOn(): void {
    this.#outbound.goOn();
    this.#subscriptions.sendAll();
    this.#drain.check();
  }

  /** For calls that don't throw: where the store fails, so does the connection. */
  #guard(now: number, work: () => void): void {
    this.#parts.time.now = now;
    try {
      work();
    } catch (error) {
      this.#fail(error as HubwireError);
    }
  }

  #fail(error: HubwireError): void {
    const { time } = this.#parts;
    const wasOpen = this.#state !== "closed";
    this.lost(error, time.now);
    // What the failure cut short is looked at again.
    time.schedule(time.now);
    this.#parts.event(wasOpen ? { type: "failed", error } : { type: "abandoned", error });
  }
}
