// One client, one process: a burst in one turn; says its peak of memory in MiB. Settings: JSON in argv.
import { load } from "../suite/dist.mjs";

const { peer, port, ca, messages } = JSON.parse(process.argv[2]);
const topic = "devices/thermostat-1/messages/events/";
const payloadOf = (i) => Buffer.alloc(200, `${i} `);

const peers = {
  async hubwire() {
    const { MqttClient } = await load("client/index.js");
    const client = new MqttClient({ host: "localhost", port, clientId: "bench", tls: { ca } });
    await client.connect();
    const options = { qos: 1 };
    return () => Promise.all(Array.from({ length: messages }, (_, i) => client.publish(topic, payloadOf(i), options)));
  },
  async "MQTT.js"() {
    const { default: mqtt } = await import("mqtt");
    const client = await mqtt.connectAsync(`mqtts://localhost:${port}`, { clientId: "bench", ca, reconnectPeriod: 0 });
    const options = { qos: 1 };
    return () =>
      Promise.all(Array.from({ length: messages }, (_, i) => client.publishAsync(topic, payloadOf(i), options)));
  },
  /** It makes a packet of each payload, as whoever sends different payloads must. */
  async "raw socket"() {
    const tls = await import("node:tls");
    const { encode } = await load("codec/index.js");
    const socket = tls.connect({ host: "localhost", port, ca });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    socket.write(encode({ type: "connect", clientId: "bench" }));
    await new Promise((resolve) => socket.once("data", resolve));
    return () =>
      new Promise((resolve) => {
        let bytes = 0;
        socket.on("data", (chunk) => (bytes += chunk.length) === 4 * messages && resolve());
        for (let i = 0; i < messages; i++) {
          socket.write(encode({ type: "publish", topic, payload: payloadOf(i), qos: 1, packetId: 1 + (i % 65_535) }));
        }
      });
  },
};

const burst = await peers[peer]();
gc();
const before = process.memoryUsage.rss() / 2 ** 20;
await burst();
const peak = process.resourceUsage().maxRSS / 1024;
process.send({ peak, growth: peak - before });
process.disconnect();
process.once("disconnect", () => process.exit());
