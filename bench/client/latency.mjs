// One client, one process, one message at a time; says percentiles in µs and the CPU of a message. Settings: JSON in argv.
const { peer, port, ca, messages, warmup } = JSON.parse(process.argv[2]);
const topic = "devices/thermostat-1/messages/events/";
const payload = Buffer.alloc(100, "x");

const peers = {
  async hubwire() {
    const { MqttClient } = await import("../../dist/client/index.js");
    const client = new MqttClient({ host: "localhost", port, clientId: "bench", tls: { ca } });
    await client.connect();
    const options = { qos: 1 };
    return { send: () => client.publish(topic, payload, options), close: () => client.close({ force: true }) };
  },
  async "MQTT.js"() {
    const { default: mqtt } = await import("mqtt");
    const client = await mqtt.connectAsync(`mqtts://localhost:${port}`, { clientId: "bench", ca, reconnectPeriod: 0 });
    const options = { qos: 1 };
    return { send: () => client.publishAsync(topic, payload, options), close: () => client.end(true) };
  },
  async "raw socket"() {
    const tls = await import("node:tls");
    const { encode } = await import("../../dist/codec/index.js");
    const socket = tls.connect({ host: "localhost", port, ca });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    socket.setNoDelay(true);
    const answer = () => new Promise((resolve) => socket.once("data", resolve));
    socket.write(encode({ type: "connect", clientId: "bench" }));
    await answer();
    const one = encode({ type: "publish", topic, payload, qos: 1, packetId: 1 });
    const send = () => {
      socket.write(one);
      return answer();
    };
    return { send, close: () => socket.destroy() };
  },
};

const { send, close } = await peers[peer]();
for (let i = 0; i < warmup; i++) await send();
const took = new Float64Array(messages);
const cpu = process.cpuUsage();
for (let i = 0; i < messages; i++) {
  const begin = performance.now();
  await send();
  took[i] = (performance.now() - begin) * 1e3;
}
const { user, system } = process.cpuUsage(cpu);
took.sort();
const percentile = (part) => took[Math.min(messages - 1, Math.floor(messages * part))];
process.send({ p50: percentile(0.5), p99: percentile(0.99), cpu: (user + system) / messages });
await close();
process.disconnect();
