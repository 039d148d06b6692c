// One client, one process: connects, warms up, publishes, prints what it took as JSON. Settings come as JSON in argv.
import { load } from "../suite/dist.mjs";

const settings = JSON.parse(process.argv[2]);
const { peer, host, port, ca, secure, messages, warmup, window, payloadBytes, qos } = settings;
const { protocol = secure ? "mqtts" : "mqtt" } = settings;

const topic = "devices/thermostat-1/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8";
const payload = Buffer.alloc(payloadBytes, "x");

/** Each peer gives the function that publishes one message and calls back when its QoS flow is complete. */
const peers = {
  async hubwire() {
    const { MqttClient } = await load("client/index.js");
    const client = new MqttClient({
      host,
      port,
      protocol,
      clientId: "bench",
      maxInflight: window,
      tls: { ca },
    });
    await client.connect();
    const options = { qos };
    const fail = (error) => {
      throw error;
    };
    return { publish: (done) => client.publish(topic, payload, options).then(done, fail), close: () => client.close() };
  },

  async "MQTT.js"() {
    const { default: mqtt } = await import("mqtt");
    const client = await mqtt.connectAsync(`${protocol}://${host}:${port}${protocol === "wss" ? "/mqtt" : ""}`, {
      clientId: "bench",
      ca,
      reconnectPeriod: 0,
    });
    const options = { qos };
    return {
      // The callback form is MQTT.js's faster one: its promise form wraps it.
      publish: (done) =>
        client.publish(topic, payload, options, (error) => {
          if (error) throw error;
          done();
        }),
      close: () => client.endAsync(),
    };
  },

  /** The floor: packets that are already encoded, written in batches; PUBACKs counted by their bytes. */
  async "raw socket"() {
    const tls = await import("node:tls");
    const net = await import("node:net");
    const { encode } = await load("codec/index.js");
    const socket = secure ? tls.connect({ host, port, ca, servername: "localhost" }) : net.connect({ host, port });
    await new Promise((resolve) => socket.once(secure ? "secureConnect" : "connect", resolve));
    socket.setNoDelay(true);
    socket.write(encode({ type: "connect", clientId: "bench" }));
    await new Promise((resolve) => socket.once("data", resolve));
    const one = encode({ type: "publish", topic, payload, qos, ...(qos > 0 ? { packetId: 1 } : {}) });
    const batch = Buffer.alloc(one.length * window);
    for (let i = 0; i < window; i++) batch.set(one, i * one.length);
    let waiting = 0;
    let acknowledged = () => {};
    if (qos === 0) return { stream: (count) => flood(socket, batch, one.length, count), close: () => socket.destroy() };
    socket.on("data", (chunk) => acknowledged(chunk.length / 4));
    return {
      /** Publishes so many, keeping `window` on their way. */
      stream: (count) =>
        new Promise((resolve) => {
          let sent = 0;
          let finished = 0;
          const fill = () => {
            const room = Math.min(window - waiting, count - sent);
            if (room <= 0) return;
            socket.write(batch.subarray(0, room * one.length));
            sent += room;
            waiting += room;
          };
          acknowledged = (packets) => {
            waiting -= packets;
            finished += packets;
            if (finished >= count) resolve();
            else fill();
          };
          fill();
        }),
      close: () => socket.destroy(),
    };
  },
};

/** QoS 0: what the socket takes, batch by batch, until all is handed to the system. */
async function flood(socket, batch, size, count) {
  for (let sent = 0; sent < count;) {
    const some = Math.min(window, count - sent);
    sent += some;
    await new Promise((resolve) => socket.write(batch.subarray(0, some * size), resolve));
  }
}

/** Publishes `count` messages with at most `window` of them unfinished at a time. */
function windowed(publish) {
  return (count) =>
    new Promise((resolve) => {
      let sent = 0;
      let finished = 0;
      const done = () => {
        if (++finished === count) resolve();
        else if (sent < count) {
          sent++;
          publish(done);
        }
      };
      while (sent < Math.min(window, count)) {
        sent++;
        publish(done);
      }
    });
}

const client = await peers[peer]();
const stream = client.stream ?? windowed(client.publish);
await stream(warmup);
const cpu = process.cpuUsage();
const begin = process.hrtime.bigint();
await stream(messages);
const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
const { user, system } = process.cpuUsage(cpu);
process.send({ seconds, cpuSeconds: (user + system) / 1e6, rss: process.memoryUsage.rss() });
await client.close();
process.disconnect();
