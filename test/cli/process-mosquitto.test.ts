/**
 * `hubwire emulate` and `hubwire sas` alone beside Debian's mosquitto clients, which know nothing of IoT Hub: telemetry,
 * cloud-to-device messages, a will, a direct method and the twin ("Use MQTT directly as a device" of Microsoft's
 * "Communicate with an IoT hub using the MQTT protocol").
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, start, type RunningCommand } from "../support/cli.js";

function installed(): boolean {
  try {
    execFileSync("sh", ["-c", "command -v mosquitto_pub mosquitto_sub"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

let folder: string;
let hub: RunningCommand;
let usual: string[];
const clients = new Set<ChildProcess>();

/** Starts one of mosquitto's clients as the device. */
function client(program: string, ...args: string[]): { process: ChildProcess; output: Promise<string> } {
  const child = spawn(program, [...usual, ...args]);
  clients.add(child);
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  return {
    process: child,
    output: new Promise((done) => child.on("close", () => (clients.delete(child), done(output)))),
  };
}

/** Gives the emulator a command and waits for its answer. */
async function ask(request: Record<string, unknown>): Promise<Record<string, any>> {
  const id = `q${Math.trunc(performance.now() * 1000)}`;
  hub.process.stdin?.write(`${JSON.stringify({ ...request, id })}\n`);
  const [line] = await hub.printed(new RegExp(`^.*"id":"${id}".*$`, "m"));
  return JSON.parse(line) as Record<string, any>;
}

describe.skipIf(!installed())("mosquitto's clients", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "hubwire-mosquitto-"));
    const ca = join(folder, "ca.pem");
    hub = start(["emulate", "--port", "0", "--device", "pump", "--ca-out", ca]);
    const [, port = ""] = await hub.printed(/listening on port (\d+)/);
    const [, connectionString = ""] = await hub.printed(/"connectionString":"([^"]+)"/);
    const { stdout } = await run(["sas"], { IOTHUB_DEVICE_CONNECTION_STRING: connectionString });
    const user = ["-u", "localhost/pump/?api-version=2021-04-12", "-P", stdout.trim()];
    usual = ["-h", "localhost", "-p", port, "--cafile", ca, "-V", "mqttv311", "-i", "pump", ...user];
  });

  afterAll(async () => {
    for (const each of clients) each.kill("SIGKILL");
    hub.process.kill("SIGTERM");
    await hub.outcome;
    rmSync(folder, { recursive: true });
  });

  test("telemetry with properties", async () => {
    const topic = "devices/pump/messages/events/alarm=no&%24.mid=m-1&%24.ct=text%2Fplain";
    await client("mosquitto_pub", "-q", "1", "-t", topic, "-m", "21.5").output;
    const [line] = await hub.printed(/^\{"type":"telemetry".*$/m);
    expect(JSON.parse(line)).toMatchObject({
      deviceId: "pump",
      body: "21.5",
      properties: { alarm: "no" },
      systemProperties: { messageId: "m-1", contentType: "text/plain" },
    });
  });

  test("a cloud-to-device message, queued while it was away", async () => {
    const { messageId } = await ask({ command: "c2d", deviceId: "pump", body: "open", properties: { unit: "C" } });
    const { output } = client(
      "mosquitto_sub",
      "-c",
      "-q",
      "1",
      "-C",
      "1",
      "-v",
      "-t",
      "devices/pump/messages/devicebound/#",
    );
    expect(await output).toMatch(/^devices\/pump\/messages\/devicebound\/\S*unit=C\S* open\n$/);
    await hub.printed(new RegExp(`"type":"completed".*"messageId":"${messageId}".*"outcome":"Success"`));
  });

  test("a will, when it dies", async () => {
    // The other filter that devices may use, so that its line is told from those above.
    const topic = "devices/+/messages/devicebound/#";
    const will = ["--will-topic", "devices/pump/messages/events/a=b", "--will-payload", "gone", "--will-qos", "1"];
    const { process: child } = client("mosquitto_sub", "-q", "1", "-t", topic, ...will);
    await hub.printed(/"type":"subscribed".*"topicFilter":"devices\/\+/);
    child.kill("SIGKILL");
    const [line] = await hub.printed(/^\{"type":"telemetry".*"body":"gone".*$/m);
    expect(JSON.parse(line).properties).toMatchObject({ a: "b", "iothub-MessageType": "Will" });
  });

  test("a direct method", async () => {
    const asked = ask({
      command: "method",
      deviceId: "pump",
      name: "reboot",
      payload: { delay: 5 },
      connectTimeout: 20_000,
    });
    const { output } = client("mosquitto_sub", "-C", "1", "-v", "-t", "$iothub/methods/POST/#");
    const [, requestId] = /^\$iothub\/methods\/POST\/reboot\/\?\$rid=(\S+) \{"delay":5\}\n$/.exec(await output) ?? [];
    await client("mosquitto_pub", "-t", `$iothub/methods/res/202/?$rid=${requestId}`, "-m", '{"soon":true}').output;
    expect(await asked).toMatchObject({ type: "answer", status: 202, payload: { soon: true } });
  });

  test("the twin: desired properties as they change, and reported ones", async () => {
    // The answer to a request comes on the connection that asked, and no client of theirs shows what it gets to one.
    const { output } = client("mosquitto_sub", "-C", "1", "-v", "-t", "$iothub/twin/PATCH/properties/desired/#");
    await hub.printed(/"type":"subscribed".*"topicFilter":"\$iothub\/twin\/PATCH/);
    await ask({ command: "desired", deviceId: "pump", patch: { speed: 3 } });
    expect(await output).toMatch(
      /^\$iothub\/twin\/PATCH\/properties\/desired\/\?\$version=2 \{"speed":3,"\$version":2\}\n$/,
    );
    const topic = "$iothub/twin/PATCH/properties/reported/?$rid=1";
    await client("mosquitto_pub", "-t", topic, "-m", '{"speed":3}').output;
    await hub.printed(/"type":"reported".*"patch":\{"speed":3\}/);
  });
});
