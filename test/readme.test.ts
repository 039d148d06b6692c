/**
 * The README's examples are programs: each `js` block runs as it stands, in a process of its own, and prints what
 * its last comment lines `// prints: …` say. Nothing but the broker's address is given from outside.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorCodes } from "../src/errors.js";
import { HubEmulator } from "../src/emulator/index.js";
import { Mosquitto, mosquittoAvailable } from "./support/mosquitto.js";

const root = resolve(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");
const examples = [...readme.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);

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

describe("README", () => {
  test("has examples", () => {
    expect(examples.length).toBeGreaterThanOrEqual(5);
  });

  for (const [index, example] of examples.entries()) {
    // One example talks to a server that it does not bring along.
    const lacksServer = example.includes("MQTT_PORT") && !mosquittoAvailable();
    test.skipIf(lacksServer)(`example ${index + 1} runs and prints what it says`, async () => {
      const { status, stdout, stderr } = await run(example);
      expect(stderr).toBe("");
      expect(status).toBe(0);
      const wanted = [...example.matchAll(/^\/\/ prints: (.*)$/gm)].map((match) => match[1]);
      expect(wanted.length).toBeGreaterThan(0);
      expect(stdout.trimEnd().split("\n")).toEqual(wanted);
    });
  }

  test("lists every error code, and none that does not exist", () => {
    const listed = [...readme.matchAll(/^\| `(ERR_\w+)` \|/gm)].map((match) => match[1]);
    expect([...listed].sort()).toEqual([...errorCodes].sort());
  });

  test("names only scripts that exist", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    for (const [, name = ""] of readme.matchAll(/npm run ([\w:]+)/g)) expect(scripts, name).toHaveProperty([name]);
  });
});
