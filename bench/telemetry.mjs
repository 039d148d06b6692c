// What a message of telemetry with properties costs: our device client, our own `publish` of the same topics, ready
// made, and Microsoft's SDK. One process a client, in turn; a server of its own that only acknowledges; TLS, QoS 1.
//
//   npm run bench -- telemetry [--rounds N]
//
// The SDK is installed into test/interop with the peers of the tests there.
import { settings } from "./suite/options.mjs";
import { column, interleaved, report } from "./suite/report.mjs";
import { client, hasSdk, others, sdkSkipped, sdkVersions, startBroker } from "./suite/parties.mjs";

const { values, pick } = settings(import.meta.filename);
/** Messages on their way at a time, as many as a client sends by default. */
const window = 1_000;
const rounds = values.rounds ?? pick(5, 3, 1);
const size = pick(
  { messages: 60_000, warmup: 20_000 },
  { messages: 20_000, warmup: 10_000 },
  { messages: 2_000, warmup: 500 },
);
const broker = await startBroker();
const programs = {
  hubwire: "hubwire",
  ...Object.fromEntries(others.map((name) => [name, name])),
  "hubwire's publish": "publish",
  ...(hasSdk && { "Microsoft's SDK": "sdk" }),
};
const results = await interleaved(Object.keys(programs), rounds, "telemetry", (name) => {
  const peer = programs[name];
  // The SDK takes as long for a tenth.
  const count = peer === "sdk" ? { messages: size.messages / 10, warmup: size.warmup / 10 } : size;
  return client("telemetry/run.mjs", { peer, port: broker.tls, ca: broker.ca, window, ...count }, ["--expose-gc"]);
});
broker.stop();

const row = { what: "64 B, four properties", ours: "hubwire" };
const cpu = {
  ...row,
  table: "Telemetry with properties, QoS 1 over TLS: CPU of the client",
  unit: "µs a message",
  better: "less",
  values: column(results, (result) => result.cpu),
};
const throughput = {
  ...row,
  table: "Telemetry with properties, QoS 1 over TLS: throughput",
  unit: "messages/s",
  better: "more",
  values: column(results, ({ wall }) => 1e6 / wall),
};
report([cpu, throughput], sdkSkipped, sdkVersions);
