/** When tokens are made, for which time, and when they are renewed, by a clock that the test moves. */
import { describe, expect, test } from "vitest";
import { HubwireError } from "../../src/errors.js";
import {
  CredentialSource,
  divideOptions,
  isSameIdentity,
  resolveIdentity,
  type DeviceOptions,
} from "../../src/hub/credentials.js";
import { createSasToken, parseSasToken } from "../../src/wire/sas.js";
import { FakeClock } from "../support/clock.js";

const key = Buffer.alloc(32, 7).toString("base64");
const DAY = 86_400_000;
const identity = (options: Partial<DeviceOptions> = {}): DeviceOptions => ({
  hostName: "h",
  deviceId: "d",
  ...(options.sas || options.sharedAccessSignature || options.x509 ? {} : { sharedAccessKey: key }),
  ...options,
});

function source(options: Partial<DeviceOptions> = {}, random = () => 0.5) {
  const clock = new FakeClock();
  return {
    clock,
    source: new CredentialSource(resolveIdentity(identity(options), undefined), "d", { ca: "CA" }, clock, random),
  };
}
const expiry = async (from: CredentialSource) => parseSasToken((await from.next()).password as string).expiry * 1000;

const pem = (kind: string, text: string): string => `-----BEGIN ${kind}-----\n${text}`;
const CERT = { cert: pem("CERTIFICATE", "1"), key: pem("PRIVATE KEY", "KEY") };

