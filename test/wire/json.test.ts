/** JSON that is sent: nothing of a value becomes another one, or nothing, without a word. */
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { encodeJson } from "../../src/wire/json.js";

test("what JSON can say is written as JSON does", () => {
  const cyclicFree = { toJSON: () => ({ a: null }) };
  const values = [null, 0, "", false, [], {}, { a: undefined }, { a: {}, b: [null, {}] }, new Date(0), "{}", "null"];
  const more = [Object.create(null), cyclicFree, { a: new Number(1), b: new String("") }, Uint8Array.of(1)];
  for (const value of [...values, ...more, runInNewContext("({ a: {} })")]) {
    for (const whole of [true, false]) expect(encodeJson(value, "it", whole)).toBe(JSON.stringify(value));
  }
  expect(encodeJson({ a: () => 1, b: Symbol("s") }, "it")).toBe("{}");
});

test.each<[string, unknown, string]>([
  ["a Map", new Map([[1, 2]]), "a Map"],
  ["a Set inside", { a: [new Set([1])] }, 'a Set, which "0" is'],
  ["a Map of another realm", { a: runInNewContext("new Map([[1, 2]])") }, 'a Map, which "a" is'],
  ["a promise that was not waited for", { a: Promise.resolve(1) }, 'a Promise, which "a" is'],
  ["an Error", { error: new Error("x") }, 'a Error, which "error" is'],
  ["a pattern", { a: /x/ }, 'a RegExp, which "a" is'],
  ["bytes that are no view", { a: new ArrayBuffer(2) }, 'a ArrayBuffer, which "a" is'],
  ["NaN", Number.NaN, "NaN"],
  ["NaN inside", { a: { temperature: Number.NaN } }, 'NaN, which "temperature" is'],
  ["infinity", { a: [-Infinity] }, '-Infinity, which "0" is'],
  ["a date that is none", { at: new Date(Number.NaN) }, 'a Date, which "at" is'],
])("%s is refused, because it would be written as {} or null", (_what, value, why) => {
  for (const whole of [true, false]) {
    expect(() => encodeJson(value, "it", whole)).toThrow(
      expect.objectContaining({
        code: "ERR_INVALID_ARGUMENT",
        message: `it cannot be written as JSON: JSON cannot say ${why}`,
      }),
    );
  }
});

test("functions and symbols are refused where nothing may be left out", () => {
  for (const value of [{ a: () => 1 }, { a: Symbol("s") }]) {
    expect(() => encodeJson(value, "it", true)).toThrow(
      /^it cannot be written as JSON: JSON cannot say a (Function|Symbol), which "a" is$/,
    );
  }
});

test("what is no JSON value at all is refused", () => {
  for (const value of [undefined, () => 1, Symbol("s")])
    expect(() => encodeJson(value, "it")).toThrow("it is missing, or no JSON value");
  const cyclic: { a?: unknown } = {};
  cyclic.a = cyclic;
  for (const value of [1n, cyclic]) {
    expect(() => encodeJson(value, "it")).toThrow(
      expect.objectContaining({ message: "it cannot be written as JSON", cause: expect.any(TypeError) }),
    );
  }
});
