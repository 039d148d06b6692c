/** The provisioning service: every way to register, what it refuses, and what happens in between. */
import { Duplex } from "node:stream";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import type { Clock } from "../../src/clock.js";
import { encode, PacketReader } from "../../src/codec/index.js";
import { createSelfSigned, HubEmulator } from "../../src/emulator/index.js";
import { provisionDevice, type ProvisioningOptions } from "../../src/hub/index.js";
import { failure, laboratory } from "./lab.js";

const lab = laboratory({ provisioning: { retryAfter: 0, polls: 2 } });
const key = Buffer.alloc(32, 9).toString("base64");

const provision = (registrationId: string, options: Partial<ProvisioningOptions>) =>
  provisionDevice({
    idScope: lab.hub.idScope,
    registrationId,
    host: "localhost",
    port: lab.hub.port,
    tls: { ca: lab.hub.caCertificate },
    ...options,
  });

describe("registers and connects", () => {
  test("with a key of its own, and a payload", async () => {
    const asked: unknown[] = [];
    const { primaryKey } = lab.hub.createEnrollment("reg-key", {
      allocate: ({ payload }) => (asked.push(payload), { deviceId: "dev-key", payload: { site: "north" } }),
    });
    const result = await provision("reg-key", { symmetricKey: primaryKey, payload: { model: "M1" } });
    expect(result).toMatchObject({
      assignedHub: "localhost",
      deviceId: "dev-key",
      registrationId: "reg-key",
      payload: { site: "north" },
    });
    expect(asked).toEqual([{ model: "M1" }]);
    for (const identity of [result.connectionString, result.deviceOptions]) {
      const device = lab.client(identity);
      await device.connect();
      await device.sendTelemetry("x");
      await device.close();
    }
    expect(inspect(result, { depth: 5 })).not.toContain(primaryKey);
    expect(JSON.stringify(result)).not.toContain(primaryKey);
  });

  test("with the key of a group", async () => {
    const { primaryKey } = lab.hub.createEnrollmentGroup();
    const result = await provision("reg-group", { groupKey: primaryKey });
    expect(result.deviceId).toBe("reg-group");
    expect(result.connectionString).not.toContain(primaryKey);
    await lab.client(result.connectionString).connect();
  });

  test("with a certificate", async () => {
    const { certificate, key: privateKey, thumbprint } = createSelfSigned({ commonName: "reg-cert", client: true });
    lab.hub.createEnrollment("reg-cert", { thumbprint });
    const result = await provision("reg-cert", { x509: { cert: certificate, key: privateKey } });
    expect(result.connectionString).toBe("HostName=localhost;DeviceId=reg-cert;x509=true");
    await lab.client(result.deviceOptions).connect();
  });
});

describe("refused", () => {
  test("a wrong key", async () => {
    lab.hub.createEnrollment("reg-wrong");
    const error = await failure(provision("reg-wrong", { symmetricKey: key }));
    expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_(PROVISIONING|NOT_AUTHORIZED)$/), status: 401 });
    expect(inspect(error)).not.toContain(key);
  });

  test("an enrolment that is disabled", async () => {
    const { primaryKey } = lab.hub.createEnrollment("reg-off", { enabled: false });
    const error = await failure(provision("reg-off", { symmetricKey: primaryKey }));
    expect(error.code).toBe("ERR_PROVISIONING");
  });

  test("an allocation that fails", async () => {
    const { primaryKey } = lab.hub.createEnrollment("reg-fail", {
      allocate: () => {
        throw new Error("no hub is left");
      },
    });
    expect(await failure(provision("reg-fail", { symmetricKey: primaryKey }))).toMatchObject({
      code: "ERR_PROVISIONING",
      status: 200,
    });
  });

  test("a status that is final", async () => {
    const { primaryKey } = lab.hub.createEnrollment("reg-404");
    lab.hub.faults.provisioning = 404;
    const error = await failure(provision("reg-404", { symmetricKey: primaryKey }));
    expect(error).toMatchObject({ code: "ERR_PROVISIONING", status: 404, retryable: false });
  });

  test.each<[string, Partial<ProvisioningOptions>]>([
    ["no credentials", {}],
    ["two of them", { symmetricKey: key, groupKey: key }],
    ["a key that is not base64", { symmetricKey: "hunter2!" }],
    ["an id scope with a slash", { symmetricKey: key, idScope: "a/b" }],
    ["no registration id", { symmetricKey: key, registrationId: "" }],
  ])("%s, at once", async (_what, options) => {
    const error = await failure(provision("reg", options));
    expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT", message: expect.not.stringContaining("hunter2") });
  });

  test("nobody there", async () => {
    const error = await failure(provision("reg", { symmetricKey: key, port: 1, timeout: 300 }));
    expect(error).toMatchObject({ code: "ERR_CONNECTION_REFUSED", retryable: true });
  });
});

