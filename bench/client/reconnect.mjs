// One client, one process: has its connection dropped so many times; says the CPU of each in µs. Settings: JSON in argv.
import { once } from "node:events";
import { load } from "../suite/dist.mjs";

const { peer, port, ca, times, warmup } = JSON.parse(process.argv[2]);

/** A TLS socket of our own that sends a CONNECT and is dropped by the server. */
async function bare(resumed) {
  const tls = await import("node:tls");
  const { encode } = await load("codec/index.js");
  const secureContext = tls.createSecureContext({ ca });
  const connect = encode({ type: "connect", clientId: "bench" });
  const close = encode({ type: "publish", topic: "close", payload: "", qos: 0 });
  let session;
  return {
    again: async () => {
      const socket = tls.connect({ host: "localhost", port, secureContext, ...(resumed && { session }) });
      socket.on("session", (made) => (session = made));
      socket.on("error", () => {});
      socket.setNoDelay(true);
      await once(socket, "secureConnect");
      socket.write(connect);
      await once(socket, "data");
      socket.write(close);
      await once(socket, "close");
    },
    close() {},
  };
}

const peers = {
  async hubwire() {
    const { MqttClient } = await load("client/index.js");
    // Its own reconnecting would take a server that drops every connection at once for a second client of its name.
    const options = { host: "localhost", port, clientId: "bench", tls: { ca }, reconnect: false };
    const client = new MqttClient(options);
    client.on("error", () => {});
    await client.connect();
    const again = async () => {
      const dropped = once(client, "disconnect");
      void client.publish("close", "", { qos: 0 });
      await dropped;
      await client.connect();
    };
    return { again, close: () => client.close({ force: true }) };
  },
  async "MQTT.js"() {
    const { default: mqtt } = await import("mqtt");
    const client = await mqtt.connectAsync(`mqtts://localhost:${port}`, { clientId: "bench", ca, reconnectPeriod: 1 });
    client.on("error", () => {});
    const again = () => {
      const connected = once(client, "connect");
      client.publish("close", "");
      return connected;
    };
    return { again, close: () => client.end(true) };
  },
  "TLS socket, resumed": () => bare(true),
  "TLS socket, anew": () => bare(false),
};

const { again, close } = await peers[peer]();
for (let i = 0; i < warmup; i++) await again();
const before = process.cpuUsage();
for (let i = 0; i < times; i++) await again();
const { user, system } = process.cpuUsage(before);
process.send({ cpu: (user + system) / times });
await close();
process.disconnect();
process.once("disconnect", () => process.exit());
