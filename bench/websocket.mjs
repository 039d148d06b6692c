// Publishing with QoS 1 over WebSocket: hubwire over wss and over TLS, and MQTT.js over wss, each in a process of its own,
// in turn against one broker process (the package `ws` where it speaks WebSocket), over several rounds. It fails where a
// budget is lost: 0.8 times our own figure over TLS, and 6 times MQTT.js.
//
//   npm run bench -- websocket [--smoke] [--messages N] [--rounds N] [--window N] [--payload BYTES]
import { fork } from "node:child_process";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    smoke: { type: "boolean", default: false },
    messages: { type: "string" },
    rounds: { type: "string" },
    window: { type: "string", default: "1000" },
    payload: { type: "string", default: "100" },
  },
});
const messages = Number(values.messages ?? (values.smoke ? 2_000 : 100_000));
const rounds = Number(values.rounds ?? (values.smoke ? 1 : 7));
const folder = import.meta.dirname;

const started = (child) =>
  new Promise((resolve, reject) => child.once("message", resolve).once("exit", () => reject(new Error("ended early"))));
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const spread = (list) =>
  `${median(list).toFixed(2)} (${Math.min(...list).toFixed(2)} to ${Math.max(...list).toFixed(2)})`;

const broker = fork(join(folder, "client/broker.mjs"));
const { tls, wss, ca } = await started(broker);

const peers = {
  "hubwire, wss": { peer: "hubwire", protocol: "wss", port: wss },
  "hubwire, TLS": { peer: "hubwire", protocol: "mqtts", port: tls },
  "MQTT.js, wss": { peer: "mqttjs", protocol: "wss", port: wss },
};

async function measure(name) {
  const settings = {
    ...peers[name],
    host: "localhost",
    ca,
    secure: true,
    messages,
    warmup: Math.ceil(messages / 5),
    window: Number(values.window),
    payloadBytes: Number(values.payload),
    qos: 1,
  };
  const child = fork(join(folder, "client/run.mjs"), [JSON.stringify(settings)]);
  const result = await started(child);
  await new Promise((resolve) => child.once("exit", resolve));
  return result;
}

const names = Object.keys(peers);
const results = Object.fromEntries(names.map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  // Another order each round, so that a drift of the machine's speed falls on all of them.
  for (let i = 0; i < names.length; i++) {
    const name = names[(i + round) % names.length];
    results[name].push(await measure(name));
  }
}
broker.disconnect();

console.log(`publishing, QoS 1, loopback, ${values.payload} byte payloads, ${values.window} unacknowledged at most`);
console.log(`${messages} messages, ${rounds} rounds; Node ${process.version}, ${cpus()[0].model}\n`);
for (const name of names) {
  const rate = median(results[name].map(({ seconds }) => messages / seconds));
  const cpu = median(results[name].map(({ cpuSeconds }) => (cpuSeconds / messages) * 1e6));
  const rss = median(results[name].map((result) => result.rss / 2 ** 20));
  const figures = [
    `${Math.round(rate).toLocaleString("en").padStart(9)} messages/s`,
    `${cpu.toFixed(2).padStart(6)} us CPU a message`,
    `${rss.toFixed(0).padStart(4)} MiB RSS`,
  ];
  console.log(`${name.padEnd(13)}${figures.join("  ")}`);
}

const ratios = (other) => results["hubwire, wss"].map(({ seconds }, round) => results[other][round].seconds / seconds);
console.log("\nratios of throughput, median (min to max) over rounds");
let lost = false;
for (const [other, budget] of [
  ["hubwire, TLS", 0.8],
  ["MQTT.js, wss", 6],
]) {
  const list = ratios(other);
  const fine = median(list) >= budget;
  lost ||= !fine;
  console.log(`hubwire, wss / ${other.padEnd(13)} ${spread(list)}, budget ${budget}${fine ? "" : ": LOST"}`);
}
// A run of seconds shows that it works, not how fast it is.
process.exitCode = lost && !values.smoke ? 1 : 0;
