/**
 * Sixteen rules of Microsoft's pages, each a test that names its page: six that let in what Azure lets in, ten that
 * refuse what Azure refuses. The pages are those of the repository MicrosoftDocs/azure-docs.
 */
import { createHmac } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ConnectInit, Packet, QoS } from "../../src/codec/index.js";
import {
  HubEmulator,
  type CreatedIdentity,
  type DisconnectedEvent,
  type SubscribedEvent,
  type TelemetryMessage,
  type ViolationEvent,
} from "../../src/emulator/index.js";
import { signSasToken } from "../../src/wire/sas.js";
import { FakeClock } from "../support/clock.js";
import { connectPacket, event, RawClient } from "./raw-client.js";

const MQTT_PAGE = "articles/iot/iot-mqtt-connect-to-iot-hub.md";
const DPS_PAGE = "articles/iot/iot-mqtt-connect-to-iot-dps.md";
const TWIN_PAGE = "articles/iot-hub/iot-hub-devguide-device-twins.md";
const C2D_PAGE = "articles/iot-hub/iot-hub-devguide-messages-c2d.md";
const METHODS_PAGE = "articles/iot-hub/iot-hub-devguide-direct-methods.md";
const ERRORS_PAGE = "articles/iot-hub/troubleshoot-error-codes.md";
const MINUTE = 60_000;

let hub: HubEmulator;
let clock: FakeClock;
let device: CreatedIdentity;
let clients: RawClient[] = [];

beforeEach(async () => {
  clock = new FakeClock(Date.now());
  hub = await HubEmulator.start({ clock, provisioning: { idScope: "0ne1" } });
  device = hub.createDevice("d1");
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  clients = [];
  await hub.close();
});

async function open(packet: ConnectInit): Promise<{ client: RawClient; returnCode: number }> {
  const client = await RawClient.open(hub);
  clients.push(client);
  client.send(packet);
  const answer = await client.next();
  if (answer === "closed" || answer.type !== "connack") throw new Error("CONNACK expected");
  return { client, returnCode: answer.returnCode };
}

const connected = async (changes: Partial<ConnectInit> = {}): Promise<RawClient> =>
  (await open(connectPacket(device, changes))).client;

async function publishOf(client: RawClient): Promise<Packet & { type: "publish" }> {
  const packet = await client.next();
  if (packet === "closed" || packet.type !== "publish") throw new Error(`PUBLISH expected: ${JSON.stringify(packet)}`);
  return packet;
}

const text = ({ payload }: { payload: Uint8Array }): string => Buffer.from(payload).toString();

function subscribe(client: RawClient, topicFilter: string, qos: QoS = 1): void {
  client.send({ type: "subscribe", packetId: 9, subscriptions: [{ topicFilter, qos }] });
}

/** Expects the connection to end over `client`'s last packet; returns the reason that the hub gives. */
async function ended(client: RawClient, act: () => void): Promise<string> {
  const violated = event(hub, "violation") as Promise<ViolationEvent>;
  const gone = event(hub, "disconnected") as Promise<DisconnectedEvent>;
  act();
  expect(await client.next()).toBe("closed");
  expect(await gone).toMatchObject({ deviceId: "d1", reason: "violation" });
  return (await violated).error.message;
}

const REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid=1";

async function registration(key: string | undefined, keyName: string | undefined): Promise<RawClient> {
  const { client, returnCode } = await open({
    type: "connect",
    clientId: "r1",
    username: "0ne1/registrations/r1/api-version=2019-03-31",
    password: signSasToken("0ne1/registrations/r1", key as string, clock.wallTime() / 1000 + 60, keyName),
  });
  expect(returnCode).toBe(0);
  await client.subscribe("$dps/registrations/res/#");
  return client;
}

