/**
 * The Device Provisioning Service: which hub a device belongs to.
 *
 * Invariants: the registration goes on over lost connections and "try later" answers until it is decided, or
 * `timeout` or `signal` ends it; nothing stays open after that. Keys are in no error, and not among the result's
 * enumerable properties.
 */
import type { MqttClient, SignalOptions } from "../client/client.js";
import { abortable, throwIfAborted } from "../abort.js";
import { checkOptions, invalid, type Rules } from "../check.js";
import { setAlarm, systemClock } from "../clock.js";
import type { MqttClientOptions } from "../client/options.js";
import { HubwireError } from "../errors.js";
import type { checkX509, DeviceOptions, X509 } from "./credentials.js";
import type { isRefusal } from "./explain.js";
import type { parseObject } from "./json.js";
import type { encodeJson } from "../wire/json.js";
import { deriveGroupKey, isBase64, signSasToken } from "../wire/sas.js";
import { operationTopic, parseInbound, PROVISIONING_FILTER, registerTopic, webSocketPath } from "../wire/topics.js";

/** What to register, with one of `symmetricKey`, `groupKey` and `x509`; how to connect. Durations in ms. */
export interface ProvisioningOptions
  extends
    SignalOptions,
    Pick<
      MqttClientOptions,
      | "port"
      | "protocol"
      | "proxy"
      | "tls"
      | "createConnection"
      | "clock"
      | "random"
      | "connectTimeout"
      | "operationTimeout"
      | "keepAlive"
    > {
  /** Of the provisioning service. */
  idScope: string;
  /** The device's id there. */
  registrationId: string;
  /** base64: the device's own key. */
  symmetricKey?: string | undefined;
  /** base64: the key of the enrolment group, of which the device's is derived. Better derived elsewhere and kept off devices. */
  groupKey?: string | undefined;
  /** The device's certificate, whose subject is the registration id. */
  x509?: X509 | undefined;
  /** Default `global.azure-devices-provisioning.net`. */
  host?: string | undefined;
  /** JSON for the service's custom allocation. */
  payload?: unknown;
  /** Ends the whole registration, with ERR_TIMEOUT or why there is no connection. Default 120,000. */
  timeout?: number | undefined;
}

