// Decoding in one of our two forms, by chunk size and corpus, against the other decoders. Each contender of each row has a
// process of its own (decode-one.mjs), because a program has one kind of stream and reads it with one library, in one
// form: others beside it would leave garbage behind, and call sites that serve several kinds of sinks.
//
//   node --expose-gc [--jitless] bench/codec/decode.mjs [--form reader|sink] [--sizes 1460,0] [--group NAME] [--rounds N]
//     [--turn MS] [--warm-up MS] [--packets N] [--no-u8]
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { compile } from "../suite/native.mjs";
import { progress, report } from "../suite/report.mjs";
import { groups } from "./corpora.mjs";
import { nativeContender } from "./native.mjs";
import { decoders, u8Peer } from "./peers.mjs";
import { lengths, takeTurns } from "./turns.mjs";

const { values } = parseArgs({
  options: {
    form: { type: "string", default: "reader" },
    sizes: { type: "string", default: "1460,16384,65536,0" },
    group: { type: "string" },
    packets: { type: "string", default: "20000" },
    ...lengths,
    rounds: { type: "string", default: "9" },
    "no-u8": { type: "boolean", default: false },
  },
});
const jit = process.execArgv.includes("--jitless") ? ", without JIT" : "";
const paho = compile(
  "paho",
  ["-Wl,--allow-multiple-definition", "-l:libpaho-mqtt3c.a", "-lpthread"],
  "libpaho-mqtt-dev is not installed",
);
const what = { reader: "Decoding to objects", sink: "Decoding to a sink" }[values.form];
const { form, packets, turn, "warm-up": warmUp } = values;
const names = decoders(form)
  .map(({ name }) => name)
  .filter((name) => name !== u8Peer.name || !values["no-u8"]);

for (const size of values.sizes.split(",")) {
  const chunks = size === "0" ? "in one piece" : `chunks of ${Number(size).toLocaleString("en")} B`;
  for (const [group, corpora] of Object.entries(groups)) {
    if (values.group !== undefined && values.group !== group) continue;
    const rows = [];
    for (const corpus of corpora) {
      progress(`${what}${jit}, ${chunks}: ${corpus}`);
      const settings = Object.entries({ form, corpus, size, packets, turn, "warm-up": warmUp });
      const options = settings.flatMap(([name, value]) => [`--${name}`, value]);
      const native = paho.program ? [nativeContender(paho.program, corpus, Number(packets), Number(turn))] : [];
      rows.push({
        table: `${what}, ${group}, ${chunks}${jit}`,
        what: corpus,
        unit: "CPU ns a packet",
        better: "less",
        ours: "hubwire",
        values: await takeTurns("decode-one", names, options, Number(values.rounds), native),
      });
    }
    report(rows);
  }
}
if (paho.missing) report([], [`Paho in C: ${paho.missing}`]);
else report([], [], { "Paho in C": spawnSync(paho.program, { encoding: "utf8" }).stdout.trim() });
