/** The options of a client: what they are when left out, what is made of what is given, and what is refused. */
import { describe, expect, test } from "vitest";
import { resolveAddress } from "../../src/client/address.js";
import { bounds } from "../../src/client/bounds.js";
import { type MqttClientOptions, SessionStore } from "../../src/client/index.js";
import { resolveOptions } from "../../src/client/options.js";
import { systemClock } from "../../src/clock.js";
import { FakeClock } from "../support/clock.js";

const resolve = (options: object = {}) => resolveOptions({ host: "h", ...options } as MqttClientOptions, undefined);
const refused = (message: RegExp): unknown =>
  expect.objectContaining({ code: "ERR_INVALID_ARGUMENT", message: expect.stringMatching(message) });

class Store extends SessionStore {
  override load = (): [] => [];
  override put = (): void => {};
  override remove = (): void => {};
  override close = (): void => {};
}

test("what is left out is what the docstrings say", () => {
  expect(resolve()).toEqual({
    endpoint: {
      host: "h",
      port: 8883,
      protocol: "mqtts",
      path: undefined,
      proxy: undefined,
      createConnection: undefined,
      tls: undefined,
    },
    connect: {
      clientId: "",
      cleanSession: true,
      keepAlive: 60,
      username: undefined,
      password: undefined,
      will: undefined,
    },
    session: {
      maxPacketSize: 268_435_460,
      maxInflight: 1_000,
      maxInflightQos2: 16,
      operationTimeout: 30_000,
      poisonDetection: true,
      queue: { maxCount: 100_000, maxBytes: bounds().queue, maxAge: 600_000, overflow: "reject", qos0: true },
      store: undefined,
    },
    connectTimeout: 10_000,
    operationTimeout: 30_000,
    handlerTimeout: 300_000,
    reconnect: { minDelay: 1_000, maxDelay: 60_000 },
    credentials: undefined,
    clock: systemClock,
    random: Math.random,
  });
});

describe("what is given", () => {
  test("takes its place", () => {
    const [store, clock] = [new Store(), new FakeClock()];
    const [tls, credentials, will] = [{ ca: "c" }, () => ({}), { topic: "t", payload: "p" }];
    const given = resolve({
      ...{ clientId: "c", cleanSession: false, keepAlive: 5, username: "u", password: "p", will, tls },
      ...{ maxPacketSize: 100, maxInflight: 20, poisonDetection: false, store, clock, credentials },
      ...{ connectTimeout: 1, operationTimeout: 2, handlerTimeout: 3 },
      offlineQueue: { maxCount: 1, maxBytes: 2, maxAge: 3, overflow: "drop-oldest", qos0: false },
      reconnect: { minDelay: 5, maxDelay: 7 },
    });
    expect(given).toMatchObject({
      endpoint: { tls },
      connect: { clientId: "c", cleanSession: false, keepAlive: 5, username: "u", password: "p", will },
      session: {
        ...{ maxPacketSize: 100, maxInflight: 20, maxInflightQos2: 20, operationTimeout: 2, poisonDetection: false },
        queue: { maxCount: 1, maxBytes: 2, maxAge: 3, overflow: "drop-oldest", qos0: false },
      },
      ...{ connectTimeout: 1, operationTimeout: 2, handlerTimeout: 3, reconnect: { minDelay: 5, maxDelay: 7 } },
    });
    expect([given.session.store, given.clock, given.credentials]).toEqual([store, clock, credentials]);
  });

  test("of reconnect: off, on, or how; the longest delay is not below the first", () => {
    expect(resolve({ reconnect: false }).reconnect).toBeUndefined();
    expect(resolve({ reconnect: true }).reconnect).toEqual({ minDelay: 1_000, maxDelay: 60_000 });
    expect(resolve({ reconnect: { minDelay: 90_000 } }).reconnect).toEqual({ minDelay: 90_000, maxDelay: 90_000 });
  });

  test("of offlineQueue: off, on, or how", () => {
    expect(resolve({ offlineQueue: false }).session.queue).toMatchObject({ maxCount: 0, maxAge: 600_000 });
    expect(resolve({ offlineQueue: true }).session.queue.maxCount).toBe(100_000);
  });

  test("of random is what is between 0 and 1, and chance otherwise", () => {
    const given = (random: () => number): number => resolve({ random }).random();
    expect([given(() => 0), given(() => 0.25)]).toEqual([0, 0.25]);
    for (const wrong of [1, -0.1, Number.NaN, "0.5", 0n]) {
      const value = given(() => wrong as number);
      expect(value).not.toBe(wrong);
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeLessThan(1);
    }
    const broken = given(() => {
      throw new Error("broken");
    });
    expect(broken).toBeLessThan(1);
  });
});

