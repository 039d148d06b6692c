/** `hubwire emulate` as a fixture: what it takes, what it tells, what it answers, and what outlives it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DeviceClient, provisionDevice } from "../../src/hub/index.js";
import { runHere, Running, type Surroundings } from "../support/command.js";

let folder: string;
let running: Running[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hubwire-emulate-"));
  running = [];
});

afterEach(async () => {
  for (const each of running) each.interrupt();
  await Promise.all(running.map(({ status }) => status));
  rmSync(folder, { recursive: true });
});

const file = (name: string) => join(folder, name);
const usual = () => ["emulate", "--port", "0", "--ca-out", file("ca.pem")];

/** Starts the command and waits until it listens. */
async function emulate(args: string[] = [], surroundings: Surroundings = {}): Promise<Running & { port: number }> {
  const command = new Running([...usual(), ...args], surroundings);
  running.push(command);
  const [, port] = await command.printed(/listening on port (\d+)/);
  return Object.assign(command, { port: Number(port) });
}

/** Asks for something and waits for the answer. */
async function ask(command: Running, request: Record<string, unknown>): Promise<Record<string, any>> {
  const id = command.records.length;
  command.type(JSON.stringify({ ...request, id }));
  return command.record({ id });
}

/** A client of a device that the command told of. */
async function deviceOf(command: Running & { port: number }, deviceId = "device-1"): Promise<DeviceClient> {
  const { connectionString } = await command.record({ type: "device", deviceId });
  const device = new DeviceClient(connectionString as string, {
    port: command.port,
    tls: { ca: readFileSync(file("ca.pem"), "utf8") },
    reconnect: false,
  });
  await device.connect();
  return device;
}

const end = async (command: Running): Promise<number> => {
  command.type("quit");
  return command.status;
};

describe("who may connect", () => {
  test("devices, modules, X.509 devices and enrolments by option", async () => {
    const named = ["--device", "pump", "--module", "gateway/filter", "--module", "gateway/meter"];
    const hub = await emulate([...named, "--x509-device", "camera", "--certs", folder, "--enrollment", "sensor-9"]);
    const told = hub.records
      .filter(({ type }) => type === "device")
      .map(({ deviceId, moduleId }) => [deviceId, moduleId]);
    expect(told).toEqual([
      ["pump", undefined],
      ["gateway", undefined],
      ["gateway", "filter"],
      ["gateway", "meter"],
      ["camera", undefined],
    ]);
    const { certFile, keyFile, connectionString } = await hub.record({ deviceId: "camera" });
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
    const x509 = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
    const tls = { ca: readFileSync(file("ca.pem")) };
    const camera = new DeviceClient(connectionString, { port: hub.port, tls, x509, reconnect: false });
    await camera.connect();
    await camera.close();
    const { idScope, primaryKey } = await hub.record({ type: "enrollment", registrationId: "sensor-9" });
    const options = { host: "localhost", port: hub.port, tls, idScope, registrationId: "sensor-9" };
    expect(await provisionDevice({ ...options, symmetricKey: primaryKey })).toMatchObject({ deviceId: "sensor-9" });
    await hub.record({ type: "registered", registrationId: "sensor-9" });
    expect(await end(hub)).toBe(0);
  });

  test("one device where none is named", async () => {
    const hub = await emulate();
    expect(hub.records.map(({ type, deviceId }) => [type, deviceId])).toEqual([
      ["device", "device-1"],
      ["listening", undefined],
    ]);
  });

  test("by a file of commands; its first error ends it with 2 and the line", async () => {
    writeFileSync(
      file("setup"),
      '{"command":"createDevice","deviceId":"a"}\n\n{"command":"tags","deviceId":"a","patch":{"b":1}}\n',
    );
    const hub = await emulate(["--setup", file("setup")]);
    expect((await ask(hub, { command: "twin", deviceId: "a" }))["twin"].tags).toEqual({ b: 1 });
    writeFileSync(file("bad"), '{"command":"createDevice","deviceId":"a"}\n{"command":"tags","deviceId":"a"}\n');
    const { status, stderr } = await runHere([...usual(), "--setup", file("bad")]);
    expect(status).toBe(2);
    expect(stderr).toContain("--setup: line 2: tags needs patch");
  });
});

