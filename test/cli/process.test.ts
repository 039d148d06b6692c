/** The command line as a stranger uses it: the built command in a process of its own, against a hub over TLS. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSasToken, parseConnectionString } from "../../src/hub/index.js";
import { HubEmulator } from "../../src/emulator/index.js";
import { run, start } from "../support/cli.js";

let hub: HubEmulator;
let folder: string;
let ca: string;
let connectionString: string;
let secret: string;
const received: { body: string; properties: Record<string, string | null>; messageId?: string | undefined }[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "hubwire-cli-"));
  hub = await HubEmulator.start();
  ({ connectionString } = hub.createDevice("sensor-7"));
  secret = parseConnectionString(connectionString).sharedAccessKey as string;
  ca = join(folder, "ca.pem");
  writeFileSync(ca, hub.caCertificate);
  hub.on("telemetry", ({ payload, properties, systemProperties }) => {
    received.push({
      body: Buffer.from(payload).toString(),
      properties: Object.fromEntries(properties),
      messageId: (systemProperties as { messageId?: string }).messageId,
    });
  });
});

afterAll(async () => {
  await hub.close();
  rmSync(folder, { recursive: true });
});

/** A process takes a while to start on a busy machine. */
const waiting = { timeout: 20_000 };

const local = () => ["--port", String(hub.port), "--ca", ca];

test("--version exits 0; no command exits 2", async () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as {
    version: string;
  };
  expect(await run(["--version"])).toEqual({ status: 0, stdout: `${version}\n`, stderr: "" });
  expect((await run([])).status).toBe(2);
});

describe("send", () => {
  test("sends an argument with properties and waits for the acknowledgement", async () => {
    const args = [
      "send",
      ...local(),
      "--property",
      "alarm=yes",
      "--property",
      "flag",
      "--message-id",
      "m-1",
      connectionString,
      "hello",
    ];
    const { status, stderr } = await run(args);
    expect(stderr).toMatch(/^hubwire: warning: .*\nsent 1 message of 5 bytes, acknowledged\n$/);
    expect(status).toBe(0);
    expect(received).toContainEqual({ body: "hello", properties: { alarm: "yes", flag: null }, messageId: "m-1" });
  });

  test("takes the connection string from the environment and the body from standard input", async () => {
    const environment = { IOTHUB_DEVICE_CONNECTION_STRING: connectionString };
    expect((await run(["send", ...local()], environment, "from a pipe")).status).toBe(0);
    expect(received.at(-1)?.body).toBe("from a pipe");
    expect((await run(["send", ...local(), "--qos", "0", "an argument"], environment)).status).toBe(0);
    expect(received.at(-1)?.body).toBe("an argument");
  });

  test("--count sends so many", async () => {
    const before = received.length;
    expect((await run(["send", ...local(), "--count", "1200", connectionString, "x"])).status).toBe(0);
    expect(received.length - before).toBe(1200);
  });
});

describe("failures exit 1 with a code and say what to do", () => {
  const failing = async (args: string[]) => {
    const outcome = await run(args);
    expect(outcome.status, outcome.stderr).toBe(1);
    expect(outcome.stderr + outcome.stdout).not.toContain(secret);
    return outcome.stderr;
  };

  test("a wrong key", async () => {
    const wrong = connectionString.replace(secret, Buffer.from("another key altogether, surely").toString("base64"));
    expect(await failing(["send", ...local(), wrong, "x"])).toMatch(/ERR_(NOT_AUTHORIZED|BAD_CREDENTIALS)/);
  });

  test("an expired token, and a token for another device", async () => {
    const { hostName } = parseConnectionString(connectionString);
    const at = (deviceId: string, expiry: number) =>
      `HostName=${hostName};DeviceId=sensor-7;SharedAccessSignature=` +
      createSasToken({ hostName, deviceId, key: secret, expiry });
    const now = Math.floor(Date.now() / 1000);
    expect(await failing(["send", ...local(), at("sensor-7", now - 60), "x"])).toMatch(
      /ERR_SAS_EXPIRED|ERR_NOT_AUTHORIZED/,
    );
    const other = await run(["send", ...local(), at("sensor-8", now + 600), "x"]);
    expect(other.status).toBeGreaterThan(0);
    expect(other.stderr).toMatch(/\(ERR_\w+\)/);
    expect(other.stderr).not.toContain("sig=");
  });

  test("a certificate authority that is not trusted", async () => {
    expect(await failing(["send", "--port", String(hub.port), connectionString, "x"])).toMatch(/--ca|tls\.ca/);
  });

  test("a host name that the certificate does not have", async () => {
    const elsewhere = connectionString.replace("HostName=localhost", "HostName=127.0.0.2");
    expect(await failing(["send", ...local(), elsewhere, "x"])).toMatch(/ERR_(TLS_HOST_NAME|CONNECTION_REFUSED)/);
  });

  test("a closed port", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    expect(await failing(["send", "--port", String(port), "--ca", ca, connectionString, "x"])).toContain(
      "ERR_CONNECTION_REFUSED",
    );
  });
});

