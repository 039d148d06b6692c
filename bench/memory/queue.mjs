// How much memory a message takes that waits offline, over its payload: `queue.mjs device|client text|bytes PAYLOAD COUNT`.
// Prints bytes a message.
import { DeviceClient } from "../../dist/hub/index.js";
import { MqttClient } from "../../dist/client/index.js";

const [kind, form, size, count] = [process.argv[2], process.argv[3], +process.argv[4], +process.argv[5]];
const options = {
  // Nobody answers there, and the first attempt takes its time to find out.
  createConnection: () => new Promise(() => {}),
  connectTimeout: 3_600_000,
  offlineQueue: { maxCount: Infinity, maxBytes: Infinity },
};
const client =
  kind === "device"
    ? new DeviceClient("HostName=localhost;DeviceId=d;SharedAccessKey=a2V5", options)
    : new MqttClient({ host: "localhost", clientId: "c", ...options });
client.connect({ timeout: Infinity }).catch(() => {});
client.on("error", () => {});

const pad = "x".repeat(size);
/** A payload of its own each time, as a program makes it. */
const payload = (index) => {
  const text = (index + pad).slice(0, size);
  return form === "text" ? text : new TextEncoder().encode(text);
};
const send = (index) =>
  kind === "device" ? client.sendTelemetry(payload(index)) : client.publish("plant/line/1", payload(index), { qos: 1 });

let failure;
const offer = async (from, to) => {
  for (let i = from; i < to; i++) {
    send(i).catch((error) => (failure ??= error));
    if (i % 1000 === 0) await new Promise(setImmediate);
  }
};
async function used() {
  for (let i = 0; i < 3; i++) {
    await new Promise(setImmediate);
    gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

// The first ones pay for what is made once.
await offer(0, 1000);
const before = await used();
await offer(1000, 1000 + count);
const after = await used();
if (failure) throw failure;
console.log(JSON.stringify((after - before) / count));
process.exit();
