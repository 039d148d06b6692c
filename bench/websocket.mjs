// Publishing with QoS 1 over WebSocket: hubwire over wss and over TLS, and MQTT.js over wss, each in a process of its own,
// in turn against one broker process (the package `ws` where it speaks WebSocket), over several rounds.
//
//   npm run bench -- websocket [--messages N] [--rounds N] [--window 1..65535] [--payload BYTES]
import { fork } from "node:child_process";
import { join } from "node:path";
import { settings } from "./suite/options.mjs";
import { column, report } from "./suite/report.mjs";

const { values, pick } = settings(import.meta.filename);
const messages = values.messages ?? pick(100_000, 20_000, 2_000);
const rounds = values.rounds ?? pick(7, 3, 1);
const payloadBytes = values.payload ?? 100;
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
    window: values.window ?? 1_000,
    payloadBytes,
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

const row = { what: `${payloadBytes} B`, ours: "hubwire, wss" };
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