describe("listen", () => {
  test("prints cloud-to-device messages, completes them and ends after --count", async () => {
    const command = start(["listen", ...local(), "--count", "2", connectionString]);
    await command.printed(/listening/);
    await hub.sendToDevice("sensor-7", "one", { properties: { a: "1" }, messageId: "c-1" });
    await hub.sendToDevice("sensor-7", Buffer.from([0xff, 0x00]));
    const { status, stdout } = await command.outcome;
    expect(status).toBe(0);
    const [first, second] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(first).toMatchObject({ type: "message", body: "one", properties: { a: "1" }, messageId: "c-1" });
    expect(second).toMatchObject({ type: "message", base64: "/wA=" });
  });

  test("answers methods and prints twin changes; a signal ends it with 0", async () => {
    const command = start(["listen", ...local(), "--methods", "--twin", connectionString]);
    await command.printed(/listening/);
    expect(await hub.invokeMethod("sensor-7", "echo", { a: [1] })).toEqual({ status: 200, payload: { a: [1] } });
    hub.updateDesiredProperties("sensor-7", { level: 3 });
    await command.printed(/"type":"desired".*"level":3/);
    command.process.kill("SIGINT");
    const { status, stdout } = await command.outcome;
    expect(status).toBe(0);
    expect(stdout).toMatch(/"type":"twin"/);
    expect(stdout).toMatch(/"type":"method","name":"echo","payload":\{"a":\[1\]\}/);
  });
});

describe("sas", () => {
  test("prints the token that the library makes", async () => {
    const { hostName, deviceId } = parseConnectionString(connectionString);
    const expected = createSasToken({ hostName, deviceId, key: secret, expiry: 1_900_000_000 });
    const environment = { IOTHUB_DEVICE_CONNECTION_STRING: connectionString };
    expect(await run(["sas", "--expiry", "1900000000"], environment)).toEqual({
      status: 0,
      stdout: `${expected}\n`,
      stderr: "",
    });
  });
});

describe("emulate", () => {
  test("gives out connection strings that `send` can use, and is driven from standard input", async () => {
    const file = join(folder, "emulated.pem");
    const command = start(["emulate", "--port", "0", "--device", "pump", "--ca-out", file]);
    const [, port = ""] = await command.printed(/listening on port (\d+)/);
    const [, given = ""] = await command.printed(/"connectionString":"([^"]+)"/);
    expect((await run(["send", "--port", port, "--ca", file, given, "drip"])).status).toBe(0);
    await command.printed(/"type":"telemetry".*"body":"drip"/);

    const listener = start(["listen", "--port", port, "--ca", file, "--count", "1", given]);
    await listener.printed(/listening/);
    command.process.stdin?.write("c2d pump open the  valve\n");
    expect((await listener.outcome).stdout).toContain("open the  valve");
    command.process.stdin?.write("dance pump\nmethod nobody x\nquit\n");
    const { status, stderr } = await command.outcome;
    expect(stderr).toContain("the commands are");
    expect(status).toBe(0);
  });
});

test("emulate --host-name names the hub in its certificate and connection strings", async () => {
  const file = join(folder, "named.pem");
  const command = start([
    "emulate",
    "--port",
    "0",
    "--host",
    "127.0.0.1",
    "--host-name",
    "hub.localhost",
    "--ca-out",
    file,
  ]);
  const [, given = ""] = await command.printed(/"connectionString":"([^"]+)"/);
  expect(parseConnectionString(given).hostName).toBe("hub.localhost");
  command.process.stdin?.write("quit\n");
  expect((await command.outcome).status).toBe(0);
});

