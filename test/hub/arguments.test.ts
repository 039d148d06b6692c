/**
 * Careless callers: each parameter of each function that `hubwire` exports is given what it does not take. Only typed
 * errors may leave, and what is wrong must be refused, not passed over.
 */
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import * as hubwire from "../../src/hub/index.js";
import { HubwireError } from "../../src/errors.js";
import { boom, outcomeOf, VALUES as COMMON } from "../support/values.js";

const { DeviceClient } = hubwire;
const key = Buffer.alloc(32, 7).toString("base64");
const good = `HostName=h.example;DeviceId=d;SharedAccessKey=${key}`;
const identity = { hostName: "h.example", deviceId: "d", sharedAccessKey: key };
const provisioning = { idScope: "0ne", registrationId: "r", symmetricKey: key };

/** Made anew for each call. */
const VALUES: Record<string, () => unknown> = {
  ...COMMON,
  map: () => new Map<unknown, unknown>([[5, 5]]),
  "an unknown name": () => ({ contenttype: "x" }),
  cycle: () => {
    const cycle: { self?: unknown } = {};
    return (cycle.self = cycle);
  },
};

const CODES = ["ERR_INVALID_ARGUMENT", "ERR_CONNECTION_STRING", "ERR_SAS_TOKEN", "ERR_LIMIT"];
/** What ends calls that had nothing to refuse. */
const ENDED = ["ERR_CLOSED", "ERR_ABORTED"];

interface Parameter {
  name: string;
  call(value: never, client: InstanceType<typeof DeviceClient>): unknown;
  /** The values above that are right here; all others must be refused. */
  takes: readonly string[];
  /** The options that there are: one of which a getter throws is refused too. */
  options?: readonly string[];
}

const OPTIONS = ["undefined", "object", "an object of nothing", "date", "map"];
const TEXT = ["text", "empty text", "a lone surrogate"];
const NOT_JSON = ["NaN", "date", "symbol", "bigint", "function", "map", "an object that throws", "cycle"];
const NOT_SENT = ["a lone surrogate", "undefined", ...NOT_JSON];
const telemetry = [
  "properties",
  "messageId",
  "correlationId",
  "userId",
  "to",
  "expiry",
  "contentType",
  "contentEncoding",
];
const connection = [
  "host",
  "port",
  "protocol",
  "tls",
  "cleanSession",
  "keepAlive",
  "reconnect",
  "offlineQueue",
  "clock",
  "random",
];

