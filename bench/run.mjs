// Runs benchmarks against the built package: all of them, or those named.
//
//   npm run bench -- [codec] [client] [size] ... [--smoke] [options of the benchmark]
//
// Each is bench/<name>.mjs and takes --smoke for a run of seconds. The package must be built (npm run build).
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const folder = import.meta.dirname;
const known = readdirSync(folder)
  .filter((name) => name.endsWith(".mjs") && name !== "run.mjs")
  .map((name) => name.slice(0, -4));
const args = process.argv.slice(2);
const firstOption = args.findIndex((arg) => arg.startsWith("-"));
const named = firstOption < 0 ? args : args.slice(0, firstOption);
const options = args.slice(named.length);

const unknown = named.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`bench: no ${unknown.join(", ")}; there are ${known.join(", ")}`);
  process.exit(2);
}
if (!existsSync(join(folder, "../dist/codec/index.js"))) {
  console.error("bench: dist/ is missing; run npm run build first");
  process.exit(2);
}
const { dependencies } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
const installed = ([name, version]) => {
  const manifest = join(folder, "node_modules", name, "package.json");
  return existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).version === version;
};
if (!Object.entries(dependencies).every(installed)) {
  const install = ["install", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error"];
  const { status } = spawnSync("npm", install, { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}

let failed = 0;
// The budgets are what others measure, once more.
const names = named.length > 0 ? named : known.filter((name) => name !== "budgets");
for (const name of names) {
  console.log(`\n== ${name}`);
  const { status } = spawnSync(process.execPath, [join(folder, `${name}.mjs`), ...options], { stdio: "inherit" });
  if (status !== 0) failed++;
}
console.log(`\n${names.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
