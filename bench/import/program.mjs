// A program in a file of its own, as programs are, that has node:tls loaded and imports one thing more.
import "node:tls";
import { performance } from "node:perf_hooks";
import "./nothing.mjs";

// The first import() pays for what every other needs too.
await import("./nothing-more.mjs");
gc();
gc();
const heap = process.memoryUsage().heapUsed;
const begin = performance.now();
await import(process.argv[2]);
const time = performance.now() - begin;
gc();
gc();
console.log(JSON.stringify({ time, heap: (process.memoryUsage().heapUsed - heap) / 1024 }));
