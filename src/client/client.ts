/**
 * MqttClient: what the user calls, what the socket says and what the session decides, brought together.
 *
 * Invariants:
 * - At most one connection, or attempt at one, exists at a time; what an older one reports is not heard.
 * - `#phase` is the whole state of the connection; only `#enter` changes it.
 * - Each request is in the session until the session settles it, once; the client settles none on its own.
 * - One timer, for the earliest of: the session's deadlines, the phase's own (`#wakeAt`), the end of
 *   `connect()`.
 * - From `data` to the user's handler everything is synchronous; what one tick writes leaves as one write.
 */
import { EventEmitter } from "node:events";
import type { QoS } from "../codec/types.js";
import { emitSafely } from "../emit.js";
import { HubwireError } from "../errors.js";
import { Session } from "../session/index.js";
import type { SessionSink } from "../session/types.js";
import type {
  ClientEvents,
  ClientMetrics,
  ClientState,
  CloseOptions,
  PublishOptions,
  RenewOptions,
  SignalOptions,
  SubscribeOptions,
} from "./api.js";
import { Backoff } from "./backoff.js";
import type { Timer } from "../clock.js";
import { Connection, type ConnectionSink, TlsSessions } from "../transport/connection.js";
import { packetChannel, reconnectChannel, stateChannel } from "./diagnostics.js";
import { Dispatcher, type Route } from "./dispatch.js";
import { type Credentials, type MqttClientOptions, resolveOptions } from "./options.js";
import { Mailbox, type MessageHandler, Subscription } from "./subscription.js";

export type * from "./api.js";

/** One call that waits for its end; linked, so that all of them can be found when the client gives up. */
interface Request {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  signal: AbortSignal | undefined;
  onAbort: (() => void) | undefined;
  previous: Request | undefined;
  next: Request | undefined;
}

/** Output that is written at once instead of at the end of the tick, bytes. */
const BATCH = 64 * 1024;
/** Messages in handlers and mailboxes above which reading stops; below half of it reading goes on. */
const HIGH_COUNT = 1_024;
/** The same in payload bytes. */
const HIGH_BYTES = 4 * 1024 * 1024;
/**
 * The same while own requests wait for an answer: a handler may be waiting for just that, and it arrives behind the
 * messages that are held back. Above these the request runs into its deadline.
 */
const PATIENT_COUNT = 65_536;
const PATIENT_BYTES = 64 * 1024 * 1024;
/** ms that DISCONNECT, and what was written before it, may take to leave. */
const LINGER = 5_000;
/** ms that the peer then has to close its side, which tells that it has read everything. */
const FAREWELL = 250;
/** ms before the end of `connect()` in which no attempt begins any more. */
const LAST_ATTEMPT = 50;
/** The phases between CONNACK and the end of the connection. */
const UP: readonly ClientState[] = ["connected", "renewing", "closing", "ending"];
/** Node 18 has no such symbol before 18.18; this is what a polyfill registers. */
export const asyncDispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

// One executor for all promises: a closure a call would be the largest allocation of a publish.
let resolveNext: Request["resolve"];
let rejectNext: Request["reject"];
const capture = (resolve: (value: never) => void, reject: (error: unknown) => void): void => {
  resolveNext = resolve as Request["resolve"];
  rejectNext = reject;
};

/** Of the promise that `capture` was called for last. */
const newRequest = (signal: AbortSignal | undefined, next: Request | undefined): Request => ({
  resolve: resolveNext,
  reject: rejectNext,
  signal,
  onAbort: undefined,
  previous: undefined,
  next,
});

const aborted = (signal: AbortSignal): HubwireError =>
  new HubwireError("ERR_ABORTED", "aborted by its signal", { cause: signal.reason });

const isSignal = (signal: AbortSignal | undefined): signal is AbortSignal =>
  typeof signal?.addEventListener === "function";

function checkSignal(signal: AbortSignal | undefined): void {
  if (!signal) return;
  if (!isSignal(signal)) throw new HubwireError("ERR_INVALID_ARGUMENT", "signal must be an AbortSignal");
  if (signal.aborted) throw aborted(signal);
}

/**
 * An MQTT 3.1.1 client. Every promise it returns settles once: with success, a HubwireError, or its own
 * deadline or signal. Errors that belong to no call are `error` events; without a listener they are process
 * warnings.
 */
