// The codec against the other JavaScript codecs: decoding, allocation, encoding, how cost grows, hostile topics, and
// decoding without JIT. Each part runs in a process of its own. Nothing here passes or fails.
//
//   npm run bench -- codec [--smoke]
import { spawnSync } from "node:child_process";
import { cpus } from "node:os";
import { join } from "node:path";
import { versions } from "./codec/peers.mjs";

const smoke = process.argv.includes("--smoke");
console.log(`codec: ${versions}, ${cpus().length} x ${cpus()[0]?.model.trim()}`);
console.log("medians of interleaved rounds, each after a warm-up; spreads in brackets; ratios are taken round by round");

const quick = ["--rounds", "3", "--turn", "15"];
const decode = (form, size, ...options) => ["decode", [], ["--form", form, "--sizes", size, ...options]];
const sizes = smoke ? ["16384"] : ["1460", "16384", "65536", "0"];
const few = smoke ? [...quick, "--packets", "5000"] : [];
const jitless = smoke ? few : ["--packets", "4000", "--rounds", "7"];
const parts = [
  ...sizes.map((size) => decode("reader", size, ...few)),
  ...sizes.map((size) => decode("sink", size, "--no-u8", ...few)),
  ["memory", [], smoke ? ["--smoke"] : []],
  ["encode", [], smoke ? quick : []],
  ["growth", [], smoke ? ["--smoke"] : []],
  ["topics", [], smoke ? ["--smoke"] : []],
  ["decode", ["--jitless"], ["--form", "reader", "--sizes", "16384", "--no-u8", ...jitless]],
];
let status = 0;
for (const [name, flags, options] of parts) {
  console.log(`\n-- ${name} ${flags.includes("--jitless") ? "without JIT " : ""}(${["node --expose-gc", ...flags, ...options].join(" ")})`);
  const script = join(import.meta.dirname, "codec", `${name}.mjs`);
  const child = spawnSync(process.execPath, ["--expose-gc", ...flags, script, ...options], { stdio: "inherit" });
  if (child.status !== 0) status = 1;
}
process.exitCode = status;
