/**
 * The Device Provisioning Service: which hub a device belongs to.
 *
 * Invariants: the registration goes on over lost connections and "try later" answers until it is decided, or
 * `timeout` or `signal` ends it; nothing stays open after that. Keys are in no error, and not among the result's
 * enumerable properties.
 */
import { MqttClient, type SignalOptions } from "../client/client.js";
import { systemClock } from "../client/clock.js";
import type { MqttClientOptions } from "../client/options.js";
import { HubwireError } from "../errors.js";
import type { DeviceOptions, X509 } from "./credentials.js";
import { abortable, setAlarm, textOf } from "./link.js";
import { deriveGroupKey, isBase64, signSasToken } from "./sas.js";
import { operationTopic, parseInbound, PROVISIONING_FILTER, registerTopic } from "./topics.js";

/** What to register, with one of `symmetricKey`, `groupKey` and `x509`; how to connect. Durations in ms. */
export interface ProvisioningOptions
  extends SignalOptions,
    Pick<
      MqttClientOptions,
      "port" | "tls" | "createConnection" | "clock" | "random" | "connectTimeout" | "operationTimeout" | "keepAlive"
    > {
  idScope: string;
  registrationId: string;
  /** base64: the device's own key. */
  symmetricKey?: string | undefined;
  /** base64: the key of the enrolment group, of which the device's is derived. Better derived elsewhere and kept off devices. */
  groupKey?: string | undefined;
  x509?: X509 | undefined;
  /** Default `global.azure-devices-provisioning.net`. */
  host?: string | undefined;
  /** JSON for the service's custom allocation. */
  payload?: unknown;
  /** Ends the whole registration with ERR_TIMEOUT. Default 120,000. */
  timeout?: number | undefined;
}

export interface ProvisioningResult {
  /** Host name of the hub. */
  assignedHub: string;
  deviceId: string;
  registrationId: string;
  /** What a custom allocation sent back. */
  payload: unknown;
  /** All that the service says of the registration. */
  registrationState: Record<string, unknown>;
  /** For `DeviceClient`; secret with a key, therefore not enumerable. */
  readonly connectionString: string;
  /** For `DeviceClient`; not enumerable either. With a certificate, this holds it. */
  readonly deviceOptions: DeviceOptions;
}

/** ms to wait where the service names no time: doubled with each failure up to the most, then at random. */
const LEAST_PAUSE = 2_000;
const MOST_PAUSE = 30_000;

interface Reply {
  status: number;
  /** Seconds. */
  retryAfter: number | undefined;
  body: Record<string, unknown>;
}

/**
 * Registers a device. Rejects with ERR_PROVISIONING, which carries the service's `status`, where the service refuses;
 * with ERR_TIMEOUT, ERR_ABORTED; and as `MqttClient.connect` does.
 */