describe("in between", () => {
  test.each([429, 503])("status %i is waited out", async (status) => {
    const { primaryKey } = lab.hub.createEnrollment(`reg-${status}`);
    lab.hub.faults.provisioning = status;
    let pauses = 0;
    // Asked for each pause after a failure.
    const random = () => {
      if (++pauses === 3) lab.hub.faults.provisioning = undefined;
      return 0.001;
    };
    const result = provision(`reg-${status}`, { symmetricKey: primaryKey, random });
    expect(await result).toMatchObject({ deviceId: `reg-${status}` });
    expect(pauses).toBe(3);
  });

  test("the deadline", async () => {
    const { primaryKey } = lab.hub.createEnrollment("reg-slow");
    lab.hub.faults.provisioning = 503;
    const error = await failure(provision("reg-slow", { symmetricKey: primaryKey, timeout: 300 }));
    expect(error).toMatchObject({ code: "ERR_TIMEOUT", message: expect.stringContaining("300 ms") });
  });

  test("the signal", async () => {
    const { primaryKey } = lab.hub.createEnrollment("reg-abort");
    lab.hub.faults.provisioning = 503;
    const abort = new AbortController();
    const random = () => (abort.abort(), 1);
    const result = failure(provision("reg-abort", { symmetricKey: primaryKey, signal: abort.signal, random }));
    expect(await result).toMatchObject({ code: "ERR_ABORTED" });
    expect(await failure(provision("reg-abort", { symmetricKey: primaryKey, signal: abort.signal }))).toMatchObject({
      code: "ERR_ABORTED",
    });
  });
});

test("a connection on which the subscription is not answered is made anew", async () => {
  let connections = 0;
  let isDeaf = false;
  const createConnection = (): Duplex => {
    const isFirst = ++connections === 1;
    const stream = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        reader.push(Uint8Array.from(chunk));
        done();
      },
    });
    const reader = new PacketReader((packet) => {
      if (packet.type === "connect") stream.push(encode({ type: "connack", sessionPresent: false, returnCode: 0 }));
      else if (packet.type === "subscribe" && !isFirst && !isDeaf) {
        stream.push(encode({ type: "suback", packetId: packet.packetId, returnCodes: [1] }));
      } else if (packet.type === "publish") {
        const [, requestId] = packet.topic.split("$rid=");
        const registrationState = { assignedHub: "hub.example", deviceId: "unheard" };
        const payload = JSON.stringify({ status: "assigned", registrationState });
        stream.push(encode({ type: "publish", topic: `$dps/registrations/res/200/?$rid=${requestId}`, payload }));
      }
    });
    return stream;
  };
  const options = { protocol: "mqtt", createConnection, operationTimeout: 20, random: () => 0.001 } as const;
  expect(await provision("unheard", { ...options, symmetricKey: key })).toMatchObject({ deviceId: "unheard" });
  expect(connections).toBeGreaterThan(1);
  isDeaf = true;
  const late = await failure(provision("unheard", { ...options, symmetricKey: key, timeout: 100 }));
  expect(late).toMatchObject({ code: "ERR_TIMEOUT", message: expect.stringContaining("100 ms") });
});

test("a service that says to ask again after 0 s is asked once a second before long", async () => {
  // Pauses are over at once; what waits for longer, waits in vain.
  let now = 1_000;
  const clock: Clock = {
    now: () => now,
    wallTime: () => 1_700_000_000_000 + now,
    setTimer: (callback, delay) => delay <= 5_000 && setImmediate(() => ((now += delay), callback())),
    clearTimer: (timer) => clearImmediate(timer as NodeJS.Immediate),
  };
  const hub = await HubEmulator.start({ provisioning: { retryAfter: 0, polls: 20 }, clock });
  try {
    const { primaryKey } = hub.createEnrollment("reg-zero");
    const there = { port: hub.port, idScope: hub.idScope, tls: { ca: hub.caCertificate } };
    await provision("reg-zero", { ...there, symmetricKey: primaryKey, clock });
    expect(now).toBeGreaterThan(10_000);
    expect(now).toBeLessThan(60_000);
  } finally {
    await hub.close();
  }
});

test("feeds the device: a device that was moved provisions itself anew and goes on", async () => {
  const { primaryKey } = lab.hub.createEnrollmentGroup();
  const again = () => provision("wanderer", { groupKey: primaryKey });
  const device = lab.client((await again()).deviceOptions, { reprovision: async () => (await again()).deviceOptions });
  await device.connect();
  const connected = new Promise((resolve) => device.once("connect", resolve));
  lab.hub.removeDevice("wanderer");
  await connected;
  await device.sendTelemetry("x");
});
