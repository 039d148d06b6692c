// One QoS 1 message at a time over TLS: from the call of publish to its acknowledgement, the median and the 99th percentile.
// hubwire, MQTT.js, libmosquitto (in C, where it can be compiled) and a raw socket with a packet made beforehand. All are
// connected at the same time and take turns of 200 messages, so that what else the machine does falls on all alike; a round
// is so many turns. "99th, no collection" leaves out the messages into which a collection of garbage fell.
//
//   npm run bench -- latency [--messages N] [--rounds N]
//                           [--mosquitto]   a real broker in place of the one that only answers
import { noMosquitto, startMosquitto } from "./client/mosquitto.mjs";
import { settings } from "./suite/options.mjs";
import { libmosquitto } from "./suite/native.mjs";
import { column, progress, report } from "./suite/report.mjs";
import { message, others, startBroker, startClient } from "./suite/parties.mjs";

const { values, pick } = settings(import.meta.filename);
const rounds = values.rounds ?? pick(9, 5, 1);
const messages = values.messages ?? pick(10_000, 2_000, 400);
const TURN = 200;
if (values.mosquitto && noMosquitto) {
  report([], [noMosquitto]);
  process.exit();
}
const broker = values.mosquitto ? await startMosquitto() : await startBroker();
const over = `One message at a time over TLS${values.mosquitto ? ", mosquitto" : ""}, QoS 1`;
const native = libmosquitto();
const common = { port: broker.tls, ca: broker.ca, messages, warmup: 0, payloadBytes: 100, qos: 1, window: 1 };

async function start(peer) {
  if (peer === "libmosquitto") return native.start({ ...common, mode: "latency" });
  const child = startClient("client/latency.mjs", { ...common, peer });
  await message(child);
  const ask = (count) => {
    const answer = message(child);
    child.send(count);
    return answer;
  };
  return { ask, stop: () => child.disconnect() };
}

const names = ["hubwire", ...others, "MQTT.js", ...(native.measure ? ["libmosquitto"] : []), "raw socket"];
const peers = [];
for (const name of names) peers.push([name, await start(name)]);
const results = Object.fromEntries(names.map((name) => [name, []]));
for (let round = -1; round < rounds; round++) {
  progress(round < 0 ? "latency, warm-up" : `latency, round ${round + 1} of ${rounds}`);
  const turns = Math.ceil(messages / TURN);
  for (let turn = 0; turn < turns; turn++) {
    for (let i = 0; i < peers.length; i++) await peers[(i + turn) % peers.length][1].ask(TURN);
  }
  for (const [name, { ask }] of peers) {
    const result = await ask(0);
    if (round >= 0) results[name].push(result);
  }
}
for (const [, { stop }] of peers) stop();
broker.stop();
const row = { ours: "hubwire", better: "less" };
report(
  [
    ...[
      ["median", ({ p50 }) => p50],
      ["99th percentile", ({ p99 }) => p99],
      ["99th, no collection", ({ quiet }) => quiet],
    ].map(([what, of]) => ({
      ...row,
      table: `${over}: until its acknowledgement`,
      what,
      unit: "µs",
      values: column(results, of),
    })),
    {
      ...row,
      table: `${over}: CPU of the client`,
      what: "QoS 1",
      unit: "µs a message",
      values: column(results, ({ cpu }) => cpu),
    },
  ],
  native.skipped,
  native.versions,
);
const share = (name) => `${name} ${(Math.max(...results[name].map(({ collected }) => collected)) * 100).toFixed(2)} %`;
const collecting = names.filter((name) => name !== "libmosquitto");
console.log(`messages with a collection in them, at most: ${collecting.map(share).join(", ")}`);
