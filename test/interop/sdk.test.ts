/** Microsoft's SDK, unmodified, as a device and as a module of the emulator. */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createSelfSigned, HubEmulator } from "../../src/emulator/index.js";
import { deriveGroupKey } from "../../src/hub/index.js";
import { Inbox } from "./support/inbox.js";
import {
  Message,
  sdkDevice,
  sdkModule,
  sdkProvision,
  sdkX509Device,
  type SdkDeviceClient,
  type SdkMessage,
  type SdkOptions,
} from "./support/sdk.js";

let hub: HubEmulator;
const cleanup: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  hub = await HubEmulator.start();
});
afterAll(() => hub.close());
afterEach(async () => {
  for (const close of cleanup.splice(0).reverse()) await close();
});

async function device(deviceId: string, options: SdkOptions = {}): Promise<SdkDeviceClient> {
  const client = await sdkDevice(hub.createDevice(deviceId).connectionString, hub, options);
  cleanup.push(() => client.close());
  await client.open();
  return client;
}

/** What the hub is told of this kind about one device from now on. */
function events<T>(name: "telemetry" | "completed" | "subscribed" | "reportedProperties", deviceId: string): Inbox<T> {
  const inbox = new Inbox<T>();
  hub.on(name, (event: { deviceId: string }) => {
    if (event.deviceId === deviceId) inbox.put(event as T);
  });
  return inbox;
}

interface Telemetry {
  payload: Uint8Array;
  properties: Map<string, string | null>;
  systemProperties: object;
  outputName?: string;
  moduleId?: string;
}

