// Bundles the simulation with the sources of today into .build/simulation, and starts it; `--mutants`: with faults put in.
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";

const folder = fileURLToPath(new URL("../../.build/simulation", import.meta.url));
if (process.argv.includes("--mutants")) {
  const { prove } = await import("./prove.mjs");
  const names = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
  process.exitCode = await prove(folder, names);
} else {
  await bundle("main", folder);
  await import(`${folder}/main.js`);
}
