/** Telemetry, the will, and what closes a connection. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { HubEmulator } from "../../src/emulator/index.js";
import type { CreatedIdentity, DisconnectedEvent, TelemetryMessage, ViolationEvent } from "../../src/emulator/index.js";
import type { PacketInit } from "../../src/codec/index.js";
import { FakeClock } from "../support/clock.js";
import { connectPacket, event, RawClient } from "./raw-client.js";

const clock = new FakeClock(Date.now());
let hub: HubEmulator;
let device: CreatedIdentity;
let client: RawClient;
beforeAll(async () => {
  hub = await HubEmulator.start({ clock, limits: { telemetryBytes: 1000 } });
  device = hub.createDevice("d1");
});
afterAll(() => hub.close());
afterEach(() => {
  client.destroy();
  hub.removeAllListeners();
});

const EVENTS = "devices/d1/messages/events/";

async function telemetry(packet: Omit<PacketInit & { type: "publish" }, "type">): Promise<TelemetryMessage> {
  const message = event(hub, "telemetry") as Promise<TelemetryMessage>;
  client.send({ type: "publish", ...packet });
  return message;
}

describe("telemetry", () => {
  it("arrives with its properties, the system's apart, and is acknowledged", async () => {
    client = await RawClient.connected(hub, device);
    const message = await telemetry({
      topic: `${EVENTS}a=b%20c&%24.mid=m-1&%24.ct=application%2Fjson&%24.ce=utf-8&none&empty=`,
      payload: '{"t":21}',
      qos: 1,
      packetId: 7,
    });
    expect(message).toEqual({
      deviceId: "d1",
      payload: Buffer.from('{"t":21}'),
      properties: new Map([
        ["a", "b c"],
        ["none", null],
        ["empty", ""],
      ]),
      systemProperties: { messageId: "m-1", contentType: "application/json", contentEncoding: "utf-8" },
      enqueuedTime: new Date(clock.wallTime()),
      topic: expect.stringContaining("%24.mid=m-1") as string,
      qos: 1,
      dup: false,
      stamps: {
        "iothub-connection-device-id": "d1",
        "iothub-connection-auth-generation-id": expect.any(String) as string,
        "iothub-connection-auth-method": '{"scope":"device","type":"sas","issuer":"iothub"}',
      },
    });
    expect(await client.next()).toEqual({ type: "puback", packetId: 7 });
  });

  it("gives each listener call properties of its own, though the topic is the same", async () => {
    client = await RawClient.connected(hub, device);
    const first = await telemetry({ topic: `${EVENTS}a=1`, qos: 0 });
    first.properties.set("b", "2");
    first.systemProperties.messageId = "x";
    const second = await telemetry({ topic: `${EVENTS}a=1`, qos: 0 });
    expect([...second.properties]).toEqual([["a", "1"]]);
    expect(second.systemProperties).toEqual({});
  });

  it("with RETAIN is marked, not retained", async () => {
    client = await RawClient.connected(hub, device);
    const message = await telemetry({ topic: EVENTS, retain: true });
    expect([...message.properties]).toEqual([["mqtt-retain", "true"]]);
  });

  it("may leave out the last slash, and tells DUP", async () => {
    client = await RawClient.connected(hub, device);
    const message = await telemetry({ topic: "devices/d1/messages/events", qos: 1, packetId: 1, dup: true });
    expect(message.dup).toBe(true);
    expect(message.properties.size).toBe(0);
  });

  it("of a module names its output", async () => {
    client = await RawClient.connected(hub, hub.createModule("d1", "m1"));
    const message = await telemetry({ topic: "devices/d1/modules/m1/messages/events/%24.on=alerts&a=1/" });
    expect(message).toMatchObject({ deviceId: "d1", moduleId: "m1", outputName: "alerts" });
    expect([...message.properties]).toEqual([["a", "1"]]);
  });

  it("of one chunk is acknowledged in order, in one write", async () => {
    client = await RawClient.connected(hub, device);
    const chunks: Uint8Array[] = [];
    client.socket.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    client.send(...[3, 1, 2].map((packetId) => ({ type: "publish", topic: EVENTS, qos: 1, packetId }) as const));
    for (const packetId of [3, 1, 2]) expect(await client.next()).toEqual({ type: "puback", packetId });
    expect(chunks.map((chunk) => Buffer.from(chunk).toString("hex"))).toEqual(["400200034002000140020002"]);
  });
});

describe("a violation", () => {
  const publish = (topic: string, changes: object = {}): PacketInit => ({
    type: "publish",
    topic,
    ...changes,
  });
  it.each<[string, PacketInit | string, RegExp]>([
    ["QoS 2", publish(EVENTS, { qos: 2, packetId: 1 }), /QoS 2/],
    ["another device's topic", publish("devices/d2/messages/events/"), /not the device's own/],
    ["a module's topic", publish("devices/d1/modules/m1/messages/events/"), /not the device's own/],
    ["a topic of nobody", publish("hello"), /may not publish/],
    ["the hub's own topic", publish("$iothub/methods/POST/x/?$rid=1"), /may not publish/],
    ["the provisioning service's topic", publish("$dps/registrations/PUT/iotdps-register/?$rid=1"), /may not publish/],
    ["a message over the limit", publish(EVENTS, { payload: "x".repeat(1001) }), /1001 bytes is over the 1000/],
    [
      "a message over the limit by its properties",
      publish(`${EVENTS}ab=${"y".repeat(10)}`, { payload: "x".repeat(989) }),
      /1001 bytes is over the 1000/,
    ],
    ["a packet of the server", { type: "pingresp" }, /must not send PINGRESP/],
    ["a second CONNECT", { type: "connect", clientId: "d1" }, /second CONNECT/],
    ["reserved flags", "C1 00", /./],
    ["a malformed string", "30 04 00 02 C3 28", /./],
  ])("%s closes the connection", async (_name, packet, reason) => {
    client = await RawClient.connected(hub, device);
    const violated = event(hub, "violation") as Promise<ViolationEvent>;
    const gone = event(hub, "disconnected") as Promise<DisconnectedEvent>;
    const delivered: TelemetryMessage[] = [];
    hub.on("telemetry", (message) => delivered.push(message));
    if (typeof packet === "string") client.sendBytes(`${packet} 30 02 00 00`);
    else client.send(packet, publish(EVENTS, { qos: 1, packetId: 9 }));
    expect(await client.next()).toBe("closed");
    const { error, clientId } = await violated;
    expect(clientId).toBe("d1");
    expect(error.code).toMatch(/^ERR_(PROTOCOL_VIOLATION|MALFORMED_PACKET)$/);
    expect(error.message).toMatch(reason);
    expect(await gone).toEqual({ deviceId: "d1", reason: "violation", error });
    expect(delivered).toEqual([]);
  });

  it("counts properties as the hub does: exactly at the limit is taken", async () => {
    client = await RawClient.connected(hub, device);
    // 988 + name 2 + value 10; of a system property the value alone: 0 + 1000.
    const topic = `${EVENTS}ab=${"y".repeat(10)}`;
    expect((await telemetry({ topic, payload: "x".repeat(988) })).payload).toHaveLength(988);
    expect(
      (await telemetry({ topic: `${EVENTS}%24.cid=${"z".repeat(1000)}` })).systemProperties.correlationId,
    ).toHaveLength(1000);
  });

  it("is a packet before CONNECT", async () => {
    client = await RawClient.open(hub);
    const violated = event(hub, "violation") as Promise<ViolationEvent>;
    client.send({ type: "pingreq" });
    expect(await client.next()).toBe("closed");
    expect(await violated).toMatchObject({ clientId: "", error: { statement: "MQTT-3.1.0-1" } });
  });

  it.each([
    // CONNECT "MQTT", level 5, clean session, keep alive 0, client id "a".
    ["a protocol level other than 4", "10 0D 0004 4D515454 05 02 0000 0001 61", 1],
    // CONNECT "MQTT", level 4, no clean session, keep alive 0, client id "".
    ["an empty client identifier with a kept session", "10 0C 0004 4D515454 04 00 0000 0000", 2],
  ])("in CONNECT is answered where the standard asks for it: %s", async (_name, bytes, returnCode) => {
    client = await RawClient.open(hub);
    client.sendBytes(bytes);
    expect(await client.next()).toEqual({ type: "connack", sessionPresent: false, returnCode });
    expect(await client.next()).toBe("closed");
  });

  it("is a packet larger than any message may be, at its header", async () => {
    client = await RawClient.connected(hub, device);
    const violated = event(hub, "violation") as Promise<ViolationEvent>;
    // PUBLISH of 268,435,455 bytes, of which none follows.
    client.sendBytes("30 FF FF FF 7F");
    expect(await client.next()).toBe("closed");
    expect((await violated).error.code).toBe("ERR_PACKET_TOO_LARGE");
  });
});

describe("a subscription", () => {
  it("is granted with QoS 1 at most", async () => {
    client = await RawClient.connected(hub, device);
    client.send({
      type: "subscribe",
      packetId: 5,
      subscriptions: [
        { topicFilter: "devices/d1/messages/devicebound/#", qos: 2 },
        { topicFilter: "$iothub/twin/res/#", qos: 0 },
        { topicFilter: "$iothub/methods/POST/#", qos: 1 },
      ],
    });
    expect(await client.next()).toEqual({ type: "suback", packetId: 5, returnCodes: [1, 0, 1] });
    const unsubscribed = event(hub, "unsubscribed");
    client.send({ type: "unsubscribe", packetId: 6, topicFilters: ["#", "$iothub/twin/res/#"] });
    expect(await client.next()).toEqual({ type: "unsuback", packetId: 6 });
    expect(await unsubscribed).toEqual({ deviceId: "d1", topicFilter: "$iothub/twin/res/#" });
  });
});

describe("the will", () => {
  const will = { topic: `${EVENTS}reason=gone`, payload: "bye", qos: 1 } as const;

  it("is telemetry when the connection ends without DISCONNECT", async () => {
    client = await RawClient.connected(hub, device, { will });
    const message = event(hub, "telemetry") as Promise<TelemetryMessage>;
    client.destroy();
    expect(await message).toMatchObject({ deviceId: "d1", payload: Buffer.from("bye"), qos: 1 });
    expect([...(await message).properties]).toEqual([
      ["reason", "gone"],
      ["iothub-MessageType", "Will"],
    ]);
  });

  it("is forgotten at DISCONNECT", async () => {
    client = await RawClient.connected(hub, device, { will });
    const delivered: TelemetryMessage[] = [];
    hub.on("telemetry", (message) => delivered.push(message));
    const gone = event(hub, "disconnected");
    await client.disconnect();
    await gone;
    expect(delivered).toEqual([]);
  });

  it.each([
    ["another device's topic", { ...will, topic: "devices/d2/messages/events/" }],
    ["QoS 2", { ...will, qos: 2 as const }],
    ["too large", { ...will, payload: "x".repeat(1001) }],
  ])("with %s closes the connection without CONNACK", async (_name, bad) => {
    client = await RawClient.open(hub);
    client.send(connectPacket(device, { will: bad }));
    expect(await client.next()).toBe("closed");
    expect(hub.isConnected("d1")).toBe(false);
  });
});

describe("a listener that throws", () => {
  it("is the program's error, not the device's", async () => {
    client = await RawClient.connected(hub, device);
    const thrown = new Error("from the listener");
    hub.once("telemetry", () => {
      throw thrown;
    });
    const seen: unknown[] = [];
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.once("uncaughtException", (error) => seen.push(error));
    client.send({ type: "publish", topic: EVENTS });
    expect(await client.next()).toBe("closed");
    for (const other of others) process.on("uncaughtException", other);
    expect(seen).toEqual([thrown]);
  });
});
