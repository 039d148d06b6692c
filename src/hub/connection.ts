/**
 * The connection to the hub of the identity that the device has now: its MQTT client, the credentials and their
 * renewal, and what is done when the hub refuses the identity.
 *
 * Invariants: of an MQTT client whose identity was replaced, nothing is heard any more; after `close()` nothing is made
 * or connected. Whether there is a connection, and whether the client has given up, is the MqttClient's to know.
 */
import type { ClientEvents, CloseOptions } from "../client/api.js";
import { CONNECT, explainPublishes, isSubscribing, MqttClient, succeed } from "../client/client.js";
import { closedError, stoppedError } from "../client/failures.js";
import type { MqttClientOptions } from "../client/options.js";
import { invalid, readOptions } from "../check.js";
import type { Clock } from "../clock.js";
import { HubwireError } from "../errors.js";
import type { Message, SessionStore } from "../session/types.js";
import { HUB_LIMITS } from "../wire/limits.js";
import { asHubwireError, lateHandler } from "./access.js";
import type { ActivityNotes } from "./activity.js";
import type { Busy } from "./busy.js";
import { CredentialSource, type DeviceOptions, divideOptions, isSameIdentity, resolveIdentity } from "./credentials.js";
import { isRefusal } from "./explain.js";
import type { DeviceClientOptions, StoreIdentity } from "./options.js";
import { Renewal } from "./renewal.js";
import { telemetryTopic, webSocketPath } from "../wire/topics.js";
import { encodeTelemetry } from "./telemetry.js";

/** As `MqttClient.connect` takes them. */
export type ConnectOptions = NonNullable<Parameters<MqttClient["connect"]>[0]>;

/** What the owner hears; errors are explained. */
export interface ConnectionOwner {
  readonly clock: Clock;
  readonly busy: Busy;
  readonly activity: ActivityNotes;
  /** ms that `reprovision` may take. */
  readonly handlerTimeout: number;
  connected(event: { sessionPresent: boolean }): void;
  disconnected(error: HubwireError | undefined): void;
  reconnecting(event: ClientEvents["reconnecting"][0]): void;
  /** Another identity, and an MQTT client that knows of no subscription. */
  moved(): void;
  /** Given up, until `connect()` is called again. */
  stopped(error: HubwireError): void;
  /** Of no call. */
  failed(error: HubwireError): void;
  received(message: Message): void | Promise<void>;
}

export class HubConnection {
  readonly #owner: ConnectionOwner;
  readonly #options: DeviceClientOptions;
  #identity!: DeviceOptions;
  #telemetryTopic!: string;
  #mqtt!: MqttClient;
  #source!: CredentialSource;
  #renewal: Renewal | undefined;
  readonly #started: Promise<void>;
  #start!: () => void;
  #hasStarted = false;
  /** Why the client has given up. */
  #stopped: HubwireError | undefined;
  #closed = false;
  #moving: Promise<void> | undefined;
  /** Of the last `connect()`: until when somebody waits (monotonic ms), and its signal. */
  #wanted: { deadline: number; signal?: AbortSignal | undefined } = { deadline: 0 };

  /** Throws ERR_CONNECTION_STRING or ERR_INVALID_ARGUMENT. */
  constructor(owner: ConnectionOwner, identity: string | DeviceOptions, options: DeviceClientOptions) {
    this.#owner = owner;
    this.#options = options;
    this.#started = new Promise((resolve) => (this.#start = resolve));
    this.#become(identity);
  }

  get identity(): DeviceOptions {
    return this.#identity;
  }

  /** Where this identity's telemetry goes, without a property bag. */
  get telemetryTopic(): string {
    return this.#telemetryTopic;
  }

  get mqtt(): MqttClient {
    return this.#mqtt;
  }

  /** Whether the hub can be asked: connected, or on the way there by itself. */
  get isRunning(): boolean {
    return this.#hasStarted && !this.#stopped && !this.#closed;
  }

