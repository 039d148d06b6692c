/**
 * MqttClient: what the user calls, what the socket says and what the session decides, brought together.
 *
 * Invariants:
 * - At most one connection, or attempt at one, exists at a time; what an older one reports is not heard.
 * - `#phase` is the whole state of the connection; only `#enter` changes it.
 * - Each request is in the session until the session settles it, once; the client settles none on its own.
 * - One timer, for the earliest of: the session's deadlines, the phase's own (`#wakeAt`), the end of `connect()`.
 * - From `data` to the user's handler everything is synchronous; what one tick writes leaves as one write.
 */
import { EventEmitter } from "node:events";
import { matchTopic } from "../codec/index.js";
import type { QoS } from "../codec/types.js";
import { HubwireError } from "../errors.js";
import { Session } from "../session/index.js";
import type { Message, SessionMetrics, SessionSink } from "../session/types.js";
import { Backoff } from "./backoff.js";
import type { Timer } from "./clock.js";
import { Connection, type ConnectionSink } from "./connection.js";
import { packetChannel, reconnectChannel, stateChannel } from "./diagnostics.js";
import { type Credentials, type MqttClientOptions, resolveOptions } from "./options.js";
import { type Delivery, Mailbox, type MessageHandler, Subscription } from "./subscription.js";

/**
 * - `idle`: before the first `connect()`; messages are queued.
 * - `waiting`: for the next attempt. `connecting`: up to CONNACK. `connected`.
 * - `renewing`: a planned reconnect drains. `closing`: `close()` drains. `ending`: DISCONNECT is on its way.
 * - `stopped`: given up; `connect()` starts again. `closed`: for good.
 */
export type ClientState =
  | "idle"
  | "waiting"
  | "connecting"
  | "connected"
  | "renewing"
  | "closing"
  | "ending"
  | "stopped"
  | "closed";

export interface ClientEvents {
  connect: [{ sessionPresent: boolean }];
  disconnect: [error: HubwireError | undefined];
  reconnecting: [{ attempt: number; delay: number; error: HubwireError }];
  error: [error: HubwireError];
}

export interface SignalOptions {
  /** Ends the waiting with ERR_ABORTED. */
  signal?: AbortSignal | undefined;
}

export interface PublishOptions extends SignalOptions {
  /** Default 0. */
  qos?: QoS | undefined;
  /** Default false. */
  retain?: boolean | undefined;
}

export interface SubscribeOptions extends SignalOptions {
  /** The highest QoS at which the server may send. Default 0. */
  qos?: QoS | undefined;
}

export interface CloseOptions {
  /** Sends DISCONNECT at once, without waiting for what is in flight. */
  force?: boolean | undefined;
}

export interface RenewOptions {
  /** ms to wait for acknowledgements before DISCONNECT. Default 5,000. */
  drainTimeout?: number | undefined;
}

/** Counters since the client was made. */
export interface ClientMetrics extends SessionMetrics {
  bytesReceived: number;
  bytesSent: number;
  /** Accepted connections. */
  connects: number;
  /** Attempts after the first of a `connect()`. */
  reconnects: number;
}

/** One call that waits for its end; linked, so that all of them can be found when the client gives up. */
interface Request {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  signal: AbortSignal | undefined;
  onAbort: (() => void) | undefined;
  previous: Request | undefined;
  next: Request | undefined;
}

/** Where messages that match a filter go. */
interface Route {
  topicFilter: string;
  handler: MessageHandler | undefined;
  mailbox: Mailbox | undefined;
}

/** Output that is written at once instead of at the end of the tick, bytes. */
const BATCH = 64 * 1024;
/** Messages in handlers and mailboxes above which reading stops; below half of it reading goes on. */
const HIGH_COUNT = 1_024;
/** The same in payload bytes. */
const HIGH_BYTES = 4 * 1024 * 1024;
/**
 * How many times more while own messages wait for an acknowledgement: a handler may be waiting for just that, and
 * it arrives behind the messages that are held back.
 */
const PATIENCE = 4;

/** The phases between CONNACK and the end of the connection. */
const UP: readonly ClientState[] = ["connected", "renewing", "closing", "ending"];
const NO_ROUTES: Route[] = [];
const asyncDispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

