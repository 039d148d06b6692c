/** Direct methods from the service's side. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { HubEmulator, type CreatedIdentity } from "../../src/emulator/index.js";
import { FakeClock } from "../support/clock.js";
import { event, RawClient } from "./raw-client.js";

const clock = new FakeClock(Date.now());
let hub: HubEmulator;
let device: CreatedIdentity;
let client: RawClient;
let count = 0;
beforeAll(async () => {
  hub = await HubEmulator.start({ clock });
});
afterAll(() => hub.close());
beforeEach(async () => {
  device = hub.createDevice(`d${++count}`);
  client = await RawClient.connected(hub, device);
});
afterEach(() => client.destroy());

const FILTER = "$iothub/methods/POST/#";
async function call(from = client): Promise<{ name: string; rid: string; body: string }> {
  const packet = await from.next();
  if (packet === "closed" || packet.type !== "publish") throw new Error(`PUBLISH expected: ${JSON.stringify(packet)}`);
  const [, name = "", rid = ""] = /^\$iothub\/methods\/POST\/(.*)\/\?\$rid=(.*)$/.exec(packet.topic) ?? [];
  return { name, rid, body: Buffer.from(packet.payload).toString() };
}
const respond = (status: number | string, rid: string, payload: string | Uint8Array): void =>
  client.send({ type: "publish", topic: `$iothub/methods/res/${status}/?$rid=${rid}`, payload });

describe("invokeMethod", () => {
  it("resolves with the device's status and the JSON value", async () => {
    await client.subscribe(FILTER);
    const result = hub.invokeMethod(device.deviceId, "reboot", { delay: 5 });
    const { name, rid, body } = await call();
    expect([name, body]).toEqual(["reboot", '{"delay":5}']);
    respond(299, rid, '{"ok":[true]}');
    expect(await result).toEqual({ status: 299, payload: { ok: [true] } });
    expect(Buffer.from((await result).body as Uint8Array).toString()).toBe('{"ok":[true]}');
  });

  it.each<[string, unknown, string, string, unknown]>([
    ["nothing as an empty body, both ways", undefined, "", "", null],
    ["null", null, "null", "null", null],
    ["a bare value", 5, "5", "false", false],
    ["bytes as they are", Buffer.from("raw"), "raw", '"x"', "x"],
  ])("carries %s", async (_name, payload, sent, answer, value) => {
    await client.subscribe(FILTER);
    const result = hub.invokeMethod(device.deviceId, "m", payload);
    const { rid, body } = await call();
    expect(body).toBe(sent);
    respond(-1, rid, answer);
    expect(await result).toEqual({ status: -1, payload: value });
  });

  it("matches answers by request id, in any order, and each once", async () => {
    await client.subscribe(FILTER);
    const results = ["a", "b"].map((name) => hub.invokeMethod(device.deviceId, name));
    const [a, b] = [await call(), await call()];
    expect(a.rid).not.toBe(b.rid);
    respond(2, b.rid, '"b"');
    respond(3, b.rid, '"again"');
    respond(4, "unknown", "0");
    respond(1, a.rid, '"a"');
    expect(await Promise.all(results)).toEqual([
      { status: 1, payload: "a" },
      { status: 2, payload: "b" },
    ]);
  });

  it("rejects at its deadline; a later answer is ignored", async () => {
    await client.subscribe(FILTER);
    const result = hub.invokeMethod(device.deviceId, "slow", null, { responseTimeout: 500 });
    const { rid } = await call();
    clock.advance(500);
    await expect(result).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
    respond(200, rid, "1");
    expect(await client.nothingElse()).toBe(true);
  });

  it("a call that meets the device's DISCONNECT is not sent again, and its caller hears so at its deadline", async () => {
    await client.subscribe(FILTER);
    const result = hub.invokeMethod(device.deviceId, "crossing", null, { responseTimeout: 500 });
    await call();
    await client.disconnect();
    const again = await RawClient.connected(hub, device);
    await again.subscribe(FILTER);
    expect(await again.nothingElse()).toBe(true);
    const next = hub.invokeMethod(device.deviceId, "next");
    const { name, rid } = await call(again);
    expect(name).toBe("next");
    again.send({ type: "publish", topic: `$iothub/methods/res/200/?$rid=${rid}`, payload: "" });
    expect(await next).toMatchObject({ status: 200 });
    clock.advance(500);
    await expect(result).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
    again.destroy();
  });

  it("waits 30 s for the response where nothing else is said", async () => {
    await client.subscribe(FILTER);
    let settled = false;
    const result = hub.invokeMethod(device.deviceId, "slow").finally(() => (settled = true));
    await call();
    clock.advance(29_999);
    expect(await client.nothingElse()).toBe(true);
    expect(settled).toBe(false);
    clock.advance(1);
    await expect(result).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
  });

  it("rejects at once where the device is not connected", async () => {
    await client.disconnect();
    await expect(hub.invokeMethod(device.deviceId, "m")).rejects.toMatchObject({
      code: "ERR_DEVICE_OFFLINE",
    });
    await expect(hub.invokeMethod("nobody", "m")).rejects.toMatchObject({ code: "ERR_DEVICE_NOT_FOUND" });
  });

  it("gives a connected device two seconds to subscribe", async () => {
    const result = hub.invokeMethod(device.deviceId, "m");
    clock.advance(1_999);
    await client.subscribe(FILTER);
    respond(200, (await call()).rid, "1");
    expect(await result).toEqual({ status: 200, payload: 1 });
    client.send({ type: "unsubscribe", packetId: 1, topicFilters: [FILTER] });
    expect(await client.next()).toMatchObject({ type: "unsuback" });
    const late = hub.invokeMethod(device.deviceId, "m");
    clock.advance(2_000);
    await expect(late).rejects.toMatchObject({ code: "ERR_DEVICE_OFFLINE" });
  });

  it("waits for the device up to its connect timeout", async () => {
    const result = hub.invokeMethod(device.deviceId, "m", 1, { connectTimeout: 1000 });
    const late = hub.invokeMethod(device.deviceId, "late", 1, { connectTimeout: 100 });
    clock.advance(100);
    await expect(late).rejects.toMatchObject({ code: "ERR_DEVICE_OFFLINE" });
    await client.subscribe(FILTER);
    const { name, rid } = await call();
    expect(name).toBe("m");
    clock.advance(1000);
    respond(200, rid, "2");
    expect(await result).toEqual({ status: 200, payload: 2 });
  });

  it("takes the answer from a later connection of the device", async () => {
    await client.subscribe(FILTER);
    const result = hub.invokeMethod(device.deviceId, "m");
    const { rid } = await call();
    client.destroy();
    await event(hub, "disconnected");
    client = await RawClient.connected(hub, device);
    respond(200, rid, "3");
    expect(await result).toEqual({ status: 200, payload: 3 });
  });

  it("reaches a module", async () => {
    const module = await RawClient.connected(hub, hub.createModule(device.deviceId, "m"));
    await module.subscribe(FILTER);
    const result = hub.invokeMethod(device.deviceId, "x", null, { moduleId: "m" });
    const { rid } = await call(module);
    module.send({ type: "publish", topic: `$iothub/methods/res/200/?$rid=${rid}`, payload: "{}" });
    expect(await result).toEqual({ status: 200, payload: {} });
    await module.disconnect();
  });

  it("refuses a payload over 128 KB and a name that is no topic level", async () => {
    await client.subscribe(FILTER);
    const invoke = (name: string, payload: unknown) => hub.invokeMethod(device.deviceId, name, payload);
    await expect(invoke("m", Buffer.alloc(131_073))).rejects.toMatchObject({ code: "ERR_LIMIT" });
    for (const name of ["", "a/b", "a+", "#"]) {
      await expect(invoke(name, 1)).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    }
    for (const payload of [1n, () => 1]) {
      await expect(invoke("m", payload)).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    }
    const large = invoke("m", null);
    const { rid } = await call();
    respond(200, rid, new Uint8Array(131_073));
    await expect(large).rejects.toMatchObject({ code: "ERR_LIMIT" });
  });

  it("loses the response on purpose", async () => {
    await client.subscribe(FILTER);
    hub.faults.methodResponses = false;
    const result = hub.invokeMethod(device.deviceId, "m", null, { responseTimeout: 10 });
    respond(200, (await call()).rid, "1");
    expect(await client.nothingElse()).toBe(true);
    hub.faults.methodResponses = true;
    clock.advance(10);
    await expect(result).rejects.toMatchObject({ code: "ERR_TIMEOUT" });
  });
});
