/** MQTT.js as a client of the emulator: a client that knows MQTT and nothing of IoT Hub. */
import { once } from "node:events";
import { connect as mqttConnect, type IClientOptions, type MqttClient as MqttJs, type OnMessageCallback } from "mqtt";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { HubEmulator } from "../../src/emulator/index.js";
import { createSasToken, encodeProperties, parseConnectionString } from "../../src/hub/index.js";
import { Inbox } from "./support/inbox.js";

let hub: HubEmulator;
const cleanup: (() => Promise<unknown>)[] = [];
beforeAll(async () => {
  hub = await HubEmulator.start();
});
afterAll(() => hub.close());
afterEach(async () => {
  for (const close of cleanup.splice(0).reverse()) await close();
});

interface Identity {
  hostName: string;
  deviceId: string;
  key: string;
}

function register(deviceId: string): Identity {
  const { hostName, sharedAccessKey } = parseConnectionString(hub.createDevice(deviceId).connectionString);
  return { hostName, deviceId, key: sharedAccessKey as string };
}

async function connect(
  identity: Identity,
  options: IClientOptions = {},
  listener?: OnMessageCallback,
): Promise<MqttJs> {
  const { hostName, deviceId } = identity;
  const client = mqttConnect(`mqtts://localhost:${hub.port}`, {
    ca: hub.caCertificate,
    protocolVersion: 4,
    reconnectPeriod: 0,
    clean: false,
    clientId: deviceId,
    username: `${hostName}/${deviceId}/?api-version=2021-04-12`,
    password: createSasToken({ ...identity, expiry: Math.floor(Date.now() / 1000) + 600 }),
    ...options,
  });
  if (listener !== undefined) client.on("message", listener);
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("error", reject);
  });
  // A connection that the hub closes is an `error` to nobody here but the test that provokes it.
  client.on("error", () => {});
  cleanup.push(() => client.endAsync(true));
  return client;
}

function closing(client: MqttJs): Promise<void> {
  return new Promise((resolve) => client.once("close", () => resolve()));
}

/** The hub's telemetry of one device from now on. */
function telemetryOf(deviceId: string): Inbox<Record<string, unknown>> {
  const inbox = new Inbox<Record<string, unknown>>();
  hub.on("telemetry", (message) => {
    if (message.deviceId !== deviceId) return;
    const { payload, properties, systemProperties, qos, topic } = message;
    inbox.put({
      payload: Buffer.from(payload).toString(),
      properties: Object.fromEntries(properties),
      systemProperties,
      qos,
      topic,
    });
  });
  return inbox;
}

