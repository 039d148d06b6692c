// What a message of telemetry with properties costs: our device client, our own `publish` of the same topics, ready
// made, and Microsoft's SDK. One process a client, in turn; a server of its own that only acknowledges; TLS, QoS 1.
//
//   npm run bench -- telemetry [--smoke] [--limits]
//
// --limits fails where the budget is lost: at most 3 times the CPU of `publish`, at least 10 times the SDK's messages a
// second. Without the peers of test/interop (npm run test:interop installs them) the SDK is left out.
import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const folder = import.meta.dirname;
const smoke = process.argv.includes("--smoke");
const limits = process.argv.includes("--limits");
/** Messages on their way at a time, as many as a client sends by default. */
const window = 1_000;
const rounds = smoke ? 1 : 3;
const size = smoke ? { messages: 2_000, warmup: 500 } : { messages: 60_000, warmup: 20_000 };
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

const broker = fork(join(folder, "client/broker.mjs"));
const { tls: port, ca } = await new Promise((resolve) => broker.once("message", resolve));

function measure(peer, count) {
  const settings = JSON.stringify({ peer, port, ca, window, ...count });
  const child = fork(join(folder, "telemetry/run.mjs"), [settings], { execArgv: ["--expose-gc"] });
  return new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (status) => status && reject(new Error(`${peer}: exit status ${status}`)));
  });
}

const hasSdk = existsSync(join(folder, "../test/interop/node_modules/azure-iot-device-mqtt"));
const peers = ["sendTelemetry", "publish", ...(hasSdk ? ["sdk"] : [])];
const results = Object.fromEntries(peers.map((peer) => [peer, { cpu: [], wall: [] }]));
for (let round = 0; round < rounds; round++) {
  for (const peer of peers) {
    // The SDK takes as long for a tenth.
    const count = peer === "sdk" ? { messages: size.messages / 10, warmup: size.warmup / 10 } : size;
    const { cpu, wall } = await measure(peer, count);
    results[peer].cpu.push(cpu);
    results[peer].wall.push(wall);
  }
}
broker.disconnect();

console.log(`telemetry of 64 bytes with four properties, ${rounds} rounds; Node ${process.version}\n`);
for (const peer of peers) {
  const [cpu, wall] = [median(results[peer].cpu), median(results[peer].wall)];
  const range = `${Math.min(...results[peer].cpu).toFixed(1)} to ${Math.max(...results[peer].cpu).toFixed(1)}`;
  console.log(
    `${peer.padEnd(14)} ${cpu.toFixed(1)} µs of CPU a message (${range}), ${Math.round(1e6 / wall).toLocaleString("en")} messages/s`,
  );
}
const cost = median(results.sendTelemetry.cpu) / median(results.publish.cpu);
console.log(`\nsendTelemetry costs ${cost.toFixed(2)} times publish`);
let lost = cost > 3;
if (hasSdk) {
  const gain = median(results.sdk.wall) / median(results.sendTelemetry.wall);
  console.log(`sendTelemetry sends ${gain.toFixed(1)} times as many messages a second as the SDK`);
  lost ||= gain < 10;
}
if (limits && lost) {
  console.error("the budget is lost: at most 3 times publish, at least 10 times the SDK");
  process.exitCode = 1;
}
