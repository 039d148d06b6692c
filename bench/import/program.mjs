// A program in a file of its own, as programs are, that has node:tls loaded and imports one thing more.
import "node:tls";
import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import "./nothing.mjs";

const [, , how, target] = process.argv;
const require = createRequire(import.meta.url);

/** Bytes in use once nothing is left that could still go: what the loader holds goes with its own next steps. */
async function heapUsed() {
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    gc();
  }
  return process.memoryUsage().heapUsed;
}

// The first import() and the first require() pay for what every other needs too.
await import("./nothing-more.mjs");
require("./nothing-more.cjs");
const before = await heapUsed();
const cpu = process.cpuUsage();
const begin = performance.now();
if (how === "require") require(target);
else await import(target);
const time = performance.now() - begin;
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ time, cpu: (user + system) / 1000, heap: ((await heapUsed()) - before) / 1024 }));