describe("what it tells", () => {
  test("telemetry with its properties, binary bodies as base64, subscriptions, reported properties, goodbyes", async () => {
    const hub = await emulate();
    const device = await deviceOf(hub);
    await hub.record({ type: "connected", deviceId: "device-1" });
    await device.sendTelemetry("text é", { properties: { room: "Küche" }, messageId: "m-1" });
    await device.sendTelemetry(Uint8Array.of(0xff, 0));
    expect(await hub.record({ type: "telemetry", body: "text é" })).toMatchObject({
      properties: { room: "Küche" },
      systemProperties: { messageId: "m-1" },
    });
    expect(await hub.record({ type: "telemetry", base64: "/wA=" })).not.toHaveProperty("body");
    await device.messages(() => {});
    await hub.record({ type: "subscribed", topicFilter: "devices/device-1/messages/devicebound/#" });
    await device.updateReportedProperties({ firmware: "1" });
    expect(await hub.record({ type: "reported" })).toMatchObject({ patch: { firmware: "1" }, version: 2 });
    await device.close();
    await hub.record({ type: "disconnected", reason: "disconnect" });
  });

  test("a refused device, with the reason", async () => {
    const hub = await emulate(["--device", "a", "--device", "b"]);
    const key = /SharedAccessKey=(.*)/.exec((await hub.record({ deviceId: "b" }))["connectionString"] as string)?.[1];
    const tls = { ca: readFileSync(file("ca.pem")) };
    const wrong = `HostName=localhost;DeviceId=a;SharedAccessKey=${key}`;
    const device = new DeviceClient(wrong, { port: hub.port, tls, reconnect: false });
    await expect(device.connect()).rejects.toMatchObject({ code: "ERR_NOT_AUTHORIZED" });
    expect((await hub.record({ type: "refused" }))["reason"]).toMatch(/\w+/);
    await device.close();
  });

  test("on a terminal a readable line, in colour unless NO_COLOR; --json is JSON there too", async () => {
    const coloured = await emulate([], { terminal: true });
    expect(coloured.stdout.text).toMatch(/^\x1b\[2m\d\d:\d\d:\d\d\x1b\[0m \x1b\[32mdevice +\x1b\[0m {2}device-1 {2}/m);
    const plain = await emulate([], { terminal: true, env: { NO_COLOR: "1" } });
    expect(plain.stdout.text).toMatch(/^\d\d:\d\d:\d\d device +device-1 {2}connectionString=HostName=localhost;/m);
    const json = await emulate(["--json"], { terminal: true });
    expect(json.records[0]).toMatchObject({ type: "device" });
  });

  test("nothing that a device sends can move the cursor of a terminal", async () => {
    const hub = await emulate([], { terminal: true, env: { NO_COLOR: "1" } });
    const [, connectionString = ""] = await hub.printed(/connectionString=(\S+)/);
    const tls = { ca: readFileSync(file("ca.pem")) };
    const device = new DeviceClient(connectionString, { port: hub.port, tls, reconnect: false });
    await device.connect();
    await device.sendTelemetry("\x1b[2J\nfake line", { properties: { "a\x07": "\x9b1A" } });
    await hub.printed(/\\x1b\[2J\\nfake line {2}a\\x07=\\x9b1A/);
    await device.close();
  });
});

describe("commands", () => {
  test("the service side: each is answered with its id", async () => {
    const hub = await emulate();
    const device = await deviceOf(hub);
    await device.onMethod("echo", ({ payload }) => ({ status: 201, payload }));
    const messages = device.messages();
    const deviceId = "device-1";

    const base64 = Buffer.from([0, 255]).toString("base64");
    const sent = { command: "c2d", deviceId, base64, properties: { a: "1" }, messageId: "m-7", ack: "full" };
    expect(await ask(hub, sent)).toMatchObject({ type: "answer", command: "c2d", deviceId, messageId: "m-7" });
    const { value } = await messages.next();
    expect([...value.payload]).toEqual([0, 255]);
    await messages.return?.();
    await hub.record({ type: "completed", messageId: "m-7", outcome: "Success" });
    await hub.record({ type: "feedback", originalMessageId: "m-7" });

    expect(await ask(hub, { command: "method", deviceId, name: "echo", payload: { a: [1] } })).toMatchObject({
      status: 201,
      payload: { a: [1] },
    });
    expect(await ask(hub, { command: "desired", deviceId, patch: { x: 1, y: 2 } })).toMatchObject({ version: 2 });
    expect(await ask(hub, { command: "replaceDesired", deviceId, document: { y: 3 } })).toMatchObject({ version: 3 });
    const { twin } = await ask(hub, { command: "twin", deviceId });
    expect(twin).toMatchObject({
      desired: { y: 3 },
      connectionState: "Connected",
      properties: { desired: { $version: 3 } },
    });
    expect(await ask(hub, { command: "desired", deviceId, patch: {}, etag: "no" })).toMatchObject({
      type: "error",
      code: "ERR_HUB_STATUS",
    });
    expect(await ask(hub, { command: "connected", deviceId })).toMatchObject({ connected: true });
    await ask(hub, { command: "kick", deviceId });
    await hub.record({ type: "disconnected", reason: "hub" });
    await ask(hub, { command: "c2d", deviceId, body: { waits: true } });
    expect(await ask(hub, { command: "pending", deviceId })).toMatchObject({ pending: 1 });
    await ask(hub, { command: "purge", deviceId });
    expect(await ask(hub, { command: "pending", deviceId })).toMatchObject({ pending: 0 });
    await device.close();
  });

  test("identities and enrolments are made, changed, listed and removed", async () => {
    const hub = await emulate();
    const made = await ask(hub, { command: "createDevice", deviceId: "d", x509: true });
    expect(made["certificate"]).toContain("BEGIN CERTIFICATE");
    await ask(hub, { command: "createModule", deviceId: "d", moduleId: "m" });
    await ask(hub, { command: "updateDevice", deviceId: "d", enabled: false });
    const policy = await ask(hub, { command: "connectionString", deviceId: "d", keyName: "device" });
    expect(policy["connectionString"]).toContain("SharedAccessKeyName=device");
    expect((await ask(hub, { command: "devices" }))["devices"]).toHaveLength(3);
    await ask(hub, { command: "removeDevice", deviceId: "d" });
    expect((await ask(hub, { command: "devices" }))["devices"]).toHaveLength(1);
    await ask(hub, { command: "createEnrollment", registrationId: "r", deviceId: "other" });
    await ask(hub, { command: "createEnrollmentGroup" });
    expect((await ask(hub, { command: "enrollments" }))["enrollments"]).toHaveLength(2);
  });

  test("faults that are wrong change nothing, also where they were to be cleared first", async () => {
    const hub = await emulate();
    await ask(hub, { command: "faults", set: { connack: 3, rate: 0.5 } });
    expect((await ask(hub, { command: "faults", clear: true, set: { nope: 1 } }))["type"]).toBe("error");
    expect((await ask(hub, { command: "faults" }))["faults"]).toEqual({ connack: 3, rate: 0.5 });
    expect((await ask(hub, { command: "faults", clear: true, set: { twin: 429 } }))["faults"]).toEqual({ twin: 429 });
    expect((await ask(hub, { command: "faults", clear: true }))["faults"]).toEqual({});
  });

  test("faults, for all and for one, and certificates that must not be trusted", async () => {
    const hub = await emulate(["--faults", '{"puback":"drop"}']);
    expect(await ask(hub, { command: "faults" })).toMatchObject({ faults: { puback: "drop" } });
    expect(await ask(hub, { command: "faults", clear: true, set: { connack: 3 } })).toMatchObject({
      faults: { connack: 3 },
    });
    expect(await ask(hub, { command: "faults", set: { wings: 1 } })).toMatchObject({ type: "error" });
    await ask(hub, { command: "faults", clear: true });
    await ask(hub, { command: "faults", deviceId: "device-1", set: { connack: 5 } });
    await expect(deviceOf(hub)).rejects.toMatchObject({ code: "ERR_NOT_AUTHORIZED" });
    await ask(hub, { command: "faults", deviceId: "device-1", clear: true });
    for (const [kind, code] of [
      ["expired", "ERR_TLS_EXPIRED"],
      ["otherName", "ERR_TLS_HOST_NAME"],
      ["otherAuthority", "ERR_TLS_UNTRUSTED"],
    ]) {
      await ask(hub, { command: "certificate", kind });
      await expect(deviceOf(hub)).rejects.toMatchObject({ code });
    }
    await ask(hub, { command: "certificate", kind: "own" });
    await (await deviceOf(hub)).close();
  });

  test.each([
    ["{bad", /JSON/],
    ["[1]", /the commands are/],
    ['{"deviceId":"a"}', /has the field command/],
    ['{"command":"fly"}', /no such command/],
    ['{"command":"toString"}', /no such command/],
    ['{"command":"c2d"}', /c2d needs deviceId/],
    ['{"command":"c2d","deviceId":7}', /deviceId of c2d must be of the kind: text/],
    ['{"command":"c2d","deviceId":"nobody"}', /no nobody/],
    ['{"command":"c2d","deviceId":"device-1","bdy":"x"}', /does not take; it takes/],
    ['{"command":"c2d","deviceId":"device-1","body":"x","base64":"eA=="}', /not both/],
    ['{"command":"c2d","deviceId":"device-1","base64":"%"}', /not base64/],
    ['{"command":"method","deviceId":"device-1","name":"x"}', /not connected/],
    ['{"command":"faults","moduleId":"m"}', /needs its deviceId|need its deviceId/],
    ['{"command":"certificate","certificate":"x","key":"y"}', /not a certificate/],
    ['{"command":"certificate","key":"y"}', /certificate needs its key/],
    ['{"command":"certificate","kind":"constructor"}', /kind is own, expired/],
    ['{"command":"c2d","deviceId":"device-1","base64":"a"}', /base64 is not base64/],
    ["dance pump", /the commands are/],
    ["desired device-1 {", /JSON/],
    ["x".repeat(2 * 1024 * 1024), /longer than/],
  ])("a wrong one is answered and ends nothing: %.60s", async (line, message) => {
    const hub = await emulate();
    hub.type(line);
    const { message: said } = await hub.record({ type: "error" });
    expect(said).toMatch(message);
    expect(await ask(hub, { command: "connected", deviceId: "device-1" })).toMatchObject({ connected: false });
  });

  test("a secret in the wrong field is not repeated", async () => {
    const hub = await emulate();
    const { connectionString } = await hub.record({ type: "device" });
    const told = hub.stdout.text.length;
    expect((await ask(hub, { command: "twin", deviceId: connectionString }))["type"]).toBe("error");
    expect((await ask(hub, { command: connectionString }))["type"]).toBe("error");
    expect(hub.stdout.text.slice(told)).not.toContain("SharedAccessKey=");
  });

  test("words for people", async () => {
    const hub = await emulate();
    hub.type("c2d device-1 two  spaces");
    expect(await hub.record({ type: "answer", command: "c2d" })).toHaveProperty("messageId");
    hub.type('desired device-1 {"a":1}');
    await hub.record({ type: "answer", command: "desired" });
    hub.type("twin device-1");
    expect((await hub.record({ type: "answer", command: "twin" }))["twin"].desired).toEqual({ a: 1 });
    expect(await end(hub)).toBe(0);
  });
});

describe("--state", () => {
  const state = () => ["--state", file("state.json")];

  test("the same authority, keys, ids, twins and enrolments at each start", async () => {
    const first = await emulate([
      ...state(),
      "--device",
      "a",
      "--x509-device",
      "c",
      "--certs",
      folder,
      "--enrollment",
      "e",
    ]);
    await ask(first, { command: "desired", deviceId: "a", patch: { x: 1 } });
    await ask(first, { command: "createDevice", deviceId: "later" });
    const told = (command: Running) =>
      Object.fromEntries(
        command.records.filter(({ type }) => type === "device").map((each) => [each["deviceId"], each]),
      );
    const [before, authority] = [told(first), readFileSync(file("ca.pem"), "utf8")];
    expect(await end(first)).toBe(0);
    expect(statSync(file("state.json")).mode & 0o777).toBe(0o600);

    const second = await emulate([
      ...state(),
      "--device",
      "a",
      "--x509-device",
      "c",
      "--certs",
      folder,
      "--enrollment",
      "e",
    ]);
    expect(told(second)).toMatchObject(before);
    expect(Object.keys(told(second)).sort()).toEqual(["a", "c", "later"]);
    expect(readFileSync(file("ca.pem"), "utf8")).toBe(authority);
    expect((await ask(second, { command: "twin", deviceId: "a" }))["twin"].desired).toEqual({ x: 1 });
    await (await deviceOf(second, "later")).close();
    expect(readdirSync(folder).filter((name) => name.endsWith(".new"))).toEqual([]);
  });

  test("a setup file makes a state once", async () => {
    writeFileSync(file("setup"), '{"command":"createDevice","deviceId":"once"}\n');
    for (let start = 0; start < 2; start++) {
      const hub = await emulate([...state(), "--setup", file("setup")]);
      await hub.record({ type: "device", deviceId: "once" });
      expect(await end(hub)).toBe(0);
    }
  });

  test.each([
    ["", "no JSON"],
    ["{", "no JSON"],
    ["{}", "version"],
    [
      '{"version":1,"hostName":"h","idScope":"i","authority":{"certificate":"x","privateKey":"SECRET"},"policies":{},"identities":[],"enrollments":[]}',
      "cannot be used",
    ],
  ])("a file that is none exits 1, is left as it is and is not quoted: %s", async (text, message) => {
    writeFileSync(file("state.json"), text);
    const { status, stdout, stderr } = await runHere([...usual(), ...state()]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("--state: the file cannot be used");
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("SECRET");
    expect(readFileSync(file("state.json"), "utf8")).toBe(text);
  });

  test("one process at a time has it: the second exits 1, names the first and changes nothing", async () => {
    const hub = await emulate(state());
    const before = readFileSync(file("state.json"), "utf8");
    // Here both are in one process, which makes no difference: nobody gets in while somebody is.
    const { status, stdout, stderr } = await runHere([...usual(), ...state(), "--device", "second"]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(`--state: the file is in use by process ${process.pid}`);
    expect(stderr).not.toContain(folder);
    expect(readFileSync(file("state.json"), "utf8")).toBe(before);
    expect(await end(hub)).toBe(0);
    expect(existsSync(file("state.json.lock"))).toBe(false);
    expect(await end(await emulate(state()))).toBe(0);
  });

  test("a folder that is not there is told by the option, before anything starts", async () => {
    const { status, stderr } = await runHere([...usual(), "--state", join(folder, "none", "state.json")]);
    expect(status).toBe(1);
    expect(stderr).toContain("--state: the file cannot be locked (ENOENT)");
    expect(stderr).not.toContain(folder);
  });

  test("a change by a device is saved without being asked", async () => {
    const hub = await emulate(state());
    const device = await deviceOf(hub);
    await device.updateReportedProperties({ firmware: "2" });
    await expect.poll(() => readFileSync(file("state.json"), "utf8"), { timeout: 20_000 }).toContain('"firmware": "2"');
    await device.close();
  });

  test("where it cannot be saved the command that changed something says so", async () => {
    const hub = await emulate(state());
    rmSync(folder, { recursive: true });
    try {
      expect(await ask(hub, { command: "createDevice", deviceId: "x" })).toMatchObject({
        type: "error",
        code: "ERR_STORE",
      });
    } finally {
      const { mkdirSync } = await import("node:fs");
      mkdirSync(folder);
    }
    expect(await end(hub)).toBe(0);
    expect(existsSync(file("state.json"))).toBe(true);
  });
});

test("--no-throttling and --limits reach the hub; an unknown limit is a bad argument", async () => {
  const { status, stderr } = await runHere([...usual(), "--limits", '{"wings":1}']);
  expect(status).toBe(2);
  expect(stderr).toContain("there is no limit wings");
  const hub = await emulate(["--no-throttling", "--limits", '{"cloudToDevicePending":1}']);
  await ask(hub, { command: "c2d", deviceId: "device-1", body: "one" });
  expect(await ask(hub, { command: "c2d", deviceId: "device-1", body: "two" })).toMatchObject({
    code: "ERR_QUEUE_FULL",
  });
});