describe("what a device is made of", () => {
  const resolve = (options: Partial<DeviceOptions>, tls = {}): DeviceOptions => resolveIdentity(identity(options), tls);

  test("what is not the identity's is the connection's, and what follows from the identity is nobody's", () => {
    const [first, rest] = divideOptions(
      { hostName: "h", deviceId: "d" },
      { moduleId: "m", keepAlive: 5, clientIds: 1 },
    );
    expect(first).toEqual({ hostName: "h", deviceId: "d", moduleId: "m" });
    expect(rest).toEqual({ keepAlive: 5, clientIds: 1 });
    expect(divideOptions({ hostName: "h", deviceId: "d" }, { myPassword: 1, thepassword: 1 })[1]).toEqual({
      myPassword: 1,
      thepassword: 1,
    });
    for (const name of ["clientId", "username", "password", "credentials"])
      expect(() => divideOptions({ hostName: "h", deviceId: "d" }, { [name]: "x" })).toThrow(
        `${name} follows from the device's identity`,
      );
  });

  test("is the same where all of it is", () => {
    const sas = (): string => "";
    const one = resolve({ x509: CERT, apiVersion: null, modelId: "m" });
    expect(isSameIdentity(one, resolve({ x509: { ...CERT }, apiVersion: null, modelId: "m" }))).toBe(true);
    expect(isSameIdentity(resolve({ sas }), resolve({ sas }))).toBe(true);
    for (const other of [
      resolve({ x509: { ...CERT, key: pem("PRIVATE KEY", "2") }, apiVersion: null, modelId: "m" }),
      resolve({ x509: CERT, apiVersion: null, modelId: "n" }),
      resolve({ x509: CERT, modelId: "m" }),
      resolve({ x509: CERT, apiVersion: null, modelId: "m", deviceId: "e" }),
      resolve({ apiVersion: null, modelId: "m" }),
    ])
      expect([isSameIdentity(one, other), isSameIdentity(other, one)]).toEqual([false, false]);
    expect(isSameIdentity(resolve({ sas }), resolve({ sas: () => "" }))).toBe(false);
  });

  test.each<[string, Partial<DeviceOptions>]>([
    ["tokens for five seconds", { tokenLifetime: 5_000 }],
    ["tokens for ten years", { tokenLifetime: 3652.5 * DAY }],
    ["renewal at once", { renewAt: 0.05 }],
    ["renewal at the end", { renewAt: 0.95 }],
    ["x509 that is off", { x509: false as never, sharedAccessKey: key }],
    ["a key of another kind", { x509: { ...CERT, key: pem("EC PRIVATE KEY", "K") } }],
    ["an encrypted key", { x509: { ...CERT, key: pem("ENCRYPTED PRIVATE KEY", "K"), passphrase: "p" } }],
    ["bytes", { x509: { cert: Buffer.from(pem("TRUSTED CERTIFICATE", "1")), key: Buffer.from(CERT.key) } }],
  ])("%s: taken", (_what, options) =>
    expect(resolve(options)).toMatchObject(options.x509 ? options : { deviceId: "d" }),
  );

  test.each<[string, Partial<DeviceOptions>, RegExp]>([
    ["no device", { deviceId: undefined as never }, /a hostName and a deviceId/],
    ["no host", { hostName: undefined as never }, /a hostName and a deviceId/],
    ["a device id that no topic can hold", { deviceId: "a/b" }, /device or module id/],
    ["a module id that no topic can hold", { moduleId: "#" }, /device or module id/],
    ["a gateway with a port", { gatewayHostName: "h:1" }, /without scheme/],
    ["a key that is none", { sharedAccessKey: "key!" }, /sharedAccessKey is not base64/],
    ["a policy without its key", { sharedAccessKeyName: "p", x509: CERT }, /needs a sharedAccessKey/],
    ["a lifetime under five seconds", { tokenLifetime: 4_999 }, /tokenLifetime/],
    ["a token that is none", { sharedAccessSignature: "token" }, /SharedAccessSignature/],
    ["renewal too early", { renewAt: 0.049 }, /0.05 to 0.95/],
    ["renewal too late", { renewAt: 0.951 }, /0.05 to 0.95/],
    ["renewal at no time", { renewAt: Number.NaN }, /renewAt/],
    ["a certificate that is a key", { x509: { ...CERT, cert: CERT.key } }, /x509.cert is not a certificate/],
    ["a key that is a certificate", { x509: { ...CERT, key: CERT.cert } }, /x509.key is not a private key/],
    ["a lifetime over ten years", { tokenLifetime: 3652.5 * DAY + 1 }, /tokenLifetime/],
  ])("%s: refused", (_what, options, message) => expect(() => resolve(options)).toThrow(message));

  test("what a provider answers for, is asked for", () => {
    const [text, bytes] = [(): string => "", (): never => CERT as never];
    const provided = (options: Partial<DeviceOptions>): boolean => source(options).source.isProvided;
    expect([{ sas: text }, { ca: text }, { x509: bytes }, { x509: CERT, ca: text }].map(provided)).toEqual(
      Array(4).fill(true),
    );
    expect([{}, { x509: CERT }].map(provided)).toEqual([false, false]);
  });

  test.each<[Partial<DeviceOptions>, string]>([
    [{}, "h/d/?api-version=2021-04-12"],
    [{ apiVersion: "2020 09" }, "h/d/?api-version=2020%2009"],
    [{ apiVersion: null, modelId: "m" }, "h/d"],
    [{ modelId: "dtmi:a;1" }, "h/d/?api-version=2021-04-12&model-id=dtmi%3Aa%3B1"],
    [{ productInfo: "p q" }, "h/d/?api-version=2021-04-12&DeviceClientType=p%20q"],
    [{ modelId: "m", productInfo: "p" }, "h/d/?api-version=2021-04-12&model-id=m&DeviceClientType=p"],
  ])("%j makes the user name %s", async (options, username) =>
    expect((await source(options).source.next()).username).toBe(username),
  );

  test("a connection string is read, and options beside it count", () => {
    expect(divideOptions(`HostName=h;DeviceId=d;SharedAccessKey=${key}`, { moduleId: "m", keepAlive: 5 })).toEqual([
      { hostName: "h", deviceId: "d", sharedAccessKey: key, moduleId: "m" },
      { keepAlive: 5 },
    ]);
  });

  test("a certificate that tls holds will do, and nothing else in its place", () => {
    for (const tls of [{ cert: "c" }, { pfx: "p" }]) expect(resolve({ x509: true }, tls).x509).toEqual({});
    for (const tls of [{ key: "k" }, undefined])
      expect(() => resolveIdentity(identity({ x509: true }), tls)).toThrow(/exactly one of/);
  });
});

