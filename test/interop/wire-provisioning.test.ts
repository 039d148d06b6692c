/** The provisioning service's wire, Microsoft's SDK and ours side by side; see wire.test.ts. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSelfSigned } from "../../src/emulator/index.js";
import { provisionDevice } from "../../src/hub/index.js";
import { ABSENT, expectSame, type Difference } from "./support/compare.js";
import { startRecordingPeer, type RecordingPeer, type Script } from "./support/recording-peer.js";
import { sdkProvision } from "./support/sdk.js";

const KEY = "c2VjcmV0IGtleSBvZiBhIGRldmljZQ==";
const ID = { host: "localhost", idScope: "0ne00000001", registrationId: "sensor-1" };
const ASSIGNED = { assignedHub: "hub.azure-devices.net", deviceId: "sensor-1" };

let peer: RecordingPeer;
beforeAll(async () => {
  peer = await startRecordingPeer();
});
afterAll(() => peer.close());

/** 202 to the registration and to the first `polls - 1` polls, then assigned. */
function service(polls: number): Script {
  let left = polls;
  return (packet, send) => {
    if (packet.type !== "publish") return;
    const rid = /\$rid=([^&]+)/.exec(packet.topic)?.[1];
    const reply = (status: string, body: object): void =>
      send({ type: "publish", topic: `$dps/registrations/res/${status}`, payload: JSON.stringify(body) });
    if (left-- > 0) reply(`202/?$rid=${rid}&retry-after=1`, { operationId: "5.op-1", status: "assigning" });
    else reply(`200/?$rid=${rid}`, { operationId: "5.op-1", status: "assigned", registrationState: ASSIGNED });
  };
}

const CONNECT_DIFFERENCES: Difference[] = [
  {
    field: "CONNECT: keep alive",
    sdk: 180,
    ours: 60,
    reason: "MqttClient's default: a lost connection is found three times as soon",
  },
  {
    field: "CONNECT: user name ClientVersion",
    sdk: "ClientVersion=azure-iot-provisioning-device%2F1.9.1",
    ours: "ClientVersion=hubwire",
    reason: "each tells its own name",
  },
];
const TOKEN_DIFFERENCES: Difference[] = [
  {
    field: "CONNECT: password sr",
    sdk: "0ne00000001/registrations/sensor-1",
    ours: "0ne00000001%2Fregistrations%2Fsensor-1",
    reason: "the resource is documented percent-encoded; the service takes either, as it was signed",
  },
  {
    field: "CONNECT: password fields in order",
    sdk: "sr sig skn se",
    ours: "sr sig se skn",
    reason: "the service takes any order; ours is that of Microsoft's documentation",
  },
];

/** The SDK ends its subscription before DISCONNECT. */
function noUnsubscribe(packets: readonly string[]): Difference[] {
  const reason = "with a clean session the subscription ends with the connection; UNSUBSCRIBE costs a round trip";
  return [
    { field: UNSUBSCRIBE, sdk: "filters $dps/registrations/res/#", ours: ABSENT, reason },
    {
      field: "recording: order of packets",
      sdk: [...packets, UNSUBSCRIBE, "DISCONNECT"].join(", "),
      ours: [...packets, "DISCONNECT"].join(", "),
      reason,
    },
  ];
}

const UNSUBSCRIBE = "UNSUBSCRIBE $dps/registrations/res/#";
const REGISTER = ["CONNECT", "SUBSCRIBE $dps/registrations/res/#", "PUBLISH $dps/registrations/PUT/iotdps-register/"];
const POLL = "PUBLISH $dps/registrations/GET/iotdps-get-operationstatus/";

describe("provisioning", () => {
  it("register, poll until assigned, hang up", async () => {
    const payload = { model: "M1", ü: ["€"] };
    const sdk = await peer.record(service(1), async () => {
      expect(await sdkProvision(peer, { ...ID, proof: KEY, payload })).toMatchObject(ASSIGNED);
    });
    const ours = await peer.record(service(1), async () => {
      const tls = { ca: peer.caCertificate };
      expect(await provisionDevice({ ...ID, symmetricKey: KEY, payload, port: peer.port, tls })).toMatchObject(
        ASSIGNED,
      );
    });
    expectSame(sdk, ours, KEY, [
      ...CONNECT_DIFFERENCES,
      ...TOKEN_DIFFERENCES,
      ...noUnsubscribe([...REGISTER, POLL]),
      {
        field: `${POLL}: payload`,
        sdk: '" "',
        ours: '""',
        reason: "the documented request has an empty body; the SDK sends a space",
      },
    ]);
  });

  it("assigned at once, without a payload", async () => {
    const sdk = await peer.record(service(0), () => sdkProvision(peer, { ...ID, proof: KEY }));
    const ours = await peer.record(service(0), () =>
      provisionDevice({ ...ID, symmetricKey: KEY, port: peer.port, tls: { ca: peer.caCertificate } }),
    );
    expectSame(sdk, ours, KEY, [...CONNECT_DIFFERENCES, ...TOKEN_DIFFERENCES, ...noUnsubscribe(REGISTER)]);
  });

  it("with a certificate: no password", async () => {
    const { certificate: cert, key } = createSelfSigned({ commonName: ID.registrationId, client: true });
    const sdk = await peer.record(service(0), () => sdkProvision(peer, { ...ID, proof: { cert, key } }));
    const ours = await peer.record(service(0), () =>
      provisionDevice({ ...ID, x509: { cert, key }, port: peer.port, tls: { ca: peer.caCertificate } }),
    );
    expectSame(sdk, ours, KEY, [...CONNECT_DIFFERENCES, ...noUnsubscribe(REGISTER)]);
    expect(sdk[0]).not.toHaveProperty("password");
    expect(ours[0]).not.toHaveProperty("password");
  });
});
