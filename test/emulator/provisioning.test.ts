/** The Device Provisioning Service. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { ConnectInit } from "../../src/codec/index.js";
import { createAuthority, createSelfSigned, HubEmulator, type RegisteredEvent } from "../../src/emulator/index.js";
import { deriveGroupKey, signSasToken } from "../../src/wire/sas.js";
import { connectPacket, event, RawClient } from "./raw-client.js";

let hub: HubEmulator;
const clients: RawClient[] = [];
beforeAll(async () => {
  hub = await HubEmulator.start({ provisioning: { idScope: "0ne1", retryAfter: 3, polls: 2 } });
});
afterAll(() => hub.close());
afterEach(() => {
  hub.faults.provisioning = undefined;
  clients.splice(0).forEach((client) => client.destroy());
});

function dpsConnect(registrationId: string, key: string | undefined, changes: Partial<ConnectInit> = {}): ConnectInit {
  const scope = `0ne1/registrations/${registrationId}`;
  return {
    type: "connect",
    clientId: registrationId,
    username: `0ne1/registrations/${registrationId}/api-version=2019-03-31&ClientVersion=test`,
    ...(key === undefined ? {} : { password: signSasToken(scope, key, 4e9, "registration") }),
    ...changes,
  };
}

/** The return code of a CONNECT, and the client. */
async function dps(packet: ConnectInit, tlsOptions = {}): Promise<{ client: RawClient; returnCode: number }> {
  const client = await RawClient.open(hub, tlsOptions);
  clients.push(client);
  client.send(packet);
  const answer = await client.next();
  if (answer === "closed" || answer.type !== "connack") throw new Error("CONNACK expected");
  return { client, returnCode: answer.returnCode };
}

async function answer(client: RawClient, topic: string, body: unknown = ""): Promise<{ topic: string; body: never }> {
  client.send({
    type: "publish",
    topic,
    payload: typeof body === "string" ? body : JSON.stringify(body),
    qos: 1,
    packetId: 1,
  });
  let publish = await client.next();
  if (publish !== "closed" && publish.type === "puback") publish = await client.next();
  else expect(await client.next()).toEqual({ type: "puback", packetId: 1 });
  if (publish === "closed" || publish.type !== "publish") throw new Error("PUBLISH expected");
  return { topic: publish.topic, body: JSON.parse(Buffer.from(publish.payload).toString()) as never };
}

/** What the first request is answered where CONNECT was accepted and the credentials are not. */
async function refused(packet: ConnectInit): Promise<{ topic: string; body: never }> {
  const { client, returnCode } = await dps(packet);
  expect(returnCode).toBe(0);
  await client.subscribe("$dps/registrations/res/#");
  return answer(client, REGISTER);
}

const REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid=1";
const poll = (operationId: string): string =>
  `$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=${operationId}`;

/** Goes through a whole registration; returns the last body. */
async function register(client: RawClient, registrationId: string, payload?: unknown): Promise<never> {
  expect(await client.subscribe("$dps/registrations/res/#")).toEqual([1]);
  const first = await answer(client, REGISTER, { registrationId, payload });
  expect(first.topic).toBe("$dps/registrations/res/202/?$rid=1&retry-after=3");
  const { operationId, status } = first.body as { operationId: string; status: string };
  expect(status).toBe("assigning");
  const second = await answer(client, poll(operationId));
  expect(second).toEqual({
    topic: "$dps/registrations/res/202/?$rid=2&retry-after=3",
    body: { operationId, status: "assigning" },
  });
  const third = await answer(client, poll(operationId));
  expect(third.topic).toBe("$dps/registrations/res/200/?$rid=2");
  return third.body;
}

