// Mutation testing by StrykerJS: one small change of the source at a time, and whether a test notices.
//
//   node test/mutation/run.mjs codec | session | client | hub ... [--files src/codec/topics.ts,...] [--jobs N]
//
// A target is a set of source files and the tests that are theirs. A mutant that changes nothing but speed or memory,
// or nothing at all, is marked where it is: `// Stryker disable next-line <Mutator>: <why>`. Texts of messages are not
// mutated, and neither is what is computed when a module is loaded. The report goes to standard output, with the survivors; exit status 1 below the target's least score.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const STRYKER = "9.6.1";
// The newest that this Stryker can load; it only reads tsconfig.json with it.
const TYPESCRIPT = "5.9.3";
const VITEST = "4.1.12";

const TARGETS = {
  codec: { files: ["src/codec/**/*.ts"], tests: ["test/codec/**/*.test.ts"], slow: ["test/codec/oracle.test.ts"] },
  wire: { files: ["src/wire/**/*.ts"], tests: ["test/wire/**/*.test.ts"] },
  session: { files: ["src/session/**/*.ts"], tests: ["test/session/**/*.test.ts", "test/model/**/*.test.ts"] },
  client: {
    files: ["src/client/**/*.ts"],
    tests: ["test/client/**/*.test.ts"],
    slow: ["test/client/mosquitto.test.ts"],
  },
  transport: { files: ["src/transport/**/*.ts"], tests: ["test/transport/**/*.test.ts"] },
  hub: { files: ["src/hub/**/*.ts"], tests: ["test/hub/**/*.test.ts"] },
};
/** Percent of the mutants that the tests must kill, of a whole target. */
const LEAST = 90;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { files: { type: "string" }, jobs: { type: "string", default: String(availableParallelism()) } },
});
const [name] = positionals;
if (positionals.length !== 1 || !Object.hasOwn(TARGETS, name)) {
  console.error(`mutation: name one target: ${Object.keys(TARGETS).join(", ")}`);
  process.exit(2);
}
const { files, tests, slow = [] } = TARGETS[name];
const root = resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "hubwire-mutation-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(1));

const config = join(folder, "stryker.json");
writeFileSync(
  config,
  JSON.stringify({
    testRunner: "vitest",
    plugins: ["@stryker-mutator/vitest-runner"],
    vitest: { configFile: "test/mutation/vitest.config.ts" },
    mutate: [...(values.files?.split(",") ?? files), "!src/**/index.ts", "!src/**/types.ts"],
    mutator: { excludedMutations: ["StringLiteral"] },
    coverageAnalysis: "perTest",
    // What is computed once, when a module is loaded, would need every test for each mutant.
    ignoreStatic: true,
    timeoutMS: 20_000,
    warnings: { slow: false },
    concurrency: Number(values.jobs),
    tempDirName: join(folder, "sandbox"),
    ignorePatterns: ["dist", "bench", "fuzz", ".build", "test/interop", "test/runtimes"],
    checkers: [],
    reporters: ["clear-text"],
    clearTextReporter: { allowColor: false, reportTests: false, logTests: false },
    thresholds: { break: values.files === undefined ? LEAST : null },
  }),
);
const packages = [
  `@stryker-mutator/core@${STRYKER}`,
  `@stryker-mutator/vitest-runner@${STRYKER}`,
  `vitest@${VITEST}`,
  `typescript@${TYPESCRIPT}`,
];
const { status } = spawnSync(
  "npx",
  ["-y", "--loglevel=error", ...packages.flatMap((spec) => ["-p", spec]), "stryker", "run", config],
  {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, MUTATION_TESTS: tests.join(","), MUTATION_SLOW: slow.join(",") },
  },
);
process.exitCode = status ?? 1;