describe("a device's key", () => {
  test.each([
    ["5 seconds", 5_000],
    ["an hour", 3_600_000],
    ["30 days, more than a timer can count", 30 * DAY],
    ["10 years", 3652 * DAY],
  ])("a token for %s is renewed after four fifths of it", async (_what, tokenLifetime) => {
    const { clock, source: it } = source({ tokenLifetime });
    const until = await expiry(it);
    expect(until - clock.wallTime()).toBeGreaterThanOrEqual(tokenLifetime);
    expect(until - clock.wallTime()).toBeLessThan(tokenLifetime + 1_000);
    expect((it.renewAt - clock.now()) / tokenLifetime).toBeGreaterThanOrEqual(0.8);
    expect(it.renewAt - clock.now()).toBeLessThan(0.8 * (tokenLifetime + 1_000) + 1);
    expect(it.expiresAt - clock.now()).toBe(until - clock.wallTime());
  });

  test("devices that start together do not renew together, and all do so before the expiry", async () => {
    const times = [];
    for (const value of [0, 0.25, 0.5, 0.75, 0.999]) {
      const { clock, source: it } = source({ tokenLifetime: 100_000, renewAt: 0.95 }, () => value);
      await it.next();
      times.push(Math.round((it.renewAt - clock.now()) / 1_000));
    }
    expect(times).toEqual([90, 93, 95, 98, 98]);
  });

  test("a wall clock set forward or back a day changes nothing of when", async () => {
    for (const jump of [DAY, -DAY]) {
      const { clock, source: it } = source();
      await it.next();
      const { renewAt, expiresAt } = it;
      clock.wallOffset += jump;
      expect([it.renewAt, it.expiresAt]).toEqual([renewAt, expiresAt]);
    }
  });

  test("a wall clock set back after the hub accepted a token makes none that has expired", async () => {
    const { clock, source: it } = source();
    const first = await expiry(it);
    it.accepted();
    clock.wallOffset -= DAY;
    clock.advance(3_000_000);
    expect(await expiry(it)).toBe(first + 3_000_000);
    it.accepted();
    clock.wallOffset += 2 * DAY;
    expect(await expiry(it)).toBe(first + 3_000_000 + DAY);
  });

  test("a wall clock that was wrong and never accepted is believed when it is put right", async () => {
    const { clock, source: it } = source();
    clock.wallOffset += DAY;
    const wrong = await expiry(it);
    clock.wallOffset -= DAY;
    expect(await expiry(it)).toBe(wrong - DAY);
  });
});

