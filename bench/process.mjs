// What a whole process takes that does nothing, holds a connection, sends all the time; with the flags that save memory;
// and what each further client adds, with a TLS context of its own or a shared one. The server is another process.
//
//   npm run bench -- process
import { fork } from "node:child_process";
import { join } from "node:path";
import { median, spread } from "./budgets/budgets.mjs";
import { settings } from "./suite/options.mjs";

const smoke = settings(import.meta.filename).pick(false, true, true);
const rounds = smoke ? 1 : 5;
const message = (child) =>
  new Promise((resolve, reject) => child.once("message", resolve).once("exit", () => reject(new Error("ended early"))));

const server = fork(join(import.meta.dirname, "client/broker.mjs"));
const { tls: port, ca } = await message(server);
const measure = (flags, settings) =>
  message(
    fork(join(import.meta.dirname, "memory/process.mjs"), [JSON.stringify({ port, ca, ...settings })], {
      execArgv: ["--expose-gc", ...flags],
    }),
  );

const kinds = ["nothing", "a TLS socket", "an idle client", "a client under load"];
const flagSets = [[], ["--max-semi-space-size=1"], ["--jitless"], ["--max-semi-space-size=1", "--jitless"]];
console.log(`resident memory of a process, MiB, ${rounds} rounds; Node ${process.version}\n`);
for (const flags of flagSets) {
  console.log(flags.join(" ") || "no flags");
  for (const kind of kinds) {
    const results = [];
    for (let round = 0; round < rounds; round++) {
      results.push(await measure(flags, { kind, seconds: smoke ? 0.5 : 5 }));
    }
    const figures = (key, digits) =>
      spread(
        results.map((result) => result[key]),
        digits,
      );
    const rate = kind === "a client under load" ? `   ${figures("rate", 0)} messages/s` : "";
    console.log(`  ${kind.padEnd(20)} ${figures("rss", 1)}   peak ${figures("peak", 1)}${rate}`);
  }
}

const count = smoke ? 50 : 500;
console.log(`\n${count} idle clients in one process`);
for (const context of ["own", "shared"]) {
  const results = [];
  for (let round = 0; round < rounds; round++) {
    results.push(await measure(["--max-semi-space-size=1"], { kind: "many", context, count }));
  }
  const each = median(results.map((result) => result.each));
  const fit = Math.floor((128 - median(results.map((result) => result.base))) / (each / 1024));
  console.log(
    `  a TLS context ${context === "own" ? "each " : "for all"}   ` +
      `${spread(results.map((result) => result.each))} KiB a client   ${fit} fit into 128 MiB`,
  );
}
server.disconnect();
