/** Throttling by the page on quotas: a rate that is exceeded for too long is kept by delays, then by refusals. */
import { afterEach, describe, expect, it } from "vitest";
import type { Packet } from "../../src/codec/index.js";
import { HubEmulator, type Limits, type TelemetryMessage, type ThrottledEvent } from "../../src/emulator/index.js";
import { Throttle } from "../../src/emulator/throttle.js";
import { signSasToken } from "../../src/wire/sas.js";
import { FakeClock } from "../support/clock.js";
import { connectPacket, event, RawClient } from "./raw-client.js";

describe("a throttle", () => {
  it("lets a rate be exceeded for a while, then delays to the rate, then refuses", () => {
    const throttle = new Throttle(10, 10, 1_000, 5);
    const burst = (now: number, count: number): number[] => Array.from({ length: count }, () => throttle.admit(now));
    expect(burst(0, 500).every((delay) => delay === 0)).toBe(true);
    expect(burst(500, 500).every((delay) => delay === 0)).toBe(true);
    // What passed is not owed: 100 ms for each, five at most.
    expect(burst(1_000, 7)).toEqual([100, 200, 300, 400, 500, Infinity, Infinity]);
    expect(burst(1_100, 2)).toEqual([500, Infinity]);
  });

  it("forgets the excess after a pause, and a refusal costs nothing", () => {
    const throttle = new Throttle(10, 10, 1_000, 0);
    for (let count = 0; count < 100; count++) throttle.admit(0);
    for (let count = 0; count < 9; count++) expect(throttle.admit(1_000)).toBe(Infinity);
    // Empty meanwhile: a new while begins.
    for (let count = 0; count < 100; count++) expect(throttle.admit(3_000)).toBe(0);
  });

  it("is not misled by a sender who works in batches", () => {
    const throttle = new Throttle(100, 100, 120_000, 0);
    const refused = [];
    for (let second = 0; second < 240; second++) {
      for (let count = 0; count < 200; count++) if (throttle.admit(second * 1000) > 0) refused.push(second);
    }
    expect(refused[0]).toBe(120);
  });

  it("of Infinity is none", () => {
    const throttle = new Throttle(Infinity, Infinity, 0, 0);
    for (let count = 0; count < 1000; count++) expect(throttle.admit(0)).toBe(0);
  });
});

let hub: HubEmulator;
let clock: FakeClock;
let client: RawClient;
let told: ThrottledEvent[];
let cleanup: () => unknown = () => {};
afterEach(() => cleanup());

async function start(limits: Partial<Limits>): Promise<void> {
  clock = new FakeClock(Date.now());
  hub = await HubEmulator.start({ clock, limits: { shapingAfter: 0, shapingQueue: 1_000, ...limits } });
  cleanup = () => (client.destroy(), hub.close());
  told = [];
  hub.on("throttled", (thrown) => told.push(thrown));
}

async function connected(...filters: string[]): Promise<void> {
  client = await RawClient.connected(hub, hub.createDevice("d1"), { keepAlive: 0 });
  if (filters.length > 0) await client.subscribe(...filters);
}

const publish = (index: number, qos: 0 | 1 = 1) =>
  ({
    type: "publish",
    topic: "devices/d1/messages/events/",
    payload: `${index}`,
    ...(qos === 1 ? { qos, packetId: index } : { qos }),
  }) as const;

async function topicOf(packet: Promise<Packet | "closed">): Promise<string> {
  const got = await packet;
  if (got === "closed" || got.type !== "publish") throw new Error(`PUBLISH expected: ${JSON.stringify(got)}`);
  return got.topic;
}

