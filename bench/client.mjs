// Publishing with QoS 0, 1 and 2 over TLS: hubwire, MQTT.js, libmosquitto (in C, where a compiler and libmosquitto-dev are
// installed) and a raw socket with packets encoded beforehand, each in a process of its own, in turn against one broker
// process, over several rounds: CPU a message, and messages a second.
//
//   npm run bench -- client [--messages N] [--rounds N] [--qos 0|1|2] [--window 1..65535] [--payload BYTES] [--plain]
//                           [--curve]       payloads of 16 B to 256 KiB with QoS 1, in place of one size; also `curve`
//                           [--mosquitto]   a real broker in place of the one that only answers; also `mosquitto`
import { noMosquitto, startMosquitto } from "./client/mosquitto.mjs";
import { settings } from "./suite/options.mjs";
import { libmosquitto } from "./suite/native.mjs";
import { column, interleaved, report } from "./suite/report.mjs";
import { client, others, startBroker } from "./suite/parties.mjs";

const { values, pick } = settings(import.meta.filename);
const rounds = values.rounds ?? pick(values.curve ? 5 : 7, 3, 1);
/**
 * So many that what counts is compiled code; mosquitto takes two to four times as long for a message as most clients,
 * and the curve has five rows.
 */
const most = values.messages ?? pick(values.mosquitto ? 40_000 : values.curve ? 100_000 : 250_000, 20_000, 2_000);
const secure = !values.plain;
const native = libmosquitto();
if (values.mosquitto && noMosquitto) {
  report([], [noMosquitto]);
  process.exit();
}
const broker = values.mosquitto ? await startMosquitto() : await startBroker();

const where = `${secure ? "TLS" : "TCP"}${values.mosquitto ? ", mosquitto" : ""}`;
const sizes = values.curve ? [16, 256, 4_096, 65_536, 262_144] : [values.payload ?? 100];
const levels = values.curve ? [1] : values.qos === undefined ? [0, 1, 2] : [Number(values.qos)];

async function publishing(qos, payloadBytes) {
  // As many bytes at most as a thousand payloads of 4 KiB, so that a row of the curve takes its second and no more.
  const messages = Math.min(most, Math.max(200, Math.ceil((most * 4_096) / Math.max(4_096, payloadBytes * 4))));
  const window = Math.min(values.window ?? 1_000, Math.max(8, Math.floor(8_388_608 / payloadBytes)));
  const peers = ["hubwire", ...others, "MQTT.js", ...(native.measure ? ["libmosquitto"] : [])];
  if (qos < 2) peers.push("raw socket");
  const label = `QoS ${qos}, ${payloadBytes} B`;
  const common = { host: "localhost", port: secure ? broker.tls : broker.tcp, ca: broker.ca, secure, messages, window };
  const results = await interleaved(peers, rounds, `publish ${label}`, (peer) => {
    const run = { ...common, peer, warmup: Math.ceil(messages / 4), payloadBytes, qos };
    return peer === "libmosquitto" ? native.measure({ mode: "publish", ...run }) : client("client/run.mjs", run);
  });
  const what = values.curve ? `${payloadBytes.toLocaleString("en")} B` : `QoS ${qos}`;
  const of = values.curve ? "Publishing with QoS 1 by payload" : `Publishing ${payloadBytes} B`;
  const row = { what, ours: "hubwire" };
  report([
    {
      ...row,
      table: `${of} over ${where}: CPU of the client`,
      unit: "µs a message",
      better: "less",
      values: column(results, ({ cpuSeconds }) => (cpuSeconds / messages) * 1e6),
    },
    {
      ...row,
      table: `${of} over ${where}: throughput`,
      unit: "messages/s",
      better: "more",
      values: column(results, ({ seconds }) => messages / seconds),
    },
  ]);
}

for (const qos of levels) for (const size of sizes) await publishing(qos, size);
report([], native.skipped, native.versions);
broker.stop();