describe("demo", () => {
  test("shows every step and exits 0", async () => {
    const { status, stdout, stderr } = await run(["demo"]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    for (const text of [
      "CONNECT",
      "CONNACK",
      "PUBLISH",
      "PUBACK",
      "SUBACK",
      "DISCONNECT",
      "Küche 1",
      "set point 19",
      "Done:",
    ]) {
      expect(stdout).toContain(text);
    }
  });
});

/** With the secret where nobody else sees it. */
const environment = () => ({ IOTHUB_DEVICE_CONNECTION_STRING: connectionString });

describe("signals and pipes", () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "send --lines: %s ends it with what was read acknowledged",
    async (signal) => {
      const before = received.length;
      const command = start(["send", ...local(), "--lines"], environment());
      command.process.stdin?.write("one\ntwo\n");
      await expect.poll(() => received.length, waiting).toBe(before + 2);
      command.process.kill(signal);
      expect(await command.outcome).toEqual({
        status: 0,
        stdout: "",
        stderr: "sent 2 messages of 3 bytes, acknowledged\n",
      });
    },
  );

  test("a second signal ends it at once", async () => {
    hub.faults.puback = "hold";
    try {
      const before = received.length;
      const command = start(["send", ...local(), "never acknowledged"], environment());
      await expect.poll(() => received.length, waiting).toBe(before + 1);
      command.process.kill("SIGINT");
      command.process.kill("SIGTERM");
      expect((await command.outcome).status).toBe(130);
    } finally {
      hub.faults.puback = "send";
    }
  });

  test("a reader that goes away ends listen in silence, with the device's goodbye", async () => {
    const gone = new Promise((resolve) => hub.once("disconnected", resolve));
    const command = start(["listen", ...local()], environment());
    await command.printed(/listening/);
    command.process.stdout?.destroy();
    await hub.sendToDevice("sensor-7", "nobody reads this");
    expect(await command.outcome).toEqual({ status: 0, stdout: "", stderr: "listening; Ctrl-C ends\n" });
    expect(await gone).toMatchObject({ deviceId: "sensor-7", reason: "disconnect" });
    hub.purgeMessages("sensor-7");
  });

  test.each([["demo"], ["doctor"], ["emulate", "--port", "0"], ["help"]])(
    "a reader that goes away at once ends %s in silence",
    async (...args) => {
      const network =
        args[0] === "doctor" ? local() : args[0] === "emulate" ? ["--ca-out", join(folder, "gone.pem")] : [];
      const command = start([...args, ...network], environment());
      command.process.stdout?.destroy();
      const { status, stderr } = await command.outcome;
      expect(stderr).toMatch(/^(listening on port .*\n)?$/);
      expect(status).toBe(0);
    },
  );

  test("standard input that is held open by a writer does not keep a finished command", async () => {
    const command = start(["send", ...local(), "--lines", "--count", "1"], environment());
    command.process.stdin?.write("only\nnot any more\n");
    expect((await command.outcome).status).toBe(0);
  });
});

describe("emulate for scripts", () => {
  test("the ready file says all that a client needs, is for its owner alone, and goes with the hub", async () => {
    const ready = join(folder, "ready.json");
    const options = ["--port", "0", "--device", "pump", "--ca-out", join(folder, "ready.pem"), "--ready-file", ready];
    const command = start(["emulate", ...options]);
    await expect.poll(() => existsSync(ready), waiting).toBe(true);
    const { port, caFile, pid, devices } = JSON.parse(readFileSync(ready, "utf8")) as Record<string, any>;
    expect(statSync(ready).mode & 0o777).toBe(0o600);
    expect(pid).toBe(command.process.pid);
    const given = { IOTHUB_DEVICE_CONNECTION_STRING: devices[0].connectionString as string };
    expect((await run(["send", "--port", String(port), "--ca", caFile, "drip"], given)).status).toBe(0);
    command.process.kill("SIGTERM");
    expect((await command.outcome).status).toBe(0);
    expect(existsSync(ready)).toBe(false);
  });

  test("killed at any moment it leaves a state that it starts from again, with all that was answered", async () => {
    const options = ["--port", "0", "--ca-out", join(folder, "state.pem"), "--state", join(folder, "state.json")];
    const answered = new Set(["device-1"]);
    for (let round = 0; round < 4; round++) {
      const command = start(["emulate", ...options]);
      await command.printed(/listening on port/);
      const devices = `${command
        .stdout()
        .match(/"type":"device","deviceId":"[^"]+"/g)
        ?.join()}`;
      for (const id of answered) expect(devices).toContain(`"${id}"`);
      for (let index = 0; index < 300; index++) {
        command.process.stdin?.write(`{"command":"createDevice","deviceId":"d-${round}-${index}"}\n`);
      }
      await command.printed(new RegExp(`"command":"createDevice","deviceId":"d-${round}-${3 + 5 * round}"`));
      command.process.kill("SIGKILL");
      await command.outcome;
      for (const [, id = ""] of command.stdout().matchAll(/"command":"createDevice","deviceId":"([^"]+)"/g))
        answered.add(id);
    }
  });

  test("a busy port exits 1 and says what to do", async () => {
    const { status, stdout, stderr } = await run([
      "emulate",
      "--port",
      String(hub.port),
      "--ca-out",
      join(folder, "x.pem"),
    ]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/port \d+ is taken .* --port/);
  });
});
