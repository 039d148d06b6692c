// One QoS 1 message at a time over TLS: from the call of publish to its acknowledgement, the median and the 99th percentile
// of each run. hubwire, MQTT.js and a raw socket with a packet made beforehand, in turn. On a machine that does other things
// the 99th percentile is mostly the others'.
//
//   npm run bench -- latency [--messages N] [--rounds N]
import { column, interleaved, report } from "./suite/report.mjs";
import { client, settings, startBroker } from "./suite/parties.mjs";

const { values, pick } = settings({ messages: { type: "string" }, rounds: { type: "string" } });
const rounds = Number(values.rounds ?? pick(9, 3, 1));
const messages = Number(values.messages ?? pick(20_000, 5_000, 300));
const broker = await startBroker();
const common = { port: broker.tls, ca: broker.ca, messages, warmup: Math.ceil(messages / 4) };
const results = await interleaved(["hubwire", "MQTT.js", "raw socket"], rounds, "latency", (peer) =>
  client("client/latency.mjs", { ...common, peer }),
);
broker.stop();
const row = { ours: "hubwire", better: "less" };
report([
  ...[
    ["median", ({ p50 }) => p50],
    ["99th percentile", ({ p99 }) => p99],
  ].map(([what, of]) => ({
    ...row,
    table: "One message at a time over TLS, QoS 1: until its acknowledgement",
    what,
    unit: "µs",
    values: column(results, of),
  })),
  {
    ...row,
    table: "One message at a time over TLS, QoS 1: CPU of the client",
    what: "QoS 1",
    unit: "µs a message",
    values: column(results, ({ cpu }) => cpu),
  },
]);