describe("a provider", () => {
  const token = (clock: FakeClock, seconds: number) =>
    createSasToken({ hostName: "h", deviceId: "d", key, expiry: clock.wallTime() / 1000 + seconds });

  test("is asked anew each time, and the token's own expiry counts", async () => {
    let calls = 0;
    const made = source({ sas: async () => (calls++, token(made.clock, 1_000)) });
    await made.source.next();
    expect(made.source.renewAt - made.clock.now()).toBe(800_000);
    await made.source.next();
    expect(calls).toBe(2);
  });

  test("what was made ahead is used once", async () => {
    let calls = 0;
    const made = source({ sas: () => token(made.clock, ++calls * 100) });
    await made.source.next();
    await made.source.prepare();
    const ahead = parseSasToken((await made.source.next()).password as string).expiry;
    expect(ahead * 1000).toBe(made.clock.wallTime() + 200_000);
    expect(calls).toBe(2);
    await made.source.next();
    expect(calls).toBe(3);
    await made.source.prepare();
    made.clock.advance(1_000_000);
    await made.source.next();
    expect(calls).toBe(5);
  });

  test("what was made ahead is not used once it has expired", async () => {
    let calls = 0;
    const made = source({ sas: () => token(made.clock, ++calls * 100) });
    await made.source.prepare();
    made.clock.advance(100_000);
    await made.source.next();
    expect(calls).toBe(2);
  });

  test("its error is told by its code alone, and shortly, one of ours as it is", async () => {
    const failing = async (error: unknown): Promise<unknown> =>
      source({ sas: () => Promise.reject(error) })
        .source.next()
        .catch((thrown: unknown) => thrown);
    const own = new HubwireError("ERR_TIMEOUT", "late");
    expect(await failing(own)).toBe(own);
    const long = Object.assign(new Error("secret"), { code: "E".repeat(100) });
    expect(await failing(long)).toMatchObject({ message: `the sas provider failed (${"E".repeat(64)})` });
    expect(await failing(new RangeError("secret"))).toMatchObject({ message: "the sas provider failed (RangeError)" });
    expect(await failing("secret")).toMatchObject({ code: "ERR_SIGNING", message: "the sas provider failed (string)" });
  });

  test.each([null, undefined, "text"])("of certificates that returns %j", async (x509) => {
    const made = source({ x509: () => x509 as never });
    await expect(made.source.next()).rejects.toThrow("x509 must be an object { cert, key } of PEM text");
  });

  test("that always returns the same token is asked at most once a second", async () => {
    const made = source({ sas: () => same });
    const same = token(made.clock, 10);
    made.clock.advance(9_900);
    await made.source.next();
    expect(made.source.renewAt - made.clock.now()).toBe(1_000);
    made.clock.advance(200);
    await expect(made.source.next()).rejects.toMatchObject({ code: "ERR_SAS_EXPIRED", retryable: false });
    made.source.accepted();
    // What gave a good one before will do so again.
    await expect(made.source.next()).rejects.toMatchObject({ code: "ERR_SAS_EXPIRED", retryable: true });
  });
});

test("a token given as text is never renewed, and its end is told", async () => {
  const clock = new FakeClock();
  const sharedAccessSignature = createSasToken({
    hostName: "h",
    deviceId: "d",
    key,
    expiry: clock.wallTime() / 1000 + 10,
  });
  const it = new CredentialSource(
    resolveIdentity(identity({ sharedAccessSignature }), undefined),
    "d",
    undefined,
    clock,
    () => 0.5,
  );
  expect((await it.next()).password).toBe(sharedAccessSignature);
  expect(it.renewAt).toBe(Infinity);
  expect(it.expiresAt - clock.now()).toBeLessThanOrEqual(10_000);
  it.accepted();
  clock.advance(10_000);
  await expect(it.next()).rejects.toMatchObject({
    code: "ERR_SAS_EXPIRED",
    message: expect.stringContaining("cannot be renewed"),
    retryable: false,
  });
  clock.advance(1_500);
  await expect(it.next()).rejects.toThrow("the SAS token expired 2 s ago by this machine's clock;");
});

describe("tls", () => {
  test("is the same object while nothing in it changes, so that a TLS session can be resumed", async () => {
    const { source: it } = source();
    expect((await it.next()).tls).toBe((await it.next()).tls);
  });

  test("has the server's CA of its provider, asked anew each time", async () => {
    let authority = "1";
    const { source: it } = source({ ca: () => authority });
    const first = await it.next();
    expect(first.tls).toEqual({ ca: "1" });
    expect((await it.next()).tls).toBe(first.tls);
    authority = "2";
    expect((await it.next()).tls).toEqual({ ca: "2" });
  });

  test("is new when the certificate was rotated", async () => {
    const key = pem("PRIVATE KEY", "KEY");
    let cert = pem("CERTIFICATE", "1");
    const { source: it } = source({ x509: async () => ({ cert, key }) });
    const first = await it.next();
    expect(first).toMatchObject({ password: undefined, tls: { ca: "CA", cert, key } });
    expect((await it.next()).tls).toBe(first.tls);
    cert = pem("CERTIFICATE", "2");
    const second = await it.next();
    expect(second.tls).not.toBe(first.tls);
    expect(second.tls).toMatchObject({ cert });
    expect([it.renewAt, it.expiresAt]).toEqual([Infinity, Infinity]);
  });
});
