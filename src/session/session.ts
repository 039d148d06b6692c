/**
 * The session: the client's side of MQTT 3.1.1 without a socket, timer or clock (section 4.1).
 *
 * Invariants:
 * - Every request is settled exactly once, and the session holds no other reference to it afterwards.
 * - An exchange is in one list: `#queue` (not sent in this session), `#sent` (PUBLISH in order of sending,
 *   waiting for PUBACK or PUBREC), `#released` (in order of PUBREC, waiting for PUBCOMP) or `#asked`
 *   (SUBSCRIBE and UNSUBSCRIBE).
 * - A packet identifier is taken from the first sending to the final acknowledgement, also when the user has
 *   given up (MQTT-2.3.1-2, -3); `#table` finds the exchange by it. An acknowledgement that is not the one
 *   that the exchange waits for counts as one for an unknown identifier.
 * - Messages leave in the order of `publish`: while anything waits in `#queue`, QoS 0 waits behind it.
 *   SUBSCRIBE and UNSUBSCRIBE do not wait for messages.
 * - After a violation, `lost`, `disconnect` or `end` nothing more is delivered or written for that
 *   connection.
 * - `#due` is never later than the earliest deadline; it may be earlier, and `tick` then finds nothing to do.
 *   So the hot paths never take a deadline back.
 *
 * The sink's `settle`, `wantsWrite`, `refused`, `abandoned` and `deadlineChanged` must not call the session back; the
 * others may.
 */
import { Decoder, PacketWriter, encode } from "../codec/index.js";
import type { PacketInit, PacketSink, QoS, SubscriptionRequest } from "../codec/types.js";
import { HubwireError } from "../errors.js";
import type { ErrorCode } from "../errors.js";
import { newExchange, PUBACK, PUBCOMP, PUBREC, QUEUED, SUBACK, UNSUBACK } from "./exchange.js";
import type { Exchange } from "./exchange.js";
import { Inbound } from "./inbound.js";
import type { SessionStore } from "./journal.js";
import { KeepAlive } from "./keep-alive.js";
import { insert, members, newList, unlink } from "./list.js";
import { PacketIds } from "./packet-ids.js";
import type { ConnectOptions, SessionMetrics, SessionOptions, SessionSink, Trace } from "./types.js";

export type SessionState = "closed" | "connecting" | "connected" | "closing";

/** CONNACK return codes 1 to 5 (section 3.2.2.3). */
const REFUSALS: readonly (readonly [ErrorCode, string])[] = [
  ["ERR_PROTOCOL_VERSION", "MQTT 3.1.1"],
  ["ERR_IDENTIFIER_REJECTED", "the client identifier"],
  ["ERR_SERVER_UNAVAILABLE", "service for now"],
  ["ERR_BAD_CREDENTIALS", "the user name or password"],
  ["ERR_NOT_AUTHORIZED", "to authorise this client"],
];

/** Filters in one SUBSCRIBE when subscriptions are restored; some servers accept no more. */
const RESTORE_BATCH = 8;

const EMPTY = new Uint8Array(0);

/** What `drain` makes of new PUBLISH. */
const FLUSH = 1;
const HOLD = 2;
const DRAINED = 3;

function violation(message: string, statement: string): HubwireError {
  return new HubwireError("ERR_PROTOCOL_VIOLATION", `${message} (${statement})`, { statement });
}

function onlyFromClients(): never {
  throw violation("a packet that only clients send", "MQTT-4.8.0-1");
}

function byteLength(data: Uint8Array | string): number {
  return typeof data === "string" ? Buffer.byteLength(data) : data.length;
}

/** The SUBSCRIBE or UNSUBSCRIBE of an exchange. */
function askingPacket(awaits: number, asks: readonly SubscriptionRequest[], packetId: number): PacketInit {
  return awaits === SUBACK
    ? { type: "subscribe", packetId, subscriptions: asks }
    : { type: "unsubscribe", packetId, topicFilters: asks.map((ask) => ask.topicFilter) };
}

export class Session<R> {
  /** Set it to see every packet; costs nothing while undefined. */
  trace: Trace | undefined = undefined;
  /** Live counters; not to be written to. */
  readonly metrics: SessionMetrics = {
    packetsReceived: 0,
    packetsSent: 0,
    messagesReceived: 0,
    messagesSent: 0,
    resends: 0,
    duplicatesSuppressed: 0,
    inflight: 0,
    queued: 0,
    queuedBytes: 0,
  };

