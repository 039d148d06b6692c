// The emulator in a process of its own. A device process asks for method calls by an event message: its payload says how
// many; the hub makes them one at a time and tells how it went by a cloud-to-device message.
import { HubEmulator } from "../../dist/emulator/index.js";

const hub = await HubEmulator.start({ limits: { throttling: false } });
const { connectionString } = hub.createDevice("bench");
process.send({ port: hub.port, ca: hub.caCertificate, connectionString });
process.on("disconnect", () => process.exit());
for await (const { payload } of hub.telemetry()) {
  const took = [];
  for (let left = Number(Buffer.from(payload).toString()); left > 0; left--) {
    const begin = performance.now();
    await hub.invokeMethod("bench", "echo", { seconds: 30 });
    took.push((performance.now() - begin) * 1e3);
  }
  took.sort((a, b) => a - b);
  await hub.sendToDevice("bench", JSON.stringify({ p50: took[took.length >> 1] }));
}