const PARAMETERS: Parameter[] = [
  {
    name: "DeviceClient(identity)",
    call: (value) => new DeviceClient(value),
    takes: [],
    options: Object.keys(identity),
  },
  {
    name: "DeviceClient(, options)",
    call: (value) => new DeviceClient(good, value),
    takes: OPTIONS,
    options: connection,
  },
  {
    name: "x509",
    call: (x509) => new DeviceClient({ ...identity, sharedAccessKey: undefined, x509 }),
    takes: ["function"],
    options: ["cert", "key"],
  },
  {
    name: "will",
    call: (will) => new DeviceClient(good, { will }),
    takes: ["undefined"],
    options: ["payload", ...telemetry],
  },
  {
    name: "fromEdgeEnvironment(options)",
    call: (value) => DeviceClient.fromEdgeEnvironment(value, { EdgeHubConnectionString: good }),
    takes: OPTIONS,
    options: connection,
  },
  {
    name: "fromEdgeEnvironment(, environment)",
    call: (value) => DeviceClient.fromEdgeEnvironment({}, value),
    takes: [],
  },
  { name: "connect(options)", call: (value, client) => client.connect(value), takes: OPTIONS, options: ["signal"] },
  {
    name: "sendTelemetry(body)",
    call: (value, client) => client.sendTelemetry(value),
    takes: Object.keys(VALUES).filter((name) => !NOT_SENT.includes(name)),
  },
  {
    name: "sendTelemetry(, options)",
    call: (value, client) => client.sendTelemetry("x", value),
    takes: OPTIONS,
    options: telemetry,
  },
  {
    name: "properties",
    call: (properties, client) => client.sendTelemetry("x", { properties }),
    takes: ["undefined", "object", "an object of nothing", "an unknown name", "date", "array"].filter(
      (name) => name !== "array",
    ),
  },
  {
    name: "messageId",
    call: (messageId, client) => client.sendTelemetry("x", { messageId }),
    takes: ["undefined", "text", "empty text"],
  },
  {
    name: "expiry",
    call: (expiry, client) => client.sendTelemetry("x", { expiry }),
    takes: ["undefined", "text", "empty text"],
  },
  { name: "qos", call: (qos, client) => client.sendTelemetry("x", { qos }), takes: ["undefined"] },
  { name: "signal", call: (signal, client) => client.sendTelemetry("x", { signal }), takes: ["undefined"] },
  {
    name: "sendToOutput(name)",
    call: (value, client) => client.sendToOutput(value, "x"),
    takes: ["text", "empty text"],
  },
  {
    name: "sendToOutput(, , options)",
    call: (value, client) => client.sendToOutput("o", "x", value),
    takes: OPTIONS,
    options: telemetry,
  },
  {
    name: "sendTelemetryBatch(messages)",
    call: (value, client) => client.sendTelemetryBatch(value),
    takes: ["array", "bytes", "map", "text", "empty text", "a lone surrogate"],
  },
  { name: "messages(handler)", call: (value, client) => client.messages(value), takes: ["undefined", "function"] },
  { name: "onInput(name)", call: (value, client) => client.onInput(value, () => {}), takes: TEXT },
  { name: "onInput(, handler)", call: (value, client) => client.onInput("i", value), takes: ["function"] },
  {
    name: "onMethod(name)",
    call: (value, client) => client.onMethod(value, () => {}),
    takes: ["text", "a lone surrogate"],
  },
  { name: "onMethod(, handler)", call: (value, client) => client.onMethod("m", value), takes: ["function"] },
  {
    name: "onMethod(, , options)",
    call: (value, client) => client.onMethod("m", () => {}, value),
    takes: OPTIONS,
    options: ["raw", "timeout"],
  },
  { name: "getTwin(options)", call: (value, client) => client.getTwin(value), takes: OPTIONS, options: ["signal"] },
  { name: "getTwin({ signal })", call: (signal, client) => client.getTwin({ signal }), takes: ["undefined"] },
  {
    name: "updateReportedProperties(patch)",
    call: (value, client) => client.updateReportedProperties(value),
    takes: ["object", "an object of nothing", "bytes", "an unknown name", "the name __proto__"],
  },
  {
    name: "updateReportedProperties(, options)",
    call: (value, client) => client.updateReportedProperties({}, value),
    takes: OPTIONS,
    options: ["signal"],
  },
  {
    name: "onDesiredProperties(handler)",
    call: (value, client) => client.onDesiredProperties(value),
    takes: ["function"],
  },
  { name: "close(options)", call: (value, client) => client.close(value), takes: OPTIONS, options: ["force"] },
  { name: "parseConnectionString(text)", call: (value) => hubwire.parseConnectionString(value), takes: [] },
  {
    name: "encodeProperties(properties)",
    call: (value) => hubwire.encodeProperties(value),
    takes: ["object", "an object of nothing", "an unknown name", "date"],
  },
  { name: "decodeProperties(bag)", call: (value) => hubwire.decodeProperties(value), takes: TEXT },
  {
    name: "createSasToken(options)",
    call: (value) => hubwire.createSasToken(value),
    takes: [],
    options: ["hostName", "deviceId", "key", "expiry"],
  },
  {
    name: "createSasToken({ moduleId })",
    call: (moduleId) => hubwire.createSasToken({ ...identity, key, expiry: 2e9, moduleId }),
    takes: ["undefined", "text"],
  },
  {
    name: "createSasToken({ expiry })",
    call: (expiry) => hubwire.createSasToken({ ...identity, key, expiry }),
    takes: ["number"],
  },
  {
    name: "createSasToken({ keyName })",
    call: (keyName) => hubwire.createSasToken({ ...identity, key, expiry: 2e9, keyName }),
    takes: ["undefined", "text"],
  },
  { name: "deriveGroupKey(key)", call: (value) => hubwire.deriveGroupKey(value, "r"), takes: ["text"] },
  { name: "deriveGroupKey(, registrationId)", call: (value) => hubwire.deriveGroupKey(key, value), takes: ["text"] },
  { name: "parseSasToken(token)", call: (value) => hubwire.parseSasToken(value), takes: [] },
  {
    name: "provisionDevice(options)",
    call: (value) => hubwire.provisionDevice(value),
    takes: [],
    options: Object.keys(provisioning),
  },
  {
    name: "provisionDevice({ registrationId })",
    call: (registrationId) => hubwire.provisionDevice({ ...provisioning, registrationId, signal: AbortSignal.abort() }),
    takes: ["text"],
  },
  {
    name: "provisionDevice({ payload })",
    call: (payload) => hubwire.provisionDevice({ ...provisioning, payload, signal: AbortSignal.abort() }),
    takes: Object.keys(VALUES).filter((name) => !NOT_JSON.includes(name)),
  },
  {
    name: "provisionDevice({ x509 })",
    call: (x509) => hubwire.provisionDevice({ ...provisioning, symmetricKey: undefined, x509 }),
    takes: [],
    options: ["cert", "key"],
  },
];