describe("telemetry over the rate", () => {
  it("is delayed, delivered and acknowledged in order, at the rate", async () => {
    await start({ sendsPerSecond: 2 });
    await connected();
    const bodies: string[] = [];
    hub.on("telemetry", ({ payload }: TelemetryMessage) => bodies.push(Buffer.from(payload).toString()));
    client.send(publish(1), publish(2), publish(3), publish(4, 0));
    for (const packetId of [1, 2]) expect(await client.next()).toEqual({ type: "puback", packetId });
    expect(await client.nothingElse()).toBe(true);
    expect(bodies).toEqual(["1", "2"]);
    expect(told).toEqual([{ deviceId: "d1", operation: "send", outcome: "delayed" }]);
    clock.advance(500);
    expect(await client.next()).toEqual({ type: "puback", packetId: 3 });
    expect(bodies).toEqual(["1", "2", "3"]);
    clock.advance(500);
    expect(bodies).toEqual(["1", "2", "3", "4"]);
  });

  it("that a listener throws at ends the connection as without a delay, and what is behind it is done", async () => {
    await start({ sendsPerSecond: 2 });
    await connected();
    const bodies: string[] = [];
    hub.on("telemetry", ({ payload }: TelemetryMessage) => {
      bodies.push(Buffer.from(payload).toString());
      if (bodies.length === 3) throw new Error("from the listener");
    });
    const gone = event(hub, "disconnected");
    client.send(...[1, 2, 3, 4].map((index) => publish(index)));
    for (const packetId of [1, 2]) expect(await client.next()).toEqual({ type: "puback", packetId });
    expect(await client.nothingElse()).toBe(true);
    expect(() => clock.advance(1_000)).toThrow("from the listener");
    expect(await gone).toMatchObject({ reason: "violation" });
    clock.advance(1_000);
    expect(bodies).toEqual(["1", "2", "3", "4"]);
  });

  it("that does not stop ends the connection; what was accepted arrives all the same", async () => {
    await start({ sendsPerSecond: 2 });
    await connected();
    const bodies: string[] = [];
    hub.on("telemetry", ({ payload }: TelemetryMessage) => bodies.push(Buffer.from(payload).toString()));
    const gone = event(hub, "disconnected");
    client.send(...[1, 2, 3, 4, 5, 6].map((index) => publish(index)));
    for (const packetId of [1, 2]) expect(await client.next()).toEqual({ type: "puback", packetId });
    expect(await client.next()).toBe("closed");
    expect(await gone).toMatchObject({ reason: "throttled", error: { code: "ERR_THROTTLED", status: 429 } });
    expect(told.map(({ outcome }) => outcome)).toEqual(["delayed", "closed"]);
    clock.advance(1_000);
    expect(bodies).toEqual(["1", "2", "3", "4"]);
  });

  it("takes no more memory than it may", async () => {
    await start({ sendsPerSecond: 2, shapingQueue: 1_000_000, queueBytes: 1_000 });
    await connected();
    const big = { ...publish(1, 0), payload: "x".repeat(400) };
    client.send(big, big, big, big, big);
    expect(await client.next()).toBe("closed");
    expect(told.map(({ outcome }) => outcome)).toEqual(["delayed", "closed"]);
  });

  it("is none by itself in a burst of two minutes' worth, and none at all where nothing is throttled", async () => {
    await start({ sendsPerSecond: 10, shapingAfter: 120_000 });
    await connected();
    let count = 0;
    hub.on("telemetry", () => count++);
    for (let second = 0; second < 119; second++) {
      client.send(...Array.from({ length: 20 }, (_, index) => publish(index + 1, 0)));
      expect(await client.nothingElse()).toBe(true);
      clock.advance(1_000);
    }
    expect(count).toBe(119 * 20);
    expect(told).toEqual([]);
    clock.advance(60_000);
    client.destroy();
    await hub.close();
    await start({ throttling: false });
    await connected();
    hub.on("telemetry", () => count++);
    client.send(...Array.from({ length: 5_000 }, (_, index) => publish(index + 1, 0)));
    expect(await client.nothingElse()).toBe(true);
    expect(count).toBe(119 * 20 + 5_000);
  });
});

describe("twin requests over the rate", () => {
  const get = (rid: number) => ({ type: "publish", topic: `$iothub/twin/GET/?$rid=${rid}` }) as const;
  const patch = (rid: number) =>
    ({ type: "publish", topic: `$iothub/twin/PATCH/properties/reported/?$rid=${rid}`, payload: "{}" }) as const;

  it("are delayed, then answered 429, each kind by its own rate", async () => {
    await start({ twinReadsPerSecond: 2, twinUpdatesPerSecond: 1 });
    await connected("$iothub/twin/res/#");
    client.send(get(1), get(2), get(3), get(4), get(5));
    const topics = [];
    for (let count = 0; count < 3; count++) topics.push(await topicOf(client.next()));
    expect(topics).toEqual(["200/?$rid=1", "200/?$rid=2", "429/?$rid=5"].map((end) => `$iothub/twin/res/${end}`));
    clock.advance(1_000);
    expect(await topicOf(client.next())).toBe("$iothub/twin/res/200/?$rid=3");
    expect(await topicOf(client.next())).toBe("$iothub/twin/res/200/?$rid=4");
    client.send(patch(6));
    expect(await topicOf(client.next())).toBe("$iothub/twin/res/204/?$rid=6&$version=2");
    expect(told.map(({ operation, outcome }) => `${operation} ${outcome}`)).toEqual([
      "twinRead delayed",
      "twinRead refused",
    ]);
  });

  it("that do not stop end the connection", async () => {
    await start({ twinReadsPerSecond: 1, shapingQueue: 0, refusals: 3 });
    await connected("$iothub/twin/res/#");
    client.send(...[1, 2, 3, 4, 5].map(get));
    const answers = [];
    for (let next = await client.next(); next !== "closed"; next = await client.next()) answers.push(next);
    expect(answers).toHaveLength(4);
    expect(told.at(-1)).toEqual({ deviceId: "d1", operation: "twinRead", outcome: "closed" });
  });
});

