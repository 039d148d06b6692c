/**
 * Programs that others wrote for Microsoft's SDK, moved by the words of src/hub/README.md: the simple samples of a device and a
 * module, each reduced to what it does with the hub.
 */
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createAuthority, createSelfSigned, HubEmulator } from "../src/emulator/index.js";
import { deriveGroupKey, DeviceClient, type HubMessage, provisionDevice } from "../src/hub/index.js";

let hub: HubEmulator;
let network: { port: number; tls: { ca: string } };
const text = (payload: Uint8Array): string => Buffer.from(payload).toString();

beforeAll(async () => {
  hub = await HubEmulator.start();
  network = { port: hub.port, tls: { ca: hub.caCertificate } };
});
afterAll(() => hub.close());

test("simple_sample_device: telemetry with a property, messages completed", async () => {
  const { connectionString } = hub.createDevice("simple");
  const client = new DeviceClient(connectionString, network); // Client.fromConnectionString(connectionString, Mqtt)
  const messages: HubMessage[] = [];
  await client.messages((message) => void messages.push(message)); // client.on("message"), client.complete
  await client.connect(); // client.open()

  const received = once(hub, "telemetry");
  const temperature = 31.2;
  // new Message(data); message.properties.add("temperatureAlert", …); client.sendEvent(message)
  await client.sendTelemetry(JSON.stringify({ deviceId: "myFirstDevice", windSpeed: 11, temperature, humidity: 70 }), {
    properties: { temperatureAlert: temperature > 28 ? "true" : "false" },
  });
  const [{ payload, properties }] = (await received) as [{ payload: Uint8Array; properties: Map<string, string> }];
  expect(JSON.parse(text(payload))).toMatchObject({ temperature: 31.2 });
  expect(properties.get("temperatureAlert")).toBe("true");

  const { completion } = await hub.sendToDevice("simple", "wake up", { messageId: "m-1" });
  expect(await completion).toBe("Success");
  expect(messages.map(({ messageId, payload: body }) => [messageId, text(body)])).toEqual([["m-1", "wake up"]]);
  await client.close();
});

test("send_batch: a body each, an outcome each", async () => {
  const { connectionString } = hub.createDevice("batch");
  const client = new DeviceClient(connectionString, network);
  await client.connect();
  const outcomes = await client.sendTelemetryBatch(["one", "two", "three"].map((body) => ({ body })));
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
  await client.close();
});

test("device_methods: getDeviceLog with an answer, lockDoor without one", async () => {
  const { connectionString } = hub.createDevice("methods");
  const client = new DeviceClient(connectionString, network);
  const locked: unknown[] = [];
  // client.onDeviceMethod("getDeviceLog", (request, response) => response.send(200, payload))
  await client.onMethod("getDeviceLog", () => ({ status: 200, payload: { url: "https://example.com/log.txt" } }));
  await client.onMethod("lockDoor", ({ name, payload }) => void locked.push([name, payload]));
  await client.connect();
  expect(await hub.invokeMethod("methods", "getDeviceLog", { days: 1 })).toEqual({
    status: 200,
    payload: { url: "https://example.com/log.txt" },
  });
  expect(await hub.invokeMethod("methods", "lockDoor", { door: 2 })).toEqual({ status: 200, payload: null });
  expect(locked).toEqual([["lockDoor", { door: 2 }]]);
  await client.close();
});

test("simple_sample_device_twin: desired properties, one section of them, reported ones", async () => {
  const { connectionString } = hub.createDevice("twin");
  hub.updateDesiredProperties("twin", { climate: { minTemperature: 68 } });
  const client = new DeviceClient(connectionString, network);
  await client.connect();
  const climates: unknown[] = [];
  let told = (): void => {};
  const heard = new Promise<void>((resolve) => (told = resolve));
  await client.onDesiredProperties((patch) => {
    if (patch["climate"]) climates.push(patch["climate"]); // twin.on("properties.desired.climate")
    if (climates.length === 2) told();
  });
  hub.updateDesiredProperties("twin", { climate: { maxTemperature: 77 } });
  await heard;
  expect(Object.assign({}, ...(climates as object[]))).toEqual({ minTemperature: 68, maxTemperature: 77 });
  await client.updateReportedProperties({ firmwareVersion: "1.2.1", weather: { temperature: 72, humidity: 17 } });
  expect((await client.getTwin()).reported).toMatchObject({ firmwareVersion: "1.2.1", weather: { humidity: 17 } });
  await client.close();
});

