// A fleet against the emulator, over TLS: `npm run build && node test/soak/fleet.mjs --devices 2000`.
//
// All devices are connected at once, in a process of their own. Each sends messages, gets one, answers a method, and
// reports a property; every one of them must arrive once. Prints the hub's time and memory; exits with 1 otherwise.
// Needs a limit of open files above the number of devices (`ulimit -n`), in either process.
import { fork } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "2000" },
    messages: { type: "string", default: "5" },
    /** Handshakes at a time. */
    abreast: { type: "string", default: "100" },
    child: { type: "boolean", default: false },
  },
});
const dist = resolve(import.meta.dirname, "../../dist");
const count = Number(values.devices);
const messages = Number(values.messages);

/** Runs `work` for each item, so many at a time. */
async function each(items, abreast, work) {
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) await work(item, index);
  };
  await Promise.all(Array.from({ length: abreast }, worker));
}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;
const mebibytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

async function devices() {
  const { DeviceClient } = await import(resolve(dist, "hub/index.js"));
  const [{ port, ca, connectionStrings }] = await once(process, "message");
  const clients = connectionStrings.map((text) => new DeviceClient(text, { port, tls: { ca } }));
  const got = clients.map(() => 0);
  await each(clients, Number(values.abreast), async (client, index) => {
    client.on("error", (error) => console.error(`device ${index}: ${error.code} ${error.message}`));
    await client.connect({ timeout: 120_000 });
    await client.messages(() => void got[index]++);
    await client.onMethod("ping", ({ payload }) => ({ status: 200, payload }));
  });
  process.send("connected");
  await once(process, "message");
  await each(clients, clients.length, async (client, index) => {
    const sends = Array.from({ length: messages }, (_, n) =>
      client.sendTelemetry(`${n}`, { properties: { index: `${index}` } }),
    );
    await Promise.all([...sends, client.updateReportedProperties({ index })]);
  });
  process.send("sent");
  await once(process, "message");
  process.send({ got, rss: process.memoryUsage().rss });
  await Promise.all(clients.map((client) => client.close({ force: true })));
  process.disconnect();
}

async function hub() {
  const { HubEmulator } = await import(resolve(dist, "emulator/index.js"));
  const memory = () => (globalThis.gc?.(), process.memoryUsage());
  const emulator = await HubEmulator.start();
  const identities = Array.from({ length: count }, (_, index) => emulator.createDevice(`device-${index}`));
  const arrived = new Map();
  emulator.on("telemetry", ({ deviceId, payload }) => {
    const key = `${deviceId}/${payload}`;
    arrived.set(key, (arrived.get(key) ?? 0) + 1);
  });
  for (const name of ["violation", "refused", "throttled"]) emulator.on(name, (event) => console.error(name, event));
  const before = memory();
  const child = fork(import.meta.filename ?? process.argv[1], [...process.argv.slice(2), "--child"]);
  let start = performance.now();
  const connectionStrings = identities.map(({ connectionString }) => connectionString);
  child.send({ port: emulator.port, ca: emulator.caCertificate, connectionStrings });
  const next = async () => (await once(child, "message"))[0];
  await next();
  console.log(`${count} devices connected in ${seconds(start)}`);
  const idle = memory();
  const each_ = (after, from) => `${((after - from) / count / 1024).toFixed(1)} KiB`;
  console.log(`  hub: ${mebibytes(idle.rss)} resident, ${each_(idle.rss, before.rss)} a device`);
  start = performance.now();
  const all = [];
  child.send("go");
  for (const { deviceId } of identities) {
    all.push(emulator.sendToDevice(deviceId, "hello").then(({ completion }) => completion));
    all.push(emulator.invokeMethod(deviceId, "ping", deviceId).then(({ payload }) => payload === deviceId));
  }
  const outcomes = await Promise.all(all);
  await next();
  const took = performance.now() - start;
  child.send("tell");
  const told = await next();
  const total = count * (messages + 3);
  console.log(
    `${total} messages, calls and reports in ${(took / 1000).toFixed(1)} s: ${Math.round(total / (took / 1000))}/s`,
  );
  console.log(`  hub: ${mebibytes(process.memoryUsage().rss)} resident; devices: ${mebibytes(told.rss)}`);
  const wrong = [
    [arrived.size === count * messages && [...arrived.values()].every((times) => times === 1), "telemetry"],
    [outcomes.every((outcome) => outcome === true || outcome === "Success"), "messages to devices and methods"],
    [told.got.every((times) => times === 1), "messages at the devices"],
    [identities.every(({ deviceId }, index) => emulator.twin(deviceId).reported.index === index), "twins"],
  ].filter(([right]) => !right);
  for (const [, what] of wrong) console.error(`fleet: ${what}: not each arrived once`);
  await emulator.close();
  process.exitCode = wrong.length > 0 ? 1 : 0;
}

await (values.child ? devices() : hub());
