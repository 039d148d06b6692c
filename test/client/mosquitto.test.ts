/** Against a real server: mosquitto, plain and over TLS. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Message, MqttClient, type MqttClientOptions } from "../../src/client/index.js";
import { Mosquitto, mosquittoAvailable } from "../support/mosquitto.js";
import { soon } from "../support/peer.js";

const available = mosquittoAvailable();
const text = (message: Message) => Buffer.from(message.payload).toString();

describe.skipIf(!available).each([false, true])("mosquitto, TLS %s", (tls) => {
  let broker: Mosquitto;
  const clients: MqttClient[] = [];
  beforeAll(async () => {
    broker = await Mosquitto.start({ tls, persistence: true });
  });
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.close({ force: true })));
    await broker.stop();
  });

  async function connected(clientId: string, options: Partial<MqttClientOptions> = {}): Promise<MqttClient> {
    const client = new MqttClient({
      host: "localhost",
      port: broker.port,
      protocol: tls ? "mqtts" : "mqtt",
      clientId,
      reconnect: { minDelay: 20, maxDelay: 200 },
      maxInflight: 20,
      ...(tls && { tls: { ca: broker.ca } }),
      ...options,
    });
    clients.push(client);
    await client.connect();
    return client;
  }

  test.each([0, 1, 2] as const)("QoS %i both ways, in order, whole", async (qos) => {
    const client = await connected(`both-${qos}`);
    const seen: string[] = [];
    let done: (() => void) | undefined;
    const all = new Promise<void>((resolve) => (done = resolve));
    await client.subscribe(`both/${qos}`, { qos }, (message) => {
      expect(message).toMatchObject({ qos, retain: false, dup: false, topic: `both/${qos}` });
      seen.push(text(message));
      if (seen.length === 500) done?.();
    });
    const sent = Array.from({ length: 500 }, (_, index) => `${index} ${"ä".repeat(index)}`);
    await Promise.all(sent.map((payload) => client.publish(`both/${qos}`, payload, { qos })));
    await soon(all, "all messages");
    expect(seen).toEqual(sent);
    await client.close();
  });

  test("a payload of several megabytes, and an empty one", async () => {
    const client = await connected("large");
    const subscription = await client.subscribe("large", { qos: 1 });
    const payload = Buffer.alloc(5_000_000, "0123456789");
    await client.publish("large", payload, { qos: 1 });
    await client.publish("large", new Uint8Array(0), { qos: 1 });
    const sizes: number[] = [];
    for await (const message of subscription) {
      if (sizes.push(message.payload.length) === 1) expect(payload.equals(message.payload)).toBe(true);
      else break;
    }
    expect(sizes).toEqual([5_000_000, 0]);
    await client.close();
  });

  test("a persistent session keeps what comes meanwhile, and says that it was present", async () => {
    const options = { cleanSession: false };
    const first = await connected("kept", options);
    await first.subscribe("kept", { qos: 1 }, () => {});
    await first.close();
    const sender = await connected("kept-sender");
    for (const payload of ["1", "2", "3"]) await sender.publish("kept", payload, { qos: 1 });
    await sender.close();
    const second = new MqttClient({
      host: "localhost",
      port: broker.port,
      protocol: tls ? "mqtts" : "mqtt",
      clientId: "kept",
      cleanSession: false,
      ...(tls && { tls: { ca: broker.ca } }),
    });
    clients.push(second);
    const present = new Promise<boolean>((resolve) => second.once("connect", (event) => resolve(event.sessionPresent)));
    await second.connect();
    expect(await present).toBe(true);
    const seen: string[] = [];
    for await (const message of await second.subscribe("kept", { qos: 1 })) if (seen.push(text(message)) === 3) break;
    expect(seen).toEqual(["1", "2", "3"]);
    await second.close();
  });

  test("retained messages arrive with RETAIN, and an empty one removes them", async () => {
    const client = await connected("retained");
    await client.publish("kept/value", "21", { qos: 1, retain: true });
    const messages: Message[] = [];
    const first = await client.subscribe("kept/+", { qos: 1 });
    for await (const message of first) {
      messages.push(message);
      break;
    }
    expect(messages.map((message) => [message.retain, text(message)])).toEqual([[true, "21"]]);
    await first.unsubscribe();
    await client.publish("kept/value", "", { qos: 1, retain: true });
    const seen: string[] = [];
    await client.subscribe("kept/+", { qos: 1 }, (message) => void seen.push(text(message)));
    await client.publish("kept/other", "end", { qos: 1 });
    while (seen.at(-1) !== "end") await new Promise(setImmediate);
    expect(seen).toEqual(["end"]);
    await client.close();
  });

  test("the will is published when the connection breaks, and not after close()", async () => {
    const watcher = await connected("watcher");
    const seen: string[] = [];
    await watcher.subscribe("wills/#", { qos: 1 }, (message) => void seen.push(text(message)));
    const will = (payload: string) => ({ topic: "wills/x", payload, qos: 1 as const });
    await (await connected("polite", { will: will("polite") })).close();
    await (await connected("forced", { will: will("forced") })).close({ force: true });
    const rude = await connected("rude", { will: will("rude"), reconnect: false });
    // The server ends the connection of a client whose identity comes again, and publishes its will.
    const other = await connected("rude");
    while (seen.length === 0) await new Promise(setImmediate);
    expect(seen).toEqual(["rude"]);
    await Promise.all([rude.close(), other.close(), watcher.close()]);
  });

  test("killed and restarted under load: every QoS 1 message arrives, QoS 2 once", async () => {
    const options = { cleanSession: false, operationTimeout: 60_000 };
    const receiver = await connected("after-receiver", options);
    const sender = await connected("after-sender", options);
    const seen = { 1: new Map<number, number>(), 2: new Map<number, number>() };
    await receiver.subscribe("after/#", { qos: 2 }, (message) => {
      const counts = seen[message.topic.at(-1) === "1" ? 1 : 2];
      counts.set(Number(text(message)), (counts.get(Number(text(message))) ?? 0) + 1);
    });
    const pending: Promise<void>[] = [];
    const send = () => {
      const index = pending.length >> 1;
      pending.push(
        sender.publish("after/1", `${index}`, { qos: 1 }),
        sender.publish("after/2", `${index}`, { qos: 2 }),
      );
    };
    for (let round = 0; round < 2; round++) {
      for (let count = 0; count < 100; count++) {
        send();
        await new Promise(setImmediate);
      }
      // SIGTERM: it writes its state, as a server does that is restarted; what SIGKILL forgets is not the client's to keep.
      await broker.restart("SIGTERM");
    }
    for (let count = 0; count < 50; count++) send();
    await soon(Promise.all(pending), "all acknowledgements", 25_000);
    const total = pending.length / 2;
    await soon(
      (async () => {
        while (seen[1].size < total || seen[2].size < total) await new Promise((resolve) => setTimeout(resolve, 10));
      })(),
      "all messages",
    );
    expect([...seen[2].values()].filter((count) => count > 1)).toEqual([]);
    await Promise.all([receiver.close(), sender.close()]);
  });
});
