// What `import` costs a program that has node:tls loaded already: time and memory, in a fresh process each time.
//
//   npm run bench -- import [--smoke]
import { execFileSync } from "node:child_process";
import { join, resolve } from "node:path";

const smoke = process.argv.includes("--smoke");
const runs = smoke ? 3 : 25;
const root = resolve(import.meta.dirname, "..");
const targets = {
  "an empty file": "./empty.mjs",
  "hubwire/codec": join(root, "dist/codec/index.js"),
  "hubwire/mqtt": join(root, "dist/client/index.js"),
  hubwire: join(root, "dist/hub/index.js"),
  "MQTT.js": "mqtt",
};
const program = join(import.meta.dirname, "import/program.mjs");
const run = (target) =>
  JSON.parse(execFileSync(process.execPath, ["--expose-gc", program, target], { encoding: "utf8" }));
const results = Object.fromEntries(Object.keys(targets).map((name) => [name, []]));
for (let i = 0; i < runs; i++) for (const name of Object.keys(targets)) results[name].push(run(targets[name]));

const summary = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const show = (value) => value.toFixed(1).padStart(7);
  return `${show(sorted[sorted.length >> 1])} (${show(sorted[0])} to ${show(sorted.at(-1))})`;
};
console.log(
  `import over node:tls, ${runs} fresh processes each, in turn; Node ${process.version}; budget for hubwire: 4 ms, 250 KiB\n`,
);
for (const [name, list] of Object.entries(results)) {
  console.log(
    `${name.padEnd(14)} ${summary(list.map(({ time }) => time))} ms   ${summary(list.map(({ heap }) => heap))} KiB heap`,
  );
}
