/** The doctor against hubs, servers and proxies that are well, or ill in one known way each. */
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer, type Server as HttpsServer } from "node:https";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { adviceOf, type Findings } from "../../src/cli/doctor-advice.js";
import { systemClock } from "../../src/clock.js";
import { type Authority, createAuthority, HubEmulator } from "../../src/emulator/index.js";
import { HubwireError, type ErrorCode } from "../../src/errors.js";
import { runHere, Running, type Surroundings } from "../support/command.js";

let hub: HubEmulator;
let authority: Authority;
let folder: string;
let ca: string;
let connectionString: string;
let closedPort: number;
const servers: (Server | HttpsServer)[] = [];

/** Listens on a free port of 127.0.0.1. */
async function listening(server: Server | HttpsServer): Promise<number> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** An HTTPS server that tells the time and nothing else, with a certificate of the hub's authority. */
function clockServer(options: Parameters<Authority["issue"]>[0] = {}): Promise<number> {
  const { chain, key } = authority.issue({ dnsNames: ["localhost"], ...options });
  return listening(createHttpsServer({ cert: chain, key }, (_request, response) => response.end()));
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "hubwire-doctor-"));
  authority = createAuthority();
  hub = await HubEmulator.start({ authority });
  ({ connectionString } = hub.createDevice("sensor-7"));
  ca = join(folder, "ca.pem");
  writeFileSync(ca, hub.caCertificate);
  const server = createServer();
  closedPort = await listening(server);
  server.close();
});

afterAll(async () => {
  for (const server of servers) server.close();
  await hub.close();
  rmSync(folder, { recursive: true });
});

interface Told {
  status: number;
  steps: Record<string, { outcome: string; ms?: number; text: string; code?: string }>;
  verdict: { works: boolean; advice: string[] };
}

/** Runs the doctor; the options given come after the usual ones and win. */
async function doctor(options: string[], surroundings: Surroundings = {}): Promise<Told> {
  const env = { IOTHUB_DEVICE_CONNECTION_STRING: connectionString, ...surroundings.env };
  const usual = ["--ca", ca, "--port", String(hub.port), "--websocket-port", String(hub.port)];
  const { status, stdout, stderr } = await runHere(["doctor", "--json", ...usual, ...options], {
    ...surroundings,
    env,
  });
  expect(stderr).toBe("");
  expect(stdout).not.toContain("SharedAccessKey=");
  const records = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, any>);
  const verdict = records.pop() as Told["verdict"];
  return { status, steps: Object.fromEntries(records.map((step) => [step["name"], step])) as Told["steps"], verdict };
}

const outcomes = ({ steps }: Told) =>
  Object.fromEntries(Object.entries(steps).map(([name, { outcome }]) => [name, outcome]));

