/** Which TLS session may be offered again: under terms that are equal in all that decides trust, and once. */
import { createSecureContext, type ConnectionOptions, type SecureContext } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { termsOf, TlsSessions } from "../../src/transport/tls-sessions.js";

const terms = (options: object): string => termsOf(options as ConnectionOptions);
class Holder {
  value = 1;
}
const one = new Holder();
const check = (): undefined => undefined;
const bare = (): object => Object.assign(Object.create(null) as object, { pem: "x" });

describe("terms", () => {
  const environment = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  afterEach(() => {
    if (environment === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = environment;
  });

  test.each<[string, () => object]>([
    ["text", () => ({ ca: "x" })],
    ["bytes, whatever memory they are in", () => ({ ca: Buffer.from("..x").subarray(2) })],
    ["other views of bytes", () => ({ ca: new Uint8Array([1, 2, 3]).subarray(1) })],
    ["lists", () => ({ ca: ["x", Buffer.from("y")] })],
    ["plain objects", () => ({ key: { pem: "x", passphrase: "y" } })],
    ["objects without a prototype", () => ({ key: bare() })],
    ["numbers, booleans and what is not there", () => ({ a: 1, b: true, c: undefined, d: null, e: 1n })],
    ["the very same function", () => ({ checkServerIdentity: check })],
    ["the very same object that is none of data", () => ({ secureContext: one })],
  ])("are equal for equal %s", (_what, make) => {
    expect(terms(make())).toBe(terms(make()));
  });

  test.each<[string, object, object]>([
    ["another text", { ca: "x" }, { ca: "y" }],
    ["another byte", { ca: Buffer.from("x") }, { ca: Buffer.from("y") }],
    ["bytes for text", { ca: Buffer.from("x") }, { ca: "x" }],
    ["text that looks like bytes", { ca: "bx" }, { ca: Buffer.from("x") }],
    ["text that looks like text", { ca: "string x" }, { ca: "x" }],
    ["a text for a number", { a: "1" }, { a: 1 }],
    ["a text that looks like a number", { a: "number 1" }, { a: 1 }],
    ["null for undefined", { a: null }, { a: undefined }],
    ["a name more", { a: 1 }, { a: 1, b: undefined }],
    ["an element more", { a: ["x"] }, { a: ["x", "x"] }],
    ["a function like it", { checkServerIdentity: () => undefined }, { checkServerIdentity: () => undefined }],
    ["an object of a class like it", { secureContext: new Holder() }, { secureContext: new Holder() }],
    ["a function for an object", { a: check }, { a: one }],
    ["what toJSON hides", { a: { x: 1, toJSON: check } }, { a: { x: 2, toJSON: check } }],
    ["a date like it, which is no data", { a: new Date(0) }, { a: new Date(0) }],
  ])("differ for %s", (_what, first, second) => {
    expect(terms(first)).not.toBe(terms(second));
  });

  test("differ with the switch that turns verification off", () => {
    delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    const before = terms({});
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    expect(terms({})).not.toBe(before);
  });

  test("of what goes in a circle are never the same", () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    expect(terms(circle)).not.toBe(terms(circle));
  });

  test("hold no secret", () => {
    expect(terms({ passphrase: "hunter2" })).toMatch(/^[A-Za-z0-9+/]{43}=$/);
  });
});

test("a session is offered once, under its own terms; asked for others it is forgotten", () => {
  const sessions = new TlsSessions();
  const [first, second] = [Buffer.from("1"), Buffer.from("2")];
  expect(sessions.take("a")).toBeUndefined();
  sessions.put("a", first);
  expect(sessions.take("a")).toBe(first);
  expect(sessions.take("a")).toBeUndefined();
  sessions.put("a", first);
  expect(sessions.take("b")).toBeUndefined();
  expect(sessions.take("a")).toBeUndefined();
  sessions.put("a", first);
  sessions.put("b", second);
  expect(sessions.take("b")).toBe(second);
});

test("the context of certificates is made once for equal terms, and anew for others", () => {
  const sessions = new TlsSessions();
  let made = 0;
  const make = (): SecureContext => {
    made++;
    return createSecureContext();
  };
  const first = sessions.context("a", make);
  expect([sessions.context("a", make) === first, made]).toEqual([true, 1]);
  expect([sessions.context("b", make) === first, made]).toEqual([false, 2]);
  expect([sessions.context("a", make) === first, made]).toEqual([false, 3]);
});
