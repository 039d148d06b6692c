/** What callers hand over with each call: what is taken as it is, and what is refused however it comes. */
import { describe, expect, test } from "vitest";
import {
  checkMessage,
  closeOptions,
  connectOptions,
  publishOptions,
  renewOptions,
  subscribeArguments,
  trustTopic,
  unsubscribeArguments,
} from "../../src/client/arguments.js";

const invalid = expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" });
const aborted = expect.objectContaining({ code: "ERR_ABORTED" });
const throwing = {
  get qos(): number {
    throw new Error("broken");
  },
};

describe("of publish", () => {
  test("are completed, in every combination", () => {
    expect(publishOptions(undefined)).toEqual({ qos: 0, retain: false });
    expect(publishOptions({})).toEqual({ qos: 0, retain: false });
    for (const qos of [0, 1, 2] as const)
      for (const retain of [false, true]) {
        expect(publishOptions({ qos, retain })).toEqual({ qos, retain });
        expect(publishOptions({ qos, retain, signal: undefined })).toEqual({ qos, retain });
      }
    expect(publishOptions({ retain: true })).toEqual({ qos: 0, retain: true });
  });

  test("with a signal are looked at in full", () => {
    const { signal } = new AbortController();
    expect(publishOptions({ qos: 1, signal })).toEqual({ qos: 1, signal });
    expect(() => publishOptions({ signal: AbortSignal.abort() })).toThrow(aborted);
  });

  test("of one object are those that it has at the time", () => {
    const options: { qos: 0 | 1 | 2; retain?: boolean } = { qos: 1 };
    expect(publishOptions(options)).toMatchObject({ qos: 1, retain: false });
    options.qos = 2;
    options.retain = true;
    expect(publishOptions(options)).toMatchObject({ qos: 2, retain: true });
    const { signal } = new AbortController();
    expect(publishOptions(Object.assign(options, { signal }))).toEqual({ qos: 2, retain: true, signal });
    options.qos = 3 as never;
    expect(() => publishOptions(options)).toThrow(invalid);
  });

  test.each([
    [null],
    [5],
    ["qos"],
    [{ qos: 3 }],
    [{ qos: -1 }],
    [{ qos: "1" }],
    [{ qos: null }],
    [{ retain: 1 }],
    [{ qos: 1, retain: "no" }],
    [{ qoS: 1 }],
    [{ qos: 1, dup: true }],
    [{ signal: 5 }],
    [[]],
  ])("%j are refused", (options) => {
    for (let again = 0; again < 2; again++) expect(() => publishOptions(options as never)).toThrow(invalid);
  });
});

test("that can't be read are refused", () => {
  expect(() => publishOptions(throwing as never)).toThrow(invalid);
});

describe("a message", () => {
  test("to a topic that was made here passes, and no other does with it", () => {
    trustTopic("devices/d/messages/events/a=1");
    expect(() => checkMessage("devices/d/messages/events/a=1", "x")).not.toThrow();
    expect(() => checkMessage("devices/d/messages/events/#", "x")).toThrow(invalid);
  });

  test("has a topic and a payload, text or bytes", () => {
    for (const payload of ["", "x", new Uint8Array(0), Buffer.from("x")])
      for (let again = 0; again < 2; again++) expect(() => checkMessage("a/b", payload)).not.toThrow();
  });

  test.each(["", "a/#", "+", "a\0", "\ud800", undefined, null, 5, {}])("not the topic %j, however often", (topic) => {
    for (let again = 0; again < 2; again++) expect(() => checkMessage(topic, "x")).toThrow(invalid);
    checkMessage("a", "x");
    expect(() => checkMessage(topic, "x")).toThrow(invalid);
  });

  test.each([undefined, null, 5, {}, [1], new ArrayBuffer(1), new DataView(new ArrayBuffer(1))])(
    "not the payload %j",
    (payload) => expect(() => checkMessage("a", payload)).toThrow(invalid),
  );
});

test("subscribe takes a filter, options and a handler, in this order", () => {
  const handler = (): void => {};
  expect(subscribeArguments("a/#", undefined, undefined)).toEqual({});
  expect(subscribeArguments("a/#", { qos: 2 }, handler)).toEqual({ qos: 2 });
  for (const wrong of ["", "a#", "a/+b", "\ud800", 5, undefined])
    expect(() => subscribeArguments(wrong as never, {}, handler)).toThrow(invalid);
  expect(() => subscribeArguments("a", handler as never, undefined)).toThrow(/handler is a function and comes third/);
  expect(() => subscribeArguments("a", {}, {} as never)).toThrow(/handler is a function and comes third/);
  for (const wrong of [{ qos: 3 }, { retain: true }, null, 5, throwing])
    expect(() => subscribeArguments("a", wrong as never, handler)).toThrow(invalid);
  expect(() => subscribeArguments("a", { signal: AbortSignal.abort() }, handler)).toThrow(aborted);
});

test("unsubscribe takes a filter and a signal", () => {
  const { signal } = new AbortController();
  expect(unsubscribeArguments("a/+", { signal })).toEqual({ signal });
  expect(() => unsubscribeArguments("a#", {})).toThrow(invalid);
  expect(() => unsubscribeArguments("a", { qos: 1 } as never)).toThrow(invalid);
  expect(() => unsubscribeArguments("a", { signal: AbortSignal.abort() })).toThrow(aborted);
});

test("connect, reconnect and close take what is theirs", () => {
  const { signal } = new AbortController();
  expect(connectOptions({ timeout: 0, signal })).toEqual({ timeout: 0, signal });
  expect(connectOptions({ timeout: Infinity })).toEqual({ timeout: Infinity });
  expect(renewOptions({ timeout: 1, drainTimeout: 2 })).toEqual({ timeout: 1, drainTimeout: 2 });
  expect(closeOptions({ force: true })).toEqual({ force: true });
  for (const take of [connectOptions, renewOptions, closeOptions] as ((options: never) => unknown)[]) {
    expect(take(undefined as never)).toEqual({});
    for (const wrong of [
      { timeout: -1 },
      { timeout: Number.NaN },
      { force: 1 },
      { other: 1 },
      { drainTimeout: -1 },
      null,
    ])
      expect(() => take(wrong as never)).toThrow(invalid);
  }
  expect(() => connectOptions({ drainTimeout: 2 } as never)).toThrow(invalid);
  expect(() => connectOptions({ signal: AbortSignal.abort() })).toThrow(aborted);
  expect(() => renewOptions({ signal: AbortSignal.abort() })).toThrow(aborted);
});
