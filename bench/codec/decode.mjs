// Decoding, by corpus and chunk size: nanoseconds a packet, and how many times faster than mqtt-packet.
import { parseArgs } from "node:util";
import { chunks, corpora, stream } from "./corpora.mjs";
import { geomean, interleave, median, ratios, spread } from "./measure.mjs";
import { mqttPacketPeer, reader, sink, u8Peer } from "./peers.mjs";

const { values } = parseArgs({
  options: {
    packets: { type: "string", default: "20000" },
    turn: { type: "string", default: "60" },
    rounds: { type: "string", default: "9" },
    sizes: { type: "string", default: "1460,16384,65536,0" },
    only: { type: "string", default: "" },
    "no-u8": { type: "boolean", default: false },
  },
});
const count = Number(values.packets);
const rounds = Number(values.rounds);
const sizes = values.sizes.split(",").map(Number);

/** A turn of a peer: the stream, over and over, for about the same time whoever it is. */
function contender(peer, pieces) {
  let handled = 0;
  let total = 0;
  const feed = peer.make((value) => {
    handled++;
    total = (total + value) | 0;
  });
  const pass = () => {
    for (const piece of pieces) feed(piece);
  };
  const started = performance.now();
  pass();
  // Some peers lose a packet now and then at the edge of a chunk; ours may not.
  const perPass = handled;
  if (perPass !== count) {
    const message = `${peer.name}: ${perPass} packets of ${count}`;
    if (peer === reader || peer === sink) throw new Error(message);
    console.log(message);
  }
  pass();
  const passes = Math.ceil((2 * Number(values.turn)) / (performance.now() - started));
  return {
    name: peer.name,
    count: perPass * passes,
    run() {
      for (let i = 0; i < passes; i++) pass();
    },
    total: () => total,
  };
}

const summary = new Map();
for (const size of sizes) {
  const label = size === 0 ? "whole" : `${size} B`;
  const best = { reader: [], sink: [] };
  for (const corpus of corpora.filter((name) => name.includes(values.only))) {
    const pieces = chunks(stream(corpus, count), size);
    const contenders = [reader, sink, mqttPacketPeer, ...(values["no-u8"] ? [] : [u8Peer])].map((peer) =>
      contender(peer, pieces),
    );
    const times = interleave(contenders, rounds);
    const gain = {
      reader: ratios(times, "mqtt-packet", reader.name),
      sink: ratios(times, "mqtt-packet", sink.name),
    };
    best.reader.push(median(gain.reader));
    best.sink.push(median(gain.sink));
    const ns = [...times].map(([name, list]) => `${name} ${median(list).toFixed(1)}`).join(", ");
    console.log(`${corpus.padEnd(29)} ${label.padStart(8)}  ns/packet: ${ns}`);
    console.log(
      `${"".padEnd(39)}  times mqtt-packet: reader ${spread(gain.reader)}, sink ${spread(gain.sink)}`,
    );
  }
  summary.set(label, best);
}
console.log("");
for (const [label, { reader: r, sink: s }] of summary) {
  console.log(
    `${label.padStart(8)}: PacketReader ${geomean(r).toFixed(1)}x in the geometric mean, ${Math.min(...r).toFixed(1)}x at ` +
      `least (targets 15x, 6x); Decoder sink ${geomean(s).toFixed(1)}x (target 40x)`,
  );
}
