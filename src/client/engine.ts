/**
 * What carries a client through its life: dials, listens to the connection, takes the session's events, sets the alarm.
 *
 * Invariants:
 * - Each piece of state has one owner: the phase `LifeCycle`, the connection `Dialer`, requests and what the server knows
 *   `Desk` and its session, calls of `connect()` `ConnectCalls`, bytes under way `Flow`, messages in hand `Reception`. The
 *   engine only carries out.
 * - One alarm, for the earliest of all deadlines. From `data` to the user's handler everything is synchronous.
 * - A listener may call anything: the state is changed before an event leaves, and looked at again after it.
 */
import { Alarm } from "../clock.js";
import { HubwireError } from "../errors.js";
import type { Message, SessionEvent } from "../session/index.js";
import type { ConnectionSink } from "../transport/connection.js";
import type { ClientEvents, ClientState } from "./api.js";
import { bounds } from "./bounds.js";
import { ConnectCalls, type ConnectCallsOwner } from "./connect-calls.js";
import type { DeliveryOwner, MessageRoute } from "./deliveries.js";
import { tellEnd, tellReconnect, tellState, traceOf } from "./diagnostics.js";
import { Desk, type DeskOwner } from "./desk.js";
import { Dialer } from "./dialer.js";
import * as failures from "./failures.js";
import { Flow, type FlowOwner } from "./flow.js";
import { LifeCycle } from "./life-cycle.js";
import type { ResolvedOptions } from "./options.js";
import { Reception } from "./reception.js";

/** ms that DISCONNECT, and what was written before it, may take to leave. */
const LINGER = 5_000;
/** ms that the peer then has to close its side, which tells that it has read everything. */
const FAREWELL = 250;

type Emit = <E extends keyof ClientEvents>(event: E, ...values: ClientEvents[E]) => void;

export class Engine implements ConnectionSink, DeskOwner, DeliveryOwner, FlowOwner, ConnectCallsOwner {
  readonly desk: Desk;
  readonly session: Desk["session"];
  readonly flow: Flow;
  readonly connectCalls: ConnectCalls;
  readonly reception: Reception;
  readonly options: ResolvedOptions;
  readonly #life: LifeCycle;
  /** Also when the client is closed, for what tells of just that. */
  readonly #emitLast: Emit;
  readonly #alarm: Alarm;
  readonly #dialer: Dialer;
  /** Accepted connections. */
  connects = 0;
  /** Attempts after the first of a `connect()`. */
  reconnects = 0;
  #onClosed: (() => void) | undefined;

  constructor(options: ResolvedOptions, emit: Emit) {
    this.options = options;
    this.#emitLast = emit;
    const { clock, handlerTimeout } = options;
    this.#life = new LifeCycle(options);
    this.#alarm = new Alarm(clock, () => this.#timeIsUp());
    this.connectCalls = new ConnectCalls(this);
    this.desk = new Desk(options.session, clock, this);
    this.session = this.desk.session;
    this.flow = new Flow(this.session, clock, this);
    this.reception = new Reception(this, handlerTimeout, bounds());
    this.#dialer = new Dialer(options, this);
  }