describe("Microsoft's SDK as a device", () => {
  it("connects with its own client id, user name and token", async () => {
    const connected = once(hub, "connected");
    await device("plain", { modelId: "dtmi:com:example:Thermostat;1", productInfo: " interop/1.0" });
    expect(await connected).toEqual([
      expect.objectContaining({
        deviceId: "plain",
        clientId: "plain",
        cleanSession: false,
        keepAlive: 180,
        apiVersion: "2021-04-12",
        modelId: "dtmi:com:example:Thermostat;1",
        productInfo: expect.stringMatching(/^azure-iot-device\/1\.18\.4 \(.*\) interop\/1\.0$/),
      }),
    ]);
  });

  it("sends telemetry with every property", async () => {
    const client = await device("telemetry");
    const inbox = events<Telemetry>("telemetry", "telemetry");
    const message = new Message(JSON.stringify({ temperature: 21.5 }));
    message.messageId = "m-1";
    message.correlationId = "c/1";
    message.userId = "ü";
    message.to = "somewhere";
    message.expiryTimeUtc = new Date(Date.UTC(2030, 0, 2)) as never;
    message.contentType = "application/json" as never;
    message.contentEncoding = "utf-8" as never;
    message.properties.add("alarm", "yes & no");
    message.properties.add("ort", "Küche 1/2 (50 %)");
    message.properties.add("dt-subject", "component");
    await client.sendEvent(message);
    const got = await inbox.first();
    expect(Buffer.from(got.payload).toString()).toBe('{"temperature":21.5}');
    expect([...got.properties]).toEqual([
      ["alarm", "yes & no"],
      ["ort", "Küche 1/2 (50 %)"],
    ]);
    expect(got.systemProperties).toEqual({
      messageId: "m-1",
      correlationId: "c/1",
      userId: "ü",
      to: "somewhere",
      expiry: "2030-01-02T00:00:00.000Z",
      contentType: "application/json",
      contentEncoding: "utf-8",
      subject: "component",
    });
  });

  it("sends 500 messages at once, each arriving once and in order", async () => {
    const client = await device("many");
    const inbox = events<Telemetry>("telemetry", "many");
    const bodies = Array.from({ length: 500 }, (_, index) => `message ${index}`);
    await Promise.all(bodies.map((body) => client.sendEvent(new Message(body))));
    expect((await inbox.take(500)).map(({ payload }) => Buffer.from(payload).toString())).toEqual(bodies);
  });

  it("gets cloud-to-device messages with all their properties, and completes them", async () => {
    const client = await device("c2d");
    const completed = events<object>("completed", "c2d");
    const inbox = new Inbox<SdkMessage>();
    client.on("message", (message: SdkMessage) => {
      inbox.put(message);
      void client.complete(message);
    });
    await hub.sendToDevice("c2d", Uint8Array.of(0, 1, 254, 255), {
      messageId: "c-1",
      correlationId: "c/2",
      userId: "üser",
      contentType: "application/octet-stream",
      contentEncoding: "utf-8",
      ack: "full",
      properties: { unit: "°C", "a&b": "c=d" },
    });
    const got = await inbox.first();
    expect([...(got.data as Buffer)]).toEqual([0, 1, 254, 255]);
    expect(got).toMatchObject({
      messageId: "c-1",
      correlationId: "c/2",
      userId: "üser",
      to: "/devices/c2d/messages/devicebound",
      contentType: "application/octet-stream",
      contentEncoding: "utf-8",
    });
    const properties = got.properties.propertyList.map(({ key, value }) => [key, value]);
    expect(properties).toContainEqual(["unit", "°C"]);
    expect(properties).toContainEqual(["a&b", "c=d"]);
    expect(await completed.first()).toMatchObject({ messageId: "c-1", outcome: "Success", deliveryCount: 1 });
  });

  it("gets the messages that waited for it, in order", async () => {
    const { connectionString } = hub.createDevice("waited");
    for (const body of ["one", "two", "three"]) await hub.sendToDevice("waited", body);
    const client = await sdkDevice(connectionString, hub);
    cleanup.push(() => client.close());
    const inbox = new Inbox<string>();
    client.on("message", (message: SdkMessage) => inbox.put(String(message.data)));
    await client.open();
    expect(await inbox.take(3)).toEqual(["one", "two", "three"]);
  });

  it("answers direct methods", async () => {
    const client = await device("method");
    const subscribed = events("subscribed", "method");
    client.onDeviceMethod("reboot", (request, response) => {
      void response.send(200, { was: request.payload, name: request.methodName });
    });
    client.onDeviceMethod("fail", (_request, response) => void response.send(500));
    await subscribed.first();
    expect(await hub.invokeMethod("method", "reboot", { in: 5, text: "ü" })).toMatchObject({
      status: 200,
      payload: { was: { in: 5, text: "ü" }, name: "reboot" },
    });
    expect(await hub.invokeMethod("method", "fail", null)).toMatchObject({ status: 500 });
  });

  it("reads its twin, patches it, and is told of desired changes", async () => {
    const client = await device("twin");
    hub.updateDesiredProperties("twin", { setPoint: { value: 19 } });
    const twin = await client.getTwin();
    expect(twin.properties.desired).toMatchObject({ setPoint: { value: 19 }, $version: 2 });

    const reported = events<object>("reportedProperties", "twin");
    await new Promise<void>((resolve, reject) => {
      const patch = { firmware: "1.2", nested: { a: 1, gone: null } };
      twin.properties.reported["update"](patch, (error?: Error) => (error ? reject(error) : resolve()));
    });
    expect(await reported.first()).toMatchObject({ version: 2 });
    expect(hub.twin("twin")).toMatchObject({
      properties: { reported: { firmware: "1.2", nested: { a: 1 }, $version: 2 } },
    });

    const changes = new Inbox<string>();
    const subscribed = events("subscribed", "twin");
    // As text at once: the SDK merges the next change into the object that it gave away.
    twin.on("properties.desired.setPoint", (change) => changes.put(JSON.stringify(change)));
    await subscribed.first();
    hub.updateDesiredProperties("twin", { setPoint: { value: 20 } });
    // The SDK tells a new listener of the value it has, then of the change.
    expect(await changes.take(2)).toEqual(['{"value":19}', '{"value":20}']);
  });

  it("gets an error for a twin patch that the hub refuses", async () => {
    const client = await device("bad-patch");
    const twin = await client.getTwin();
    const error = await new Promise((resolve) => {
      twin.properties.reported["update"]({ large: "x".repeat(5_000) }, resolve);
    });
    expect(error).toBeInstanceOf(Error);
  });

  it("connects with an X.509 certificate", async () => {
    const { certificate, key } = hub.createDevice("x509", { x509: true });
    const identity = {
      hostName: hub.hostName,
      deviceId: "x509",
      cert: certificate as string,
      key: key as string,
    };
    const client = await sdkX509Device(identity, hub);
    cleanup.push(() => client.close());
    await client.open();
    const inbox = events<Telemetry>("telemetry", "x509");
    await client.sendEvent(new Message("with a certificate"));
    expect(Buffer.from((await inbox.first()).payload).toString()).toBe("with a certificate");
  });

  it("keeps its subscriptions and messages over its own token renewals", async () => {
    const connections = new Inbox<{ sessionPresent: boolean }>();
    hub.on("connected", (event) => {
      if (event.deviceId === "renewal") connections.put(event);
    });
    const client = await device("renewal", {
      tokenRenewal: { tokenValidTimeInSeconds: 3, tokenRenewalMarginInSeconds: 2 },
    });
    const got = new Inbox<string>();
    client.on("message", (message: SdkMessage) => got.put(String(message.data)));
    await hub.sendToDevice("renewal", "before");
    await got.first();
    const present = (await connections.take(3)).map(({ sessionPresent }) => sessionPresent);
    expect(present).toEqual([false, true, true]);
    await hub.sendToDevice("renewal", "after");
    expect(await got.take(2)).toEqual(["before", "after"]);
  });

  it("is refused with a wrong key", async () => {
    const { connectionString } = hub.createDevice("wrong-key");
    const wrong = connectionString.replace(/SharedAccessKey=.*/, "SharedAccessKey=d3Jvbmcga2V5");
    const client = await sdkDevice(wrong, hub);
    await expect(client.open()).rejects.toThrow(/not authorized|bad username or password/i);
  });

  it("does not trust a hub without its authority", async () => {
    const { connectionString } = hub.createDevice("untrusting");
    const client = await sdkDevice(connectionString, { port: hub.port, caCertificate: "" });
    await expect(client.open()).rejects.toThrow();
  });
});

