// The longest block of the event loop: for how long a step that concerns all that waits lets the program do nothing else.
// 100,000 messages wait (1,000 of them sent, none acknowledged) and 10,000 filters are subscribed; each scenario has
// processes of its own. The program's own callbacks (one a promise) are in the figures; beside them stands what as many
// bare promises cost that reject in one turn of the same process. Nothing here passes or fails.
//
//   npm run bench -- blocking [--messages N] [--filters N] [--rounds N] [--old FOLDER]
//
// --old: the dist folder of another build, measured in turn with this one.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { median } from "./budgets/budgets.mjs";
import { settings } from "./suite/options.mjs";

const { values, pick } = settings(import.meta.filename);
const messages = values.messages ?? pick(100_000, 2_000, 2_000);
const filters = values.filters ?? pick(10_000, 200, 200);
const rounds = values.rounds ?? pick(3, 1, 1);
const folder = import.meta.dirname;
const builds = { "this build": join(folder, "../dist"), ...(values.old && { "the other": resolve(values.old) }) };

const scenarios = [
  "abort all",
  "abort 1,000",
  "expired",
  "lost, session kept",
  "lost, session gone",
  "lost, given up",
  "connected, QoS 0",
  "unsubscribe all",
  "close",
  "close by force",
];

function measure(dist, scenario) {
  const module = join(dist, "client/index.js");
  if (!existsSync(module)) throw new Error(`bench: there is no ${module}`);
  const program = join(folder, "blocking/scenario.mjs");
  try {
    const args = ["--expose-gc", program, pathToFileURL(module).href, scenario, `${messages}`, `${filters}`];
    return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8", timeout: 300_000 }));
  } catch (error) {
    if (error.code !== "ETIMEDOUT") throw error;
    return { block: Infinity, time: Infinity, bare: NaN };
  }
}

console.log(
  `longest block of the event loop in ms, median of ${rounds} (and the greatest); time until all had settled; the block that\n` +
    `as many bare promises make that reject in one turn (median)`,
);
console.log(`${messages} messages, ${filters} filters; Node ${process.version}\n`);
for (const scenario of scenarios) {
  const results = Object.fromEntries(Object.keys(builds).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, dist] of Object.entries(builds)) results[name].push(measure(dist, scenario));
  }
  for (const [name, list] of Object.entries(results)) {
    const blocks = list.map(({ block }) => block);
    const show = (value) => value.toFixed(value < 10 ? 1 : 0).padStart(7);
    console.log(
      `${scenario.padEnd(20)} ${name.padEnd(11)} ${show(median(blocks))} (${show(Math.max(...blocks))})  ` +
        `in ${show(median(list.map(({ time }) => time)))}  bare ${show(median(list.map(({ bare }) => bare)))}`,
    );
  }
}
