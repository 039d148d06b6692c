// Fills queues of clients that never connect and prints, as JSON, for each case what the client counts for its queued
// messages and what the process has grown by, bytes a message. Run with --expose-gc.
import { MqttClient } from "../../dist/client/index.js";

const BYTES = 16 * 1024 * 1024;
const topic = "plant/line/1";
// The client is dropped with what it has queued, and nobody waits for it.
process.on("unhandledRejection", () => {});

const clientOf = () =>
  new MqttClient({ host: "localhost", clientId: "c", offlineQueue: { maxCount: Infinity, maxBytes: Infinity } });

async function used() {
  for (let round = 0; round < 4; round++) {
    await new Promise(setImmediate);
    gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** A payload of its own each time, as a program makes it: an array, text of ASCII, or text beyond Latin-1. */
function payloadOf(form, size, index) {
  const filled = Buffer.alloc(size, form === "wide" ? "\u2603" : "x");
  filled.write(String(index % 10).repeat(Math.min(3, size)));
  if (form === "bytes") return new Uint8Array(filled);
  return form === "wide" ? filled.toString().replaceAll("\ufffd", "") : filled.toString("latin1");
}

async function fill(client, form, size, from, to) {
  for (let index = from; index < to; index++) {
    void client.publish(topic, payloadOf(form, size, index), { qos: 1 });
    if (index % 500 === 0) await new Promise(setImmediate);
  }
}

const results = [];
for (const [form, size] of JSON.parse(process.argv[2])) {
  const client = clientOf();
  const warm = 100;
  const count = Math.min(20_000, Math.ceil(BYTES / (size + 300)));
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
