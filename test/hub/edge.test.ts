/** IoT Edge: the environment of a module, and tokens signed by a workload API on a unix socket or over HTTP. */
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DeviceClient } from "../../src/hub/index.js";
import { edgeIdentity } from "../../src/hub/edge.js";
import { verifySasToken } from "../../src/wire/sas.js";
import { FakeClock } from "../support/clock.js";
import { failure, laboratory } from "./lab.js";

const lab = laboratory();
const directory = mkdtempSync(join(tmpdir(), "hubwire-edge-"));
const clock = new FakeClock();
let moduleKey: string;
let asked: string[] = [];
let answer: RequestListener;
const servers: Server[] = [];

/** The workload API as the Edge daemon offers it. */
const workload: RequestListener = (request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    asked.push(`${request.method} ${request.url}`);
    if (request.method === "GET") return response.end(JSON.stringify({ certificate: lab.hub.caCertificate }));
    const { data, algo, keyId } = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>;
    expect([algo, keyId]).toEqual(["HMACSHA256", "primary"]);
    const digest = createHmac("sha256", Buffer.from(moduleKey, "base64"))
      .update(Buffer.from(data as string, "base64"))
      .digest("base64");
    return response.end(JSON.stringify({ digest }));
  });
};

const listen = (where: string | number) =>
  new Promise<Server>((resolve) => {
    const server = createServer((request, response) => answer(request, response));
    servers.push(server);
    const ready = () => resolve(server);
    if (typeof where === "string") server.listen(where, ready);
    else server.listen(where, "127.0.0.1", ready);
  });

const environment = (uri: string): Record<string, string> => ({
  IOTEDGE_WORKLOADURI: uri,
  IOTEDGE_IOTHUBHOSTNAME: "localhost",
  IOTEDGE_GATEWAYHOSTNAME: "127.0.0.1",
  IOTEDGE_DEVICEID: "edge",
  IOTEDGE_MODULEID: "mod",
  IOTEDGE_MODULEGENERATIONID: "gen/1",
  IOTEDGE_APIVERSION: "2020-07-07",
});

beforeAll(() => {
  lab.hub.createDevice("edge");
  moduleKey = lab.hub.createModule("edge", "mod").primaryKey as string;
});
afterEach(() => {
  asked = [];
  answer = workload;
});
afterAll(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

describe("a module of IoT Edge", () => {
  test.each(["unix", "http"])("over %s", async (kind) => {
    answer = workload;
    const path = join(directory, "workload.sock");
    const server = await listen(kind === "unix" ? path : 0);
    const uri = kind === "unix" ? `unix://${path}` : `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const module = DeviceClient.fromEdgeEnvironment({ port: lab.hub.port, reconnect: false }, environment(uri));
    await module.connect();
    await module.sendToOutput("out", "x");
    await module.close();
    expect(asked).toEqual([
      "POST /modules/mod/genid/gen%2F1/sign?api-version=2020-07-07",
      "GET /trust-bundle?api-version=2020-07-07",
    ]);
  });

  test("the token is the module's and for an hour", async () => {
    answer = workload;
    const server = await listen(0);
    const identity = edgeIdentity(environment(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), clock);
    const token = (await identity.sas?.()) as string;
    const check = (now: number) =>
      verifySasToken(token, { keys: [moduleKey], scope: "localhost/devices/edge/modules/mod", now });
    expect(check(clock.wallTime() + 3_599_000)).toBeUndefined();
    expect(check(clock.wallTime() + 3_601_000)).toBe("expired");
  });

  test.each<[string, RequestListener, RegExp]>([
    ["a status", (_request, response) => response.writeHead(500).end("key=hunter2"), /status 500/],
    ["no JSON", (_request, response) => response.end("hunter2"), /not JSON/],
    ["no digest", (_request, response) => response.end('{"other":"hunter2"}'), /without a digest/],
    ["null", (_request, response) => response.end("null"), /without a digest/],
    ["too much", (_request, response) => response.end(Buffer.alloc(2 * 1024 * 1024, "x")), /too much/],
    ["a broken answer", (_request, response) => response.destroy(), /cannot be reached/],
  ])("a workload API that answers with %s", async (_what, listener, message) => {
    answer = listener;
    const server = await listen(0);
    const { sas } = edgeIdentity(environment(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), clock);
    const error = await failure(Promise.resolve(sas?.()));
    expect(error).toMatchObject({ code: "ERR_SIGNING", retryable: true, message: expect.stringMatching(message) });
    expect(inspect(error)).not.toContain("hunter2");
  });

  test("the certificates of the daemon, in the oldest version of the API where none is named", async () => {
    answer = workload;
    const server = await listen(0);
    const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const variables = { ...environment(uri), IOTEDGE_MODULEID: "mod 1", IOTEDGE_APIVERSION: "" };
    const { ca, sas } = edgeIdentity(variables, clock) as { ca: () => Promise<string>; sas: () => Promise<string> };
    expect(await ca()).toBe(lab.hub.caCertificate);
    await sas();
    expect(asked).toEqual([
      "GET /trust-bundle?api-version=2019-01-30",
      "POST /modules/mod%201/genid/gen%2F1/sign?api-version=2019-01-30",
    ]);
    answer = (_request, response) => response.end('{"certificate":""}');
    expect(await failure(ca())).toMatchObject({
      code: "ERR_SIGNING",
      message: expect.stringContaining("without a certificate"),
    });
  });

  test("nobody at the socket", async () => {
    const { sas } = edgeIdentity(environment(`unix://${join(directory, "none.sock")}`), clock);
    expect(await failure(Promise.resolve(sas?.()))).toMatchObject({
      code: "ERR_SIGNING",
      message: expect.stringContaining("ENOENT"),
    });
  });

  test.each(["IOTHUBHOSTNAME", "DEVICEID", "MODULEID", "GATEWAYHOSTNAME", "WORKLOADURI", "MODULEGENERATIONID"])(
    "a variable that is missing, or empty, is named: IOTEDGE_%s",
    (name) => {
      for (const value of [undefined, ""]) {
        const variables = { ...environment("unix:///x"), [`IOTEDGE_${name}`]: value };
        expect(() => DeviceClient.fromEdgeEnvironment({}, variables)).toThrow(
          expect.objectContaining({
            code: "ERR_INVALID_ARGUMENT",
            message: expect.stringContaining(`IOTEDGE_${name}`),
          }),
        );
      }
    },
  );

  test("the simulator's variables: a connection string and a CA file", async () => {
    const file = join(directory, "ca.pem");
    writeFileSync(file, lab.hub.caCertificate);
    const module = DeviceClient.fromEdgeEnvironment(
      { port: lab.hub.port, reconnect: false },
      {
        EdgeHubConnectionString: lab.hub.connectionString("edge", { moduleId: "mod" }),
        EdgeModuleCACertificateFile: file,
      },
    );
    await module.connect();
    await module.close();
  });

  test("the simulator's connection string alone: the CA is then one of the system's, or an option", () => {
    const EdgeHubConnectionString = lab.hub.connectionString("edge", { moduleId: "mod" });
    const identity = edgeIdentity({ EdgeHubConnectionString }, clock);
    expect(identity).toMatchObject({ deviceId: "edge", moduleId: "mod" });
    expect(identity).not.toHaveProperty("ca");
  });
});
