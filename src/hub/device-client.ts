/**
 * DeviceClient: a device or module of IoT Hub.
 *
 * Invariants: everything sent obeys the hub's rules, so that the hub has no reason to close the connection; every
 * call settles once, also before `connect()`; what belongs to no call is an `error` event, or a process warning where
 * nobody listens. The connection, retries and the offline queue are MqttClient's; the identity, its renewal and its
 * replacement are HubConnection's; here the parts meet and arguments are checked.
 */
import { checkOptions, checkValue, invalid, readOptions, type Rules } from "../check.js";
import { type CloseOptions, CONNECT, type MqttClient, type SignalOptions } from "../client/client.js";
import { closedError } from "../client/failures.js";
import { asyncDispose } from "../dispose.js";
import { type Clock, systemClock } from "../clock.js";
import { CLIENT_EVENTS, Emitter, emitSafely } from "../emit.js";
import { HubwireError } from "../errors.js";
import { abortable, throwIfAborted } from "../abort.js";
import type { Message } from "../session/types.js";
import { cloudToDeviceTopic, DESIRED_FILTER, inputsFilter, METHODS_FILTER, parseInbound } from "../wire/topics.js";
import type { HubAccess } from "./access.js";
import { ActivityNotes } from "./activity.js";
import { Busy } from "./busy.js";
import { type ConnectOptions, HubConnection } from "./connection.js";
import { type DeviceOptions, divideOptions } from "./credentials.js";
import { edgeIdentity } from "./edge.js";
import { type HubMessage, hubMessage, Inbox, type MessageHandler } from "./inbox.js";
import { type MethodHandler, type MethodOptions, Methods } from "./methods.js";
import type { DeviceClientOptions, DeviceEvents } from "./options.js";
import { Subscriptions } from "./subscriptions.js";
import { sendBatch, type TelemetryMessage } from "./batch.js";
import { encodeTelemetry, type TelemetryBody, type TelemetryOptions } from "./telemetry.js";
import { type DesiredHandler, type ReportedUpdate, type Twin, TwinClient } from "./twin.js";

/** What is meant by names that other clients have. */
const MEANT: Record<string, string> = {
  message: "messages(handler)",
  inputMessage: "onInput(name, handler)",
  method: "onMethod(name, handler)",
};
/** How most telemetry is published; made once, because there is much of it. */
const USUAL = { qos: 1 } as const;
const SIGNAL: Rules = { signal: "object" };
const CONNECT_RULES: Rules = { signal: "object", timeout: [0, Infinity] };
const CLOSE: Rules = { force: "boolean" };

/** A device or module of IoT Hub. */
export class DeviceClient extends Emitter<DeviceEvents> {
  readonly #connection: HubConnection;
  readonly #activity: ActivityNotes;
  readonly #subscriptions: Subscriptions;
  readonly #twin: TwinClient;
  readonly #methods: Methods;
  readonly #inbox: Inbox;
  readonly #busy = new Busy();
  readonly #clock: Clock;
  #closed = false;

