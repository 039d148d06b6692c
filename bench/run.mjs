// Runs benchmarks against the built package: all of them, or those named.
//
//   npm run bench -- [NAME ...] [options] [options of the benchmark]
//
//   --quick             shorter runs of the comparisons with peers, less than two minutes on an idle machine; not to be quoted
//   --smoke             runs of seconds: they show that a benchmark works, and measure nothing
//   --json FILE         writes versions, machine, settings and every sample
//   --compare FILE      what changed beyond its spread against an earlier --json FILE
//   --fail-over PERCENT with --compare: exit status 1 where a figure of ours got worse by more
//   --svg FOLDER        draws the tables as charts
//   --build PATH=NAME   another build of hubwire takes part as a row of that name: the folder of a package with its dist/;
//                       may be given more than once; in the benchmarks that compare with peers
//   --from FILE         measures nothing: tables, charts and comparison of an earlier --json FILE
//   --help              this text; with names, what each of them measures and its own options
//
// What continuous integration holds is a separate command: npm run bench -- budgets
import { fork, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { charts } from "./suite/charts.mjs";
import { compare } from "./suite/compare.mjs";
import { about, allOptions, known, optionsOf, split, summary } from "./suite/options.mjs";
import { tables } from "./suite/tables.mjs";

const folder = import.meta.dirname;
/** Not part of a run without names: `budgets` repeats what others measure, `fleet` is about a host of the reader's. */
const onlyNamed = ["budgets", "fleet"];
/** What a quick run measures: the comparisons with peers. */
const quickNames = ["codec", "client", "receive", "latency", "telemetry", "roundtrip", "burst", "reconnect", "import"];

// Whoever reads no further (`| head`) has seen what he wanted.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
}

function buildIn(path) {
  const dist = [resolve(path, "dist"), resolve(path)].find((one) => existsSync(join(one, "client/index.js")));
  return dist ?? fail(`${path} holds no build: there is no dist/client/index.js`);
}

function fail(text) {
  console.error(`bench: ${text}`);
  process.exit(2);
}

/** What the runner takes itself, and what of it has a value. */
const RUNNER = new Map([
  ...["--quick", "--smoke", "--help"].map((option) => [option, undefined]),
  ...["--json", "--compare", "--svg", "--from"].map((option) => [option, "FILE"]),
  ["--fail-over", "PERCENT"],
  ["--build", "PATH=NAME"],
]);

const own = parse(process.argv.slice(2));

function parse(args) {
  const found = { passed: [], flags: new Set(), files: {}, builds: {} };
  let typed;
  try {
    typed = split(args, new Map([...allOptions(), ...RUNNER]));
  } catch (error) {
    return fail(error.message);
  }
  found.names = [...new Set(typed.words)];
  const unknown = found.names.filter((name) => !known.includes(name));
  if (unknown.length > 0) fail(`no ${unknown.join(", ")}; there are ${known.join(", ")}`);
  for (const [option, value] of typed.options) {
    if (option === "--build") addBuild(found.builds, value);
    else if (!RUNNER.has(option)) found.passed.push([option, value]);
    else if (value === undefined) found.flags.add(option);
    else found.files[option] = value;
  }
  if (found.files["--from"] && found.names.length + found.passed.length > 0)
    fail("--from measures nothing: no names go with it");
  for (const [option] of found.passed) {
    const knowing = known.filter((name) => optionsOf(name).has(option));
    if (found.names.length === 0) fail(`${option} goes with a name: ${knowing.join(", ")}`);
    const others = found.names.filter((name) => !knowing.includes(name));
    if (others.length > 0) fail(`${others.join(", ")} has no ${option}; it goes with ${knowing.join(", ")}`);
  }
  return found;
}

/** A name of a row that stands for something else already would take its place. */
function addBuild(builds, text) {
  const [, path, name] = /^(.+)=([^=]+)$/.exec(text) ?? fail("--build takes PATH=NAME");
  const taken = ["hubwire", "MQTT.js", "libmosquitto", "raw socket", "mqtt-packet", "u8-mqtt-packet", "Paho in C"];
  if (taken.includes(name) || name in builds) fail(`--build: there is a row ${name} already`);
  builds[name] = buildIn(path);
}

