/** MqttClient through RabbitMQ, beside MQTT.js: what a broker does that keeps no QoS 2 and whose sessions are queues. */
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { connectAsync, type IClientOptions, type MqttClient as MqttJs } from "mqtt";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { MqttClient, type MqttClientOptions } from "../../src/client/index.js";
import { encode, type Packet, PacketReader, type QoS } from "../../src/codec/index.js";
import { Inbox } from "./support/inbox.js";
import { RabbitMq, rabbitAvailable } from "./support/rabbitmq.js";

type Options = Partial<MqttClientOptions>;

const MANY = 500;

describe.runIf(rabbitAvailable())("through RabbitMQ", () => {
  let broker: RabbitMq;
  const cleanup: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    broker = await RabbitMq.start();
  }, 180_000);
  afterAll(() => broker?.stop());
  afterEach(async () => {
    for (const close of cleanup.splice(0).reverse()) await close();
  });

  async function hubwire(clientId: string, options: Options = {}): Promise<{ client: MqttClient; errors: Error[] }> {
    const client = new MqttClient({ host: "127.0.0.1", port: broker.port, protocol: "mqtt", clientId, ...options });
    const errors: Error[] = [];
    client.on("error", (error: Error) => errors.push(error));
    cleanup.push(() => client.close({ force: true }));
    await client.connect();
    return { client, errors };
  }

  async function mqttJs(clientId: string, options: IClientOptions = {}): Promise<MqttJs> {
    const client = await connectAsync(`mqtt://127.0.0.1:${broker.port}`, {
      protocolVersion: 4,
      reconnectPeriod: 0,
      clientId,
      ...options,
    });
    cleanup.push(() => client.endAsync(true));
    return client;
  }

  const numbers = (from = 0, to = MANY): string[] => Array.from({ length: to - from }, (_, at) => String(from + at));

  it.each([0, 1] as const)("QoS %i goes both ways, each message once, in order", async (qos) => {
    const { client, errors } = await hubwire(`h-${qos}`);
    const other = await mqttJs(`m-${qos}`);
    const [ours, theirs] = [new Inbox<string>(), new Inbox<string>()];
    const subscription = await client.subscribe(`to-us/${qos}`, { qos }, (message) => {
      ours.put(`${message.qos} ${Buffer.from(message.payload).toString()}`);
    });
    expect(subscription.grantedQos).toBe(qos);
    other.on("message", (_topic, payload, packet) => theirs.put(`${packet.qos} ${payload.toString()}`));
    await other.subscribeAsync(`to-them/${qos}`, { qos });
    await Promise.all([
      ...numbers().map((number) => client.publish(`to-them/${qos}`, number, { qos })),
      ...numbers().map((number) => other.publishAsync(`to-us/${qos}`, number, { qos })),
    ]);
    const wanted = numbers().map((number) => `${qos} ${number}`);
    expect(await theirs.take(MANY)).toEqual(wanted);
    expect(await ours.take(MANY)).toEqual(wanted);
    expect(errors).toEqual([]);
  });

  it("the broker answers QoS 2 with PUBACK and grants QoS 1, as its documentation says: the bytes", async () => {
    const socket = connectSocket(broker.port, "127.0.0.1");
    await once(socket, "connect");
    const packets = new Inbox<Packet>();
    const reader = new PacketReader(packets.put);
    socket.on("data", (chunk: Buffer) => reader.push(chunk));
    socket.write(encode({ type: "connect", clientId: "raw" }));
    socket.write(encode({ type: "subscribe", packetId: 1, subscriptions: [{ topicFilter: "raw", qos: 2 }] }));
    socket.write(encode({ type: "publish", topic: "raw/2", payload: Buffer.of(1), qos: 2, packetId: 2 }));
    const [connack, ...rest] = await packets.take(3);
    expect(connack).toMatchObject({ type: "connack", returnCode: 0 });
    expect(rest).toContainEqual({ type: "suback", packetId: 1, returnCodes: [1] });
    expect(rest).toContainEqual({ type: "puback", packetId: 2 });
    socket.destroy();
  });

  it("QoS 2 completes as QoS 1, with one error event a connection that says so, and nothing waits for ever", async () => {
    const { client, errors } = await hubwire("h-2");
    const other = await mqttJs("m-2");
    const inbox = new Inbox<string>();
    other.on("message", (_topic, payload, packet) => inbox.put(`${packet.qos} ${payload.toString()}`));
    await other.subscribeAsync("twice", { qos: 2 });
    const subscription = await client.subscribe("mine", { qos: 2 }, () => undefined);
    expect(subscription.grantedQos).toBe(1);

    // More than fit into the window, and QoS 1 between them.
    const qosOf = (number: string): QoS => (Number(number) % 5 === 0 ? 1 : 2);
    await Promise.all(numbers(0, 100).map((number) => client.publish("twice", number, { qos: qosOf(number) })));
    const got = await inbox.take(100);
    expect(got.map((text) => Number(text.slice(2))).sort((a, b) => a - b)).toEqual(numbers(0, 100).map(Number));
    expect(new Set(got.map((text) => text[0]))).toEqual(new Set(["1"]));
    expect(errors.length).toBe(1);
    expect(errors[0]).toMatchObject({ name: "HubwireError", message: expect.stringMatching(/QoS 2/) });

    await client.reconnect();
    await Promise.all(numbers(100, 110).map((number) => client.publish("twice", number, { qos: 2 })));
    await inbox.take(110);
    expect(errors.length).toBe(2);
    await client.close();
  });

  it("a kept session brings what came while nobody was there, once and in order, and what is retained", async () => {
    const options: Options = { cleanSession: false };
    const first = await hubwire("h-kept", options);
    await first.client.subscribe("kept/+", { qos: 1 }, () => undefined);
    await first.client.close();
    const { client: publisher } = await hubwire("h-keeper");
    await Promise.all(numbers().map((number) => publisher.publish("kept/now", number, { qos: 1 })));

    const second = new MqttClient({
      host: "127.0.0.1",
      port: broker.port,
      protocol: "mqtt",
      clientId: "h-kept",
      ...options,
    });
    cleanup.push(() => second.close({ force: true }));
    const inbox = new Inbox<string>();
    const subscribed = second.subscribe("kept/+", { qos: 1 }, (message) => {
      inbox.put(Buffer.from(message.payload).toString());
    });
    await second.connect();
    await subscribed;
    expect(await inbox.take(MANY)).toEqual(numbers());

    await publisher.publish("kept-here", "retained", { qos: 1, retain: true });
    const retained = new Inbox<string>();
    await second.subscribe("kept-here", { qos: 1 }, (message) => {
      retained.put(`${message.retain} ${Buffer.from(message.payload).toString()}`);
    });
    expect(await retained.first()).toBe("true retained");
    expect(inbox.items.length).toBe(MANY);
    await publisher.publish("kept-here", "", { qos: 1, retain: true });
  });

  it(
    "killed and started again under load: no message that was acknowledged is lost",
    { timeout: 180_000 },
    async () => {
      const reconnect = { minDelay: 50, maxDelay: 500 };
      const subscriber = await hubwire("h-load-in", { cleanSession: false, reconnect });
      const inbox = new Inbox<string>();
      await subscriber.client.subscribe("load", { qos: 1 }, (message) => {
        inbox.put(Buffer.from(message.payload).toString());
      });
      const publisher = await hubwire("h-load-out", { cleanSession: false, reconnect });
      let down: Promise<void> | undefined;
      // A window that never empties, while the broker goes and comes.
      const waiting = new Set<Promise<void>>();
      for (let next = 0; next < 3_000; next++) {
        if (next === 1_000) down = broker.restart("SIGKILL");
        const sent = publisher.client.publish("load", String(next), { qos: 1 }).finally(() => waiting.delete(sent));
        waiting.add(sent);
        if (waiting.size >= 100) await Promise.race(waiting);
      }
      await Promise.all(waiting);
      await down;
      expect(down).toBeDefined();
      while (new Set(inbox.items).size < 3_000) await inbox.take(inbox.items.length + 1);
      // Some came again, where an acknowledgement was lost; and a queue that is read again is in no order.
      expect([...new Set(inbox.items)].sort((a, b) => Number(a) - Number(b))).toEqual(numbers(0, 3_000));
      for (const { client } of [publisher, subscriber]) await client.close();
    },
  );
});