describe("an individual enrolment", () => {
  it("makes one device of one enrolment, in whatever case its registration id comes", async () => {
    const { primaryKey } = hub.createEnrollment("Case-1");
    for (const registrationId of ["case-1", "CASE-1", "Case-1"]) {
      const { client } = await dps(dpsConnect(registrationId, primaryKey));
      expect(await register(client, registrationId)).toMatchObject({ registrationState: { deviceId: "Case-1" } });
    }
    expect(hub.identities().filter(({ deviceId }) => /^case-1$/i.test(deviceId))).toHaveLength(1);
  });

  it("with a key assigns a device that can connect with it", async () => {
    const { idScope, primaryKey } = hub.createEnrollment("r1", {
      deviceId: "thermostat-1",
      payload: { color: "red" },
    });
    expect(idScope).toBe("0ne1");
    const { client, returnCode } = await dps(dpsConnect("r1", primaryKey));
    expect(returnCode).toBe(0);
    const registered = event(hub, "registered") as Promise<RegisteredEvent>;
    expect(await register(client, "r1", { model: 7 })).toEqual({
      operationId: expect.any(String) as string,
      status: "assigned",
      registrationState: expect.objectContaining({
        registrationId: "r1",
        assignedHub: "localhost",
        deviceId: "thermostat-1",
        status: "assigned",
        substatus: "initialAssignment",
        payload: { color: "red" },
      }) as object,
    });
    expect(await registered).toEqual({
      registrationId: "r1",
      deviceId: "thermostat-1",
      payload: { model: 7 },
    });
    const device = await RawClient.connected(hub, { deviceId: "thermostat-1", primaryKey });
    await device.disconnect();
  });

  it("with a certificate assigns a device known by it", async () => {
    const { certificate, key, thumbprint } = createSelfSigned({ commonName: "r2", client: true });
    hub.createEnrollment("r2", { thumbprint });
    const tlsOptions = { cert: certificate, key };
    const { client } = await dps(dpsConnect("r2", undefined), tlsOptions);
    await register(client, "r2");
    expect(hub.connectionString("r2")).toBe("HostName=localhost;DeviceId=r2;x509=true");
    const { returnCode } = await dps(connectPacket({ deviceId: "r2", primaryKey: undefined }), tlsOptions);
    expect(returnCode).toBe(0);
  });

  it("may name another hub, chosen at each registration", async () => {
    const { primaryKey } = hub.createEnrollment("r3", {
      allocate: ({ registrationId, payload }) => ({
        assignedHub: `${registrationId}.example`,
        deviceId: "elsewhere",
        payload: { echo: payload },
      }),
    });
    const { client } = await dps(dpsConnect("r3", primaryKey));
    expect(await register(client, "r3", 1)).toMatchObject({
      registrationState: { assignedHub: "r3.example", deviceId: "elsewhere", payload: { echo: 1 } },
    });
    expect(() => hub.twin("elsewhere")).toThrow();
  });

  it("may fail or be disabled", async () => {
    const failing = hub.createEnrollment("r4", {
      allocate: () => {
        throw new Error("no room");
      },
    });
    const { client } = await dps(dpsConnect("r4", failing.primaryKey));
    expect(await register(client, "r4")).toMatchObject({
      status: "failed",
      registrationState: { status: "failed", errorMessage: "no room" },
    });
    const disabled = hub.createEnrollment("r5", { enabled: false });
    const other = await dps(dpsConnect("r5", disabled.primaryKey));
    expect(await register(other.client, "r5")).toMatchObject({ status: "disabled" });
  });
});

describe("an enrolment group", () => {
  it("derives a key for each device", async () => {
    const groupKey = Buffer.alloc(32, 7).toString("base64");
    hub.createEnrollmentGroup({ primaryKey: groupKey });
    const key = deriveGroupKey(groupKey, "g1");
    const { client } = await dps(dpsConnect("g1", key));
    await register(client, "g1");
    await (await RawClient.connected(hub, { deviceId: "g1", primaryKey: key })).disconnect();
    for (const [id, wrong] of [
      ["g1", groupKey],
      ["g2", key],
    ] as const) {
      expect((await refused(dpsConnect(id, wrong))).topic).toBe("$dps/registrations/res/401/?$rid=1");
    }
  });

  it("takes every certificate of its authority, by the name in it", async () => {
    const authority = createAuthority({ commonName: "factory" });
    hub.createEnrollmentGroup({ certificateAuthority: authority.certificate });
    const { chain: cert, key } = authority.issueAuthority().issue({ commonName: "g3", client: true });
    const { client } = await dps(dpsConnect("g3", undefined), { cert, key });
    await register(client, "g3");
    expect((await dps(dpsConnect("g4", undefined), { cert, key })).returnCode).toBe(5);
    const { returnCode } = await dps(connectPacket({ deviceId: "g3", primaryKey: undefined }), { cert, key });
    expect(returnCode).toBe(0);
  });
});

