// Fills queues of clients that never connect and prints, as JSON, for each case what the client counts for its queued
// messages and what the process has grown by, bytes a message. Run with --expose-gc.
import { used } from "../../bench/suite/used.mjs";
import { MqttClient } from "../../dist/client/index.js";
import { DeviceClient } from "../../dist/hub/index.js";

/** So many that what a collection leaves behind, some 200 KiB more or less, is little for each. */
const LEAST_COUNT = 4_000;
const BYTES = 16 * 1024 * 1024;
const topic = "plant/line/1";
// The client is dropped with what it has queued, and nobody waits for it.
process.on("unhandledRejection", () => {});

const offlineQueue = { maxCount: Infinity, maxBytes: Infinity };
const clientOf = (form) =>
  form === "properties"
    ? new DeviceClient("HostName=localhost;DeviceId=d;SharedAccessKey=a2V5", { offlineQueue })
    : new MqttClient({ host: "localhost", clientId: "c", offlineQueue });

/**
 * A payload of its own each time, as a program makes it: an array, text of ASCII, text beyond Latin-1, or a piece of an array
 * or a text that is three times as large.
 */
function payloadOf(form, size, index) {
  if (form === "view") return new Uint8Array(3 * size).subarray(0, size);
  if (form === "slice")
    return Buffer.alloc(3 * size, String(index))
      .toString("latin1")
      .slice(size, 2 * size);
  const filled = Buffer.alloc(size, form === "wide" ? "\u2603" : "x");
  filled.write(String(index % 10).repeat(Math.min(3, size)));
  if (form !== "text" && form !== "wide") return new Uint8Array(filled);
  return form === "wide" ? filled.toString().replaceAll("\ufffd", "") : filled.toString("latin1");
}

/** Telemetry has a topic of its own for each message, made of many pieces. */
function send(client, form, size, index) {
  const payload = payloadOf(form, size, index);
  const { signal } = form === "signal" ? new AbortController() : {};
  if (form === "topic") {
    const line = Buffer.alloc(500, `plant/line/${index} `).toString();
    return client.publish(line.slice(0, line.indexOf(" ")), payload, { qos: 1 });
  }
  if (form !== "properties") return client.publish(topic, payload, { qos: 1, signal });
  const properties = { alert: "false", room: `room ${index & 15}`, unit: "°C", sequence: `${index}` };
  return client.sendTelemetry(payload, { properties, messageId: `m-${index}`, contentType: "application/json" });
}

async function fill(client, form, size, from, to) {
  for (let index = from; index < to; index++) {
    void send(client, form, size, index);
    if (index % 500 === 0) await new Promise(setImmediate);
  }
}

const results = [];
for (const [form, size] of JSON.parse(process.argv[2])) {
  const client = clientOf(form);
  const warm = 100;
  const count = Math.min(20_000, Math.max(LEAST_COUNT, Math.ceil(BYTES / (size + 300))));
  await fill(client, form, size, 0, warm);
  const before = await used();
  const counted = client.metrics.queuedBytes;
  await fill(client, form, size, warm, warm + count);
  const taken = (await used()) - before;
  if (client.metrics.queued !== warm + count) throw new Error(`${client.metrics.queued} are queued`);
  results.push({ form, size, counted: (client.metrics.queuedBytes - counted) / count, taken: taken / count });
  await client.close({ force: true });
}
console.log(JSON.stringify(results));
process.exit();
