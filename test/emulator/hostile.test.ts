/** Random and damaged clients: whatever they send, the hub stands, and says why it closed them. */
import { Duplex } from "node:stream";
import { expect, it } from "vitest";
import { encode, type PacketInit } from "../../src/codec/index.js";
import { HubEmulator, HubwireError, type ViolationEvent } from "../../src/emulator/index.js";
import { signSasToken } from "../../src/wire/sas.js";
import { seeded } from "../support/random.js";
import { connectPacket, RawClient } from "./raw-client.js";

const TOPICS = [
  "devices/d1/messages/events/",
  "devices/d1/messages/events/a=b&%24.mid=%zz&__proto__",
  "$iothub/twin/GET/?$rid=1",
  "$iothub/twin/GET/",
  "$iothub/twin/PATCH/properties/reported/?$rid=2",
  "$iothub/methods/res/200/?$rid=1",
  "$dps/registrations/PUT/iotdps-register/?$rid=1",
  "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=4.x",
  "elsewhere",
];
const BODIES = [
  "",
  "{}",
  "[]",
  '{"a":{"b":null}}',
  '{"__proto__":{"x":1}}',
  "[".repeat(5000),
  '{"registrationId":"r1"}',
];
const FILTERS = [
  "devices/d1/messages/devicebound/#",
  "$iothub/methods/POST/#",
  "$iothub/twin/res/#",
  "$iothub/twin/PATCH/properties/desired/#",
  "$dps/registrations/res/#",
  "#",
];

function packet(random: (below: number) => number): PacketInit {
  const pick = (list: readonly string[]): string => list[random(list.length)] as string;
  const packetId = 1 + random(9);
  switch (random(9)) {
    case 0:
      return {
        type: "subscribe",
        packetId,
        subscriptions: [{ topicFilter: pick(FILTERS), qos: random(3) as 0 | 1 | 2 }],
      };
    case 1:
      return { type: "puback", packetId };
    case 2:
      return { type: "pingreq" };
    case 3:
      return { type: "unsubscribe", packetId, topicFilters: [pick(FILTERS)] };
    default: {
      const qos = random(40) === 0 ? 2 : (random(2) as 0 | 1);
      const id = qos === 0 ? {} : { packetId, dup: random(4) === 0 };
      return { type: "publish", topic: pick(TOPICS), payload: pick(BODIES), qos, ...id };
    }
  }
}

it("survives a thousand of them", async () => {
  const { below: random } = seeded(20_161_114);
  const hub = await HubEmulator.start();
  const device = hub.createDevice("d1");
  const { primaryKey } = hub.createEnrollment("r1");
  const scope = "0ne00000000/registrations/r1";
  const connects = [
    encode(connectPacket(device, { will: { topic: "devices/d1/messages/events/", payload: "w", qos: 1 } })),
    encode({
      type: "connect",
      clientId: "r1",
      username: `${scope}/api-version=2019-03-31`,
      password: signSasToken(scope, primaryKey as string, 4e9, "registration"),
    }),
  ] as const;
  const violations: ViolationEvent[] = [];
  const counts = { telemetry: 0, connected: 0, disconnected: 0 };
  hub.on("violation", (each) => violations.push(each));
  hub.on("telemetry", () => counts.telemetry++);
  hub.on("connected", () => counts.connected++);
  hub.on("disconnected", () => counts.disconnected++);
  const methods: Promise<unknown>[] = [];

  for (let round = 0; round < 1000; round++) {
    const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    hub.accept(stream);
    stream.push(connects[random(4) === 0 ? 1 : 0]);
    for (let left = random(12); left > 0; left--) {
      const bytes = Buffer.from(encode(packet(random)));
      if (random(6) === 0) bytes[random(bytes.length)]! ^= 1 << random(8);
      const cut = random(bytes.length + 1);
      stream.push(bytes.subarray(0, cut));
      stream.push(bytes.subarray(cut));
      if (random(3) === 0) hub.sendToDevice("d1", "x").catch(() => {});
      if (random(5) === 0) hub.updateDesiredProperties("d1", { a: random(9) });
      if (random(9) === 0) methods.push(hub.invokeMethod("d1", "m").catch((error: unknown) => error));
      if (random(3) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await new Promise((resolve) => setImmediate(resolve));
    if (random(2) === 0) stream.destroy();
    else if (!stream.readableEnded) stream.push(null);
  }

  // Another device is served as if nothing had been.
  const witness = await RawClient.connected(hub, hub.createDevice("witness"));
  expect(await witness.nothingElse()).toBe(true);
  await hub.close();
  expect(violations.length).toBeGreaterThan(300);
  for (const { error } of violations) expect(error).toBeInstanceOf(HubwireError);
  expect(counts.telemetry).toBeGreaterThan(300);
  expect(counts.disconnected).toBe(counts.connected);
  for (const outcome of await Promise.all(methods)) {
    if (outcome instanceof Error) expect(outcome).toBeInstanceOf(HubwireError);
    else expect(outcome).toMatchObject({ status: 200 });
  }
});
