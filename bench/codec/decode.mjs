// Decoding in one of our two forms, by chunk size and corpus, against the other decoders. Each row has a process of its
// own (decode-one.mjs), because a program has one kind of stream and reads it in one form: others before it would leave
// call sites behind that serve several kinds of sinks.
//
//   node [--jitless] bench/codec/decode.mjs --form reader|sink --sizes 1460,0 [options of decode-one.mjs]
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { compile } from "../suite/native.mjs";
import { progress, report } from "../suite/report.mjs";
import { ownProcess } from "./child.mjs";
import { groups } from "./corpora.mjs";

const { values } = parseArgs({
  options: {
    form: { type: "string", default: "reader" },
    sizes: { type: "string", default: "1460,16384,65536,0" },
    group: { type: "string" },
  },
  strict: false,
});
const own = /^--(form|sizes|group)$/;
const passedOn = process.argv.slice(2).filter((_, i, all) => !own.test(all[i]) && !own.test(all[i - 1]));
const jit = process.execArgv.includes("--jitless") ? ", without JIT" : "";
const paho = compile(
  "paho",
  ["-Wl,--allow-multiple-definition", "-l:libpaho-mqtt3c.a", "-lpthread"],
  "libpaho-mqtt-dev is not installed",
);
if (paho.program) passedOn.push("--native", paho.program);
const what = { reader: "Decoding to objects", sink: "Decoding to a sink" }[values.form];

for (const size of values.sizes.split(",")) {
  const chunks = size === "0" ? "in one piece" : `chunks of ${Number(size).toLocaleString("en")} B`;
  for (const [group, corpora] of Object.entries(groups)) {
    if (values.group !== undefined && values.group !== group) continue;
    const rows = corpora.map((corpus) => {
      progress(`${what}${jit}, ${chunks}: ${corpus}`);
      const options = ["--form", values.form, "--size", size, "--corpus", corpus, ...passedOn];
      const samples = JSON.parse(ownProcess("decode-one", options));
      const table = `${what}, ${group}, ${chunks}${jit}`;
      return { table, what: corpus, unit: "CPU ns a packet", better: "less", ours: "hubwire", values: samples };
    });
    report(rows);
  }
}
if (paho.missing) report([], [`Paho in C: ${paho.missing}`]);
else report([], [], { "Paho in C": spawnSync(paho.program, { encoding: "utf8" }).stdout.trim() });
