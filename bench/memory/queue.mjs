// How much memory a message takes that waits offline, over its payload: settings as JSON in argv. Says bytes a message.
import { load } from "../suite/dist.mjs";
import { used } from "../suite/used.mjs";

const { peer, form, size, count } = JSON.parse(process.argv[2]);
const topic = "plant/line/1";
const options = {
  // Nobody answers there, and the first attempt takes its time to find out.
  createConnection: () => new Promise(() => {}),
  connectTimeout: 3_600_000,
  offlineQueue: { maxCount: Infinity, maxBytes: Infinity },
};

/** Each gives the function that sends one, which resolves when it was acknowledged: never, here. */
const peers = {
  async hubwire() {
    const { MqttClient } = await load("client/index.js");
    const client = new MqttClient({ host: "localhost", clientId: "c", ...options });
    client.connect({ timeout: Infinity }).catch(() => {});
    client.on("error", () => {});
    return (payload) => client.publish(topic, payload, { qos: 1 });
  },
  async "hubwire's DeviceClient"() {
    const { DeviceClient } = await load("hub/index.js");
    const device = new DeviceClient("HostName=localhost;DeviceId=d;SharedAccessKey=a2V5", options);
    device.connect({ timeout: Infinity }).catch(() => {});
    device.on("error", () => {});
    return (payload) => device.sendTelemetry(payload);
  },
  /** Its options keep what is published while there is no connection, with no bound. */
  async "MQTT.js"() {
    const { default: mqtt } = await import("mqtt");
    const client = mqtt.connect("mqtt://localhost", { clientId: "c", manualConnect: true });
    client.on("error", () => {});
    return (payload) => client.publishAsync(topic, payload, { qos: 1 });
  },
};

const pad = "x".repeat(size);
/** A payload of its own each time, as a program makes it. */
const payload = (index) => {
  const text = (index + pad).slice(0, size);
  return form === "text" ? text : Buffer.from(new TextEncoder().encode(text).buffer);
};
const send = await peers[peer]();

let failure;
const offer = async (from, to) => {
  for (let i = from; i < to; i++) {
    send(payload(i)).catch((error) => (failure ??= error));
    if (i % 1000 === 0) await new Promise(setImmediate);
  }
};

// The first ones pay for what is made once.
await offer(0, 1000);
const before = await used();
await offer(1000, 1000 + count);
const after = await used();
if (failure) throw failure;
process.send((after - before) / count, () => process.exit());
