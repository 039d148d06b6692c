/** SAS renewal against a hub that closes the connection when a token expires: nothing is lost, nothing is rejected. */
import { describe, expect, test } from "vitest";
import { createSasToken } from "../../src/hub/index.js";
import { FakeClock } from "../support/clock.js";
import { failure, laboratory, next, until } from "./lab.js";

// Without the five minutes by which a hub lets clocks differ.
const lab = laboratory({ limits: { clockSkew: 0 } });
const DAY = 86_400_000;

/** A device whose renewals the test's clock decides; the hub's own clock stands apart. */
async function withClock(deviceId: string, options: object = {}) {
  const clock = new FakeClock();
  clock.wallOffset = Date.now();
  const { connectionString } = lab.hub.createDevice(deviceId);
  const device = lab.client(connectionString, { clock, keepAlive: 0, random: () => 0.5, ...options });
  await device.connect();
  return { clock, device };
}

/** Moves on until the client has connected again, in steps that let the network work. */
async function advanceToConnect(clock: FakeClock, device: Parameters<typeof next>[0], ms: number): Promise<void> {
  const connected = next(device, "connect");
  clock.advance(ms);
  await connected;
}

describe("by a clock that the test moves", () => {
  test("a token of 30 days is renewed once, after 24 days", async () => {
    const { clock, device } = await withClock("month", { tokenLifetime: 30 * DAY });
    let connects = 0;
    device.on("connect", () => connects++);
    clock.advance(23 * DAY);
    await device.sendTelemetry("still the first connection");
    expect(connects).toBe(0);
    await advanceToConnect(clock, device, DAY + 60_000);
    clock.advance(20 * DAY);
    await device.sendTelemetry("the second");
    expect(connects).toBe(1);
    expect(device.errors).toEqual([]);
  });

  test.each([DAY, -DAY])("a wall clock set by %i ms: renewed on time, and accepted", async (jump) => {
    const { clock, device } = await withClock(`jump${jump}`);
    clock.wallOffset += jump;
    clock.advance(0.79 * 3_600_000);
    await device.sendTelemetry("still the first connection");
    await advanceToConnect(clock, device, 0.02 * 3_600_000);
    await device.sendTelemetry("x");
    expect(device.errors).toEqual([]);
  });

  test("a provider that fails does not cost the connection, and is asked again", async () => {
    const { primaryKey } = lab.hub.createDevice("provider");
    const clock = new FakeClock();
    clock.wallOffset = Date.now();
    let calls = 0;
    const sas = async () => {
      if (++calls === 2) throw new Error("vault sealed");
      return createSasToken({
        hostName: "localhost",
        deviceId: "provider",
        key: primaryKey as string,
        expiry: clock.wallTime() / 1000 + 1_000,
      });
    };
    const device = lab.client(
      { hostName: "localhost", deviceId: "provider", sas },
      { clock, keepAlive: 0, random: () => 0.5 },
    );
    await device.connect();
    const error = next(device, "error");
    clock.advance(801_000);
    expect(await error).toMatchObject({ code: "ERR_SIGNING" });
    expect(device.connected).toBe(true);
    clock.advance(4_999);
    await device.sendTelemetry("x");
    expect(calls).toBe(2);
    await advanceToConnect(clock, device, 1);
    expect(calls).toBe(3);
  });

  /** A device whose provider answers the first time, and then when the test says so. */
  async function withProvider(deviceId: string) {
    const { primaryKey } = lab.hub.createDevice(deviceId);
    const clock = new FakeClock();
    clock.wallOffset = Date.now();
    const there = { hostName: "localhost", deviceId };
    const token = (): string =>
      createSasToken({ ...there, key: primaryKey as string, expiry: clock.wallTime() / 1000 + 1_000 });
    const asked: { resolve(token: string): void; reject(error: Error): void }[] = [];
    let calls = 0;
    const sas = (): string | Promise<string> =>
      ++calls === 1 ? token() : new Promise((resolve, reject) => asked.push({ resolve, reject }));
    const device = lab.client({ ...there, sas }, { clock, keepAlive: 0, random: () => 0.5, reconnect: false });
    await device.connect();
    return { clock, device, asked, token, calls: () => calls };
  }

  test("without a connection, or after close(), no provider is asked", async () => {
    for (const isClosed of [false, true]) {
      const { clock, device, calls } = await withProvider(`away-${isClosed}`);
      const gone = next(device, "disconnect");
      if (isClosed) await device.close();
      else lab.hub.disconnectDevice("away-false");
      await gone;
      clock.advance(900_000);
      expect(calls()).toBe(1);
    }
  });

  test("a provider that fails when the connection is gone is told, and not asked again; after close() it is not told", async () => {
    for (const isClosed of [false, true]) {
      const { clock, device, asked, calls } = await withProvider(`late-${isClosed}`);
      clock.advance(801_000);
      const gone = next(device, "disconnect");
      if (isClosed) await device.close();
      else lab.hub.disconnectDevice("late-false");
      await gone;
      asked[0]?.reject(new Error("vault sealed"));
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(60_000);
      expect(calls()).toBe(2);
      expect(device.errors.map(({ code }) => code)).toEqual(isClosed ? [] : ["ERR_SIGNING"]);
    }
  });

  test("a provider that answers when the connection is gone makes none", async () => {
    const { clock, device, asked, token } = await withProvider("lost");
    clock.advance(801_000);
    const gone = next(device, "disconnect");
    lab.hub.disconnectDevice("lost");
    await gone;
    asked[0]?.resolve(token());
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(60_000);
    expect(await failure(device.sendTelemetry("x"))).toMatchObject({ code: "ERR_NOT_CONNECTED" });
    expect(device.connected).toBe(false);
  });

  test("a provider that never answers is asked again", async () => {
    const { primaryKey } = lab.hub.createDevice("silent");
    const clock = new FakeClock();
    clock.wallOffset = Date.now();
    const there = { hostName: "localhost", deviceId: "silent" };
    let calls = 0;
    const sas = () => {
      if (++calls === 2) return new Promise<string>(() => {});
      return createSasToken({ ...there, key: primaryKey as string, expiry: clock.wallTime() / 1000 + 1_000 });
    };
    const device = lab.client({ ...there, sas }, { clock, keepAlive: 0, random: () => 0.5 });
    await device.connect();
    const error = next(device, "error");
    clock.advance(801_000);
    await device.sendTelemetry("the old connection serves");
    clock.advance(30_000);
    expect(await error).toMatchObject({ code: "ERR_SIGNING" });
    expect(device.connected).toBe(true);
    await advanceToConnect(clock, device, 5_000);
    expect(calls).toBe(3);
  });

  test("a provider of an identity that was replaced meanwhile is not told of, whatever it does", async () => {
    const { primaryKey } = lab.hub.createDevice("replaced");
    const clock = new FakeClock();
    clock.wallOffset = Date.now();
    const there = { hostName: "localhost", deviceId: "replaced" };
    let calls = 0;
    let fail = (_error: Error): void => {};
    const sas = (): string | Promise<string> =>
      ++calls === 2
        ? new Promise((_, reject) => (fail = reject))
        : createSasToken({ ...there, key: primaryKey as string, expiry: clock.wallTime() / 1000 + 1_000 });
    const reprovision = (): string => lab.hub.createDevice("replacement").connectionString;
    const device = lab.client({ ...there, sas }, { clock, keepAlive: 0, random: () => 0.5, reprovision });
    await device.connect();
    clock.advance(801_000);
    const reconnecting = next(device, "reconnecting");
    const connected = next(device, "connect");
    lab.hub.removeDevice("replaced");
    await reconnecting;
    clock.advance(50);
    await connected;
    expect(device.deviceId).toBe("replacement");
    fail(new Error("vault sealed"));
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(60_000);
    await device.sendTelemetry("x");
    expect(calls).toBe(3);
    expect(device.errors).toEqual([]);
  });

  test("handlers that run may finish before: nothing is answered late or delivered twice", async () => {
    const { clock, device } = await withClock("handlers", { tokenLifetime: 100_000 });
    clock.advance(79_000);
    const finish: (() => void)[] = [];
    const wait = () => new Promise<void>((resolve) => finish.push(resolve));
    const seen: boolean[] = [];
    await device.messages(({ dup }) => (seen.push(dup), wait()));
    await device.onMethod("slow", wait);
    const { completion } = await lab.hub.sendToDevice("handlers", "x");
    const answer = lab.hub.invokeMethod("handlers", "slow", 1);
    await until(() => finish.length === 2, "both handlers");
    let connects = 0;
    device.on("connect", () => connects++);
    clock.advance(2_000);
    await device.sendTelemetry("still the first connection");
    clock.advance(4_000);
    await device.sendTelemetry("and still");
    expect(connects).toBe(0);
    const connected = next(device, "connect");
    for (const done of finish) done();
    expect(await completion).toBe("Success");
    expect(await answer).toMatchObject({ status: 200 });
    await connected;
    expect(seen).toEqual([false]);
    expect(device.errors).toEqual([]);
  });

  test("a handler that never ends does not keep a renewal from being in time", async () => {
    const { clock, device } = await withClock("stuck", { tokenLifetime: 10_000 });
    let started = false;
    await device.messages(() => ((started = true), new Promise(() => {})));
    await lab.hub.sendToDevice("stuck", "x");
    await until(() => started, "the handler");
    // A token lives up to a second longer than asked for: its expiry is a whole second.
    clock.advance(9_000);
    await device.sendTelemetry("a round trip");
    // A third of what is left of the ten seconds, and a little.
    await advanceToConnect(clock, device, 1_000);
    expect(device.errors).toEqual([]);
  });

  test("close() leaves no timer, also where handlers never end", async () => {
    const { clock, device } = await withClock("timers");
    let running = 0;
    const never = (): Promise<never> => (running++, new Promise(() => {}));
    await device.onMethod("m", never);
    await device.onDesiredProperties(never);
    lab.hub.updateDesiredProperties("timers", { a: 1 });
    lab.hub.invokeMethod("timers", "m").catch(() => {});
    await until(() => running === 2, "both handlers");
    await device.close();
    expect(clock.pending).toBe(0);
  });
});

test("a token given as text: when the hub closes, the client says that it cannot go on", async () => {
  const { primaryKey } = lab.hub.createDevice("fixed");
  const expiry = Math.floor(Date.now() / 1000) + 2;
  const token = createSasToken({ hostName: "localhost", deviceId: "fixed", key: primaryKey as string, expiry });
  const device = lab.client(`HostName=localhost;DeviceId=fixed;SharedAccessSignature=${token}`);
  await device.connect();
  const lost = next(device, "disconnect");
  const error = next(device, "error");
  expect(await lost).toMatchObject({
    code: "ERR_CONNECTION_LOST",
    message: expect.stringMatching(/likely: the SAS token expired/),
  });
  expect(await error).toMatchObject({ code: "ERR_SAS_EXPIRED", retryable: false });
  expect(await failure(device.sendTelemetry("x"))).toMatchObject({ code: "ERR_NOT_CONNECTED" });
});
