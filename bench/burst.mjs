// A burst: 50,000 QoS 1 messages of 200 bytes handed over in one turn of the event loop, until all are acknowledged. The
// peak of resident memory over what the connected process had before. A raw socket is handed the encoded packets likewise.
//
//   npm run bench -- burst [--messages N] [--rounds N]
import { settings } from "./suite/options.mjs";
import { column, interleaved, report } from "./suite/report.mjs";
import { client, others, startBroker } from "./suite/parties.mjs";

const { values, pick } = settings(import.meta.filename);
const rounds = values.rounds ?? pick(7, 3, 1);
const messages = values.messages ?? pick(50_000, 50_000, 2_000);
const broker = await startBroker();
const common = { port: broker.tls, ca: broker.ca, messages };
const results = await interleaved(["hubwire", ...others, "MQTT.js", "raw socket"], rounds, "burst", (peer) =>
  client("client/burst.mjs", { ...common, peer }, ["--expose-gc"]),
);
broker.stop();
const row = {
  table: `A burst of ${messages.toLocaleString("en")} messages: memory`,
  unit: "MiB",
  better: "less",
  ours: "hubwire",
};
report([
  { ...row, what: "peak over the connected process", values: column(results, ({ growth }) => growth) },
  { ...row, what: "peak of the whole process", values: column(results, ({ peak }) => peak) },
]);
