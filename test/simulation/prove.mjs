// The proof that the simulation sees: each known fault, put back into the sources, has to be found within SEEDS programs.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { bundle } from "./bundle.mjs";
import { mutants } from "./mutants.mjs";

const SEEDS = 2_000;

/** Applies the edits; each text must be there exactly once. */
function edit(edits) {
  const left = new Set(edits);
  const apply = (file, text) => {
    let changed = text;
    for (const one of edits) {
      const [name, from, to] = one;
      if (name !== file) continue;
      const parts = changed.split(from);
      if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${from}`);
      changed = parts.join(to);
      left.delete(one);
    }
    return changed;
  };
  return { apply, left };
}

function simulate(file, family) {
  const child = spawn(process.execPath, [file, "--only", family, "--seeds", String(SEEDS), "--first"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.on("data", (chunk) => (output += chunk));
  return new Promise((resolve) => child.on("close", () => resolve(/^seed (\d+): (.*)$/m.exec(output))));
}

/** Proves all, or those whose name has one of `names` in it; the number of those that were not found. */
export async function prove(folder, names) {
  const chosen = mutants.filter(({ name }) => names.length === 0 || names.some((part) => name.includes(part)));
  let missed = 0;
  for (const [index, { name, edits, of = "client" }] of chosen.entries()) {
    const target = join(folder, `mutant-${index}`);
    const { apply, left } = edit(edits);
    await bundle("main", target, apply);
    if (left.size > 0) throw new Error(`${name}: no such file as ${[...left].map(([file]) => file)}`);
    const found = await simulate(join(target, "main.js"), of);
    if (found) console.log(`${name}: ${Number(found[1]) + 1} seeds; ${found[2]}`);
    else console.log(`${name}: NOT FOUND in ${SEEDS} seeds`);
    missed += Number(!found);
  }
  console.log(`${chosen.length - missed} of ${chosen.length} faults found`);
  return Math.min(missed, 1);
}