// One executor for all promises: a closure a call would be the largest allocation of a publish.
let resolveNext: Request["resolve"];
let rejectNext: Request["reject"];
const capture = (resolve: (value: never) => void, reject: (error: unknown) => void): void => {
  resolveNext = resolve as Request["resolve"];
  rejectNext = reject;
};

const aborted = (signal: AbortSignal): HubwireError =>
  new HubwireError("ERR_ABORTED", "aborted by its signal", { cause: signal.reason });

/**
 * An MQTT 3.1.1 client. Every promise it returns settles once: with success, a HubwireError, or its own deadline or
 * signal. Errors that belong to no call are `error` events; without a listener they are process warnings.
 */
export class MqttClient extends EventEmitter<ClientEvents> {
  readonly #options;
  readonly #clock;
  readonly #session: Session<Request>;
  readonly #backoff;
  readonly #connectionSink: ConnectionSink;
  readonly #flushNow = (): void => this.#flush();
  readonly #onTimer = (): void => this.#timeIsUp();

  #phase: ClientState = "idle";
  #connection: Connection | undefined;
  /** Counts attempts, so that an answer to an older one is known as such. */
  #attempt = 0;
  #credentials: Credentials = {};
  #tlsSession: Buffer | undefined;

  #timer: Timer;
  #timerAt = Infinity;
  #wakeAt = Infinity;
  #connectBy = Infinity;
  #connecting: Request[] = [];
  /** A connection was accepted since the client started or was stopped: failures go on in the background. */
  #established = false;
  #failures = 0;
  #upSince = 0;
  #lastError: HubwireError | undefined;
  #closed: Promise<void> | undefined;
  #onClosed: (() => void) | undefined;

  #pending: Request | undefined;
  #flushing = false;
  /** When the output that waits for the end of this tick began to. */
  #now = 0;
  /** When the chunk in hand was read. */
  #readAt = 0;
  #unflushed = 0;
  #blocked = false;

  #routes: Route[] = [];
  #lastTopic = "";
  #lastRoutes = NO_ROUTES;
  #heldCount = 0;
  #heldBytes = 0;
  #paused = false;
  /** Messages of a resumed session that came before the program subscribed anew; undefined: don't keep any. */
  #early: { message: Message; id: number }[] | undefined;

  #bytesReceived = 0;
  #bytesSent = 0;
  #connects = 0;
  #reconnects = 0;

