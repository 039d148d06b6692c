// The floor of decoding, in C.
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stream } from "./corpora.mjs";

const file = join(tmpdir(), `hubwire-bench-${process.pid}`);
process.once("exit", () => rmSync(file, { force: true }));

/** Paho's deserialiser: the program of bench/native/paho.c, with the same bytes in one piece. */
export function nativeContender(program, corpus, count, turn) {
  writeFileSync(file, stream(corpus, count));
  const take = (passes) =>
    Number(execFileSync(program, [file, count, passes].map(String), { encoding: "utf8" }).split(" ")[0]);
  const passes = Math.ceil((turn * 1e6) / Math.max(1, take(5) * count));
  return { name: "Paho in C", nanoseconds: () => take(passes) };
}
