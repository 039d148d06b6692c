/**
 * A runner of tests for StrykerJS that keeps one process, with the sources loaded once, for many mutants.
 *
 * Stryker's own runner starts Vitest's workers and loads every module again for each mutant, which takes a hundred times as long as the tests
 * do. Here a mutant is switched on, the tests that reach it are read and run again, and the process goes on. What is left behind by
 * a test of one mutant can disturb the next one's, therefore whatever fails only by itself (an unhandled rejection) decides nothing.
 */
import { relative, resolve } from "node:path";
import { startTests } from "@vitest/runner";
import { getNames, getTests } from "@vitest/runner/utils";
import { globSync } from "tinyglobby";
import { createServer, createServerModuleRunner } from "vite";

const PASSED = 0;
const FAILED = 1;
const SKIPPED = 2;
/** Milliseconds of a test, and how many times what the slowest took without a mutant where that is more. */
const TEST_TIMEOUT = 5_000;
const TIMES = 5;
const LONG = 60;
const {
  MUTATION_TARGET: target,
  MUTATION_TESTS: only = "",
  MUTATION_SLOW: slow = "",
  MUTATION_WITHOUT: without,
} = process.env;
const isMeant = (test) => !without || !test.name.includes(without);

/** What the instrumented sources look at. */
const stryker = (globalThis.__stryker__ ??= {});

class QuickRunner {
  static inject = [];
  #root = process.cwd();
  #server;
  #modules;
  #strays = [];
  /** Tests that are asked only when the others have found nothing. */
  #long = new Set();
  /** Milliseconds that each took without a mutant. */
  #took = new Map();

  capabilities() {
    return { reloadEnvironment: false };
  }

  async init() {
    process.env.NODE_ENV = "test";
    this.#server = await createServer({
      root: this.#root,
      configFile: false,
      appType: "custom",
      logLevel: "error",
      server: { middlewareMode: true, watch: null, hmr: false, ws: false },
      optimizeDeps: { noDiscovery: true },
      resolve: { alias: { vitest: resolve(import.meta.dirname, "vitest.mjs") } },
    });
    this.#modules = createServerModuleRunner(this.#server.environments.ssr, { hmr: false });
    for (const event of ["unhandledRejection", "uncaughtException"])
      process.on(event, (error) => this.#strays.push(error));
  }

  async dryRun() {
    stryker.activeMutant = undefined;
    stryker.mutantCoverage = { static: {}, perTest: {} };
    const tests = await this.#run();
    for (const { id, timeSpentMs } of tests) {
      this.#took.set(id, timeSpentMs);
      if (timeSpentMs > LONG) this.#long.add(id);
    }
    if (this.#strays.length > 0)
      return { status: "error", errorMessage: `beside the tests: ${this.#strays[0]?.stack}` };
    return { status: "complete", tests, mutantCoverage: stryker.mutantCoverage };
  }

  async mutantRun({ activeMutant: { id: mutant }, testFilter, hitLimit, mutantActivation }) {
    stryker.hitCount = 0;
    stryker.hitLimit = hitLimit;
    const [short, long] = [
      testFilter.filter((id) => !this.#long.has(id)),
      testFilter.filter((id) => this.#long.has(id)),
    ];
    let nrOfTests = 0;
    for (const ids of [short, long].filter(({ length }) => length > 0)) {
      stryker.activeMutant = mutantActivation === "static" ? mutant : undefined;
      const ran = (await this.#run(new Set(ids), mutant)).filter(({ status }) => status !== SKIPPED);
      stryker.activeMutant = undefined;
      nrOfTests += ran.length;
      if (stryker.hitCount > hitLimit) return { status: "timeout", reason: "the mutant's code ran for ever" };
      const failed = ran.find(({ status }) => status === FAILED);
      if (failed) return { status: "killed", killedBy: [failed.id], failureMessage: failed.failureMessage, nrOfTests };
    }
    return { status: "survived", nrOfTests };
  }

  async dispose() {
    await this.#modules?.close();
    await this.#server?.close();
  }

  /** Runs all tests, or those with an id of `chosen` up to the first that fails. */
  async #run(chosen, mutant) {
    const files = chosen
      ? [...new Set([...chosen].map((id) => resolve(this.#root, id.slice(0, id.indexOf("#")))))]
      : globSync(
          only ? only.split(",").map((name) => `test/${target}/**/*${name}*.test.ts`) : `test/${target}/**/*.test.ts`,
          {
            cwd: this.#root,
            absolute: true,
            ignore: slow
              .split(",")
              .filter(Boolean)
              .map((name) => `**/${name}*`),
          },
        );
    const { evaluatedModules } = this.#modules;
    for (const module of evaluatedModules.idToModuleMap.values())
      if (module.file?.includes("/test/")) evaluatedModules.invalidateModule(module);
    const results = [];
    let isOver = false;
    let slowest = 0;
    for (const id of chosen ?? []) slowest = Math.max(slowest, this.#took.get(id) ?? 0);
    const idOf = (test) => `${relative(this.#root, test.file.filepath)}#${getNames(test).slice(1).join(" ")}`;
    await startTests(files, {
      config: {
        root: this.#root,
        setupFiles: [],
        name: "quick",
        passWithNoTests: true,
        testNamePattern: undefined,
        allowOnly: true,
        sequence: { shuffle: false, concurrent: false, seed: 0, hooks: "stack", setupFiles: "list" },
        maxConcurrency: 1,
        testTimeout: chosen ? Math.max(TEST_TIMEOUT, TIMES * slowest) : 60_000,
        hookTimeout: 60_000,
        retry: 0,
        includeTaskLocation: false,
        tags: [],
        strictTags: false,
      },
      importFile: (file) => this.#modules.import(file),
      onCollected: (found) => {
        // What is done while files are read is as static as the sources'.
        stryker.activeMutant ??= mutant;
        for (const file of found) select(file, (test) => isMeant(test) && (!chosen || chosen.has(idOf(test))));
      },
      onBeforeRunTask: (test) => {
        if (isOver) test.mode = "skip";
        stryker.currentTestId = idOf(test);
      },
      onBeforeRunSuite: (suite) => {
        if (isOver) suite.mode = "skip";
      },
      onAfterRunTask: (test) => {
        stryker.currentTestId = undefined;
        if (chosen && test.result?.state === "fail") isOver = true;
      },
      onAfterRunFiles: (done) => {
        for (const test of done.flatMap((file) => getTests(file))) results.push(resultOf(test, idOf(test)));
        for (const file of done)
          if (file.result?.errors) results.push(resultOf(file, `${relative(this.#root, file.filepath)}#`));
      },
    });
    return results;
  }
}

/** Leaves on what `isChosen` names; whether anything of `suite` is on. */
function select(suite, isChosen) {
  let isAny = false;
  for (const task of suite.tasks) {
    const isOn = task.type === "suite" ? select(task, isChosen) : task.mode !== "skip" && isChosen(task);
    if (!isOn) task.mode = "skip";
    isAny ||= isOn;
  }
  if (!isAny) suite.mode = "skip";
  return isAny;
}

function resultOf(test, id) {
  const { state, duration = 0, errors } = test.result ?? {};
  const status = state === "pass" ? PASSED : state === "fail" ? FAILED : SKIPPED;
  const result = {
    id,
    name: id.slice(id.indexOf("#") + 1),
    fileName: test.file.filepath,
    timeSpentMs: duration,
    status,
  };
  return status === FAILED ? { ...result, failureMessage: errors?.[0]?.message ?? "failed" } : result;
}

export const strykerPlugins = [{ kind: "TestRunner", name: "quick", injectableClass: QuickRunner }];
