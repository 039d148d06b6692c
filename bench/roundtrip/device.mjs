// One device, one process; says the median time in µs and the CPU of each. Settings: JSON in argv.
import { createRequire } from "node:module";
import { load } from "../suite/dist.mjs";

const { peer, kind, port, ca, connectionString, times, warmup } = JSON.parse(process.argv[2]);
let told = () => {};

const peers = {
  async hubwire() {
    const { DeviceClient } = await load("hub/index.js");
    const device = new DeviceClient(connectionString, { port, tls: { ca } });
    await device.connect();
    if (kind === "method") {
      await device.onMethod("echo", ({ payload }) => ({ status: 200, payload }));
      await device.messages((message) => told(Buffer.from(message.payload)));
    } else await device.getTwin();
    return {
      twin: () => device.getTwin(),
      order: (count) => device.sendTelemetry(`${count}`),
      close: () => device.close({ force: true }),
    };
  },
  async "Microsoft's SDK"() {
    const require = createRequire(new URL("../../test/interop/package.json", import.meta.url));
    const { Client, Message } = require("azure-iot-device");
    const { Mqtt } = require("azure-iot-device-mqtt");
    const client = Client.fromConnectionString(`${connectionString};GatewayHostName=localhost:${port}`, Mqtt);
    await client.setOptions({ ca });
    await client.open();
    if (kind === "method") {
      client.onDeviceMethod("echo", (request, response) => void response.send(200, request.payload));
      client.on("message", (message) => {
        void client.complete(message);
        told(message.data);
      });
    } else await client.getTwin();
    const twin = () =>
      new Promise((resolve, reject) =>
        client.getTwin((error, found) => {
          if (error) return reject(error);
          // A twin that was read before is kept; this asks the hub again.
          found.get((failure) => (failure ? reject(failure) : resolve()));
        }),
      );
    return { twin, order: (count) => client.sendEvent(new Message(`${count}`)), close: () => client.close() };
  },
};

const device = await peers[peer]();

async function measure(count) {
  if (kind === "method") {
    const over = new Promise((resolve) => (told = (bytes) => resolve(JSON.parse(bytes.toString()))));
    await device.order(count);
    return over;
  }
  const took = [];
  for (let i = 0; i < count; i++) {
    const begin = performance.now();
    await device.twin();
    took.push((performance.now() - begin) * 1e3);
  }
  took.sort((a, b) => a - b);
  return { p50: took[took.length >> 1] };
}

await measure(warmup);
const before = process.cpuUsage();
const { p50 } = await measure(times);
const { user, system } = process.cpuUsage(before);
process.send({ p50, cpu: (user + system) / times });
await device.close();
process.disconnect();
process.once("disconnect", () => process.exit());
