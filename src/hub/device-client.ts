/**
 * DeviceClient: a device or module of IoT Hub.
 *
 * Invariants: everything sent obeys the hub's rules, so that the hub has no reason to close the connection; every
 * call settles once; what belongs to no call is an `error` event, or a process warning where nobody listens. The
 * connection itself, retries and the offline queue are MqttClient's.
 */
import { EventEmitter } from "node:events";
import type { Message } from "../session/types.js";
import { asyncDispose, type CloseOptions, MqttClient, type SignalOptions } from "../client/client.js";
import { setAlarm, systemClock } from "../clock.js";
import type { MqttClientOptions } from "../client/options.js";
import { emitSafely } from "../emit.js";
import { HubwireError } from "../errors.js";
import { CredentialSource, type DeviceOptions, divideOptions, resolveIdentity } from "./credentials.js";
import { edgeIdentity } from "./edge.js";
import { type Activity, explainError, isRefusal } from "./explain.js";
import { type HubMessage, hubMessage, Inbox, type MessageHandler } from "./inbox.js";
import { HUB_LIMITS } from "../wire/limits.js";
import { abortable } from "../abort.js";
import { asHubwireError, type Link } from "./link.js";
import { type MethodHandler, type MethodOptions, Methods } from "./methods.js";
import { encodeTelemetry, type TelemetryBody, type TelemetryOptions } from "./telemetry.js";
import { cloudToDeviceTopic, inputsFilter, parseInbound } from "../wire/topics.js";
import { type DesiredHandler, type Twin, TwinClient } from "./twin.js";

/**
 * How to connect, and what of the identity a connection string does not say; durations in ms. What the hub prescribes
 * (client id, user name, password) cannot be set here.
 */
export interface DeviceClientOptions
  extends
    Omit<MqttClientOptions, "clientId" | "username" | "password" | "credentials" | "will">,
    Omit<DeviceOptions, "hostName" | "deviceId"> {
  /** Dialled in place of the hub or gateway, e.g. a tunnel; the certificate must still be for their name. */
  host?: string | undefined;
  /** Telemetry that the hub takes in this device's place when the connection ends without `close()`. */
  will?: (TelemetryOptions & { payload: TelemetryBody }) | undefined;
  /**
   * Asked when the hub refuses the identity, e.g. because the device was moved: returns the new one, as
   * `provisionDevice` finds it. What was queued for the old hub is rejected.
   */
  reprovision?: ((error: HubwireError) => string | DeviceOptions | Promise<string | DeviceOptions>) | undefined;
}

/** One message of a batch. */
export interface TelemetryMessage extends TelemetryOptions {
  body: TelemetryBody;
}

export interface DeviceEvents {
  connect: [{ sessionPresent: boolean }];
  /** undefined: as planned, by `close()` or a renewal. */
  disconnect: [error: HubwireError | undefined];
  reconnecting: [{ attempt: number; delay: number; error: HubwireError }];
  error: [error: HubwireError];
}

/** Messages of a batch that wait for their acknowledgement at a time. */
const BATCH_WINDOW = 1_000;
/** ms to wait before a renewal that failed is tried again. */
const RENEWAL_RETRY = 5_000;
/** ms for handlers, and then for acknowledgements, before a planned reconnect. */
const DRAIN = 5_000;

/** Stands for the filter of cloud-to-device messages or inputs, which changes with the identity. */
const MESSAGES = "";

/** A device or module of IoT Hub. */
export class DeviceClient extends EventEmitter<DeviceEvents> {
  readonly #options: DeviceClientOptions;
  readonly #link: Link;
  readonly #twin: TwinClient;
  readonly #methods: Methods;
  readonly #inbox: Inbox;
  /** What is to be subscribed to; SUBACK's promise where it was asked for. */
  readonly #subscriptions = new Map<string, { qos: 0 | 1; granted: Promise<unknown> | undefined }>();
  /** One error of the connection is seen by many calls: each sees the same explanation. */
  readonly #explained = new WeakMap<object, HubwireError>();
  readonly #started: Promise<void>;
  #start!: () => void;
  #identity!: DeviceOptions;
  #mqtt!: MqttClient;
  #source!: CredentialSource;
  #closed = false;
  /** Why nothing can be asked of the hub: closed, or given up until the next `connect()`. */
  #unusable: HubwireError | undefined;
  #cancelRenewal: () => void = () => {};
  #moving: Promise<void> | undefined;
  // What was just done, for the error that a close without a reason needs.
  #acceptedAt: number | undefined;
  #shortLived = 0;
  #largest = 0;
  #largestAt = -Infinity;
  #sent = 0;
  #second = 0;

