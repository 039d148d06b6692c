// Decoding, by corpus and chunk size: nanoseconds a packet, and how many times faster than mqtt-packet.
import { parseArgs } from "node:util";
import { chunks, corpora, stream } from "./corpora.mjs";
import { geomean, interleave, median, ratios, spread } from "./measure.mjs";
import { mqttPacketPeer, reader, sink, u8Peer } from "./peers.mjs";

const { values } = parseArgs({
  options: {
    packets: { type: "string", default: "50000" },
    rounds: { type: "string", default: "9" },
    sizes: { type: "string", default: "1460,16384,65536,0" },
    only: { type: "string", default: "" },
    "no-u8": { type: "boolean", default: false },
  },
});
const count = Number(values.packets);
const rounds = Number(values.rounds);
const sizes = values.sizes.split(",").map(Number);

const summary = new Map();
for (const size of sizes) {
  const label = size === 0 ? "whole" : `${size} B`;
  const best = { reader: [], sink: [] };
  for (const corpus of corpora.filter((name) => name.includes(values.only))) {
    const pieces = chunks(stream(corpus, count), size);
    // The slower peers get fewer packets: theirs is the time a packet, and a round stays short.
    const few = Math.max(1, Math.min(pieces.length, Math.ceil(pieces.length / 8)));
    const fewer = pieces.length < 8 ? chunks(stream(corpus, Math.ceil(count / 8)), size) : pieces.slice(0, few);
    const contenders = [reader, sink, mqttPacketPeer, ...(values["no-u8"] ? [] : [u8Peer])].map((peer) => {
      const own = peer === reader || peer === sink;
      const input = own ? pieces : fewer;
      let handled = 0;
      let total = 0;
      const consume = (value) => {
        handled++;
        total = (total + value) | 0;
      };
      const contender = {
        name: peer.name,
        count: 0,
        run() {
          handled = 0;
          const feed = peer.make(consume);
          for (const piece of input) feed(piece);
          contender.count = handled;
          contender.total = total;
        },
      };
      contender.run();
      return contender;
    });
    if (contenders[0].count !== count) throw new Error(`${corpus}: ${contenders[0].count} packets, not ${count}`);
    const times = interleave(contenders, rounds);
    const gain = { reader: ratios(times, "mqtt-packet", reader.name), sink: ratios(times, "mqtt-packet", sink.name) };
    best.reader.push(median(gain.reader));
    best.sink.push(median(gain.sink));
    const ns = [...times].map(([name, list]) => `${name} ${median(list).toFixed(1)}`).join(", ");
    console.log(`${corpus.padEnd(29)} ${label.padStart(8)}  ns/packet: ${ns}`);
    console.log(`${"".padEnd(39)}  times mqtt-packet: reader ${spread(gain.reader)}, sink ${spread(gain.sink)}`);
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
