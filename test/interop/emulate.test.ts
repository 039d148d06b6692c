/**
 * mosquitto_pub and mosquitto_sub as a device of `hubwire emulate`: nothing of ours but the command, and a token made by
 * hand as the page says. Telemetry, will, messages to the device, methods, twin.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { start, type RunningCommand } from "../support/cli.js";

const available = spawnSync("mosquitto_pub", ["--help"]).error === undefined;
if (!available) {
  const text = "mosquitto_pub is not installed (apt-get install mosquitto-clients)";
  if (process.env["CI"]) throw new Error(text);
  console.warn(`SKIPPED: ${text}`);
}

const folder = mkdtempSync(join(tmpdir(), "hubwire-emulate-"));
const ca = join(folder, "ca.pem");
let command: RunningCommand;
let port: string;
let key: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  if (!available) return;
  command = start(["emulate", "--port", "0", "--device", "d1", "--ca-out", ca, "--state", join(folder, "state.json")]);
  [, key = ""] = await command.printed(/"connectionString":"HostName=localhost;DeviceId=d1;SharedAccessKey=([^"]+)"/);
  [, port = ""] = await command.printed(/port[" :]+(\d+)/);
});
afterEach(() => children.splice(0).forEach((child) => child.kill("SIGKILL")));
afterAll(async () => {
  command?.process.stdin?.end("quit\n");
  await command?.outcome;
  rmSync(folder, { recursive: true });
});

/** "SharedAccessSignature sr=…&sig=…&se=…", signed over the encoded resource, a line feed, and the expiry. */
function token(): string {
  const sr = encodeURIComponent("localhost/devices/d1");
  const se = Math.floor(Date.now() / 1000) + 600;
  const signature = createHmac("sha256", Buffer.from(key, "base64")).update(`${sr}\n${se}`).digest("base64");
  return `SharedAccessSignature sr=${sr}&sig=${encodeURIComponent(signature)}&se=${se}`;
}

const login = (): string[] => [
  ...["-h", "localhost", "-p", port, "--cafile", ca, "-V", "mqttv311", "-i", "d1"],
  ...["-u", "localhost/d1/?api-version=2021-04-12", "-P", token()],
];