describe("new connections over the rate", () => {
  it("wait for their turn; more than that are refused with return code 3", async () => {
    await start({ connectionsPerSecond: 1 });
    await connected();
    const second = await RawClient.open(hub);
    second.send(connectPacket(hub.createDevice("d2")));
    const third = await RawClient.open(hub);
    third.send(connectPacket(hub.createDevice("d3")));
    expect(await third.next()).toEqual({ type: "connack", sessionPresent: false, returnCode: 3 });
    expect(await third.next()).toBe("closed");
    expect(hub.isConnected("d2")).toBe(false);
    const accepted = event(hub, "connected");
    clock.advance(1_000);
    expect(await second.next()).toMatchObject({ type: "connack", returnCode: 0 });
    expect(await accepted).toMatchObject({ deviceId: "d2" });
    expect(told.map(({ operation, outcome }) => `${operation} ${outcome}`)).toEqual([
      "connection delayed",
      "connection refused",
    ]);
    second.destroy();
  });
});

describe("the service side over the rate", () => {
  it("waits, then is refused; what waits when the hub closes is rejected", async () => {
    await start({ cloudToDeviceSendsPerSecond: 1, methodBytesPerSecond: 4096 });
    await connected("$iothub/methods/POST/#");
    await hub.sendToDevice("d1", "1");
    let sent = false;
    const second = hub.sendToDevice("d1", "2").then(() => (sent = true));
    await expect(hub.sendToDevice("d1", "3")).rejects.toMatchObject({ code: "ERR_THROTTLED", retryable: true });
    expect(await client.nothingElse()).toBe(true);
    expect(sent).toBe(false);
    clock.advance(1_000);
    await second;
    const first = hub.invokeMethod("d1", "m");
    expect(await topicOf(client.next())).toMatch(/POST\/m/);
    const waiting = hub.invokeMethod("d1", "m");
    await expect(hub.invokeMethod("d1", "m")).rejects.toMatchObject({ code: "ERR_THROTTLED", status: 429 });
    const outcomes = Promise.allSettled([first, waiting]);
    await hub.close();
    expect((await outcomes).map((outcome) => outcome.status === "rejected" && outcome.reason.code)).toEqual([
      "ERR_CLOSED",
      "ERR_CLOSED",
    ]);
    expect(clock.pending).toBe(0);
  });
});

describe("the provisioning service over the rate", () => {
  const REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid=";
  const POLL = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=";

  async function registrant(): Promise<void> {
    const { primaryKey, idScope } = hub.createEnrollment("r1");
    client = await RawClient.open(hub);
    client.send({
      type: "connect",
      clientId: "r1",
      username: `${idScope}/registrations/r1/api-version=2019-03-31`,
      password: signSasToken(`${idScope}/registrations/r1`, primaryKey as string, 4e9, "registration"),
    });
    expect(await client.next()).toMatchObject({ type: "connack", returnCode: 0 });
    await client.subscribe("$dps/registrations/res/#");
  }

  it("delays a registration, then answers 429 with retry-after", async () => {
    await start({ registrationsPerSecond: 1 });
    await registrant();
    for (const rid of [1, 2, 3]) client.send({ type: "publish", topic: `${REGISTER}${rid}` });
    expect(await topicOf(client.next())).toMatch(/res\/202\/\?\$rid=1&/);
    expect(await topicOf(client.next())).toBe("$dps/registrations/res/429/?$rid=3&retry-after=1");
    clock.advance(1_000);
    expect(await topicOf(client.next())).toMatch(/res\/202\/\?\$rid=2&/);
  });

  it("answers a sixth poll within ten seconds with 429", async () => {
    await start({});
    await registrant();
    for (let rid = 1; rid <= 6; rid++) client.send({ type: "publish", topic: `${POLL}${rid}&operationId=4.none` });
    const statuses = [];
    for (let rid = 1; rid <= 6; rid++) statuses.push((await topicOf(client.next())).split("/")[3]);
    expect(statuses).toEqual(["404", "404", "404", "404", "404", "429"]);
    expect(told).toEqual([{ deviceId: "r1", operation: "poll", outcome: "refused" }]);
  });
});

it("limits have names and numbers", async () => {
  await start({});
  await connected();
  for (const limits of [{ sendPerSecond: 1 }, { sendsPerSecond: -1 }, { sendsPerSecond: "1" }, { throttling: 0 }]) {
    await expect(HubEmulator.start({ limits: limits as never })).rejects.toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
    });
  }
});