test.each<[string, object, RegExp]>([
  ["another overflow", { offlineQueue: { overflow: "drop-newest" } }, /"reject" or "drop-oldest"/],
  ["a member of no queue", { offlineQueue: { count: 1 } }, /unknown option "count" of offlineQueue/],
  ["a member of no reconnect", { reconnect: { delay: 1 } }, /unknown option "delay" of reconnect/],
  ["a password without a user", { password: "p" }, /make no CONNECT/],
  ["a store without its methods", { store: { load: () => [] } }, /store of MqttClient needs a method put/],
  [
    "a store that was made without the class",
    { store: { load() {}, put() {}, remove() {}, close() {} } },
    /method restore/,
  ],
  [
    "a clock without a timer",
    { clock: { now: () => 0, wallTime: () => 0 } },
    /clock of MqttClient needs a method setTimer/,
  ],
])("%s is refused", (_what, options, message) => expect(() => resolve(options)).toThrow(refused(message)));

test("a second argument goes with a URL, and no argument with nothing", () => {
  expect(resolveOptions("mqtt://h:5", { keepAlive: 7 })).toMatchObject({
    endpoint: { port: 5 },
    connect: { keepAlive: 7 },
  });
  expect(resolveOptions(new URL("mqtt://h"), undefined).endpoint.port).toBe(1883);
  expect(() => resolveOptions({ host: "h" }, {})).toThrow(refused(/goes with a URL/));
  expect(() => resolveOptions(undefined as never, undefined)).toThrow(refused(/options are missing/));
});

describe("an address", () => {
  test("has the port of its protocol where none is given", () => {
    const port = (protocol: never): number => resolveAddress({ host: "h", protocol }).port;
    expect(["mqtts", "mqtt", "wss", "ws"].map((protocol) => port(protocol as never))).toEqual([8883, 1883, 443, 80]);
    expect(resolveAddress({ host: "h", port: 5 }).port).toBe(5);
  });

  test("needs no host where the caller makes the connection", () => {
    const createConnection = (): never => {
      throw new Error("not yet");
    };
    expect(resolveAddress({ createConnection }).host).toBe("localhost");
    expect(resolveAddress({ host: "h", createConnection }).host).toBe("h");
    expect(() => resolveAddress({ createConnection, proxy: "http://p" })).toThrow(refused(/exclude each other/));
  });

  test.each([
    { host: "1.2.3.4" },
    { host: "::1" },
    { host: "1:2::3" },
    { host: "fe80::1%eth0" },
    { host: "h", protocol: "ws", path: "/" },
    { host: "h", protocol: "wss", path: "/a?b=%20" },
    { host: "h", proxy: "environment" },
    { host: "h", proxy: "http://user:password@p:1" },
    { host: "h", proxy: new URL("https://p") },
  ] as const)("%j is one", (address) => expect(resolveAddress(address)).toMatchObject(address));

  test.each<[object, RegExp]>([
    [{}, /host is missing/],
    [{ host: "" }, /host is missing/],
    [{ host: "mqtt://h" }, /host is a URL/],
    [{ host: "h:1883" }, /ends with a port/],
    [{ host: "[::1]" }, /without brackets/],
    [{ host: "u@h" }, /without brackets, path or user/],
    [{ host: "h/p" }, /without brackets/],
    [{ host: "h h" }, /without brackets/],
    [{ host: "h", protocol: "tcp" }, /protocol must be one of mqtts, mqtt, wss, ws/],
    [{ host: "h", protocol: "toString" }, /protocol must be one of/],
    [{ host: "h", path: "/mqtt" }, /path is for protocol wss and ws/],
    [{ host: "h", protocol: "ws", path: "mqtt" }, /must begin with \//],
    [{ host: "h", protocol: "ws", path: "mqtt/a" }, /must begin with \//],
    [{ host: "h", protocol: "ws", path: "/a b" }, /escaped as in a URL/],
    [{ host: "h", protocol: "wss", path: "/a#b" }, /escaped as in a URL/],
    [{ host: "h", proxy: "p:8080" }, /written http:\/\/host:port/],
    [{ host: "h", proxy: "http://" }, /written http:\/\/host:port/],
    [{ host: "h", proxy: "see http://p" }, /written http:\/\/host:port/],
    [{ host: "h", proxy: Object.create(null) }, /written http:\/\/host:port/],
  ])("%j is none", (address, message) => expect(() => resolveAddress(address)).toThrow(refused(message)));
});
