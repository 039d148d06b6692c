/** The service side: twins as documents, telemetry as an iterator, the state that makes a hub the same again. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Packet } from "../../src/codec/index.js";
import {
  createAuthority,
  HubEmulator,
  restoreAuthority,
  type CreatedIdentity,
  type HubState,
  type TelemetryMessage,
} from "../../src/emulator/index.js";
import { signSasToken } from "../../src/wire/sas.js";
import { FakeClock } from "../support/clock.js";
import { connectPacket, event, RawClient } from "./raw-client.js";

let hub: HubEmulator;
let clock: FakeClock;
let device: CreatedIdentity;
const open: RawClient[] = [];
beforeEach(async () => {
  clock = new FakeClock(Date.now());
  hub = await HubEmulator.start({ clock });
  device = hub.createDevice("d1");
});
afterEach(async () => {
  for (const client of open.splice(0)) client.destroy();
  await hub.close();
});

async function connected(identity = device, to = hub): Promise<RawClient> {
  const client = await RawClient.connected(to, identity);
  open.push(client);
  return client;
}

async function bodyOf(client: RawClient): Promise<unknown> {
  const packet: Packet | "closed" = await client.next();
  if (packet === "closed" || packet.type !== "publish") throw new Error(`PUBLISH expected: ${JSON.stringify(packet)}`);
  return JSON.parse(Buffer.from(packet.payload).toString());
}

describe("a twin", () => {
  it("carries the time of each change at every level, as the page's example does", () => {
    const at = new Date(clock.wallTime()).toISOString();
    hub.updateDesiredProperties("d1", { telemetryConfig: { sendFrequency: "5m", unit: "s" }, list: [1] });
    clock.advance(1_000);
    const later = new Date(clock.wallTime()).toISOString();
    hub.updateDesiredProperties("d1", { telemetryConfig: { unit: null } });
    const { properties, desired } = hub.twin("d1");
    expect(properties?.desired).toEqual({
      telemetryConfig: { sendFrequency: "5m" },
      list: [1],
      $metadata: {
        $lastUpdated: later,
        telemetryConfig: { $lastUpdated: later, sendFrequency: { $lastUpdated: at } },
        list: { $lastUpdated: at },
      },
      $version: 3,
    });
    expect(desired).toEqual({ telemetryConfig: { sendFrequency: "5m" }, list: [1] });
    expect(desired["$metadata"]).toEqual(properties?.desired["$metadata"]);
    expect(properties?.reported).toEqual({ $metadata: { $lastUpdated: at }, $version: 1 });
  });

  it("shows its identity, the connection, and what waits", async () => {
    expect(hub.twin("d1")).toMatchObject({
      connectionState: "Disconnected",
      status: "enabled",
      authenticationType: "sas",
      lastActivityTime: "0001-01-01T00:00:00Z",
      cloudToDeviceMessageCount: 0,
    });
    await connected();
    await hub.sendToDevice("d1", "x");
    expect(hub.twin("d1")).toMatchObject({
      connectionState: "Connected",
      lastActivityTime: new Date(clock.wallTime()).toISOString(),
      cloudToDeviceMessageCount: 1,
    });
    hub.createDevice("x1", { x509: true });
    expect(hub.twin("x1")).toMatchObject({
      authenticationType: "selfSigned",
      x509Thumbprint: { secondaryThumbprint: null },
    });
  });

  it("is replaced whole: the device is told all of it, and null for what is gone", async () => {
    const client = await connected();
    await client.subscribe("$iothub/twin/PATCH/properties/desired/#");
    hub.updateDesiredProperties("d1", { a: { b: 1, c: 2 }, d: 3, e: { f: 1 } });
    await bodyOf(client);
    expect(hub.replaceDesiredProperties("d1", { a: { b: 1 }, e: 5, g: { h: 1, i: null } })).toBe(3);
    expect(await bodyOf(client)).toEqual({ a: { b: 1, c: null }, d: null, e: 5, g: { h: 1 }, $version: 3 });
    expect(hub.twin("d1").desired).toEqual({ a: { b: 1 }, e: 5, g: { h: 1 } });
    hub.updateTags("d1", { a: 1, b: { c: 1 } });
    hub.replaceTags("d1", { b: { d: 1 } });
    expect(hub.twin("d1").tags).toEqual({ b: { d: 1 } });
  });

  it("is changed only with the etag that it has", () => {
    const { etag } = hub.twin("d1");
    expect(Buffer.from(etag as string, "base64")).toHaveLength(8);
    hub.updateTags("d1", { a: 1 }, { etag });
    for (const change of [
      () => hub.updateTags("d1", { a: 2 }, { etag }),
      () => hub.updateDesiredProperties("d1", { a: 2 }, { etag }),
      () => hub.replaceDesiredProperties("d1", { a: 2 }, { etag }),
      () => hub.replaceTags("d1", { a: 2 }, { etag }),
    ]) {
      expect(change).toThrow(expect.objectContaining({ code: "ERR_HUB_STATUS", status: 412 }));
    }
    hub.replaceTags("d1", {}, { etag: "*" });
    expect(hub.twin("d1")).toMatchObject({ tags: {}, desired: {}, version: 3 });
  });
});

describe("telemetry as an iterator", () => {
  const send = (client: RawClient, deviceId: string, ...bodies: string[]): void =>
    client.send(
      ...bodies.map(
        (payload) => ({ type: "publish", topic: `devices/${deviceId}/messages/events/`, payload }) as const,
      ),
    );
  const text = ({ value }: IteratorResult<TelemetryMessage>): string => Buffer.from(value.payload).toString();

  it("has everything from the call on, of all or of one device, and ends when the hub closes", async () => {
    const client = await connected();
    const other = await connected(hub.createDevice("d2"));
    const all = hub.telemetry();
    const one = hub.telemetry({ deviceId: "d2" });
    send(client, "d1", "a");
    expect(await client.nothingElse()).toBe(true);
    send(other, "d2", "b", "c");
    expect([text(await all.next()), text(await all.next()), text(await all.next())]).toEqual(["a", "b", "c"]);
    expect(text(await one.next())).toBe("b");
    const waiting = all.next();
    await hub.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(text(await one.next())).toBe("c");
    expect((await one.next()).done).toBe(true);
    expect(() => hub.telemetry()).toThrow(expect.objectContaining({ code: "ERR_CLOSED" }));
  });

  it("may be read in as many places as there are devices, without a warning of too many listeners", async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): number => warnings.push(warning);
    process.on("warning", warned);
    for (let i = 0; i < 30; i++) hub.telemetry({ deviceId: `d${i}` });
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", warned);
    expect(warnings).toEqual([]);
  });

  it("stops collecting when the loop is left", async () => {
    const client = await connected();
    const stream = hub.telemetry();
    send(client, "d1", "a", "b");
    for await (const { payload } of stream) {
      expect(Buffer.from(payload).toString()).toBe("a");
      break;
    }
    expect(hub.listenerCount("telemetry")).toBe(0);
    expect((await stream.next()).done).toBe(true);
  });

  it("says so when its reader is too slow, after what it had room for", async () => {
    const client = await connected();
    const stream = hub.telemetry({ capacity: 2 });
    send(client, "d1", "a", "b", "c", "d");
    expect(await client.nothingElse()).toBe(true);
    expect([text(await stream.next()), text(await stream.next())]).toEqual(["a", "b"]);
    await expect(stream.next()).rejects.toMatchObject({ code: "ERR_QUEUE_FULL" });
    expect((await stream.next()).done).toBe(true);
    expect(hub.listenerCount("telemetry")).toBe(0);
  });

  it("ends by its signal, before or while it waits", async () => {
    const abort = new AbortController();
    const stream = hub.telemetry({ signal: abort.signal });
    const next = stream.next();
    abort.abort();
    await expect(next).rejects.toMatchObject({ code: "ERR_ABORTED" });
    await expect(hub.telemetry({ signal: abort.signal }).next()).rejects.toMatchObject({ code: "ERR_ABORTED" });
    for (const options of [{ capacity: 0 }, { signal: {} as AbortSignal }, { device: "d1" } as object]) {
      expect(() => hub.telemetry(options)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
    }
  });

  it("carries the hub's stamps, which no property of the device changes", async () => {
    const client = await connected(hub.createModule("d1", "m1"));
    const stream = hub.telemetry();
    const topic = "devices/d1/modules/m1/messages/events/iothub-connection-device-id=evil";
    client.send({ type: "publish", topic });
    const { value } = await stream.next();
    expect(value).toMatchObject({
      stamps: {
        "iothub-connection-device-id": "d1",
        "iothub-connection-module-id": "m1",
        "iothub-connection-auth-method": '{"scope":"module","type":"sas","issuer":"iothub"}',
      },
    });
  });
});

describe("the state", () => {
  async function again(state: HubState): Promise<HubEmulator> {
    await hub.close();
    return (hub = await HubEmulator.start({ clock, state }));
  }

  it("makes the same hub: authority, policies, identities with their twins, enrolments", async () => {
    hub.createModule("d1", "m1");
    const own = hub.createDevice("x1", { x509: true });
    hub.createDevice("off", { enabled: false });
    hub.createDevice("signed", { certificateAuthority: createAuthority({ commonName: "factory" }).certificate });
    hub.createEnrollment("r1", { deviceId: "from-dps", payload: { a: 1 } });
    hub.createEnrollmentGroup({ enabled: false });
    hub.updateDesiredProperties("d1", { interval: 5, __proto__: null });
    hub.updateTags("d1", { floor: 1 });
    const before = hub.exportState();
    const [ca, twin, identities, enrollments] = [
      hub.caCertificate,
      hub.twin("d1"),
      hub.identities(),
      hub.enrollments(),
    ];
    const policy = hub.connectionString("d1", { keyName: "device" });
    // Through a file, as it is meant.
    await again(JSON.parse(JSON.stringify(before)) as HubState);
    expect(hub.caCertificate).toBe(ca);
    expect(hub.identities()).toEqual(identities);
    expect(hub.enrollments()).toEqual(enrollments);
    expect(hub.connectionString("d1", { keyName: "device" })).toBe(policy);
    expect(hub.twin("d1")).toEqual(twin);
    expect(hub.twin("d1").etag).toBe(twin.etag);
    expect(hub.exportState()).toEqual(before);
    // Clients that trusted the first hub trust this one, and their credentials hold.
    await connected();
    const { certificate: cert, key } = own;
    const client = await RawClient.open(hub, { cert, key });
    open.push(client);
    client.send(connectPacket({ deviceId: "x1", primaryKey: undefined }));
    expect(await client.next()).toMatchObject({ type: "connack", returnCode: 0 });
    expect(hub.updateDesiredProperties("d1", { interval: 6 })).toBe(3);
  });

  it("keeps stamps and ids of provisioning, and options go before it", async () => {
    await again({ ...hub.exportState(), idScope: "0ne5" });
    expect(hub.idScope).toBe("0ne5");
    const state = hub.exportState();
    await hub.close();
    hub = await HubEmulator.start({ clock, state, hostName: "hub.test", provisioning: { idScope: "0ne6" } });
    expect([hub.hostName, hub.idScope]).toEqual(["hub.test", "0ne6"]);
    expect(hub.connectionString("d1")).toContain("HostName=hub.test;");
  });

  it("tells of its changes", async () => {
    let count = 0;
    hub.on("changed", () => count++);
    const changed = (change: () => unknown): boolean => {
      const before = count;
      change();
      return count > before;
    };
    expect(changed(() => hub.createDevice("d9"))).toBe(true);
    expect(changed(() => hub.updateDevice("d9", { enabled: false }))).toBe(true);
    expect(changed(() => hub.removeDevice("d9"))).toBe(true);
    expect(changed(() => hub.createEnrollment("r9"))).toBe(true);
    expect(changed(() => hub.updateDesiredProperties("d1", { a: 1 }))).toBe(true);
    expect(changed(() => hub.updateTags("d1", { a: 1 }))).toBe(true);
    expect(changed(() => hub.twin("d1"))).toBe(false);
    const client = await connected();
    const told = event(hub, "changed");
    client.send({ type: "publish", topic: "$iothub/twin/PATCH/properties/reported/?$rid=1", payload: '{"a":1}' });
    await told;
  });

  it.each<[string, (state: HubState) => unknown]>([
    ["what is no object", () => "{}"],
    ["another version", (state) => ({ ...state, version: 2 })],
    ["no authority", (state) => ({ ...state, authority: undefined })],
    [
      "an authority's key that is another one's",
      (state) => ({ ...state, authority: { ...state.authority, privateKey: createAuthority().privateKey } }),
    ],
    ["a key that is none", (state) => ({ ...state, policies: { device: "not base64!" } })],
    [
      "an identity without a twin",
      (state) => ({ ...state, identities: [{ ...state.identities[0], twin: undefined }] }),
    ],
    [
      "an identity that is there twice",
      (state) => ({ ...state, identities: [...state.identities, ...state.identities] }),
    ],
    ["an enrolment without credentials", (state) => ({ ...state, enrollments: [{}] })],
  ])("is refused with %s, without a word of what it holds", async (_name, change) => {
    const state = change(hub.exportState());
    const error = await HubEmulator.start({ state: state as HubState }).then(
      () => new Error("it started"),
      (reason: Error) => reason,
    );
    expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    expect(String(error.stack)).not.toContain(device.primaryKey);
  });
});

describe("restoreAuthority", () => {
  it("signs as the authority that it was, a comma in its name included", () => {
    const first = createAuthority({ commonName: "a, b" });
    const again = restoreAuthority(first.certificate, first.privateKey);
    const { chain } = again.issueAuthority().issue({ commonName: "leaf" });
    expect(chain.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(() => restoreAuthority("x", first.privateKey)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
    expect(() => restoreAuthority(again.issue().certificate, first.privateKey)).toThrow(/not that of its certificate/);
  });
});

describe("names with commas and other signs", () => {
  it.each(["a,b", "a=b", "a,CN=b"])("a certificate for %s speaks for that device alone", async (deviceId) => {
    const authority = createAuthority();
    hub.createDevice(deviceId, { certificateAuthority: authority.certificate });
    hub.createDevice("a", { certificateAuthority: authority.certificate });
    const { certificate: cert, key } = authority.issue({ commonName: deviceId, client: true });
    for (const [id, returnCode] of [
      [deviceId, 0],
      ["a", 5],
    ] as const) {
      const client = await RawClient.open(hub, { cert, key });
      open.push(client);
      client.send(connectPacket({ deviceId: id, primaryKey: undefined }));
      expect(await client.next()).toMatchObject({ type: "connack", returnCode });
    }
  });
});

describe("bounds", () => {
  it("the oldest operations of the provisioning service are forgotten", async () => {
    await hub.close();
    hub = await HubEmulator.start({ clock, limits: { provisioningOperations: 2 } });
    const { primaryKey, idScope } = hub.createEnrollment("r1");
    const client = await RawClient.open(hub);
    open.push(client);
    client.send({
      type: "connect",
      clientId: "r1",
      username: `${idScope}/registrations/r1/api-version=2019-03-31`,
      password: signSasToken(`${idScope}/registrations/r1`, primaryKey as string, 4e9),
    });
    await client.next();
    await client.subscribe("$dps/registrations/res/#");
    const ids: string[] = [];
    for (let count = 0; count < 3; count++) {
      client.send({ type: "publish", topic: "$dps/registrations/PUT/iotdps-register/?$rid=1" });
      ids.push(((await bodyOf(client)) as { operationId: string }).operationId);
    }
    const states = [];
    for (const id of ids) {
      const topic = `$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=${id}`;
      client.send({ type: "publish", topic });
      states.push(await bodyOf(client));
    }
    expect(states).toMatchObject([{ errorCode: 404_201 }, { status: "assigned" }, { status: "assigned" }]);
  });

  it.each(["", " "])("host %j, every interface for Node, is refused", async (host) => {
    await expect(HubEmulator.start({ host })).rejects.toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
      message: expect.stringContaining("host"),
    });
  });

  it.each<[string, () => unknown]>([
    ["createDevice", () => hub.createDevice("n", { primarykey: "x" } as object)],
    ["updateDevice", () => hub.updateDevice("d1", { enabled: 1 } as object)],
    ["sendToDevice", () => hub.sendToDevice("d1", "x", { contenttype: "x" } as object)],
    ["sendToDevice", () => hub.sendToDevice("d1", "x", { ack: "all" } as object)],
    ["invokeMethod", () => hub.invokeMethod("d1", "m", 1, { timeout: 1 } as object)],
    ["twin", () => hub.twin("d1", { module: "x" } as object)],
    ["updateTags", () => hub.updateTags("d1", {}, { etag: 1 } as object)],
    ["createEnrollment", () => hub.createEnrollment("r", { device: "x" } as object)],
    ["disconnectDevice", () => hub.disconnectDevice("d1", { abrupt: true } as object)],
  ])("%s tells of an option that there is not, or of a wrong type", async (_name, call) => {
    await expect(Promise.resolve().then(call)).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  });
});
