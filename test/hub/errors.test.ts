/** Errors that help: what an unexplained close may mean; and that nothing anywhere repeats a secret. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { type Activity, explainError, likelyCauses } from "../../src/hub/explain.js";
import { HubwireError } from "../../src/errors.js";
import { createSasToken, DeviceClient, parseConnectionString, provisionDevice } from "../../src/hub/index.js";
import { failure, laboratory, next, until } from "./lab.js";

const lab = laboratory();

describe("the likely causes, by what was just done", () => {
  const calm: Activity = { accepted: true, upTime: 60_000, tokenLeft: 1e6, largest: 10, rate: 1, shortLived: 1 };
  test.each<[string, Partial<Activity>, RegExp]>([
    ["nothing special", {}, /^the network or the hub's own restart/],
    ["a token at its end", { tokenLeft: 0 }, /^the SAS token expired/],
    ["connections that end soon, again and again", { shortLived: 2 }, /^another client .*takeover/],
    ["many messages", { rate: 150 }, /^throttled: 150 messages/],
    ["a large message", { largest: 200_000 }, /^message too large: 200000 bytes/],
    ["a new connection", { upTime: 5 }, /^a topic not allowed, or QoS 2/],
    ["before CONNACK", { accepted: false, upTime: Number.NaN }, /^a wrong user name/],
  ])("%s", (_what, activity, first) => {
    const causes = likelyCauses({ ...calm, ...activity });
    expect(causes[0]).toMatch(first);
    const all = causes.join("; ");
    for (const known of [/too large/, /QoS 2/, /topic/, /expired/, /takeover/, /throttled/]) expect(all).toMatch(known);
  });

  test("an error keeps its code and its cause; one that says enough stays as it is", () => {
    const lost = new HubwireError("ERR_CONNECTION_LOST", "lost");
    expect(explainError(lost, calm, "device d")).toMatchObject({
      code: "ERR_CONNECTION_LOST",
      cause: lost,
      retryable: true,
    });
    const full = new HubwireError("ERR_QUEUE_FULL", "full");
    expect(explainError(full, calm, "device d")).toBe(full);
  });

  test("through a hub that closes", async () => {
    const device = await lab.device("close", { reconnect: false });
    lab.hub.faults.puback = "drop";
    const sending = failure(device.sendTelemetry("x".repeat(200_000)));
    const lost = next(device, "disconnect");
    await next(lab.hub, "telemetry");
    lab.hub.disconnectDevice("close");
    expect(await sending).toMatchObject({
      code: "ERR_CONNECTION_LOST",
      message: expect.stringMatching(/likely: message too large: 200000 bytes/),
    });
    expect(await lost).toBe(await sending);
  });

  test("two clients with one identity", async () => {
    const { connectionString } = lab.hub.createDevice("twice");
    const reconnect = { minDelay: 200, maxDelay: 300 };
    const [one, two] = [lab.client(connectionString, { reconnect }), lab.client(connectionString, { reconnect })];
    await one.connect();
    await two.connect();
    await until(() => one.errors.length + two.errors.length > 0, "one of them to notice");
    expect([...one.errors, ...two.errors][0]).toMatchObject({
      code: "ERR_TAKEOVER",
      message: expect.stringMatching(
        /closing connections of device twice .*likely: another client connected as this device/,
      ),
    });
  });
});

test("a listener that throws is reported, and one that is missing ends nothing", async () => {
  const device = await lab.device("listeners");
  device.on("disconnect", () => {
    throw new Error("listener");
  });
  lab.hub.disconnectDevice("listeners");
  await until(() => device.errors.length > 0, "the error event");
  expect(device.errors).toMatchObject([{ code: "ERR_HANDLER", cause: { message: "listener" } }]);
});

test("no secret in any error, event, inspection, warning or diagnostics message", async () => {
  const said: string[] = [];
  const note = (value: unknown) =>
    said.push(inspect(value, { depth: 20, showHidden: true, getters: true }), String(value));
  const channels = ["hubwire:packet", "hubwire:state", "hubwire:reconnect"];
  for (const channel of channels) subscribe(channel, note);
  process.on("warning", note);
  const key = Buffer.from("a planted key that must not leak").toString("base64");
  const wrong = Buffer.from("another planted key, for refusal").toString("base64");
  const token = createSasToken({
    hostName: "localhost",
    deviceId: "other",
    key,
    expiry: Math.floor(Date.now() / 1000) + 60,
  });
  const signature = /sig=([^&]*)/.exec(token)?.[1] as string;
  const passphrase = "planted-passphrase";
  const secrets = [key, wrong, signature, decodeURIComponent(signature), passphrase, "planted-in-provider"];

  const attempt = async (make: () => unknown) => {
    try {
      note(await make());
    } catch (error) {
      note(error);
    }
  };
  const options = { port: lab.hub.port, tls: { ca: lab.hub.caCertificate }, reconnect: false };
  const connect =
    (identity: unknown, more: object = {}) =>
    async () => {
      const device = new DeviceClient(identity as string, { ...options, ...more });
      for (const event of ["connect", "disconnect", "reconnecting", "error"] as const) device.on(event, note);
      note(device);
      try {
        await device.connect();
        lab.hub.disconnectDevice("planted");
        await device.sendTelemetry("x");
      } finally {
        note(device);
        await device.close();
      }
    };
  lab.hub.createDevice("planted", { primaryKey: key });
  await attempt(connect(`HostName=localhost;DeviceId=planted;SharedAccessKey=${key}`));
  await attempt(connect(`HostName=localhost;DeviceId=planted;SharedAccessKey=${wrong}`));
  await attempt(connect(`HostName=localhost;DeviceId=planted;SharedAccessSignature=${token}`));
  await attempt(connect(`HostName=localhost;DeviceId=planted;SharedAccessKey=${key};SharedAccessSignature=${token}`));
  await attempt(connect(`HostName=localhost;DeviceId=planted;SharedAccessKey=${key}#`));
  await attempt(connect(`HostName=localhost;DeviceId=planted;${key}`));
  await attempt(connect({ hostName: "localhost", deviceId: "planted", sharedAccessKey: `${key}!` }));
  await attempt(connect({ hostName: "localhost", deviceId: "planted", sharedAccessSignature: `${token}&x=${key}` }));
  await attempt(
    connect({
      hostName: "localhost",
      deviceId: "planted",
      sas: () => Promise.reject(new Error("planted-in-provider")),
    }),
  );
  await attempt(connect({ hostName: "localhost", deviceId: "planted", sas: () => `${token}=${key}` }));
  await attempt(connect({ hostName: "localhost", deviceId: "planted", x509: { cert: "no PEM", key, passphrase } }));
  await attempt(connect({ hostName: "localhost", deviceId: "planted", x509: () => Promise.reject(passphrase) }));
  await attempt(connect({ hostName: "localhost", deviceId: "planted", sharedAccessKey: key }, { tls: {} }));
  await attempt(() => parseConnectionString(`HostName=localhost;DeviceId=d;SharedAccessKey=${key}`));
  await attempt(() => createSasToken({ hostName: "h", deviceId: "d", key: `${key}?`, expiry: 1 }));
  const provisioning = {
    idScope: "0ne00000000",
    registrationId: "r",
    host: "localhost",
    port: lab.hub.port,
    tls: options.tls,
  };
  await attempt(() => provisionDevice({ ...provisioning, symmetricKey: wrong }));
  await attempt(() => provisionDevice({ ...provisioning, groupKey: `${key}?` }));
  // Where nobody listens for errors they are process warnings.
  const unheard = new DeviceClient(`HostName=localhost;DeviceId=planted;SharedAccessKey=${key}`, options);
  const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
  unheard.on("connect", () => {
    throw new Error("a listener that fails");
  });
  await unheard.connect();
  expect(await warned).toMatchObject({ code: "ERR_HANDLER" });
  await unheard.close();
  process.off("warning", note);
  for (const channel of channels) unsubscribe(channel, note);

  expect(said.length).toBeGreaterThan(100);
  const all = said.join("\n");
  expect(all).toContain("ERR_NOT_AUTHORIZED");
  for (const secret of secrets) expect(all.includes(secret), `"${secret}" was repeated`).toBe(false);
});