describe("What works on Azure works here", () => {
  it(`1. a provisioning token without skn, as Python and embedded C send it (${DPS_PAGE}: "should be set")`, async () => {
    const { primaryKey } = hub.createEnrollment("r1");
    const client = await registration(primaryKey, undefined);
    client.send({ type: "publish", topic: REGISTER, payload: '{"registrationId":"r1"}' });
    expect((await publishOf(client)).topic).toBe("$dps/registrations/res/202/?$rid=1&retry-after=1");
  });

  it(`2. a registration with an empty body; it is answered with the QoS that was granted (${DPS_PAGE})`, async () => {
    const { primaryKey } = hub.createEnrollment("r1");
    const client = await registration(primaryKey, "registration");
    client.send({ type: "publish", topic: REGISTER, payload: "" });
    const { topic, qos, packetId } = await publishOf(client);
    expect(topic).toBe("$dps/registrations/res/202/?$rid=1&retry-after=1");
    expect({ qos, packetId }).toEqual({ qos: 1, packetId: 1 });
  });

  it("a token with an empty skn and a resource that is not escaped, as the C SDK makes it (sastoken.c)", async () => {
    const se = Math.floor(clock.wallTime() / 1000) + 60;
    const signed = createHmac("sha256", Buffer.from(device.primaryKey as string, "base64"))
      .update(`localhost/devices/d1\n${se}`)
      .digest("base64");
    const password = `SharedAccessSignature sr=localhost/devices/d1&sig=${encodeURIComponent(signed)}&se=${se}&skn=`;
    const { returnCode } = await open(connectPacket(device, { password }));
    expect(returnCode).toBe(0);
  });

  it("3. the filter devices/+/messages/devicebound/# of the embedded C SDK: the device's own messages", async () => {
    const client = await connected();
    expect(await client.subscribe("devices/+/messages/devicebound/#")).toEqual([1]);
    hub.createDevice("d2");
    await hub.sendToDevice("d2", "not mine");
    await hub.sendToDevice("d1", "mine");
    expect(text(await publishOf(client))).toBe("mine");
    expect(await client.nothingElse()).toBe(true);
  });

  it(`4. the filter devices/{d}/modules/{m}/# (${MQTT_PAGE}, "as a module")`, async () => {
    device = hub.createModule("d1", "m1");
    const client = await connected();
    expect(await client.subscribe("devices/d1/modules/m1/#")).toEqual([1]);
    await hub.sendToDevice("d1", "x", { moduleId: "m1", inputName: "in" });
    expect((await publishOf(client)).topic).toMatch(/^devices\/d1\/modules\/m1\/inputs\/in\//);
  });

  it(`5. five minutes of clock skew, before CONNECT and after it (${ERRORS_PAGE}, "time drift")`, async () => {
    const expiry = Math.floor(clock.wallTime() / 1000) - 299;
    const client = await connected(connectPacket(device, { expiry }));
    const gone = event(hub, "disconnected");
    clock.advance(2_000);
    expect(await client.next()).toBe("closed");
    expect(await gone).toMatchObject({ reason: "token-expired" });
    expect((await open(connectPacket(device, { expiry }))).returnCode).toBe(5);
  });

  it.each(["/api-version=2016-11-14", "/?api-version=2021-04-12"])(
    `6. a token whose sr ends with %s (${MQTT_PAGE}, the token of the extension for Visual Studio Code)`,
    async (suffix) => {
      const key = device.primaryKey as string;
      const password = signSasToken(`localhost/devices/d1${suffix}`, key, clock.wallTime() / 1000 + 60);
      expect((await open({ ...connectPacket(device), password })).returnCode).toBe(0);
      const other = signSasToken(`localhost/devices/d2${suffix}`, key, clock.wallTime() / 1000 + 60);
      expect((await open({ ...connectPacket(device), password: other })).returnCode).toBe(5);
    },
  );
});

describe("What fails on Azure fails here", () => {
  it.each([
    "#",
    "devices/#",
    "devices/d1/#",
    "devices/d1/messages/events/#",
    "devices/d2/messages/devicebound/#",
    "devices/d1/messages/devicebound/+",
    "devices/+/messages/#",
    "devices/d1/modules/m1/#",
    "$iothub/#",
    "$iothub/twin/#",
    "$iothub/twin/res/200/#",
    "$iothub/methods/POST/+",
    "$dps/registrations/res/#",
    "$SYS/#",
  ])(
    `7. a SUBSCRIBE to %s ends the connection: "only the documented topic names and filters" (${MQTT_PAGE})`,
    async (filter) => {
      const client = await connected();
      const refused = event(hub, "subscribed") as Promise<SubscribedEvent>;
      const reason = await ended(client, () => subscribe(client, filter));
      expect(reason).toContain(filter);
      expect(await refused).toMatchObject({ topicFilter: filter, returnCode: 0x80, reason: expect.any(String) });
    },
  );

  it(`8. a sixth subscription: "a device can only subscribe to five topics at a time" (${MQTT_PAGE})`, async () => {
    const client = await connected({ cleanSession: true });
    const filters = [1, 2, 3, 4, 5].map((n) => `$iothub/methods/POST/method${n}/#`);
    expect(await client.subscribe(...filters)).toEqual([1, 1, 1, 1, 1]);
    // The same again takes no place, and a place that was left is free.
    expect(await client.subscribe(filters[0] as string)).toEqual([1]);
    client.send({ type: "unsubscribe", packetId: 3, topicFilters: [filters[4] as string] });
    expect(await client.next()).toMatchObject({ type: "unsuback" });
    expect(await client.subscribe("$iothub/twin/res/#")).toEqual([1]);
    expect(await ended(client, () => subscribe(client, filters[4] as string))).toMatch(/at most 5 subscriptions/);
  });

  it.each(["localhost/d1", "localhost/d1/"])(
    `9. a user name without api-version (%s) has messages, and neither twin nor methods (${MQTT_PAGE})`,
    async (username) => {
      const messages = await connected({ username });
      expect(await messages.subscribe("devices/d1/messages/devicebound/#")).toEqual([1]);
      const telemetry = event(hub, "telemetry") as Promise<TelemetryMessage>;
      messages.send({ type: "publish", topic: "devices/d1/messages/events/", payload: "x" });
      expect(text(await telemetry)).toBe("x");
      for (const filter of ["$iothub/twin/res/#", "$iothub/methods/POST/#"]) {
        const client = await connected({ username });
        expect(await ended(client, () => subscribe(client, filter))).toMatch(/need an api-version/);
      }
      const client = await connected({ username });
      const get = { type: "publish", topic: "$iothub/twin/GET/?$rid=1" } as const;
      expect(await ended(client, () => client.send(get))).toMatch(/need an api-version/);
    },
  );

  it.each(["2021-04-13", "2999-01-01", "2016-11-14-preview", "latest", ""])(
    `10. the api-version "%s", which does not exist (${ERRORS_PAGE}, 400001 InvalidProtocolVersion)`,
    async (version) => {
      const refused = event(hub, "refused");
      const { returnCode } = await open({ ...connectPacket(device), username: `localhost/d1/?api-version=${version}` });
      expect(returnCode).toBe(4);
      expect(await refused).toMatchObject({ reason: expect.stringContaining("api-version") });
    },
  );

  it(`11. a twin beyond the documented limits (${TWIN_PAGE}, formats and size)`, async () => {
    const client = await connected();
    await client.subscribe("$iothub/twin/res/#");
    const status = async (body: string): Promise<string> => {
      client.send({ type: "publish", topic: "$iothub/twin/PATCH/properties/reported/?$rid=1", payload: body });
      return (await publishOf(client)).topic.replace(/.*res\/(\d+).*/, "$1");
    };
    const deep = (levels: number, inner = '"value"'): string => '{"a":'.repeat(levels) + inner + "}".repeat(levels);
    const many = (count: number, value: string): string =>
      `{${Array.from({ length: count }, (_, index) => `"k${1000 + index}":${value}`).join()}}`;
    // The page's own example: ten objects within the section.
    expect(await status(deep(11))).toBe("204");
    expect(await status(deep(12))).toBe("400");
    expect(await status('{"n":4503599627370495,"m":-4503599627370496,"e":6.02e23}')).toBe("204");
    expect(await status('{"n":4503599627370496}')).toBe("400");
    expect(await status('{"n":[1,null]}')).toBe("400");
    expect(await status(`{"s":"${"x".repeat(4096)}"}`)).toBe("204");
    expect(await status(`{"s":"${"x".repeat(4097)}"}`)).toBe("400");
    expect(await status('{"a.b":1}')).toBe("400");
    expect(await status('{"a":null,"n":null,"m":null,"e":null,"s":null}')).toBe("204");
    // Numbers count eight bytes whatever their digits: 13 a property.
    expect(await status(many(2520, "1"))).toBe("204");
    expect(await status(many(2521, "1"))).toBe("400");
    // Control characters count nothing, and neither do quotation marks of JSON.
    expect(await status(many(2520, "null"))).toBe("204");
    expect(await status(`{"c":"${"\\u0001".repeat(4000)}${"y".repeat(50)}"}`)).toBe("204");
    expect(() => hub.updateDesiredProperties("d1", JSON.parse(deep(12)) as object)).toThrow(/levels/);
    expect(() => hub.updateTags("d1", { t: "x".repeat(4096), u: "x".repeat(4096) })).toThrow(/tags|section/);
  });

  it(`12. a method that is called without a payload has an empty body, not null (${MQTT_PAGE}, "an empty body")`, async () => {
    const client = await connected();
    await client.subscribe("$iothub/methods/POST/#");
    const result = hub.invokeMethod("d1", "m");
    const { topic, payload } = await publishOf(client);
    expect(payload).toHaveLength(0);
    client.send({ type: "publish", topic: topic.replace("POST/m", "res/200"), payload: "" });
    expect(await result).toEqual({ status: 200, payload: null });
  });

  it.each(["not json", "{", "\ufeff{}", "undefined"])(
    `13. an answer to a method that is not JSON, %j, is an error for the caller (${METHODS_PAGE}, "a JSON document")`,
    async (payload) => {
      const client = await connected();
      await client.subscribe("$iothub/methods/POST/#");
      const result = hub.invokeMethod("d1", "m");
      const { topic } = await publishOf(client);
      client.send({ type: "publish", topic: topic.replace("POST/m", "res/200"), payload });
      await expect(result).rejects.toMatchObject({ code: "ERR_HUB_STATUS", message: expect.stringContaining("JSON") });
    },
  );

  it(`14. a question mark before the properties of telemetry belongs to the first name (${MQTT_PAGE})`, async () => {
    const client = await connected();
    const telemetry = event(hub, "telemetry") as Promise<TelemetryMessage>;
    client.send({ type: "publish", topic: "devices/d1/messages/events/?a=1&$.mid=2" });
    expect([...(await telemetry).properties]).toEqual([["?a", "1"]]);
    expect((await telemetry).systemProperties).toEqual({ messageId: "2" });
  });

  it(`15. a message to a device lives an hour, is locked for a minute, and comes again (${C2D_PAGE})`, async () => {
    const { completion } = await hub.sendToDevice("d1", "x");
    const client = await connected();
    await client.subscribe("devices/d1/messages/devicebound/#");
    expect(await publishOf(client)).toMatchObject({ dup: false });
    for (let minute = 1; minute < 60; minute++) {
      clock.advance(MINUTE - 1);
      expect(await client.nothingElse()).toBe(true);
      clock.advance(1);
      expect(await publishOf(client)).toMatchObject({ dup: true });
    }
    clock.advance(MINUTE);
    expect(await completion).toBe("Expired");
    expect(await client.nothingElse()).toBe(true);
  });

  it(`16. a wrong provisioning key is told after CONNECT (articles/iot-dps/how-to-troubleshoot-dps.md, 401)`, async () => {
    hub.createEnrollment("r1");
    const client = await registration(Buffer.alloc(32).toString("base64"), "registration");
    client.send({ type: "publish", topic: REGISTER, payload: '{"registrationId":"r1"}' });
    const answer = await publishOf(client);
    expect(answer.topic).toBe("$dps/registrations/res/401/?$rid=1");
    expect(JSON.parse(text(answer))).toMatchObject({ errorCode: 401_002, message: "Unauthorized" });
  });
});