  readonly #sink: SessionSink<R>;
  readonly #options: SessionOptions;
  #state: SessionState = "closed";
  #over = false;
  #now = 0;
  #due = Infinity;

  #decoder: Decoder | undefined;
  #writer = new PacketWriter();
  #written = false;
  #cleanSession = true;
  #connectDue = Infinity;
  /**
   * Whether the last CONNECT got its CONNACK, and whether the one before this connection's did not: then the
   * server may have lost the session and begun another, which it now reports as present.
   */
  #answered = false;
  #doubtful = true;
  readonly #keepAlive = new KeepAlive();
  #isWritable = true;
  #draining = 0;
  #qos2Inflight = 0;

  readonly #ids = new PacketIds();
  readonly #table: (Exchange<R> | undefined)[] = [];
  readonly #queue = newList();
  readonly #sent = newList();
  readonly #released = newList();
  readonly #asked = newList();
  /** Topic filter to requested QoS, of the subscriptions that the server granted. */
  readonly #filters = new Map<string, QoS>();
  #inbound: Inbound | undefined;
  #journal: SessionStore | undefined;
  #restored = false;
  #checker: PacketWriter | undefined;

  constructor(sink: SessionSink<R>, options: SessionOptions) {
    this.#sink = sink;
    this.#options = options;
  }

  get state(): SessionState {
    return this.#state;
  }