if (own.flags.has("--help")) {
  const width = Math.max(...known.map((name) => name.length));
  const list = known.map((name) => `  ${name.padEnd(width)}  ${summary(name)}`);
  const one = (name) => about(name).join("\n");
  const all = [one("run"), "\nThere are:\n", ...list, "\nnpm run bench -- NAME --help has more on each."];
  console.log(own.names.length > 0 ? own.names.map(one).join("\n\n") : all.join("\n"));
  process.exit(0);
}
const quick = own.flags.has("--quick");
const smoke = own.flags.has("--smoke");
const NOT_TO_BE_QUOTED = smoke
  ? "A SMOKE RUN: it shows that the benchmarks work, and measures nothing."
  : "A QUICK RUN: a first impression, not to be quoted.";
const limit = Number(own.files["--fail-over"] ?? Infinity);
if (!(limit >= 0)) fail("--fail-over takes a number of percent");
if (own.files["--fail-over"] !== undefined && !own.files["--compare"]) fail("--fail-over goes with --compare FILE");
/** Read before anything is measured: a file that is missing, or is none of ours, is said at once. */
const read = (file) => {
  try {
    const result = JSON.parse(readFileSync(file, "utf8"));
    if (!Array.isArray(result?.rows) || !result.machine) return fail(`${file} is no file that --json wrote`);
    return result;
  } catch (error) {
    return fail(`${file}: ${error.message}`);
  }
};
const earlier = own.files["--compare"] && read(own.files["--compare"]);

/** What will be written can be: known before the minutes of a run, and not after them. */
function writable() {
  const [json, svg] = [own.files["--json"], own.files["--svg"]];
  try {
    if (svg) mkdirSync(svg, { recursive: true });
    if (json) accessSync(existsSync(json) ? json : dirname(resolve(json)), constants.W_OK);
    if (json && existsSync(json) && statSync(json).isDirectory()) fail(`${json} is a folder`);
  } catch (error) {
    fail(error.message);
  }
}
writable();

