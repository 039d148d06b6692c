/** Who may connect, as which identity, and for how long. */
import { once } from "node:events";
import { Duplex } from "node:stream";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createAuthority, createSelfSigned, HubEmulator } from "../../src/emulator/index.js";
import type { ConnectedEvent, DisconnectedEvent, RefusedEvent } from "../../src/emulator/index.js";
import { createSasToken, signSasToken } from "../../src/wire/sas.js";
import { FakeClock } from "../support/clock.js";
import { connectPacket, event, RawClient } from "./raw-client.js";

const clock = new FakeClock(Date.now());
let hub: HubEmulator;
let key: string;
beforeAll(async () => {
  hub = await HubEmulator.start({ clock });
  key = hub.createDevice("d1").primaryKey as string;
});
afterAll(() => hub.close());
const clients: RawClient[] = [];
afterEach(() => clients.splice(0).forEach((client) => client.destroy()));

const d1 = {
  deviceId: "d1",
  get primaryKey() {
    return key;
  },
};

/** What a CONNECT gets: the return code, or "closed" without one; and why. */
async function outcome(
  packet: ReturnType<typeof connectPacket>,
  tlsOptions = {},
): Promise<{ answer: number | string; reason: string | undefined }> {
  let reason: string | undefined;
  const note = (refused: RefusedEvent): void => void (reason = refused.reason);
  hub.on("refused", note);
  const client = await RawClient.open(hub, tlsOptions);
  clients.push(client);
  client.send(packet);
  const first = await client.next();
  hub.off("refused", note);
  if (first === "closed") return { answer: "closed", reason };
  if (first.type !== "connack") throw new Error(`CONNACK expected, not ${first.type}`);
  // MQTT-3.2.2-5, and MQTT-3.2.2-4 for the session.
  if (first.returnCode !== 0) expect([await client.next(), first.sessionPresent]).toEqual(["closed", false]);
  return { answer: first.returnCode, reason };
}

describe("a token", () => {
  const token = (changes: object = {}): string =>
    createSasToken({ hostName: "localhost", deviceId: "d1", key, expiry: 4e9, ...changes });

  it("of the device's primary or secondary key is accepted", async () => {
    const { primaryKey, secondaryKey } = hub.createDevice("two-keys");
    for (const each of [primaryKey, secondaryKey]) {
      expect(await outcome(connectPacket({ deviceId: "two-keys", primaryKey: each }))).toMatchObject({
        answer: 0,
      });
    }
  });

  it.each([
    ["signed with another key", () => token({ key: Buffer.alloc(32, 1).toString("base64") }), /signature is wrong/],
    ["expired", () => token({ expiry: Math.floor(clock.wallTime() / 1000) - 300 }), /expired/],
    ["for another device", () => token({ deviceId: "d2" }), /another resource/],
    ["for another hub", () => token({ hostName: "other.example" }), /another resource/],
    ["for a module", () => token({ moduleId: "m1" }), /another resource/],
    ["of an unknown policy", () => token({ keyName: "nobody" }), /signature is wrong/],
    ["that is none", () => "secret", /not a SAS token/],
    ["cut short", () => token().slice(0, 40), /not a SAS token/],
  ])("%s is refused with return code 5", async (_name, password, reason) => {
    const result = await outcome(connectPacket(d1, { password: password() }));
    expect(result).toEqual({ answer: 5, reason: expect.stringMatching(reason) as string });
    expect(result.reason).not.toContain("SharedAccessSignature");
  });

  const policyKey = (keyName: string): string =>
    /;SharedAccessKey=(.*)$/.exec(hub.connectionString("d1", { keyName }))?.[1] as string;

  it.each(["localhost", "localhost/devices", "localhost/devices/d1"])(
    "of a policy with DeviceConnect and the scope %s speaks for the device",
    async (scope) => {
      for (const keyName of ["device", "iothubowner"]) {
        const password = signSasToken(scope, policyKey(keyName), 4e9, keyName);
        expect(await outcome(connectPacket(d1, { password }))).toMatchObject({ answer: 0 });
      }
    },
  );

  it("of a policy without DeviceConnect, or for a part of the device's name, is refused", async () => {
    for (const [scope, keyName, reason] of [
      ["localhost/devices/d1", "service", /policy without DeviceConnect/],
      ["localhost/devices/d", "device", /another resource/],
    ] as const) {
      const password = signSasToken(scope, policyKey(keyName), 4e9, keyName);
      expect(await outcome(connectPacket(d1, { password }))).toEqual({
        answer: 5,
        reason: expect.stringMatching(reason) as string,
      });
    }
  });

  it("is asked for in a policy's connection string", () => {
    expect(hub.connectionString("d1", { keyName: "device" })).toBe(
      `HostName=localhost;DeviceId=d1;SharedAccessKeyName=device;SharedAccessKey=${policyKey("device")}`,
    );
  });

  it("that ends while the device is connected ends the connection", async () => {
    const expiry = Math.floor(clock.wallTime() / 1000) + 50;
    const client = await RawClient.connected(hub, d1, { expiry, keepAlive: 0 });
    const gone = event(hub, "disconnected") as Promise<DisconnectedEvent>;
    // Five minutes later: clocks may differ by so much.
    clock.advance(expiry * 1000 + 300_000 - clock.wallTime() - 1);
    expect(await client.nothingElse()).toBe(true);
    clock.advance(2);
    expect(await client.next()).toBe("closed");
    expect(await gone).toEqual({ deviceId: "d1", reason: "token-expired" });
  });
});

