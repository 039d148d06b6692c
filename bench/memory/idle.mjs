// Memory of idle connections: so many of each kind in one fresh process, over what the process weighed before. The bare
// socket has sent the same CONNECT and read the same CONNACK, because a socket that was never used weighs less.
//
//   npm run bench -- idle [--smoke]
import { fork } from "node:child_process";
import { join } from "node:path";

const folder = import.meta.dirname;
const [mode, settings] = process.argv.slice(2);

if (mode === "run") {
  const { kind, count, port, ca } = JSON.parse(settings);
  const open = {
    async "bare TLS socket"() {
      const tls = await import("node:tls");
      const { encode } = await import("../dist/codec/index.js");
      const context = tls.createSecureContext({ ca });
      return (index) =>
        new Promise((resolve, reject) => {
          const socket = tls.connect({ host: "localhost", port, secureContext: context }, () => {
            socket.write(encode({ type: "connect", clientId: `idle-${index}` }));
          });
          socket.on("data", () => resolve(socket)).on("error", reject);
        });
    },
    async hubwire() {
      const tls = await import("node:tls");
      const { MqttClient } = await import("../dist/client/index.js");
      const secureContext = tls.createSecureContext({ ca });
      return async (index) => {
        const client = new MqttClient({ host: "localhost", port, clientId: `idle-${index}`, tls: { secureContext } });
        await client.connect();
        return client;
      };
    },
    async "MQTT.js"() {
      const tls = await import("node:tls");
      const { default: mqtt } = await import("mqtt");
      const secureContext = tls.createSecureContext({ ca });
      return (index) => mqtt.connectAsync(`mqtts://localhost:${port}`, { secureContext, clientId: `idle-${index}` });
    },
  };
  const make = await open[kind]();
  const kept = [await make(0)];
  gc();
  gc();
  const before = process.memoryUsage();
  for (let i = 1; i <= count; i++) kept.push(await make(i));
  await new Promise((resolve) => setTimeout(resolve, 200));
  gc();
  gc();
  const after = process.memoryUsage();
  const total = (usage) => usage.rss;
  const heap = (usage) => usage.heapUsed + usage.external;
  process.send({
    rss: (total(after) - total(before)) / count / 1024,
    heap: (heap(after) - heap(before)) / count / 1024,
    kept: kept.length,
  });
  process.exit();
}

const smoke = process.argv.includes("--smoke");
const rounds = smoke ? 1 : 5;
const count = smoke ? 20 : 300;
const message = (child) =>
  new Promise((resolve, reject) => child.once("message", resolve).once("exit", () => reject(new Error("ended early"))));
const broker = fork(join(folder, "client/broker.mjs"));
const { tls: port, ca } = await message(broker);
const kinds = ["bare TLS socket", "hubwire", "MQTT.js"];
const results = Object.fromEntries(kinds.map((kind) => [kind, []]));
for (let round = 0; round < rounds; round++) {
  for (const kind of kinds) {
    const child = fork(join(folder, "idle.mjs"), ["run", JSON.stringify({ kind, count, port, ca })], {
      execArgv: ["--expose-gc"],
    });
    results[kind].push(await message(child));
  }
}
broker.disconnect();
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const row = (values) =>
  `${median(values).toFixed(1).padStart(7)} (${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`;
console.log(
  `idle TLS connections, ${count} in one process, ${rounds} rounds in turn; Node ${process.version}; KiB a connection\n`,
);
for (const kind of kinds) {
  console.log(
    `${kind.padEnd(16)} RSS ${row(results[kind].map(({ rss }) => rss))}   heap and external ${row(results[kind].map(({ heap }) => heap))}`,
  );
}
const ratios = (key) =>
  row(results["hubwire"].map((result, round) => result[key] / results["bare TLS socket"][round][key]));
console.log(`\nhubwire / bare socket (budget 1.2): RSS ${ratios("rss")}   heap and external ${ratios("heap")}`);
