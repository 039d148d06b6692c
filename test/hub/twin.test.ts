/** The twin: the documents by themselves, then through a hub that works, answers late, refuses, or goes away. */
import { describe, expect, test } from "vitest";
import { mergePatch, patchBetween } from "../../src/hub/merge-patch.js";
import { encodeReported } from "../../src/hub/reported.js";
import { FakeClock } from "../support/clock.js";
import { failure, laboratory, next, until } from "./lab.js";
import { seeded } from "../support/random.js";

const lab = laboratory();
const json = (text: string) => JSON.parse(text) as Record<string, unknown>;

describe("patches", () => {
  test.each([
    ['{"a":1}', '{"b":2}', '{"a":1,"b":2}'],
    ['{"a":1}', '{"a":null}', "{}"],
    ['{"a":{"b":1,"c":2}}', '{"a":{"b":null,"d":3}}', '{"a":{"c":2,"d":3}}'],
    ['{"a":[1,2]}', '{"a":[3]}', '{"a":[3]}'],
    ['{"a":1}', '{"a":{"b":null,"c":1}}', '{"a":{"c":1}}'],
    ['{"a":{"b":1}}', '{"a":2}', '{"a":2}'],
    ['{"__proto__":{"x":1}}', '{"__proto__":{"y":2}}', '{"__proto__":{"x":1,"y":2}}'],
    ["{}", '{"constructor":{"z":1}}', '{"constructor":{"z":1}}'],
  ])("%s with %s is %s", (before, patch, after) => {
    expect(JSON.stringify(mergePatch(json(before), json(patch)))).toBe(after);
    // And the patch that is found between the two leads there too.
    expect(mergePatch(json(before), patchBetween(json(before), json(after)) ?? {})).toEqual(json(after));
  });

  test("what is found between two documents leads from one to the other, and is empty between equals", () => {
    const { below } = seeded(9);
    const value = (depth: number): unknown => {
      if (depth > 0 && below(2) === 0) return document(depth - 1);
      return [1, "a", true, [1, { b: null }], below(3)][below(5)];
    };
    const document = (depth: number): Record<string, unknown> =>
      Object.fromEntries(Array.from({ length: below(4) }, () => ["abc"[below(3)] as string, value(depth)]));
    for (let round = 0; round < 2000; round++) {
      const [before, after] = [document(3), document(3)];
      expect(mergePatch(before, patchBetween(before, after) ?? {})).toEqual(after);
      expect(patchBetween(after, structuredClone(after))).toBeUndefined();
    }
  });
});

describe("encodeReported", () => {
  const nested = (levels: number): object => (levels === 1 ? { end: 1 } : { a: nested(levels - 1) });
  test.each<[string, object]>([
    ["ten levels below the root", nested(11)],
    ["integers of 2^52 - 1 and -2^52", { a: 2 ** 52 - 1, b: -(2 ** 52) }],
    ["a number that is written with an exponent", { a: 6.02e23 }],
    ["32 KiB that are much more as JSON", Object.fromEntries([..."abcdefg"].map((name) => [name, '"'.repeat(4096)]))],
    ["32 KiB to the byte", Object.fromEntries([..."abcdefgh"].map((name) => [name, "x".repeat(4095)]))],
    ["a string of 4 KiB", { a: "x".repeat(4096) }],
    ["a name of 1 KiB", { ["x".repeat(1024)]: 1 }],
    ["deleting", { a: null }],
    ["names in other scripts", { größe: 1, キー: [1, { b: 2 }] }],
  ])("%s is taken", (_what, patch) => expect(JSON.parse(encodeReported(patch))).toEqual(patch));

  test.each<[string, unknown, string]>([
    ["a function, which JSON would leave out", { a: () => 1 }, "ERR_INVALID_ARGUMENT"],
    ["a symbol, which it would too", { a: [Symbol("b")] }, "ERR_INVALID_ARGUMENT"],
    ["eleven levels below the root", nested(12), "ERR_LIMIT"],
    ["an integer of 2^52", { a: { b: [2 ** 52] } }, "ERR_LIMIT"],
    ["null in an array", { a: [{ b: null }] }, "ERR_LIMIT"],
    ["undefined in an array, which JSON makes null", { a: [undefined] }, "ERR_LIMIT"],
    [
      "numbers, which are 8 bytes each however short",
      Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`k${index}`, 1])),
      "ERR_LIMIT",
    ],
    ["a string over 4 KiB", { a: "ü".repeat(2049) }, "ERR_LIMIT"],
    ["a name over 1 KiB", { ["ü".repeat(513)]: 1 }, "ERR_LIMIT"],
    ["an empty name", { "": 1 }, "ERR_LIMIT"],
    ["a dot in a name", { a: [{ "b.c": 1 }] }, "ERR_LIMIT"],
    ["a dollar in a name", { $a: 1 }, "ERR_LIMIT"],
    ["a space in a name", { "a b": 1 }, "ERR_LIMIT"],
    ["a control character in a name", { "a\u0085": 1 }, "ERR_LIMIT"],
    [
      "32 KiB and a byte",
      Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`a${index}`, "x".repeat(3700)])),
      "ERR_LIMIT",
    ],
    ["not a number, which would delete", { a: Number.NaN }, "ERR_INVALID_ARGUMENT"],
    ["infinity", { a: [Infinity] }, "ERR_INVALID_ARGUMENT"],
    ["no valid date, which would delete", { a: { b: new Date(Number.NaN) } }, "ERR_INVALID_ARGUMENT"],
    ["a bigint", { a: 1n }, "ERR_INVALID_ARGUMENT"],
    ["a Map, which JSON would empty", { a: [new Map([["b", 1]])] }, "ERR_INVALID_ARGUMENT"],
    ["a promise that was not waited for", { a: Promise.resolve(1) }, "ERR_INVALID_ARGUMENT"],
    ["a Set", new Set([1]), "ERR_INVALID_ARGUMENT"],
    ["an array", [1], "ERR_INVALID_ARGUMENT"],
    ["null", null, "ERR_INVALID_ARGUMENT"],
    ["text", "{}", "ERR_INVALID_ARGUMENT"],
    ["nothing", undefined, "ERR_INVALID_ARGUMENT"],
  ])("%s is refused", (_what, patch, code) => {
    expect(() => encodeReported(patch)).toThrow(expect.objectContaining({ code, retryable: false }));
  });

  test("the error says why it is no JSON", () => {
    expect(() => encodeReported({ a: () => 1 })).toThrow(
      expect.objectContaining({
        message: 'the reported properties cannot be written as JSON: JSON cannot say a Function, which "a" is',
      }),
    );
  });
});

