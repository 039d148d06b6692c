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
import { refuse, settings } from "./suite/options.mjs";
import { progress, report } from "./suite/report.mjs";
import { startBroker } from "./suite/parties.mjs";

const { values, pick } = settings(import.meta.filename);
const rate = values.rate ?? 1;
const read = (option) => {
  try {
    return values[option] && readFileSync(values[option], "utf8");
  } catch (error) {
    return refuse("fleet", `--${option}: ${error.message}`);
  }
};
const strings = read("connection-strings")
  ?.split("\n")
  .map((line) => line.trim())
  .filter(Boolean);
const elsewhere = strings && ["host", "plain", "user", "password-file"].find((option) => values[option] !== undefined);
if (elsewhere) refuse("fleet", `--${elsewhere} does not go with --connection-strings`);
if (strings?.length === 0) refuse("fleet", `there is no connection string in ${values["connection-strings"]}`);
const devices = values.devices ?? strings?.length ?? pick(1_000, 300, 20);
if (strings && strings.length < devices) refuse("fleet", `${devices} devices and ${strings.length} connection strings`);
const threads = Math.min(values.threads ?? 2, devices);
const seconds = values.seconds ?? pick(20, 8, 1);
const local = values.host === undefined && strings === undefined;
const broker = local ? await startBroker() : undefined;
const common = {
  host: values.host ?? "localhost",
  port: values.port ?? (local ? (values.plain ? broker.tcp : broker.tls) : undefined),
  plain: values.plain,
  ca: read("ca") ?? broker?.ca,
  username: values.user,
  password: read("password-file")?.trim(),
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
const percentile = (list, part) => list[Math.min(list.length - 1, Math.floor(list.length * part))];
const sum = (key) => results.reduce((total, result) => total + result[key], 0);
const [connecting, latencies] = [all("connecting"), all("latencies")];
const row = { better: "less", ours: "the fleet" };
/** Where there was nothing, there are no percentiles. */
const percentiles = (table, list) =>
  (list.length > 0 ? [0.5, 0.95, 0.99, 1] : []).map((part) => ({
    ...row,
    table,
    what: part === 1 ? "the longest" : `percentile ${part * 100}`,
    unit: "ms",
    values: { "the fleet": [percentile(list, part)] },
  }));
const name = `A fleet of ${devices} on ${threads} threads`;
report([
  ...percentiles(`${name}: time to connect`, connecting),
  ...percentiles(`${name}: until a message is acknowledged`, latencies),
  {
    ...row,
    table: `${name}: acknowledged`,
    what: `${rate * devices} a second offered`,
    unit: "messages/s",
    better: "more",
    values: { "the fleet": [latencies.length / Math.max(...results.map((result) => result.seconds))] },
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
