// A target is fuzz/targets/<name>.mjs:
//
//   export function run(input) {}         // throws where something is wrong; must not change or keep the input
//   export function thorough(input) {}    // optional: checks that are too slow for more than every 64th input
//   export function fresh() {}            // optional: forgets what was kept from earlier inputs
//   export function generate(random) {}   // optional: a structured input; random(n) is an integer in [0, n)
//   export function vary(input, random) {}    // optional: other values in generated inputs, in place
//   export function repair(input) {}      // optional: makes a mutant less obviously wrong, in place
//   export const pairs = false            // optional: two generated inputs in a row make no good one
//   export const words = []               // optional: stretches of bytes to put in
//   export const seeds = []               // optional: inputs to begin with, besides the files in fuzz/corpus/<name>/
//   export const coverage = /regexp/      // files whose coverage guides the choice of inputs
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { begin } from "./watchdog.mjs";

// Most inputs end in an error. Without this number V8 collects no stack, which costs more than the rest of the run.
export const stackDepth = Error.stackTraceLimit;
delete Error.stackTraceLimit;

const folder = join(import.meta.dirname, "targets");

export const known = readdirSync(folder)
  .filter((name) => name.endsWith(".mjs"))
  .map((name) => name.slice(0, -4));

export const load = (name) => import(pathToFileURL(join(folder, `${name}.mjs`)).href);

/** The error that `input` alone causes, if any. */
export function failure(target, input, thorough = true) {
  begin(input);
  try {
    target.fresh?.();
    target.run(input);
    if (thorough) target.thorough?.(input);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(`thrown: ${String(error)}`);
  }
}