  /**
   * Throws ERR_CONNECTION_STRING or ERR_INVALID_ARGUMENT for what cannot work; nothing is dialled before `connect()`.
   * `options.port` is 8883 where left out; `options.tls.ca` is for a private hub. The session is kept by the hub
   * (`cleanSession` false) unless told otherwise.
   */
  constructor(identity: string | DeviceOptions, options: DeviceClientOptions = {}) {
    super();
    // What the new identity of a `reprovision` is to be combined with.
    this.#options = { ...divideOptions(identity, options)[1], ...options };
    this.#started = new Promise((resolve) => (this.#start = resolve));
    const clock = options.clock ?? systemClock;
    this.#link = {
      clock,
      timeout: options.operationTimeout ?? 30_000,
      connected: () => this.#mqtt.connected,
      publish: (topic, payload) => this.#mqtt.publish(topic, payload),
      subscribe: (topicFilter, qos) => this.#subscribe(topicFilter, qos),
      report: (error) => this.#report(error),
      busy: new Set(),
    };
    this.#twin = new TwinClient(this.#link);
    this.#methods = new Methods(this.#link);
    this.#inbox = new Inbox(this.#link);
    this.#become(identity);
  }

  /** A module of IoT Edge, by the environment that its runtime gives it (`IOTEDGE_…`, or `EdgeHubConnectionString`). */
  static fromEdgeEnvironment(
    options: DeviceClientOptions = {},
    environment: Record<string, string | undefined> = process.env,
  ): DeviceClient {
    const { clock = systemClock, tokenLifetime } = options;
    return new DeviceClient(edgeIdentity(environment, clock, tokenLifetime), options);
  }

  get deviceId(): string {
    return this.#identity.deviceId;
  }

  get moduleId(): string | undefined {
    return this.#identity.moduleId;
  }

  /** The hub that the device belongs to. */
  get hostName(): string {
    return this.#identity.hostName;
  }

  get connected(): boolean {
    return this.#mqtt.connected;
  }

  /** As MqttClient's. */
  get metrics(): MqttClient["metrics"] {
    return this.#mqtt.metrics;
  }

  /** Resolves when the hub accepted the device. Rejects as `MqttClient.connect` does. */
  async connect({ signal }: SignalOptions = {}): Promise<void> {
    try {
      await this.#connectNow(signal);
    } catch (error) {
      await abortable(signal, this.#moveOrThrow(error));
    }
  }

  /**
   * Resolves with the hub's acknowledgement (QoS 0: when written). A string and bytes are sent as they are, anything
   * else as JSON, then with content type `application/json` and encoding `utf-8` unless given.
   * Rejects with ERR_LIMIT over 256 KiB, counted as the hub counts, and as `MqttClient.publish` does.
   */
  async sendTelemetry(body: TelemetryBody, options: TelemetryOptions = {}): Promise<void> {
    const { topic, payload, size, qos } = encodeTelemetry(this.#identity, body, options);
    this.#note(size);
    const { retain = false, signal } = options;
    try {
      await this.#mqtt.publish(topic, payload, { qos, retain, signal });
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** As `sendTelemetry`, to a named output of a module. */
  sendToOutput(outputName: string, body: TelemetryBody, options: TelemetryOptions = {}): Promise<void> {
    return this.sendTelemetry(body, { ...options, outputName });
  }

  /** Sends many, in order, without waiting in between. Each message's own outcome is in the result. */
  async sendTelemetryBatch(messages: Iterable<TelemetryMessage>): Promise<PromiseSettledResult<void>[]> {
    const outcomes: PromiseSettledResult<void>[] = [];
    const iterator = messages[Symbol.iterator]();
    let count = 0;
    const worker = async (): Promise<void> => {
      for (let item = iterator.next(); !item.done; item = iterator.next()) {
        const index = count++;
        const { body, ...options } = item.value;
        try {
          outcomes[index] = { status: "fulfilled", value: await this.sendTelemetry(body, options) };
        } catch (reason) {
          outcomes[index] = { status: "rejected", reason };
        }
      }
    };
    await Promise.all(Array.from({ length: BATCH_WINDOW }, worker));
    return outcomes;
  }

  /**
   * Cloud-to-device messages, or for a module the messages to all inputs without a handler of their own. With a
   * handler: resolves when the hub granted the subscription, and each message is completed when the handler's promise
   * has resolved. Without: iterate over the result; a message is completed when the next is asked for.
   */
  messages(handler: MessageHandler): Promise<void>;
  messages(): AsyncIterableIterator<HubMessage>;
  messages(handler?: MessageHandler): Promise<void> | AsyncIterableIterator<HubMessage> {
    const granted = this.#listen();
    if (!handler) return this.#inbox.iterate();
    this.#inbox.on("*", handler);
    return granted;
  }

  /** Messages to one input of a module; `*` is every input without a handler of its own. */
  onInput(inputName: string, handler: MessageHandler): Promise<void> {
    this.#inbox.on(inputName, handler);
    return this.#listen();
  }

  /**
   * Answers a direct method; `*` is every method without a handler of its own. Resolves when the hub granted the
   * subscription; a failure is an `error` event as well, so that the promise may be ignored.
   */
  onMethod(name: string, handler: MethodHandler, options: MethodOptions = {}): Promise<void> {
    return this.#methods.on(name, handler, options);
  }

  /** Reads the twin. Rejects with ERR_HUB_STATUS, ERR_THROTTLED, ERR_TIMEOUT, ERR_ABORTED or ERR_CLOSED. */
  getTwin({ signal }: SignalOptions = {}): Promise<Twin> {
    return this.#twin.get(signal);
  }

  /**
   * Changes the reported properties; null deletes one. Resolves to their new version. Rejects as `getTwin` does, and
   * with ERR_LIMIT or ERR_INVALID_ARGUMENT for what the hub would refuse.
   */
  updateReportedProperties(patch: object, { signal }: SignalOptions = {}): Promise<{ version: number | undefined }> {
    return this.#twin.update(patch, signal);
  }

  /**
   * Called with each change of the desired properties from now on, in order. What changed without a connection is one
   * call after the reconnect. Only the last handler is called. Resolves as `onMethod` does.
   */
  onDesiredProperties(handler: DesiredHandler): Promise<void> {
    const granted = this.#twin.onDesired(handler);
    // A failure was reported already.
    granted.catch(() => {});
    return granted;
  }

  /** Ends everything after what is in flight, in `operationTimeout` at most; `force`: at once. Never rejects. */
  async close(options: CloseOptions = {}): Promise<void> {
    this.#closed = true;
    this.#cancelRenewal();
    this.#start();
    const closed = this.#mqtt.close(options);
    this.#stop((this.#unusable = new HubwireError("ERR_CLOSED", "the client is closed")));
    this.#inbox.close();
    await closed;
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  // --- identity and connection ---

  /** Makes the MQTT client of an identity. */
  #become(given: string | DeviceOptions): void {
    const [divided, { will, reprovision: _, ...options }] = divideOptions(given, this.#options);
    const identity = resolveIdentity(divided, options.tls);
    const { hostName, gatewayHostName, deviceId, moduleId } = identity;
    if (options.keepAlive !== undefined && options.keepAlive > HUB_LIMITS.keepAlive) {
      const message = `keepAlive is at most ${HUB_LIMITS.keepAlive} s: the hub drops a silent connection after 1,767 s`;
      throw new HubwireError("ERR_INVALID_ARGUMENT", message);
    }
    const clientId = moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`;
    const { clock } = this.#link;
    const server = gatewayHostName ?? hostName;
    const { host = server } = options;
    const tls = host === server ? options.tls : { ...options.tls, servername: options.tls?.servername ?? server };
    const source = new CredentialSource(identity, clientId, tls, clock, options.random ?? Math.random);
    const lastWords = will && encodeTelemetry(identity, will.payload, will);
    const mqtt = new MqttClient({
      cleanSession: false,
      ...options,
      host,
      clientId,
      will: lastWords && { ...lastWords, retain: will.retain },
      credentials: () => source.next(),
    });
    this.#identity = identity;
    this.#source = source;
    this.#mqtt = mqtt;
    const heard =
      <T extends unknown[]>(listener: (...values: T) => void) =>
      (...values: T) => {
        if (mqtt === this.#mqtt) listener(...values);
      };
    mqtt.on(
      "connect",
      heard((event) => this.#connected(event)),
    );
    mqtt.on(
      "disconnect",
      heard((error) => this.#disconnected(error)),
    );
    mqtt.on(
      "reconnecting",
      heard((event) => this.#emit("reconnecting", { ...event, error: this.#explain(event.error) })),
    );
    mqtt.on(
      "error",
      heard((error) => this.#failed(error)),
    );
  }

  #connectNow(signal?: AbortSignal): Promise<void> {
    const connecting = this.#mqtt.connect({ signal });
    if (!this.#closed) this.#unusable = undefined;
    this.#start();
    // Asked for before CONNACK, so that what the hub held back finds its handler.
    for (const topicFilter of this.#subscriptions.keys()) this.#ask(topicFilter).catch(() => {});
    return connecting;
  }

  #connected(event: { sessionPresent: boolean }): void {
    this.#acceptedAt = this.#link.clock.now();
    this.#source.accepted();
    this.#scheduleRenewal(this.#source.renewAt - this.#acceptedAt);
    this.#twin.connected();
    this.#emit("connect", event);
  }

  #disconnected(error: HubwireError | undefined): void {
    this.#cancelRenewal();
    this.#inbox.forget();
    this.#shortLived = error && this.#upTime < 60_000 ? this.#shortLived + 1 : 0;
    const explained = error && this.#explain(error);
    this.#acceptedAt = undefined;
    // Nothing will be sent again.
    if (explained && (this.#options.reconnect === false || !explained.retryable)) this.#stop(explained);
    this.#emit("disconnect", explained);
  }

  /** There will be no answer to what was asked. */
  #stop(error: HubwireError): void {
    this.#unusable ??= new HubwireError("ERR_NOT_CONNECTED", "not connected: call connect()", { cause: error });
    this.#twin.close(error);
  }

  #failed(error: HubwireError): void {
    this.#moveOrThrow(error).catch((failure: HubwireError) => {
      if (isRefusal(failure)) this.#stop(failure);
      this.#report(failure);
    });
  }

  /** Resolves when a refused identity was replaced; rejects with any other error, explained. */
  async #moveOrThrow(error: unknown): Promise<void> {
    const explained = this.#explain(error);
    if (!isRefusal(explained) || !this.#options.reprovision || this.#closed) throw explained;
    await this.#move(explained);
  }

  /** Takes on the identity that `reprovision` finds, and connects with it. */
  #move(error: HubwireError): Promise<void> {
    return (this.#moving ??= (async () => {
      try {
        const identity = await this.#options.reprovision?.(error);
        if (this.#closed || identity === undefined) throw error;
        const old = this.#mqtt;
        this.#become(identity);
        void old.close({ force: true });
        for (const wanted of this.#subscriptions.values()) wanted.granted = undefined;
        await this.#connectNow();
      } catch (failure) {
        throw this.#explain(asHubwireError(failure, "the reprovision callback failed"));
      } finally {
        this.#moving = undefined;
      }
    })());
  }

  // --- renewal ---

  #scheduleRenewal(delay: number): void {
    this.#cancelRenewal();
    if (delay < Infinity) this.#cancelRenewal = setAlarm(this.#link.clock, delay, () => void this.#renew());
  }

  /**
   * The new credentials come first: while they cannot be made, the old connection still serves. Then handlers may
   * finish, because what they answer or complete belongs to this connection.
   */
  async #renew(): Promise<void> {
    const mqtt = this.#mqtt;
    const { clock, busy } = this.#link;
    const { expiresAt } = this.#source;
    try {
      await this.#source.prepare();
    } catch (error) {
      this.#report(asHubwireError(error, "the SAS token could not be renewed"));
      if (mqtt === this.#mqtt && mqtt.connected) this.#scheduleRenewal(RENEWAL_RETRY);
      return;
    }
    // All of it before the old token expires.
    const patience = Math.min(DRAIN, Math.max(0, expiresAt - clock.now()) / 3);
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => (cancel = setAlarm(clock, patience, resolve)));
    await Promise.race([late, Promise.allSettled(busy)]);
    cancel();
    if (this.#closed || mqtt !== this.#mqtt || !mqtt.connected) return;
    // A failure is followed by attempts of the client's own, which report what they meet.
    await mqtt.reconnect({ drainTimeout: patience }).catch(() => {});
  }

  // --- subscriptions and what arrives ---

  #listen(): Promise<void> {
    return this.#subscribe(MESSAGES, 1);
  }

  get #messagesFilter(): string {
    const { deviceId, moduleId } = this.#identity;
    return moduleId === undefined ? cloudToDeviceTopic(deviceId, "#") : inputsFilter(deviceId, moduleId);
  }

  /** Before `connect()` the wish is kept: how long the program takes until then must not count. */
  #subscribe(topicFilter: string, qos: 0 | 1): Promise<void> {
    if (!this.#subscriptions.has(topicFilter)) this.#subscriptions.set(topicFilter, { qos, granted: undefined });
    const granted = this.#started.then(() => this.#ask(topicFilter));
    // The caller may ignore the promise: what is wrong is an `error` event as well.
    granted.catch(() => {});
    return granted;
  }

  async #ask(topicFilter: string): Promise<void> {
    if (this.#unusable) throw this.#unusable;
    const wanted = this.#subscriptions.get(topicFilter) as { qos: 0 | 1; granted: Promise<unknown> | undefined };
    wanted.granted ??= this.#mqtt.subscribe(topicFilter || this.#messagesFilter, { qos: wanted.qos }, this.#receive);
    const { granted } = wanted;
    try {
      await granted;
    } catch (error) {
      const ours = wanted.granted === granted;
      if (ours) wanted.granted = undefined;
      // Of other failures, the connection's own end tells.
      if (ours && /REFUSED|TIMEOUT/.test((error as HubwireError).code)) this.#report(error as HubwireError);
      await this.#moveOrThrow(error);
      return this.#ask(topicFilter);
    }
  }

  readonly #receive = (message: Message): void | Promise<void> => {
    const topic = parseInbound(message.topic);
    switch (topic?.kind) {
      case "cloud-to-device":
        return this.#inbox.deliver("*", hubMessage(message, topic.bag));
      case "input":
        return this.#inbox.deliver(topic.inputName, hubMessage(message, topic.bag, topic.inputName));
      case "method":
        return this.#methods.called(topic.methodName, topic.requestId, message.payload);
      case "twin-response":
        return this.#twin.answered(topic.requestId, topic.status, topic.version, message.payload);
      case "desired":
        return this.#twin.changed(topic.version, message.payload);
    }
  };

  // --- errors ---

  #note(size: number): void {
    const now = this.#link.clock.now();
    if (now - this.#second >= 1_000) {
      this.#second = now;
      this.#sent = 0;
    }
    this.#sent++;
    if (size >= this.#largest || now - this.#largestAt > 10_000) {
      this.#largest = size;
      this.#largestAt = now;
    }
  }

  get #activity(): Activity {
    const now = this.#link.clock.now();
    return {
      accepted: this.#acceptedAt !== undefined,
      upTime: this.#upTime,
      tokenLeft: this.#source.expiresAt - now,
      largest: now - this.#largestAt <= 10_000 ? this.#largest : 0,
      rate: now - this.#second < 2_000 ? this.#sent : 0,
      shortLived: this.#shortLived,
    };
  }

  /** ms since CONNACK. */
  get #upTime(): number {
    return this.#link.clock.now() - (this.#acceptedAt ?? Infinity);
  }

  #explain(error: unknown): HubwireError {
    const plain = asHubwireError(error, "failed");
    let explained = this.#explained.get(plain);
    if (!explained) {
      const { deviceId, moduleId } = this.#identity;
      const name = moduleId === undefined ? `device ${deviceId}` : `module ${deviceId}/${moduleId}`;
      explained = explainError(plain, this.#activity, name);
      this.#explained.set(plain, explained);
      this.#explained.set(explained, explained);
    }
    return explained;
  }

  #report(error: HubwireError): void {
    if (!this.#closed) this.#emit("error", error);
  }

  #emit<E extends keyof DeviceEvents>(event: E, ...values: DeviceEvents[E]): void {
    emitSafely(this, event, ...values);
  }
}