/** What came of it, once the client it was called on is closed; undefined: nothing was wrong. */
function outcome({ call }: Parameter, value: unknown): Promise<unknown> {
  const client = new DeviceClient(good, { createConnection: () => new Promise(() => {}), reconnect: false } as object);
  client.on("error", () => {});
  return outcomeOf(client, () => call(value as never, client));
}

test("every export is looked at here", () => {
  const functions = Object.keys(hubwire).filter((name) => !["HubwireError"].includes(name));
  const named = PARAMETERS.map(({ name }) => name);
  for (const name of functions)
    expect(
      named.some((parameter) => parameter.startsWith(name)),
      name,
    ).toBe(true);
  const methods = Object.getOwnPropertyNames(DeviceClient.prototype).filter((name) => {
    const { value } = Object.getOwnPropertyDescriptor(DeviceClient.prototype, name) as PropertyDescriptor;
    return typeof value === "function" && name !== "constructor";
  });
  for (const name of methods)
    expect(
      named.some((parameter) => parameter.startsWith(name)),
      name,
    ).toBe(true);
});

describe.each(PARAMETERS)("$name", (parameter) => {
  test.each(Object.keys(VALUES))("given %s", async (name) => {
    const error = await outcome(parameter, VALUES[name]?.());
    if (error !== undefined) {
      expect(error).toBeInstanceOf(HubwireError);
      expect([...CODES, ...ENDED]).toContain((error as HubwireError).code);
    }
    const refused = error !== undefined && !ENDED.includes((error as HubwireError).code);
    expect(refused, inspect(error)).toBe(!parameter.takes.includes(name));
  });

  test.each(parameter.options ?? [])("with an option %s that cannot be read", async (name) => {
    const options = Object.defineProperty({}, name, { get: boom, enumerable: true });
    expect(await outcome(parameter, options)).toMatchObject({
      name: "HubwireError",
      code: "ERR_INVALID_ARGUMENT",
      message: expect.stringContaining(name),
    });
  });
});

test("an unknown option is named, and what is meant with it", async () => {
  const client = new DeviceClient(good);
  await expect(client.sendTelemetry("x", { contenttype: "text/plain" } as object)).rejects.toThrow(
    'unknown option "contenttype" of sendTelemetry; is contentType meant?',
  );
  await client.close();
});

test.each(["message", "method", "inputMessage", "toString", "connected"])("the event %s does not exist", (name) => {
  const client = new DeviceClient(good);
  const refused = expect.objectContaining({
    code: "ERR_INVALID_ARGUMENT",
    message: expect.stringContaining(`"${name}"`),
  });
  expect(() => client.on(name as "connect", () => {})).toThrow(refused);
  expect(() => client.once(name as "connect", () => {})).toThrow(refused);
});

test("what is meant by events of other clients is said", () => {
  const client = new DeviceClient(good);
  expect(() => client.on("message" as "connect", () => {})).toThrow(/call messages\(handler\)/);
});