const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
const versionOf = (name) => {
  const file = join(folder, "node_modules", name, "package.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : undefined;
};

/** Measured against Microsoft's SDK, which is a peer of the interop tests and not of all that is measured here. */
const withSdk = ["telemetry", "roundtrip"];

function prepare(names) {
  installPeers();
  const interop = join(folder, "../test/interop");
  if (!names.some((name) => withSdk.includes(name)) || existsSync(join(interop, "node_modules/azure-iot-device-mqtt")))
    return;
  console.error("bench: installing Microsoft's SDK into test/interop/node_modules");
  // Where that fails, the benchmarks say what they left out.
  spawnSync("npm", ["run", "--silent", "setup:interop"], {
    cwd: join(folder, ".."),
    stdio: ["ignore", "ignore", "inherit"],
  });
}

function installPeers() {
  if (!existsSync(join(folder, "../dist/codec/index.js"))) fail("dist/ is missing; run npm run build first");
  if (
    Object.entries(manifest.dependencies).every(
      ([name, version]) => versionOf(name) === version.replace(/^npm:.*@/, ""),
    )
  )
    return;
  console.error("bench: installing the peers into bench/node_modules");
  const install = ["ci", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error"];
  const { status } = spawnSync("npm", install, { stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) process.exit(1);
}

/** One line at the foot of the terminal, for whoever watches; nothing where the output is kept. */
function show(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text.slice(0, (process.stderr.columns || 80) - 1)}`);
}

/** Runs one benchmark; resolves to its rows, what it left out, and whether it ended well. */
function measure(name, position, names) {
  const began = Date.now();
  const left = names.slice(position + 1);
  const after = left.length > 0 ? `; then ${left.join(", ")}` : "";
  const head = `[${position + 1}/${names.length}] ${name}`;
  let doing = "";
  const tell = () => show(`${head}${doing && `: ${doing}`} (${Math.round((Date.now() - began) / 1000)} s)${after}`);
  const flags = smoke ? ["--smoke"] : quick ? ["--quick"] : [];
  const passed = own.passed.map(([option, value]) => (value === undefined ? option : `${option}=${value}`));
  const env = { ...process.env, HUBWIRE_BUILDS: JSON.stringify(own.builds) };
  const child = fork(join(folder, `${name}.mjs`), [...flags, ...passed], { silent: true, env });
  const ticking = process.stderr.isTTY ? setInterval(tell, 1000) : undefined;
  const result = { name, rows: [], skipped: [], versions: {}, failed: false };
  const put = (stream) => (chunk) => {
    show("");
    stream.write(chunk);
  };
  child.stdout.on("data", put(process.stdout));
  child.stderr.on("data", put(process.stderr));
  child.on("message", ({ rows = [], skipped = [], versions = {}, progress }) => {
    result.rows.push(...rows);
    result.skipped.push(...skipped);
    Object.assign(result.versions, versions);
    if (progress) doing = progress;
    tell();
  });
  tell();
  return new Promise((resolve) => {
    child.on("close", (status) => {
      clearInterval(ticking);
      show("");
      resolve({ ...result, failed: status !== 0, refused: status === 2, seconds: (Date.now() - began) / 1e3 });
    });
  });
}

const save = (file, result) => writeFileSync(file, `${JSON.stringify(result)}\n`);

function finish(result) {
  const [file, svg] = [own.files["--json"], own.files["--svg"]];
  if (file) save(file, result);
  if (svg) {
    const note = `${result.machine.cpu}, ${result.machine.cores} cores, Node ${result.machine.node}, load ${result.machine.load}, ${result.date.slice(0, 10)}`;
    for (const [name, text] of charts(result.rows, result.quick ? `${note}; a quick run` : note)) {
      writeFileSync(join(svg, name), text);
    }
  }
  if (!earlier) return;
  const { text, worst } = compare(earlier, result);
  console.log(text);
  if (worst > limit) {
    console.error(`bench: a figure got worse by ${worst.toFixed(1)} %, more than ${limit} %`);
    process.exitCode = 1;
  }
}

const describe = ({ machine, versions }) => {
  const peers = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return (
    `hubwire ${machine.hubwire}, Node ${machine.node}, ${machine.platform}, ${machine.cores} x ${machine.cpu}, ` +
    `load ${machine.load} when it began\npeers: ${peers.join(", ")}\n`
  );
};

if (own.files["--from"]) {
  const result = read(own.files["--from"]);
  if (result.quick) console.log(`${NOT_TO_BE_QUOTED}\n`);
  console.log(describe(result) + tables(result.rows, result.skipped));
  finish(result);
} else {
  const usual = quick ? quickNames : known.filter((name) => !onlyNamed.includes(name));
  const names = own.names.length > 0 ? own.names : usual;
  prepare(names);
  const result = {
    date: new Date().toISOString(),
    quick: quick || smoke,
    command: ["npm run bench --", ...process.argv.slice(2)].join(" "),
    machine: {
      hubwire: JSON.parse(readFileSync(join(folder, "../package.json"), "utf8")).version,
      node: process.version,
      platform: `${process.platform} ${process.arch}`,
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: cpus().length,
      memory: totalmem(),
      load: loadavg()[0].toFixed(1),
    },
    versions: Object.fromEntries(Object.keys(manifest.dependencies).map((name) => [name, versionOf(name)])),
    builds: own.builds,
    settings: Object.fromEntries(own.passed),
    seconds: {},
    rows: [],
    skipped: [],
  };
  console.log(describe(result));
  if (result.quick) console.log(`${NOT_TO_BE_QUOTED}\n`);
  const broken = [];
  for (const [position, name] of names.entries()) {
    const { rows, skipped, versions, failed, refused, seconds } = await measure(name, position, names);
    process.stdout.write(tables(rows, skipped));
    result.rows.push(...rows);
    result.skipped.push(...skipped.filter((reason) => !result.skipped.includes(reason)));
    Object.assign(result.versions, versions);
    const apart = Object.entries(versions).map(([peer, version]) => `${peer} ${version}`);
    if (apart.length > 0) console.log(`versions of other peers: ${apart.join(", ")}`);
    result.seconds[name] = Number(seconds.toFixed(1));
    if (failed) broken.push(name);
    if (refused) process.exitCode = 2;
    // A run that is cut short keeps what it has.
    if (own.files["--json"]) save(own.files["--json"], result);
  }
  const took = Object.entries(result.seconds).map(([name, seconds]) => `${name} ${seconds.toFixed(0)} s`);
  console.log(
    `\n${(Object.values(result.seconds).reduce((a, b) => a + b, 0) / 60).toFixed(1)} minutes: ${took.join(", ")}`,
  );
  if (result.quick) console.log(NOT_TO_BE_QUOTED);
  finish(result);
  if (broken.length > 0) {
    console.error(`bench: ${broken.join(", ")} did not end well`);
    process.exitCode ??= 1;
  }
}
