/** The benchmarks' runner: what it refuses before anything is measured, and what it makes of results. Nothing is measured here. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";

const bench = resolve(import.meta.dirname, "../../bench");
const folder = mkdtempSync(join(tmpdir(), "hubwire-bench-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(bench, "run.mjs"), ...args], {
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}
const names = readdirSync(bench)
  .filter((name) => name.endsWith(".mjs") && name !== "run.mjs")
  .map((name) => name.slice(0, -4));

interface Row {
  table: string;
  what: string;
  unit: string;
  better: string;
  ours: string;
  values: Record<string, number[]>;
}
const row = (values: Record<string, number[]>, more: Partial<Row> = {}): Row => ({
  table: "Publishing",
  what: "QoS 1",
  unit: "µs",
  better: "less",
  ours: "hubwire",
  values,
  ...more,
});

/** A file as --json writes it; returns its path. */
function file(name: string, rows: Row[], more: object = {}): string {
  const machine = { hubwire: "0", node: "v20", platform: "linux", cpu: "a processor", cores: 2, load: "0.1" };
  const path = join(folder, `${name}.json`);
  writeFileSync(
    path,
    JSON.stringify({ date: "2026-01-01T00:00:00Z", machine, versions: {}, rows, skipped: [], ...more }),
  );
  return path;
}

test.each<[args: string[], message: string]>([
  [["nosuch"], "no nosuch; there are blocking, "],
  [["--quik"], "there is no option --quik"],
  [["client", "--nosuch"], "there is no option --nosuch"],
  [["client", "-h"], "there is no option -h"],
  [["client", "--qos", "7"], '--qos takes 0 or 1 or 2, not "7"'],
  [["client", "--qos=7"], '--qos takes 0 or 1 or 2, not "7"'],
  [["client", "--messages", "x"], '--messages takes a whole number from 1, not "x"'],
  [["client", "--messages", "0"], '--messages takes a whole number from 1, not "0"'],
  [["client", "--rounds", "1.5"], '--rounds takes a whole number from 1, not "1.5"'],
  [["client", "--rounds"], "--rounds needs a value"],
  [["client", "--window", "65536"], '--window takes a whole number from 1 to 65535, not "65536"'],
  [["client", "--plain=yes"], "--plain takes no value"],
  [["curve", "--qos", "x"], '--qos takes 0 or 1 or 2, not "x"'],
  [["fleet", "--rate", "-1"], '--rate takes a number over 0, not "-1"'],
  [["--rounds", "3"], "--rounds goes with a name: "],
  [["--rounds", "3", "client", "import"], "import has no --rounds; it goes with "],
  [["import", "--json"], "--json needs a value"],
  [["import", "--json", "--smoke"], "--json needs a value"],
  [["import", "--json", "/nosuch/file.json"], "/nosuch"],
  [["import", "--json", tmpdir()], "is a folder"],
  [["import", "--svg", join(bench, "run.mjs")], "run.mjs"],
  [["import", "--compare", "nosuch.json"], "nosuch.json"],
  [["import", "--compare", join(bench, "package.json")], "is no file that --json wrote"],
  [["import", "--fail-over", "5"], "--fail-over goes with --compare"],
  [["import", "--fail-over", "x"], "--fail-over takes a number"],
  [["--from", join(bench, "package.json")], "is no file that --json wrote"],
  [["--from", "x.json", "import"], "--from measures nothing"],
  [["import", "--build", bench], "--build takes PATH=NAME"],
  [["import", "--build", `${bench}=old`], "holds no build"],
  [["import", "--build", `${bench}=MQTT.js`], "there is a row MQTT.js already"],
])("%j is refused with status 2", (args, message) => {
  const { status, stdout, stderr } = run(...args);
  expect(stderr).toMatch(/^bench: .*\n$/);
  expect(stderr).toContain(message);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
});

test("a benchmark that is run alone refuses what the runner refuses", () => {
  const { status, stderr } = spawnSync(process.execPath, [join(bench, "client.mjs"), "--qos", "7"], {
    encoding: "utf8",
  });
  expect({ status, stderr }).toEqual({ status: 2, stderr: 'bench: client: --qos takes 0 or 1 or 2, not "7"\n' });
});

test.each<[args: string[], message: string]>([
  [["--connection-strings", "/nosuch"], "--connection-strings: ENOENT"],
  [["--connection-strings", "/nosuch", "--host", "here"], "--connection-strings: ENOENT"],
  [["--connection-strings", join(bench, "package.json"), "--plain"], "--plain does not go with --connection-strings"],
  [["--connection-strings", join(bench, "package.json"), "--devices", "500"], "500 devices and "],
  [["--ca", "/nosuch", "--host", "here"], "--ca: ENOENT"],
])("a fleet refuses %j before a device connects", (args, message) => {
  const { status, stderr } = spawnSync(process.execPath, [join(bench, "fleet.mjs"), ...args], { encoding: "utf8" });
  expect(stderr).toMatch(/^bench: fleet: .*\n$/);
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});

describe("help", () => {
  test("of the suite has a line for each benchmark", () => {
    const { status, stdout } = run("--help");
    expect(status).toBe(0);
    for (const name of names) expect(stdout).toMatch(new RegExp(`^  ${name} +\\S.{9,}$`, "m"));
  });

  test.each(names)("of %s has what it measures and how it is called", (name) => {
    const { status, stdout } = run(name, "--help");
    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`^[A-Z][^]*\\n\\n  npm run bench -- ${name}\\b`));
    // No goals of ours: what is enforced is a command of its own.
    if (name !== "budgets") expect(stdout).not.toMatch(/budget is/);
  });
});

