/** NODE_DEBUG=hubwire: what a process of the built package says of itself, and what it never does. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");

/** A device that sends, receives, loses its connection, and is refused one. */
const program = `
  import { DeviceClient } from "hubwire";
  import { HubEmulator } from "hubwire/emulator";
  const hub = await HubEmulator.start();
  const { connectionString } = hub.createDevice("pump-1");
  const device = new DeviceClient(connectionString, {
    port: hub.port, tls: { ca: hub.caCertificate }, reconnect: { minDelay: 1, maxDelay: 1 },
  });
  const token = process.env.OWN_OUTPUT && connectionString.match(/SharedAccessKey=(.*)/)[1];
  if (token) console.log(token);
  await device.connect();
  await device.messages(() => {});
  await device.sendTelemetry("payload-secret", { properties: { alarm: "value-secret" } });
  const { completion } = await hub.sendToDevice("pump-1", "body-secret", { properties: { kind: "down-secret" } });
  await completion;
  const again = new Promise((resolve) => device.once("connect", resolve));
  hub.disconnectDevice("pump-1");
  await again;
  await device.close();
  await hub.close();
`;

function run(debug: string): Promise<{ stdout: string; stderr: string; status: number | null }> {
  const env = { ...process.env, OWN_OUTPUT: "1", NODE_DEBUG: debug };
  const child = spawn(process.execPath, ["--input-type=module", "-"], { cwd: root, env });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(program);
  return new Promise((done) => child.on("close", (status) => done({ stdout, stderr, status })));
}

test("states, packets and why a connection ended are written, without a secret", async () => {
  const { stdout, stderr, status } = await run("hubwire");
  expect(status).toBe(0);
  const lines = stderr.split("\n").map((line) => line.replace(/^HUBWIRE \d+: "pump-1" /, ""));
  expect(lines).toEqual(
    expect.arrayContaining([
      "connecting",
      expect.stringMatching(/^-> connect \d+ B$/),
      "<- connack 4 B",
      "connected",
      expect.stringMatching(/^-> subscribe \d+ "devices\/pump-1\/messages\/devicebound\/#" \d+ B$/),
      expect.stringMatching(/^-> publish \d+ "devices\/pump-1\/messages\/events\/alarm=…" \d+ B$/),
      expect.stringMatching(/^<- publish \d+ "devices\/pump-1\/messages\/devicebound\/.*kind=….*" \d+ B$/),
      expect.stringMatching(/^connection ended: ERR_CONNECTION_LOST /),
      "waiting",
      expect.stringMatching(/^attempt 1 in \d ms$/),
      "-> disconnect 2 B",
      "closed",
    ]),
  );
  const key = stdout.trim();
  expect(key.length).toBeGreaterThan(20);
  expect(stderr).not.toContain(key);
  expect(stderr).not.toMatch(/secret|sig=(?!…)/);
});

test("nothing is written where nobody asks", async () => {
  expect(await run("")).toMatchObject({ status: 0, stderr: "" });
});
