// One client, one process: connects, subscribes, orders messages and says what receiving them took. Settings: JSON in argv.
import { load } from "../suite/dist.mjs";

const { peer, port, ca, messages, warmup, window, payloadBytes, qos } = JSON.parse(process.argv[2]);
const topic = "devices/thermostat-1/messages/devicebound/#";
const order = (count) => JSON.stringify({ qos, count, window, payloadBytes });

let left = 0;
let last = () => {};
const arrived = (count = 1) => {
  left -= count;
  if (left === 0) last();
};
/** Every peer's handler reads the topic and the payload's length. */
function handle(name, payload) {
  if (name.length + payload.length < payloadBytes) throw new Error("a message is too short");
  arrived();
}

const peers = {
  async hubwire() {
    const { MqttClient } = await load("client/index.js");
    const client = new MqttClient({ host: "localhost", port, clientId: "bench", tls: { ca } });
    await client.connect();
    await client.subscribe(topic, { qos }, (message) => handle(message.topic, message.payload));
    return { order: (count) => client.publish("order", order(count)), close: () => client.close({ force: true }) };
  },

  async "MQTT.js"() {
    const { default: mqtt } = await import("mqtt");
    const client = await mqtt.connectAsync(`mqtts://localhost:${port}`, { clientId: "bench", ca, reconnectPeriod: 0 });
    client.on("message", handle);
    await client.subscribeAsync(topic, { qos });
    return { order: (count) => client.publishAsync("order", order(count)), close: () => client.end(true) };
  },

  /** The floor: it knows how long every packet is and looks into none. */
  async "raw socket"() {
    const tls = await import("node:tls");
    const { encode } = await load("codec/index.js");
    const socket = tls.connect({ host: "localhost", port, ca });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    socket.setNoDelay(true);
    socket.write(encode({ type: "connect", clientId: "bench" }));
    await new Promise((resolve) => socket.once("data", resolve));
    const sent = "devices/thermostat-1/messages/devicebound/%24.mid=1&%24.ct=application%2Fjson";
    const one = encode({
      type: "publish",
      topic: sent,
      payload: Buffer.alloc(payloadBytes),
      qos,
      ...(qos > 0 && { packetId: 1 }),
    });
    const acknowledgements = Buffer.alloc(4 * window);
    for (let i = 0; i < window; i++) acknowledgements.set(encode({ type: "puback", packetId: i + 1 }), 4 * i);
    let bytes = 0;
    let at = 0;
    socket.on("data", (chunk) => {
      bytes += chunk.length;
      const packets = Math.floor(bytes / one.length);
      bytes -= packets * one.length;
      for (let rest = qos === 0 ? 0 : packets; rest > 0;) {
        const some = Math.min(rest, window - at);
        socket.write(acknowledgements.subarray(4 * at, 4 * (at + some)));
        at = (at + some) % window;
        rest -= some;
      }
      if (packets > 0) arrived(packets);
    });
    const send = (count) => {
      at = 0;
      socket.write(encode({ type: "publish", topic: "order", payload: order(count), qos: 0 }));
    };
    return { order: send, close: () => socket.destroy() };
  },
};

const client = await peers[peer]();
function receive(count) {
  left = count;
  return new Promise((resolve) => {
    last = resolve;
    void client.order(count);
  });
}
await receive(warmup);
const cpu = process.cpuUsage();
const begin = process.hrtime.bigint();
await receive(messages);
const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
const { user, system } = process.cpuUsage(cpu);
process.send({ seconds, cpuSeconds: (user + system) / 1e6 });
await client.close();
process.disconnect();
