// Runs fuzz targets against the built package (npm run build first).
//
//   npm run fuzz -- <target>... | all   [--seconds 60 | --runs N] [--seed 1] [--no-coverage] [--write-corpus]
//   npm run fuzz -- <target> --input FILE        one input, for instance a crash
//
// A target is fuzz/targets/<name>.mjs:
//
//   export function run(input) {}      // input: Uint8Array; throws where something is wrong. Must not change it.
//   export function generate(random) {}   // optional: a structured input; random(n) is an integer in [0, n)
//   export const seeds = []            // optional: inputs to begin with, besides the files in fuzz/corpus/<name>/
//   export const coverage = /regexp/   // optional: files whose coverage guides the choice of inputs
//
// Equal seeds make equal inputs, as long as --runs and not the time ends them. For a fifth of the time the inspector's
// precise coverage says which inputs reached something new; those are kept and mutated further. A failing
// input is made smaller and written to fuzz/crashes/. The last line is `N passed, N failed`, counted in targets.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { CoverageGuide } from "./coverage.mjs";
import { minimise, mutate, randomFrom } from "./mutate.mjs";

// Most inputs end in an error, and its stack would cost more than the rest of the run.
const stackDepth = Error.stackTraceLimit;
Error.stackTraceLimit = 0;

const folder = import.meta.dirname;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string" },
    runs: { type: "string" },
    seed: { type: "string", default: "1" },
    input: { type: "string" },
    coverage: { type: "boolean", default: true },
    "write-corpus": { type: "boolean", default: false },
  },
  allowNegative: true,
});

const known = readdirSync(join(folder, "targets"))
  .filter((name) => name.endsWith(".mjs"))
  .map((name) => name.slice(0, -4));
const names = positionals.includes("all") ? known : positionals;
const unknown = names.filter((name) => !known.includes(name));
if (names.length === 0 || unknown.length > 0) {
  console.error(`fuzz: ${unknown.length ? `no target ${unknown.join(", ")}` : "name a target"}; there are all, ${known.join(", ")}`);
  process.exit(2);
}

/** The error that `input` causes, if any. */
function failure(target, input) {
  try {
    target.run(input);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(`thrown: ${String(error)}`);
  }
}

function report(name, target, input, error) {
  // Smaller inputs count while they fail in the same way, told by the kind of error.
  const kind = (candidate) => failure(target, candidate)?.name;
  const small = minimise(input, (candidate) => kind(candidate) === error.name);
  const digest = createHash("sha256").update(small).digest("hex").slice(0, 12);
  const file = join(folder, "crashes", `${name}-${digest}.bin`);
  mkdirSync(join(folder, "crashes"), { recursive: true });
  writeFileSync(file, small);
  console.error(`${name}: FAILED on ${small.length} bytes (of ${input.length}): ${Buffer.from(small).toString("hex")}`);
  console.error(`written to fuzz/crashes/${name}-${digest}.bin`);
  Error.stackTraceLimit = stackDepth;
  console.error(failure(target, small)?.stack ?? error.stack);
}

async function fuzz(name) {
  const target = await import(pathToFileURL(join(folder, "targets", `${name}.mjs`)).href);
  if (values.input !== undefined) {
    Error.stackTraceLimit = stackDepth;
    target.run(new Uint8Array(readFileSync(values.input)));
    return 1;
  }
  const corpusFolder = join(folder, "corpus", name);
  const files = existsSync(corpusFolder) ? readdirSync(corpusFolder).sort() : [];
  const corpus = [
    ...(target.seeds ?? []),
    ...files.map((file) => new Uint8Array(readFileSync(join(corpusFolder, file)))),
  ];
  if (corpus.length === 0) corpus.push(new Uint8Array(0));
  const random = randomFrom(Number(values.seed));
  const limit = values.runs === undefined ? Infinity : Number(values.runs);
  const duration = values.runs === undefined ? Number(values.seconds ?? 60) * 1000 : Infinity;

  let runs = 0;
  const check = (input) => {
    runs++;
    const error = failure(target, input);
    if (error === undefined) return true;
    report(name, target, input, error);
    return false;
  };
  for (const input of corpus) if (!check(input)) return 0;

  const next = () => {
    if (target.generate !== undefined && random(3) === 0) return target.generate(random);
    const base = random(4) === 0 && target.generate ? target.generate(random) : corpus[random(corpus.length)];
    return mutate(base, random, corpus);
  };

  const started = performance.now();
  const elapsed = () => performance.now() - started;
  const found = [];
  if (values.coverage && target.coverage !== undefined) {
    const guide = new CoverageGuide(target.coverage);
    guide.start();
    for (const input of corpus) failure(target, input);
    guide.news();
    const guidedRuns = limit === Infinity ? Infinity : limit / 5;
    while (elapsed() < duration / 5 && runs < guidedRuns) {
      const batch = Array.from({ length: 200 }, next);
      for (const input of batch) if (!check(input)) return guide.stop() ?? 0;
      if (!guide.news()) continue;
      // Which of them was it? Each alone again, against what was known before the batch.
      guide.forgetLast();
      for (const input of batch) {
        failure(target, input);
        if (guide.news()) corpus.push(input), found.push(input);
      }
    }
    guide.stop();
  }
  let left = 1;
  while (runs < limit && (--left > 0 || (elapsed() < duration && (left = 256)))) if (!check(next())) return 0;

  if (values["write-corpus"] && found.length > 0) {
    mkdirSync(corpusFolder, { recursive: true });
    for (const input of found) {
      const digest = createHash("sha256").update(input).digest("hex").slice(0, 12);
      writeFileSync(join(corpusFolder, `${digest}.bin`), input);
    }
  }
  const rate = Math.round((runs / elapsed()) * 1000);
  console.log(
    `${name}: ${runs.toLocaleString("en")} runs in ${(elapsed() / 1000).toFixed(1)} s, ${rate.toLocaleString("en")}/s, ` +
      `seed ${values.seed}, corpus ${corpus.length} (${found.length} new by coverage)`,
  );
  return runs;
}

let total = 0;
let failed = 0;
const started = performance.now();
for (const name of names) {
  const runs = await fuzz(name);
  total += runs;
  if (runs === 0) failed++;
}
const seconds = (performance.now() - started) / 1000;
console.log(`total: ${total.toLocaleString("en")} runs, ${Math.round(total / seconds).toLocaleString("en")}/s`);
console.log(`${names.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
