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

const quick = ["--rounds", "3", "--turn", "15", "--packets", "5000"];
const parts = [
  ["decode", [], smoke ? [...quick, "--sizes", "16384"] : []],
  ["memory", [], smoke ? ["--smoke"] : []],
  ["encode", [], smoke ? ["--rounds", "3", "--turn", "15"] : []],
  ["growth", [], smoke ? ["--smoke"] : []],
  ["topics", [], smoke ? ["--smoke"] : []],
  ["decode", ["--jitless"], [...(smoke ? quick : ["--packets", "4000", "--rounds", "7"]), "--sizes", "16384", "--no-u8"]],
];
let status = 0;
for (const [name, flags, options] of parts) {
  console.log(`\n-- ${name} ${flags.includes("--jitless") ? "without JIT " : ""}(${["node --expose-gc", ...flags, ...options].join(" ")})`);
  const script = join(import.meta.dirname, "codec", `${name}.mjs`);
  const child = spawnSync(process.execPath, ["--expose-gc", ...flags, script, ...options], { stdio: "inherit" });
  if (child.status !== 0) status = 1;
}
process.exitCode = status;
