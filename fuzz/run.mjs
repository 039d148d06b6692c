// Runs fuzz targets against the built package (npm run build first).
//
//   npm run fuzz -- <target>... | all   [--seconds 60 | --runs N] [--seed 1] [--guided 4000] [--patience 20]
//                                        [--write-corpus]
//   npm run fuzz -- <target> --input FILE        one input, for instance a crash
//
// Equal seeds make equal inputs; the time says only how many. First as many runs as --guided says look, by coverage, for
// inputs that reach something new; those are mutated further (and kept in fuzz/corpus with --write-corpus). The others
// run at full speed. One run is one input through the whole check of its target. A failing input is made
// smaller and written to fuzz/crashes/; one that takes longer than --patience says, in seconds, is written there as it
// is and ends the process. The last line is `N passed, N failed`, counted in targets.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { explore } from "./coverage.mjs";
import { corpusFolder, corpusOf, inputsFrom } from "./inputs.mjs";
import { minimise } from "./minimise.mjs";
import { failure, known, load, stackDepth } from "./target.mjs";
import { begin, idle, start, watched } from "./watchdog.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "60" },
    runs: { type: "string" },
    seed: { type: "string", default: "1" },
    guided: { type: "string", default: "4000" },
    patience: { type: "string", default: "20" },
    input: { type: "string" },
    "write-corpus": { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
const limit = Number(values.runs ?? Infinity);
const duration = values.runs === undefined ? Number(values.seconds) * 1000 : Infinity;
const guided = Math.min(Number(values.guided), limit);

const names = positionals.includes("all") ? known : positionals;
const unknown = names.filter((name) => !known.includes(name));
if (names.length === 0 || unknown.length > 0) {
  const problem = unknown.length > 0 ? `no target ${unknown.join(", ")}` : "name a target";
  console.error(`fuzz: ${problem}; there are all, ${known.join(", ")}`);
  process.exit(2);
}

const crashes = join(import.meta.dirname, "crashes");
const watchdog = start(Number(values.patience), crashes);

function write(folder, input, name = "") {
  const digest = createHash("sha256").update(input).digest("hex").slice(0, 12);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}${digest}.bin`), input);
  return `${name}${digest}.bin`;
}

function report(name, target, input, run, error) {
  // Smaller inputs count while they fail in the same way, told by the kind of error.
  const small = minimise(input, (candidate) => failure(target, candidate)?.name === error.name, target.repair);
  Error.stackTraceLimit = stackDepth;
  const again = failure(target, small);
  delete Error.stackTraceLimit;
  const file = write(crashes, small, `${name}-`);
  console.error(`${name}: FAILED on ${small.length} bytes (of ${input.length}): ${Buffer.from(small).toString("hex")}`);
  console.error(`run ${run} of seed ${seed}; written to fuzz/crashes/${file}`);
  if (again === undefined) console.error("alone it passes: the inputs before it matter");
  console.error(again?.stack ?? error);
}

const rateOf = (runs, seconds) => `${Math.round(runs / seconds).toLocaleString("en")}/s`;

/** Fuzzes one target; the number of runs, and whether all passed. */
async function fuzz(name) {
  const target = await load(name);
  watched(name);
  if (values.input !== undefined) {
    Error.stackTraceLimit = stackDepth;
    const error = failure(target, new Uint8Array(readFileSync(values.input)));
    if (error !== undefined) console.error(error);
    return { runs: 1, passed: error === undefined };
  }
  const started = performance.now();
  const usage = process.cpuUsage();
  const { found, failed } = await explore(name, seed, guided, watchdog);
  idle();
  if (failed !== undefined) {
    report(name, target, failed, "guided", failure(target, failed) ?? new Error("failed in the guided part"));
    return { runs: guided, passed: false };
  }
  if (values["write-corpus"]) for (const input of found) write(corpusFolder(name), input);

  const corpus = corpusOf(name, target).concat(found);
  const next = inputsFrom(seed + 1, target, corpus);
  let runs = guided;
  let input;
  try {
    while (runs < limit && performance.now() - started < duration) {
      for (const pause = Math.min(limit, runs + 1024); runs < pause; runs++) {
        input = next();
        begin(input);
        target.run(input);
        if ((runs & 63) === 0) target.thorough?.(input);
      }
    }
  } catch (error) {
    report(name, target, input.slice(), runs, error instanceof Error ? error : new Error(`thrown: ${String(error)}`));
    return { runs, passed: false };
  }
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(usage);
  const cost = rateOf(runs, (user + system) / 1e6);
  console.log(
    `${name}: ${runs.toLocaleString("en")} runs in ${seconds.toFixed(1)} s, ${rateOf(runs, seconds)} ` +
      `(${cost} of processor time), seed ${seed}, corpus ${corpus.length} (${found.length} new)`,
  );
  return { runs, passed: true };
}

const started = performance.now();
const results = [];
for (const name of names) {
  results.push(await fuzz(name));
  idle();
}
const total = results.reduce((sum, { runs }) => sum + runs, 0);
const failed = results.filter(({ passed }) => !passed).length;
console.log(`total: ${total.toLocaleString("en")} runs, ${rateOf(total, (performance.now() - started) / 1000)}`);
console.log(`${names.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