describe("a way that works", () => {
  test("each step with its time, and a message that arrives", async () => {
    const arrived = once(hub, "telemetry");
    const told = await doctor([]);
    expect(told.status).toBe(0);
    expect(told.verdict).toEqual({ type: "verdict", works: true, advice: [] });
    const { "dns v6": _, "tcp v6": __, ...others } = outcomes(told);
    expect(others).toEqual({
      "connection string": "ok",
      "dns v4": "ok",
      "tcp v4": "ok",
      tls: "ok",
      connack: "ok",
      telemetry: "ok",
      clock: "ok",
    });
    for (const name of ["dns v4", "tcp v4", "tls", "connack", "telemetry"])
      expect(told.steps[name]?.ms).toBeGreaterThan(0);
    expect(told.steps["tls"]?.text).toMatch(
      /^TLSv1\.[23]; localhost, issued by hubwire development CA; 36[45] days left$/,
    );
    expect((await arrived)[0]).toMatchObject({ deviceId: "sensor-7" });
  });

  test("to an address in place of a name, which is of one family", async () => {
    const env = { IOTHUB_DEVICE_CONNECTION_STRING: connectionString.replace("localhost", "127.0.0.1") };
    const told = await doctor(["--no-telemetry"], { env });
    expect(told).toMatchObject({ status: 0, verdict: { works: true } });
    expect(told.steps["dns v6"]).toMatchObject({
      outcome: "skipped",
      text: expect.stringContaining("127.0.0.1 has no IPv6 address"),
    });
    expect(told.steps["tcp v6"]).toBeUndefined();
  });

  test("for people, and without telemetry", async () => {
    const running = new Running(["doctor", "--no-telemetry", "--websocket", "--ca", ca, "--port", String(hub.port)], {
      env: { IOTHUB_DEVICE_CONNECTION_STRING: connectionString },
      terminal: true,
    });
    expect(await running.status).toBe(0);
    expect(running.stdout.text).toMatch(/^connack \d+ +\x1b\[32mok +\x1b\[0m +\d+ ms  the hub accepted the device$/m);
    expect(running.stdout.text).not.toMatch(/telemetry/);
    expect(running.stdout.text).toContain("The device can talk to its hub.");
  });

  test("a device with a certificate", async () => {
    const camera = hub.createDevice("camera", { x509: true });
    const pem = join(folder, "camera.pem");
    writeFileSync(pem, `${camera.certificate}${camera.key}`);
    const told = await doctor(["--cert", pem], { env: { IOTHUB_DEVICE_CONNECTION_STRING: camera.connectionString } });
    expect(told.verdict.works).toBe(true);
    expect(told.steps["connection string"]?.text).toContain("by a certificate");
  });
});

describe("a way that does not", () => {
  test("a port that is closed: 443 does it", async () => {
    const told = await doctor(["--port", String(closedPort)]);
    expect(told.status).toBe(1);
    expect(told.steps["tcp v4"]?.code).toBe("ERR_CONNECTION_REFUSED");
    expect(told.steps[`telemetry ${hub.port}`]?.outcome).toBe("ok");
    expect(told.verdict.advice[0]).toMatch(/WebSocket on port \d+ does: use --websocket, or protocol: "wss"/);
  });

  test("both ports closed", async () => {
    const told = await doctor(["--port", String(closedPort), "--websocket-port", String(closedPort)]);
    expect(told.verdict.works).toBe(false);
    expect(told.verdict.advice).toHaveLength(1);
    expect(told.verdict.advice[0]).toContain("nothing listens");
  });

  test("a name that is none", async () => {
    const env = { IOTHUB_DEVICE_CONNECTION_STRING: connectionString.replace("localhost", "nowhere.invalid") };
    const told = await doctor([], { env });
    expect(told.status).toBe(1);
    expect(told.steps["dns v4"]).toMatchObject({ outcome: "warning", code: "ERR_DNS" });
    expect(told.steps["tls"]).toBeUndefined();
    expect(told.verdict.advice[0]).toContain("nowhere.invalid has no address");
  });

  test("a certificate that nobody here trusts names its issuer", async () => {
    const other = join(folder, "other.pem");
    writeFileSync(other, createAuthority().certificate);
    const told = await doctor(["--ca", other]);
    expect(told.steps["tls"]).toMatchObject({ outcome: "failed", code: "ERR_TLS_UNTRUSTED" });
    expect(told.steps["connack"]).toBeUndefined();
    expect(told.verdict.advice[0]).toContain('comes from "hubwire development CA"');
  });

  test.each([
    ["expired", { notBefore: Date.now() - 2e9, notAfter: Date.now() - 1e9 }, "ERR_TLS_EXPIRED", "set the clock"],
    ["for another name", { dnsNames: ["elsewhere.example"] }, "ERR_TLS_HOST_NAME", "something else answers"],
  ])("a certificate that is %s", async (_what, options, code, advice) => {
    const port = String(await clockServer(options));
    const told = await doctor(["--port", port, "--websocket-port", String(closedPort)]);
    expect(told.steps["tls"]).toMatchObject({ outcome: "failed", code });
    expect(told.verdict.advice[0]).toContain(advice);
  });

  test("a server that takes the connection and says nothing", async () => {
    const port = String(await listening(createServer()));
    const told = await doctor(["--timeout", "1", "--port", port, "--websocket-port", String(closedPort)]);
    expect(told.steps["tls"]).toMatchObject({ outcome: "failed", code: "ERR_CONNECT_TIMEOUT" });
    expect(told.verdict.advice[0]).toContain("TLS handshake does not come through");
  });

  test("a key of another device: no other way is tried", async () => {
    const { connectionString: other } = hub.createDevice("sensor-8");
    const told = await doctor([], { env: { IOTHUB_DEVICE_CONNECTION_STRING: other.replace("sensor-8", "sensor-7") } });
    expect(told.steps["connack"]).toMatchObject({ outcome: "failed", code: "ERR_NOT_AUTHORIZED" });
    expect(Object.keys(told.steps)).not.toContain(`tcp ${hub.port} v4`);
    expect(told.verdict.advice[0]).toContain("the identity is not");
  });

  test("a clock that is wrong is measured, and is the advice", async () => {
    const clock = { ...systemClock, wallTime: () => systemClock.wallTime() + 3_600_000 };
    const told = await doctor(["--websocket-port", String(await clockServer())], { clock });
    expect(told.steps["clock"]?.text).toMatch(/^3(599|600|601) s ahead of the server's: this machine's clock is/);
    expect(told.verdict.advice[0]).toContain("set this machine's clock");
  });

  test("a broken connection string is a bad argument", async () => {
    const { status, stdout } = await runHere(["doctor", "-"], { input: "HostName=x" });
    expect([status, stdout]).toEqual([2, ""]);
  });
});

describe("through a proxy", () => {
  /** An HTTP proxy that answers CONNECT with `status`, and opens the tunnel for 200. */
  async function proxy(status: number): Promise<string> {
    const server = createHttpServer();
    server.on("connect", (request, socket) => {
      socket.on("error", () => {});
      if (status !== 200) return socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
      const upstream = connect(Number((request.url ?? "").split(":").at(-1)), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 Yes\r\n\r\n");
        upstream.pipe(socket).pipe(upstream);
      });
      upstream.on("error", () => socket.destroy());
      return undefined;
    });
    return `http://127.0.0.1:${await listening(server)}`;
  }

  test("that lets it through", async () => {
    const told = await doctor(["--proxy", await proxy(200)]);
    expect(told.status).toBe(0);
    expect(told.steps["dns"]?.outcome).toBe("skipped");
    expect(told.steps["tcp"]?.text).toContain("through the proxy");
    expect(told.steps["telemetry"]?.outcome).toBe("ok");
  });

  test("that wants credentials", async () => {
    const told = await doctor(["--proxy", await proxy(407)]);
    expect(told.steps["tcp"]?.code).toBe("ERR_PROXY");
    expect(told.verdict.advice[0]).toContain("407");
  });

  test("that is not there", async () => {
    const told = await doctor(["--proxy", `http://127.0.0.1:${closedPort}`]);
    expect(told.verdict.advice[0]).toContain("the way to the proxy is not open");
  });
});

describe("advice", () => {
  const fault = (step: "tcp" | "tls" | "connack" | "telemetry", code: ErrorCode) => ({
    step,
    error: new HubwireError(code, "it failed"),
  });
  const base: Findings = { host: "h", proxy: false, env: {}, mostSkew: 300_000 };
  const direct = { port: 8883, websocket: false };
  const detour = { port: 443, websocket: true };

  test.each<[string, Partial<Findings>, RegExp]>([
    [
      "a proxy of the environment",
      { route: { ...direct, fault: fault("tcp", "ERR_CONNECT_TIMEOUT") }, env: { https_proxy: "x" } },
      /--proxy environment/,
    ],
    [
      "a port that is dropped",
      { route: { ...direct, fault: fault("tcp", "ERR_CONNECT_TIMEOUT") } },
      /does not let port 8883 out/,
    ],
    ["the detour works", { route: { ...direct, fault: fault("tls", "ERR_TLS") }, detour }, /use --websocket/],
    [
      "a clock behind",
      { route: { ...direct, fault: fault("connack", "ERR_NOT_AUTHORIZED") }, skew: -600_000 },
      /10 minutes behind/,
    ],
    [
      "an interceptor",
      { route: { ...direct, issuer: "Corp CA", fault: fault("tls", "ERR_TLS_UNTRUSTED") } },
      /"Corp CA"/,
    ],
    ["one family dead", { route: { ...direct, partial: new HubwireError("ERR_UNREACHABLE", "x") } }, /ipv4first/],
    ["all well but the clock", { route: direct, skew: 400_000 }, /set this machine's clock/],
    [
      "cut after TLS",
      { route: { ...direct, fault: fault("connack", "ERR_CONNECTION_LOST") } },
      /then the server ended it/,
    ],
  ])("%s", (_what, findings, advice) => {
    expect(adviceOf({ ...base, ...findings })[0]).toMatch(advice);
  });
});
