// The default options in whatever heap there is: `offline.mjs device|client text|bytes PAYLOAD COUNT` offers so many
// messages while nobody answers. Prints how many wait, how many were refused, and with what code.
import { DeviceClient } from "../../dist/hub/index.js";
import { MqttClient } from "../../dist/client/index.js";

const [kind, form, size, count] = [process.argv[2], process.argv[3], +process.argv[4], +process.argv[5]];
const refuse = { host: "127.0.0.1", port: 1, reconnect: { minDelay: 60_000, maxDelay: 60_000 } };
const client =
  kind === "device"
    ? new DeviceClient("HostName=localhost;DeviceId=d;SharedAccessKey=a2V5", refuse)
    : new MqttClient({ clientId: "c", protocol: "mqtt", ...refuse });
client.on("error", () => {});
client.connect({ timeout: Infinity }).catch(() => {});

const codes = {};
const pad = "x".repeat(size);
for (let i = 0; i < count; i++) {
  const text = (i + pad).slice(0, size);
  const payload = form === "text" ? text : new TextEncoder().encode(text);
  const sent = kind === "device" ? client.sendTelemetry(payload) : client.publish("plant/line/1", payload, { qos: 1 });
  sent.catch(({ code }) => (codes[code] = (codes[code] ?? 0) + 1));
  if (i % 500 === 0) await new Promise(setImmediate);
}
await new Promise(setImmediate);
console.log(JSON.stringify({ waiting: client.metrics.queued, codes }));
process.exit();
