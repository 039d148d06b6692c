// The codec against the other JavaScript codecs: decoding, allocation, encoding, how cost grows, hostile topics, and
// decoding without JIT. Each part runs in a process of its own. The floor of decoding is Paho's deserialiser in C, where a
// compiler and libpaho-mqtt-dev are installed; opifex is not published at npm and not among the peers.
//
//   npm run bench -- codec
import { fork } from "node:child_process";
import { join } from "node:path";
import { progress, report } from "./suite/report.mjs";
import { settings } from "./suite/options.mjs";

const { pick } = settings(import.meta.filename);
const smoke = pick([], [], ["--smoke"]);
const short = pick(
  ["--rounds", "11", "--turn", "40", "--packets", "10000"],
  ["--rounds", "5", "--turn", "25", "--packets", "5000", "--warm-up", "150"],
  ["--rounds", "3", "--turn", "15", "--packets", "5000", "--warm-up", "20"],
);
const encode = pick(
  ["--rounds", "11", "--turn", "40"],
  ["--rounds", "5", "--turn", "25", "--warm-up", "150"],
  ["--rounds", "3", "--turn", "15", "--warm-up", "20"],
);
const middle = ["--sizes", "16384"];
const few = [...middle, "--group", "others"];
/** u8-mqtt-packet takes most of the time, and is as slow with chunks of any size: it is measured with one. */
const otherSizes = ["--sizes", "1460,65536,0", "--no-u8"];
const jitless = pick(
  ["--packets", "4000", "--rounds", "7"],
  [],
  ["--packets", "4000", "--rounds", "3", "--turn", "15", "--warm-up", "20"],
);
const comparisons = [
  ["decode", [], ["--form", "reader", ...short, ...middle, ...pick([], ["--group", "a hub's topics"], [])]],
  ["encode", [], encode],
];
/** What tells more about our own codec than about a choice between several. */
const closer = [
  ...pick([["decode", [], ["--form", "reader", ...short, ...otherSizes]]], [], []),
  ["decode", [], ["--form", "sink", "--no-u8", ...short, ...pick([], middle, few)]],
  ["decode", ["--jitless"], ["--form", "reader", "--no-u8", ...jitless, ...pick(middle, middle, few)]],
  ["memory", [], smoke],
  ["held", [], smoke],
  ["growth", [], smoke],
  ["topics", [], smoke],
];

function run([name, flags, options]) {
  progress(name);
  const child = fork(join(import.meta.dirname, "codec", `${name}.mjs`), options, {
    execArgv: ["--expose-gc", ...flags],
  });
  child.on("message", ({ rows, skipped, versions, progress: text }) => {
    if (rows) report(rows, skipped, versions);
    if (text) progress(text);
  });
  return new Promise((resolve) => child.once("close", resolve));
}

for (const part of [...comparisons, ...pick(closer, [], closer)]) {
  const [name] = part;
  if (!["decode", "encode"].includes(name)) console.log(`\n-- ${name}`);
  if ((await run(part)) !== 0) process.exitCode = 1;
}