describe("MQTT.js as a device", () => {
  it.each([0, 1] as const)("sends telemetry with properties, QoS %i", async (qos) => {
    const id = `telemetry-${qos}`;
    const client = await connect(register(id));
    const inbox = telemetryOf(id);
    const bag = encodeProperties({
      "$.mid": "m-1",
      "$.ct": "application/json",
      "büro & co": "a/b=c+d",
      empty: "",
      none: null,
    });
    await client.publishAsync(`devices/${id}/messages/events/${bag}`, '{"t":1}', { qos });
    expect(await inbox.first()).toEqual({
      payload: '{"t":1}',
      properties: { "büro & co": "a/b=c+d", empty: "", none: null },
      systemProperties: { messageId: "m-1", contentType: "application/json" },
      qos,
      topic: `devices/${id}/messages/events/${bag}`,
    });
  });

  it("sends 2,000 messages, each once and in order", async () => {
    const client = await connect(register("many"));
    const inbox = telemetryOf("many");
    const bodies = Array.from({ length: 2_000 }, (_, index) => `message ${index}`);
    const topic = "devices/many/messages/events/";
    for (let first = 0; first < 2_000; first += 500) {
      const batch = bodies.slice(first, first + 500);
      await Promise.all(batch.map((body) => client.publishAsync(topic, body, { qos: 1 })));
    }
    expect((await inbox.take(2_000)).map((message) => message["payload"])).toEqual(bodies);
  });

  it("gets cloud-to-device messages with their properties, and completes them with PUBACK", async () => {
    const client = await connect(register("c2d"));
    const inbox = new Inbox<{ topic: string; payload: string; qos: number }>();
    client.on("message", (topic, payload, { qos }) => inbox.put({ topic, payload: payload.toString(), qos }));
    const [granted] = await client.subscribeAsync("devices/c2d/messages/devicebound/#", { qos: 1 });
    expect(granted).toMatchObject({ qos: 1 });
    const { completion } = await hub.sendToDevice("c2d", "set 21 °C", {
      properties: { unit: "°C" },
      messageId: "c-1",
    });
    const got = await inbox.first();
    expect(got).toMatchObject({ payload: "set 21 °C", qos: 1 });
    expect(got.topic).toMatch(/^devices\/c2d\/messages\/devicebound\//);
    expect(got.topic).toContain("%24.mid=c-1");
    expect(got.topic).toContain("unit=%C2%B0C");
    expect(await completion).toBe("Success");
  });

  it("gets what was sent to it while it was away, in order", async () => {
    const identity = register("away");
    const first = await connect(identity);
    await first.subscribeAsync("devices/away/messages/devicebound/#", { qos: 1 });
    await first.endAsync();
    for (const body of ["one", "two", "three"]) await hub.sendToDevice("away", body);
    const inbox = new Inbox<string>();
    // The session knows its subscription: the messages come right behind CONNACK.
    await connect(identity, {}, (_topic, payload) => inbox.put(payload.toString()));
    expect(await inbox.take(3)).toEqual(["one", "two", "three"]);
  });

  it("answers a direct method by the topics alone", async () => {
    const client = await connect(register("method"));
    client.on("message", (topic, payload) => {
      const rid = /\?\$rid=(.*)$/.exec(topic)?.[1];
      void client.publishAsync(`$iothub/methods/res/207/?$rid=${rid}`, `{"echo":${payload.toString()}}`, {
        qos: 0,
      });
    });
    await client.subscribeAsync("$iothub/methods/POST/#", { qos: 0 });
    expect(await hub.invokeMethod("method", "reboot", { in: 5 })).toMatchObject({
      status: 207,
      payload: { echo: { in: 5 } },
    });
  });

  it("reads and patches its twin by the topics alone", async () => {
    const client = await connect(register("twin"));
    hub.updateDesiredProperties("twin", { setPoint: 19 });
    const inbox = new Inbox<{ topic: string; body: string }>();
    client.on("message", (topic, payload) => inbox.put({ topic, body: payload.toString() }));
    await client.subscribeAsync(["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#"], {
      qos: 0,
    });
    await client.publishAsync("$iothub/twin/PATCH/properties/reported/?$rid=1", '{"firmware":"1.2"}');
    await client.publishAsync("$iothub/twin/GET/?$rid=2", "");
    const [patched, got] = await inbox.take(2);
    expect(patched).toEqual({ topic: "$iothub/twin/res/204/?$rid=1&$version=2", body: "" });
    expect(got?.topic).toBe("$iothub/twin/res/200/?$rid=2");
    expect(JSON.parse(got?.body ?? "")).toMatchObject({
      desired: { setPoint: 19, $version: 2 },
      reported: { firmware: "1.2", $version: 2 },
    });
    hub.updateDesiredProperties("twin", { setPoint: 20 });
    const [, , changed] = await inbox.take(3);
    expect(changed?.topic).toBe("$iothub/twin/PATCH/properties/desired/?$version=3");
    expect(JSON.parse(changed?.body ?? "")).toEqual({ setPoint: 20, $version: 3 });
  });

  it("is closed for a QoS 2 message", async () => {
    const client = await connect(register("qos-2"));
    const closed = closing(client);
    const violation = once(hub, "violation");
    void client.publishAsync("devices/qos-2/messages/events/", "x", { qos: 2 }).catch(() => {});
    await closed;
    expect(await violation).toEqual([expect.objectContaining({ clientId: "qos-2" })]);
  });

  it("is closed for a message to a topic of another device", async () => {
    const client = await connect(register("stranger"));
    register("victim");
    const closed = closing(client);
    void client.publishAsync("devices/victim/messages/events/", "x", { qos: 1 }).catch(() => {});
    await closed;
  });

  it("is refused with a wrong key, an expired token or another device's token", async () => {
    const [right, other] = [register("refused"), register("other")];
    const soon = Math.floor(Date.now() / 1000) + 600;
    const passwords = {
      "wrong key": createSasToken({ ...right, key: other.key, expiry: soon }),
      expired: createSasToken({ ...right, expiry: soon - 1200 }),
      "another device's": createSasToken({ ...other, expiry: soon }),
      "no token": "nonsense",
    };
    for (const [what, password] of Object.entries(passwords)) {
      const refusal = await connect(right, { password }).then(
        () => "accepted",
        (error: { code: number }) => error.code,
      );
      // 4 bad user name or password, 5 not authorized: IoT Hub answers either.
      expect([4, 5], what).toContain(refusal);
    }
  });

  it("is closed when the same device connects anew", async () => {
    const identity = register("takeover");
    const older = await connect(identity);
    const closed = closing(older);
    const newer = await connect(identity);
    await closed;
    await newer.publishAsync("devices/takeover/messages/events/", "still here", { qos: 1 });
  });

  it("leaves its will when the connection breaks", async () => {
    const client = await connect(register("will"), {
      will: { topic: "devices/will/messages/events/", payload: Buffer.from("gone"), qos: 1, retain: false },
    });
    const inbox = telemetryOf("will");
    client.stream.destroy();
    expect(await inbox.first()).toMatchObject({
      payload: "gone",
      properties: { "iothub-MessageType": "Will" },
    });
  });
});
