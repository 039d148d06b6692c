// A part of a benchmark in a process of its own, with this one's flags.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** What bench/codec/<name>.mjs prints. Ends this process where it fails. */
export function ownProcess(name, options) {
  const script = join(import.meta.dirname, `${name}.mjs`);
  const { status, stdout } = spawnSync(process.execPath, [...process.execArgv, script, ...options], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  if (status !== 0) process.exit(1);
  return stdout;
}
