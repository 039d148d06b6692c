// Idle connections of one kind, so many in this process: what each adds. Started by bench/memory.mjs. The bare socket has
// sent the same CONNECT and read the same CONNACK, because a socket that was never used weighs less.
import * as tls from "node:tls";
import { load } from "../suite/dist.mjs";

const { peer, count, port, ca } = JSON.parse(process.argv[2]);
const secureContext = tls.createSecureContext({ ca });

const peers = {
  async "bare TLS socket"() {
    const { encode } = await load("codec/index.js");
    return (index) =>
      new Promise((resolve, reject) => {
        const socket = tls.connect({ host: "localhost", port, secureContext }, () => {
          socket.write(encode({ type: "connect", clientId: `idle-${index}` }));
        });
        socket.on("data", () => resolve(socket)).on("error", reject);
      });
  },
  async hubwire() {
    const { MqttClient } = await load("client/index.js");
    return async (index) => {
      const client = new MqttClient({ host: "localhost", port, clientId: `idle-${index}`, tls: { secureContext } });
      await client.connect();
      return client;
    };
  },
  async "MQTT.js"() {
    const { default: mqtt } = await import("mqtt");
    return (index) => mqtt.connectAsync(`mqtts://localhost:${port}`, { secureContext, clientId: `idle-${index}` });
  },
};

async function usage() {
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    gc();
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heap: heapUsed + external };
}

const make = await peers[peer]();
const kept = [await make(0)];
const before = await usage();
for (let i = 1; i <= count; i++) kept.push(await make(i));
const after = await usage();
process.send({
  rss: (after.rss - before.rss) / count / 1024,
  heap: (after.heap - before.heap) / count / 1024,
  kept: kept.length,
});
process.exit();