  #emit<E extends keyof ClientEvents>(event: E, ...values: ClientEvents[E]): void {
    if (this.phase !== "closed") this.#emitLast(event, ...values);
  }

  get phase(): ClientState {
    return this.#life.phase;
  }

  // --- what the parts ask for (their owners' interfaces) ---

  /** While closing, reading goes on for the acknowledgements; what has no room stays the server's. */
  deliver(message: Message, deliveryId: number, routes: readonly MessageRoute[] | undefined): void {
    const hasRoom = this.phase !== "closing" || this.reception.load(true) < 1;
    if (hasRoom) this.reception.deliver(message, deliveryId, routes);
  }

  load(): number {
    return this.phase === "closing" ? 0 : this.reception.load(this.desk.pending > 0);
  }

  now(): number {
    return this.options.clock.now();
  }

  finished(deliveryId: number, failed: boolean): void {
    if (this.phase !== "closed") this.desk.finished(deliveryId, failed && !this.options.connect.cleanSession);
  }

  failed(error: HubwireError): void {
    this.#emit("error", error);
  }

  pressure(): void {
    this.flow.feel();
  }

  writable(): void {
    this.desk.run(() => this.flow.writable());
  }

  progress(): void {
    this.session.progressed(this.now());
  }

  flushed(): void {
    this.#life.wakeAt = Math.min(this.#life.wakeAt, this.now() + FAREWELL);
    this.deadlineChanged();
  }

  /** Where nobody is left who waits for the first connection, there are no more attempts. */
  connectCallsEnded(error: HubwireError): void {
    const isTrying = this.phase === "waiting" || this.phase === "connecting";
    if (isTrying && !this.#life.wasAccepted && !this.connectCalls.some) this.#stop(error);
  }

  event(event: SessionEvent): void {
    switch (event.type) {
      case "accepted":
        // A handler of a message that came with CONNACK may have ended it all.
        return this.phase === "connecting" ? this.#accepted(event.sessionPresent) : undefined;
      case "failed":
        return this.closed(event.error);
      case "drained":
        return this.#leave();
      case "refused":
        return this.#refused(event.topicFilter, event.routes as readonly MessageRoute[]);
      case "look":
        return this.flow.look();
      default:
        this.#emit("error", event.error);
    }
  }

  #refused(topicFilter: string, routes: readonly MessageRoute[]): void {
    const error = failures.refusedError(topicFilter);
    for (const { mailbox } of routes) {
      mailbox?.fail(error);
      mailbox?.end();
    }
    this.#emit("error", error);
  }

  // --- what the user asks for ---

  /** `connect()`. */
  connect(signal: AbortSignal | undefined, timeout: number): Promise<void> {
    const { phase } = this;
    if (phase === "connected") return Promise.resolve();
    const promise = this.connectCalls.add(signal, this.now() + timeout);
    if (phase === "idle" || phase === "stopped") {
      this.#life.restart();
      this.#dial();
    }
    this.deadlineChanged();
    return promise;
  }

  /** Takes the place of another: what that one had been promised by its acceptance holds here too. */
  succeed(other: Engine): boolean {
    return this.#life.inherit(other.#life.wasAccepted);
  }

  /** `reconnect()`, from `connected`. */
  renew(drainTimeout: number, signal: AbortSignal | undefined, timeout: number): Promise<void> {
    // First: a signal that cannot be listened to must not end the connection.
    const promise = this.connectCalls.add(signal, this.now() + timeout);
    this.#enter("renewing", drainTimeout);
    this.desk.run(() => this.session.drain(false, this.now()));
    return promise;
  }

  /** `close()`; it calls back once, when all is over. */
  close(force: boolean, onClosed: () => void): void {
    const { phase } = this;
    if (phase === "closed") return onClosed();
    const others = this.#onClosed;
    this.#onClosed = () => {
      others?.();
      onClosed();
    };
    if (force || !this.#life.isUp) this.#finish();
    else if (phase === "leaving") this.#enter("ending", LINGER);
    else if (phase === "connected" || phase === "renewing") {
      this.#enter("closing", this.options.operationTimeout);
      this.flow.feel();
      this.desk.run(() => this.session.drain(true, this.now()));
    }
  }

  // --- the connection ---

  #dial(): void {
    this.#enter("connecting", this.options.connectTimeout);
    this.#dialer.dial();
  }

  opened(): void {
    const { username, password } = this.#dialer.credentials;
    const { connect } = this.options;
    this.flow.attach(this.#dialer.connection!);
    this.reception.opened(this.connects === 0 && !connect.cleanSession);
    this.session.trace = traceOf(connect.clientId, this.session.trace);
    try {
      this.desk.run(() => this.session.open({ ...connect, username, password }, this.now()));
    } catch (error) {
      this.closed(error as HubwireError);
    }
  }

  received(chunk: Uint8Array): void {
    this.flow.received(chunk.length);
    this.session.trace = traceOf(this.options.connect.clientId, this.session.trace);
    if (this.phase === "connecting" && (chunk[0] === 0x15 || chunk[0] === 0x16) && chunk[1] === 3) {
      return this.closed(failures.speaksTlsError());
    }
    this.desk.run(() => this.session.receive(chunk, this.now()));
    this.flow.feel();
  }

  #accepted(sessionPresent: boolean): void {
    const { connect, operationTimeout } = this.options;
    const isResumed = this.connects++ === 0 && sessionPresent && !connect.cleanSession;
    if (!isResumed) this.reception.endEarly();
    this.#life.accepted(this.now(), isResumed ? operationTimeout : Infinity);
    tellState(this.options.connect.clientId, this.phase, undefined);
    for (const { mailbox } of this.session.routes()) mailbox?.fail(undefined);
    this.flow.feel();
    this.connectCalls.settleAll(undefined);
    this.deadlineChanged();
    this.#emit("connect", { sessionPresent });
  }

  /** The connection or the attempt is over; what next? */
  closed(error: HubwireError | undefined): void {
    const before = this.phase;
    if (before === "closed" || before === "stopped") return;
    const isEarly = before === "connecting" && error?.code === "ERR_CONNECTION_LOST";
    const reason = isEarly ? failures.beforeConnackError(error) : error;
    const now = this.now();
    tellEnd(this.options.connect.clientId, reason);
    this.#detach();
    this.desk.run(() => this.session.lost(reason, now));
    // A listener of what the session says of it may have called anything.
    const { phase } = this;
    if (phase === "closing" || phase === "ending") return this.#finish();
    if (phase === "leaving") {
      this.#dial();
      return this.#emit("disconnect", undefined);
    }
    if (phase === before || phase === "renewing")
      this.#next(reason ?? new HubwireError("ERR_CONNECTION_LOST", "the connection ended"), now);
  }

  #next(error: HubwireError, now: number): void {
    const wasUp = this.#life.isUp;
    const { wasAccepted } = this.#life;
    const sequel = this.#life.ended(error, now, this.connectCalls.lastDeadline - now);
    if (sequel.do === "stop") return this.#stop(error);
    const { delay, attempt, isTakeover } = sequel;
    const event = { attempt, delay, error };
    this.#enter("waiting", delay, error);
    tellReconnect(this.options.connect.clientId, event);
    if (wasUp) this.#emit("disconnect", error);
    if (isTakeover) this.#emit("error", failures.takeoverError(error));
    else if (wasAccepted && (error.kind === "peer" || !error.retryable)) this.#emit("error", error);
    // A listener may have closed the client.
    if (this.phase === "waiting") this.#emit("reconnecting", event);
  }

  #detach(): void {
    this.#dialer.hangUp();
    this.flow.detach();
    this.reception.lost();
  }

  /** Gives up until the next `connect()`. */
  #stop(error: HubwireError): void {
    const { isUp, wasAccepted } = this.#life;
    const now = this.now();
    this.#detach();
    this.#enter("stopped", Infinity, error);
    for (const { mailbox } of this.session.routes()) mailbox?.fail(error);
    // Before a listener can call connect() anew.
    this.connectCalls.settleAll(error);
    this.desk.run(() => {
      this.session.lost(error, now);
      this.session.cancelAll(error, now);
    });
    this.deadlineChanged();
    if (isUp) this.#emit("disconnect", error);
    // The first connect() told its caller; nobody waits for what happens later.
    if (wasAccepted && (this.options.reconnect || error.kind === "peer")) this.#emit("error", error);
  }

  /** Nothing is in flight any more: on to what the drain was for. */
  #leave(): void {
    // Where the connection went first, its end says what comes next.
    const isDraining = this.phase === "closing" || this.phase === "renewing";
    if (!isDraining || !this.#dialer.connection) return;
    this.session.disconnect(this.now());
    this.#enter(this.phase === "closing" ? "ending" : "leaving", LINGER);
    this.flow.end();
  }

  /** Closes for good. */
  #finish(): void {
    if (this.phase === "closed") return;
    const { isUp } = this.#life;
    if (this.session.state === "connected") {
      this.session.disconnect(this.now());
      this.flow.end();
    }
    this.#detach();
    this.#enter("closed");
    const error = failures.closedError();
    const storeFailure = this.#endSession(error);
    this.reception.close();
    for (const { mailbox } of this.session.routes()) mailbox?.close();
    this.connectCalls.settleAll(error);
    if (isUp) this.#emitLast("disconnect", undefined);
    if (storeFailure) this.#emitLast("error", storeFailure);
    if (this.#onClosed) this.desk.whenSettled(this.#onClosed);
  }

  /** What the store failed with. */
  #endSession(error: HubwireError): HubwireError | undefined {
    try {
      this.desk.end(error);
      return undefined;
    } catch (cause) {
      if (cause instanceof HubwireError) return cause;
      return new HubwireError("ERR_STORE", "the store could not be closed", { cause });
    }
  }

  /** `timeout`: ms after which the phase ends by itself. */
  #enter(phase: ClientState, timeout = Infinity, error?: HubwireError): void {
    this.#life.enter(phase, this.now(), timeout);
    this.deadlineChanged();
    tellState(this.options.connect.clientId, phase, error);
  }

  /** Writes what the session has, now. */
  flush(): void {
    this.desk.run(() => this.flow.flush());
  }

  // --- time ---

  /** Some part has another deadline. */
  deadlineChanged(): void {
    const { phase } = this;
    if (phase === "closed") return this.#alarm.stop();
    const next = Math.min(this.#life.wakeAt, this.connectCalls.nextDeadline);
    const others = Math.min(this.reception.nextDeadline, this.session.nextDeadline());
    // A handler that never settles must not keep the process of a client that gave up.
    this.#alarm.set(phase === "stopped" ? next : Math.min(next, others));
  }

  #timeIsUp(): void {
    const now = this.now();
    const error = (): HubwireError => this.#life.lastError ?? failures.timeoutError("the timeout of the call");
    if (this.connectCalls.expire(now, error)) this.connectCallsEnded(error());
    if (now >= this.#life.wakeAt) this.#wake();
    this.desk.run(() => this.session.tick(now));
    this.reception.tick(now);
    this.deadlineChanged();
  }

  #wake(): void {
    this.#life.wakeAt = Infinity;
    switch (this.phase) {
      case "waiting":
        this.reconnects++;
        return this.#dial();
      case "connecting":
        return this.closed(failures.timeoutError(`${this.options.connectTimeout} ms`));
      case "connected":
        return this.reception.endEarly();
      case "closing":
        return this.#finish();
      case "renewing":
        return this.#leave();
      case "leaving":
      case "ending":
        return this.closed(undefined);
    }
  }
}
