// One scenario in a process of its own: node scenario.mjs MODULE SCENARIO MESSAGES FILTERS. Prints JSON: the longest time
// for which the event loop did nothing else, in ms, the time until all that was asked for had settled, and the longest
// block of as many bare promises with a callback each that reject in one turn of the same process (where each has a signal
// of its own: that are aborted, with an error each), which is what the program's own part would cost if all of it came at
// once.
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

const [module, scenario, messageCount, filterCount] = process.argv.slice(2);
const [messages, filters] = [Number(messageCount), Number(filterCount)];
const { MqttClient } = await import(module);

const broker = fork(join(import.meta.dirname, "broker.mjs"), { execArgv: [] });
const [{ port }] = await once(broker, "message");

/**
 * A turn of the event loop notes how long the one before it took; on a machine that is busy with other things only as
 * much of that as this process really ran.
 */
let last = performance.now();
let lastCpu = process.cpuUsage();
let longest = 0;
let watching = true;
function note() {
  const [now, cpu] = [performance.now(), process.cpuUsage()];
  const ran = (cpu.user - lastCpu.user + cpu.system - lastCpu.system) / 1e3;
  longest = Math.max(longest, Math.min(now - last, ran));
  [last, lastCpu] = [now, cpu];
}
(function turn() {
  note();
  if (watching) setImmediate(turn);
})();
const turns = async (count) => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
};

const options = {
  host: "127.0.0.1",
  port,
  protocol: "mqtt",
  clientId: "blocking",
  cleanSession: false,
  reconnect: scenario === "lost, given up" ? false : { minDelay: 1, maxDelay: 1 },
  operationTimeout: 600_000,
  offlineQueue: { maxCount: messages + 1_000, maxBytes: 1 << 30, maxAge: scenario === "expired" ? 3_000 : 600_000 },
};
const client = new MqttClient(options);
client.on("error", () => {});
await client.connect();

const subscriptions = [];
for (let first = 0; first < filters; first += 500) {
  const some = Array.from({ length: Math.min(500, filters - first) }, (_, at) =>
    client.subscribe(`filters/${first + at}/#`, { qos: 1 }, () => {}),
  );
  subscriptions.push(...(await Promise.all(some)));
}

// Whose messages wait: with QoS 0 no window holds them back once there is a connection.
const isLate = scenario === "connected, QoS 0";
const sender = isLate ? new MqttClient({ ...options, clientId: "late" }) : client;
const shared = new AbortController();
const owned = [];
const settled = [];
const payload = Buffer.from("a message");
for (let at = 0; at < messages; at++) {
  let { signal } = shared;
  // A thousand have signals of their own, spread over all.
  if (scenario === "abort 1,000" && at % Math.ceil(messages / 1_000) === 0) {
    owned.push(new AbortController());
    ({ signal } = owned.at(-1));
  }
  settled.push(sender.publish("topic", payload, { qos: isLate ? 0 : 1, signal }).catch(() => {}));
  if (at % 1_000 === 0) await turns(1);
}
// The callbacks that the program's own waiting for all of them takes are made before anything is measured.
const allSettled = Promise.all(settled);
await turns(50);
global.gc?.();
await turns(5);

const connected = () => once(client, "connect");
const run = {
  "abort all": () => {
    shared.abort();
    return allSettled;
  },
  "abort 1,000": () => {
    // The newest first.
    for (const controller of owned.reverse()) controller.abort();
    return turns(5);
  },
  expired: () => Promise.all(settled.slice(1_000)),
  "lost, session kept": () => {
    const again = connected();
    broker.send("cut");
    return again;
  },
  "lost, session gone": () => {
    const again = connected();
    broker.send("lose");
    return again;
  },
  "lost, given up": () => {
    broker.send("cut");
    return allSettled;
  },
  "connected, QoS 0": () => Promise.all([sender.connect(), allSettled]),
  "unsubscribe all": () => Promise.all(subscriptions.map((subscription) => subscription.unsubscribe())),
  close: () => {
    const over = client.close();
    // What is on its way is waited for; the broker will not answer.
    broker.send("cut");
    return Promise.race([over, turns(20_000)]);
  },
  "close by force": () => Promise.all([client.close({ force: true }), allSettled]),
}[scenario];

/** A signal of its own, whose end costs the program an error of its own, too. */
function withController(reject) {
  const controller = new AbortController();
  const { signal } = controller;
  const listener = () => reject(new Error("aborted by its signal", { cause: signal.reason }));
  signal.addEventListener("abort", listener, { once: true });
  return controller;
}

note();
longest = 0;
const begin = performance.now();
await run();
const time = performance.now() - begin;
await turns(20);
const block = longest;
// The same without the client: as many promises, in the program's hands.
const count = scenario === "unsubscribe all" ? filters : scenario === "abort 1,000" ? owned.length : messages;
const rejects = [];
const bare = Array.from({ length: count }, () => new Promise((_, reject) => rejects.push(reject)).catch(() => {}));
const allBare = Promise.all(bare);
const controllers = scenario === "abort 1,000" ? rejects.map(withController) : [];
await turns(20);
note();
longest = 0;
if (controllers.length > 0) for (const controller of controllers) controller.abort();
else for (const reject of rejects) reject(shared.signal);
await allBare;
await turns(5);
watching = false;
console.log(JSON.stringify({ block, time, bare: longest }));
process.exit();