  /**
   * Throws ERR_CONNECTION_STRING or ERR_INVALID_ARGUMENT for what cannot work; nothing is dialled before `connect()`.
   * `options.port` is 8883 where left out; `options.tls.ca` is for a private hub. The session is kept by the hub
   * (`cleanSession` false) unless told otherwise.
   */
  constructor(identity: string | DeviceOptions, options?: DeviceClientOptions) {
    super("DeviceClient", CLIENT_EVENTS, MEANT);
    const own = readOptions(options, "DeviceClient");
    // What the new identity of a `reprovision` is to be combined with.
    const all: DeviceClientOptions = { ...divideOptions(identity, own)[1], ...own };
    const { clock = systemClock, random = Math.random, operationTimeout: timeout = 30_000, maxMethodCalls } = all;
    const { handlerTimeout = 300_000 } = all;
    if (maxMethodCalls !== undefined) checkValue(maxMethodCalls, [1, 1e9], "option maxMethodCalls of DeviceClient");
    if (all.reprovision !== undefined) {
      checkValue(all.reprovision, "function", "option reprovision of DeviceClient");
      if (typeof all.store === "object") {
        throw invalid("store must be a function beside reprovision: (identity) => a store for that identity alone");
      }
    }
    const busy = this.#busy;
    this.#clock = clock;
    this.#activity = new ActivityNotes(clock);
    this.#connection = new HubConnection(
      {
        clock,
        busy,
        activity: this.#activity,
        handlerTimeout,
        connected: (event) => {
          this.#twin.connected();
          // Whatever was refused or not answered before: the handlers are there.
          this.#subscriptions.all().catch(() => {});
          this.#emit("connect", event);
        },
        disconnected: (error) => {
          this.#twin.lost();
          this.#methods.lost();
          this.#inbox.forget();
          this.#emit("disconnect", error);
        },
        reconnecting: (event) => this.#emit("reconnecting", event),
        moved: () => this.#moved(),
        stopped: (error) => this.#stop(error),
        failed: (error) => this.#report(error),
        received: (message) => this.#receive(message),
      },
      identity,
      own,
    );
    this.#subscriptions = new Subscriptions({
      filters: () => this.#filters,
      subscribe: (topicFilter) => this.#connection.subscribe(topicFilter, topicFilter.startsWith("$iothub/") ? 0 : 1),
      isSubscribing: (topicFilter) => this.#connection.isSubscribing(topicFilter),
      recover: (error) => this.#connection.recover(error),
      report: (error) => this.#report(error),
    });
    const hub: HubAccess = {
      clock,
      random,
      timeout,
      handlerTimeout,
      busy,
      connected: () => this.connected,
      publish: (topic, payload) => this.#connection.mqtt.publish(topic, payload),
      subscribed: async (topicFilter) => {
        await this.#connection.running();
        await this.#subscriptions.granted(topicFilter);
      },
      report: (error) => this.#report(error),
    };
    this.#twin = new TwinClient(hub);
    this.#methods = new Methods(hub, maxMethodCalls ?? 1_000);
    this.#inbox = new Inbox(hub);
    // Who waits for an event that does not exist waits for ever.
  }

  /** A module of IoT Edge, by the environment that its runtime gives it (`IOTEDGE_…`, or `EdgeHubConnectionString`). */
  static fromEdgeEnvironment(
    options?: DeviceClientOptions,
    environment: Record<string, string | undefined> = process.env,
  ): DeviceClient {
    const { clock = systemClock, tokenLifetime } = readOptions(options, "DeviceClient");
    return new DeviceClient(edgeIdentity(readOptions(environment, "the environment"), clock, tokenLifetime), options);
  }

  /** Of the identity that the device has now. */
  get deviceId(): string {
    return this.#connection.identity.deviceId;
  }

  /** undefined for a device. */
  get moduleId(): string | undefined {
    return this.#connection.identity.moduleId;
  }

  /** The hub that the device belongs to. */
  get hostName(): string {
    return this.#connection.identity.hostName;
  }

  /** Whether what is sent leaves at once. */
  get connected(): boolean {
    return this.#connection.mqtt.connected;
  }

  /** As MqttClient's. */
  get metrics(): MqttClient["metrics"] {
    return this.#connection.mqtt.metrics;
  }

  /**
   * Resolves when the hub accepted the device and granted what the handlers there are need. Rejects as
   * `MqttClient.connect` does, and with ERR_SUBSCRIBE_REFUSED or ERR_TIMEOUT; then the connection stays, for what does not
   * need the subscription.
   */
  async connect(options?: ConnectOptions): Promise<void> {
    const checked = checkOptions(options, CONNECT_RULES, "connect");
    const { signal, timeout = CONNECT } = checked;
    throwIfAborted(signal);
    const deadline = this.#clock.now() + timeout;
    const connecting = this.#connection.connect(checked);
    // Asked for before CONNACK, so that what the hub held back finds its handler.
    const subscribed = this.#connection.isRunning ? this.#subscriptions.all() : undefined;
    subscribed?.catch(() => {});
    await abortable(signal, connecting);
    const left = deadline - this.#clock.now();
    const late = (): HubwireError =>
      new HubwireError("ERR_TIMEOUT", "the hub has not granted the subscriptions in time");
    await abortable(signal, this.#busy.within(this.#clock, left, subscribed ?? this.#subscriptions.all(), late));
  }

  /**
   * Resolves with the hub's acknowledgement (QoS 0: when written). A string and bytes are sent as they are, anything
   * else as JSON, then with content type `application/json` and encoding `utf-8` unless given.
   * Rejects with ERR_LIMIT over 256 KiB, counted as the hub counts, ERR_INVALID_ARGUMENT, and as `MqttClient.publish`
   * does.
   */
  sendTelemetry(body: TelemetryBody, options?: TelemetryOptions): Promise<void> {
    return this.#send(body, options, undefined);
  }

  /** As `sendTelemetry`, to a named output of a module. */
  async sendToOutput(outputName: string, body: TelemetryBody, options?: TelemetryOptions): Promise<void> {
    checkValue(outputName, "string", "the output's name");
    return this.#send(body, options, outputName);
  }

  /**
   * Sends many, in order, without waiting in between; a thousand wait for their acknowledgement at a time. Each
   * message's own outcome is in the result. Rejects with ERR_INVALID_ARGUMENT where `messages` cannot be iterated.
   */
  sendTelemetryBatch(messages: Iterable<TelemetryMessage>): Promise<PromiseSettledResult<void>[]> {
    return sendBatch(messages, (body, options) => this.#send(body, options, undefined));
  }

  /**
   * Cloud-to-device messages, or for a module the messages to all inputs without a handler of their own. With a
   * handler: resolves when the hub granted the subscription (before `connect()`: at once), and each message is completed
   * when the handler's promise has resolved; there is one handler, and a second is ERR_INVALID_ARGUMENT. Without:
   * iterate over the result; a message is completed when the next is asked for or the loop is left. Iteration ends with
   * `close()`, and with an error when the client has given up.
   */
  messages(handler: MessageHandler): Promise<void>;
  messages(): AsyncIterableIterator<HubMessage>;
  messages(handler?: MessageHandler): Promise<void> | AsyncIterableIterator<HubMessage> {
    if (handler !== undefined) {
      return this.#listen(this.#messagesFilter, () => {
        checkValue(handler, "function", "the handler of messages()");
        this.#inbox.onAll(handler);
      });
    }
    const messages = this.#inbox.iterate();
    // What goes wrong is an `error` event.
    this.#listen(this.#messagesFilter, () => {}).catch(() => {});
    return messages;
  }

  /**
   * Messages to one input of a module; `*` is every input without a handler of its own. A later handler of an input
   * takes the place of an earlier one. Resolves as `messages` does.
   */
  onInput(inputName: string, handler: MessageHandler): Promise<void> {
    return this.#listen(this.#messagesFilter, () => {
      checkValue(inputName, "string", "the input's name");
      checkValue(handler, "function", "the input's handler");
      this.#inbox.on(inputName, handler);
    });
  }

  /**
   * Answers a direct method; `*` is every method without a handler of its own. A later handler of a name takes the place
   * of an earlier one. Resolves when the hub granted the subscription (before `connect()`: at once, and `connect()`
   * tells); a failure is an `error` event as well, so that the promise may be ignored.
   */
  onMethod(name: string, handler: MethodHandler, options?: MethodOptions): Promise<void> {
    return this.#listen(METHODS_FILTER, () => this.#methods.on(name, handler, options));
  }

  /**
   * Reads the twin; before `connect()`, once there is a connection. Rejects with ERR_HUB_STATUS, ERR_THROTTLED,
   * ERR_TIMEOUT, ERR_ABORTED, ERR_NOT_CONNECTED or ERR_CLOSED.
   */
  async getTwin(options?: SignalOptions): Promise<Twin> {
    return this.#twin.get(checkOptions(options, SIGNAL, "getTwin").signal);
  }

  /**
   * Changes the reported properties; null deletes one. Resolves to their new version. Rejects as `getTwin` does, and
   * with ERR_LIMIT or ERR_INVALID_ARGUMENT for what the hub would refuse.
   */
  async updateReportedProperties(patch: object, options?: SignalOptions): Promise<ReportedUpdate> {
    return this.#twin.update(patch, checkOptions(options, SIGNAL, "updateReportedProperties").signal);
  }

  /**
   * Called with the changes of the desired properties, in order. What it is told, merged over what `getTwin` returned
   * before, is the hub's document: where the twin was not read, the first call tells all that there is, and what
   * changed without a connection, or went missing, is made up for in one call. A later handler takes the place of an
   * earlier one, and hears what changes from then on. Resolves as `onMethod` does.
   */
  onDesiredProperties(handler: DesiredHandler): Promise<void> {
    return this.#listen(DESIRED_FILTER, () => {
      checkValue(handler, "function", "the handler of desired properties");
      this.#twin.onDesired(handler);
    });
  }

  /** Ends everything after what is in flight, in `operationTimeout` at most; `force`: at once. Never fails otherwise. */
  async close(options?: CloseOptions): Promise<void> {
    const checked = checkOptions(options, CLOSE, "close");
    this.#closed = true;
    const closed = this.#connection.close(checked);
    this.#twin.close(closedError());
    this.#inbox.close();
    this.#busy.end();
    await closed;
  }

  /** `close()`, for `await using`. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  #send(body: TelemetryBody, options: TelemetryOptions | undefined, outputName: string | undefined): Promise<void> {
    try {
      const { mqtt, telemetryTopic } = this.#connection;
      const { topic, payload, size, qos, retain, signal } = encodeTelemetry(telemetryTopic, body, options, outputName);
      this.#activity.sending(size);
      const how = signal !== undefined ? { qos, retain, signal } : qos === 1 && !retain ? USUAL : { qos, retain };
      return mqtt.publish(topic, payload, how);
    } catch (error) {
      return Promise.reject(error as HubwireError);
    }
  }

  /** `add` puts the handler where it belongs. The promise may be ignored. */
  #listen(topicFilter: string, add: () => void): Promise<void> {
    try {
      if (this.#closed) throw closedError();
      add();
    } catch (error) {
      return Promise.reject(error as HubwireError);
    }
    if (!this.#connection.isRunning) return Promise.resolve();
    const granted = this.#subscriptions.granted(topicFilter);
    granted.catch(() => {});
    return granted;
  }

  /** What the handlers there are need. */
  get #filters(): string[] {
    return [
      ...(this.#inbox.isUsed ? [this.#messagesFilter] : []),
      ...(this.#methods.isUsed ? [METHODS_FILTER] : []),
      ...this.#twin.filters,
    ];
  }

  get #messagesFilter(): string {
    const { deviceId, moduleId } = this.#connection.identity;
    return moduleId === undefined ? cloudToDeviceTopic(deviceId, "#") : inputsFilter(deviceId, moduleId);
  }

  #receive(message: Message): void | Promise<void> {
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
  }

  #moved(): void {
    this.#subscriptions.moved();
    this.#twin.moved();
    this.#methods.lost();
    this.#inbox.forget();
    this.#subscriptions.all().catch(() => {});
  }

  #stop(error: HubwireError): void {
    this.#twin.stop(error);
    this.#inbox.stop(error);
  }

  #report(error: HubwireError): void {
    if (!this.#closed) this.#emit("error", error);
  }

  #emit<E extends keyof DeviceEvents>(event: E, ...values: DeviceEvents[E]): void {
    emitSafely(this, event, ...values);
  }
}
