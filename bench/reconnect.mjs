// Connecting again over TLS after the server dropped the connection: CPU of the client a time. hubwire resumes the TLS
// session, MQTT.js does not; a bare TLS socket with MQTT's CONNECT shows what resuming saves by itself.
//
//   npm run bench -- reconnect [--times N] [--rounds N]
import { settings } from "./suite/options.mjs";
import { column, interleaved, report } from "./suite/report.mjs";
import { client, others, startBroker } from "./suite/parties.mjs";

const { values, pick } = settings(import.meta.filename);
const rounds = values.rounds ?? pick(7, 3, 1);
const times = values.times ?? pick(400, 100, 20);
const broker = await startBroker();
const common = { port: broker.tls, ca: broker.ca, times, warmup: Math.ceil(times / 4) };
const peers = ["hubwire", ...others, "MQTT.js", "TLS socket, resumed", "TLS socket, anew"];
const results = await interleaved(peers, rounds, "reconnect", (peer) =>
  client("client/reconnect.mjs", { ...common, peer }),
);
broker.stop();
report([
  {
    table: "Connecting again over TLS: CPU of the client",
    what: "lost to CONNACK",
    unit: "µs",
    better: "less",
    ours: "hubwire",
    values: column(results, ({ cpu }) => cpu),
  },
]);
