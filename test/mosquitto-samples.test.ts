/**
 * An application of MQTT.js, moved by the words of src/client/README.md: several topics, wildcards, a will, a retained message,
 * request and response, and an end that loses nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Message, MqttClient } from "../src/client/index.js";
import { Mosquitto, mosquittoAvailable } from "./support/mosquitto.js";

const text = (payload: Uint8Array): string => Buffer.from(payload).toString();

describe.skipIf(!mosquittoAvailable())("an application of MQTT.js", () => {
  let broker: Mosquitto;
  let url: string;
  beforeAll(async () => {
    broker = await Mosquitto.start();
    url = `mqtt://localhost:${broker.port}`;
  });
  afterAll(() => broker.stop());

  /** mqtt.connect(url, options) */
  async function connect(clientId: string, options = {}): Promise<MqttClient> {
    const client = new MqttClient(url, { clientId, ...options });
    await client.connect();
    return client;
  }

  test("several topics and wildcards: a handler for each filter in place of one event", async () => {
    const client = await connect("topics");
    const heard: string[] = [];
    const note = (name: string) => (message: Message) => void heard.push(`${name} ${message.topic}`);
    await Promise.all([
      client.subscribe("app/+/state", { qos: 1 }, note("state")),
      client.subscribe("app/#", { qos: 1 }, note("all")),
    ]);
    await client.publish("app/pump/state", "on", { qos: 1 });
    await client.unsubscribe("app/#");
    await client.publish("app/pump/speed", "3", { qos: 1 });
    await client.publish("app/fan/state", "off", { qos: 1 });
    await client.close();
    expect(heard.filter((line) => line.startsWith("all"))).toContain("all app/pump/state");
    expect(heard).not.toContain("all app/pump/speed");
    expect(heard).toContain("state app/pump/state");
  });

  test("a will is published when the connection is lost, and retained for who comes later", async () => {
    const watcher = await connect("watcher");
    const wills = await watcher.subscribe("status/pump", { qos: 1 });
    const will = { topic: "status/pump", payload: "offline", qos: 1 as const, retain: true };
    const first = await connect("pump", { will, reconnect: false });
    await first.publish("status/pump", "online", { qos: 1, retain: true });
    // The same identifier again: the broker ends the first connection without a DISCONNECT.
    const second = await connect("pump");
    const states: string[] = [];
    for await (const { payload } of wills) if (states.push(text(payload)) === 2) break;
    expect(states).toEqual(["online", "offline"]);

    const late = await connect("late");
    for await (const { payload, retain } of await late.subscribe("status/#", { qos: 1 })) {
      expect([text(payload), retain]).toEqual(["offline", true]);
      break;
    }
    await Promise.all([watcher, first, second, late].map((client) => client.close()));
  });

  test("request and response, and a shutdown that sends what waits", async () => {
    const server = await connect("server");
    await server.subscribe("double/+", { qos: 1 }, async ({ topic, payload }) => {
      await server.publish(`answers/${topic.split("/")[1]}`, String(2 * Number(text(payload))), { qos: 1 });
    });
    const client = await connect("client");
    const answers = await client.subscribe("answers/+", { qos: 1 });
    await client.publish("double/1", "21", { qos: 1 });
    for await (const { topic, payload } of answers) {
      expect([topic, text(payload)]).toEqual(["answers/1", "42"]);
      break;
    }
    const sent = Array.from({ length: 500 }, (_, i) => client.publish("last/words", String(i), { qos: 2 }));
    await client.close(); // client.end()
    expect((await Promise.allSettled(sent)).every(({ status }) => status === "fulfilled")).toBe(true);
    await server.close();
  });
});