  /** Resolves once the hub can be asked. Rejects where the client has given up or is closed. */
  async running(): Promise<void> {
    await this.#started;
    // How that ends, the calls that wait for it say.
    await this.#moving?.catch(() => {});
    if (this.#closed) throw closedError();
    if (this.#stopped) throw stoppedError(this.#stopped);
  }

  /** Whether the present MQTT client was asked for it, and no refusal has ended it. */
  isSubscribing(topicFilter: string): boolean {
    return isSubscribing(this.#mqtt, topicFilter);
  }

  /** Settles with SUBACK of the present MQTT client. */
  subscribe(topicFilter: string, qos: 0 | 1): Promise<unknown> {
    return this.#mqtt.subscribe(topicFilter, { qos }, (message) => this.#owner.received(message));
  }

  /** Resolves with CONNACK, of this identity or of the one that takes its place. */
  async connect(options?: ConnectOptions): Promise<void> {
    const { clock, busy } = this.#owner;
    const deadline = clock.now() + (options?.timeout ?? CONNECT);
    const mqtt = this.#mqtt;
    this.#wanted = { deadline, signal: options?.signal };
    try {
      await this.#dial(options).catch((error: unknown) => {
        // Another client took its place.
        if (mqtt !== this.#mqtt) return this.connect({ ...options, timeout: Math.max(0, deadline - clock.now()) });
        const recovered = this.recover(error);
        return busy.within(clock, deadline - clock.now(), recovered, () => {
          // Nobody waits for what becomes of it.
          recovered.catch((failure: HubwireError) => this.#gaveUp(failure));
          return this.explain(error);
        });
      });
    } catch (error) {
      this.#lookWhetherStopped(error);
      throw error;
    }
  }

  close(options?: CloseOptions): Promise<void> {
    this.#closed = true;
    this.#renewal?.end();
    this.#start();
    return this.#mqtt.close(options);
  }

  explain(error: unknown): HubwireError {
    const { deviceId, moduleId } = this.#identity;
    const name = moduleId === undefined ? `device ${deviceId}` : `module ${deviceId}/${moduleId}`;
    return this.#owner.activity.explain(error, name, this.#source.expiresAt);
  }

  /** Resolves when a refused identity was replaced; rejects with any other error, explained. */
  async recover(error: unknown): Promise<void> {
    const explained = this.explain(error);
    if (!isRefusal(explained) || !this.#options.reprovision || this.#closed) throw explained;
    this.#moving ??= this.#move(explained).finally(() => (this.#moving = undefined));
    await this.#moving;
  }

  #dial(options?: ConnectOptions): Promise<void> {
    const connecting = this.#mqtt.connect(options);
    this.#stopped = undefined;
    this.#hasStarted = true;
    this.#start();
    return connecting;
  }

  /** Makes the MQTT client of an identity. */
  #become(given: string | DeviceOptions): void {
    const [divided, { will, reprovision: _, maxMethodCalls: __, store, ...options }] = divideOptions(
      given,
      this.#options,
    );
    const identity = resolveIdentity(divided, options.tls);
    const { hostName, gatewayHostName, deviceId, moduleId } = identity;
    if (options.keepAlive !== undefined && options.keepAlive > HUB_LIMITS.keepAlive) {
      throw invalid(`keepAlive is at most ${HUB_LIMITS.keepAlive} s: the hub drops a silent connection after 1,767 s`);
    }
    if ((options.protocol === "mqtt" || options.protocol === "ws") && !options.createConnection) {
      throw invalid('protocol is "mqtts" or "wss": without TLS the token could be read on the way');
    }
    const clientId = moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`;
    const { clock } = this.#owner;
    const server = gatewayHostName ?? hostName;
    const { host = server } = options;
    const tls = host === server ? options.tls : { ...options.tls, servername: options.tls?.servername ?? server };
    const source = new CredentialSource(identity, clientId, tls, clock, options.random ?? Math.random);
    const topic = telemetryTopic(deviceId, moduleId);
    const mqtt = new MqttClient({
      cleanSession: false,
      ...webSocketPath(options.protocol),
      ...options,
      host,
      clientId,
      will: will && lastWords(topic, will),
      store: typeof store === "function" ? openStore(store, { hostName, deviceId, moduleId }) : store,
      credentials: () => source.next(),
    } satisfies MqttClientOptions);
    explainPublishes(mqtt, (error) => (mqtt === this.#mqtt ? this.explain(error) : movedError()));
    this.#renewal?.end();
    this.#identity = identity;
    this.#telemetryTopic = topic;
    this.#source = source;
    this.#mqtt = mqtt;
    this.#renewal = new Renewal(mqtt, source, clock, this.#owner.busy, (error) => this.#owner.failed(error));
    this.#listen(mqtt, this.#renewal);
  }

  #listen(mqtt: MqttClient, renewal: Renewal): void {
    const heard =
      <T extends unknown[]>(listener: (...values: T) => void) =>
      (...values: T) => {
        if (mqtt === this.#mqtt) listener(...values);
      };
    const connected = (event: { sessionPresent: boolean }): void => {
      this.#owner.activity.accepted();
      renewal.accepted();
      this.#owner.connected(event);
    };
    const disconnected = (error: HubwireError | undefined): void => {
      renewal.lost();
      const explained = error && this.explain(error);
      this.#owner.activity.ended(!error);
      this.#owner.disconnected(explained);
      this.#lookWhetherStopped(error);
    };
    const reconnecting = (event: ClientEvents["reconnecting"][0]): void =>
      this.#owner.reconnecting({ ...event, error: this.explain(event.error) });
    mqtt.on("connect", heard(connected));
    mqtt.on("disconnect", heard(disconnected));
    mqtt.on("reconnecting", heard(reconnecting));
    mqtt.on(
      "error",
      heard((error) => this.#failed(error)),
    );
  }

  #failed(error: HubwireError): void {
    this.recover(error).catch((failure: HubwireError) => this.#gaveUp(failure));
  }

  #gaveUp(failure: HubwireError): void {
    this.#lookWhetherStopped(failure);
    this.#owner.failed(failure);
  }

  #lookWhetherStopped(error: unknown): void {
    if (this.#mqtt.state !== "stopped" || this.#stopped || this.#closed || this.#moving) return;
    this.#stopped = this.explain(error);
    this.#owner.stopped(this.#stopped);
  }

  /** Takes on the identity that `reprovision` finds, and connects with it. */
  async #move(error: HubwireError): Promise<void> {
    try {
      const { clock, busy, handlerTimeout } = this.#owner;
      const late = (): HubwireError => lateHandler("the reprovision callback", handlerTimeout);
      const given = await busy.within(clock, handlerTimeout, this.#options.reprovision?.(error), late);
      if (this.#closed || given === undefined) throw error;
      const [divided] = divideOptions(given, this.#options);
      const isSame = isSameIdentity(resolveIdentity(divided, this.#options.tls), this.#identity);
      // What waits to be sent is this hub's: it was a hiccup, and the client tries again by itself.
      if (isSame && this.#mqtt.state !== "stopped") throw error;
      let goesOn = false;
      if (!isSame) {
        const old = this.#mqtt;
        this.#become(given);
        goesOn = succeed(this.#mqtt, old);
        void old.close({ force: true });
        this.#owner.moved();
      }
      const { deadline, signal } = this.#wanted;
      // Nobody waits where it goes on by itself; of what it meets, events tell.
      if (goesOn) void this.#dial({ timeout: Infinity }).catch(() => {});
      else await this.#dial({ signal, timeout: Math.max(CONNECT, deadline - clock.now()) });
    } catch (failure) {
      throw this.explain(asHubwireError(failure, "the reprovision callback failed"));
    }
  }
}

/** Of a message for the hub that the device was moved away from. */
const movedError = (): HubwireError =>
  new HubwireError(
    "ERR_SESSION_LOST",
    "the device was given another identity; what waited for its old hub is not sent",
  );

function lastWords(prefix: string, will: NonNullable<DeviceClientOptions["will"]>): MqttClientOptions["will"] {
  const { payload: body, ...options } = readOptions(will, "will");
  const { topic, payload, qos, retain } = encodeTelemetry(prefix, body, options);
  return { topic, payload, qos, retain };
}

function openStore(open: (identity: StoreIdentity) => SessionStore, identity: StoreIdentity): SessionStore {
  try {
    return open(identity);
  } catch (error) {
    throw asHubwireError(error, "the store callback failed");
  }
}
