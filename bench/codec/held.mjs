// What a decoder holds when nothing is on its way: heap and external memory together, after topics of several kinds.
import { publish } from "./corpora.mjs";
import { hubwire } from "./peers.mjs";

const smoke = process.argv.includes("--smoke");
const DECODERS = 10;
const mid = (i) => `devices/thermostat-0042/messages/devicebound/%24.mid=${i}`;
const kinds = {
  "nothing yet": [() => "", 0],
  "one topic": [() => mid(1), 1_000],
  "a million different topics": [mid, smoke ? 20_000 : 1_000_000],
  "a million topics, each twice": [(i) => mid(i >> 1), smoke ? 20_000 : 1_000_000],
  "20,000 long ones, each twice": [(i) => mid(i >> 1).padEnd(500, "x"), 40_000],
  "the same, 16 bits a character": [(i) => `\u20ac${mid(i >> 1).padEnd(500, "x")}`, 40_000],
};

/** Memory of buffers is given back a moment after the collection that found them. */
async function memory() {
  for (let turn = 0; turn < 3; turn++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function measure(count, topicOf) {
  const before = await memory();
  const decoders = Array.from({ length: DECODERS }, () => new hubwire.Decoder({ publish() {} }));
  for (let i = 0; i < count; i++) {
    const bytes = publish(topicOf(i), "");
    for (const decoder of decoders) decoder.push(bytes);
  }
  const held = ((await memory()) - before) / DECODERS;
  // Alive until here.
  return decoders.length && held;
}

await measure(20_000, mid);
for (const [label, [topicOf, count]] of Object.entries(kinds)) {
  console.log(`${label.padEnd(30)} ${((await measure(count, topicOf)) / 1024).toFixed(1).padStart(6)} KiB a decoder`);
}
