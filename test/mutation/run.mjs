// Mutation testing by StrykerJS: one small change of the source at a time, and whether a test notices.
//
//   nice node test/mutation/run.mjs codec | wire | session | client | transport | hub [--file topics,...] [--tests topics,...] [--jobs N] [--fresh]
//
// A target is a folder of src and the quick tests of the folder of its name. `--file` takes parts of names of files, `--tests` those of
// the only tests that are asked, which is quicker where many reach the file, and finds no more than all would. What was found is kept,
// and asked again only where the source or a test of it has changed (`--fresh` forgets it; with `--tests` nothing is kept). A mutant that changes nothing but
// speed or memory, or nothing at all, is marked where it is: `// Stryker disable next-line <Mutator>: <why>`. Texts of messages are
// not mutated, and neither is what is computed when a module is loaded. The report with the survivors goes to standard output; exit
// status 1 below the least score.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const STRYKER = "9.6.1";
// The newest that this Stryker can load; it only reads tsconfig.json with it.
const TYPESCRIPT = "5.9.3";

/**
 * `slow`: files of tests that would run for every mutant and tell little that the others do not; `without`: tests whose names have
 * this, in processes of their own, where no mutant is; `env`: fewer of their random programs, which are run for each mutant.
 */
const TARGETS = {
  codec: { slow: ["oracle", "process"] },
  wire: {},
  session: { slow: ["long-"] },
  client: {
    slow: ["long-", "mosquitto", "process", "careless"],
    without: "exits by itself",
    env: { STORE_SEEDS: "0.1" },
  },
  transport: {},
  hub: { slow: ["long-"], env: { DESIRED_SEEDS: "30" } },
};
/** Percent of the mutants that the tests must kill, of what was asked for. */
const LEAST = 90;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    file: { type: "string" },
    tests: { type: "string", default: "" },
    fresh: { type: "boolean" },
    jobs: { type: "string", default: "1" },
  },
});
const [name] = positionals;
if (positionals.length !== 1 || !Object.hasOwn(TARGETS, name)) {
  console.error(`mutation: name one target: ${Object.keys(TARGETS).join(", ")}`);
  process.exit(2);
}
const { slow = [], without = "", env = {} } = TARGETS[name];
const root = resolve(import.meta.dirname, "../..");
const known = join(root, "node_modules/.cache/hubwire-mutation", `${name}.json`);
const all = readdirSync(join(root, "src", name), { recursive: true })
  .filter((file) => file.endsWith(".ts") && !/(^|\/)(index|types)\.ts$/.test(file))
  .map((file) => `src/${name}/${file}`);
const parts = values.file?.split(",");
const files = parts ? all.filter((file) => parts.some((part) => file.includes(part))) : all;
if (files.length === 0) {
  console.error(`mutation: no file of src/${name} has ${values.file} in its name`);
  process.exit(2);
}
if (values.fresh) rmSync(known, { force: true });
const folder = mkdtempSync(join(tmpdir(), "hubwire-mutation-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(1));

const config = join(folder, "stryker.json");
writeFileSync(
  config,
  JSON.stringify({
    testRunner: "quick",
    plugins: [join(import.meta.dirname, "quick-runner.mjs")],
    mutate: files,
    mutator: { excludedMutations: ["StringLiteral"] },
    coverageAnalysis: "perTest",
    // What is computed once, when a module is loaded, would need every test for each mutant.
    ignoreStatic: true,
    ...(!values.tests && { incremental: true, incrementalFile: known }),
    timeoutMS: 10_000,
    warnings: { slow: false },
    concurrency: Number(values.jobs),
    tempDirName: join(folder, "sandbox"),
    ignorePatterns: ["dist", "bench", "fuzz", ".build", "test/interop", "test/runtimes"],
    checkers: [],
    reporters: ["clear-text"],
    clearTextReporter: { allowColor: false, reportTests: false, logTests: false },
    thresholds: { break: LEAST },
  }),
);
const packages = [`@stryker-mutator/core@${STRYKER}`, `typescript@${TYPESCRIPT}`];
const { status } = spawnSync(
  "npx",
  ["-y", "--loglevel=error", ...packages.flatMap((spec) => ["-p", spec]), "stryker", "run", config],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...env,
      ...process.env,
      MUTATION_TARGET: name,
      MUTATION_TESTS: values.tests,
      MUTATION_SLOW: slow.join(","),
      MUTATION_WITHOUT: without,
    },
  },
);
process.exitCode = status ?? 1;