describe("a user name", () => {
  it.each([
    ["missing", { username: undefined, password: undefined }],
    ["without a slash", { username: "localhost" }],
    ["of another device", { username: "localhost/d2/?api-version=2021-04-12" }],
    ["that goes on after the device", { username: "localhost/d1x/?api-version=2021-04-12" }],
    ["without api-version", { username: "localhost/d1/?DeviceClientType=x" }],
    ["with an api-version that is no date", { username: "localhost/d1/?api-version=latest" }],
  ])("%s is refused with return code 4", async (_name, changes) => {
    expect(await outcome(connectPacket(d1, changes))).toMatchObject({ answer: 4 });
  });

  it("of another hub is refused with return code 5", async () => {
    const username = "other.azure-devices.net/d1/?api-version=2021-04-12";
    expect(await outcome(connectPacket(d1, { username }))).toMatchObject({ answer: 5 });
  });

  it.each([
    "localhost/d1",
    "localhost/d1/",
    "LOCALHOST/d1/?api-version=2021-04-12",
    "localhost/d1/api-version=2016-11-14",
  ])("%s is accepted", async (username) => {
    expect(await outcome(connectPacket(d1, { username }))).toMatchObject({ answer: 0 });
  });

  it("tells the model and the product, percent-decoded", async () => {
    const connected = event(hub, "connected") as Promise<ConnectedEvent>;
    const username =
      "localhost/d1/?api-version=2021-04-12&model-id=dtmi%3Aa%3Bb%3B1&DeviceClientType=hubwire%2F1%20(x)";
    expect(await outcome(connectPacket(d1, { username, cleanSession: true, keepAlive: 7 }))).toMatchObject({
      answer: 0,
    });
    expect(await connected).toEqual({
      deviceId: "d1",
      clientId: "d1",
      username,
      cleanSession: true,
      sessionPresent: false,
      keepAlive: 7,
      apiVersion: "2021-04-12",
      modelId: "dtmi:a;b;1",
      productInfo: "hubwire/1 (x)",
    });
  });
});