describe("Microsoft's SDK as a module", () => {
  it("sends to an output, gets from an input, answers methods and reads its twin", async () => {
    hub.createDevice("edge");
    const { connectionString } = hub.createModule("edge", "filter");
    const client = await sdkModule(connectionString, hub);
    cleanup.push(() => client.close());
    await client.open();

    const telemetry = events<Telemetry>("telemetry", "edge");
    const message = new Message("filtered");
    message.properties.add("level", "high");
    await client.sendOutputEvent("alerts", message);
    await client.sendEvent(new Message("plain"));
    const [output, plain] = await telemetry.take(2);
    expect(output).toMatchObject({
      moduleId: "filter",
      outputName: "alerts",
      systemProperties: { outputName: "alerts" },
    });
    expect([...(output as Telemetry).properties]).toEqual([["level", "high"]]);
    expect(plain).toMatchObject({ moduleId: "filter", systemProperties: {} });

    const inputs = new Inbox<{ name: string; message: SdkMessage }>();
    const subscribed = events("subscribed", "edge");
    client.on("inputMessage", (name: string, message: SdkMessage) => inputs.put({ name, message }));
    await subscribed.first();
    await hub.sendToDevice("edge", "raw", {
      moduleId: "filter",
      inputName: "sensor",
      messageId: "i-1",
      properties: { unit: "°C" },
    });
    const input = await inputs.first();
    expect(input.name).toBe("sensor");
    expect(String(input.message.data)).toBe("raw");
    expect(input.message.messageId).toBe("i-1");
    expect(input.message.properties.getValue("unit")).toBe("°C");

    client.onMethod("ping", (_request, response) => void response?.send(200, "pong"));
    await subscribed.take(2);
    expect(await hub.invokeMethod("edge", "ping", null, { moduleId: "filter" })).toMatchObject({
      status: 200,
      payload: "pong",
    });

    const twin = await client.getTwin();
    expect(twin.properties.desired).toMatchObject({ $version: 1 });
  });
});

describe("Microsoft's SDK at the provisioning service", () => {
  it("registers with an enrolment's own key, its payload is seen, and the device can connect", async () => {
    const { idScope, primaryKey } = hub.createEnrollment("sensor-1", { deviceId: "provisioned-1" });
    const registered = once(hub, "registered");
    const state = await sdkProvision(hub, {
      host: hub.hostName,
      idScope,
      registrationId: "sensor-1",
      proof: primaryKey as string,
      payload: { model: "M1" },
    });
    expect(state).toMatchObject({ assignedHub: hub.hostName, deviceId: "provisioned-1" });
    expect(await registered).toEqual([
      expect.objectContaining({
        registrationId: "sensor-1",
        deviceId: "provisioned-1",
        payload: { model: "M1" },
      }),
    ]);

    const client = await sdkDevice(
      `HostName=${state.assignedHub};DeviceId=${state.deviceId};SharedAccessKey=${primaryKey}`,
      hub,
    );
    cleanup.push(() => client.close());
    const inbox = events<Telemetry>("telemetry", "provisioned-1");
    await client.open();
    await client.sendEvent(new Message("hello"));
    expect(Buffer.from((await inbox.first()).payload).toString()).toBe("hello");
  });

  it("registers with a key that is derived from a group's", async () => {
    const { idScope, primaryKey } = hub.createEnrollmentGroup();
    const proof = deriveGroupKey(primaryKey as string, "sensor-2");
    const state = await sdkProvision(hub, { host: hub.hostName, idScope, registrationId: "sensor-2", proof });
    expect(state).toMatchObject({ assignedHub: hub.hostName, deviceId: "sensor-2" });
  });

  it("registers with a certificate, and the device connects with it", async () => {
    const { certificate: cert, key, thumbprint } = createSelfSigned({ commonName: "sensor-4", client: true });
    const { idScope } = hub.createEnrollment("sensor-4", { thumbprint });
    const registration = { host: hub.hostName, idScope, registrationId: "sensor-4", proof: { cert, key } };
    const state = await sdkProvision(hub, registration);
    expect(state).toMatchObject({ assignedHub: hub.hostName, deviceId: "sensor-4" });
    const client = await sdkX509Device({ hostName: state.assignedHub, deviceId: state.deviceId, cert, key }, hub);
    cleanup.push(() => client.close());
    await client.open();
    await client.sendEvent(new Message("hello"));
  });

  it("is refused with a wrong key", async () => {
    const { idScope } = hub.createEnrollment("sensor-3");
    const registration = { host: hub.hostName, idScope, registrationId: "sensor-3", proof: "d3Jvbmcga2V5" };
    // Told after CONNECT, in answer to the registration.
    await expect(sdkProvision(hub, registration)).rejects.toMatchObject({ result: { errorCode: 401_002 } });
  });
});
