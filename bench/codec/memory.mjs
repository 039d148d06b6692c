// What decoding takes from the heap: bytes allocated a packet and collections, by corpus, in steady state.
import { PerformanceObserver } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import { chunks, corpora, stream } from "./corpora.mjs";
import { mqttPacketPeer, reader, sink } from "./peers.mjs";

const smoke = process.argv.includes("--smoke");
let collections = 0;
new PerformanceObserver((list) => (collections += list.getEntries().length)).observe({ entryTypes: ["gc"] });
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

for (const corpus of corpora) {
  const count = 20_000;
  const pieces = chunks(stream(corpus, count), 16_384);
  const row = [];
  for (const peer of [sink, reader, mqttPacketPeer]) {
    const passes = smoke ? 3 : peer === mqttPacketPeer ? 10 : 50;
    let total = 0;
    const feed = peer.make((value) => {
      total = (total + value) | 0;
    });
    const pass = () => {
      for (const piece of pieces) feed(piece);
    };
    for (let i = 0; i < 10; i++) pass();
    globalThis.gc();
    await settle();
    collections = 0;
    // Allocation counts up between collections; what a pass adds is seen where no collection fell into it.
    const growth = [];
    for (let i = 0; i < passes; i++) {
      const before = getHeapStatistics().used_heap_size;
      pass();
      const after = getHeapStatistics().used_heap_size;
      if (after >= before) growth.push((after - before) / count);
    }
    await settle();
    growth.sort((a, b) => a - b);
    const bytes = growth.length > 0 ? growth[growth.length >> 1] : NaN;
    row.push(`${peer.name} ${bytes.toFixed(1)} B/packet, ${collections} collections in ${passes * count} packets`);
  }
  console.log(`${corpus.padEnd(31)} ${row.join("; ")}`);
}
