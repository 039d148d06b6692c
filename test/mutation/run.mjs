// Mutation testing of src/codec: one small change at a time, and whether a test notices.
//
//   node test/mutation/run.mjs [--only FILE] [--every N] [--jobs N]
//
// Sources and tests are compiled together; what is mutated is the compiler's output, which has the same
// tokens. The tests of test/codec run against each mutant in a process of its own, on a stand-in for vitest
// that stops at the first failure. A mutant that does not end is killed too. Those that change nothing but
// speed or memory, or nothing at all, are listed in equivalent.mjs with the reason, and not counted.
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { equivalent } from "./equivalent.mjs";
import { mutantsOf } from "./mutants.mjs";

const root = resolve(import.meta.dirname, "../..");
const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    every: { type: "string", default: "1" },
    jobs: { type: "string", default: String(availableParallelism()) },
  },
});
const TIMEOUT = 60_000;

const base = mkdtempSync(join(tmpdir(), "hubwire-mutation-"));
process.on("exit", () => rmSync(base, { recursive: true, force: true }));
process.on("SIGINT", () => process.exit(1));

const project = join(base, "tsconfig.json");
writeFileSync(
  project,
  JSON.stringify({
    extends: join(root, "tsconfig.json"),
    compilerOptions: {
      noEmit: false,
      noCheck: true,
      removeComments: true,
      outDir: join(base, "build"),
      rootDir: root,
      typeRoots: [join(root, "node_modules/@types")],
    },
    include: [join(root, "src/codec"), join(root, "test/codec")],
  }),
);
const compiled = spawnSync(join(root, "node_modules/.bin/tsc"), ["-p", project], { encoding: "utf8" });
if (compiled.status !== 0) {
  console.error(compiled.stdout);
  process.exit(2);
}
writeFileSync(join(base, "build/package.json"), '{"type":"module"}');
cpSync(join(root, "test/codec/oracle.mjs"), join(base, "build/test/codec/oracle.mjs"));
mkdirSync(join(base, "node_modules/vitest"), { recursive: true });
writeFileSync(join(base, "node_modules/vitest/package.json"), '{"type":"module","exports":"./index.mjs"}');
cpSync(join(import.meta.dirname, "stand-in.mjs"), join(base, "node_modules/vitest/index.mjs"));
// The quick ones first.
const suites = ["malformed", "topics", "writer", "decoder", "accepted", "vectors"];
writeFileSync(
  join(base, "build/all.mjs"),
  `import { finish } from "vitest";\n` +
    suites.map((name) => `await import("./test/codec/${name}.test.js"); await finish();\n`).join(""),
);

/** Each job has a copy of its own, in which one file at a time is another. */
const jobs = Array.from({ length: Number(values.jobs) }, (_, i) => {
  const folder = join(base, `job${i}`);
  cpSync(join(base, "build"), folder, { recursive: true });
  return folder;
});

function survives(folder, stdio = "ignore") {
  return new Promise((settle) => {
    const child = spawn(process.execPath, [join(folder, "all.mjs")], { stdio, timeout: TIMEOUT });
    child.on("close", (status) => settle(status === 0));
  });
}

if (!(await survives(jobs[0], "inherit"))) {
  console.error("mutation: the tests fail without a mutation");
  process.exit(2);
}

const files = readdirSync(join(base, "build/src/codec")).filter(
  (name) => name.endsWith(".js") && name.includes(values.only),
);
const queue = [];
let excused = 0;
for (const name of files) {
  const source = readFileSync(join(base, "build/src/codec", name), "utf8");
  for (const mutant of mutantsOf(source)) {
    const line = source
      .slice(source.lastIndexOf("\n", mutant.start) + 1)
      .split("\n", 1)[0]
      .trim();
    const entry = { name, source, ...mutant, line, row: source.slice(0, mutant.start).split("\n").length };
    if (equivalent(entry)) excused++;
    else queue.push(entry);
  }
}
const chosen = queue.filter((_, i) => i % Number(values.every) === 0);
const total = chosen.length;
let done = 0;
const survivors = [];
await Promise.all(
  jobs.map(async (folder) => {
    for (let mutant = chosen.shift(); mutant !== undefined; mutant = chosen.shift()) {
      const { name, source, start, end, text, line, row } = mutant;
      const path = join(folder, "src/codec", name);
      writeFileSync(path, source.slice(0, start) + text + source.slice(end));
      if (await survives(folder)) {
        survivors.push(mutant);
        console.log(`survived: ${name}:${row}: ${source.slice(start, end)} -> ${text || "(nothing)"}   in   ${line}`);
      }
      writeFileSync(path, source);
      if (++done % 100 === 0) console.error(`${done} of ${total}, ${survivors.length} survived`);
    }
  }),
);
const killed = total - survivors.length;
console.log(
  `${killed} of ${total} mutants killed, ${((100 * killed) / total).toFixed(1)} %; ` +
    `${excused} equivalent ones left out`,
);
process.exitCode = killed / total < 0.95 ? 1 : 0;
