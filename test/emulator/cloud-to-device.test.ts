/** Messages to a device: what is queued, when it leaves, and how it ends. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Packet } from "../../src/codec/index.js";
import { HubEmulator, type CloudCompletion, type CreatedIdentity } from "../../src/emulator/index.js";
import { FakeClock } from "../support/clock.js";
import { event, RawClient } from "./raw-client.js";

const HOUR = 3_600_000;
const clock = new FakeClock(Date.now());
let hub: HubEmulator;
let device: CreatedIdentity;
let filter: string;
let count = 0;
const feedback: CloudCompletion[] = [];
beforeAll(async () => {
  hub = await HubEmulator.start({ clock });
  hub.on("feedback", (completion) => feedback.push(completion));
});
afterAll(() => hub.close());
beforeEach(() => {
  device = hub.createDevice(`d${++count}`);
  filter = `devices/${device.deviceId}/messages/devicebound/#`;
  feedback.length = 0;
});

type Publish = Extract<Packet, { type: "publish" }>;
async function nextPublish(client: RawClient): Promise<Publish> {
  const packet = await client.next();
  if (packet === "closed" || packet.type !== "publish") throw new Error(`PUBLISH expected: ${JSON.stringify(packet)}`);
  return packet;
}
const text = (packet: Publish): string => Buffer.from(packet.payload).toString();
const puback = (client: RawClient, packet: Publish): void =>
  client.send({ type: "puback", packetId: packet.packetId as number });

describe("a message", () => {
  it("waits for the subscription, carries every property, and is complete at PUBACK", async () => {
    const { messageId, completion } = await hub.sendToDevice(device.deviceId, "hello", {
      messageId: "m:1",
      correlationId: "c",
      userId: "u",
      contentType: "text/plain",
      contentEncoding: "utf-8",
      ack: "full",
      expiry: clock.wallTime() + HOUR,
      properties: new Map([
        ["a&b", "1=2"],
        ["none", null],
      ]),
    });
    expect(messageId).toBe("m:1");
    const client = await RawClient.connected(hub, device);
    expect(await client.nothingElse()).toBe(true);
    expect(await client.subscribe(filter)).toEqual([1]);
    const packet = await nextPublish(client);
    const expiry = encodeURIComponent(new Date(clock.wallTime() + HOUR).toISOString());
    const to = encodeURIComponent(`/devices/${device.deviceId}/messages/devicebound`);
    expect({ ...packet, payload: text(packet) }).toEqual({
      type: "publish",
      topic:
        `devices/${device.deviceId}/messages/devicebound/%24.mid=m%3A1&%24.cid=c&%24.uid=u&%24.to=${to}` +
        `&%24.exp=${expiry}&%24.ct=text%2Fplain&%24.ce=utf-8&iothub-ack=full&a%26b=1%3D2&none`,
      payload: "hello",
      qos: 1,
      retain: false,
      dup: false,
      packetId: 1,
    });
    expect(hub.pendingMessages(device.deviceId)).toBe(1);
    puback(client, packet);
    expect(await completion).toBe("Success");
    expect(hub.pendingMessages(device.deviceId)).toBe(0);
    expect(feedback).toEqual([
      {
        deviceId: device.deviceId,
        messageId: "m:1",
        outcome: "Success",
        deliveryCount: 1,
        completedTime: new Date(clock.wallTime()),
        originalMessageId: "m:1",
        statusCode: "Success",
        description: "Success",
        enqueuedTimeUtc: new Date(clock.wallTime()).toISOString(),
        deviceGenerationId: expect.any(String),
      },
    ]);
  });

  it("comes again with DUP and its identifier while the session lives, in the old order", async () => {
    let client = await RawClient.connected(hub, device);
    await client.subscribe(filter);
    for (const body of ["one", "two", "three"]) await hub.sendToDevice(device.deviceId, body);
    const [one, two] = [await nextPublish(client), await nextPublish(client), await nextPublish(client)];
    puback(client, two);
    expect(await client.nothingElse()).toBe(true);
    client.destroy();
    await event(hub, "disconnected");
    await hub.sendToDevice(device.deviceId, "four");
    client = await RawClient.connected(hub, device);
    const again = [await nextPublish(client), await nextPublish(client), await nextPublish(client)];
    expect(again.map((packet) => [text(packet), packet.dup])).toEqual([
      ["one", true],
      ["three", true],
      ["four", false],
    ]);
    expect(again[0]?.packetId).toBe(one?.packetId);
    expect(new Set(again.map((packet) => packet.packetId)).size).toBe(3);
    await client.disconnect();
  });

  it("is deleted by a clean session", async () => {
    const { completion } = await hub.sendToDevice(device.deviceId, "old", { ack: "negative" });
    const client = await RawClient.connected(hub, device, { cleanSession: true });
    expect(await completion).toBe("Purged");
    expect(feedback.map((each) => each.outcome)).toEqual(["Purged"]);
    await client.subscribe(filter);
    await hub.sendToDevice(device.deviceId, "new");
    expect(text(await nextPublish(client))).toBe("new");
    await client.disconnect();
  });

  it("is complete when sent, where the device subscribed with QoS 0", async () => {
    const client = await RawClient.connected(hub, device);
    client.send({ type: "subscribe", packetId: 1, subscriptions: [{ topicFilter: filter, qos: 0 }] });
    await client.next();
    const { completion } = await hub.sendToDevice(device.deviceId, "x");
    expect(await nextPublish(client)).toMatchObject({ qos: 0 });
    expect(await completion).toBe("Success");
    await client.disconnect();
  });

  it("expires, at the latest after 48 hours", async () => {
    const soon = await hub.sendToDevice(device.deviceId, "x", {
      expiry: new Date(clock.wallTime() + 1000),
      ack: "full",
    });
    const late = await hub.sendToDevice(device.deviceId, "x", {
      expiry: clock.wallTime() + 100 * HOUR,
      ack: "positive",
    });
    clock.advance(999);
    expect(hub.pendingMessages(device.deviceId)).toBe(2);
    clock.advance(1);
    expect(await soon.completion).toBe("Expired");
    clock.advance(48 * HOUR - 1001);
    expect(hub.pendingMessages(device.deviceId)).toBe(1);
    clock.advance(1);
    expect(await late.completion).toBe("Expired");
    expect(feedback.map((each) => each.messageId)).toEqual([soon.messageId]);
  });

  it("is locked for a minute, then comes again with DUP, as often as it takes", async () => {
    const { completion } = await hub.sendToDevice(device.deviceId, "x");
    const client = await RawClient.connected(hub, device);
    await client.subscribe(filter);
    const first = await nextPublish(client);
    for (let delivery = 2; delivery <= 12; delivery++) {
      clock.advance(59_999);
      expect(await client.nothingElse()).toBe(true);
      clock.advance(1);
      expect(await nextPublish(client)).toMatchObject({ dup: true, packetId: first.packetId });
    }
    const completed = event(hub, "completed");
    puback(client, first);
    expect(await completion).toBe("Success");
    expect(await completed).toMatchObject({ deliveryCount: 12 });
    await client.disconnect();
  });

  it("lives an hour where its sender says nothing", async () => {
    const { completion } = await hub.sendToDevice(device.deviceId, "x");
    clock.advance(HOUR - 1);
    expect(hub.pendingMessages(device.deviceId)).toBe(1);
    clock.advance(1);
    expect(await completion).toBe("Expired");
  });

  it("for an input of a module reaches that module alone", async () => {
    const module = hub.createModule(device.deviceId, "m");
    const client = await RawClient.connected(hub, module);
    await client.subscribe(`devices/${device.deviceId}/modules/m/inputs/#`);
    await hub.sendToDevice(device.deviceId, "x", { moduleId: "m", inputName: "in", messageId: "1", to: "t" });
    expect((await nextPublish(client)).topic).toBe(`devices/${device.deviceId}/modules/m/inputs/in/%24.mid=1&%24.to=t`);
    await client.disconnect();
  });

  it("may be as large as 64 KB", async () => {
    const client = await RawClient.connected(hub, device);
    await client.subscribe(filter);
    const body = Buffer.alloc(65_000, "0123456789");
    await hub.sendToDevice(device.deviceId, body);
    await hub.sendToDevice(device.deviceId, "small");
    expect(Buffer.compare((await nextPublish(client)).payload, body)).toBe(0);
    expect(text(await nextPublish(client))).toBe("small");
    await client.disconnect();
  });

  it("is copied: what the sender does to the body afterwards changes nothing", async () => {
    const body = Buffer.from("before");
    await hub.sendToDevice(device.deviceId, body);
    body.write("after!");
    const client = await RawClient.connected(hub, device);
    await client.subscribe(filter);
    expect(text(await nextPublish(client))).toBe("before");
    await client.disconnect();
  });
});

describe("limits", () => {
  it("let fifty messages wait", async () => {
    for (let index = 0; index < 50; index++) await hub.sendToDevice(device.deviceId, "x");
    await expect(hub.sendToDevice(device.deviceId, "x")).rejects.toMatchObject({
      code: "ERR_QUEUE_FULL",
      retryable: true,
    });
    hub.purgeMessages(device.deviceId);
    await hub.sendToDevice(device.deviceId, "x");
  });

  it("refuse a message over 64 KB, properties included", async () => {
    const send = (bytes: number, value: string) =>
      hub.sendToDevice(device.deviceId, Buffer.alloc(bytes), {
        messageId: "",
        to: "",
        properties: { name: value },
      });
    await send(65_536 - 4 - 10, "x".repeat(10));
    await expect(send(65_536 - 4 - 10, "x".repeat(11))).rejects.toMatchObject({ code: "ERR_LIMIT" });
  });

  it("refuse what cannot be sent, and queue nothing", async () => {
    for (const [options, code] of [
      [{ properties: { a: 1 as unknown as string } }, "ERR_INVALID_ARGUMENT"],
      [{ properties: { a: "\ud800" } }, "ERR_INVALID_ARGUMENT"],
      [{ expiry: new Date(NaN) }, "ERR_INVALID_ARGUMENT"],
      [{ expiry: 1e300 }, "ERR_INVALID_ARGUMENT"],
      [{ inputName: "in" }, "ERR_INVALID_ARGUMENT"],
      // 63 KB that take 189 KB in a topic.
      [{ properties: { a: "&".repeat(63 * 1024) } }, "ERR_INVALID_ARGUMENT"],
      [{ moduleId: "nobody", inputName: "in" }, "ERR_DEVICE_NOT_FOUND"],
    ] as const) {
      await expect(hub.sendToDevice(device.deviceId, "x", options)).rejects.toMatchObject({ code });
    }
    for (const body of [undefined, 5, { a: 1 }]) {
      await expect(hub.sendToDevice(device.deviceId, body as never)).rejects.toMatchObject({
        code: "ERR_INVALID_ARGUMENT",
      });
    }
    await expect(hub.sendToDevice("nobody", "x")).rejects.toMatchObject({ code: "ERR_DEVICE_NOT_FOUND" });
    expect(hub.pendingMessages(device.deviceId)).toBe(0);
  });
});

describe("many messages", () => {
  it("keep their order through PUBACKs, and through a listener that sends more", async () => {
    const many = await HubEmulator.start({ limits: { cloudToDevicePending: 70_000 } });
    const { deviceId, ...rest } = many.createDevice("busy");
    const client = await RawClient.connected(many, { deviceId, ...rest });
    await client.subscribe("devices/busy/messages/devicebound/#");
    many.once("completed", () => void many.sendToDevice(deviceId, "last"));
    for (let index = 0; index < 2000; index++) await many.sendToDevice(deviceId, String(index));
    const bodies: string[] = [];
    while (bodies.at(-1) !== "last") {
      const packet = await nextPublish(client);
      bodies.push(text(packet));
      puback(client, packet);
    }
    expect(bodies).toEqual([...Array.from({ length: 2000 }, (_, index) => String(index)), "last"]);
    await client.nothingElse();
    expect(many.pendingMessages(deviceId)).toBe(0);
    await many.close();
  });
});
