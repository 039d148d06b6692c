// Decoding in one of our two forms, by chunk size and corpus: nanoseconds a packet, and how many times faster
// than mqtt-packet. Each row has a process of its own (decode-one.mjs), because a program has one kind of stream
// and reads it in one form: others before it would leave call sites behind that serve several kinds of sinks.
//
//   node [--jitless] bench/codec/decode.mjs --form reader|sink --sizes 1460,0 [options of decode-one.mjs]
import { parseArgs } from "node:util";
import { ownProcess } from "./child.mjs";
import { groups } from "./corpora.mjs";
import { geomean } from "./measure.mjs";

const targets = { reader: "targets 20x, 6x", sink: "target 40x" };
const { values } = parseArgs({
  options: {
    form: { type: "string", default: "reader" },
    sizes: { type: "string", default: "1460,16384,65536,0" },
  },
  strict: false,
});
const own = /^--(form|sizes)$/;
const passedOn = process.argv.slice(2).filter((_, i, all) => !own.test(all[i]) && !own.test(all[i - 1]));

for (const size of values.sizes.split(",")) {
  const chunks = size === "0" ? "in one piece" : `in chunks of ${size} B`;
  const all = [];
  for (const [group, corpora] of Object.entries(groups)) {
    const gains = corpora.map((corpus) => {
      const options = ["--form", values.form, "--size", size, "--corpus", corpus, ...passedOn];
      const { line, gain } = JSON.parse(ownProcess("decode-one", options));
      console.log(line);
      return gain;
    });
    console.log(summary(`${values.form}, ${group}, ${chunks}`, gains));
    all.push(...gains);
  }
  console.log(`${summary(`${values.form}, all, ${chunks}`, all)} (${targets[values.form]})\n`);
}

function summary(label, gains) {
  return `${label}: ${geomean(gains).toFixed(1)}x in the geometric mean, ${Math.min(...gains).toFixed(1)}x at least`;
}