test("register_symkey and register_symkey_group: provisioned, then connected", async () => {
  const { primaryKey } = hub.createEnrollment("own-key");
  const group = hub.createEnrollmentGroup({});
  const service = { host: "localhost", idScope: hub.idScope, ...network };
  for (const identity of [
    { registrationId: "own-key", symmetricKey: primaryKey! },
    { registrationId: "group-key", symmetricKey: deriveGroupKey(group.primaryKey!, "group-key") },
  ]) {
    const { assignedHub, deviceId, deviceOptions } = await provisionDevice({ ...service, ...identity });
    expect([assignedHub, deviceId]).toEqual(["localhost", identity.registrationId]);
    const client = new DeviceClient(deviceOptions, network);
    await client.connect();
    await client.sendTelemetry("Hello world");
    await client.close();
  }
});

test("simple_sample_device_x509: a certificate in place of a key", async () => {
  const { certificate, key } = hub.createDevice("x509", { x509: true });
  const x509 = { cert: certificate!, key: key! };
  // Client.fromConnectionString("HostName=…;DeviceId=…;x509=true", Mqtt), client.setOptions({ cert, key })
  const client = new DeviceClient({ hostName: "localhost", deviceId: "x509", x509 }, network);
  await client.connect();
  const received = once(hub, "telemetry");
  await client.sendTelemetry({ windSpeed: 12 });
  const [{ deviceId, payload }] = (await received) as [{ deviceId: string; payload: Uint8Array }];
  expect([deviceId, JSON.parse(text(payload))]).toEqual(["x509", { windSpeed: 12 }]);
  await client.close();
});

test("register_x509: enrolled by its certificate or by who signed it, then connected with the same", async () => {
  const own = createSelfSigned({ commonName: "own-certificate", client: true });
  hub.createEnrollment("own-certificate", { thumbprint: own.thumbprint });
  const factory = createAuthority({ commonName: "factory" });
  hub.createEnrollmentGroup({ certificateAuthority: factory.certificate });
  const signed = factory.issue({ commonName: "signed", client: true });
  const service = { host: "localhost", idScope: hub.idScope, ...network };
  for (const [registrationId, cert, key] of [
    ["own-certificate", own.certificate, own.key],
    ["signed", signed.chain, signed.key],
  ] as const) {
    // ProvisioningDeviceClient.create(host, idScope, new Mqtt(), new X509Security(registrationId, { cert, key })).register()
    const { assignedHub, deviceId, deviceOptions } = await provisionDevice({
      ...service,
      registrationId,
      x509: { cert, key },
    });
    expect([assignedHub, deviceId]).toEqual(["localhost", registrationId]);
    const client = new DeviceClient(deviceOptions, network);
    await client.connect();
    const received = once(hub, "telemetry");
    await client.sendTelemetry("Hello world");
    expect(((await received) as [{ deviceId: string }])[0].deviceId).toBe(registrationId);
    await client.close();
  }
  const stranger = createSelfSigned({ commonName: "own-certificate", client: true });
  const refused = provisionDevice({
    ...service,
    registrationId: "own-certificate",
    x509: { cert: stranger.certificate, key: stranger.key },
  });
  await expect(refused).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_(PROVISIONING|NOT_AUTHORIZED)$/) });
});

test("simple_sample_module and its method and twin: inputs to outputs", async () => {
  hub.createDevice("edge");
  const { connectionString } = hub.createModule("edge", "filter");
  const module = new DeviceClient(connectionString, network); // ModuleClient.fromConnectionString
  // module.on("inputMessage", (input, message) => module.sendOutputEvent("output1", message))
  await module.onInput("input1", async ({ payload }) => module.sendToOutput("output1", payload));
  await module.onMethod("doSomethingInteresting", () => ({ status: 200, payload: "done" }));
  await module.connect();
  const received = once(hub, "telemetry");
  await hub.sendToDevice("edge", "21.5", { moduleId: "filter", inputName: "input1" });
  const [event] = (await received) as [{ outputName: string; moduleId: string; payload: Uint8Array }];
  expect([event.moduleId, event.outputName, text(event.payload)]).toEqual(["filter", "output1", "21.5"]);
  const options = { moduleId: "filter" };
  expect(await hub.invokeMethod("edge", "doSomethingInteresting", {}, options)).toEqual({
    status: 200,
    payload: "done",
  });
  await module.updateReportedProperties({ state: "ready" });
  expect((await module.getTwin()).reported).toMatchObject({ state: "ready" });
  await module.close();
});
