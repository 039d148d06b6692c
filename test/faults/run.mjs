// npm run faults -- [--seeds N] [--from S]: the fault injection with N seeds, a larger run than `npm test`
// does.
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { seeds: { type: "string" }, from: { type: "string" } } });
for (const [name, value] of Object.entries(values)) {
  if (!/^[1-9]\d*$/.test(value)) {
    console.error(`--${name} must be a positive whole number`);
    process.exit(2);
  }
}
const root = resolve(import.meta.dirname, "../..");
const { status } = spawnSync(
  process.execPath,
  ["node_modules/vitest/vitest.mjs", "run", "--config", "test/vitest.config.ts", "test/faults/exchange"],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      HUBWIRE_REQUIRE_MOSQUITTO: "1",
      HUBWIRE_FAULT_SEEDS: values.seeds ?? "1000",
      HUBWIRE_FAULT_FROM: values.from ?? "1",
    },
  },
);
process.exit(status ?? 1);
