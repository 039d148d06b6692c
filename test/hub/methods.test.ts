/** Direct methods, through a hub, and from a scripted one where a real hub would not. */
import { describe, expect, test } from "vitest";
import { Methods } from "../../src/hub/methods.js";
import type { HubAccess } from "../../src/hub/access.js";
import { Busy } from "../../src/hub/busy.js";
import { HubwireError } from "../../src/errors.js";
import { FakeClock } from "../support/clock.js";
import { laboratory, next, until } from "./lab.js";

const lab = laboratory();

describe("through the hub", () => {
  test("by name, by the catch-all, and unknown", async () => {
    const device = await lab.device("methods");
    await device.onMethod("reboot", ({ name, payload, requestId }) => ({
      status: 202,
      payload: { name, payload, id: typeof requestId },
    }));
    expect(await lab.hub.invokeMethod("methods", "reboot", { delay: 5 })).toMatchObject({
      status: 202,
      payload: { name: "reboot", payload: { delay: 5 }, id: "string" },
    });
    expect(await lab.hub.invokeMethod("methods", "other", 1)).toMatchObject({ status: 501, payload: null });
    await device.onMethod("*", async ({ name, payload }) => ({ payload: [name, payload] }));
    expect(await lab.hub.invokeMethod("methods", "other", null)).toMatchObject({
      status: 200,
      payload: ["other", null],
    });
    await device.onMethod("nothing", () => {});
    expect(await lab.hub.invokeMethod("methods", "nothing", 1)).toMatchObject({ status: 200, payload: null });
    expect(device.errors).toEqual([]);
  });

  test("raw bodies", async () => {
    const device = await lab.device("raw");
    await device.onMethod(
      "echo",
      ({ payload }) => ({ status: 200, payload: Buffer.from(payload as Uint8Array).reverse() }),
      { raw: true },
    );
    expect(await lab.hub.invokeMethod("raw", "echo", Uint8Array.of(0x31, 0x32))).toMatchObject({
      status: 200,
      payload: 21,
    });
  });

  test("bytes of any kind as a payload are sent as they are; what JSON would empty is refused", async () => {
    const device = await lab.device("kinds");
    const json = new TextEncoder().encode("[1]").buffer;
    const answers = [json, new DataView(json), new Uint16Array(0), new Map([["a", 1]]), () => 1];
    await device.onMethod("give", ({ payload }) => ({ payload: answers[payload as number] }));
    const got = [];
    for (const index of answers.keys()) got.push(await lab.hub.invokeMethod("kinds", "give", index));
    expect(got.map(({ status, payload }) => [status, payload])).toEqual([
      [200, [1]],
      [200, [1]],
      [200, null],
      [500, null],
      [500, null],
    ]);
    expect(device.errors.map(({ code }) => code)).toEqual(["ERR_INVALID_ARGUMENT", "ERR_INVALID_ARGUMENT"]);
  });

  test("a handler that fails is 500 and says nothing of why; the error event does", async () => {
    const device = await lab.device("failing");
    await device.onMethod("fail", async () => {
      throw new Error("the password is hunter2");
    });
    expect(await lab.hub.invokeMethod("failing", "fail", 1)).toEqual({ status: 500, payload: null });
    expect(device.errors).toMatchObject([{ code: "ERR_HANDLER", cause: { message: "the password is hunter2" } }]);
    expect(device.errors[0]?.message).not.toContain("hunter2");
  });

  test("requests that arrive without a listener for errors do not end the process", async () => {
    const device = await lab.device("listener");
    device.removeAllListeners("error");
    const warned = new Promise<Error>((resolve) => process.once("warning", (warning) => resolve(warning)));
    await device.onMethod("fail", () => {
      throw new Error("alone");
    });
    await lab.hub.invokeMethod("listener", "fail", 1);
    expect(await warned).toMatchObject({ code: "ERR_HANDLER" });
  });

  test("handlers live on after a reconnect, and a response that was being made is sent", async () => {
    const device = await lab.device("reconnect");
    let finish!: () => void;
    let running = false;
    await device.onMethod("slow", async () => {
      running = true;
      await new Promise<void>((resolve) => (finish = resolve));
      return { status: 200, payload: "done" };
    });
    const answer = lab.hub.invokeMethod("reconnect", "slow", 1);
    await until(() => running, "the handler");
    lab.hub.disconnectDevice("reconnect");
    await next(device, "connect");
    finish();
    expect(await answer).toMatchObject({ status: 200, payload: "done" });
  });
});