/** What a registration came to. */
export interface ProvisioningResult {
  /** Host name of the hub. */
  assignedHub: string;
  /** The device's id at the hub. */
  deviceId: string;
  /** As it was given. */
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
/** ms to wait at the least, whatever the service names: doubled with each answer up to the most. */
const LEAST_POLL = 10;
const MOST_POLL = 1_000;

interface Reply {
  status: number;
  /** Seconds. */
  retryAfter?: number | undefined;
  body: Record<string, unknown>;
}

const NO_REPLY: Reply = { status: 503, body: {} };

const RULES: Rules = {
  idScope: "string",
  registrationId: "string",
  symmetricKey: "string",
  groupKey: "string",
  x509: "object",
  host: "string",
  payload: "any",
  timeout: [1, Infinity],
  signal: "object",
  port: [1, 65_535],
  protocol: "string",
  proxy: "string|object",
  tls: "object",
  createConnection: "function",
  clock: "object",
  random: "function",
  connectTimeout: [1, Infinity],
  operationTimeout: [1, Infinity],
  keepAlive: [0, 65_535],
};

/**
 * What a device client needs too. Handed over, not imported: bundlers wrap in functions all that an `import()` leads to,
 * which would be the whole client.
 */
export interface Shared {
  readonly MqttClient: typeof MqttClient;
  readonly checkX509: typeof checkX509;
  readonly isRefusal: typeof isRefusal;
  readonly parseObject: typeof parseObject;
  readonly encodeJson: typeof encodeJson;
}

/** `provisionDevice`. */
export async function register(
  given: ProvisioningOptions,
  { MqttClient, checkX509, isRefusal, parseObject, encodeJson }: Shared,
): Promise<ProvisioningResult> {
  const options = checkOptions(given, RULES, "provisionDevice");
  const { idScope, registrationId, groupKey, host = "global.azure-devices-provisioning.net" } = options;
  const {
    port,
    protocol,
    proxy,
    tls,
    createConnection,
    connectTimeout,
    operationTimeout = 20_000,
    keepAlive,
  } = options;
  const { clock = systemClock, random = Math.random, timeout = 120_000, signal } = options;
  if (!/^[^/+#\0]+$/.test(idScope ?? "") || !/^[^/+#\0\ud800-\udfff]{1,128}$/.test(registrationId ?? "")) {
    throw invalid("provisioning needs an idScope and a registrationId, without / + #");
  }
  if ([options.symmetricKey, groupKey, options.x509].filter((way) => way !== undefined).length !== 1) {
    throw invalid("provisioning needs exactly one of symmetricKey, groupKey and x509 ({ cert, key })");
  }
  if ((protocol === "mqtt" || protocol === "ws") && !createConnection) {
    throw invalid('protocol is "mqtts" or "wss": without TLS the token could be read on the way');
  }
  const x509 = options.x509 && checkX509(options.x509);
  if (options.payload !== undefined) encodeJson(options.payload, "the payload");
  const register = JSON.stringify({ registrationId, payload: options.payload });
  const key = groupKey === undefined ? options.symmetricKey : deriveGroupKey(groupKey, registrationId);
  if (key !== undefined && !isBase64(key)) throw invalid("symmetricKey is not base64");
  throwIfAborted(signal);

  const scope = `${idScope}/registrations/${registrationId}`;
  const mqttTls = { ...tls, ...x509 };
  const mqtt = new MqttClient({
    ...{ host, port, protocol, proxy, createConnection, connectTimeout, operationTimeout, keepAlive, clock, random },
    ...webSocketPath(protocol),
    clientId: registrationId,
    credentials: () => ({
      username: `${scope}/api-version=2019-03-31&ClientVersion=hubwire`,
      password: key && signSasToken(scope, key, clock.wallTime() / 1000 + 3600, "registration"),
      tls: mqttTls,
    }),
  });
  let fail!: (error: HubwireError) => void;
  const failed = new Promise<never>((_resolve, reject) => (fail = reject));
  // Nobody may be waiting just then.
  failed.catch(() => {});
  /** Resolves after `ms`, or when `operation` does; rejects when the registration ends. */
  const within = async <T>(ms: number, operation?: Promise<T>): Promise<T | undefined> => {
    let cancel = (): void => {};
    const late = new Promise<undefined>((resolve) => (cancel = setAlarm(clock, ms, () => resolve(undefined))));
    return Promise.race([failed, late, ...(operation ? [operation] : [])]).finally(() => cancel());
  };

  let request: { id: string; topic: string; payload: string; answer(reply: Reply): void } | undefined;
  let requests = 0;
  // Also after a reconnect: the answer to what was sent before does not come any more.
  const send = (): void => {
    if (request && mqtt.connected) mqtt.publish(request.topic, request.payload, { qos: 1 }).catch(() => {});
  };
  const ask = (topicOf: (requestId: string) => string, payload: string): Promise<Reply | undefined> =>
    within(
      operationTimeout,
      new Promise<Reply>((answer) => {
        const id = String(++requests);
        request = { id, topic: topicOf(id), payload, answer };
        send();
      }),
    );
  const answered = (topicName: string, payload: Uint8Array): void => {
    const topic = parseInbound(topicName);
    if (topic?.kind === "provisioning-response" && topic.requestId === request?.id) {
      // Without a body the status alone counts.
      request?.answer({ ...topic, body: parseObject(payload) ?? {} });
    }
  };
  /** Why there is no connection. */
  let lost: HubwireError | undefined;
  mqtt.on("connect", () => {
    lost = undefined;
    send();
  });
  mqtt.on("reconnecting", ({ error }) => (lost = error));
  // What passes is tried again.
  mqtt.on("error", (error) => !error.retryable && fail(error));

  const subscribe = async (): Promise<void> => {
    try {
      await mqtt.subscribe(PROVISIONING_FILTER, { qos: 1 }, ({ topic, payload }) => answered(topic, payload));
    } catch (error) {
      if ((error as HubwireError).code !== "ERR_TIMEOUT") throw error;
      // Nothing comes on this connection: another may be answered.
      await mqtt.reconnect({ drainTimeout: 0, timeout: Infinity });
      await subscribe();
    }
  };
  const decide = async (): Promise<Record<string, unknown>> => {
    // `timeout` is for all of it.
    await Promise.race([failed, mqtt.connect({ timeout: Infinity })]);
    await Promise.race([failed, subscribe()]);
    let operationId: string | undefined;
    for (let failures = 0, poll = LEAST_POLL; ; poll = Math.min(MOST_POLL, poll * 2)) {
      const operation = operationId;
      const {
        status,
        retryAfter,
        body: answer,
      } = (operation === undefined
        ? await ask(registerTopic, register)
        : await ask((id) => operationTopic(id, operation), "")) ?? NO_REPLY;
      const state = Object(answer["registrationState"]) as Record<string, unknown>;
      if (status === 200 && answer["status"] === "assigned") return state;
      if (status === 202 || (status === 200 && answer["status"] === "assigning")) {
        failures = 0;
        if (typeof answer["operationId"] === "string") operationId = answer["operationId"];
      } else if (status !== 429 && status < 500) throw refusedRegistration(status, { ...answer, ...state });
      else failures++;
      const pause = failures > 0 ? Math.min(MOST_PAUSE, LEAST_PAUSE * 2 ** failures) * random() : LEAST_PAUSE;
      await within(Math.max(poll, retryAfter === undefined ? pause : retryAfter * 1000));
    }
  };

  const cancel = setAlarm(clock, timeout, () =>
    fail(lost ?? new HubwireError("ERR_TIMEOUT", `the registration was not decided within ${timeout} ms`)),
  );
  try {
    const state = await abortable(signal, decide());
    const { assignedHub, deviceId, payload } = state;
    if (typeof assignedHub !== "string" || typeof deviceId !== "string") {
      throw new HubwireError("ERR_PROVISIONING", "the provisioning service named no hub and device");
    }
    const secret = key === undefined ? "x509=true" : `SharedAccessKey=${key}`;
    const proof: Partial<DeviceOptions> = key === undefined ? { x509 } : { sharedAccessKey: key };
    return Object.defineProperties(
      { assignedHub, deviceId, registrationId, payload, registrationState: state },
      {
        connectionString: { value: `HostName=${assignedHub};DeviceId=${deviceId};${secret}` },
        deviceOptions: { value: { hostName: assignedHub, deviceId, ...proof } },
      },
    ) as unknown as ProvisioningResult;
  } catch (error) {
    const { code } = error as HubwireError;
    if (!isRefusal(error as HubwireError)) throw error;
    throw new HubwireError(
      code,
      `the provisioning service refused registration ${registrationId}: check the id scope, that it is enrolled and ` +
        "enabled, that the key or certificate is its own, and this machine's clock",
      { cause: error },
    );
  } finally {
    cancel();
    fail(new HubwireError("ERR_CLOSED", "the registration is over"));
    void mqtt.close();
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
