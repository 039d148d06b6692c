/** The check of options: what passes, what does not, and that nothing but ERR_INVALID_ARGUMENT leaves it. */
import { describe, expect, test } from "vitest";
import { checkOptions, checkValue, type Rules } from "../src/check.js";

const RULES: Rules = {
  name: "string",
  secret: "string|object",
  port: [1, 65_535],
  wait: [0, Infinity],
  any: "any",
  only: "object",
};

describe("checkOptions", () => {
  test.each<[object | undefined, object]>([
    [undefined, {}],
    [{}, {}],
    [{ name: "x" }, { name: "x" }],
    [{ name: undefined }, { name: undefined }],
    [{ secret: {} }, { secret: {} }],
    [
      { port: 1, wait: 0.5, any: null },
      { port: 1, wait: 0.5, any: null },
    ],
    [{ wait: Infinity }, { wait: Infinity }],
    // What destructuring would find.
    [Object.create({ name: "inherited" }) as object, { name: "inherited" }],
  ])("%j passes", (options, copy) => expect(checkOptions(options, RULES, "call")).toEqual(copy));

  const throwing = {
    get name(): string {
      throw new Error("hunter2");
    },
  };
  const unreadable = new Proxy(
    {},
    {
      ownKeys: () => {
        throw new Error("hunter2");
      },
    },
  );
  test.each<[message: string, options: () => unknown]>([
    ["the options of call must be an object", () => null],
    ["the options of call must be an object", () => 5],
    ["the options of call must be an object", () => "name"],
    ["the options of call must be an object", () => () => {}],
    ["the options of call must be an object", () => []],
    ['unknown option "nmae" of call; there are: name, secret, port, wait, any, only', () => ({ nmae: "x" })],
    ['unknown option "Name" of call; is name meant?', () => ({ Name: "x" })],
    [
      'unknown option "__proto__" of call; there are: name, secret, port, wait, any, only',
      () => JSON.parse('{"__proto__":1}'),
    ],
    ['unknown option "toString" of call; there are: name, secret, port, wait, any, only', () => ({ toString: 1 })],
    ["option name of call must be a string, not number", () => ({ name: 5 })],
    ["option name of call must be a string, not null", () => ({ name: null })],
    ["option secret of call must be a string or object, not number", () => ({ secret: 5 })],
    ["option secret of call must be a string or object, not null", () => ({ secret: null })],
    ["option only of call must be a object, not null", () => ({ only: null })],
    ["option port of call must be a whole number from 1 to 65535", () => ({ port: 0 })],
    ["option port of call must be a whole number from 1 to 65535", () => ({ port: 1.5 })],
    ["option port of call must be a whole number from 1 to 65535", () => ({ port: "80" })],
    ["option wait of call must be a number from 0 to Infinity", () => ({ wait: Number.NaN })],
    ["option name of call cannot be read", () => throwing],
    ["the options of call cannot be read", () => unreadable],
  ])("refused: %s", (message, options) => {
    let error: unknown;
    try {
      checkOptions(options() as object, RULES, "call");
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ name: "HubwireError", code: "ERR_INVALID_ARGUMENT", message });
    expect((error as Error).cause).toBeUndefined();
  });

  test("each option is read once, so that what was checked is what is used", () => {
    let reads = 0;
    const options = {
      get name(): unknown {
        return reads++ === 0 ? "x" : 5;
      },
    };
    expect(checkOptions(options, RULES, "call")).toEqual({ name: "x" });
    expect(reads).toBe(1);
  });
});

test("checkValue says what is wrong and never the value", () => {
  expect(() => checkValue("x", "string", "the topic")).not.toThrow();
  expect(() => checkValue("hunter2", "function", "the handler")).toThrow(
    /^the handler must be a function, not string$/,
  );
});