export class MqttClient extends EventEmitter<ClientEvents> {
  readonly #options;
  readonly #clock;
  readonly #session: Session<Request>;
  readonly #backoff;
  readonly #connectionSink: ConnectionSink;
  readonly #dispatcher: Dispatcher;
  readonly #flushNow = (): void => this.#flush();
  readonly #onTimer = (): void => this.#timeIsUp();

  #phase: ClientState = "idle";
  #connection: Connection | undefined;
  /** Counts attempts, so that an answer to an older one is known as such. */
  #attempt = 0;
  #credentials: Credentials = {};
  readonly #tlsSessions = new TlsSessions();

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
  /** The time, as long as `#flushing` or `#reading`: looked at once a batch. */
  #now = 0;
  #reading = false;
  #unflushed = 0;
  #blocked = false;

  #paused = false;

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
      deliver: (message, id) => {
        // While closing, reading goes on for the acknowledgements; what has no room stays the server's.
        if (this.#phase !== "closing" || this.#load() < 1) this.#dispatcher.deliver(message, id);
      },
      settle: (request, error, returnCodes) => this.#settle(request, error, returnCodes),
      fail: (error) => this.#violated(error),
      refused: (topicFilter) => this.#refused(topicFilter),
      abandoned: (error) => queueMicrotask(() => this.#emit("error", error)),
      // Not from inside the session's own method: what follows calls the session again.
      drained: () => {
        const phase = this.#phase;
        queueMicrotask(() => phase === this.#phase && this.#leave());
      },
      deadlineChanged: () => this.#arm(),
    };
    this.#dispatcher = new Dispatcher({
      finished: (id, failed) => this.#acknowledge(id, failed),
      failed: (error) => this.#emit("error", error),
      pressure: () => this.#feelPressure(),
    });
    this.#session = new Session(sink, this.#options.session);
    this.#connectionSink = {
      opened: () => this.#opened(),
      received: (chunk) => this.#received(chunk),
      writable: () => this.#writable(),
      flushed: () => {
        this.#wakeAt = Math.min(this.#wakeAt, this.#clock.now() + FAREWELL);
        this.#arm();
      },
      progress: () => {},
      closed: (error) => this.#down(error),
    };
  }

  /** Whether messages can be sent at once. */
  get connected(): boolean {
    return this.#session.state === "connected";
  }

  /** What the connection is at. */
  get state(): ClientState {
    return this.#phase;
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
   * failure. A failure that cannot pass (credentials, certificate, ...) rejects at once. Rejecting ends all
   * attempts and rejects what is queued, unless the client had been connected before and reconnects by
   * itself.
   */
  connect({ signal }: SignalOptions = {}): Promise<void> {
    const phase = this.#phase;
    if (this.#closed) return Promise.reject(closedError());
    try {
      checkSignal(signal);
    } catch (error) {
      return Promise.reject(error as HubwireError);
    }
    if (phase === "connected") return Promise.resolve();
    const promise = this.#awaitConnection(signal, this.#options.session.connectTimeout);
    if (phase === "idle" || phase === "stopped") {
      this.#lastError = undefined;
      this.#failures = 0;
      void this.#dial();
    }
    return promise;
  }

  /**
   * A planned reconnect, to use new credentials: sends no more, waits for acknowledgements at most
   * `drainTimeout`, disconnects, connects, goes on. What is published meanwhile is queued; nothing is
   * rejected. Messages that others send to a clean session in between are lost, as the standard has it.
   */
  reconnect({ drainTimeout = 5_000 }: RenewOptions = {}): Promise<void> {
    if (this.#phase !== "connected") return this.connect();
    const promise = this.#awaitConnection(undefined, drainTimeout + this.#options.session.connectTimeout);
    this.#enter("renewing", drainTimeout);
    this.#session.drain(false, this.#clock.now());
    return promise;
  }

  /**
   * Resolves when the QoS flow is complete: QoS 0 handed over to the socket's buffer, QoS 1 PUBACK, QoS 2
   * PUBCOMP. The payload must not change before that. Without a connection the message waits in the offline
   * queue.
   * @throws HubwireError (as a rejection) ERR_INVALID_ARGUMENT, ERR_QUEUE_FULL, ERR_MESSAGE_EXPIRED,
   * ERR_TIMEOUT, ERR_ABORTED (in the queue: never sent; in flight: it may have arrived), ERR_CLOSED,
   * ERR_NOT_CONNECTED, ERR_CONNECTION_LOST (only with `reconnect: false`), ERR_SESSION_LOST, ERR_STORE.
   */
  publish(topic: string, payload: Uint8Array | string, options?: PublishOptions): Promise<void> {
    const promise = new Promise<void>(capture);
    const request = this.#add(options?.signal);
    try {
      // A bare QoS in place of the options would pass as "no options".
      if (options && typeof options !== "object") throw notAnObject();
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
   * Resolves when the server granted the subscription. Messages go to the handler, synchronously from the
   * socket; a QoS 1 or 2 message is acknowledged when the handler returned or its promise resolved. A handler
   * that fails is reported with an `error` event (ERR_HANDLER); its message stays unacknowledged in a
   * persistent session and is acknowledged in a clean one, where the server would never send it again.
   * Handlers run side by side; when many are busy the client stops reading. Without a handler the
   * subscription is read with `for await`.
   * @throws HubwireError (as a rejection) ERR_SUBSCRIBE_REFUSED, and what `publish` throws.
   */
  subscribe(topicFilter: string, options?: SubscribeOptions, handler?: MessageHandler): Promise<Subscription> {
    if (typeof options === "function" || (handler !== undefined && typeof handler !== "function")) {
      const text = "subscribe(topicFilter, options, handler): the handler is a function and comes third";
      return Promise.reject(new HubwireError("ERR_INVALID_ARGUMENT", text));
    }
    if (options && typeof options !== "object") return Promise.reject(notAnObject());
    const mailbox = handler ? undefined : new Mailbox();
    const route: Route = { topicFilter, handler, mailbox };
    const own = (other: Route): boolean => other === route;
    const subscriptions = [{ topicFilter, qos: options?.qos ?? 0 }];
    const granted = this.#request<readonly number[]>(options?.signal, (request, now) => {
      this.#session.subscribe(subscriptions, request, now);
      this.#dispatcher.add(route);
    });
    return granted.then(
      ([code = 0x80]) => {
        if (code <= 2) {
          const end = (): Promise<void> => this.#unsubscribe(topicFilter, route);
          return new Subscription(topicFilter, code as QoS, mailbox, end);
        }
        this.#dispatcher.drop(own);
        throw refusedError(topicFilter);
      },
      (error: unknown) => {
        const asked = this.#dispatcher.some(own);
        this.#dispatcher.drop(own);
        // The server may have it all the same; nobody wants its messages.
        if (asked && this.connected && !this.#dispatcher.some((other) => other.topicFilter === topicFilter)) {
          this.#unsubscribe(topicFilter, undefined).catch(() => {});
        }
        throw error;
      },
    );
  }

  /**
   * Ends all subscriptions with this filter. Resolves with UNSUBACK; iteration ends after the messages that
   * wait.
   */
  unsubscribe(topicFilter: string, options?: SignalOptions): Promise<void> {
    return this.#unsubscribe(topicFilter, undefined, options?.signal);
  }

  /**
   * Waits for what is in flight or queued (only while connected, at most `operationTimeout`), sends
   * DISCONNECT and closes; what is still pending is rejected with ERR_CLOSED. Never rejects; the client
   * cannot be used again.
   */
  close({ force = false }: CloseOptions = {}): Promise<void> {
    const promise = (this.#closed ??= new Promise((resolve) => (this.#onClosed = resolve)));
    if (force || !this.#isUp) {
      this.#finish();
    } else if (this.#phase === "connected" || this.#phase === "renewing") {
      this.#enter("closing", this.#options.session.operationTimeout);
      this.#feelPressure();
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
    const request = newRequest(signal, next);
    if (next !== undefined) next.previous = request;
    this.#pending = request;
    if (isSignal(signal) && !signal.aborted) {
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
    if (this.#phase === "stopped") {
      throw new HubwireError("ERR_NOT_CONNECTED", "not connected: call connect()");
    }
    checkSignal(signal);
  }

  #awaitConnection(signal: AbortSignal | undefined, timeout: number): Promise<void> {
    const promise = new Promise<void>(capture);
    const request = newRequest(signal, undefined);
    if (signal) {
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
        fresh = { ...(await credentials()) };
      } catch (cause) {
        if (attempt === this.#attempt) this.#down(credentialsError(cause));
        return;
      }
      if (attempt !== this.#attempt) return;
    }
    this.#credentials = fresh;
    this.#connection = new Connection({ ...endpoint, tls: fresh.tls }, this.#connectionSink, this.#tlsSessions);
    this.#connection.open();
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
    this.#now = this.#clock.now();
    this.#reading = true;
    this.#session.receive(chunk, this.#now);
    this.#reading = false;
  }

  #accepted(sessionPresent: boolean): void {
    this.#upSince = this.#clock.now();
    const { connect, session } = this.#options;
    const first = this.#connects++ === 0;
    this.#established = true;
    this.#failures = 0;
    this.#lastError = undefined;
    this.#dispatcher.fail(undefined);
    const resumed = first && sessionPresent && !connect.cleanSession;
    if (resumed) this.#dispatcher.keepEarly();
    this.#enter("connected", resumed ? session.operationTimeout : Infinity);
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
      void this.#dial();
      this.#emit("disconnect", undefined);
      return;
    }
    this.#lastError = reason;
    const takeover = wasUp && this.#backoff.ended(now - this.#upSince, reason.code === "ERR_CONNECTION_LOST");
    let delay = this.#backoff.next(takeover);
    if (!this.#options.reconnect || !reason.retryable) {
      this.#stop(reason, wasUp);
      return;
    }
    const left = this.#established ? Infinity : this.#connectBy - now;
    if (delay >= left) {
      if (left < LAST_ATTEMPT) {
        this.#stop(reason);
        return;
      }
      // Not given up before its time, which would be by chance: the next attempt is within what is left.
      delay = left * this.#options.random();
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
      "the server closed the connection before CONNACK: wrong credentials or client id, another protocol " +
        "on that port, or too many connections",
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
    let oldest = this.#pending;
    while (oldest?.next) oldest = oldest.next;
    // Oldest first: the session looks for it from that end.
    for (let request = oldest; request !== undefined; request = oldest) {
      oldest = request.previous;
      this.#session.cancel(request, error, now);
    }
    this.#dispatcher.fail(error);
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
    this.#enter("ending", LINGER);
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
    this.#dispatcher.end();
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

  /**
   * A timer that is too early costs one look at the time; one that is set anew with each deadline costs more.
   */
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
        void this.#dial();
        break;
      case "connecting":
        this.#down(timeoutError(this.#options.session.connectTimeout));
        break;
      case "connected":
        this.#dispatcher.dropEarly();
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

  #acknowledge(id: number, failed: boolean): void {
    if (this.#phase === "closed") return;
    const now = this.#reading ? this.#now : this.#clock.now();
    if (failed && !this.#options.connect.cleanSession) this.#session.refuse(id, now);
    else this.#session.acknowledge(id, now);
  }

  /** `only`: that one subscription; the server hears of it when no other has the filter. */
  async #unsubscribe(topicFilter: string, only: Route | undefined, signal?: AbortSignal): Promise<void> {
    const unwanted = (route: Route): boolean => (only ? route === only : route.topicFilter === topicFilter);
    if (only && !this.#dispatcher.some(unwanted)) return;
    if (!only || !this.#dispatcher.some((route) => route.topicFilter === topicFilter && route !== only)) {
      // Messages under way still belong to the subscription (MQTT-3.10.4-3).
      await this.#request(signal, (request, now) => this.#session.unsubscribe([topicFilter], request, now));
    }
    this.#dispatcher.drop(unwanted);
  }

  #refused(topicFilter: string): void {
    const error = refusedError(topicFilter);
    const refused = (route: Route): boolean => route.topicFilter === topicFilter;
    this.#dispatcher.fail(error, refused);
    this.#dispatcher.drop(refused);
    queueMicrotask(() => this.#emit("error", error));
  }

  /** How full the handlers and mailboxes are: 1 is full. */
  #load(): number {
    const patient = this.#pending !== undefined;
    return Math.max(
      this.#dispatcher.count / (patient ? PATIENT_COUNT : HIGH_COUNT),
      this.#dispatcher.bytes / (patient ? PATIENT_BYTES : HIGH_BYTES),
    );
  }

  /** Stops or resumes reading by how much waits in handlers and mailboxes. */
  #feelPressure(): void {
    const pause = this.#phase !== "closing" && this.#load() >= (this.#paused ? 0.5 : 1);
    if (pause === this.#paused || this.#connection === undefined) return;
    this.#paused = pause;
    // PINGRESP waits with all the rest: the session must not take that for a dead connection.
    this.#session.reading(!pause, this.#clock.now());
    if (pause) this.#connection.pause();
    else this.#connection.resume();
  }

  #emit<E extends keyof ClientEvents>(event: E, ...values: ClientEvents[E]): void {
    emitSafely(this, event, ...values);
  }
}

const notAnObject = (): HubwireError =>
  new HubwireError("ERR_INVALID_ARGUMENT", "the options must be an object, e.g. { qos: 1 }");

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