  /**
   * The transport is up: puts CONNECT into the output (MQTT-3.1.0-1). Throws ERR_INVALID_PACKET where
   * `connect` breaks a rule of section 3.1, ERR_STORE, ERR_CLOSED after `end`; and does nothing then.
   */
  open(connect: ConnectOptions, now: number): void {
    this.#enter(now);
    if (this.#state !== "closed") this.lost(undefined, now);
    this.#writer.packet({ type: "connect", ...connect });
    this.#state = "connecting";
    this.#cleanSession = connect.cleanSession;
    this.#keepAlive.start(connect.keepAlive * 1000, now);
    this.#decoder = new Decoder(this.#handlers, this.#options);
    this.#isWritable = true;
    this.#draining = 0;
    this.#doubtful = !this.#answered;
    this.#answered = false;
    this.#wrote("connect", 0, this.#writer.byteLength);
    this.#schedule((this.#connectDue = now + this.#options.connectTimeout));
  }

  /**
   * Bytes from the transport, which must not be written to afterwards. Never throws; not from inside the
   * sink.
   */
  receive(chunk: Uint8Array, now: number): void {
    const decoder = this.#decoder;
    if (!decoder) return;
    this.#now = now;
    this.#keepAlive.received(now);
    try {
      decoder.push(chunk);
    } catch (error) {
      // Another decoder, or none: the owner ended this connection from inside the sink.
      if (decoder !== this.#decoder) return;
      this.#fail(
        error instanceof HubwireError
          ? error
          : new HubwireError("ERR_HANDLER", "processing a packet failed (MQTT-4.8.0-2)", { cause: error }),
      );
    }
  }

  /** The transport is gone; what a reconnect can finish is kept. Ignored when that is known already. */
  lost(error: HubwireError | undefined, now: number): void {
    if (this.#state === "closed") return;
    this.#now = now;
    this.#state = "closed";
    this.#decoder = undefined;
    this.#writer.take();
    this.#written = false;
    this.#inbound?.lost();
    for (const exchange of members<Exchange<R>>(this.#asked)) {
      // A request is asked again under a new identifier: the server will not answer this one any more.
      this.#free(exchange);
      if (exchange.settled) unlink(exchange);
    }
    if (!this.#options.queue.qos0) {
      for (const exchange of members<Exchange<R>>(this.#queue)) {
        if (!exchange.qos) {
          this.#giveUp(exchange, error ?? new HubwireError("ERR_CONNECTION_LOST", "the connection was lost"));
        }
      }
    }
    this.#rearm();
    this.#endDrain();
  }

  /**
   * Sends a message, or queues it where there is no connection, no room in the window or something queued
   * already. The payload must not change until the request is settled. Settles at once with QoS 0 (unless
   * queued). Throws, and has taken nothing then: ERR_INVALID_PACKET, ERR_QUEUE_FULL, ERR_NOT_CONNECTED,
   * ERR_STORE, ERR_CLOSED.
   */
  publish(
    topic: string,
    payload: Uint8Array | string,
    qos: QoS,
    retain: boolean,
    request: R | undefined,
    now: number,
  ): void {
    this.#enter(now);
    if (this.#queue.next === this.#queue && this.#maySend(qos)) {
      if (!qos) {
        this.#write(topic, payload, 0, retain, false, 0);
        if (request !== undefined) this.#sink.settle(request, undefined, undefined);
        return;
      }
      const packetId = this.#ids.take();
      if (packetId) {
        const exchange = newExchange(request, qos === 1 ? PUBACK : PUBREC, now, topic, payload, qos, retain);
        try {
          if (this.#journal) {
            this.#check(topic, payload, qos, retain);
            this.#journal.accepted(exchange, packetId);
          }
          this.#write(topic, payload, qos, retain, false, packetId);
        } catch (error) {
          this.#ids.release(packetId);
          throw error;
        }
        this.#track(exchange, packetId);
        return;
      }
    }
    this.#enqueue(topic, payload, qos, retain, request);
  }

  /**
   * Asks for subscriptions; waits where there is no connection, and is asked again after a lost one.
   * Throws ERR_INVALID_PACKET, ERR_CLOSED.
   */
  subscribe(subscriptions: readonly SubscriptionRequest[], request: R | undefined, now: number): void {
    this.#ask(SUBACK, subscriptions, request, now);
  }

  /** As `subscribe`. */
  unsubscribe(topicFilters: readonly string[], request: R | undefined, now: number): void {
    this.#ask(
      UNSUBACK,
      topicFilters.map((topicFilter) => ({ topicFilter, qos: 0 })),
      request,
      now,
    );
  }

  /**
   * Settles `request` with `error` if it is pending: one that was never sent never is; one in flight keeps
   * its packet identifier until it is acknowledged.
   */
  cancel(request: R, error: HubwireError, now: number): void {
    this.#guard(now, () => {
      for (const list of [this.#queue, this.#asked, this.#sent, this.#released]) {
        for (let link = list.next; link !== list; link = link.next) {
          const exchange = link as Exchange<R>;
          if (exchange.request !== request || exchange.settled) continue;
          this.#giveUp(exchange, error);
          return this.#checkDrained();
        }
      }
    });
  }

  /**
   * The owner has taken a delivery over (MQTT-4.3.2-2): its PUBACK or PUBREC leaves when those of all earlier
   * deliveries have. Ignored for 0 and for one of an earlier connection (but see `Inbound`).
   */
  acknowledge(deliveryId: number, now: number): void {
    this.#now = now;
    try {
      if (deliveryId) this.#inbound?.settle(deliveryId, false);
    } catch (error) {
      this.#fail(error as HubwireError);
    }
  }

  /**
   * The owner gives a delivery up: it is not acknowledged, holds up no other, and comes again if the server
   * sends it.
   */
  refuse(deliveryId: number, now: number): void {
    this.#now = now;
    if (deliveryId) this.#inbound?.settle(deliveryId, true);
  }

  /** Whether the transport takes more; while not, new PUBLISH wait in the queue. True after `open`. */
  writable(ready: boolean, now: number): void {
    this.#isWritable = ready;
    this.#guard(now, () => this.#pump());
  }

  /** Whether the owner reads from the transport; while not, PINGRESP is not late. True after `open`. */
  reading(on: boolean, now: number): void {
    this.#keepAlive.reading(on, now);
    if (on && this.#keepAlive.interval) this.#schedule(now);
  }

  /**
   * Sends no new PUBLISH (`includeQueue`: none but the queued ones) and says `drained` when everything sent,
   * SUBSCRIBE and UNSUBSCRIBE included, is acknowledged, or there is no connection. Ends with the next
   * `open`.
   */
  drain(includeQueue: boolean, now: number): void {
    this.#draining = includeQueue ? FLUSH : HOLD;
    this.#guard(now, () => {
      this.#pump();
      if (this.#state === "connected") this.#checkDrained();
      else this.#endDrain();
    });
  }

  /** Writes DISCONNECT; nothing is written or taken after it on this connection (MQTT-3.14.4-2). */
  disconnect(now: number): void {
    if (!this.#decoder) return;
    this.#now = now;
    this.#writer.disconnect();
    this.#wrote("disconnect", 0, 2);
    this.#state = "closing";
    this.#decoder = undefined;
  }

  /**
   * Settles all that is pending with `error` and closes the store, in which unfinished messages stay for the
   * next process. Every later `open`, `publish`, `subscribe` and `unsubscribe` throws ERR_CLOSED.
   */
  end(error: HubwireError): void {
    this.#over = true;
    // A DISCONNECT that is not fetched yet is still to be sent.
    if (this.#state === "closing") this.#state = "closed";
    else this.lost(error, this.#now);
    this.#due = Infinity;
    for (const list of [this.#sent, this.#released, this.#queue, this.#asked]) {
      const all = members<Exchange<R>>(list);
      list.next = list.prev = list;
      for (const exchange of all) this.#settle(exchange, error);
    }
    this.metrics.inflight = this.metrics.queued = this.metrics.queuedBytes = 0;
    this.#options.store?.close();
  }

  /** When `tick` has to be called at the latest, ms; Infinity where there is nothing to wait for. */
  nextDeadline(): number {
    return this.#due;
  }

  /** Does what is due at `now`; cheap when nothing is. */
  tick(now: number): void {
    if (now >= this.#due) this.#guard(now, () => this.#runDeadlines());
  }

  #runDeadlines(): void {
    this.#due = Infinity;
    const { maxAge } = this.#options.queue;
    const { operationTimeout } = this.#options;
    const connected = this.#state === "connected";
    if (this.#state === "connecting" && this.#isDue(this.#connectDue)) {
      return this.#fail(new HubwireError("ERR_CONNECT_TIMEOUT", "no CONNACK in time (MQTT-3.1.4-4)"));
    }
    if (connected) {
      const { packetsReceived } = this.metrics;
      const action = this.#keepAlive.check(this.#now, packetsReceived, (time) => this.#isDue(time));
      if (action > 1) {
        return this.#fail(
          new HubwireError("ERR_KEEP_ALIVE_TIMEOUT", "no PINGRESP in time (MQTT-3.12.4-1)", {
            statement: "MQTT-3.12.4-1",
          }),
        );
      }
      if (action) {
        this.#writer.pingreq();
        this.#wrote("pingreq", 0, 2);
      }
    }
    for (const list of [this.#queue, this.#sent, this.#released, this.#asked]) {
      const asked = list === this.#asked;
      for (let link = list.next; link !== list; link = link.next) {
        const exchange = link as Exchange<R>;
        // A restored message has nobody to tell: it stays until it is delivered. The session's own SUBSCRIBE
        // has a deadline on a connection only.
        const unasked = exchange.request === undefined;
        if (exchange.settled || (unasked && !(asked && connected))) continue;
        const expires = !asked && (list === this.#queue || !connected);
        const from = asked || expires ? exchange.acceptedAt : exchange.sentAt;
        if (!this.#isDue(from + (expires ? maxAge : operationTimeout))) {
          // The queue is in order of acceptance.
          if (list === this.#queue) break;
        } else if (unasked) {
          return this.#fail(new HubwireError("ERR_TIMEOUT", "no SUBACK on restoring (MQTT-3.8.4-1)"));
        } else {
          this.#giveUp(
            exchange,
            expires
              ? new HubwireError("ERR_MESSAGE_EXPIRED", "the message waited for longer than maxAge")
              : new HubwireError("ERR_TIMEOUT", "not acknowledged within operationTimeout"),
          );
        }
      }
    }
    this.#checkDrained();
  }

  /** All output since the last call, to be sent in order. */
  takeOutput(): Uint8Array[] {
    this.#written = false;
    return this.#writer.take();
  }

  // ---- packets from the server

  readonly #handlers: PacketSink = {
    connack: (sessionPresent, returnCode) => this.#onConnack(sessionPresent, returnCode),
    publish: (topic, bytes, start, end, qos, retain, dup, packetId) => {
      const payload = bytes.subarray(start, end);
      this.#took(
        "publish",
        packetId,
        this.trace && encode({ type: "publish", topic, payload, qos, packetId: packetId || undefined }).length,
      );
      this.#onPublish({ topic, payload, qos, retain, dup }, packetId);
    },
    puback: (packetId) => this.#onFinal("puback", packetId, PUBACK),
    pubrec: (packetId) => {
      this.#took("pubrec", packetId, 4);
      const exchange = this.#awaiting(packetId, PUBREC);
      if (exchange) {
        this.#journal?.released(exchange);
        exchange.awaits = PUBCOMP;
        exchange.topic = "";
        exchange.payload = EMPTY;
        unlink(exchange);
        insert(exchange, this.#released);
      }
      this.#release(packetId, this.#awaiting(packetId, PUBCOMP));
    },
    pubrel: (packetId) => {
      this.#took("pubrel", packetId, 4);
      if (this.#inbound?.released(packetId)) this.#journal?.inbound(packetId, false);
      this.#answer("pubcomp", packetId);
    },
    pubcomp: (packetId) => this.#onFinal("pubcomp", packetId, PUBCOMP),
    suback: (packetId, returnCodes) => {
      this.#took("suback", packetId, 4 + returnCodes.length);
      const exchange = this.#awaiting(packetId, SUBACK);
      if (!exchange) return;
      const { asks, settled, request } = exchange;
      if (asks.length !== returnCodes.length) {
        throw violation(`SUBACK with ${returnCodes.length} codes for ${asks.length} filters`, "MQTT-3.8.4-5");
      }
      asks.forEach(({ topicFilter, qos }, index) => {
        if (returnCodes[index]! < 3) {
          if (!settled) this.#filters.set(topicFilter, qos);
        } else if (request === undefined && this.#filters.delete(topicFilter)) {
          this.#sink.refused?.(topicFilter);
        }
      });
      this.#finish(exchange, returnCodes);
    },
    unsuback: (packetId) => this.#onFinal("unsuback", packetId, UNSUBACK),
    pingresp: () => {
      this.#took("pingresp", 0, 2);
      this.#keepAlive.pingresp();
    },
    connect: onlyFromClients,
    subscribe: onlyFromClients,
    unsubscribe: onlyFromClients,
    pingreq: onlyFromClients,
    disconnect: onlyFromClients,
  };

  /** An acknowledgement that ends its exchange, or is for none (policy 4). */
  #onFinal(type: string, packetId: number, awaits: number): void {
    this.#took(type, packetId, 4);
    const exchange = this.#awaiting(packetId, awaits);
    if (!exchange) return;
    if (awaits === UNSUBACK) for (const { topicFilter } of exchange.asks) this.#filters.delete(topicFilter);
    this.#finish(exchange);
  }

  /** A packet arrived: counts it, and throws where none may. */
  #took(type: string, packetId: number, size: number | undefined): void {
    if (this.#state !== "connected") throw violation(`${type} before CONNACK`, "MQTT-3.2.0-1");
    this.metrics.packetsReceived++;
    this.trace?.("in", type, packetId, size!);
  }

  #onConnack(sessionPresent: boolean, returnCode: number): void {
    if (this.#state !== "connecting") throw violation("a second CONNACK", "MQTT-3.2.0-1");
    this.metrics.packetsReceived++;
    this.trace?.("in", "connack", 0, 4);
    this.#answered = true;
    if (returnCode) {
      // A refused CONNECT changes no session.
      this.#answered = !this.#doubtful;
      const [code, what] = REFUSALS[returnCode - 1] ?? ["ERR_PROTOCOL_VIOLATION", "this CONNECT"];
      throw new HubwireError(code, `the server refused ${what} (CONNACK ${returnCode})`);
    }
    if (sessionPresent && this.#cleanSession) {
      throw violation("session present after CleanSession 1", "MQTT-3.2.2-1");
    }
    this.#state = "connected";
    if (sessionPresent) this.#resume();
    else this.#startAnew();
    for (const exchange of members<Exchange<R>>(this.#asked)) this.#sendAsk(exchange);
    this.#pump();
    this.#rearm();
    if (this.#state === "connected") this.#sink.connected(sessionPresent);
  }

  /**
   * The server has the session: re-sends what it may not have, in order, with the same identifiers
   * (MQTT-4.4.0-1).
   */
  #resume(): void {
    for (const exchange of members<Exchange<R>>(this.#released)) {
      this.metrics.resends++;
      this.#release(exchange.packetId, exchange);
    }
    for (const exchange of members<Exchange<R>>(this.#sent)) {
      this.metrics.resends++;
      exchange.sentAt = this.#now;
      this.#write(exchange.topic, exchange.payload, exchange.qos, exchange.retain, true, exchange.packetId);
    }
    if (this.#doubtful) {
      this.#inbound?.doubt();
      this.#restoreSubscriptions();
    }
  }

  /**
   * The server has no session: QoS 1 becomes new messages, and nobody knows what became of QoS 2 (policy 6).
   */
  #startAnew(): void {
    for (const packetId of this.#inbound?.forget() ?? []) this.#journal?.inbound(packetId, false);
    const oldest = this.#queue.next;
    for (const exchange of [...members<Exchange<R>>(this.#released), ...members<Exchange<R>>(this.#sent)]) {
      if (exchange.settled || exchange.qos > 1) {
        this.#drop(exchange, new HubwireError("ERR_SESSION_LOST", "the server lost the session of a QoS 2 message"));
      } else {
        this.#journal?.state(exchange, 0);
        this.#free(exchange);
        unlink(exchange);
        this.#count(exchange, -1);
        exchange.size = byteLength(exchange.topic) + byteLength(exchange.payload);
        exchange.awaits = QUEUED;
        this.#count(exchange, 1);
        insert(exchange, oldest);
      }
    }
    this.#restoreSubscriptions();
  }

  #restoreSubscriptions(): void {
    // The session's own SUBSCRIBE of an earlier connection is replaced; the user's follow it.
    for (const exchange of members<Exchange<R>>(this.#asked)) {
      if (exchange.request === undefined) unlink(exchange);
    }
    const first = this.#asked.next;
    const asks = Array.from(this.#filters, ([topicFilter, qos]) => ({ topicFilter, qos }));
    for (let at = 0; at < asks.length; at += RESTORE_BATCH) {
      const some = asks.slice(at, at + RESTORE_BATCH);
      insert(newExchange<R>(undefined, SUBACK, this.#now, "", "", 0, false, some), first);
    }
  }

  #onPublish(message: Parameters<SessionSink<R>["deliver"]>[0], packetId: number): void {
    let deliveryId = 0;
    if (packetId) {
      const inbound = this.#incoming();
      deliveryId = inbound.arrived(message.qos > 1, packetId, message.dup);
      if (!deliveryId) {
        this.metrics.duplicatesSuppressed++;
        return;
      }
    }
    this.metrics.messagesReceived++;
    this.#sink.deliver(message, deliveryId);
  }

  #incoming(): Inbound {
    return (this.#inbound ??= new Inbound(
      (qos2, packetId) => {
        if (this.#state === "connected") this.#answer(qos2 ? "pubrec" : "puback", packetId);
      },
      (packetId) => this.#journal?.inbound(packetId, true),
    ));
  }

  // ---- packets to the server

  /** There is output: counts a packet that was just written. */
  #wrote(type: string, packetId: number, size: number): void {
    this.metrics.packetsSent++;
    this.#keepAlive.sentAt = this.#now;
    this.trace?.("out", type, packetId, size);
    if (this.#written) return;
    this.#written = true;
    this.#sink.wantsWrite();
  }

  #answer(type: "puback" | "pubrec" | "pubrel" | "pubcomp", packetId: number): void {
    this.#writer[type](packetId);
    this.#wrote(type, packetId, 4);
  }

  #write(topic: string, payload: Uint8Array | string, qos: QoS, retain: boolean, dup: boolean, packetId: number): void {
    const size = this.#writer.publish(topic, payload, qos, retain, dup, packetId);
    this.metrics.messagesSent++;
    this.#wrote("publish", packetId, size);
  }

  /** Sends PUBREL, the first time or again. */
  #release(packetId: number, exchange: Exchange<R> | undefined): void {
    if (exchange) exchange.sentAt = this.#now;
    this.#answer("pubrel", packetId);
  }

  /** Whether a new PUBLISH may go out now. */
  #maySend(qos: QoS): boolean {
    return (
      this.#state === "connected" &&
      this.#isWritable &&
      this.#draining < HOLD &&
      (!qos || this.metrics.inflight < this.#options.maxInflight) &&
      (qos < 2 || this.#qos2Inflight < (this.#options.maxInflightQos2 ?? Infinity))
    );
  }

  /** A PUBLISH with QoS 1 or 2 was sent: from now on it is in flight. */
  #track(exchange: Exchange<R>, packetId: number): void {
    exchange.packetId = packetId;
    exchange.sentAt = this.#now;
    this.#table[packetId] = exchange;
    this.#count(exchange, 1);
    insert(exchange, this.#sent);
    this.#schedule(this.#now + this.#options.operationTimeout);
  }

  /** Sends what is queued, as far as it may be. */
  #pump(): void {
    const queue = this.#queue;
    while (queue.next !== queue) {
      const exchange = queue.next as Exchange<R>;
      const { qos } = exchange;
      if (!this.#maySend(qos)) return;
      const packetId = qos && this.#ids.take();
      if (qos && !packetId) return;
      this.#write(exchange.topic, exchange.payload, qos, exchange.retain, false, packetId);
      unlink(exchange);
      this.#count(exchange, -1);
      if (qos) {
        exchange.awaits = qos === 1 ? PUBACK : PUBREC;
        this.#track(exchange, packetId);
        // Still before the packet leaves: a store that fails takes the output with it.
        this.#journal?.state(exchange, packetId);
      } else this.#settle(exchange, undefined);
    }
  }

  /** Throws where no PUBLISH could be made of it, as sending it would. */
  #check(topic: string, payload: Uint8Array | string, qos: QoS, retain: boolean): void {
    const checker = (this.#checker ??= new PacketWriter());
    // Bytes need no check but their number; leaving out those of a usual length saves copying them.
    const fits = payload instanceof Uint8Array && payload.length < 0x100000;
    checker.publish(topic, fits ? EMPTY : payload, qos, retain, false, qos && 1);
    checker.take();
  }

  #enqueue(topic: string, payload: Uint8Array | string, qos: QoS, retain: boolean, request: R | undefined): void {
    const { maxCount, maxBytes, maxAge, overflow, qos0 } = this.#options.queue;
    this.#check(topic, payload, qos, retain);
    if (this.#state !== "connected" && !(maxCount && (qos || qos0))) {
      throw new HubwireError("ERR_NOT_CONNECTED", "no connection, and this message may not wait for one");
    }
    const exchange = newExchange(request, QUEUED, this.#now, topic, payload, qos, retain);
    const size = (exchange.size = byteLength(topic) + byteLength(payload));
    const { metrics } = this;
    const full = (): boolean => metrics.queued >= maxCount || metrics.queuedBytes + size > maxBytes;
    if (full() && (overflow === "reject" || size > maxBytes || !maxCount)) throw this.#queueFull();
    if (qos) this.#journal?.accepted(exchange, 0);
    while (full() && metrics.queued) this.#giveUp(this.#queue.next as Exchange<R>, this.#queueFull());
    insert(exchange, this.#queue);
    this.#count(exchange, 1);
    this.#schedule(this.#now + maxAge);
  }

  #queueFull(): HubwireError {
    return new HubwireError("ERR_QUEUE_FULL", "the queue of unsent messages is full");
  }

  /** Counts a message in or out of where it is: the queue or in flight. */
  #count({ awaits, qos, size }: Exchange<R>, change: 1 | -1): void {
    if (awaits === QUEUED) {
      this.metrics.queued += change;
      this.metrics.queuedBytes += change * size;
    } else if (awaits < SUBACK) {
      this.metrics.inflight += change;
      if (qos > 1) this.#qos2Inflight += change;
    }
  }

  #ask(awaits: number, asks: readonly SubscriptionRequest[], request: R | undefined, now: number): void {
    this.#enter(now);
    encode(askingPacket(awaits, asks, 1));
    const own = asks.map(({ topicFilter, qos }) => ({ topicFilter, qos }));
    const exchange = newExchange(request, awaits, now, "", "", 0, false, own);
    insert(exchange, this.#asked);
    this.#schedule(now + this.#options.operationTimeout);
    if (this.#state === "connected") this.#sendAsk(exchange);
  }

  /**
   * Sends a request that is not sent on this connection; it stays unsent while there is no identifier for it.
   */
  #sendAsk(exchange: Exchange<R>): void {
    const packetId = this.#ids.take();
    if (!packetId) return;
    exchange.packetId = packetId;
    this.#table[packetId] = exchange;
    // The user's deadline runs from the call; the session's own from each sending.
    if (exchange.request === undefined) exchange.acceptedAt = this.#now;
    const { byteLength: before } = this.#writer;
    this.#writer.packet(askingPacket(exchange.awaits, exchange.asks, packetId));
    const type = exchange.awaits === SUBACK ? "subscribe" : "unsubscribe";
    this.#wrote(type, packetId, this.#writer.byteLength - before);
  }

  // ---- exchanges

  /** The exchange that this acknowledgement is for; undefined where it is for none (policy 4). */
  #awaiting(packetId: number, awaits: number): Exchange<R> | undefined {
    const exchange = this.#table[packetId];
    return exchange?.awaits === awaits ? exchange : undefined;
  }

  /** The final acknowledgement came. */
  #finish(exchange: Exchange<R>, codes?: readonly number[]): void {
    this.#drop(exchange, undefined, codes);
    if (this.#queue.next !== this.#queue) this.#pump();
    const last = this.#asked.prev as Exchange<R>;
    // Only where all identifiers were taken.
    if (last !== this.#asked && !last.packetId) {
      for (const other of members<Exchange<R>>(this.#asked)) if (!other.packetId) this.#sendAsk(other);
    }
    if (this.#draining) this.#checkDrained();
  }

  /** The end of an exchange: frees its identifier, settles it and forgets it. */
  #drop(exchange: Exchange<R>, error: HubwireError | undefined, codes?: readonly number[]): void {
    this.#count(exchange, -1);
    this.#free(exchange);
    // An earlier process published it and nobody waits for it here, but it must not vanish silently.
    if (error && !exchange.settled && exchange.request === undefined && exchange.awaits < SUBACK) {
      this.#sink.abandoned?.(error);
    }
    unlink(exchange);
    this.#settle(exchange, error, codes);
    // Last: a store that fails ends the connection, but leaves no request behind.
    this.#journal?.done(exchange);
  }

  #free(exchange: Exchange<R>): void {
    const { packetId } = exchange;
    if (!packetId) return;
    this.#table[packetId] = undefined;
    this.#ids.release(packetId);
    exchange.packetId = 0;
  }

  /** Nobody waits any more: an exchange that was not sent is forgotten, one that was keeps its identifier. */
  #giveUp(exchange: Exchange<R>, error: HubwireError): void {
    if (!exchange.packetId) return this.#drop(exchange, error);
    this.#settle(exchange, error);
    if (exchange.awaits < PUBCOMP) this.#journal?.state(exchange, exchange.packetId, true);
  }

  #settle(exchange: Exchange<R>, error: HubwireError | undefined, codes?: readonly number[]): void {
    const { request, settled } = exchange;
    exchange.request = undefined;
    exchange.settled = true;
    if (!settled && request !== undefined) this.#sink.settle(request, error, codes);
  }

  // ---- connection, drain and time

  /** Before anything that takes on work. */
  #enter(now: number): void {
    if (this.#over) throw new HubwireError("ERR_CLOSED", "closed");
    this.#now = now;
    if (!this.#restored && this.#options.store) this.#restore(this.#options.store);
    this.#restored = true;
  }

  #restore(store: SessionStore): void {
    const exchanges = store.restore<R>(this.#now, (packetId) => this.#incoming().restore(packetId));
    this.#journal = store;
    for (const exchange of exchanges) {
      const { packetId, awaits } = exchange;
      if (packetId) this.#table[packetId] = exchange;
      this.#count(exchange, 1);
      insert(exchange, !packetId ? this.#queue : awaits === PUBCOMP ? this.#released : this.#sent);
    }
    this.#ids.reserve(new Set(exchanges.map((exchange) => exchange.packetId)));
  }

  /** For calls that don't throw: where the store fails, so does the connection. */
  #guard(now: number, work: () => void): void {
    this.#now = now;
    try {
      work();
    } catch (error) {
      this.#fail(error as HubwireError);
    }
  }

  #fail(error: HubwireError): void {
    this.lost(error, this.#now);
    this.#sink.fail(error);
  }

  #checkDrained(): void {
    if (!this.#draining || (this.#draining === FLUSH && this.#queue.next !== this.#queue)) return;
    for (const list of [this.#sent, this.#released, this.#asked]) {
      for (let link = list.next; link !== list; link = link.next) if (!(link as Exchange<R>).settled) return;
    }
    this.#endDrain();
  }

  #endDrain(): void {
    if (!this.#draining || this.#draining === DRAINED) return;
    this.#draining = DRAINED;
    this.#sink.drained();
  }

  /** Whether `time` has come; where not, `tick` will look again then. */
  #isDue(time: number): boolean {
    if (time <= this.#now) return true;
    if (time < this.#due) this.#due = time;
    return false;
  }

  #schedule(time: number): void {
    if (time >= this.#due) return;
    this.#due = time;
    this.#sink.deadlineChanged();
  }

  /** Works the deadlines out anew, after a change that moves many. */
  #rearm(): void {
    const before = this.#due;
    this.#due = -Infinity;
    this.tick(this.#now);
    if (this.#due < before) this.#sink.deadlineChanged();
  }
}
