/**
 * The examples of the README and of the guides are programs: each `js` block runs as it stands, in a process of its
 * own, and prints what its comment lines `// prints: …` say (`…` in such a line stands for anything). Nothing but
 * connection strings and the broker's address is given from outside. A `js` block of a guide
 * without such a line is a piece of a program and does not run.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HubEmulator } from "../src/emulator/index.js";
import { Mosquitto, mosquittoAvailable } from "./support/mosquitto.js";

const root = resolve(import.meta.dirname, "..");

const examplesOf = (name: string) =>
  [...readFileSync(join(root, name), "utf8").matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);
const wantedOf = (example: string) => [...example.matchAll(/^\/\/ prints: (.*)$/gm)].map((match) => match[1] as string);

/** The documents whose examples run: the README and each folder's guide. */
const documents = ["README.md", "test/README.md", "bench/README.md"]
  .concat(readdirSync(join(root, "src")).map((folder) => `src/${folder}/README.md`))
  .filter((name) => existsSync(join(root, name)) && examplesOf(name).some((example) => wantedOf(example).length > 0));

/** Whether `line` is what `wanted` says, in which `…` stands for anything. */
function fits(line: string, wanted: string): boolean {
  const parts = wanted.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(line);
}

let hub: HubEmulator;
let broker: Mosquitto | undefined;
let environment: Record<string, string>;

beforeAll(async () => {
  hub = await HubEmulator.start();
  environment = { IOTHUB_DEVICE_CONNECTION_STRING: hub.createDevice("readme").connectionString };
  if (mosquittoAvailable()) {
    broker = await Mosquitto.start();
    environment["MQTT_PORT"] = String(broker.port);
  }
});

afterAll(async () => {
  await broker?.stop();
  await hub.close();
});

function run(program: string): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ["--input-type=module", "-"], {
    cwd: root,
    env: { ...process.env, ...environment },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(program);
  return new Promise((done) => child.on("close", (status) => done({ status, stdout, stderr })));
}

describe.each(documents)("%s", (name) => {
  for (const [index, example] of examplesOf(name).entries()) {
    const wanted = wantedOf(example);
    if (wanted.length === 0) continue;
    // Some examples talk to a server that they do not bring along.
    const lacksServer = example.includes("MQTT_PORT") && !mosquittoAvailable();
    test.skipIf(lacksServer)(`example ${index + 1} runs and prints what it says`, async () => {
      const { status, stdout, stderr } = await run(example);
      expect(stderr).toBe("");
      expect(status).toBe(0);
      const lines = stdout.trimEnd().split("\n");
      expect(lines.map((line, i) => (fits(line, wanted[i] ?? "") ? wanted[i] : line))).toEqual(wanted);
    });
  }
});

describe("README", () => {
  test("has examples, and every one of them runs", () => {
    expect(examplesOf("README.md").length).toBeGreaterThanOrEqual(3);
    for (const example of examplesOf("README.md")) expect(wantedOf(example)).not.toEqual([]);
  });
});
