/** More messages to a device than there are packet identifiers. */
import { expect, it } from "vitest";
import { HubEmulator } from "../../src/emulator/index.js";
import { event, RawClient } from "./raw-client.js";

it("messages wait for a packet identifier where all 65,535 are taken", async () => {
  const many = await HubEmulator.start({ limits: { cloudToDevicePending: 70_000 } });
  const { deviceId, ...rest } = many.createDevice("busy");
  const client = await RawClient.connected(many, { deviceId, ...rest });
  await client.subscribe("devices/busy/messages/devicebound/#");
  client.socket.removeAllListeners("data").resume();
  for (let index = 0; index < 65_540; index++) await many.sendToDevice(deviceId, "x", { messageId: `${index}` });
  const first = event(many, "completed");
  client.send({ type: "puback", packetId: 7 });
  expect(await first).toMatchObject({ messageId: "6" });
  expect(many.pendingMessages(deviceId)).toBe(65_539);
  await many.close();
});
