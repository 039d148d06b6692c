// Memory: of a message that waits, of a decoder that has seen many topics, of the default options in a small heap, of
// an idle connection beside a bare TLS socket. MQTT.js stands beside where it keeps the like. Each figure comes from a process of its own.
//
//   npm run bench -- memory
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { budget, finish, median, spread } from "./budgets/budgets.mjs";
import { memory as limits } from "./budgets/limits.mjs";
import { settings } from "./suite/options.mjs";
import { client, others, startBroker, startClient, message } from "./suite/parties.mjs";
import { column, interleaved, report } from "./suite/report.mjs";

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
  const { tls: port, ca, stop } = await startBroker();
  const kinds = ["bare TLS socket", "hubwire", ...others, "MQTT.js"];
  const results = Object.fromEntries(kinds.map((kind) => [kind, []]));
  for (let round = 0; round < rounds; round++) {
    for (const peer of kinds) {
      results[peer].push(await message(startClient("memory/idle.mjs", { peer, count, port, ca }, idleFlags)));
    }
  }
  stop();
  return results;
}

console.log(`memory; Node ${process.version}`);
const waiting = ["hubwire", ...others, "hubwire's DeviceClient", "MQTT.js"];
const overheads = [];
for (const form of ["text", "bytes"]) {
  for (const size of smoke ? [100, 1000] : [20, 100, 1000, 10_000]) {
    const count = size > 1000 ? 5000 : 20_000;
    const label = `a message that waits, ${form} of ${size} B`;
    const flags = ["--expose-gc", "--max-old-space-size=1000"];
    const values = await interleaved(waiting, smoke ? 1 : 3, label, async (peer) => {
      return (await client("memory/queue.mjs", { peer, form, size, count }, flags)) - size;
    });
    for (const [peer, list] of Object.entries(values)) {
      if (peer.startsWith("hubwire")) overheads.push([`a message that waits in ${peer}, ${form}`, Math.max(...list)]);
    }
    report([
      {
        table: "A message that waits offline, QoS 1: memory over its payload",
        what: `${form} of ${size.toLocaleString("en")} B`,
        unit: "B",
        better: "less",
        ours: "hubwire",
        values,
      },
    ]);
  }
}

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
