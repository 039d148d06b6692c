// What `import` and `require` cost a program that has node:tls loaded already: time and heap, in a fresh process each
// time, all of them in turn, and the ratios taken round by round, so that a busy machine falls on all alike.
//
//   npm run bench -- import
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { budget, finish, median, spread } from "./budgets/budgets.mjs";
import { importing } from "./budgets/limits.mjs";
import { builds } from "./suite/dist.mjs";
import { settings } from "./suite/options.mjs";
import { column, progress, report } from "./suite/report.mjs";

const { pick } = settings(import.meta.filename);
const rounds = pick(25, 5, 7);
const dist = (path) => resolve(import.meta.dirname, "../dist", path);
const mqtt = createRequire(import.meta.url).resolve("mqtt");
const all = {
  "an empty file": ["import", "./empty.mjs"],
  "hubwire/codec": ["import", dist("codec/index.js")],
  "hubwire/mqtt": ["import", dist("client/index.js")],
  hubwire: ["import", dist("hub/index.js")],
  "MQTT.js": ["import", "mqtt"],
  "require: hubwire": ["require", dist("hub/index.cjs")],
  "require: MQTT.js": ["require", mqtt],
};
const otherBuilds = Object.fromEntries(
  Object.entries(builds).map(([name, folder]) => [name, ["import", join(folder, "hub/index.js")]]),
);
const compared = { hubwire: all.hubwire, ...otherBuilds, "MQTT.js": all["MQTT.js"] };
const targets = pick({ ...all, ...otherBuilds }, compared, { ...all, ...otherBuilds });
const program = join(import.meta.dirname, "import/program.mjs");
// Without that flag the engine drops compiled code of its own at its own times, and the figures jump by 200 KiB.
const flags = ["--expose-gc", "--no-flush-bytecode"];
const run = (how, target) =>
  JSON.parse(execFileSync(process.execPath, [...flags, program, how, target], { encoding: "utf8" }));

const results = Object.fromEntries(Object.keys(targets).map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  progress(`round ${round + 1} of ${rounds}`);
  for (const [name, target] of Object.entries(targets)) results[name].push(run(...target));
}

console.log(`import over node:tls, ${rounds} fresh processes each, in turn; Node ${process.version}\n`);
const row = { what: "import over node:tls", better: "less", ours: "hubwire" };
const rows = Object.fromEntries(Object.entries(results).filter(([name]) => name in compared));
report([
  { ...row, table: "Importing: time", unit: "ms", values: column(rows, ({ time }) => time) },
  { ...row, table: "Importing: heap", unit: "KiB", values: column(rows, ({ heap }) => heap) },
]);
for (const [name, list] of Object.entries(results)) {
  const figures = (key) => spread(list.map((result) => result[key]));
  console.log(`${name.padEnd(17)} ${figures("time")} ms ${figures("cpu")} ms of CPU ${figures("heap")} KiB heap`);
}
console.log();
const ratio = (name, peer, key) =>
  median(results[name].map((result, round) => result[key] / results[peer][round][key]));
budget("hubwire: part of MQTT.js's time", ratio("hubwire", "MQTT.js", "time"), importing.time, "", 3);
budget("hubwire: part of MQTT.js's heap", ratio("hubwire", "MQTT.js", "heap"), importing.heap, "", 3);
finish();
