// One row of decode.mjs: one form, one corpus, one chunk size. Prints the nanoseconds a packet of each
// round, by peer, as JSON.
import { parseArgs } from "node:util";
import { chunks, stream } from "./corpora.mjs";
import { interleave } from "./measure.mjs";
import { mqttPacketPeer, reader, sink, u8Peer } from "./peers.mjs";

const { values } = parseArgs({
  options: {
    form: { type: "string" },
    corpus: { type: "string" },
    size: { type: "string" },
    packets: { type: "string", default: "20000" },
    turn: { type: "string", default: "60" },
    rounds: { type: "string", default: "9" },
    "no-u8": { type: "boolean", default: false },
  },
});
const ours = { reader, sink }[values.form];
const count = Number(values.packets);
const pieces = chunks(stream(values.corpus, count), Number(values.size));

/** A turn of a peer: the stream, over and over, for about the same time whoever it is. */
function contender(peer) {
  let handled = 0;
  let total = 0;
  const feed = peer.make((value) => {
    handled++;
    total = (total + value) | 0;
  });
  const pass = () => {
    for (const piece of pieces) feed(piece);
  };
  pass();
  // Some peers lose a packet now and then at the edge of a chunk; ours may not.
  const perPass = handled;
  if (perPass !== count) {
    const message = `${peer.name}: ${perPass} packets of ${count}`;
    if (peer === ours) throw new Error(message);
    console.error(message);
  }
  const started = process.cpuUsage();
  pass();
  const { user, system } = process.cpuUsage(started);
  const passes = Math.ceil((Number(values.turn) * 1e3) / Math.max(1, user + system));
  return {
    name: peer.name,
    count: perPass * passes,
    run() {
      for (let i = 0; i < passes; i++) pass();
    },
    total: () => total,
  };
}

const peers = [ours, mqttPacketPeer, ...(values["no-u8"] ? [] : [u8Peer])];
const times = interleave(peers.map(contender), Number(values.rounds));
const samples = Object.fromEntries([...times].map(([name, list]) => [name === ours.name ? "hubwire" : name, list]));
console.log(JSON.stringify(samples));
