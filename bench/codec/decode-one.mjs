// One row of decode.mjs: one form, one corpus, one chunk size. Prints the nanoseconds a packet of each
// round, by peer, as JSON.
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chunks, stream } from "./corpora.mjs";
import { interleave } from "./measure.mjs";
import { hubwire, mqttPacketPeer, otherCodecs, readerOf, sinkOf, u8Peer } from "./peers.mjs";

const { values } = parseArgs({
  options: {
    form: { type: "string" },
    corpus: { type: "string" },
    size: { type: "string" },
    packets: { type: "string", default: "20000" },
    turn: { type: "string", default: "60" },
    rounds: { type: "string", default: "9" },
    "no-u8": { type: "boolean", default: false },
    /** The program of bench/native/paho.c, where it could be compiled. */
    native: { type: "string" },
  },
});
const form = { reader: readerOf, sink: sinkOf }[values.form];
const ours = form("hubwire", hubwire);
const count = Number(values.packets);
const bytes = stream(values.corpus, count);
const pieces = chunks(bytes, Number(values.size));

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

const NATIVE = "Paho in C";

/** The floor in C: the same bytes, in one piece, in a process of its own for each turn. */
function nativeContender() {
  const file = join(tmpdir(), `hubwire-bench-${process.pid}`);
  writeFileSync(file, bytes);
  process.once("exit", () => rmSync(file));
  const take = (passes) =>
    Number(execFileSync(values.native, [file, count, passes].map(String), { encoding: "utf8" }).split(" ")[0]);
  const passes = Math.ceil((Number(values.turn) * 1e6) / Math.max(1, take(5) * count));
  return { name: NATIVE, nanoseconds: () => take(passes) };
}

const peers = [
  ours,
  ...otherCodecs.map(([name, codec]) => form(name, codec)),
  mqttPacketPeer,
  ...(values["no-u8"] ? [] : [u8Peer]),
];
const contenders = [...peers.map(contender), ...(values.native ? [nativeContender()] : [])];
console.log(JSON.stringify(Object.fromEntries(interleave(contenders, Number(values.rounds)))));
