/** The commands that are a device (send, listen, sas, provision), in this process against a hub over TLS. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { HubEmulator, type TelemetryMessage } from "../../src/emulator/index.js";
import { createSasToken, parseConnectionString } from "../../src/hub/index.js";
import { FakeClock } from "../support/clock.js";
import { runHere, Running, type Surroundings } from "../support/command.js";

let hub: HubEmulator;
let folder: string;
let ca: string;
let env: Record<string, string>;
let connectionString: string;
let received: TelemetryMessage[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "hubwire-device-"));
  hub = await HubEmulator.start({ limits: { throttling: false } });
  ({ connectionString } = hub.createDevice("sensor-7"));
  env = { IOTHUB_DEVICE_CONNECTION_STRING: connectionString };
  ca = join(folder, "ca.pem");
  writeFileSync(ca, hub.caCertificate);
  hub.on("telemetry", (message) => received.push(message));
});

beforeEach(() => {
  received = [];
});

afterAll(async () => {
  await hub.close();
  rmSync(folder, { recursive: true });
});

const local = () => ["--port", String(hub.port), "--ca", ca];
const bodies = () => received.map(({ payload }) => Buffer.from(payload).toString());
const here = (args: string[], more: Surroundings = {}) =>
  runHere([args[0] as string, ...local(), ...args.slice(1)], { env, ...more });
const begin = (args: string[], more: Surroundings = {}) =>
  new Running([args[0] as string, ...local(), ...args.slice(1)], { env, ...more });

describe("where the connection string comes from", () => {
  const sent = (bytes: number) => ({
    status: 0,
    stdout: "",
    stderr: `sent 1 message of ${bytes} bytes, acknowledged\n`,
  });

  test("a file, whose first line it is", async () => {
    const path = join(folder, "connection");
    writeFileSync(path, `\n  ${connectionString}\r\nanother line\n`);
    expect(await here(["send", "--connection-file", path, "from a file"], { env: {} })).toEqual(sent(11));
  });

  test.each([["--connection-file", "-"], ["-"]])("standard input, whose first line it is: %s", async (...args) => {
    expect(await here(["send", ...args], { env: {}, input: `${connectionString}\nthe body\n` })).toEqual(sent(9));
    expect(bodies()).toEqual(["the body\n"]);
  });

  test("standard input, with lines to send behind it", async () => {
    const input = `${connectionString}\na\nb\n`;
    expect((await here(["send", "--lines", "-"], { env: {}, input })).status).toBe(0);
    expect(bodies()).toEqual(["a", "b"]);
  });

  test("what is given goes before the environment", async () => {
    const { connectionString: other } = hub.createDevice("sensor-8");
    expect(await here(["send", "-"], { input: `${other}\nx` })).toEqual(sent(1));
    expect(received[0]?.deviceId).toBe("sensor-8");
  });
});

describe("send", () => {
  test("bytes are sent as they are, from each source", async () => {
    const bytes = Buffer.from([0, 255, 10, 13]);
    const path = join(folder, "body");
    writeFileSync(path, bytes);
    await here(["send", "--file", path]);
    await here(["send"], { input: bytes });
    await here(["send", "--body", ""]);
    expect(received.map(({ payload }) => [...payload])).toEqual([[...bytes], [...bytes], []]);
  });

  test("system and application properties", async () => {
    const system = [
      "--message-id",
      "m",
      "--correlation-id",
      "c",
      "--content-type",
      "text/plain",
      "--content-encoding",
      "utf-8",
    ];
    await here(["send", ...system, "--property", "a=b=c", "--property", "flag", "x"]);
    expect(received[0]?.systemProperties).toMatchObject({
      messageId: "m",
      correlationId: "c",
      contentType: "text/plain",
      contentEncoding: "utf-8",
    });
    expect([...(received[0]?.properties ?? [])]).toEqual([
      ["a", "b=c"],
      ["flag", null],
    ]);
  });

  test("a module's output, over WebSocket", async () => {
    hub.createDevice("gateway");
    const { connectionString: module } = hub.createModule("gateway", "filter");
    const { status } = await here(["send", "--websocket", "--output", "clean", "1"], {
      env: { IOTHUB_DEVICE_CONNECTION_STRING: module },
    });
    expect(status).toBe(0);
    expect(received[0]).toMatchObject({ deviceId: "gateway", moduleId: "filter", outputName: "clean" });
  });

  test("--lines: each line, whatever its end, empty ones and the last without one too", async () => {
    expect(await here(["send", "--lines"], { input: "one\r\n\ntwo\nlast" })).toEqual({
      status: 0,
      stdout: "",
      stderr: "sent 4 messages of 10 bytes in all, acknowledged\n",
    });
    expect(bodies()).toEqual(["one", "", "two", "last"]);
  });

  test("--lines --count ends after so many; what comes after is not sent", async () => {
    const { status, stderr } = await here(["send", "--lines", "--count", "2"], { input: "a\nb\nc\n" });
    expect([status, stderr]).toEqual([0, "sent 2 messages of 1 bytes, acknowledged\n"]);
    expect(bodies()).toEqual(["a", "b"]);
  });

  test("--lines: one that is too long ends it with 2, after the ones before it", async () => {
    const { status, stderr } = await here(["send", "--lines"], { input: `a\n${"x".repeat(300_000)}\nb\n` });
    expect(status).toBe(2);
    expect(stderr).toMatch(
      /^sent 1 message .*\nhubwire: message 2: a line of standard input is longer than 262144 bytes/,
    );
    expect(bodies()).toEqual(["a"]);
  });

  test("--lines reads no more than it can have acknowledged", async () => {
    hub.faults.puback = "hold";
    try {
      const input = "x\n".repeat(5_000);
      const command = begin(["send", "--lines"], { input });
      await expect.poll(() => received.length, { timeout: 20_000 }).toBe(1_000);
      hub.faults.puback = "send";
      expect(await command.status).toBe(0);
      expect(received).toHaveLength(5_000);
    } finally {
      hub.faults.puback = "send";
    }
  });

  test("--rate spaces the messages, and a pause is not caught up on", async () => {
    // Only the command's own timers run on this clock's time.
    const clock = new FakeClock(Date.now());
    const command = begin(["send", "--lines", "--rate", "0.1"], { clock });
    command.type("a\nb\nc");
    await expect.poll(() => bodies(), { timeout: 20_000 }).toEqual(["a"]);
    clock.advance(9_999);
    expect(bodies()).toEqual(["a"]);
    clock.advance(1);
    await expect.poll(() => bodies(), { timeout: 20_000 }).toEqual(["a", "b"]);
    command.interrupt();
    expect(await command.status).toBe(0);
    expect(bodies()).toEqual(["a", "b"]);
  });

  test("interrupted before its goal it exits 1 and says how far it came", async () => {
    hub.faults.puback = "hold";
    try {
      const command = begin(["send", "--count", "2000", "x"]);
      await expect.poll(() => received.length, { timeout: 20_000 }).toBe(1_000);
      command.interrupt();
      hub.faults.puback = "send";
      expect(await command.status).toBe(1);
      expect(command.stderr.text).toContain("interrupted after 1000 of 2000");
    } finally {
      hub.faults.puback = "send";
    }
  });

  test("a lost connection ends it although nothing is being sent", async () => {
    const command = begin(["send", "--lines"]);
    command.type("a");
    await expect.poll(() => bodies(), { timeout: 20_000 }).toEqual(["a"]);
    hub.disconnectDevice("sensor-7");
    expect(await command.status).toBe(1);
    expect(command.stderr.text).toContain("ERR_CONNECTION_LOST");
  });

  test("progress on a terminal alone, wiped at the end", async () => {
    hub.faults.puback = "hold";
    try {
      const command = begin(["send", "--lines"], { terminal: true });
      command.type("a\nb");
      await command.printed(/\r\x1b\[K2 read, 0 acknowledged, 0\.0\/s/);
      hub.faults.puback = "send";
      command.interrupt();
      expect(await command.status).toBe(0);
      expect(command.stderr.text).toMatch(/\r\x1b\[Ksent 2 messages of 1 bytes, acknowledged\n$/);
    } finally {
      hub.faults.puback = "send";
    }
  });

  test("a certificate in place of a key: two files, or one for both", async () => {
    const { certificate = "", key = "", connectionString: text } = hub.createDevice("camera", { x509: true });
    const [cert, keyFile, both] = ["camera.pem", "camera.key", "both.pem"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(cert, certificate);
    writeFileSync(keyFile, key);
    writeFileSync(both, certificate + key);
    const camera = { env: { IOTHUB_DEVICE_CONNECTION_STRING: text } };
    expect((await here(["send", "--cert", cert, "--key", keyFile, "1"], camera)).status).toBe(0);
    expect((await here(["send", "--cert", both, "2"], camera)).status).toBe(0);
    expect(bodies()).toEqual(["1", "2"]);
    const without = await here(["send", "--cert", cert, "3"], camera);
    expect([without.status, without.stderr]).toEqual([2, expect.stringContaining("--cert needs --key")]);
    const beside = await here(["send", "--cert", both, "3"]);
    expect([beside.status, beside.stderr]).toEqual([2, expect.stringContaining("--cert is for a connection string")]);
  });

  test("a hub that is not trusted is told by the option, not the field of the library", async () => {
    const { status, stderr } = await runHere(["send", "--port", String(hub.port), "x"], { env });
    expect(status).toBe(1);
    expect(stderr).toContain("--ca");
    expect(stderr).not.toContain("tls.ca");
  });
});

describe("listen", () => {
  test("messages, with bytes that are no text as base64", async () => {
    const command = begin(["listen", "--count", "2"]);
    await command.printed(/listening/);
    await hub.sendToDevice("sensor-7", "one", { properties: { a: "1" } });
    await hub.sendToDevice("sensor-7", Buffer.from([0xff]));
    expect(await command.status).toBe(0);
    expect(command.records).toMatchObject([
      { type: "message", body: "one", properties: { a: "1" } },
      { type: "message", base64: "/w==" },
    ]);
    expect(hub.pendingMessages("sensor-7")).toBe(0);
  });

  test("what comes after --count is left for the next time", async () => {
    for (const body of ["one", "two", "three"]) await hub.sendToDevice("sensor-7", body);
    const first = begin(["listen", "--count", "2"]);
    expect(await first.status).toBe(0);
    expect(first.records.map(({ body }) => body)).toEqual(["one", "two"]);
    expect(first.stderr.text).not.toContain("ERR_");
    expect(hub.pendingMessages("sensor-7")).toBe(1);
    const second = begin(["listen", "--count", "1"]);
    expect(await second.status).toBe(0);
    expect(second.records.map(({ body }) => body)).toEqual(["three"]);
  });

  test("--method answers as it says, --methods the others", async () => {
    const answers = ["--method", "reboot=202", "--method", 'get=200,{"on":true}'];
    const command = begin(["listen", "--methods", ...answers]);
    await command.printed(/listening/);
    expect(await hub.invokeMethod("sensor-7", "reboot")).toEqual({ status: 202, payload: null });
    expect(await hub.invokeMethod("sensor-7", "get")).toEqual({ status: 200, payload: { on: true } });
    expect(await hub.invokeMethod("sensor-7", "echo", [1])).toEqual({ status: 200, payload: [1] });
    command.interrupt();
    expect(await command.status).toBe(0);
    expect(command.records.map(({ name }) => name)).toEqual(["reboot", "get", "echo"]);
  });

  test("--report, from the option and from standard input; a wrong line is told and ends nothing", async () => {
    const command = begin(["listen", "--report", '{"firmware":"1"}', "--report", "-"]);
    await command.record({ type: "reported" });
    command.type("{");
    await command.printed(/--report takes JSON/);
    command.type('{"level":3}');
    await expect
      .poll(() => hub.twin("sensor-7").reported, { timeout: 20_000 })
      .toMatchObject({ firmware: "1", level: 3 });
    command.interrupt();
    expect(await command.status).toBe(0);
  });

  test("--twin prints, --mirror reports back", async () => {
    const command = begin(["listen", "--twin", "--mirror"]);
    await command.record({ type: "twin" });
    await command.printed(/listening/);
    const version = hub.updateDesiredProperties("sensor-7", { speed: 5 });
    expect(await command.record({ type: "desired", version })).toMatchObject({ patch: { speed: 5 } });
    await expect.poll(() => hub.twin("sensor-7").reported, { timeout: 20_000 }).toMatchObject({ speed: 5 });
    command.interrupt();
    expect(await command.status).toBe(0);
  });

  test("--seconds ends it, by the clock", async () => {
    const clock = new FakeClock(Date.now());
    const command = begin(["listen", "--seconds", "60"], { clock });
    await command.printed(/listening/);
    clock.advance(60_000);
    expect(await command.status).toBe(0);
  });

  test("a lost connection ends it with 1", async () => {
    const command = begin(["listen"]);
    await command.printed(/listening/);
    hub.disconnectDevice("sensor-7");
    expect(await command.status).toBe(1);
    expect(command.stderr.text).toContain("ERR_CONNECTION_LOST");
  });
});

describe("sas", () => {
  test("the token that the library makes, by the clock", async () => {
    const { hostName, deviceId, sharedAccessKey: key = "" } = parseConnectionString(connectionString);
    const clock = new FakeClock(1_700_000_000_000);
    const { stdout } = await runHere(["sas", "--ttl", "60"], { env, clock });
    expect(stdout).toBe(`${createSasToken({ hostName, deviceId, key, expiry: 1_700_000_060 })}\n`);
  });
});

describe("provision", () => {
  const options = () => ["provision", "--host", "localhost", "--id-scope", hub.idScope];

  test("by the key of a file; the connection string goes to --out alone, and works", async () => {
    const { primaryKey = "" } = hub.createEnrollment("sensor-9");
    const [keyFile, out] = [join(folder, "key"), join(folder, "assigned")];
    writeFileSync(keyFile, `${primaryKey}\n`);
    const args = [...options(), "--registration-id", "sensor-9", "--key-file", keyFile, "--out", out];
    const { status, stdout, stderr } = await here(args);
    expect([status, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toEqual({
      type: "assigned",
      deviceId: "sensor-9",
      assignedHub: "localhost",
      registrationId: "sensor-9",
    });
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(readFileSync(out, "utf8")).toContain(primaryKey);
    expect((await here(["send", "--connection-file", out, "x"], { env: {} })).status).toBe(0);
  });

  test("by a group's key on standard input, and by the environment, to standard output", async () => {
    const { primaryKey = "" } = hub.createEnrollmentGroup();
    const group = await here([...options(), "--registration-id", "g-1", "--group-key-file", "-", "--out", "-"], {
      input: primaryKey,
    });
    expect(group.stdout).toMatch(/^HostName=localhost;DeviceId=g-1;SharedAccessKey=.+\n$/);
    const { primaryKey: own = "" } = hub.createEnrollment("e-1");
    const { status, stdout } = await here(["provision"], {
      env: {
        PROVISIONING_HOST: "localhost",
        PROVISIONING_IDSCOPE: hub.idScope,
        PROVISIONING_REGISTRATION_ID: "e-1",
        PROVISIONING_SYMMETRIC_KEY: own,
      },
    });
    expect([status, JSON.parse(stdout).deviceId]).toEqual([0, "e-1"]);
  });

  test("over WebSocket", async () => {
    const { primaryKey = "" } = hub.createEnrollment("ws-1");
    const args = [...options(), "--websocket", "--registration-id", "ws-1", "--key-file", "-"];
    expect((await here(args, { input: primaryKey })).status).toBe(0);
  });

  test("what is not enrolled exits 1", async () => {
    const { primaryKey = "" } = hub.createEnrollment("other");
    const { status, stderr } = await here([...options(), "--registration-id", "nobody", "--key-file", "-"], {
      input: primaryKey,
    });
    expect(status).toBe(1);
    expect(stderr).not.toContain(primaryKey);
  });
});