describe("an identity", () => {
  it("that does not exist is refused", async () => {
    const result = await outcome(connectPacket({ deviceId: "nobody", primaryKey: key }));
    expect(result).toEqual({ answer: 5, reason: "there is no identity nobody" });
  });

  it("without a name is refused with return code 2", async () => {
    const packet = connectPacket(d1, { clientId: "", cleanSession: true });
    expect(await outcome(packet)).toMatchObject({ answer: 2 });
  });

  it("that is disabled is refused, and closed when it becomes so", async () => {
    const device = hub.createDevice("off", { enabled: false });
    expect(await outcome(connectPacket(device))).toEqual({ answer: 5, reason: "off is disabled" });
    hub.updateDevice("off", { enabled: true });
    const client = await RawClient.connected(hub, device);
    const gone = event(hub, "disconnected");
    hub.updateDevice("off", { enabled: false });
    expect(await client.next()).toBe("closed");
    expect(await gone).toEqual({ deviceId: "off", reason: "disabled" });
  });

  it("may be given other credentials, which count from the next connection on", async () => {
    const device = hub.createDevice("rolled");
    const client = await RawClient.connected(hub, device);
    const primaryKey = Buffer.alloc(32, 5).toString("base64");
    hub.updateDevice("rolled", { primaryKey });
    expect(await client.nothingElse()).toBe(true);
    expect(await outcome(connectPacket(device))).toMatchObject({ answer: 5 });
    expect(await outcome(connectPacket({ ...device, primaryKey }))).toMatchObject({ answer: 0 });
  });

  it("that is removed is closed, and its messages are given up", async () => {
    const client = await RawClient.connected(hub, hub.createDevice("passing"));
    const { completion } = await hub.sendToDevice("passing", "late");
    hub.removeDevice("passing");
    expect(await completion).toBe("Purged");
    expect(await client.next()).toBe("closed");
    await expect(hub.sendToDevice("passing", "x")).rejects.toMatchObject({ code: "ERR_DEVICE_NOT_FOUND" });
  });

  it("of a module has a key of its own", async () => {
    const module = hub.createModule("d1", "m1");
    expect(module.connectionString).toBe(
      `HostName=localhost;DeviceId=d1;ModuleId=m1;SharedAccessKey=${module.primaryKey}`,
    );
    expect(await outcome(connectPacket(module))).toMatchObject({ answer: 0 });
    const withDeviceKey = connectPacket({ deviceId: "d1", moduleId: "m1", primaryKey: key });
    expect(await outcome(withDeviceKey)).toMatchObject({ answer: 5 });
  });

  it.each(["", undefined as never, 5 as never, "a b", "a/b", "a+b", "ü", "x".repeat(129)])(
    "cannot be called %j",
    (deviceId) => {
      expect(() => hub.createDevice(deviceId)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
    },
  );

  it("cannot be made twice, nor with a key that is not base64, nor with two kinds of credentials", () => {
    for (const make of [
      () => hub.createDevice("d1"),
      () => hub.createDevice("bad-key", { primaryKey: "?" }),
      () => hub.createDevice("both", { primaryKey: "AAAA", thumbprint: "0".repeat(64) }),
      () => hub.createDevice("bad-print", { thumbprint: "12" }),
    ]) {
      expect(make).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
    }
    expect(() => hub.createModule("nobody", "m")).toThrow(expect.objectContaining({ code: "ERR_DEVICE_NOT_FOUND" }));
  });
});

describe("a client certificate", () => {
  const withoutToken = (deviceId: string) => connectPacket({ deviceId, primaryKey: undefined });
  const shown = ({ chain, key: secret }: { chain: string; key: string }) => ({ cert: chain, key: secret });

  it("made with the device is accepted, in TLS 1.2 and 1.3", async () => {
    const { certificate, key: secret, connectionString } = hub.createDevice("x-own", { x509: true });
    expect(connectionString).toBe("HostName=localhost;DeviceId=x-own;x509=true");
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"]) {
      const tlsOptions = { cert: certificate, key: secret, maxVersion };
      expect(await outcome(withoutToken("x-own"), tlsOptions)).toMatchObject({ answer: 0 });
    }
  });

  it("is known by its thumbprint, two of them for a change of certificates", async () => {
    const [old, next, other] = [1, 2, 3].map(() => createSelfSigned({ commonName: "x1", client: true }));
    if (!old || !next || !other) throw new Error("unreachable");
    hub.createDevice("x1", { thumbprint: [old.thumbprint, next.thumbprint.toLowerCase()] });
    expect(await outcome(withoutToken("x1"), shown(old))).toMatchObject({ answer: 0 });
    expect(await outcome(withoutToken("x1"), shown(next))).toMatchObject({ answer: 0 });
    expect(await outcome(withoutToken("x1"), shown(other))).toEqual({
      answer: 5,
      reason: "the client certificate's thumbprint is not the registered one",
    });
    expect(await outcome(withoutToken("x1"))).toEqual({
      answer: 5,
      reason: "there is neither a password nor a client certificate",
    });
  });

  it("of an authority must lead to it and name the device", async () => {
    const authority = createAuthority({ commonName: "factory" });
    hub.createDevice("x2", { certificateAuthority: authority.certificate });
    const issue = (commonName: string, from = authority) => shown(from.issue({ commonName, client: true }));
    expect(await outcome(withoutToken("x2"), issue("x2"))).toMatchObject({ answer: 0 });
    const line = authority.issueAuthority({ commonName: "line" }).issueAuthority({ commonName: "station" });
    expect(await outcome(withoutToken("x2"), issue("x2", line))).toMatchObject({ answer: 0 });
    expect(await outcome(withoutToken("x2"), issue("x3"))).toEqual({
      answer: 5,
      reason: "the client certificate's common name is not the device id",
    });
    const impostor = createAuthority({ commonName: "factory" });
    expect(await outcome(withoutToken("x2"), issue("x2", impostor))).toEqual({
      answer: 5,
      reason: "no registered authority signed the client certificate",
    });
  });

  it("that has expired is refused", async () => {
    const expired = createSelfSigned({ client: true, notAfter: Date.now() - 3_600_000 });
    hub.createDevice("x-old", { thumbprint: expired.thumbprint });
    expect(await outcome(withoutToken("x-old"), shown(expired))).toEqual({
      answer: 5,
      reason: "the client certificate is not valid now",
    });
  });

  it("does not stand in for the key of a device that has keys", async () => {
    const { cert, key: secret } = shown(createSelfSigned({ commonName: "d1", client: true }));
    expect(await outcome(withoutToken("d1"), { cert, key: secret })).toMatchObject({ answer: 5 });
  });
});

