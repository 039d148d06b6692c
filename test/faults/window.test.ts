/**
 * As much as one likes at a time, of both kinds: mosquitto 2.0 acknowledges and drops messages while 20 with
 * QoS 2 are on their way to it, so by default the client does not let it come to that.
 */
import { expect, test } from "vitest";
import { MqttClient, type MqttClientOptions } from "../../src/client/index.js";
import { Mosquitto, mosquittoAvailable } from "../support/mosquitto.js";
import { Peer, type PeerConnection, soon } from "../support/peer.js";

const COUNT = 2_000;

test.skipIf(!mosquittoAvailable())("thousands of QoS 1 and QoS 2 messages at once all arrive", async () => {
  const broker = await Mosquitto.start();
  const options: MqttClientOptions = { host: "127.0.0.1", port: broker.port, protocol: "mqtt" };
  const sender = new MqttClient({ ...options, clientId: "sender" });
  const receiver = new MqttClient({ ...options, clientId: "receiver" });
  try {
    await Promise.all([sender.connect(), receiver.connect()]);
    const arrived = new Set<string>();
    let complete = (): void => {};
    const all = new Promise<void>((resolve) => (complete = resolve));
    await receiver.subscribe("t", { qos: 2 }, ({ payload }) => {
      if (arrived.add(Buffer.from(payload).toString()).size === COUNT) complete();
    });
    const publish = (n: number) => sender.publish("t", String(n), { qos: n % 3 ? 2 : 1 });
    await Promise.all(Array.from({ length: COUNT }, (_, n) => publish(n)));
    await soon(all, "every message to arrive").catch(() => {});
    expect(arrived.size).toBe(COUNT);
    expect(sender.metrics.connects).toBe(1);
  } finally {
    await sender.close({ force: true });
    await receiver.close({ force: true });
    await broker.stop();
  }
});

/** How many QoS 2 messages are sent while none is acknowledged, and how many QoS 1 ones before them. */
async function window(options: Partial<MqttClientOptions>): Promise<[qos1: number, qos2: number]> {
  const peer = await Peer.listen();
  const { port } = peer;
  const client = new MqttClient({ host: "127.0.0.1", port, protocol: "mqtt", clientId: "c", ...options });
  try {
    const connected = client.connect();
    const connection: PeerConnection = await peer.next();
    await connection.accept();
    await connected;
    for (const qos of [1, 2] as const) {
      for (let n = 0; n < 50; n++) client.publish("t", "", { qos }).catch(() => {});
    }
    // Its PUBACK leaves behind all that could be sent.
    const sent = await connection.settle();
    const count = (header: string) => sent.filter((packet) => packet.startsWith(header)).length;
    return [count("32"), count("34")];
  } finally {
    await client.close({ force: true });
    await peer.close();
  }
}

test("16 QoS 2 messages are in flight by default, and as many as the caller asks for otherwise", async () => {
  expect(await window({})).toEqual([50, 16]);
  expect(await window({ maxInflight: 80 })).toEqual([50, 30]);
  expect(await window({ maxInflight: 5 })).toEqual([5, 0]);
});
