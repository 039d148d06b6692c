// Receiving with QoS 0, 1 and 2 over TLS: hubwire, MQTT.js, libmosquitto (in C, where a compiler and libmosquitto-dev are
// installed) and, for QoS 0 and 1, a raw socket that counts bytes and answers with PUBACKs made beforehand. Each has a
// process of its own, in turn, against a server that sends ready-made packets.
//
//   npm run bench -- receive [--messages N] [--rounds N] [--qos 0|1|2] [--window 1..65535] [--payload BYTES]
//                           [--mosquitto]   from a real broker, which another process publishes to; without the raw
//                                           socket, which counts bytes that it knows
import { noMosquitto, startMosquitto } from "./client/mosquitto.mjs";
import { settings } from "./suite/options.mjs";
import { libmosquitto } from "./suite/native.mjs";
import { column, interleaved, report } from "./suite/report.mjs";
import { client, others, startBroker, startFeeder } from "./suite/parties.mjs";

const { values, pick } = settings(import.meta.filename);
const rounds = values.rounds ?? pick(7, 3, 1);
/** So many that what counts is compiled code: with QoS 1 a message of 100,000 took 1.7 µs where one of 250,000 took 1.2. */
const messages = values.messages ?? pick(values.mosquitto ? 40_000 : 250_000, 20_000, 2_000);
if (values.mosquitto && noMosquitto) {
  report([], [noMosquitto]);
  process.exit();
}
const broker = values.mosquitto ? await startMosquitto() : await startBroker();
const feeder = values.mosquitto && (await startFeeder(broker.tcp));
const native = libmosquitto();

for (const qos of values.qos === undefined ? [0, 1, 2] : [Number(values.qos)]) {
  const peers = ["hubwire", ...others, "MQTT.js", ...(native.measure ? ["libmosquitto"] : [])];
  if (qos < 2 && !values.mosquitto) peers.push("raw socket");
  const [window, payloadBytes] = [values.window ?? 1_000, values.payload ?? 100];
  const common = { port: broker.tls, ca: broker.ca, messages, warmup: Math.ceil(messages / 4), qos };
  const results = await interleaved(peers, rounds, `receive QoS ${qos}`, (peer) => {
    const run = { ...common, peer, window, payloadBytes };
    return peer === "libmosquitto" ? native.measure({ mode: "receive", ...run }) : client("client/receive.mjs", run);
  });
  const row = { what: `QoS ${qos}`, ours: "hubwire" };
  const table = `Receiving ${payloadBytes} B over TLS${values.mosquitto ? ", mosquitto" : ""}`;
  report([
    {
      ...row,
      table: `${table}: CPU of the client`,
      unit: "µs a message",
      better: "less",
      values: column(results, ({ cpuSeconds }) => (cpuSeconds / messages) * 1e6),
    },
    {
      ...row,
      table: `${table}: throughput`,
      unit: "messages/s",
      better: "more",
      values: column(results, ({ seconds }) => messages / seconds),
    },
  ]);
}
report([], native.skipped, native.versions);
if (feeder) feeder.stop();
broker.stop();
