/** Who a device is: every way to prove it, the user name, what is refused before or by the hub. */
import { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { createSasToken, DeviceClient, type DeviceOptions } from "../../src/hub/index.js";
import { failure, laboratory, next, until } from "./lab.js";

const lab = laboratory({});
const hostName = "localhost";
const key = Buffer.alloc(32, 7).toString("base64");
const now = () => Math.floor(Date.now() / 1000);

describe("accepted by the hub", () => {
  test.each<[string, (deviceId: string) => DeviceOptions | string]>([
    ["a connection string", (deviceId) => lab.hub.createDevice(deviceId).connectionString],
    [
      "a device's key",
      (deviceId) => ({ hostName, deviceId, sharedAccessKey: lab.hub.createDevice(deviceId).primaryKey }),
    ],
    [
      "its other key",
      (deviceId) => ({ hostName, deviceId, sharedAccessKey: lab.hub.createDevice(deviceId).secondaryKey }),
    ],
    [
      "a policy's key",
      (deviceId) => (lab.hub.createDevice(deviceId), lab.hub.connectionString(deviceId, { keyName: "device" })),
    ],
    [
      "a token",
      (deviceId) => {
        const { primaryKey } = lab.hub.createDevice(deviceId);
        const token = createSasToken({ hostName, deviceId, key: primaryKey as string, expiry: now() + 60 });
        return `HostName=${hostName};DeviceId=${deviceId};SharedAccessSignature=${token}`;
      },
    ],
    [
      "a provider of tokens",
      (deviceId) => {
        const { primaryKey } = lab.hub.createDevice(deviceId);
        return {
          hostName,
          deviceId,
          sas: async () => createSasToken({ hostName, deviceId, key: primaryKey as string, expiry: now() + 60 }),
        };
      },
    ],
    [
      "a certificate",
      (deviceId) => {
        const { certificate, key } = lab.hub.createDevice(deviceId, { x509: true });
        return { hostName, deviceId, x509: { cert: certificate as string, key: key as string } };
      },
    ],
    [
      "a certificate that is read anew each time",
      (deviceId) => {
        const { certificate, key } = lab.hub.createDevice(deviceId, { x509: true });
        return { hostName, deviceId, x509: async () => ({ cert: certificate as string, key: key as string }) };
      },
    ],
    [
      "a module's key",
      (deviceId) => (lab.hub.createDevice(deviceId), lab.hub.createModule(deviceId, "m").connectionString),
    ],
    [
      "a gateway",
      (deviceId) => {
        const { connectionString } = lab.hub.createDevice(deviceId);
        return `${connectionString};GatewayHostName=127.0.0.1`;
      },
    ],
  ])("%s", async (what, identity) => {
    const client = lab.client(identity(`id-${what.replaceAll(/\W/g, "-")}`));
    await client.connect();
    expect(client.connected).toBe(true);
    await client.sendTelemetry("x");
  });

  test("a connection string with x509=true and the certificate beside it", async () => {
    const { certificate, key } = lab.hub.createDevice("beside", { x509: true });
    const tls = { ca: lab.hub.caCertificate, cert: certificate as string, key: key as string };
    const client = lab.client(`HostName=${hostName};DeviceId=beside;x509=true`, { tls });
    await client.connect();
  });

  test("options of both kinds in one object", async () => {
    const { primaryKey } = lab.hub.createDevice("one-object");
    const options = {
      hostName,
      deviceId: "one-object",
      sharedAccessKey: primaryKey,
      port: lab.hub.port,
      tls: { ca: lab.hub.caCertificate },
    };
    const direct = new DeviceClient(options as DeviceOptions);
    await direct.connect();
    await direct.close();
  });
});

test("host is dialled, and the certificate must be for the hub's own name all the same", async () => {
  const { connectionString } = lab.hub.createDevice("tunnelled");
  const client = lab.client(connectionString, { host: "127.0.0.1" });
  await client.connect();
  expect(client.connected).toBe(true);
  const elsewhere = lab.client(connectionString.replace("localhost", "hub.example"), {
    host: "127.0.0.1",
    reconnect: false,
  });
  expect(await failure(elsewhere.connect())).toMatchObject({ code: "ERR_TLS_HOST_NAME" });
});

test.each([
  ["no object", 5, /must be an object/],
  ["null", null, /must be an object/],
  ["a client id", { clientId: "x" }, /clientId follows from/],
  ["a password", { password: "x" }, /password follows from/],
  ["an unknown name", { keepalive: 5 }, /unknown option "keepalive"/],
])("options that cannot be: %s", (_what, options, message) => {
  const make = () => new DeviceClient({ hostName, deviceId: "d", sharedAccessKey: key }, options as object);
  expect(make).toThrow(
    expect.objectContaining({ code: "ERR_INVALID_ARGUMENT", message: expect.stringMatching(message) }),
  );
});

describe("the user name", () => {
  test.each<[string, Partial<DeviceOptions>, string]>([
    ["modern", {}, "localhost/names/?api-version=2021-04-12"],
    ["of 2016", { apiVersion: null }, "localhost/names"],
    ["another version", { apiVersion: "2020-09-30" }, "localhost/names/?api-version=2020-09-30"],
    [
      "model and product",
      { modelId: "dtmi:com:example:Thermostat;1", productInfo: "ACME tap/2 (ü)" },
      "localhost/names/?api-version=2021-04-12&model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1" +
        "&DeviceClientType=ACME%20tap%2F2%20(%C3%BC)",
    ],
  ])("%s", async (_what, options, username) => {
    const seen: string[] = [];
    // Only the CONNECT counts here.
    const createConnection = () =>
      new Duplex({
        read() {},
        write(chunk: Buffer, _encoding, done) {
          seen.push(chunk.toString("latin1"));
          done();
          this.destroy();
        },
      });
    const client = lab.client(
      { hostName, deviceId: "names", sharedAccessKey: key },
      { ...options, protocol: "mqtt", createConnection, reconnect: false },
    );
    await failure(client.connect());
    // Behind the user name comes the password's length, which is below 256.
    expect(Buffer.from(seen.join(""), "latin1").toString()).toContain(`${username}\u0000`);
  });
});

describe("refused by the hub", () => {
  const refused = { name: "HubwireError", code: "ERR_NOT_AUTHORIZED", retryable: false };
  test.each<[string, (deviceId: string) => string | DeviceOptions]>([
    ["a wrong key", (deviceId) => (lab.hub.createDevice(deviceId), { hostName, deviceId, sharedAccessKey: key })],
    ["an unknown device", (deviceId) => ({ hostName, deviceId, sharedAccessKey: key })],
    [
      "a token for another device",
      (deviceId) => {
        const { primaryKey } = lab.hub.createDevice(deviceId);
        const sharedAccessSignature = createSasToken({
          hostName,
          deviceId: "other",
          key: primaryKey as string,
          expiry: now() + 60,
        });
        return { hostName, deviceId, sharedAccessSignature };
      },
    ],
  ])("%s", async (what, identity) => {
    const error = await failure(lab.client(identity(`no-${what.replaceAll(/\W/g, "-")}`)).connect());
    expect(error).toMatchObject(refused);
    expect(error.message).toMatch(/exists .* enabled.*key.*token.*clock/);
  });

  test("an expired token is not even sent", async () => {
    const token = createSasToken({ hostName, deviceId: "d", key, expiry: now() - 5 });
    const error = await failure(lab.client({ hostName, deviceId: "d", sharedAccessSignature: token }).connect());
    expect(error).toMatchObject({ code: "ERR_SAS_EXPIRED", retryable: false });
    expect(error.message).toMatch(/expired \d+ s ago.*sas provider/);
  });

  test("a provider that fails: a typed error without what the provider said", async () => {
    const sas = () => Promise.reject(Object.assign(new Error("token=hunter2"), { code: "EVAULT" }));
    const error = await failure(lab.client({ hostName, deviceId: "d", sas }, { reconnect: false }).connect());
    expect(error).toMatchObject({ code: "ERR_SIGNING", retryable: true, message: "the sas provider failed (EVAULT)" });
    expect(error.cause).toBeUndefined();
  });

  test("a provider that returns garbage", async () => {
    const error = await failure(lab.client({ hostName, deviceId: "d", sas: () => "hunter2" }).connect());
    expect(error).toMatchObject({ code: "ERR_SAS_TOKEN", message: expect.not.stringContaining("hunter2") });
  });
});

describe("refused at once", () => {
  const good = { hostName, deviceId: "d", sharedAccessKey: key };
  test.each<[string, unknown, object, RegExp]>([
    ["no credentials", { hostName, deviceId: "d" }, {}, /exactly one of/],
    ["no credentials in the string", "HostName=h;DeviceId=d", {}, /exactly one of/],
    ["x509=true without a certificate", "HostName=h;DeviceId=d;x509=true", {}, /x509 \(\{ cert, key \}\)/],
    ["two of them", { ...good, sas: () => "" }, {}, /exactly one of/],
    ["no host", { deviceId: "d", sharedAccessKey: key }, {}, /hostName and a deviceId/],
    ["nothing", undefined, {}, /not a string but undefined: .*variable/],
    ["null", null, {}, /identity must be an object/],
    ["quotes", `"HostName=h;DeviceId=d;SharedAccessKey=${key}"`, {}, /in quotes/],
    [
      "a certificate that is a file's name",
      { hostName, deviceId: "d", x509: { cert: "device.pem", key: "x" } },
      {},
      /x509.cert is not .* PEM/,
    ],
    [
      "a certificate without key",
      { hostName, deviceId: "d", x509: { cert: "-----BEGIN CERTIFICATE-----" } },
      {},
      /x509.key must be/,
    ],
    [
      "a certificate and a key that is none",
      { hostName, deviceId: "d", x509: { cert: "-----BEGIN CERTIFICATE-----", key: "hunter2!" } },
      {},
      /x509.key is not a private key/,
    ],
    ["x509 that is text", { hostName, deviceId: "d", x509: "device.pem" }, {}, /x509 of the identity must be/],
    ["a misspelt part of x509", { hostName, deviceId: "d", x509: { crt: "" } }, {}, /unknown option "crt" of x509/],
    ["a store beside reprovision", good, { store: {}, reprovision: () => "" }, /store must be a function/],
    [
      "a policy's name without its key",
      { hostName, deviceId: "d", sharedAccessKeyName: "p", sas: () => "" },
      {},
      /needs a sharedAccessKey/,
    ],
    ["no number of method calls", good, { maxMethodCalls: 0 }, /maxMethodCalls/],
    ["a key that is not base64", { ...good, sharedAccessKey: "hunter2!" }, {}, /sharedAccessKey is not base64/],
    ["a host with a port", { ...good, hostName: "h:1" }, {}, /without scheme, port/],
    ["keep alive above what the hub grants", good, { keepAlive: 1178 }, /1177 s/],
    ["a lifetime below 5 s", { ...good, tokenLifetime: 4999 }, {}, /tokenLifetime/],
    ["a lifetime above 10 years", { ...good, tokenLifetime: 4e11 }, {}, /tokenLifetime/],
    ["cleartext", good, { protocol: "mqtt" }, /without TLS/],
    ["cleartext over WebSocket", good, { protocol: "ws" }, /without TLS/],
    ["a misspelt option", good, { keepalive: 5 }, /unknown option "keepalive"/],
    ["a will of QoS 2", good, { will: { payload: "x", qos: 2 } }, /QoS 2/],
  ])("%s", (_what, identity, options, message) => {
    const make = () => new DeviceClient(identity as DeviceOptions, options);
    expect(make).toThrow(
      expect.objectContaining({ name: "HubwireError", kind: "caller", message: expect.stringMatching(message) }),
    );
    expect(make).not.toThrow(/hunter2/);
  });

  test("the longest keep alive is taken", () => {
    expect(new DeviceClient(good, { keepAlive: 1177 }).connected).toBe(false);
  });
});

describe("a device whose identity the hub refuses", () => {
  test("at connect(): reprovision finds the new one", async () => {
    const asked: string[] = [];
    const client = lab.client(
      { hostName, deviceId: "stale", sharedAccessKey: key },
      {
        reprovision: async (error) => {
          asked.push(error.code);
          return lab.hub.createDevice("fresh").connectionString;
        },
      },
    );
    const ready = client.onMethod("who", () => ({ status: 200, payload: client.deviceId }));
    await client.connect();
    await ready;
    expect(asked).toEqual(["ERR_NOT_AUTHORIZED"]);
    expect(await lab.hub.invokeMethod("fresh", "who", null)).toMatchObject({ status: 200, payload: "fresh" });
    expect(client.errors).toEqual([]);
  });

  test("while running: handlers live on under the new one", async () => {
    const { connectionString } = lab.hub.createDevice("moving");
    const client = lab.client(connectionString, {
      reprovision: () => lab.hub.createDevice("moved").connectionString,
    });
    await client.connect();
    await client.onMethod("who", () => ({ status: 200, payload: client.deviceId }));
    let messages = 0;
    await client.messages(() => void messages++);
    const connected = next(client, "connect");
    lab.hub.removeDevice("moving");
    await connected;
    expect(await lab.hub.invokeMethod("moved", "who", null, { connectTimeout: 5_000 })).toMatchObject({
      payload: "moved",
    });
    const { completion } = await lab.hub.sendToDevice("moved", "x");
    expect(await completion).toBe("Success");
    expect(messages).toBe(1);
    expect(client.errors).toEqual([]);
    await client.sendTelemetry("x");
  });

  test("a reprovision that fails is what connect() rejects with", async () => {
    const client = lab.client(
      { hostName, deviceId: "nowhere", sharedAccessKey: key },
      { reprovision: () => Promise.reject(new Error("no service")) },
    );
    expect(await failure(client.connect())).toMatchObject({ code: "ERR_HANDLER", cause: { message: "no service" } });
  });

  test("a reprovision that never settles is given up after handlerTimeout, and asked again", async () => {
    let asked = 0;
    const { connectionString } = lab.hub.createDevice("abandoned");
    const client = lab.client(connectionString, {
      handlerTimeout: 50,
      reprovision: () => (++asked === 1 ? new Promise(() => {}) : lab.hub.createDevice("found").connectionString),
    });
    await client.connect();
    const error = next(client, "error");
    const connected = new Promise<void>((resolve) => client.once("connect", () => resolve()));
    lab.hub.removeDevice("abandoned");
    expect(await error).toMatchObject({ code: "ERR_HANDLER", message: expect.stringContaining("reprovision") });
    await connected;
    expect(asked).toBe(2);
    expect(client.deviceId).toBe("found");
  });

  test("what is asked for while a reprovision takes its time waits for it, as for a connection", async () => {
    let provide!: (identity: string) => void;
    let heard!: () => void;
    const identity = new Promise<string>((resolve) => (provide = resolve));
    const asked = new Promise<void>((resolve) => (heard = resolve));
    const { connectionString } = lab.hub.createDevice("left");
    const client = lab.client(connectionString, { reprovision: () => (heard(), identity) });
    await client.connect();
    lab.hub.removeDevice("left");
    await asked;
    const twin = client.getTwin();
    const aborted = new AbortController();
    const other = failure(client.getTwin({ signal: aborted.signal }));
    aborted.abort();
    expect(await other).toMatchObject({ code: "ERR_ABORTED" });
    provide(lab.hub.createDevice("come").connectionString);
    expect(await twin).toMatchObject({ desired: {} });
    expect(client.errors).toEqual([]);
  });

  test("without it, a refusal while running is told, and does not end the client", async () => {
    const { connectionString, primaryKey } = lab.hub.createDevice("removed");
    const client = lab.client(connectionString);
    const changes: unknown[] = [];
    await client.onDesiredProperties((patch) => void changes.push(patch));
    await client.connect();
    const error = next(client, "error");
    lab.hub.removeDevice("removed");
    expect(await error).toMatchObject({ code: "ERR_NOT_AUTHORIZED" });
    const sending = client.sendTelemetry("meanwhile");
    const connected = next(client, "connect");
    lab.hub.createDevice("removed", { primaryKey: primaryKey as string });
    lab.hub.updateDesiredProperties("removed", { a: 1 });
    await connected;
    await sending;
    await until(() => changes.length > 0, "what changed meanwhile");
    expect(changes).toEqual([{ a: 1 }]);
  });
});
