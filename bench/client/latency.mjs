// One client, one process, one message at a time. It is told how many to send, and answers when they are acknowledged; told
// 0, it says percentiles in µs and the CPU of a message. Settings: JSON in argv.
import { PerformanceObserver } from "node:perf_hooks";
import { load } from "../suite/dist.mjs";

const { peer, port, ca, messages } = JSON.parse(process.argv[2]);
const topic = "devices/thermostat-1/messages/events/";
const payload = Buffer.alloc(100, "x");

const peers = {
  async hubwire() {
    const { MqttClient } = await load("client/index.js");
    const client = new MqttClient({ host: "localhost", port, clientId: `bench-${process.pid}`, tls: { ca } });
    await client.connect();
    const options = { qos: 1 };
    return { send: () => client.publish(topic, payload, options), close: () => client.close({ force: true }) };
  },
  async "MQTT.js"() {
    const { default: mqtt } = await import("mqtt");
    const client = await mqtt.connectAsync(`mqtts://localhost:${port}`, {
      clientId: `bench-${process.pid}`,
      ca,
      reconnectPeriod: 0,
    });
    const options = { qos: 1 };
    return { send: () => client.publishAsync(topic, payload, options), close: () => client.end(true) };
  },
  async "raw socket"() {
    const tls = await import("node:tls");
    const { encode } = await load("codec/index.js");
    const socket = tls.connect({ host: "localhost", port, ca });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    socket.setNoDelay(true);
    const answer = () => new Promise((resolve) => socket.once("data", resolve));
    socket.write(encode({ type: "connect", clientId: `bench-${process.pid}` }));
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
const took = new Float64Array(messages);
const began = new Float64Array(messages);
let kept = 0;
let done = 0;
let cpuSpent = 0;
let pauses = [];
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) pauses.push([startTime, startTime + duration]);
}).observe({ entryTypes: ["gc"] });

/** One at a time. What a turn begins with finds cold caches, which is about this benchmark and not about the client. */
async function turn(count) {
  const cpu = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    const begin = performance.now();
    await send();
    if (i < count / 10 || kept === messages) continue;
    began[kept] = begin;
    took[kept++] = (performance.now() - begin) * 1e3;
  }
  const { user, system } = process.cpuUsage(cpu);
  cpuSpent += user + system;
  done += count;
}

const percentile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];

/** The percentiles of all since the last time; `quiet` is of the messages that no collection of garbage fell into. */
async function tell() {
  await new Promise((resolve) => setTimeout(resolve, 20));
  const quiet = [];
  let pause = 0;
  for (let i = 0; i < kept; i++) {
    while (pause < pauses.length && pauses[pause][1] < began[i]) pause++;
    const hit = pause < pauses.length && pauses[pause][0] < began[i] + took[i] / 1e3;
    if (!hit) quiet.push(took[i]);
  }
  quiet.sort((a, b) => a - b);
  const all = took.slice(0, kept).sort();
  const result = {
    p50: percentile(all, 0.5),
    p99: percentile(all, 0.99),
    quiet: percentile(quiet, 0.99),
    collected: 1 - quiet.length / kept,
    cpu: cpuSpent / done,
  };
  kept = done = cpuSpent = 0;
  pauses = [];
  return result;
}

process.on("message", async (count) => process.send(count > 0 ? (await turn(count), {}) : await tell()));
process.on("disconnect", async () => {
  await close();
  process.exit();
});
process.send({ ready: true });
