// Memory: of a message that waits, of a decoder that has seen many topics, of the default options in a small heap, of
// an idle connection beside a bare TLS socket and MQTT.js. Each figure comes from a process of its own.
//
//   npm run bench -- memory
import { execFileSync, fork, spawnSync } from "node:child_process";
import { join } from "node:path";
import { budget, finish, median, spread } from "./budgets/budgets.mjs";
import { memory as limits } from "./budgets/limits.mjs";
import { settings } from "./suite/options.mjs";
import { others, startClient } from "./suite/parties.mjs";
import { column, report } from "./suite/report.mjs";

const smoke = settings(import.meta.filename).pick(false, true, true);
const folder = join(import.meta.dirname, "memory");
const forms = ["device", "client"].flatMap((kind) => ["text", "bytes"].map((form) => [kind, form]));

function measure(program, flags, ...args) {
  return JSON.parse(
    execFileSync(process.execPath, [...flags, join(folder, program), ...args.map(String)], { encoding: "utf8" }),
  );
}

/** Small young generations, or what these grew to while the connections were made would be counted with them. */
const idleFlags = ["--expose-gc", "--no-flush-bytecode", "--max-semi-space-size=1"];

/** The idle connections of each kind in turn, against one server in a process of its own. */
async function idle(rounds, count) {
  const message = (child) =>
    new Promise((resolve, reject) =>
      child.once("message", resolve).once("exit", () => reject(new Error("ended early"))),
    );
  const server = fork(join(import.meta.dirname, "client/broker.mjs"));
  const { tls: port, ca } = await message(server);
  const kinds = ["bare TLS socket", "hubwire", ...others, "MQTT.js"];
  const results = Object.fromEntries(kinds.map((kind) => [kind, []]));
  for (let round = 0; round < rounds; round++) {
    for (const peer of kinds) {
      results[peer].push(await message(startClient("memory/idle.mjs", { peer, count, port, ca }, idleFlags)));
    }
  }
  server.disconnect();
  return results;
}

console.log(`memory; Node ${process.version}\n\na message that waits, bytes over its payload:`);
const overheads = forms.map(([kind, form]) => {
  const sizes = smoke ? [100, 1000] : [20, 100, 1000, 10_000];
  const overhead = sizes.map((size) => {
    const count = size > 1000 ? 5000 : 20_000;
    return measure("queue.mjs", ["--expose-gc", "--max-old-space-size=1000"], kind, form, size, count) - size;
  });
  console.log(
    `  ${kind.padEnd(7)} ${form.padEnd(6)} ` +
      sizes.map((size, i) => `${overhead[i].toFixed(0).padStart(5)} with ${size} B`).join(", "),
  );
  return [
    `a message that waits in a ${kind === "device" ? "DeviceClient" : "MqttClient"}, ${form}`,
    Math.max(...overhead),
  ];
});

console.log("\n150,000 messages offered offline to the default options in --max-old-space-size=32:");
const exhausted = forms.flatMap(([kind, form]) =>
  (smoke ? [200] : [20, 200, 2000]).map((size) => {
    const args = ["--max-old-space-size=32", join(folder, "offline.mjs"), kind, form, size, 150_000].map(String);
    const { status, signal, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    const { waiting = 0, codes = {} } = status === 0 ? JSON.parse(stdout) : {};
    const { ERR_QUEUE_FULL: full = 0, ...others } = codes;
    const sound = status === 0 && waiting + full === 150_000 && Object.keys(others).length === 0;
    const what = status === 0 ? `${waiting} wait, ${JSON.stringify(codes)}` : `ended by ${signal ?? status}`;
    console.log(`  ${kind.padEnd(7)} ${form.padEnd(6)} ${String(size).padStart(5)} B: ${what}`);
    return sound ? 0 : 1;
  }),
);

const topics = measure("decoder.mjs", ["--expose-gc", "--no-flush-bytecode"], 1_000_000);

const [rounds, count] = smoke ? [3, 500] : [7, 500];
console.log(`\nidle TLS connections, ${count} in one process, ${rounds} rounds in turn; KiB a connection:`);
const connections = await idle(rounds, count);
report([
  {
    table: "An idle connection over TLS: resident memory",
    what: `${count} in one process`,
    unit: "KiB",
    better: "less",
    ours: "hubwire",
    values: column(connections, ({ rss }) => rss),
  },
]);
for (const [kind, list] of Object.entries(connections)) {
  const figures = (key) => spread(list.map((result) => result[key]));
  console.log(`  ${kind.padEnd(16)} RSS ${figures("rss")}   heap and external ${figures("heap")}`);
}
const ratio = (key) =>
  median(connections.hubwire.map((result, round) => result[key] / connections["bare TLS socket"][round][key]));

console.log();
for (const [name, overhead] of overheads) budget(name, overhead, limits.queued, "B");
budget(
  "runs of the default options in 32 MiB that went wrong",
  exhausted.reduce((sum, one) => sum + one, 0),
  0,
);
budget("a decoder after a million topics", topics / 1024, limits.decoder, "KiB");
budget("RSS of an idle connection, times a bare TLS socket", ratio("rss"), limits.idle, "", 2);
finish();