export async function provisionDevice(options: ProvisioningOptions): Promise<ProvisioningResult> {
  const { idScope, registrationId, groupKey, x509, host = "global.azure-devices-provisioning.net" } = options;
  const { port, tls, createConnection, connectTimeout, operationTimeout = 20_000, keepAlive } = options;
  const { clock = systemClock, random = Math.random, timeout = 120_000, signal } = options;
  const bad = (message: string): HubwireError => new HubwireError("ERR_INVALID_ARGUMENT", message);
  if (!/^[^/+#\0]+$/.test(idScope ?? "") || !/^[^/+#\0]{1,128}$/.test(registrationId ?? "")) {
    throw bad("provisioning needs an idScope and a registrationId, without / + #");
  }
  if ([options.symmetricKey, groupKey, x509].filter((way) => way !== undefined).length !== 1) {
    throw bad("provisioning needs exactly one of symmetricKey, groupKey and x509 ({ cert, key })");
  }
  const key = groupKey === undefined ? options.symmetricKey : deriveGroupKey(groupKey, registrationId);
  if (key !== undefined && !isBase64(key)) throw bad("symmetricKey is not base64");

  const scope = `${idScope}/registrations/${registrationId}`;
  const mqttTls = { ...tls, ...x509 };
  const mqtt = new MqttClient({
    ...{ host, port, createConnection, connectTimeout, operationTimeout, keepAlive, clock, random },
    clientId: registrationId,
    credentials: () => ({
      username: `${scope}/api-version=2019-03-31&ClientVersion=hubwire`,
      password: key && signSasToken(scope, key, clock.wallTime() / 1000 + 3600, "registration"),
      tls: mqttTls,
    }),
  });
  const registration = new Registration(mqtt, clock, random, operationTimeout);
  const cancel = setAlarm(clock, timeout, () =>
    registration.fail(new HubwireError("ERR_TIMEOUT", `the registration was not decided within ${timeout} ms`)),
  );
  try {
    const body = { registrationId, ...(options.payload !== undefined && { payload: options.payload }) };
    const state = await abortable(signal, registration.run(JSON.stringify(body)));
    const { assignedHub, deviceId, payload } = state;
    if (typeof assignedHub !== "string" || typeof deviceId !== "string") {
      throw new HubwireError("ERR_PROVISIONING", "the provisioning service named no hub and device");
    }
    const secret = key === undefined ? "x509=true" : `SharedAccessKey=${key}`;
    const proof: Partial<DeviceOptions> = key === undefined ? { x509 } : { sharedAccessKey: key };
    return Object.defineProperties({ assignedHub, deviceId, registrationId, payload, registrationState: state }, {
      connectionString: { value: `HostName=${assignedHub};DeviceId=${deviceId};${secret}` },
      deviceOptions: { value: { hostName: assignedHub, deviceId, ...proof } },
    }) as unknown as ProvisioningResult;
  } catch (error) {
    const code = (error as HubwireError).code;
    if (code !== "ERR_NOT_AUTHORIZED" && code !== "ERR_BAD_CREDENTIALS" && code !== "ERR_IDENTIFIER_REJECTED") throw error;
    throw new HubwireError(
      code,
      `the provisioning service refused registration ${registrationId}: check the id scope, that it is enrolled and ` +
        "enabled, that the key or certificate is its own, and this machine's clock",
      { cause: error },
    );
  } finally {
    cancel();
    registration.fail(new HubwireError("ERR_CLOSED", "the registration is over"));
    void mqtt.close();
  }
}

class Registration {
  readonly #mqtt: MqttClient;
  readonly #clock;
  readonly #random: () => number;
  readonly #timeout: number;
  readonly #failed: Promise<never>;
  /** Ends the registration. */
  fail!: (error: HubwireError) => void;
  #over = false;
  #lastRequestId = 0;
  #waiting: { topic: string; requestId: string; payload: string; resolve(reply: Reply | undefined): void } | undefined;

  constructor(mqtt: MqttClient, clock: typeof systemClock, random: () => number, timeout: number) {
    this.#mqtt = mqtt;
    this.#clock = clock;
    this.#random = random;
    this.#timeout = timeout;
    this.#failed = new Promise((_resolve, reject) => {
      this.fail = (error) => {
        this.#over = true;
        reject(error);
        this.#waiting?.resolve(undefined);
      };
    });
    this.#failed.catch(() => {});
    mqtt.on("connect", () => this.#send());
    // What passes is tried again; of the rest, the last word is this one.
    mqtt.on("error", (error) => !error.retryable && this.fail(error));
  }

  run(body: string): Promise<Record<string, unknown>> {
    return Promise.race([this.#failed, this.#register(body)]);
  }

  async #register(body: string): Promise<Record<string, unknown>> {
    await this.#mqtt.connect();
    await this.#mqtt.subscribe(PROVISIONING_FILTER, { qos: 1 }, ({ topic, payload }) => this.#answered(topic, payload));
    let operationId: string | undefined;
    for (let failures = 0; !this.#over; ) {
      const reply = await this.#ask((id) => (operationId === undefined ? registerTopic(id) : operationTopic(id, operationId)), body);
      const { status, retryAfter, body: answer } = reply ?? { status: 503, retryAfter: undefined, body: {} };
      const state = Object(answer["registrationState"]) as Record<string, unknown>;
      if (status === 200 && answer["status"] !== "assigning") {
        if ((answer["status"] ?? state["status"]) === "assigned") return state;
        throw refusedRegistration(status, { ...answer, ...state });
      }
      if (status === 200 || status === 202) {
        failures = 0;
        if (typeof answer["operationId"] === "string") operationId = answer["operationId"];
      } else if (status === 429 || status >= 500) failures++;
      else throw refusedRegistration(status, answer);
      const pause = failures > 0 ? Math.min(MOST_PAUSE, LEAST_PAUSE * 2 ** failures) * this.#random() : LEAST_PAUSE;
      await this.#pause(retryAfter === undefined ? pause : retryAfter * 1000);
    }
    return {};
  }

  /** undefined: no answer in time. */
  async #ask(topicOf: (requestId: string) => string, payload: string): Promise<Reply | undefined> {
    const requestId = String(++this.#lastRequestId);
    let cancel: () => void = () => {};
    const topic = topicOf(requestId);
    const reply = await new Promise<Reply | undefined>((resolve) => {
      this.#waiting = { topic, requestId, payload: topic.includes("/PUT/") ? payload : "", resolve };
      cancel = setAlarm(this.#clock, this.#timeout, () => resolve(undefined));
      this.#send();
    });
    this.#waiting = undefined;
    cancel();
    return reply;
  }

  /** Also after a reconnect: the answer to what was sent before does not come any more. */
  #send(): void {
    if (!this.#waiting || !this.#mqtt.connected) return;
    this.#mqtt.publish(this.#waiting.topic, this.#waiting.payload, { qos: 1 }).catch(() => {});
  }

  #answered(topicName: string, payload: Uint8Array): void {
    const topic = parseInbound(topicName);
    if (topic?.kind !== "provisioning-response" || topic.requestId !== this.#waiting?.requestId) return;
    let body: unknown;
    try {
      body = JSON.parse(textOf(payload));
    } catch {
      // Without a body the status alone counts.
    }
    this.#waiting?.resolve({ status: topic.status, retryAfter: topic.retryAfter, body: Object(body) });
  }

  #pause(delay: number): Promise<unknown> {
    let cancel: () => void = () => {};
    const over = new Promise<void>((resolve) => (cancel = setAlarm(this.#clock, delay, resolve)));
    return Promise.race([over, this.#failed]).finally(cancel);
  }
}

function refusedRegistration(status: number, answer: Record<string, unknown>): HubwireError {
  const { errorCode, errorMessage, message, status: state } = answer;
  const said = [state, errorCode, errorMessage ?? message].filter((part) => part !== undefined);
  return new HubwireError(
    "ERR_PROVISIONING",
    `the provisioning service refused with status ${status}: ${JSON.stringify(said).slice(0, 300)}`,
    { status },
  );
}
