// A fleet: N devices on M worker threads connect at a ramp, send telemetry at a rate, and say rates and percentiles, against
// any host. bench/README.md says what the figures mean for a hub's quotas.
//
//   npm run bench -- fleet [--devices N] [--threads M] [--ramp CONNECTIONS_A_SECOND] [--rate MESSAGES_A_SECOND_EACH]
//                          [--seconds N] [--payload BYTES]
//                          [--host NAME] [--port 1..65535] [--plain] [--ca FILE] [--user NAME] [--password-file FILE]
//                          [--connection-strings FILE]   devices of a hub, one a line, in place of --host
//
// Without a host: a broker of its own on this machine that only answers.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { settings } from "./suite/options.mjs";
import { progress, report } from "./suite/report.mjs";
import { startBroker } from "./suite/parties.mjs";

const { values, pick } = settings(import.meta.filename);
const rate = values.rate ?? 1;
const lines = values["connection-strings"] && readFileSync(values["connection-strings"], "utf8").split("\n");
const strings = lines ? lines.map((line) => line.trim()).filter(Boolean) : undefined;
const devices = values.devices ?? strings?.length ?? pick(1_000, 300, 20);
if (strings && strings.length < devices) throw new Error(`${devices} devices and ${strings.length} connection strings`);
const threads = Math.min(values.threads ?? 2, devices);
const seconds = values.seconds ?? pick(20, 8, 1);
const local = values.host === undefined && strings === undefined;
const broker = local ? await startBroker() : undefined;
const common = {
  host: values.host ?? "localhost",
  port: values.port ?? (local ? (values.plain ? broker.tcp : broker.tls) : undefined),
  plain: values.plain,
  ca: values.ca ? readFileSync(values.ca, "utf8") : broker?.ca,
  username: values.user,
  password: values["password-file"] && readFileSync(values["password-file"], "utf8").trim(),
  ramp: (values.ramp ?? 200) / threads,
  rate,
  payloadBytes: values.payload ?? 200,
  seconds,
};

const before = process.cpuUsage();
const states = Array.from({ length: threads }, () => "connects");
const results = await Promise.all(
  states.map((_, thread) => {
    const mine = Array.from({ length: devices }, (_value, i) => i).filter((i) => i % threads === thread);
    const workerData = { ...common, mine, strings: strings && mine.map((i) => strings[i]) };
    const worker = new Worker(join(import.meta.dirname, "fleet/worker.mjs"), { workerData });
    return new Promise((resolve, reject) => {
      worker.on("message", (said) => {
        if (said.result) return resolve(said.result);
        states[thread] = said.state;
        progress(states.map((state, i) => `thread ${i}: ${state}`).join(", "));
      });
      worker.on("error", reject);
    });
  }),
);
const { user, system } = process.cpuUsage(before);
broker?.stop();

const all = (key) => results.flatMap((result) => result[key]).sort((a, b) => a - b);
const percentile = (list, part) =>
  list.length > 0 ? list[Math.min(list.length - 1, Math.floor(list.length * part))] : 0;
const sum = (key) => results.reduce((total, result) => total + result[key], 0);
const [connecting, latencies] = [all("connecting"), all("latencies")];
const row = { better: "less", ours: "the fleet" };
const name = `A fleet of ${devices} on ${threads} threads`;
report([
  ...[0.5, 0.95, 0.99, 1].map((part) => ({
    ...row,
    table: `${name}: time to connect`,
    what: `percentile ${part * 100}`,
    unit: "ms",
    values: { "the fleet": [percentile(connecting, part)] },
  })),
  ...[0.5, 0.95, 0.99, 1].map((part) => ({
    ...row,
    table: `${name}: until a message is acknowledged`,
    what: `percentile ${part * 100}`,
    unit: "ms",
    values: { "the fleet": [percentile(latencies, part)] },
  })),
  {
    ...row,
    table: `${name}: acknowledged`,
    what: `${rate * devices} a second offered`,
    unit: "messages/s",
    better: "more",
    values: { "the fleet": [latencies.length / seconds] },
  },
  {
    ...row,
    table: `${name}: this process, CPU over all`,
    what: "connecting and sending",
    unit: "ms a device",
    values: { "the fleet": [(user + system) / 1e3 / devices] },
  },
]);
console.log(
  `${sum("connected")} of ${devices} connected, ${sum("failed")} messages failed, ${sum("lost")} connections were lost; ` +
    `${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB at the peak`,
);
const codes = results.flatMap((result) => result.codes);
if (codes.length > 0) console.log(`errors: ${[...new Set(codes)].join(", ")}`);
process.exit(sum("connected") === devices ? 0 : 1);