describe("results", () => {
  const before = file("before", [row({ hubwire: [10, 11, 12], "MQTT.js": [90, 100, 110] })]);

  test("are a table: the best first, ratios before figures, and what it means", () => {
    const { status, stdout } = run("--from", before);
    expect(status).toBe(0);
    expect(stdout).toMatch(/\n +hubwire +\/ MQTT\.js +hubwire +MQTT\.js\n/);
    expect(stdout).toMatch(/\nQoS 1 +1 +9\.1x +11\.0 \(10\.0 to 12\.0\) +100 \(90\.0 to 110\)\n/);
    expect(stdout).toContain("hubwire is 9.1 times better than MQTT.js.");
  });

  test("say where we lose as plainly", () => {
    const { stdout } = run("--from", file("lost", [row({ hubwire: [20, 21, 22], "MQTT.js": [10, 10, 10] })]));
    expect(stdout).toMatch(/\n +\/ MQTT\.js +hubwire +MQTT\.js +hubwire\n/);
    expect(stdout).toContain("hubwire loses to MQTT.js, which is 2.1 times better.");
  });

  test("of a quick run are marked", () => {
    const { stdout } = run("--from", file("quick", [row({ hubwire: [1] })], { quick: true }));
    expect(stdout).toMatch(/^A QUICK RUN: a first impression, not to be quoted\./);
  });

  test.each<[name: string, hubwire: number[], more: Partial<Row>, args: string[], status: number, text: string]>([
    ["worse", [20, 21, 22], {}, [], 0, "WORSE  Publishing | QoS 1 | µs: 11.0 to 21.0 (90.9 %)"],
    ["worse by more than allowed", [20, 21, 22], {}, ["--fail-over", "50"], 1, "WORSE  Publishing"],
    ["worse by less than allowed", [20, 21, 22], {}, ["--fail-over", "100"], 0, "WORSE  Publishing"],
    ["better", [5, 6, 7], {}, ["--fail-over", "0"], 0, "better Publishing"],
    ["within the spread", [12, 15, 18], {}, ["--fail-over", "0"], 0, "nothing of ours changed"],
    ["of too few rounds to say", [30, 30], {}, ["--fail-over", "0"], 0, "1 rows have fewer than 3 rounds"],
    [
      "another row",
      [30, 30, 30],
      { what: "QoS 2" },
      ["--fail-over", "0"],
      0,
      "1 rows of the earlier run are not in this one",
    ],
  ])("compared: %s", (name, hubwire, more, args, status, text) => {
    const after = file(name, [row({ hubwire }, more)]);
    const outcome = run("--from", after, "--compare", before, ...args);
    expect(outcome.stdout).toContain(text);
    expect(outcome.status).toBe(status);
    expect(outcome.stderr).toBe(status === 0 ? "" : "bench: a figure got worse by 90.9 %, more than 50 %\n");
  });

  test("of other settings or another machine are compared with a warning", () => {
    const other = { settings: { "--payload": "16" }, machine: { cpu: "another", node: "v20" } };
    const { stdout } = run("--from", file("other", [row({ hubwire: [10, 11, 12] })], other), "--compare", before);
    expect(stdout).toContain("ANOTHER MACHINE OR NODE");
    expect(stdout).toContain('OTHER SETTINGS: {} before, {"--payload":"16"} now.');
  });
});

describe("charts", () => {
  test("are drawn of each table that compares, and no text leaves one, however long names are", () => {
    const long = "a build of long ago with a name that says all of it";
    const titles = [
      "Publishing",
      "Receiving <a & b> over TLS, with a title of more words than a chart is wide: CPU of the client",
    ];
    const tables = titles.map((table) =>
      row({ hubwire: [1, 2, 3], "MQTT.js": [2, 3, 4_000_000], [long]: [1, 1, 1] }, { table }),
    );
    const alone = row({ hubwire: [1, 2, 3] }, { table: "Alone" });
    const machine = { cpu: "Intel(R) Xeon(R) Platinum 8272CL CPU @ 2.60GHz", cores: 64, node: "v20.20.2", load: "0.1" };
    const svg = join(folder, "svg");
    expect(run("--from", file("charts", [...tables, alone], { machine, quick: true }), "--svg", svg).status).toBe(0);
    const files = readdirSync(svg).sort();
    expect(files).toHaveLength(2);
    for (const name of files) {
      const text = readFileSync(join(svg, name), "utf8");
      expect(text).toContain("@media(prefers-color-scheme:dark)");
      const [, width = "", height = ""] = /viewBox="0 0 (\d+) (\d+)"/.exec(text) ?? [];
      const texts = [...text.matchAll(/<text(?: class="(\w)")? x="([\d.]+)" y="(\d+)"( text-anchor="end")?>([^<]*)</g)];
      expect(texts.length).toBeGreaterThan(6);
      for (const [, kind, x, y, isEnd, escaped = ""] of texts) {
        // A letter of 13 px takes 7 px on average, one of the title 9, where the font is a wide one.
        const length = escaped.replace(/&#\d+;/g, "&").length * (kind === "t" ? 9 : 7);
        expect(Number(x) - (isEnd ? length : 0), escaped).toBeGreaterThanOrEqual(0);
        expect(Number(x) + (isEnd ? 0 : length), escaped).toBeLessThanOrEqual(Number(width));
        expect(Number(y), escaped).toBeLessThanOrEqual(Number(height));
      }
      expect(texts.map((found) => found[5]).join(" ")).toContain("; a quick run");
      expect(text).not.toContain("<a & b>");
    }
  });
});
