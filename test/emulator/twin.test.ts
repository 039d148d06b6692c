/** Twins: the merge rules, the limits, and the topics. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Packet } from "../../src/codec/index.js";
import { HubEmulator, type CreatedIdentity, type ReportedEvent } from "../../src/emulator/index.js";
import { defaultLimits } from "../../src/emulator/limits.js";
import { TwinDocument } from "../../src/emulator/twin.js";
import { event, RawClient } from "./raw-client.js";

const source = { deviceId: "d" };

describe("a twin document", () => {
  it.each<[string, object[], object]>([
    ["adds", [{ a: 1 }, { b: 2 }], { a: 1, b: 2 }],
    ["replaces", [{ a: 1 }, { a: "x" }], { a: "x" }],
    ["merges objects at every level", [{ a: { b: { c: 1 } } }, { a: { b: { d: 2 } } }], { a: { b: { c: 1, d: 2 } } }],
    [
      "deletes with null",
      [
        { a: { b: 1, c: 2 }, d: 3 },
        { a: { b: null }, d: null },
      ],
      { a: { c: 2 } },
    ],
    ["ignores null for what is not there", [{ a: null, b: { c: null } }], { b: {} }],
    ["puts an object in the place of a value", [{ a: 1 }, { a: { b: null, c: 1 } }], { a: { c: 1 } }],
    ["puts a value in the place of an object", [{ a: { b: 1 } }, { a: false }], { a: false }],
    ["replaces arrays whole", [{ a: [1, 2, 3] }, { a: [{ b: 1 }] }], { a: [{ b: 1 }] }],
  ])("%s", (_name, patches, expected) => {
    const twin = new TwinDocument(defaultLimits);
    for (const patch of patches) twin.patchDesired(patch);
    expect(twin.snapshot(source).desired).toEqual(expected);
    expect(twin.snapshot(source).reported).toEqual({});
  });

  it("counts a version for each accepted patch, desired and reported apart, from 1", () => {
    const twin = new TwinDocument(defaultLimits);
    expect(twin.patchDesired({ a: 1 }).version).toBe(2);
    expect(twin.patchDesired({}).version).toBe(3);
    expect(() => twin.patchDesired({ "a.b": 1 })).toThrow();
    expect(twin.patchReported({ b: 1 }).version).toBe(2);
    expect(twin.snapshot(source)).toEqual({
      deviceId: "d",
      tags: {},
      desired: { a: 1 },
      reported: { b: 1 },
      desiredVersion: 3,
      reportedVersion: 2,
    });
    expect(twin.snapshot(source).desired["$version"]).toBe(3);
    expect(twin.snapshot(source).properties?.reported["$version"]).toBe(2);
    expect(twin.toDevice()).toBe('{"desired":{"a":1,"$version":3},"reported":{"b":1,"$version":2}}');
  });

  it("holds a property called __proto__ as data", () => {
    const twin = new TwinDocument(defaultLimits);
    twin.patchReported(JSON.parse('{"__proto__":{"x":1},"constructor":{"y":2}}'));
    twin.patchReported(JSON.parse('{"__proto__":{"z":3}}'));
    expect(twin.toDevice()).toContain('"reported":{"__proto__":{"x":1,"z":3},"constructor":{"y":2},"$version":3}');
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  it("shares nothing with its callers", () => {
    const twin = new TwinDocument(defaultLimits);
    const patch = { a: { b: 1 } };
    twin.patchDesired(patch);
    patch.a.b = 2;
    (twin.snapshot(source).desired["a"] as { b: number }).b = 3;
    expect(twin.snapshot(source).desired).toEqual({ a: { b: 1 } });
  });

  const nested = (levels: number): object => (levels === 1 ? { x: 1 } : { x: nested(levels - 1) });
  it.each<[string, unknown, string]>([
    ["what is no object", [1], "ERR_INVALID_ARGUMENT"],
    ["null", null, "ERR_INVALID_ARGUMENT"],
    ["undefined", undefined, "ERR_INVALID_ARGUMENT"],
    ["what JSON cannot hold", { a: 1n }, "ERR_INVALID_ARGUMENT"],
    ["11 levels", nested(12), "ERR_LIMIT"],
    ["11 levels of arrays", { a: [[[[[[[[[[[1]]]]]]]]]]] }, "ERR_LIMIT"],
    ["null in an array", { a: [1, null] }, "ERR_LIMIT"],
    ["null in an object in an array", { a: [{ b: null }] }, "ERR_LIMIT"],
    ["a string over 4 KB", { a: "é".repeat(2049) }, "ERR_LIMIT"],
    ["a name over 1 KB", { ["é".repeat(513)]: 1 }, "ERR_LIMIT"],
    ["an empty name", { "": 1 }, "ERR_LIMIT"],
    ["a full stop", { a: { "b.c": 1 } }, "ERR_LIMIT"],
    ["a dollar sign", { $a: 1 }, "ERR_LIMIT"],
    ["a space", { "a b": 1 }, "ERR_LIMIT"],
    ["a control character", { "a\u0085": 1 }, "ERR_LIMIT"],
    ["an integer beyond 2^52", { a: 2 ** 52 }, "ERR_LIMIT"],
    ["32 KB in all", Object.fromEntries(Array.from({ length: 9 }, (_, n) => [n, "x".repeat(4096)])), "ERR_LIMIT"],
  ])("refuses %s and stays as it was", (_name, patch, code) => {
    const twin = new TwinDocument(defaultLimits);
    expect(() => twin.patchDesired(patch)).toThrow(expect.objectContaining({ code }));
    expect(twin.snapshot(source)).toMatchObject({ desired: {}, desiredVersion: 1 });
  });

  it("takes what is just within the limits", () => {
    const twin = new TwinDocument(defaultLimits);
    const patch = { deep: nested(10), text: "é".repeat(2048), ["é".repeat(512)]: -(2 ** 52), half: 0.5 };
    twin.patchDesired(patch);
    expect(twin.snapshot(source).desired).toEqual(patch);
  });
});

describe("twin topics", () => {
  let hub: HubEmulator;
  let device: CreatedIdentity;
  let client: RawClient;
  let count = 0;
  beforeAll(async () => {
    hub = await HubEmulator.start();
  });
  afterAll(() => hub.close());
  afterEach(() => {
    client.destroy();
    hub.faults.twin = undefined;
  });

  async function connected(...filters: string[]): Promise<void> {
    device = hub.createDevice(`d${++count}`);
    client = await RawClient.connected(hub, device);
    await client.subscribe("$iothub/twin/res/#", ...filters);
  }
  async function message(): Promise<{ topic: string; body: string }> {
    const packet: Packet | "closed" = await client.next();
    if (packet === "closed" || packet.type !== "publish")
      throw new Error(`PUBLISH expected: ${JSON.stringify(packet)}`);
    expect(packet).toMatchObject({ qos: 0, retain: false, dup: false });
    return { topic: packet.topic, body: Buffer.from(packet.payload).toString() };
  }
  const request = (topic: string, payload = ""): void => client.send({ type: "publish", topic, payload });
  const PATCH = "$iothub/twin/PATCH/properties/reported/";

  it("answer GET with both sections and their versions", async () => {
    await connected();
    hub.updateTags(device.deviceId, { secret: 1 });
    hub.updateDesiredProperties(device.deviceId, { fw: 2 });
    request("$iothub/twin/GET/?$rid=a1");
    expect(await message()).toEqual({
      topic: "$iothub/twin/res/200/?$rid=a1",
      body: '{"desired":{"fw":2,"$version":2},"reported":{"$version":1}}',
    });
  });

  it("answer a reported patch with 204 and the version, and tell the program", async () => {
    await connected();
    const reported = event(hub, "reportedProperties") as Promise<ReportedEvent>;
    request(`${PATCH}?$rid=7`, '{"t":21,"gone":null}');
    expect(await message()).toEqual({ topic: "$iothub/twin/res/204/?$rid=7&$version=2", body: "" });
    expect(await reported).toEqual({ deviceId: device.deviceId, patch: { t: 21, gone: null }, version: 2 });
    expect(hub.twin(device.deviceId).reported).toEqual({ t: 21 });
  });

  it.each([
    ["no JSON", "{", 400],
    ["ill-formed UTF-8", Buffer.from([0x22, 0xff, 0x22]).toString("latin1"), 400],
    ["no object", "[]", 400],
    ["a forbidden name", '{"a.b":1}', 400],
    ["too much", JSON.stringify(Object.fromEntries(Array.from({ length: 9 }, (_, n) => [n, "x".repeat(4096)]))), 400],
    ["nesting without end", '{"a":'.repeat(20_000) + "1" + "}".repeat(20_000), 400],
  ])("answer a patch with %s by an error", async (_name, body, status) => {
    await connected();
    client.send({ type: "publish", topic: `${PATCH}?$rid=7`, payload: Buffer.from(body, "latin1") });
    expect((await message()).topic).toBe(`$iothub/twin/res/${status}/?$rid=7`);
    expect(hub.twin(device.deviceId).reportedVersion).toBe(1);
  });

  it("find $rid wherever it stands, and say when it is missing", async () => {
    await connected();
    request("$iothub/twin/GET/?x=1&$rid=q&y");
    expect((await message()).topic).toBe("$iothub/twin/res/200/?$rid=q");
    request("$iothub/twin/GET/?");
    expect((await message()).topic).toBe("$iothub/twin/res/400/?$rid=");
  });

  it("bring desired changes to whom subscribed, as patch and version", async () => {
    await connected();
    hub.updateDesiredProperties(device.deviceId, { a: 1 });
    expect(await client.nothingElse()).toBe(true);
    await client.subscribe("$iothub/twin/PATCH/properties/desired/#");
    expect(hub.updateDesiredProperties(device.deviceId, { a: null, b: { c: [1] } })).toBe(3);
    expect(await message()).toEqual({
      topic: "$iothub/twin/PATCH/properties/desired/?$version=3",
      body: '{"a":null,"b":{"c":[1]},"$version":3}',
    });
  });

  it("of a module are its own", async () => {
    device = hub.createDevice(`d${++count}`);
    client = await RawClient.connected(hub, hub.createModule(device.deviceId, "m"));
    await client.subscribe("$iothub/twin/res/#");
    hub.updateDesiredProperties(device.deviceId, { of: "device" });
    hub.updateDesiredProperties(device.deviceId, { of: "module" }, { moduleId: "m" });
    request("$iothub/twin/GET/?$rid=1");
    expect((await message()).body).toContain('"of":"module"');
    expect(hub.twin(device.deviceId, { moduleId: "m" })).toMatchObject({
      moduleId: "m",
      desired: { of: "module" },
    });
  });

  it("go unanswered where the device does not listen", async () => {
    device = hub.createDevice(`d${++count}`);
    client = await RawClient.connected(hub, device);
    request("$iothub/twin/GET/?$rid=1");
    expect(await client.nothingElse()).toBe(true);
  });

  it("fail on purpose: throttled, and silent", async () => {
    await connected();
    hub.faults.twin = 429;
    request(`${PATCH}?$rid=1`, '{"a":1}');
    expect((await message()).topic).toBe("$iothub/twin/res/429/?$rid=1");
    hub.faults.twin = "silent";
    request("$iothub/twin/GET/?$rid=2");
    expect(await client.nothingElse()).toBe(true);
    expect(hub.twin(device.deviceId).reportedVersion).toBe(1);
  });

  it("throw for a device that does not exist, and for a bad patch", () => {
    expect(() => hub.twin("nobody")).toThrow(expect.objectContaining({ code: "ERR_DEVICE_NOT_FOUND" }));
    expect(() => hub.updateDesiredProperties("nobody", {})).toThrow(
      expect.objectContaining({ code: "ERR_DEVICE_NOT_FOUND" }),
    );
    expect(() => hub.updateDesiredProperties(device.deviceId, { "a b": 1 })).toThrow(
      expect.objectContaining({ code: "ERR_LIMIT" }),
    );
  });
});