describe("from a hub that a test plays", () => {
  function play(most = 1_000, publish?: HubAccess["publish"]) {
    const clock = new FakeClock();
    const published: string[] = [];
    const errors: HubwireError[] = [];
    const hub: HubAccess = {
      clock,
      timeout: 30_000,
      connected: () => true,
      publish: publish ?? (async (topic, payload) => void published.push(`${topic} ${Buffer.from(payload)}`)),
      subscribed: async () => {},
      report: (error) => errors.push(error),
      handlerTimeout: 300_000,
      busy: new Busy(),
      random: Math.random,
    };
    return { clock, published, errors, methods: new Methods(hub, most) };
  }
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  const bytes = (text: string) => new TextEncoder().encode(text);

  test("a request without $rid is ignored aloud", async () => {
    const { methods, published, errors } = play();
    methods.on("m", () => ({ status: 200 }), {});
    methods.called("m", undefined, bytes("1"));
    await settled();
    expect(published).toEqual([]);
    expect(errors).toMatchObject([
      { code: "ERR_PROTOCOL_VIOLATION", message: expect.stringContaining("without $rid") },
    ]);
  });

  test("a repeated $rid is answered once while it runs, and again afterwards", async () => {
    const { methods, published, errors } = play();
    let calls = 0;
    methods.on("m", async () => ({ status: 200, payload: ++calls }), {});
    methods.called("m", "7", bytes("1"));
    methods.called("m", "7", bytes("1"));
    await settled();
    expect(published).toEqual(["$iothub/methods/res/200/?$rid=7 1"]);
    expect(errors).toMatchObject([
      { code: "ERR_PROTOCOL_VIOLATION", message: expect.stringContaining("still running") },
    ]);
    methods.called("m", "7", bytes("1"));
    await settled();
    expect(published).toHaveLength(2);
  });

  test("a $rid that comes again on the next connection is another call: it runs, and the answer to it is its own", async () => {
    const { methods, published, errors } = play(2);
    const finish: ((payload: string) => void)[] = [];
    methods.on("m", () => new Promise((resolve) => finish.push((payload) => resolve({ payload }))), {});
    methods.called("m", "1", bytes("1"));
    methods.called("m", "2", bytes("1"));
    methods.lost();
    // As many as may run do still.
    methods.called("m", "3", bytes("1"));
    await settled();
    finish[1]?.("of the second");
    await settled();
    methods.called("m", "1", bytes("1"));
    methods.called("m", "1", bytes("1"));
    finish[0]?.("of the first");
    await settled();
    expect(published).toEqual([
      "$iothub/methods/res/429/?$rid=3 null",
      '$iothub/methods/res/200/?$rid=2 "of the second"',
    ]);
    finish[2]?.("of the other first");
    await settled();
    expect(published[2]).toBe('$iothub/methods/res/200/?$rid=1 "of the other first"');
    expect(published).toHaveLength(3);
    expect(errors.map(({ code }) => code)).toEqual(["ERR_LIMIT", "ERR_PROTOCOL_VIOLATION"]);
  });

  test("a handler that takes too long is 504 at its deadline; what it says later is not sent", async () => {
    const { methods, published, errors, clock } = play();
    let finish!: (response: { status: number }) => void;
    methods.on("m", () => new Promise((resolve) => (finish = resolve)), { timeout: 1_000 });
    methods.called("m", "1", bytes("1"));
    clock.advance(999);
    await settled();
    expect(published).toEqual([]);
    clock.advance(1);
    await settled();
    finish({ status: 200 });
    await settled();
    expect(published).toEqual(["$iothub/methods/res/504/?$rid=1 null"]);
    expect(errors).toMatchObject([{ code: "ERR_TIMEOUT" }]);
    expect(clock.pending).toBe(0);
  });

  test.each([
    ["no JSON", "{", 400],
    ["ill-formed UTF-8 is no JSON", "\ufffd", 400],
    ["an empty body is null", "", 200],
  ])("%s: %j is %i", async (_what, body, status) => {
    const { methods, published } = play();
    methods.on("m", ({ payload }) => ({ status: 200, payload }), {});
    methods.called("m", "1", bytes(body));
    await settled();
    expect(published).toEqual([`$iothub/methods/res/${status}/?$rid=1 null`]);
  });

  test.each([
    ["a status that is no integer", { status: 2.5 }],
    ["a status of more than 32 bits, over which the hub closes the connection", { status: 2 ** 31 }],
    ["a payload that was not waited for", { status: 200, payload: Promise.resolve(1) }],
    ["a payload that JSON would empty within", { status: 200, payload: { a: new Map([[1, 2]]) } }],
    ["a payload with NaN", { status: 200, payload: [Number.NaN] }],
    ["a status that is text", { status: "200" as never }],
    ["a payload over 128 KiB", { status: 200, payload: "x".repeat(131_072) }],
    ["a payload that is no JSON", { status: 200, payload: 1n }],
    ["a handler that throws null", null as never],
  ])("%s is 500", async (_what, response) => {
    const { methods, published, errors, clock } = play();
    methods.on("m", () => (response === null ? Promise.reject(null) : response), {});
    methods.called("m", "1", bytes("1"));
    await settled();
    expect(published).toEqual(["$iothub/methods/res/500/?$rid=1 null"]);
    expect(errors).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  test.each<[string, unknown, string, RegExp]>([
    ["nothing", undefined, "200 null", /^$/],
    ["null", null, "200 null", /^$/],
    ["no status and no payload", {}, "200 null", /^$/],
    ["bytes that are JSON", { payload: bytes("[1]") }, "200 [1]", /^$/],
    ["no bytes at all", { payload: bytes("") }, "200 ", /^$/],
    ["bytes that are no JSON", { payload: bytes("[1") }, "500 null", /JSON or empty/],
    ["what belongs into the payload", { speed: 3 }, "500 null", /under "speed" belongs into payload/],
    ["a bare number", 3, "500 null", /not a number/],
    ["a bare string", "ok", "500 null", /not a string/],
    ["a bare array", [1], "500 null", /not an array/],
  ])("a handler that returns %s", async (_what, response, answer, error) => {
    const { methods, published, errors } = play();
    methods.on("m", () => response as never);
    methods.called("m", "1", bytes("1"));
    await settled();
    const [status, payload] = answer.split(" ");
    expect(published).toEqual([`$iothub/methods/res/${status}/?$rid=1 ${payload}`]);
    expect(errors.map(({ code, message }) => `${code} ${message}`).join()).toMatch(
      error.source === "^$" ? error : new RegExp(`ERR_INVALID_ARGUMENT.*${error.source}`),
    );
  });

  const LIMIT = 128 * 1024;
  test.each<[string, unknown, number]>([
    ["of exactly the limit", "x".repeat(LIMIT - 2), 200],
    ["of one byte more", "x".repeat(LIMIT - 1), 500],
    ["of one byte more, in fewer characters", "ö".repeat(LIMIT / 2 - 1) + "x", 500],
    ["that is bytes, of exactly the limit", bytes(`"${"x".repeat(LIMIT - 2)}"`), 200],
    ["that is bytes, of one byte more", bytes(`"${"x".repeat(LIMIT - 1)}"`), 500],
    ["that is bytes and no JSON, of one byte more", new Uint8Array(LIMIT + 1), 500],
  ])("a response %s", async (_what, payload, status) => {
    const { methods, published, errors } = play();
    methods.on("m", () => ({ payload }));
    methods.called("m", "1", bytes("1"));
    await settled();
    expect(published.map((text) => text.split(" ")[0])).toEqual([`$iothub/methods/res/${status}/?$rid=1`]);
    expect(errors.map(({ code }) => code)).toEqual(status === 200 ? [] : ["ERR_LIMIT"]);
  });

  test("bytes that are no JSON, of exactly the limit, are told as such", async () => {
    const { methods, errors } = play();
    methods.on("m", () => ({ payload: new Uint8Array(LIMIT) }));
    methods.called("m", "1", bytes("1"));
    await settled();
    expect(errors.map(({ code }) => code)).toEqual(["ERR_INVALID_ARGUMENT"]);
  });

  test("a response that could not be sent is an error event, and its $rid is free again", async () => {
    const sent: string[] = [];
    const causes = [new HubwireError("ERR_CLOSED", "the client is closed"), new Error("odd")];
    const { methods, errors } = play(1_000, async (topic) => {
      const cause = causes.shift();
      if (cause) throw cause;
      sent.push(topic);
    });
    methods.on("m", () => {});
    for (let call = 0; call < 3; call++) {
      methods.called("m", "1", bytes("1"));
      await settled();
    }
    expect(errors).toMatchObject([
      { code: "ERR_CLOSED" },
      { message: expect.stringContaining("a method's response could not be sent"), cause: { message: "odd" } },
    ]);
    expect(sent).toEqual(["$iothub/methods/res/200/?$rid=1"]);
  });

  test("calls over the bound are turned away with 429, told of once, until there is room", async () => {
    const { methods, published, errors } = play(2);
    const finish: (() => void)[] = [];
    methods.on("m", () => new Promise((resolve) => finish.push(resolve)));
    for (const id of ["1", "2", "3", "4"]) methods.called("m", id, bytes("1"));
    await settled();
    expect(published).toEqual(["$iothub/methods/res/429/?$rid=3 null", "$iothub/methods/res/429/?$rid=4 null"]);
    expect(errors).toMatchObject([{ code: "ERR_LIMIT", message: expect.stringContaining("2 method handlers") }]);
    for (const done of finish.splice(0)) done();
    await settled();
    for (const id of ["5", "6", "7"]) methods.called("m", id, bytes("1"));
    await settled();
    expect(published.slice(4)).toEqual(["$iothub/methods/res/429/?$rid=7 null"]);
    expect(errors).toHaveLength(2);
    for (const done of finish) done();
  });

  test("a later handler of a name takes the place of the earlier one", async () => {
    const { methods, published } = play();
    methods.on("m", () => ({ payload: "first" }));
    methods.on("m", () => ({ payload: "second" }));
    methods.called("m", "1", bytes(""));
    await settled();
    expect(published).toEqual(['$iothub/methods/res/200/?$rid=1 "second"']);
  });
});