describe("a refusal", () => {
  it("is return code 5 for another scope, client identifier, or no credentials", async () => {
    const { primaryKey } = hub.createEnrollment("s1");
    for (const packet of [
      dpsConnect("s1", undefined),
      dpsConnect("s1", primaryKey, { username: "0ne2/registrations/s1/api-version=2019-03-31" }),
      dpsConnect("s1", primaryKey, { clientId: "s2" }),
    ]) {
      expect((await dps(packet)).returnCode).toBe(5);
    }
    const newer = dpsConnect("s1", primaryKey, { username: "0ne1/registrations/s1/api-version=2999-01-01" });
    expect((await dps(newer)).returnCode).toBe(4);
  });

  it("is an answer after CONNECT for a wrong key, and for an unknown registration", async () => {
    const { primaryKey } = hub.createEnrollment("s5");
    const scope = "0ne1/registrations/s5";
    const unauthorized = { errorCode: 401_002, message: "Unauthorized" };
    for (const packet of [
      dpsConnect("s5", Buffer.alloc(32).toString("base64")),
      dpsConnect("s5", primaryKey, { password: signSasToken(scope, primaryKey as string, 4e9, "other") }),
      dpsConnect("s5", primaryKey, { password: signSasToken(scope, primaryKey as string, 1e9, "registration") }),
    ]) {
      const { topic, body } = await refused(packet);
      expect(topic).toBe("$dps/registrations/res/401/?$rid=1");
      expect(body).toMatchObject(unauthorized);
      expect(Object.keys(body)).toEqual(["errorCode", "trackingId", "message", "timestampUtc"]);
    }
  });

  it("is an answer: 400 bad body, 401 another registration, 404 unknown operation, 429", async () => {
    const { primaryKey } = hub.createEnrollment("s3");
    const { client } = await dps(dpsConnect("s3", primaryKey));
    await client.subscribe("$dps/registrations/res/#");
    expect((await answer(client, REGISTER, "{")).topic).toBe("$dps/registrations/res/400/?$rid=1");
    expect((await answer(client, REGISTER, { registrationId: "s1" })).topic).toBe("$dps/registrations/res/401/?$rid=1");
    expect(await answer(client, poll("4.none"))).toMatchObject({
      topic: "$dps/registrations/res/404/?$rid=2",
      body: { errorCode: 404_201 },
    });
    hub.faults.provisioning = 429;
    expect((await answer(client, REGISTER)).topic).toBe("$dps/registrations/res/429/?$rid=1&retry-after=3");
  });

  it.each(["$iothub/twin/res/#", "devices/s4/messages/devicebound/#", "$dps/registrations/res/200/#", "#"])(
    "is the close for the filter %s",
    async (filter) => {
      const { primaryKey } = hub.createEnrollment("s4");
      const { client } = await dps(dpsConnect("s4", primaryKey));
      client.send({ type: "subscribe", packetId: 1, subscriptions: [{ topicFilter: filter, qos: 0 }] });
      expect(await client.next()).toBe("closed");
    },
  );

  it("is the close for a topic of the hub", async () => {
    const { primaryKey } = hub.createEnrollment("s4");
    const { client } = await dps(dpsConnect("s4", primaryKey));
    client.send({ type: "publish", topic: "devices/s4/messages/events/" });
    expect(await client.next()).toBe("closed");
  });
});
