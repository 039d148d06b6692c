/** MqttClient and MQTT.js through brokers that are not ours: what one sends the other must get, unchanged. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect as connectSocket, type Socket } from "node:net";
import { connectAsync, type IClientOptions, type MqttClient as MqttJs } from "mqtt";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { MqttClient, type MqttClientOptions, type Message } from "../../src/client/index.js";
import type { QoS } from "../../src/codec/index.js";
import { availableBrokers, type Broker } from "./support/brokers.js";
import { Inbox } from "./support/inbox.js";
import { seeded } from "../support/random.js";

type Options = Partial<MqttClientOptions>;

/** Enough to fill every window: our client's 1,000, the brokers' own. */
const MANY = 2_000;
/** mosquitto as it comes loses or closes over more unfinished QoS 2 messages than this; ours keeps below. */
const QOS_2_WINDOW = 20;
const QOS: readonly QoS[] = [0, 1, 2];

describe.each(availableBrokers())("through $name", ({ start }) => {
  let broker: Broker;
  const cleanup: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    broker = await start();
  });
  afterAll(() => broker.close());
  afterEach(async () => {
    for (const close of cleanup.splice(0).reverse()) await close();
  });

  async function hubwire(clientId: string, options: Options = {}): Promise<MqttClient> {
    const client = new MqttClient({
      host: "127.0.0.1",
      port: broker.port,
      protocol: "mqtt",
      clientId,
      ...options,
    });
    await client.connect();
    cleanup.push(() => client.close());
    return client;
  }

  async function mqttJs(clientId: string, options: IClientOptions = {}): Promise<MqttJs> {
    const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, {
      protocolVersion: 4,
      reconnectPeriod: 0,
      clientId,
      ...options,
    });
    cleanup.push(() => client.endAsync());
    return client;
  }

  describe.each(QOS)("QoS %i", (qos) => {
    it(`${MANY} messages of ours reach MQTT.js, each once, in order, with equal payloads`, async () => {
      const [from, to] = [await hubwire(`h-out-${qos}`), await mqttJs(`m-in-${qos}`)];
      const inbox = new Inbox<string>();
      to.on("message", (topic, payload, packet) => inbox.put(`${topic} ${packet.qos} ${hash(payload)}`));
      await to.subscribeAsync(`out/${qos}/#`, { qos });
      const payloads = manyPayloads(qos);
      const sent = payloads.map((payload, index) => from.publish(`out/${qos}/${index}`, payload, { qos }));
      await Promise.all(sent);
      const wanted = payloads.map((payload, index) => `out/${qos}/${index} ${qos} ${hash(payload)}`);
      expect(await inbox.take(MANY)).toEqual(wanted);
      await from.publish(`out/${qos}/end`, "end", { qos });
      expect((await inbox.take(MANY + 1)).at(-1)).toBe(`out/${qos}/end ${qos} ${hash(Buffer.from("end"))}`);
    });

    it(`${MANY} messages of MQTT.js reach us, each once, in order, with equal payloads`, async () => {
      const [from, to] = [await mqttJs(`m-out-${qos}`), await hubwire(`h-in-${qos}`)];
      const inbox = new Inbox<string>();
      await to.subscribe(`in/${qos}/#`, { qos }, (message) => {
        inbox.put(`${message.topic} ${message.qos} ${hash(message.payload)}`);
      });
      const payloads = manyPayloads(qos + 10);
      // MQTT.js has no bound of its own on what is unfinished, and warns of its listeners above 1,000.
      const window = qos === 2 ? QOS_2_WINDOW : 500;
      for (let first = 0; first < MANY; first += window) {
        const batch = payloads.slice(first, first + window);
        await Promise.all(batch.map((payload, i) => from.publishAsync(`in/${qos}/${first + i}`, payload, { qos })));
      }
      const wanted = payloads.map((payload, index) => `in/${qos}/${index} ${qos} ${hash(payload)}`);
      expect(await inbox.take(MANY)).toEqual(wanted);
      await from.publishAsync(`in/${qos}/end`, "end", { qos });
      expect((await inbox.take(MANY + 1)).at(-1)).toBe(`in/${qos}/end ${qos} ${hash(Buffer.from("end"))}`);
    });

    it("a large payload goes both ways unchanged", async () => {
      const [ours, theirs] = [await hubwire(`h-large-${qos}`), await mqttJs(`m-large-${qos}`)];
      const large = Buffer.from(seeded(qos).bytes(1_000_003));
      const inbox = new Inbox<Uint8Array>();
      theirs.on("message", (_topic, payload) => inbox.put(payload));
      await theirs.subscribeAsync(`large/${qos}/to-them`, { qos });
      await ours.subscribe(`large/${qos}/to-us`, { qos }, (message) => inbox.put(message.payload));
      await ours.publish(`large/${qos}/to-them`, large, { qos });
      await inbox.take(1);
      await theirs.publishAsync(`large/${qos}/to-us`, large, { qos });
      for (const got of await inbox.take(2)) expect(large.equals(got)).toBe(true);
    });

    it("the lower QoS of message and subscription counts", async () => {
      const [from, to] = [await mqttJs(`m-low-${qos}`), await hubwire(`h-low-${qos}`)];
      const inbox = new Inbox<Message>();
      const subscription = await to.subscribe(`low/${qos}`, { qos }, inbox.put);
      expect(subscription.grantedQos).toBe(qos);
      for (const sentQos of QOS) await from.publishAsync(`low/${qos}`, String(sentQos), { qos: sentQos });
      const got = (await inbox.take(3)).map((message) => [text(message.payload), message.qos]);
      // With different QoS the broker owes no order.
      expect(got.sort()).toEqual(QOS.map((sentQos) => [String(sentQos), Math.min(sentQos, qos)]));
    });
  });

  it("a retained message reaches who subscribes later, marked as retained, until it is cleared", async () => {
    const [ours, theirs] = [await hubwire("h-retain"), await mqttJs("m-retain")];
    await ours.publish("retain/ours", "from us", { qos: 1, retain: true });
    await theirs.publishAsync("retain/theirs", "from them", { qos: 1, retain: true });
    const [mine, their] = [new Inbox<Message>(), new Inbox<string>()];
    theirs.on("message", (topic, payload, packet) => their.put(`${topic} ${packet.retain} ${text(payload)}`));
    await theirs.subscribeAsync("retain/ours", { qos: 1 });
    await ours.subscribe("retain/theirs", { qos: 1 }, mine.put);
    expect(await their.first()).toBe("retain/ours true from us");
    expect(await mine.first()).toMatchObject({
      topic: "retain/theirs",
      retain: true,
      payload: bytes("from them"),
    });

    // A subscription that exists gets it as an ordinary message (MQTT-3.3.1-9).
    await theirs.publishAsync("retain/theirs", "again", { qos: 1, retain: true });
    expect((await mine.take(2))[1]).toMatchObject({ retain: false, payload: bytes("again") });

    await ours.publish("retain/ours", "", { qos: 1, retain: true });
    const late = await mqttJs("m-retain-late");
    const got = new Inbox<string>();
    late.on("message", (topic) => got.put(topic));
    await late.subscribeAsync("retain/#", { qos: 1 });
    await ours.publish("retain/marker", "", { qos: 1 });
    expect((await got.take(2)).sort()).toEqual(["retain/marker", "retain/theirs"]);
  });

  it("our will is published when the connection breaks, and not after a close", async () => {
    const watcher = await mqttJs("m-will");
    const inbox = new Inbox<string>();
    watcher.on("message", (topic, payload, packet) => inbox.put(`${topic} ${packet.qos} ${text(payload)}`));
    await watcher.subscribeAsync("will/#", { qos: 1 });
    const will = (name: string): Options => ({
      will: { topic: `will/${name}`, payload: `${name} died`, qos: 1 },
    });

    const polite = await hubwire("h-will-polite", will("polite"));
    await polite.close();
    let socket: Socket | undefined;
    await hubwire("h-will-broken", {
      ...will("broken"),
      reconnect: false,
      protocol: "mqtt",
      createConnection: () => (socket = connectSocket(broker.port, "127.0.0.1")),
    });
    socket?.destroy();
    expect(await inbox.first()).toBe("will/broken 1 broken died");
  });

  it("gets MQTT.js's will", async () => {
    const watcher = await hubwire("h-will-watch");
    const inbox = new Inbox<Message>();
    await watcher.subscribe("will-of-theirs", { qos: 1 }, inbox.put);
    const dying = await mqttJs("m-will-dying", {
      will: { topic: "will-of-theirs", payload: bytes("gone"), qos: 1 },
    });
    dying.stream.destroy();
    expect(await inbox.first()).toMatchObject({ topic: "will-of-theirs", payload: bytes("gone"), qos: 1 });
  });

  it.each([1, 2] as const)("a persistent session keeps QoS %i messages while we are away", async (qos) => {
    const options: Options = { cleanSession: false };
    const id = `h-persistent-${qos}`;
    const first = new MqttClient({
      host: "127.0.0.1",
      port: broker.port,
      protocol: "mqtt",
      clientId: id,
      ...options,
    });
    const present: boolean[] = [];
    const note = ({ sessionPresent }: { sessionPresent: boolean }): void => void present.push(sessionPresent);
    first.on("connect", note);
    await first.connect();
    await first.subscribe(`kept/${qos}`, { qos }, () => {});
    await first.close();

    const sender = await mqttJs(`m-persistent-${qos}`);
    const payloads = Array.from({ length: 100 }, (_, index) => `message ${index}`);
    for (const payload of payloads) await sender.publishAsync(`kept/${qos}`, payload, { qos });

    // The session is the broker's: a new process would know nothing of the old subscription but its handler.
    const second = new MqttClient({
      host: "127.0.0.1",
      port: broker.port,
      protocol: "mqtt",
      clientId: id,
      ...options,
    });
    cleanup.push(() => second.close());
    second.on("connect", note);
    const inbox = new Inbox<string>();
    const subscribing = second.subscribe(`kept/${qos}`, { qos }, (message) => inbox.put(text(message.payload)));
    await second.connect();
    await subscribing;
    expect(await inbox.take(100)).toEqual(payloads);
    expect(present).toEqual([false, true]);
  });

  it("wildcards and unsubscribe work as the broker understands them", async () => {
    const [ours, theirs] = [await hubwire("h-wild"), await mqttJs("m-wild")];
    const [plus, hash] = [new Inbox<string>(), new Inbox<string>()];
    await ours.subscribe("wild/+/temperature", { qos: 1 }, (message) => plus.put(message.topic));
    await ours.subscribe("wilder/#", { qos: 1 }, (message) => hash.put(message.topic));
    const publish = (topic: string): Promise<unknown> => theirs.publishAsync(topic, "x", { qos: 1 });
    for (const topic of ["wild/a/temperature", "wild/a/b/temperature", "wild/a", "wild//temperature"]) {
      await publish(topic);
    }
    for (const topic of ["wilder", "wilder/a/b"]) await publish(topic);
    expect(await hash.take(2)).toEqual(["wilder", "wilder/a/b"]);
    expect(plus.items).toEqual(["wild/a/temperature", "wild//temperature"]);

    await ours.unsubscribe("wild/+/temperature");
    await publish("wild/a/temperature");
    await publish("wilder/last");
    expect(await hash.take(3)).toEqual(["wilder", "wilder/a/b", "wilder/last"]);
    expect(plus.items).toHaveLength(2);
  });

  it("the newer connection of one client id ends the older", async () => {
    const older = await hubwire("twice", { reconnect: false });
    const ended = once(older, "disconnect");
    await mqttJs("twice");
    const [error] = await ended;
    expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_(CONNECTION_LOST|TAKEOVER)$/) });
  });
});

/** Of all lengths around the places where a length field grows, and random ones. */
function manyPayloads(seed: number): Buffer[] {
  const random = seeded(seed);
  return Array.from({ length: MANY }, (_, index) => {
    const length = index < 300 ? index : index % 100 === 0 ? 16_250 + (index % 300) : random.below(200);
    return Buffer.from(random.bytes(length));
  });
}

function hash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("base64");
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function bytes(text: string): Buffer {
  return Buffer.from(text);
}
