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
console.log(
  "medians of interleaved rounds, each after a warm-up; spreads in brackets; ratios are taken round by round",
);

const quick = ["--rounds", "3", "--turn", "15"];
const oneSize = ["--sizes", "16384"];
const few = smoke ? [...quick, "--packets", "5000", ...oneSize] : [];
const jitless = smoke ? few : ["--packets", "4000", "--rounds", "7", ...oneSize];
const parts = [
  ["decode", [], ["--form", "reader", ...few]],
  ["decode", [], ["--form", "sink", "--no-u8", ...few]],
  ["memory", [], smoke ? ["--smoke"] : []],
  ["held", [], smoke ? ["--smoke"] : []],
  ["encode", [], smoke ? quick : []],
  ["growth", [], smoke ? ["--smoke"] : []],
  ["topics", [], smoke ? ["--smoke"] : []],
  ["decode", ["--jitless"], ["--form", "reader", "--no-u8", ...jitless]],
];
let status = 0;
for (const [name, flags, options] of parts) {
  console.log(
    `\n-- ${name} ${flags.includes("--jitless") ? "without JIT " : ""}(${["node --expose-gc", ...flags, ...options].join(" ")})`,
  );
  const script = join(import.meta.dirname, "codec", `${name}.mjs`);
  const child = spawnSync(process.execPath, ["--expose-gc", ...flags, script, ...options], { stdio: "inherit" });
  if (child.status !== 0) status = 1;
}
process.exitCode = status;
