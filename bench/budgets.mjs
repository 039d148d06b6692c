// The budgets that continuous integration holds: those of size, of importing and of memory.
//
//   npm run bench -- budgets
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { settings } from "./suite/options.mjs";

settings(import.meta.filename);
let lost = 0;
for (const name of ["size", "import", "memory"]) {
  console.log(`\n-- ${name}`);
  const { status } = spawnSync(process.execPath, [join(import.meta.dirname, `${name}.mjs`), "--smoke"], {
    stdio: "inherit",
    env: { ...process.env, HUBWIRE_BUDGETS: "1" },
  });
  if (status !== 0) lost++;
}
process.exitCode = lost > 0 ? 1 : 0;
