// Publishing with QoS 1 over WebSocket: hubwire over wss and over TLS, and MQTT.js over wss, each in a process of its own,
// in turn against one broker process (the package `ws` where it speaks WebSocket), over several rounds.
//
//   npm run bench -- websocket [--messages N] [--rounds N] [--window N] [--payload BYTES] [--limits]
//
// --limits fails where a budget is lost: 0.8 times our own throughput over TLS, and 6 times MQTT.js.
import { fork } from "node:child_process";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { column, report } from "./suite/report.mjs";
import { median } from "./suite/tables.mjs";

const { values } = parseArgs({
  options: {
    smoke: { type: "boolean", default: false },
    limits: { type: "boolean", default: false },
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

const broker = fork(join(folder, "client/broker.mjs"));
const { tls, wss, ca } = await started(broker);

const peers = {
  "hubwire, wss": { peer: "hubwire", protocol: "wss", port: wss },
  "hubwire, TLS": { peer: "hubwire", protocol: "mqtts", port: tls },
  "MQTT.js, wss": { peer: "MQTT.js", protocol: "wss", port: wss },
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

const row = { what: `${values.payload} B`, ours: "hubwire, wss" };
const table = "Publishing with QoS 1 over WebSocket";
const cpu = (result) => (result.cpuSeconds / messages) * 1e6;
report([
  { ...row, table: `${table}: CPU of the client`, unit: "µs a message", better: "less", values: column(results, cpu) },
  {
    ...row,
    table: `${table}: throughput`,
    unit: "messages/s",
    better: "more",
    values: column(results, ({ seconds }) => messages / seconds),
  },
]);
if (values.limits) {
  const ratios = (other) =>
    results["hubwire, wss"].map(({ seconds }, round) => results[other][round].seconds / seconds);
  for (const [other, budget] of [
    ["hubwire, TLS", 0.8],
    ["MQTT.js, wss", 6],
  ]) {
    if (median(ratios(other)) >= budget) continue;
    console.error(`the budget is lost: hubwire over wss, ${budget} times ${other}`);
    process.exitCode = 1;
  }
}
