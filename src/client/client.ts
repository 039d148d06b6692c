/** MqttClient: what the user calls. What becomes of it is the engine's. */
import type { QoS } from "../codec/types.js";
import { asyncDispose } from "../dispose.js";
import { CLIENT_EVENTS, Emitter, emitSafely } from "../emit.js";
import type { HubwireError } from "../errors.js";
import { SUBACK, UNSUBACK } from "../session/index.js";
import type {
  ClientEvents,
  ClientMetrics,
  ClientState,
  CloseOptions,
  ConnectCallOptions,
  PublishOptions,
  RenewOptions,
  SignalOptions,
  SubscribeOptions,
} from "./api.js";
import {
  checkMessage,
  closeOptions,
  connectOptions,
  publishOptions,
  renewOptions,
  subscribeArguments,
  unsubscribeArguments,
} from "./arguments.js";
import { type MessageHandler, MessageRoute } from "./deliveries.js";
import { Engine } from "./engine.js";
import { closedError, refusedError, stoppedError } from "./failures.js";
import { Mailbox } from "./mailbox.js";
import { type MqttClientOptions, resolveOptions } from "./options.js";
import { AskRequest, capture, publication } from "./requests.js";
import { Subscription } from "./subscription.js";

export type * from "./api.js";

/** ms for all attempts of a `connect()`. */
export const CONNECT = 30_000;
/** ms for what is in flight before a planned reconnect. */
const DRAIN = 5_000;

/**
 * For who builds on a client: what callers of its `publish` hear of an error. A promise for each message that does so
 * would take a fifth of what the message takes.
 */
export let explainPublishes: (client: MqttClient, explain: (error: HubwireError) => HubwireError) => void;

/**
 * Likewise: a client takes the place of another, and where that one had been accepted goes on for ever as it would have.
 * Returns whether it does.
 */
export let succeed: (client: MqttClient, other: MqttClient) => boolean;

/** Likewise: whether a subscription to that filter was asked for and has not ended, as by a refusal to restore it. */
export let isSubscribing: (client: MqttClient, topicFilter: string) => boolean;

/**
 * An MQTT 3.1.1 client. Every promise it returns settles once: with success, a HubwireError, or its own
 * deadline or signal. Errors that belong to no call are `error` events; without a listener they are process
 * warnings.
 */
