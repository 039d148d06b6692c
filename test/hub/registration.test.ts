/** What is said to the provisioning service, and when: a registration against a scripted service, byte by byte. */
import { connect } from "node:net";
import { inspect } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { createSelfSigned } from "../../src/emulator/index.js";
import { provisionDevice, type ProvisioningOptions } from "../../src/hub/index.js";
import { deriveGroupKey, verifySasToken } from "../../src/wire/sas.js";
import { FakeClock } from "../support/clock.js";
import { Peer, type PeerConnection, soon, utf8 } from "../support/peer.js";
import { failure } from "./lab.js";

const key = Buffer.alloc(32, 9).toString("base64");
const own = createSelfSigned({ commonName: "reg", client: true });
const x509 = { cert: own.certificate, key: own.key };
const REGISTER = "$dps/registrations/PUT/iotdps-register/";
const STATUS = "$dps/registrations/GET/iotdps-get-operationstatus/";
const ASSIGNED = { status: "assigned", registrationState: { assignedHub: "hub.example", deviceId: "dev" } };

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A registration under way; `random` is what the pauses after failures are multiplied by. */
async function scene(options: Partial<ProvisioningOptions> = {}) {
  const peer = await Peer.listen();
  cleanups.push(() => peer.close());
  const clock = new FakeClock();
  const abort = new AbortController();
  cleanups.push(() => abort.abort());
  const result = provisionDevice({
    idScope: "scope",
    registrationId: "reg",
    symmetricKey: key,
    host: "service.example",
    protocol: "mqtt",
    createConnection: () => connect(peer.port, "127.0.0.1"),
    keepAlive: 0,
    random: () => 0.5,
    signal: abort.signal,
    clock,
    ...options,
  });
  result.catch(() => {});
  let connection: PeerConnection;
  const accept = async (): Promise<Buffer> => {
    connection = await peer.next();
    return connection.accept();
  };
  const grant = async (): Promise<string> => {
    const subscribe = await connection.packetOfType(8);
    connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 01`);
    return subscribe.toString("latin1", 6, subscribe.length - 1);
  };
  /** The next message of the device's: its topic and payload. */
  const asked = async (): Promise<[string, string]> => {
    const packet = await connection.packetOfType(3);
    // Long packets have two bytes of length.
    const at = packet[1]! < 0x80 ? 2 : 3;
    const length = packet.readUInt16BE(at);
    connection.send(`40 02 ${packet.toString("hex", at + 2 + length, at + 4 + length)}`);
    return [packet.toString("utf8", at + 2, at + 2 + length), packet.toString("utf8", at + 4 + length)];
  };
  /** Whether the device has said nothing, with all that was sent behind it. */
  const isQuiet = async (): Promise<boolean> => (await connection.settle()).every((packet) => !packet.startsWith("3"));
  const answer = async (rid: number | string, status: number, body?: object, query = ""): Promise<void> => {
    const topic = utf8(`$dps/registrations/res/${status}/?$rid=${rid}${query}`);
    const payload = body ? Buffer.from(JSON.stringify(body)).toString("hex") : "";
    const length = (topic.length + payload.length) / 2;
    const head = length < 128 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
    connection.send(`30 ${Buffer.from(head).toString("hex")} ${topic} ${payload}`);
    // What it ends with may close the connection first.
    await isQuiet().catch(() => {});
  };
  const begin = async (): Promise<[string, string]> => {
    await accept();
    await grant();
    return asked();
  };
  /** The connection breaks, and the next attempt is made. */
  const lose = async (): Promise<void> => {
    connection.destroy();
    while (peer.connections.length < 2) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(10);
    }
    await accept();
  };
  return { clock, result, peer, accept, grant, asked, isQuiet, answer, begin, lose, connection: () => connection };
}

describe("what is said", () => {
  test("who it is, with a token for an hour; then what is to be registered", async () => {
    const { accept, grant, asked, answer, result, clock, connection } = await scene({ payload: { model: 1 } });
    const connected = (await accept()).toString("latin1");
    expect(connected).toContain("scope/registrations/reg/api-version=2019-03-31&ClientVersion=hubwire");
    const [token = ""] = /SharedAccessSignature .*$/.exec(connected) ?? [];
    const scope = "scope/registrations/reg";
    const check = (now: number) => verifySasToken(token, { keys: [key], scope, now });
    expect(check(clock.wallTime() + 3_599_000)).toBeUndefined();
    expect(check(clock.wallTime() + 3_601_000)).toBe("expired");
    expect(await grant()).toBe("$dps/registrations/res/#");
    expect(await asked()).toEqual([`${REGISTER}?$rid=1`, '{"registrationId":"reg","payload":{"model":1}}']);
    await answer(1, 200, ASSIGNED);
    expect(await soon(result, "the end")).toMatchObject({ assignedHub: "hub.example", deviceId: "dev" });
    expect(await connection().rest()).toEqual(["e000"]);
    while (clock.pending > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(clock.pending, "nothing stays open").toBe(0);
  });

  test("of a registration that takes its time the state is asked for, by the name that it was given", async () => {
    const { begin, answer, asked, isQuiet, clock, result } = await scene();
    expect(await begin()).toEqual([`${REGISTER}?$rid=1`, '{"registrationId":"reg"}']);
    await answer(1, 202, { operationId: "op", status: "assigning" }, "&retry-after=3");
    clock.advance(2_999);
    expect(await isQuiet()).toBe(true);
    clock.advance(1);
    expect(await asked()).toEqual([`${STATUS}?$rid=2&operationId=op`, ""]);
    // Two seconds where the service names no time.
    await answer(2, 200, { status: "assigning", operationId: 7 });
    clock.advance(1_999);
    expect(await isQuiet()).toBe(true);
    clock.advance(1);
    expect(await asked()).toEqual([`${STATUS}?$rid=3&operationId=op`, ""]);
    await answer(3, 200, ASSIGNED);
    expect((await soon(result, "the end")).registrationState).toEqual(ASSIGNED.registrationState);
  });

  test("a pause that is none grows to a second", async () => {
    const { begin, answer, asked, isQuiet, clock } = await scene();
    await begin();
    let pause = 10;
    for (let id = 1; id < 10; id++) {
      await answer(id, 202, { operationId: "op" }, "&retry-after=0");
      clock.advance(pause - 1);
      expect(await isQuiet(), `${pause} ms`).toBe(true);
      clock.advance(1);
      expect((await asked())[0]).toContain(`$rid=${id + 1}&`);
      pause = Math.min(1_000, pause * 2);
    }
  });
});

describe("what it comes to", () => {
  test.each<[string, Partial<ProvisioningOptions>, string, object]>([
    ["a key", {}, `SharedAccessKey=${key}`, { sharedAccessKey: key }],
    [
      "the key of a group",
      { symmetricKey: undefined, groupKey: key },
      `SharedAccessKey=${deriveGroupKey(key, "reg")}`,
      { sharedAccessKey: deriveGroupKey(key, "reg") },
    ],
    ["a certificate", { symmetricKey: undefined, x509 }, "x509=true", { x509 }],
  ])("with %s is what a device client takes, not to be seen by chance", async (_what, options, secret, proof) => {
    const { begin, answer, result } = await scene(options);
    await begin();
    await answer(1, 200, ASSIGNED);
    const assigned = await soon(result, "the end");
    expect(assigned.connectionString).toBe(`HostName=hub.example;DeviceId=dev;${secret}`);
    expect(assigned.deviceOptions).toEqual({ hostName: "hub.example", deviceId: "dev", ...proof });
    expect(Object.keys(assigned)).not.toContain("connectionString");
    expect(Object.keys(assigned)).not.toContain("deviceOptions");
  });
});

describe("what fails", () => {
  test("is asked again after pauses that grow, to half a minute, and begin anew after an answer", async () => {
    const { begin, answer, asked, isQuiet, clock } = await scene();
    await begin();
    const next = async (id: number, status: number, pause: number): Promise<void> => {
      await answer(id, status, {}, "");
      clock.advance(pause - 1);
      expect(await isQuiet(), `${status}: ${pause} ms`).toBe(true);
      clock.advance(1);
      await asked();
    };
    // Half of 4, 8, 16, 30 and 30 s.
    await next(1, 503, 2_000);
    await next(2, 429, 4_000);
    await next(3, 500, 8_000);
    await next(4, 503, 15_000);
    await next(5, 503, 15_000);
    await next(6, 202, 2_000);
    await next(7, 503, 2_000);
  });

  test("an answer that does not come is a failure after 20 s; one to another request, or twice, is none", async () => {
    const { begin, answer, asked, isQuiet, clock, result } = await scene();
    await begin();
    await answer(2, 200, ASSIGNED);
    await answer("x", 200, ASSIGNED);
    clock.advance(19_999);
    expect(await isQuiet()).toBe(true);
    clock.advance(1);
    expect(await isQuiet()).toBe(true);
    clock.advance(2_000);
    expect((await asked())[0]).toBe(`${REGISTER}?$rid=2`);
    await answer(1, 200, ASSIGNED);
    await answer(2, 202, { operationId: "op" });
    await answer(2, 200, ASSIGNED);
    clock.advance(2_000);
    expect((await asked())[0]).toBe(`${STATUS}?$rid=3&operationId=op`);
    await answer(3, 200, ASSIGNED);
    await soon(result, "the end");
  });

  test("a connection that is lost is made anew, and the same asked again", async () => {
    const { begin, answer, asked, grant, lose, result } = await scene();
    await begin();
    await lose();
    await grant();
    expect((await asked())[0]).toBe(`${REGISTER}?$rid=1`);
    await answer(1, 200, ASSIGNED);
    await soon(result, "the end");
  });

  test("the deadline is for all of it: 120 s, and not why an earlier connection was lost", async () => {
    const { begin, clock, result, lose, isQuiet } = await scene({ operationTimeout: 1e6 });
    const deadline = clock.now() + 120_000;
    await begin();
    await lose();
    await isQuiet();
    clock.advance(deadline - 1 - clock.now());
    let isOver = false;
    result.catch(() => (isOver = true));
    await isQuiet();
    expect(isOver).toBe(false);
    clock.advance(1);
    expect(await soon(failure(result), "the deadline")).toMatchObject({ code: "ERR_TIMEOUT" });
  });

  test("at the deadline, why there is no connection is told", async () => {
    const { begin, clock, result, connection, peer } = await scene();
    await begin();
    connection().destroy();
    await peer.close();
    // Attempts are made, and refused, until the time is over.
    let isOver = false;
    result.catch(() => (isOver = true));
    while (!isOver) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(100);
    }
    expect((await failure(result)).code).toMatch(/^ERR_(CONNECT|UNREACHABLE)/);
  });

  test.each([
    ["without a body", undefined],
    ["that names no hub", { status: "assigned", registrationState: { deviceId: "dev" } }],
    ["that names no device", { status: "assigned", registrationState: { assignedHub: "hub.example" } }],
    ["of a state that is none", { status: "assigned", registrationState: 5 }],
  ])("an answer %s registers nothing", async (_what, body) => {
    const { begin, answer, result } = await scene();
    await begin();
    await answer(1, 200, body);
    expect(await soon(failure(result), "the end")).toMatchObject({ code: "ERR_PROVISIONING" });
  });

  test("a refusal is told with what the service says of it, of which no more than its beginning", async () => {
    const { begin, answer, result } = await scene();
    await begin();
    await answer(1, 401, { errorCode: 401_002, message: "m".repeat(1_000), trackingId: "t" });
    const error = await soon(failure(result), "the end");
    expect(error).toMatchObject({ code: "ERR_PROVISIONING", status: 401, retryable: false });
    expect(error.message).toContain("status 401: [401002,");
    expect(error.message.length).toBeLessThan(400);
  });

  test("of a registration that failed its state is told, before what the answer says", async () => {
    const { begin, answer, result } = await scene();
    await begin();
    const registrationState = { status: "failed", errorCode: 400_207, errorMessage: "no hub" };
    await answer(1, 200, { status: "failed", registrationState });
    expect((await soon(failure(result), "the end")).message).toContain('status 200: ["failed",400207,"no hub"]');
  });

  test("a refused identity ends it at once, and what to check is told", async () => {
    const { peer, result } = await scene();
    const connection = await peer.next();
    await connection.packetOfType(1);
    connection.send("20 02 00 05");
    const error = await soon(failure(result), "the end");
    expect(error).toMatchObject({ code: "ERR_NOT_AUTHORIZED", cause: expect.any(Error) as Error });
    expect(error.message).toMatch(/registration reg: check the id scope/);
    expect(inspect(error)).not.toContain(key);
  });
});

describe("arguments", () => {
  const given = { idScope: "scope", registrationId: "reg", symmetricKey: key, host: "127.0.0.1", port: 1, timeout: 1 };

  test.each<[string, object, RegExp]>([
    ["cleartext, in which the token could be read on the way", { protocol: "mqtt" }, /without TLS/],
    ["cleartext over WebSocket", { protocol: "ws" }, /without TLS/],
    ["no id scope", { idScope: undefined }, /idScope and a registrationId/],
    ["an empty one", { idScope: "" }, /idScope and a registrationId/],
    ["one with a wildcard at its end", { idScope: "a#" }, /idScope and a registrationId/],
    ["one with a wildcard at its beginning", { idScope: "+a" }, /idScope and a registrationId/],
    ["no registration id", { registrationId: undefined }, /idScope and a registrationId/],
    ["129 characters", { registrationId: "r".repeat(129) }, /idScope and a registrationId/],
    ["half a character", { registrationId: "r\ud800" }, /idScope and a registrationId/],
    ["a key that is not base64", { symmetricKey: "hunter2!" }, /^symmetricKey is not base64$/],
    ["no time", { timeout: 0 }, /timeout/],
    ["port 0", { port: 0 }, /port/],
    ["no time for an attempt", { connectTimeout: 0 }, /connectTimeout/],
    ["no time for an answer", { operationTimeout: 0 }, /operationTimeout/],
    ["a keep alive that CONNECT cannot hold", { keepAlive: 65_536 }, /keepAlive/],
    ["a certificate without its key", { symmetricKey: undefined, x509: { cert: "c" } }, /./],
    ["a certificate beside a key", { x509: { cert: "c", key: "k" } }, /exactly one of/],
    ["a payload that is no JSON", { payload: 1n }, /the payload/],
    ["an unknown name", { scopeId: "s" }, /unknown option "scopeId"/],
  ])("%s is refused", async (_what, options, message) => {
    const error = await failure(provisionDevice({ ...given, ...options } as ProvisioningOptions));
    expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    expect(error.message).toMatch(message);
  });

  test("128 characters are a registration id", async () => {
    const error = await failure(provisionDevice({ ...given, registrationId: "r".repeat(128) }));
    expect(error.code).not.toBe("ERR_INVALID_ARGUMENT");
  });
});
