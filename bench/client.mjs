// Publishing over TLS: hubwire, MQTT.js and a raw socket with packets encoded beforehand, each in a process of its own,
// in turn against one broker process, over several rounds. Printed: messages a second, CPU a message, and the ratios
// round by round with their spread. Nothing here passes or fails.
//
//   npm run bench -- client [--smoke] [--messages N] [--rounds N] [--qos 0|1|2] [--window N] [--payload BYTES] [--plain]
//                           [--mosquitto]   a real broker in place of the one that only answers
import { fork, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    smoke: { type: "boolean", default: false },
    messages: { type: "string" },
    rounds: { type: "string" },
    qos: { type: "string", default: "1" },
    window: { type: "string", default: "1000" },
    payload: { type: "string", default: "100" },
    plain: { type: "boolean", default: false },
    mosquitto: { type: "boolean", default: false },
  },
});
const messages = Number(values.messages ?? (values.smoke ? 2_000 : 100_000));
const rounds = Number(values.rounds ?? (values.smoke ? 1 : 7));
const qos = Number(values.qos);
const secure = !values.plain;
const folder = import.meta.dirname;

const started = (child) =>
  new Promise((resolve, reject) => child.once("message", resolve).once("exit", () => reject(new Error("ended early"))));
const version = (name) => JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json"), "utf8")).version;
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const spread = (list) =>
  `${median(list).toFixed(2)} (${Math.min(...list).toFixed(2)} to ${Math.max(...list).toFixed(2)})`;

const broker = values.mosquitto ? await startMosquitto() : fork(join(folder, "client/broker.mjs"));
const { tls, tcp, ca } = broker.address ?? (await started(broker));

/** mosquitto with a certificate made here, on free ports of the loopback interface. */
async function startMosquitto() {
  const { createAuthority } = await import("../dist/emulator/index.js");
  const authority = createAuthority();
  const { chain, key } = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });
  const place = mkdtempSync(join(tmpdir(), "hubwire-bench-"));
  const freePort = () =>
    new Promise((resolve) => {
      const server = createServer().listen(0, "127.0.0.1", () => {
        const { port } = server.address();
        server.close(() => resolve(port));
      });
    });
  const address = { tls: await freePort(), tcp: await freePort(), ca: authority.certificate };
  writeFileSync(join(place, "chain.pem"), chain);
  writeFileSync(join(place, "key.pem"), key);
  const lines = [
    `listener ${address.tcp} 127.0.0.1`,
    `listener ${address.tls} 127.0.0.1`,
    `certfile ${place}/chain.pem`,
    `keyfile ${place}/key.pem`,
    "allow_anonymous true",
    "max_inflight_messages 0",
    ...(process.getuid?.() === 0 ? ["user root"] : []),
  ];
  writeFileSync(join(place, "mosquitto.conf"), lines.join("\n") + "\n");
  const child = spawn("mosquitto", ["-c", join(place, "mosquitto.conf")], { stdio: "ignore" });
  child.once("error", () => {
    console.error("bench: mosquitto is not installed");
    process.exit(1);
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  const disconnect = () => {
    child.kill();
    rmSync(place, { recursive: true });
  };
  return { address, disconnect };
}

async function measure(peer) {
  const settings = {
    peer,
    host: "localhost",
    port: secure ? tls : tcp,
    ca,
    secure,
    messages,
    warmup: Math.ceil(messages / 5),
    window: Number(values.window),
    payloadBytes: Number(values.payload),
    qos,
  };
  const child = fork(join(folder, "client/run.mjs"), [JSON.stringify(settings)]);
  const result = await started(child);
  await new Promise((resolve) => child.once("exit", resolve));
  return result;
}

const peers = qos === 1 ? ["hubwire", "mqttjs", "raw"] : ["hubwire", "mqttjs"];
const results = Object.fromEntries(peers.map((peer) => [peer, []]));
for (let round = 0; round < rounds; round++) {
  // Another order each round, so that a drift of the machine's speed falls on all of them.
  for (let i = 0; i < peers.length; i++) {
    const peer = peers[(i + round) % peers.length];
    results[peer].push(await measure(peer));
  }
}
broker.disconnect();

console.log(
  `publishing, QoS ${qos}, ${secure ? "TLS" : "TCP"} on loopback, ${values.payload} byte payloads, ${values.window} unacknowledged at most`,
);
console.log(
  `${messages} messages after ${Math.ceil(messages / 5)} to warm up, ${rounds} rounds; Node ${process.version}, ${cpus()[0].model}`,
);
console.log(`peer: MQTT.js ${version("mqtt")}; broker: ${values.mosquitto ? "mosquitto" : "one that only answers"}\n`);
for (const peer of peers) {
  const rate = median(results[peer].map(({ seconds }) => messages / seconds));
  const cpu = median(results[peer].map(({ cpuSeconds }) => (cpuSeconds / messages) * 1e6));
  const rss = median(results[peer].map(({ rss }) => rss / 2 ** 20));
  console.log(
    `${peer.padEnd(8)} ${Math.round(rate).toLocaleString("en").padStart(9)} messages/s  ${cpu.toFixed(2).padStart(6)} us CPU a message  ${rss.toFixed(0).padStart(4)} MiB RSS`,
  );
}
const ratio = (a, b, key) => spread(results[a].map((result, round) => results[b][round][key] / result[key]));
console.log(`\nratios, median (min to max) over rounds`);
console.log(`hubwire / MQTT.js throughput       ${ratio("hubwire", "mqttjs", "seconds")}`);
console.log(`MQTT.js / hubwire CPU a message    ${ratio("hubwire", "mqttjs", "cpuSeconds")}`);
if (results.raw) console.log(`hubwire / raw socket throughput    ${ratio("hubwire", "raw", "seconds")}`);