export class MqttClient extends Emitter<ClientEvents> {
  static {
    explainPublishes = (client, explain) => void (client.#engine.desk.explain = explain);
    succeed = (client, other) => client.#engine.succeed(other.#engine);
    isSubscribing = (client, topicFilter) => client.#engine.session.routesToEnd(topicFilter)!.length > 0;
  }

  readonly #engine: Engine;
  #closing: Promise<void> | undefined;

  /**
   * Of options alone, or of a URL (`mqtts://user:password@host:port`, `wss://host/path`) with others beside it; nothing is
   * dialled before `connect()`.
   * @throws HubwireError ERR_INVALID_ARGUMENT for an option that is unknown, missing or out of its range.
   */
  constructor(options: MqttClientOptions);
  /** The same for a URL; `options` are what it does not say, and a thing said twice is ERR_INVALID_ARGUMENT. */
  constructor(url: string | URL, options?: MqttClientOptions);
  constructor(target: MqttClientOptions | string | URL, beside?: MqttClientOptions) {
    super("MqttClient", CLIENT_EVENTS, { message: "subscribe() with a handler" });
    this.#engine = new Engine(resolveOptions(target, beside), (event, ...values) => emitSafely(this, event, ...values));
  }

  /** In which phase of its life the client is. */
  get state(): ClientState {
    return this.#engine.phase;
  }

  /** Whether messages are sent at once; while a planned reconnect drains, they are queued. */
  get connected(): boolean {
    return this.#engine.phase === "connected";
  }

  /** Counters since the client was made; a copy. */
  get metrics(): ClientMetrics {
    const { session, flow, reception, connects, reconnects } = this.#engine;
    const { bytesReceived, bytesSent } = flow;
    const { count: undelivered, bytes: undeliveredBytes } = reception.deliveries;
    return { ...session.metrics, bytesReceived, bytesSent, connects, reconnects, undelivered, undeliveredBytes };
  }

  /**
   * Connects, trying again after failures that may pass, for `timeout` ms in all; then rejects with the last failure. A
   * failure that cannot pass (credentials, certificate, ...) rejects at once. When nobody waits any more, the attempts end
   * and what is queued is rejected, unless the client had been connected before and reconnects by itself.
   * @throws HubwireError (as a rejection) ERR_CONNECT_TIMEOUT, ERR_ABORTED, ERR_CLOSED, ERR_INVALID_ARGUMENT, and why the
   * last attempt failed.
   */
  async connect(options?: ConnectCallOptions): Promise<void> {
    const { signal, timeout = CONNECT } = connectOptions(options);
    if (this.#closing) throw closedError();
    return this.#engine.connect(signal, timeout);
  }

  /**
   * A planned reconnect, to use new credentials: sends no more, waits for acknowledgements at most
   * `drainTimeout` ms, disconnects, connects, goes on. What is published meanwhile is queued; nothing is
   * rejected. Messages that others send to a clean session in between are lost, as the standard has it. Rejects as
   * `connect` does, whose `timeout` begins after the drain.
   */
  async reconnect(options?: RenewOptions): Promise<void> {
    const { signal, timeout = CONNECT, drainTimeout = DRAIN } = renewOptions(options);
    if (this.#closing) throw closedError();
    const engine = this.#engine;
    const inAll = drainTimeout + timeout;
    return engine.phase === "connected" ? engine.renew(drainTimeout, signal, inAll) : engine.connect(signal, inAll);
  }

  /**
   * Resolves when the QoS flow is complete: QoS 0 handed over to the socket's buffer, QoS 1 PUBACK, QoS 2
   * PUBCOMP. The payload must not change before that. Without a connection the message waits in the offline
   * queue.
   * @throws HubwireError (as a rejection) ERR_INVALID_ARGUMENT, ERR_QUEUE_FULL, ERR_MESSAGE_EXPIRED,
   * ERR_TIMEOUT, ERR_ABORTED (in the queue: never sent; in flight: it may have arrived), ERR_CLOSED,
   * ERR_NOT_CONNECTED, ERR_CONNECTION_LOST (only with `reconnect: false`), ERR_SESSION_LOST, ERR_MESSAGE_REFUSED,
   * ERR_STORE.
   */
  publish(topic: string, payload: Uint8Array | string, options?: PublishOptions): Promise<void> {
    const { flow, desk } = this.#engine;
    try {
      checkMessage(topic, payload);
      const { qos = 0, retain = false, signal } = publishOptions(options);
      this.#checkUsable();
      const promise = qos ? new Promise<void>(capture) : undefined;
      const begun = desk.begin(publication(topic, payload, qos, retain), signal);
      flow.accepted(payload.length);
      if (flow.isPaused) flow.feel();
      return promise ?? begun!;
    } catch (error) {
      return Promise.reject(desk.explain(error as HubwireError));
    }
  }

  /**
   * Resolves when the server granted the subscription. Messages go to the handler, synchronously from the
   * socket; a QoS 1 or 2 message is acknowledged when the handler returned or its promise resolved. A handler
   * that fails, or takes longer than `handlerTimeout`, is reported with an `error` event (ERR_HANDLER); its message stays
   * unacknowledged in a persistent session and is acknowledged in a clean one, where the server would never send it again.
   * Handlers run side by side; when many are busy the client stops reading. Without a handler the
   * subscription is read with `for await`. Without a connection the request waits, as long as a message would; requests that
   * wait are bounded by `offlineQueue.maxBytes` (1 MiB at least).
   * @throws HubwireError (as a rejection) ERR_SUBSCRIBE_REFUSED, ERR_TIMEOUT, ERR_ABORTED, ERR_CLOSED, ERR_QUEUE_FULL,
   * ERR_INVALID_ARGUMENT and, once the client gave up, why.
   */
  async subscribe(topicFilter: string, options?: SubscribeOptions, handler?: MessageHandler): Promise<Subscription> {
    const { qos = 0, signal } = subscribeArguments(topicFilter, options, handler);
    const mailbox = handler ? undefined : new Mailbox();
    const route = new MessageRoute(topicFilter, qos, handler, mailbox);
    const [code = 0x80] = await this.#ask<readonly number[]>(SUBACK, topicFilter, qos, [route], signal);
    if (code > 2) throw refusedError(topicFilter);
    return new Subscription(topicFilter, code as QoS, mailbox, () => this.#unsubscribe(topicFilter, route, undefined));
  }

  /**
   * Ends all subscriptions with this filter that there are now. Resolves with UNSUBACK; iteration ends after the messages
   * that wait. Without a connection the request waits, as long as a message would.
   * @throws HubwireError (as a rejection) ERR_TIMEOUT (the subscriptions have ended here all the same), ERR_ABORTED,
   * ERR_CLOSED, ERR_QUEUE_FULL, ERR_SUBSCRIBE_REFUSED (the subscriptions stay), ERR_INVALID_ARGUMENT.
   */
  async unsubscribe(topicFilter: string, options?: SignalOptions): Promise<void> {
    const { signal } = unsubscribeArguments(topicFilter, options);
    return this.#unsubscribe(topicFilter, undefined, signal);
  }

  /** `only`: that one subscription; the server hears of it when no other has the filter. Not async: many may end at once. */
  #unsubscribe(topicFilter: string, only: MessageRoute | undefined, signal?: AbortSignal): Promise<void> {
    if (only?.state === "ended") return Promise.resolve();
    const { session } = this.#engine;
    try {
      const routes = session.routesToEnd(topicFilter, only);
      if (routes) return this.#ask<void>(UNSUBACK, topicFilter, 0, routes, signal);
      this.#checkUsable();
      session.endRoute(only!);
      only!.mailbox?.end();
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Throws what refuses the request, which is none then. */
  #ask<T>(
    awaits: typeof SUBACK | typeof UNSUBACK,
    topicFilter: string,
    qos: QoS,
    routes: readonly MessageRoute[],
    signal: AbortSignal | undefined,
  ): Promise<T> {
    this.#checkUsable();
    const engine = this.#engine;
    const promise = new Promise<T>(capture);
    const request = new AskRequest(awaits, topicFilter, qos, routes);
    void engine.desk.begin(request, signal);
    if (awaits === SUBACK) engine.reception.subscribed((topic) => engine.session.match(topic));
    else for (const { mailbox } of routes) mailbox?.ending();
    engine.flow.feel();
    return promise;
  }

  /**
   * Waits for what is in flight or queued (only while connected, at most `operationTimeout`), sends
   * DISCONNECT and closes; what is still pending is rejected with ERR_CLOSED. Never rejects but for ERR_INVALID_ARGUMENT;
   * the client cannot be used again.
   */
  async close(options?: CloseOptions): Promise<void> {
    const { force = false } = closeOptions(options);
    const isFirst = !this.#closing;
    let close = (): void => {};
    if (isFirst) this.#closing = new Promise((resolve) => (close = resolve));
    if (isFirst || force) this.#engine.close(force, close);
    return this.#closing;
  }

  /** As `close()`, for `await using`. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Throws where nothing can be asked for: closed, or given up. */
  #checkUsable(): void {
    if (this.#closing) throw closedError();
    if (this.#engine.phase === "stopped") throw stoppedError();
  }
}
