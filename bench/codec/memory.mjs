// What decoding takes from the heap: bytes allocated a packet, by corpus, in steady state. Each corpus and decoder has a
// process of its own.
import { execFileSync } from "node:child_process";
import { getHeapStatistics } from "node:v8";
import { progress, report } from "../suite/report.mjs";
import { chunks, corpora, stream } from "./corpora.mjs";
import { mqttPacketPeer, reader, sink } from "./peers.mjs";

const smoke = process.argv.includes("--smoke");
/** So few that most passes end before a collection; so many that a pass is more than the two questions around it. */
const PACKETS = 1_000;

/** Heap in use counts up between collections; a pass into which one fell is an outlier, and the median does without it. */
function allocated(peer, passes) {
  let total = 0;
  const feed = peer.make((value) => {
    total = (total + value) | 0;
  });
  for (let i = 0; i < 10; i++) for (const pieces of passes) for (const piece of pieces) feed(piece);
  globalThis.gc();
  const samples = [];
  for (const pieces of passes) {
    const before = getHeapStatistics().used_heap_size;
    for (const piece of pieces) feed(piece);
    const after = getHeapStatistics().used_heap_size;
    // Nothing at all has no ratio to anything.
    if (after >= before) samples.push(Math.max((after - before) / PACKETS, 0.1));
  }
  // A few samples tell it all: the lowest and the highest tenth are those of a collection, or of a page that came in.
  samples.sort((a, b) => a - b);
  return samples.slice(Math.ceil(samples.length / 10), samples.length - Math.floor(samples.length / 10));
}

/** The stream by passes of PACKETS; streams of a corpus begin alike, so shorter ones tell where to cut. */
function split(corpus, passes) {
  const whole = stream(corpus, PACKETS * passes);
  const ends = Array.from({ length: passes + 1 }, (_, i) => stream(corpus, PACKETS * i).length);
  return Array.from({ length: passes }, (_, i) => chunks(whole.subarray(ends[i], ends[i + 1]), 16_384));
}

const all = { hubwire: reader, "hubwire's sink": sink, "mqtt-packet": mqttPacketPeer };
const [, program] = process.argv;
const [corpusHere, peerHere] = process.argv.slice(2).filter((one) => one !== "--smoke");
if (peerHere) console.log(JSON.stringify(allocated(all[peerHere], split(corpusHere, smoke ? 10 : 40))));
else {
  for (const corpus of corpora) {
    progress(`allocation: ${corpus}`);
    const samples = Object.keys(all).map((name) => [
      name,
      JSON.parse(
        execFileSync(process.execPath, [...process.execArgv, program, corpus, name, ...process.argv.slice(2)]),
      ),
    ]);
    const values = Object.fromEntries(samples.filter(([, list]) => list.length > 0));
    if (!values.hubwire) continue;
    const row = { unit: "B of heap a packet", better: "less", ours: "hubwire" };
    report([{ ...row, table: "Decoding to objects, chunks of 16,384 B: garbage", what: corpus, values }]);
  }
}