describe("a connection", () => {
  it("is taken over by a newer one of the same identity", async () => {
    const first = await RawClient.connected(hub, d1);
    const gone = event(hub, "disconnected");
    const second = await RawClient.connected(hub, d1);
    expect(await gone).toEqual({ deviceId: "d1", reason: "takeover" });
    expect(await first.next()).toBe("closed");
    expect(await second.nothingElse()).toBe(true);
    expect(hub.isConnected("d1")).toBe(true);
    await second.disconnect();
    expect(hub.isConnected("d1")).toBe(false);
  });

  it("is closed after one and a half times its keep alive without a packet", async () => {
    const client = await RawClient.connected(hub, d1, { keepAlive: 10 });
    clock.advance(14_999);
    expect(await client.nothingElse()).toBe(true);
    clock.advance(14_999);
    expect(hub.isConnected("d1")).toBe(true);
    const gone = event(hub, "disconnected");
    clock.advance(1);
    expect(await gone).toEqual({ deviceId: "d1", reason: "keep-alive" });
    expect(await client.next()).toBe("closed");
  });

  it.each([0, 65_535])("with a keep alive of %i s is closed after 1,767 s", async (keepAlive) => {
    await RawClient.connected(hub, d1, { keepAlive });
    clock.advance(1_766_999);
    expect(hub.isConnected("d1")).toBe(true);
    clock.advance(1);
    expect(hub.isConnected("d1")).toBe(false);
  });

  it("without CONNECT is closed after 30 s, however its bytes trickle", async () => {
    const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const closed = once(stream, "close");
    hub.accept(stream);
    for (const byte of [0x10, 0x20, 0x00]) {
      const read = once(stream, "data");
      stream.push(Uint8Array.of(byte));
      await read;
      clock.advance(9_999);
    }
    expect(stream.writableEnded).toBe(false);
    clock.advance(3);
    expect(stream.writableEnded).toBe(true);
    await closed;
  });

  it("finds its session again with clean session 0 alone", async () => {
    const identity = hub.createDevice("sessions");
    const present = async (cleanSession: boolean): Promise<boolean> => {
      const connected = event(hub, "connected") as Promise<ConnectedEvent>;
      const client = await RawClient.connected(hub, identity, { cleanSession });
      await client.disconnect();
      return (await connected).sessionPresent;
    };
    expect(await present(false)).toBe(false);
    expect(await present(false)).toBe(true);
    expect(await present(true)).toBe(false);
    expect(await present(false)).toBe(false);
    expect(await present(false)).toBe(true);
  });

  it("tells of its end in words of its own: DISCONNECT, or a broken line", async () => {
    const first = await RawClient.connected(hub, d1);
    let gone = event(hub, "disconnected");
    await first.disconnect();
    expect(await gone).toEqual({ deviceId: "d1", reason: "disconnect" });
    const second = await RawClient.connected(hub, d1);
    gone = event(hub, "disconnected");
    second.destroy();
    expect(await gone).toEqual({ deviceId: "d1", reason: "lost" });
  });
});

it("an event that the hub does not have is refused with those that it has", async () => {
  await using hub = await HubEmulator.start();
  expect(() => hub.on("telemetri" as "telemetry", () => {})).toThrow(
    expect.objectContaining({
      code: "ERR_INVALID_ARGUMENT",
      message: expect.stringMatching(/HubEmulator has no event "telemetri"; there are: telemetry, connected,/),
    }) as Error,
  );
});
