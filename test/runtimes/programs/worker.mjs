// The checks in a worker with little memory; its words come out here.
import { Worker } from "node:worker_threads";

new Worker(new URL("import.mjs", import.meta.url), {
  argv: [process.argv[2]],
  resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4, stackSizeMb: 1 },
}).on("exit", (status) => (process.exitCode = status));