describe("through the hub", () => {
  test("read, report, hear of changes", async () => {
    const device = await lab.device("twin");
    const changes: unknown[] = [];
    await device.onDesiredProperties((patch, version) => void changes.push([patch, version]));
    expect(await device.updateReportedProperties({ firmware: "1.0", door: { open: true } })).toEqual({ version: 2 });
    expect(await device.updateReportedProperties({ door: { open: null, locked: true } })).toEqual({ version: 3 });
    lab.hub.updateDesiredProperties("twin", { interval: 5 });
    lab.hub.updateDesiredProperties("twin", { interval: null, mode: { night: true } });
    await until(() => changes.length === 2, "two changes");
    expect(changes).toEqual([
      [{ interval: 5 }, 2],
      [{ interval: null, mode: { night: true } }, 3],
    ]);
    expect(await device.getTwin()).toEqual({
      desired: { mode: { night: true }, $version: 3 },
      reported: { firmware: "1.0", door: { locked: true }, $version: 3 },
    });
    expect(lab.hub.twin("twin").reported).toEqual({ firmware: "1.0", door: { locked: true } });
    expect(device.errors).toEqual([]);
  });

  test("what was missed without a connection is one patch, once; then changes go on", async () => {
    const device = await lab.device("missed");
    const changes: [unknown, number][] = [];
    lab.hub.updateDesiredProperties("missed", { a: 1, gone: true, deep: { x: 1, y: 2 } });
    const { desired } = await device.getTwin();
    expect(desired.$version).toBe(2);
    await device.onDesiredProperties((patch, version) => void changes.push([patch, version]));
    lab.hub.disconnectDevice("missed");
    lab.hub.updateDesiredProperties("missed", { gone: null, deep: { x: 3 } });
    lab.hub.updateDesiredProperties("missed", { b: 2 });
    await next(device, "connect");
    await until(() => changes.length > 0, "what was missed");
    lab.hub.updateDesiredProperties("missed", { c: 3 });
    await until(() => changes.length > 1, "what came later");
    lab.hub.disconnectDevice("missed");
    await next(device, "connect");
    await device.getTwin();
    expect(changes).toEqual([
      [{ gone: null, deep: { x: 3 }, b: 2 }, 4],
      [{ c: 3 }, 5],
    ]);
  });

  test("what changed between reading the twin and listening is heard", async () => {
    const device = await lab.device("between");
    await device.getTwin();
    lab.hub.updateDesiredProperties("between", { late: 1 });
    const change = new Promise(
      (resolve) => void device.onDesiredProperties((patch, version) => resolve([patch, version])),
    );
    expect(await change).toEqual([{ late: 1 }, 2]);
  });

  test("one handler call at a time, and one that fails is reported", async () => {
    const device = await lab.device("serial");
    const log: string[] = [];
    await device.onDesiredProperties(async (_patch, version) => {
      log.push(`start ${version}`);
      await new Promise((resolve) => setImmediate(resolve));
      log.push(`end ${version}`);
      if (version === 2) throw new Error("no");
    });
    for (const value of [1, 2, 3]) lab.hub.updateDesiredProperties("serial", { value });
    await until(() => log.length === 6, "three calls");
    expect(log).toEqual(["start 2", "end 2", "start 3", "end 3", "start 4", "end 4"]);
    expect(device.errors).toMatchObject([{ code: "ERR_HANDLER" }]);
  });

  test("a handler that never settles is given up, and what changes later is told", async () => {
    const device = await lab.device("stuck", { handlerTimeout: 20 });
    const versions: number[] = [];
    await device.onDesiredProperties((_patch, version) => {
      versions.push(version);
      return version === 2 ? new Promise(() => {}) : undefined;
    });
    for (const value of [1, 2]) lab.hub.updateDesiredProperties("stuck", { value });
    await until(() => versions.length === 2, "the second call");
    expect(versions).toEqual([2, 3]);
    expect(device.errors).toMatchObject([{ code: "ERR_HANDLER" }]);
  });

  test.each([
    [400, "ERR_HUB_STATUS", false],
    [404, "ERR_HUB_STATUS", false],
    [429, "ERR_THROTTLED", true],
    [500, "ERR_HUB_STATUS", true],
    [503, "ERR_HUB_STATUS", true],
  ])("status %i is %s", async (status, code, retryable) => {
    const device = await lab.device(`status-${status}`);
    lab.hub.faults.twin = status;
    for (const call of [device.getTwin(), device.updateReportedProperties({ a: 1 })]) {
      expect(await failure(call)).toMatchObject({ name: "HubwireError", code, status, retryable });
    }
  });

  test("no answer: the deadline, the signal, close()", async () => {
    lab.hub.faults.twin = "silent";
    const device = await lab.device("silent", { operationTimeout: 150 });
    expect(await failure(device.getTwin())).toMatchObject({ code: "ERR_TIMEOUT", retryable: true });
    const abort = new AbortController();
    const aborted = failure(device.getTwin({ signal: abort.signal }));
    abort.abort();
    expect(await aborted).toMatchObject({ code: "ERR_ABORTED" });
    expect(await failure(device.getTwin({ signal: AbortSignal.abort() }))).toMatchObject({ code: "ERR_ABORTED" });
    const closed = failure(device.updateReportedProperties({ a: 1 }));
    await device.close();
    expect(await closed).toMatchObject({ code: "ERR_CLOSED" });
    expect(await failure(device.getTwin())).toMatchObject({ code: "ERR_CLOSED" });
  });

  test("a request that is pending when the connection goes is sent again", async () => {
    lab.hub.faults.twin = "silent";
    const device = await lab.device("pending");
    const [twin, patch] = [device.getTwin(), device.updateReportedProperties({ a: 1 })];
    await next(lab.hub, "subscribed");
    await device.sendTelemetry("a round trip");
    lab.hub.faults.twin = undefined;
    lab.hub.disconnectDevice("pending");
    expect(await twin).toMatchObject({ desired: { $version: 1 } });
    expect(await patch).toEqual({ version: 2 });
    expect(lab.hub.twin("pending").reportedVersion).toBe(2);
  });

  test("without reconnecting it is rejected at once", async () => {
    lab.hub.faults.twin = "silent";
    const device = await lab.device("no-reconnect", { reconnect: false });
    const twin = failure(device.getTwin());
    await next(lab.hub, "subscribed");
    await device.sendTelemetry("a round trip");
    lab.hub.disconnectDevice("no-reconnect");
    expect(await twin).toMatchObject({ code: "ERR_CONNECTION_LOST" });
    expect(await failure(device.getTwin())).toMatchObject({ code: "ERR_NOT_CONNECTED" });
    lab.hub.faults.twin = undefined;
    await device.connect();
    expect(await device.getTwin()).toMatchObject({ desired: { $version: 1 } });
  });

  test("before connect() it waits", async () => {
    const device = lab.client(lab.hub.createDevice("early").connectionString);
    const twin = device.getTwin();
    await device.connect();
    expect(await twin).toMatchObject({ reported: { $version: 1 } });
  });

  test("a hub that refuses the subscription: the promise and the error event say so", async () => {
    const device = lab.client(lab.hub.createDevice("refused").connectionString, { operationTimeout: 200 });
    await device.close();
    expect(await failure(device.onDesiredProperties(() => {}))).toMatchObject({ code: "ERR_CLOSED" });
  });
});

test("with a clock that only the test moves, the deadline is exact", async () => {
  lab.hub.faults.twin = "silent";
  const clock = new FakeClock();
  clock.wallOffset = Date.now();
  const device = await lab.device("exact", { clock, operationTimeout: 30_000, keepAlive: 0 });
  const twin = failure(device.getTwin());
  await next(lab.hub, "subscribed");
  await device.sendTelemetry("a round trip");
  let over = false;
  void twin.then(() => (over = true));
  clock.advance(29_999);
  await new Promise((resolve) => setImmediate(resolve));
  expect(over).toBe(false);
  clock.advance(1);
  expect(await twin).toMatchObject({ code: "ERR_TIMEOUT", message: expect.stringContaining("30000 ms") });
});
