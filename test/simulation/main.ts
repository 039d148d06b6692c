/**
 * `npm run simulate -- [--seeds N] [--seed S] [--from S] [--only client|device] [--survey] [--mutants]`: runs programs on the clients of
 * the sources, in as many threads as there are processors.
 *
 * - `--seeds N`: so many programs of each family, 1,000 by default, from seed `--from` (0) on.
 * - `--seed S`: this one, with all that happened in it; of an MqttClient, unless `--only device`.
 * - `--survey`: does not stop at the first fault, but counts them by kind. `--first`: only says where it is.
 * - `--mutants` (see prove.mjs): puts known faults into the sources, one at a time, and says how many seeds each took.
 * Exit status 1 with the smallest failing program.
 */
import "./quiet.js";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { families, type Family } from "./families.js";
import type { Outcome } from "./outcome.js";
import { describe } from "./program.js";
import { kindOf, shrink } from "./shrink.js";

interface Task {
  family: string;
  from: number;
  until: number;
  every: number;
  survey: boolean;
  /** The first seed that failed so far: nobody has to go beyond it. */
  last: SharedArrayBuffer;
}

interface Totals {
  seeds: number;
  steps: number;
  faults: number;
  calls: number;
  delivered: number;
  failed: { seed: number; fault: string }[];
}

const nothing = (): Totals => ({ seeds: 0, steps: 0, faults: 0, calls: 0, delivered: 0, failed: [] });

function add(totals: Totals, seed: number, outcome: Outcome): void {
  totals.seeds++;
  totals.steps += outcome.steps;
  totals.faults += outcome.faults;
  totals.calls += outcome.calls;
  totals.delivered += outcome.delivered;
  if (outcome.fault !== undefined) totals.failed.push({ seed, fault: outcome.fault });
}

const familyOf = (name: string): Family => {
  const family = families[name];
  if (family === undefined) throw new Error(`--only is one of ${Object.keys(families).join(", ")}`);
  return family;
};

async function work({ family, from, until, every, survey, last }: Task): Promise<Totals> {
  const totals = nothing();
  const { play } = familyOf(family);
  const failed = new Int32Array(last);
  for (let seed = from; seed < until; seed += every) {
    add(totals, seed, await play(seed));
    if (survey) continue;
    const best = Atomics.load(failed, 0);
    if (totals.failed.length > 0 && seed < best) Atomics.store(failed, 0, seed);
    if (totals.failed.length > 0 || seed > best) break;
  }
  return totals;
}

function inThread(task: Task): Promise<Totals> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: task, execArgv: ["--no-warnings"] });
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

async function explain(name: string, seed: number): Promise<void> {
  const { generate, run } = familyOf(name);
  const program = generate(seed);
  const { fault, trace } = await run(program, true);
  if (fault === undefined) {
    return console.log(`${describe(program)}\n\n${trace.join("\n")}\n\n${name}, seed ${seed}: no fault`);
  }
  const kind = kindOf(fault);
  const smallest = await shrink(program, async (smaller) => {
    const outcome = await run(smaller, false);
    return outcome.fault !== undefined && kindOf(outcome.fault) === kind;
  });
  const last = await run(smallest, true);
  console.log(`${describe(smallest)}\n\n${last.trace.join("\n")}\n\n${name}, seed ${seed}: ${last.fault}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1000" },
      seed: { type: "string" },
      from: { type: "string", default: "0" },
      survey: { type: "boolean", default: false },
      only: { type: "string" },
      first: { type: "boolean", default: false },
    },
  });
  const from = Number(values.from);
  const names = values.only === undefined ? Object.keys(families) : [values.only];
  if (values.seed !== undefined) return explain(values.only ?? "client", Number(values.seed));
  for (const name of names) {
    const failed = await explore(name, from, from + Number(values.seeds), values.survey);
    if (failed.length === 0) continue;
    process.exitCode = 1;
    const [{ seed, fault }] = failed as [Totals["failed"][number]];
    if (values.survey) tell(failed);
    else if (values.first) return console.log(`seed ${seed}: ${fault}`);
    else return explain(name, seed);
  }
}

/** Runs them all, and says what there was; the programs that failed. */
async function explore(family: string, from: number, until: number, survey: boolean): Promise<Totals["failed"]> {
  const began = performance.now();
  const last = new SharedArrayBuffer(4);
  new Int32Array(last)[0] = 2 ** 31 - 1;
  const threads = Math.max(1, Math.min(availableParallelism(), until - from));
  const parts = await Promise.all(
    Array.from({ length: threads }, (_, index) =>
      inThread({ family, from: from + index, until, every: threads, survey, last }),
    ),
  );
  const totals = nothing();
  for (const part of parts) {
    for (const name of ["seeds", "steps", "faults", "calls", "delivered"] as const) totals[name] += part[name];
    totals.failed.push(...part.failed);
  }
  totals.failed.sort((one, other) => one.seed - other.seed);
  const seconds = (performance.now() - began) / 1_000;
  const { seeds, steps, faults, calls, delivered, failed } = totals;
  console.log(
    `${family}: ${seeds} seeds, ${steps} steps, ${faults} faults of network and server, ${calls} calls, ${delivered} messages ` +
      `delivered, in ${seconds.toFixed(1)} s`,
  );
  return failed;
}

function tell(failed: Totals["failed"]): void {
  const kinds = new Map<string, number[]>();
  for (const { seed, fault } of failed) kinds.set(kindOf(fault), [...(kinds.get(kindOf(fault)) ?? []), seed]);
  const sorted = [...kinds].sort(([, one], [, other]) => other.length - one.length);
  for (const [kind, seeds] of sorted)
    console.log(`${String(seeds.length).padStart(5)}  ${kind}  (${seeds.slice(0, 5).join(", ")})`);
  console.log(`${failed.length} programs fail`);
}

if (isMainThread) await main();
else parentPort?.postMessage(await work(workerData as Task));