  /** @throws HubwireError ERR_INVALID_ARGUMENT for an option that is unknown, missing or out of its range. */
  constructor(options: MqttClientOptions) {
    super();
    this.#options = resolveOptions(options);
    const { clock, reconnect, random } = this.#options;
    this.#clock = clock;
    this.#backoff = new Backoff(reconnect?.minDelay ?? 0, reconnect?.maxDelay ?? 0, random);
    const sink: SessionSink<Request> = {
      wantsWrite: () => this.#wantsWrite(),
      connected: (sessionPresent) => this.#accepted(sessionPresent),
      deliver: (message, id) => this.#deliver(message, id),
      settle: (request, error, returnCodes) => this.#settle(request, error, returnCodes),
      fail: (error) => this.#violated(error),
      refused: (topicFilter) => this.#refused(topicFilter),
      // Not from inside the session's own method: what follows calls the session again.
      drained: () => {
        const phase = this.#phase;
        queueMicrotask(() => phase === this.#phase && this.#leave());
      },
      deadlineChanged: () => this.#arm(),
    };
    this.#session = new Session(sink, this.#options.session);
    this.#connectionSink = {
      opened: () => this.#opened(),
      received: (chunk) => this.#received(chunk),
      writable: () => this.#writable(),
      resumable: (session) => (this.#tlsSession = session),
      closed: (error) => this.#down(error),
    };
  }

  /** Whether messages can be sent at once. */
  get connected(): boolean {
    return this.#session.state === "connected";
  }

  get metrics(): ClientMetrics {
    return {
      ...this.#session.metrics,
      bytesReceived: this.#bytesReceived,
      bytesSent: this.#bytesSent,
      connects: this.#connects,
      reconnects: this.#reconnects,
    };
  }

  /**
   * Connects, trying again after failures that may pass, until `connectTimeout`; then rejects with the last
   * failure. A failure that cannot pass (credentials, certificate, ...) rejects at once. Rejecting ends all attempts
   * and rejects what is queued, unless the client had been connected before and reconnects by itself.
   */
  connect({ signal }: SignalOptions = {}): Promise<void> {
    const phase = this.#phase;
    if (this.#closed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(aborted(signal));
    if (phase === "connected") return Promise.resolve();
    const promise = this.#awaitConnection(signal, this.#options.session.connectTimeout);
    if (phase === "idle" || phase === "stopped") {
      this.#lastError = undefined;
      this.#failures = 0;
      this.#dial();
    }
    return promise;
  }

  /**
   * A planned reconnect, to use new credentials: sends no more, waits for acknowledgements at most
   * `drainTimeout`, disconnects, connects, goes on. What is published meanwhile is queued; nothing is rejected.
   * Messages that others send to a clean session in between are lost, as the standard has it.
   */
  reconnect({ drainTimeout = 5_000 }: RenewOptions = {}): Promise<void> {
    if (this.#phase !== "connected") return this.connect();
    const promise = this.#awaitConnection(undefined, drainTimeout + this.#options.session.connectTimeout);
    this.#enter("renewing", drainTimeout);
    this.#session.drain(false, this.#clock.now());
    return promise;
  }

  /**
   * Resolves when the QoS flow is complete: QoS 0 handed over to the socket's buffer, QoS 1 PUBACK, QoS 2 PUBCOMP.
   * The payload must not change before that. Without a connection the message waits in the offline queue.
   * @throws HubwireError (as a rejection) ERR_INVALID_ARGUMENT, ERR_QUEUE_FULL, ERR_MESSAGE_EXPIRED, ERR_TIMEOUT,
   * ERR_ABORTED (in the queue: never sent; in flight: it may have arrived), ERR_CLOSED, ERR_NOT_CONNECTED,
   * ERR_CONNECTION_LOST (only with `reconnect: false`), ERR_SESSION_LOST, ERR_STORE.
   */
  publish(topic: string, payload: Uint8Array | string, options?: PublishOptions): Promise<void> {
    const promise = new Promise<void>(capture);
    const request = this.#add(options?.signal);
    try {
      this.#checkUsable(options?.signal);
      const now = this.#flushing ? this.#now : this.#clock.now();
      this.#session.publish(topic, payload, options?.qos ?? 0, options?.retain ?? false, request, now);
      this.#unflushed += payload.length;
      if (this.#unflushed > BATCH) this.#flush();
      if (this.#paused) this.#feelPressure();
    } catch (error) {
      this.#settle(request, error as HubwireError, undefined);
    }
    return promise;
  }

  /**
   * Resolves when the server granted the subscription. Messages go to the handler, synchronously from the socket; a
   * QoS 1 or 2 message is acknowledged when the handler returned or its promise resolved. A handler that fails is
   * reported with an `error` event (ERR_HANDLER); its message stays unacknowledged in a persistent session and is
   * acknowledged in a clean one, where the server would never send it again. Handlers run side by side; when
   * many are busy the client stops reading. Without a handler the subscription is read with `for await`.
   * @throws HubwireError (as a rejection) ERR_SUBSCRIBE_REFUSED, and what `publish` throws.
   */
  subscribe(topicFilter: string, options?: SubscribeOptions, handler?: MessageHandler): Promise<Subscription> {
    const mailbox = handler ? undefined : new Mailbox();
    const route: Route = { topicFilter, handler, mailbox };
    const subscriptions = [{ topicFilter, qos: options?.qos ?? 0 }];
    const granted = this.#request<readonly number[]>(options?.signal, (request, now) => {
      this.#session.subscribe(subscriptions, request, now);
      this.#setRoutes([...this.#routes, route]);
      this.#deliverEarly();
    });
    return granted.then(
      ([code = 0x80]) => {
        if (code <= 2) {
          return new Subscription(topicFilter, code as QoS, mailbox, () => this.#unsubscribe(topicFilter, route));
        }
        this.#dropRoutes((other) => other === route);
        throw refusedError(topicFilter);
      },
      (error: unknown) => {
        const asked = this.#routes.includes(route);
        this.#dropRoutes((other) => other === route);
        // The server may have it all the same; nobody wants its messages.
        if (asked && this.connected && !this.#isRouted(topicFilter)) {
          this.#request(undefined, (request, now) => this.#session.unsubscribe([topicFilter], request, now)).catch(() => {});
        }
        throw error;
      },
    );
  }

  /** Ends all subscriptions with this filter. Resolves with UNSUBACK; iteration ends after the messages that wait. */
  unsubscribe(topicFilter: string, options?: SignalOptions): Promise<void> {
    return this.#unsubscribe(topicFilter, undefined, options?.signal);
  }

  /**
   * Waits for what is in flight or queued (only while connected, at most `operationTimeout`), sends DISCONNECT and
   * closes; what is still pending is rejected with ERR_CLOSED. Never rejects; the client cannot be used again.
   */
  close({ force = false }: CloseOptions = {}): Promise<void> {
    const promise = (this.#closed ??= new Promise((resolve) => (this.#onClosed = resolve)));
    if (force || !this.#isUp) {
      this.#finish();
    } else if (this.#phase === "connected" || this.#phase === "renewing") {
      this.#enter("closing", this.#options.session.operationTimeout);
      this.#session.drain(true, this.#clock.now());
    }
    return promise;
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  // --- requests ---

  #add(signal: AbortSignal | undefined): Request {
    const next = this.#pending;
    const request: Request = {
      resolve: resolveNext,
      reject: rejectNext,
      signal,
      onAbort: undefined,
      previous: undefined,
      next,
    };
    if (next !== undefined) next.previous = request;
    this.#pending = request;
    if (signal !== undefined && !signal.aborted) {
      request.onAbort = () => this.#session.cancel(request, aborted(signal), this.#clock.now());
      signal.addEventListener("abort", request.onAbort, { once: true });
    }
    return request;
  }

  #settle(request: Request, error: HubwireError | undefined, value: unknown): void {
    const { previous, next } = request;
    if (previous === undefined) this.#pending = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    if (request.onAbort !== undefined) request.signal?.removeEventListener("abort", request.onAbort);
    if (error === undefined) request.resolve(value);
    else request.reject(error);
  }

  #request<T>(signal: AbortSignal | undefined, start: (request: Request, now: number) => void): Promise<T> {
    const promise = new Promise<T>(capture);
    const request = this.#add(signal);
    try {
      this.#checkUsable(signal);
      start(request, this.#clock.now());
    } catch (error) {
      this.#settle(request, error as HubwireError, undefined);
    }
    return promise;
  }

  #checkUsable(signal: AbortSignal | undefined): void {
    if (this.#closed) throw closedError();
    if (this.#phase === "stopped") throw new HubwireError("ERR_NOT_CONNECTED", "not connected: call connect()");
    if (signal?.aborted) throw aborted(signal);
  }

  #awaitConnection(signal: AbortSignal | undefined, timeout: number): Promise<void> {
    const promise = new Promise<void>(capture);
    const request: Request = {
      resolve: resolveNext,
      reject: rejectNext,
      signal,
      onAbort: undefined,
      previous: undefined,
      next: undefined,
    };
    if (signal !== undefined) {
      request.onAbort = () => this.#giveUp(request, aborted(signal));
      signal.addEventListener("abort", request.onAbort, { once: true });
    }
    this.#connecting.push(request);
    this.#connectBy = Math.min(this.#connectBy, this.#clock.now() + timeout);
    this.#arm();
    return promise;
  }

  /** One caller of `connect()` waits no longer; nobody left who does ends the first attempts. */
  #giveUp(request: Request, error: HubwireError): void {
    this.#connecting = this.#connecting.filter((other) => other !== request);
    request.reject(error);
    if (this.#connecting.length > 0) return;
    this.#connectBy = Infinity;
    if (!this.#established) this.#stop(error);
  }

  #settleConnecting(error: HubwireError | undefined): void {
    this.#connectBy = Infinity;
    for (const request of this.#connecting.splice(0)) {
      if (request.onAbort) request.signal?.removeEventListener("abort", request.onAbort);
      if (error) request.reject(error);
      else request.resolve(undefined);
    }
  }

  // --- connection ---

  async #dial(): Promise<void> {
    const attempt = ++this.#attempt;
    this.#enter("connecting", this.#options.session.connectTimeout);
    const { endpoint, connect, credentials } = this.#options;
    let fresh: Credentials = { username: connect.username, password: connect.password, tls: endpoint.tls };
    if (credentials) {
      try {
        fresh = await credentials();
      } catch (cause) {
        if (attempt === this.#attempt) this.#down(credentialsError(cause));
        return;
      }
      if (attempt !== this.#attempt) return;
    }
    // A session made under other terms of trust must not be resumed: the certificate is not looked at again.
    if (fresh.tls !== this.#credentials.tls) this.#tlsSession = undefined;
    this.#credentials = fresh;
    this.#connection = new Connection({ ...endpoint, tls: fresh.tls }, this.#connectionSink);
    this.#connection.open(this.#tlsSession);
  }

  #opened(): void {
    const { username, password } = this.#credentials;
    this.#observe();
    try {
      this.#session.open({ ...this.#options.connect, username, password }, this.#clock.now());
    } catch (error) {
      this.#down(error as HubwireError);
    }
  }

  #received(chunk: Uint8Array): void {
    this.#bytesReceived += chunk.length;
    this.#observe();
    // A TLS alert or handshake record where an MQTT server would send CONNACK.
    if (this.#phase === "connecting" && (chunk[0] === 0x15 || chunk[0] === 0x16) && chunk[1] === 3) {
      this.#violated(new HubwireError("ERR_TLS_NOT_TLS", "the server speaks TLS there: use protocol mqtts"));
      return;
    }
    this.#session.receive(chunk, (this.#readAt = this.#clock.now()));
  }

  #accepted(sessionPresent: boolean): void {
    this.#upSince = this.#clock.now();
    const { connect, session } = this.#options;
    const first = this.#connects++ === 0;
    this.#established = true;
    this.#failures = 0;
    this.#lastError = undefined;
    for (const { mailbox } of this.#routes) mailbox?.fail(undefined);
    if (first && sessionPresent && !connect.cleanSession) this.#early = [];
    this.#enter("connected", this.#early ? session.operationTimeout : Infinity);
    this.#feelPressure();
    this.#settleConnecting(undefined);
    this.#emit("connect", { sessionPresent });
  }

  /** The session refuses what the peer sent, or does not send. */
  #violated(error: HubwireError): void {
    this.#connection?.destroy();
    this.#connection = undefined;
    const attempt = this.#attempt;
    // Not from inside the session's own method.
    queueMicrotask(() => attempt === this.#attempt && this.#down(error));
  }

  /** The connection or the attempt is over; what next? */
  #down(error: HubwireError | undefined): void {
    const phase = this.#phase;
    const now = this.#clock.now();
    const wasUp = this.#isUp;
    const reason = this.#reasonOf(error, phase);
    this.#detach();
    if (this.#closed) {
      this.#finish(wasUp);
      return;
    }
    this.#session.lost(reason, now);
    if (reason === undefined) {
      this.#dial();
      this.#emit("disconnect", undefined);
      return;
    }
    this.#lastError = reason;
    const takeover = wasUp && this.#backoff.ended(now - this.#upSince, reason.code === "ERR_CONNECTION_LOST");
    const delay = this.#backoff.next(takeover);
    if (!this.#options.reconnect || !reason.retryable) {
      this.#stop(reason, wasUp);
      return;
    }
    if (!this.#established && now + delay >= this.#connectBy) {
      this.#stop(reason);
      return;
    }
    const event = { attempt: ++this.#failures, delay, error: reason };
    this.#enter("waiting", delay, reason);
    if (reconnectChannel.hasSubscribers) reconnectChannel.publish({ clientId: this.#clientId, ...event });
    if (wasUp) this.#emit("disconnect", reason);
    if (takeover) this.#emit("error", takeoverError(reason));
    else if (reason.kind === "peer" && this.#established) this.#emit("error", reason);
    this.#emit("reconnecting", event);
  }

  /** What ended the connection, as far as this end can know; undefined where it was this end itself. */
  #reasonOf(error: HubwireError | undefined, phase: ClientState): HubwireError | undefined {
    if (phase !== "connecting" || error?.code !== "ERR_CONNECTION_LOST") return error;
    return new HubwireError(
      "ERR_CONNECTION_LOST",
      "the server closed the connection before CONNACK: wrong credentials or client id, another protocol on " +
        "that port, or too many connections",
      { cause: error, statement: "MQTT-3.1.4-1" },
    );
  }

  #detach(): void {
    this.#attempt++;
    this.#connection?.destroy();
    this.#connection = undefined;
    this.#blocked = this.#paused = false;
    this.#wakeAt = Infinity;
  }

  /** Gives up until the next `connect()`. */
  #stop(error: HubwireError, wasUp = this.#isUp): void {
    const now = this.#clock.now();
    const established = this.#established;
    this.#detach();
    if (this.#session.state !== "closed") this.#session.lost(error, now);
    this.#established = false;
    this.#enter("stopped", Infinity, error);
    for (let request = this.#pending; request !== undefined; request = this.#pending) {
      this.#session.cancel(request, error, now);
    }
    for (const { mailbox } of this.#routes) mailbox?.fail(error);
    this.#settleConnecting(error);
    this.#arm();
    if (wasUp) this.#emit("disconnect", error);
    // The first connect() told its caller; nobody waits for what happens later.
    if (established && (this.#options.reconnect || error.kind === "peer")) this.#emit("error", error);
  }

  /** The session has nothing in flight any more: on to what the drain was for. */
  #leave(): void {
    if (this.#phase !== "closing" && this.#phase !== "renewing") return;
    this.#session.disconnect(this.#clock.now());
    this.#blocked = false;
    this.#flush();
    const connection = this.#connection;
    this.#enter("ending", Math.max(0, this.#wakeAt - this.#clock.now()) + 100);
    if (connection) connection.end();
    else this.#down(undefined);
  }

  /** Closes for good. */
  #finish(wasUp = this.#isUp): void {
    if (this.#phase === "closed") return;
    if (this.connected) {
      this.#session.disconnect(this.#clock.now());
      this.#blocked = false;
      this.#flush();
    }
    this.#detach();
    this.#enter("closed");
    const error = closedError();
    this.#session.end(error);
    this.#settleConnecting(error);
    for (const { mailbox } of this.#routes) mailbox?.end(true);
    this.#setRoutes([]);
    this.#early = undefined;
    this.#arm();
    if (wasUp) this.#emit("disconnect", undefined);
    this.#onClosed?.();
  }

  /** CONNACK was seen, and the end of that connection not yet. */
  get #isUp(): boolean {
    return UP.includes(this.#phase);
  }

  get #clientId(): string {
    return this.#options.connect.clientId;
  }

  /** `timeout`: ms after which the phase ends by itself. */
  #enter(phase: ClientState, timeout = Infinity, error?: HubwireError): void {
    this.#phase = phase;
    this.#wakeAt = this.#clock.now() + timeout;
    this.#arm();
    if (stateChannel.hasSubscribers) {
      stateChannel.publish({ clientId: this.#clientId, state: phase, ...(error && { error }) });
    }
  }

  // --- time ---

  /** A timer that is too early costs one look at the time; one that is set anew with each deadline costs more. */
  #arm(): void {
    const over = this.#phase === "stopped" || this.#phase === "closed";
    const at = over ? Infinity : Math.min(this.#session.nextDeadline(), this.#wakeAt, this.#connectBy);
    if (at >= this.#timerAt && at < Infinity) return;
    if (this.#timerAt < Infinity) this.#clock.clearTimer(this.#timer);
    this.#timerAt = at;
    if (at < Infinity) this.#timer = this.#clock.setTimer(this.#onTimer, Math.max(0, at - this.#clock.now()));
  }

  #timeIsUp(): void {
    this.#timerAt = Infinity;
    const now = this.#clock.now();
    this.#observe();
    if (now >= this.#connectBy) this.#connectTimedOut();
    if (now >= this.#wakeAt) this.#wake();
    if (this.#phase !== "closed") this.#session.tick(now);
    this.#arm();
  }

  #connectTimedOut(): void {
    const error = this.#lastError ?? timeoutError(this.#options.session.connectTimeout);
    if (this.#established) this.#settleConnecting(error);
    else this.#stop(error);
  }

  #wake(): void {
    this.#wakeAt = Infinity;
    switch (this.#phase) {
      case "waiting":
        this.#reconnects++;
        this.#dial();
        break;
      case "connecting":
        this.#down(timeoutError(this.#options.session.connectTimeout));
        break;
      case "connected":
        this.#dropEarly();
        break;
      case "closing":
        this.#finish();
        break;
      case "renewing":
        this.#leave();
        break;
      case "ending":
        this.#down(undefined);
        break;
    }
  }

  // --- output ---

  #wantsWrite(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#now = this.#clock.now();
    // After the I/O callbacks and all promises of this turn: their answers share one write.
    setImmediate(this.#flushNow);
  }

  #flush(): void {
    this.#flushing = false;
    this.#unflushed = 0;
    if (this.#blocked || this.#connection === undefined) return;
    const chunks = this.#session.takeOutput();
    if (chunks.length === 0) return;
    for (const chunk of chunks) this.#bytesSent += chunk.length;
    if (this.#connection.write(chunks)) return;
    this.#blocked = true;
    this.#session.writable(false, this.#clock.now());
  }

  #writable(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#session.writable(true, this.#clock.now());
    this.#flush();
  }

  #observe(): void {
    if (packetChannel.hasSubscribers === (this.#session.trace !== undefined)) return;
    this.#session.trace = packetChannel.hasSubscribers
      ? (direction, type, packetId, byteLength) =>
          packetChannel.publish({ clientId: this.#clientId, direction, type, packetId, byteLength })
      : undefined;
  }

  // --- input ---

  #deliver(message: Message, id: number): void {
    const routes = message.topic === this.#lastTopic ? this.#lastRoutes : this.#match(message.topic);
    if (routes.length === 0 && this.#early && id !== 0) {
      this.#early.push({ message, id });
      this.#hold(message, 1);
      return;
    }
    let waiting: PendingDelivery | undefined;
    let failed = false;
    for (const { handler, mailbox } of routes) {
      let result: unknown;
      if (handler) {
        try {
          result = handler(message);
        } catch (error) {
          failed = true;
          this.#handlerFailed(error);
          continue;
        }
        if (typeof (result as Promise<void> | undefined)?.then !== "function") continue;
      }
      if (waiting === undefined) {
        waiting = { left: 0, failed, done: () => this.#finished(waiting as PendingDelivery, message, id) };
        this.#hold(message, 1);
      }
      waiting.left++;
      if (mailbox) mailbox.put(message, waiting);
      else this.#follow(result as Promise<void>, waiting);
    }
    if (waiting === undefined) this.#acknowledge(id, failed, this.#readAt);
    else if (failed) waiting.failed = true;
  }

  #follow(result: Promise<void>, delivery: PendingDelivery): void {
    result.then(
      () => delivery.done(),
      (error: unknown) => {
        delivery.failed = true;
        this.#handlerFailed(error);
        delivery.done();
      },
    );
  }

  #finished(delivery: PendingDelivery, message: Message, id: number): void {
    if (--delivery.left > 0) return;
    this.#hold(message, -1);
    this.#acknowledge(id, delivery.failed);
  }

  #acknowledge(id: number, failed: boolean, now = this.#clock.now()): void {
    if (id === 0 || this.#phase === "closed") return;
    if (failed && !this.#options.connect.cleanSession) this.#session.refuse(id, now);
    else this.#session.acknowledge(id, now);
  }

  #handlerFailed(cause: unknown): void {
    this.#emit("error", new HubwireError("ERR_HANDLER", "a message handler failed", { cause }));
  }

  #match(topic: string): Route[] {
    this.#lastTopic = topic;
    return (this.#lastRoutes = this.#routes.filter(({ topicFilter }) => matchTopic(topicFilter, topic)));
  }

  #setRoutes(routes: Route[]): void {
    this.#routes = routes;
    this.#lastTopic = "";
    this.#lastRoutes = NO_ROUTES;
  }

  #dropRoutes(unwanted: (route: Route) => boolean): void {
    for (const route of this.#routes) if (unwanted(route)) route.mailbox?.end(false);
    this.#setRoutes(this.#routes.filter((route) => !unwanted(route)));
  }

  #isRouted(topicFilter: string): boolean {
    return this.#routes.some((route) => route.topicFilter === topicFilter);
  }

  /** `route`: only that one; the server hears of it when no other has the filter. */
  async #unsubscribe(topicFilter: string, only: Route | undefined, signal?: AbortSignal): Promise<void> {
    const unwanted = (route: Route): boolean => (only ? route === only : route.topicFilter === topicFilter);
    if (only && !this.#routes.includes(only)) return;
    if (!only || !this.#routes.some((route) => route.topicFilter === topicFilter && route !== only)) {
      // Messages under way still belong to the subscription (MQTT-3.10.4-3).
      await this.#request(signal, (request, now) => this.#session.unsubscribe([topicFilter], request, now));
    }
    this.#dropRoutes(unwanted);
  }

  #refused(topicFilter: string): void {
    const error = refusedError(topicFilter);
    for (const { mailbox, topicFilter: filter } of this.#routes) if (filter === topicFilter) mailbox?.fail(error);
    this.#dropRoutes((route) => route.topicFilter === topicFilter);
    queueMicrotask(() => this.#emit("error", error));
  }

  /** The subscriptions of an earlier process are there before this one has said who handles their messages. */
  #deliverEarly(): void {
    const early = this.#early;
    if (!early) return;
    this.#early = [];
    for (const { message, id } of early) {
      this.#hold(message, -1);
      this.#deliver(message, id);
    }
  }

  /** Long enough waited: nobody subscribes to these (MQTT-4.5.0-2). */
  #dropEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const { message, id } of early) {
      this.#hold(message, -1);
      this.#acknowledge(id, false);
    }
  }

  #hold(message: Message, sign: 1 | -1): void {
    this.#heldCount += sign;
    this.#heldBytes += sign * message.payload.length;
    this.#feelPressure();
  }

  /** Stops or resumes reading by how much waits in handlers and mailboxes. */
  #feelPressure(): void {
    const { inflight, queued } = this.#session.metrics;
    const scale = inflight + queued > 0 ? PATIENCE : 1;
    const level = Math.max(this.#heldCount / HIGH_COUNT, this.#heldBytes / HIGH_BYTES) / scale;
    const pause = this.#paused ? level > 0.5 : level >= 1;
    if (pause === this.#paused || this.#connection === undefined) return;
    this.#paused = pause;
    // PINGRESP waits with all the rest: the session must not take that for a dead connection.
    this.#session.reading(!pause, this.#clock.now());
    if (pause) this.#connection.pause();
    else this.#connection.resume();
  }

  /** A listener that throws must not reach the session or the socket; a lonely error must not end the process. */
  #emit<E extends keyof ClientEvents>(event: E, ...values: ClientEvents[E]): void {
    try {
      if (event === "error" && this.listenerCount("error") === 0) process.emitWarning(values[0] as HubwireError);
      else (this.emit as (event: string, ...values: unknown[]) => boolean).call(this, event, ...values);
    } catch (cause) {
      const error = new HubwireError("ERR_HANDLER", `a listener of "${event}" failed`, { cause });
      if (event === "error") process.emitWarning(error);
      else this.#emit("error", error);
    }
  }
}

/** A message that somebody still works on. */
interface PendingDelivery extends Delivery {
  left: number;
  failed: boolean;
}

const closedError = (): HubwireError => new HubwireError("ERR_CLOSED", "the client is closed");

const timeoutError = (ms: number): HubwireError =>
  new HubwireError("ERR_CONNECT_TIMEOUT", `no connection within ${ms} ms: check host, port and network`);

const refusedError = (topicFilter: string): HubwireError =>
  new HubwireError("ERR_SUBSCRIBE_REFUSED", `the server refused the subscription to ${topicFilter}`, {
    statement: "MQTT-3.9.3-2",
  });

const takeoverError = (cause: HubwireError): HubwireError =>
  new HubwireError("ERR_TAKEOVER", "the server keeps closing new connections: is the client id used twice?", {
    cause,
    statement: "MQTT-3.1.4-2",
  });

const credentialsError = (cause: unknown): HubwireError =>
  cause instanceof HubwireError
    ? cause
    : new HubwireError("ERR_HANDLER", "the credentials callback failed", { cause, retryable: true });
