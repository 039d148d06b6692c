// The topic cache: what topics of every kind, hostile ones too, cost beside the same codec without a cache.
import { chunks, groups, publish, random, stream } from "./corpora.mjs";
import { interleave, sorted } from "./measure.mjs";
import { cached, uncached } from "./variants.mjs";

const smoke = process.argv.includes("--smoke");
const pad = (value) => value.padEnd(60, "x");
const pick = random(3);
const shapes = {
  "one topic": () => pad("a"),
  "never the same twice": (i) => pad(`devices/${i}/`),
  "never the same twice, not ASCII": (i) => pad(`é/${i}/`),
  "each twice": (i) => pad(`devices/${i >> 1}/`),
  "5,000 in turn": (i) => pad(`devices/${i % 5_000}/`),
  "5,000 at random": () => pad(`devices/${pick(5_000)}/`),
  "differ in the last byte, same length": (i) => "y".repeat(59) + String.fromCharCode(0x41 + (i % 26)),
  "fill it, then 40 others in turn": (i) => pad(i < 4_000 ? `devices/${i}/` : `other/${i % 40}/`),
  // The quick hash looks at the last 8 bytes and at those after 8, a quarter and a half.
  "1,000 with one quick hash": (i) => `${"x".repeat(40)}${String(i % 1_000).padStart(8, "0")}${"x".repeat(12)}`,
  "never the same, one quick hash": (i) => `${"x".repeat(40)}${String(i).padStart(8, "0")}${"x".repeat(12)}`,
  "the same with 4,000 bytes": (i) => `${"x".repeat(3_980)}${String(i).padStart(8, "0")}${"x".repeat(12)}`,
};

const least = (times, name) => sorted(times.get(name))[0];

function contender(name, { Decoder }, pieces, count) {
  let total = 0;
  const decoder = new Decoder({ publish: (topic) => (total += topic.length), puback: (id) => (total += id) });
  return {
    name,
    count,
    run() {
      for (const piece of pieces) decoder.push(piece);
    },
  };
}

/** Others on the machine only ever make a turn longer: the shortest of many counts. */
function compare(label, pieces, count) {
  const contenders = [contender("without", uncached, pieces, count), contender("with", cached, pieces, count)];
  const times = interleave(contenders, smoke ? 3 : 60, 4);
  const [without, with_] = [least(times, "without"), least(times, "with")];
  console.log(
    `${label.padEnd(38)} ns/packet: with the cache ${with_.toFixed(0)}, without ${without.toFixed(0)}; ` +
      `${(with_ / without).toFixed(2)} times the cost`,
  );
}

for (const corpus of [...groups["a hub's topics"], ...groups["repeated topics"]]) {
  compare(corpus, chunks(stream(corpus, 4_000), 16_384), 4_000);
}
for (const [label, topicOf] of Object.entries(shapes)) {
  const count = label.includes("4,000 bytes") ? 1_000 : 5_000;
  const bytes = Buffer.concat(Array.from({ length: count }, (_, i) => publish(topicOf(i), "1234")));
  compare(label, chunks(bytes, 16_384), count);
}