/** Runs a client to its end; returns what it printed. */
function run(program: string, ...args: string[]): Promise<{ status: number | null; output: string }> {
  const child = spawn(program, [...login(), ...args]);
  children.push(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((done) => child.on("close", (status) => done({ status, output })));
}

const says = (request: object): boolean | undefined => command.process.stdin?.write(`${JSON.stringify(request)}\n`);
/** The first line of that type which has the pattern in it. */
const line = (type: string, pattern = ""): Promise<RegExpExecArray> =>
  command.printed(new RegExp(`\\{[^\\n]*"type":"${type}"[^\\n]*${pattern}[^\\n]*`));

describe.skipIf(!available)("mosquitto's clients as a device", () => {
  it("publish telemetry with properties", async () => {
    const topic = "devices/d1/messages/events/alarm=yes&%24.ct=application%2Fjson";
    const { status, output } = await run("mosquitto_pub", "-q", "1", "-t", topic, "-m", '{"t":21}');
    expect({ status, output }).toEqual({ status: 0, output: "" });
    const [text] = await line("telemetry", "alarm");
    expect(text).toContain('"contentType":"application/json"');
    expect(text).toContain("iothub-connection-device-id");
  });

  it("leave a will", async () => {
    const will = ["--will-topic", "devices/d1/messages/events/reason=gone", "--will-payload", "bye", "--will-qos", "1"];
    const args = [...login(), ...will, "-q", "1", "-t", "devices/d1/messages/devicebound/#"];
    const child = spawn("mosquitto_sub", args, { stdio: "ignore" });
    await line("subscribed", "devicebound");
    child.kill("SIGKILL");
    const [text] = await line("telemetry", "gone");
    expect(text).toContain("Will");
  });

  it("get a message that waits, and complete it", async () => {
    says({ command: "c2d", deviceId: "d1", body: "open the door", messageId: "m-1", ack: "full" });
    await line("answer");
    const filter = "devices/d1/messages/devicebound/#";
    // -c keeps the session: a clean one makes the hub forget what waits.
    const { status, output } = await run("mosquitto_sub", "-c", "-q", "1", "-t", filter, "-C", "1", "-v");
    expect(status).toBe(0);
    expect(output).toMatch(/^devices\/d1\/messages\/devicebound\/%24\.mid=m-1\S* open the door\n$/);
    const [text] = await line("completed", "m-1");
    expect(text).toContain("Success");
  });

  it("answer a method", async () => {
    const child = spawn("mosquitto_sub", [...login(), "-t", "$iothub/methods/POST/#", "-F", "%t"]);
    children.push(child);
    await line("subscribed", "methods");
    const called = new Promise<string>((resolve) => child.stdout.once("data", (chunk: Buffer) => resolve(`${chunk}`)));
    const call = { name: "reboot", payload: { delay: 1 }, responseTimeout: 30_000 };
    says({ command: "method", id: "call", deviceId: "d1", ...call });
    const [, requestId] = /^\$iothub\/methods\/POST\/reboot\/\?\$rid=(\S+)/.exec(await called) as RegExpExecArray;
    // One identity has one connection: this one takes the place of the other, and may answer.
    const answer = await run(
      "mosquitto_pub",
      "-t",
      `$iothub/methods/res/200/?$rid=${requestId}`,
      "-m",
      '{"done":true}',
    );
    expect(answer.status).toBe(0);
    const [text] = await command.printed(/\{[^\n]*"id":"call"[^\n]*/);
    expect(text).toMatch(/"status":200/);
    expect(text).toMatch(/"done":true/);
  });

  it("hear of desired properties, read the twin, and report", async () => {
    const filters = ["-t", "$iothub/twin/res/#", "-t", "$iothub/twin/PATCH/properties/desired/#"];
    const child = spawn("mosquitto_sub", [...login(), "-c", ...filters, "-F", "%t %p"]);
    children.push(child);
    await line("subscribed", "properties/desired");
    const told = new Promise<string>((resolve) => child.stdout.once("data", (chunk: Buffer) => resolve(`${chunk}`)));
    says({ command: "desired", deviceId: "d1", patch: { interval: 5 } });
    const change = '$iothub/twin/PATCH/properties/desired/?$version=2 {"interval":5,"$version":2}';
    expect((await told).trim()).toBe(change);
    // Or it would connect again when the next one takes its place.
    child.kill();
    await once(child, "close");
    // The kept session is still subscribed to the answers; with QoS 1 they come before PUBACK, and -d shows them.
    const kept = ["-c", "-d", "-q", "1"];
    const read = await run("mosquitto_pub", ...kept, "-t", "$iothub/twin/GET/?$rid=1", "-n");
    expect(read.output).toContain("'$iothub/twin/res/200/?$rid=1'");
    const report = ["-t", "$iothub/twin/PATCH/properties/reported/?$rid=2", "-m", '{"level":7}'];
    expect((await run("mosquitto_pub", ...kept, ...report)).output).toContain(
      "'$iothub/twin/res/204/?$rid=2&$version=2'",
    );
    const [text] = await line("reported", "level");
    expect(text).toContain('"level":7');
  });

  it("are cut off over a filter that the hub does not know, and told why on the hub's side", async () => {
    const { output } = await run("mosquitto_sub", "-t", "devices/d1/#", "-W", "3", "-q", "1");
    expect(output).not.toContain("Subscribed");
    const [text] = await line("violation");
    expect(text).toContain("devices/d1/#");
  });

  it("are refused with a wrong key", async () => {
    const right = key;
    key = Buffer.alloc(32).toString("base64");
    const { status, output } = await run("mosquitto_pub", "-t", "devices/d1/messages/events/", "-m", "x");
    key = right;
    expect(status).not.toBe(0);
    expect(output).toMatch(/not authori[sz]ed/i);
    await line("refused");
  });
});
