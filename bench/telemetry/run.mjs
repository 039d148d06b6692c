// One client, one process: connects, warms up, sends, prints CPU time, wall time and what waits as JSON. Settings come
// as JSON in argv.
import { createRequire } from "node:module";
import { load } from "../suite/dist.mjs";

const settings = JSON.parse(process.argv[2]);
const { peer, port, ca, messages, warmup, window } = settings;
const key = Buffer.alloc(32, 7).toString("base64");
const connectionString = `HostName=localhost;DeviceId=thermostat-1;SharedAccessKey=${key}`;
const payload = Buffer.alloc(64, "x");

/** What an application says of a message: names and most values come again, one value and the id never do. */
const propertiesOf = (i) => ({ alert: "false", room: `room ${i & 15}`, unit: "°C", sequence: `${i}` });

const peers = {
  async hubwire() {
    const { DeviceClient } = await load("hub/index.js");
    const device = new DeviceClient(connectionString, { port, tls: { ca }, maxInflight: window });
    await device.connect();
    return {
      send: (i) =>
        device.sendTelemetry(payload, {
          properties: propertiesOf(i),
          messageId: `m-${i}`,
          contentType: "application/json",
          contentEncoding: "utf-8",
        }),
      close: () => device.close({ force: true }),
    };
  },

  async publish() {
    const { MqttClient } = await load("client/index.js");
    const client = new MqttClient({
      host: "localhost",
      port,
      clientId: "thermostat-1",
      tls: { ca },
      maxInflight: window,
    });
    await client.connect();
    // The same topics as sendTelemetry's, ready made: 60,000 that differ in the id, the room and the number.
    const topics = Array.from({ length: Math.max(messages, warmup) }, (_, i) =>
      Buffer.from(
        `devices/thermostat-1/messages/events/%24.mid=m-${i}&%24.ct=application%2Fjson&%24.ce=utf-8` +
          `&alert=false&room=room%20${i & 15}&unit=%C2%B0C&sequence=${i}`,
      ).toString("latin1"),
    );
    const options = { qos: 1 };
    return { send: (i) => client.publish(topics[i], payload, options), close: () => client.close({ force: true }) };
  },

  /** Microsoft's SDK, where the peers of test/interop are installed. */
  async sdk() {
    const require = createRequire(new URL("../../test/interop/package.json", import.meta.url));
    const { Client, Message } = require("azure-iot-device");
    const { Mqtt } = require("azure-iot-device-mqtt");
    // The SDK dials 8883 but for a gateway, which it reads as part of a URL.
    const client = Client.fromConnectionString(`${connectionString};GatewayHostName=localhost:${port}`, Mqtt);
    await client.setOptions({ ca });
    await client.open();
    return {
      send: (i) => {
        const message = new Message(payload);
        message.messageId = `m-${i}`;
        message.contentType = "application/json";
        message.contentEncoding = "utf-8";
        for (const [name, value] of Object.entries(propertiesOf(i))) message.properties.add(name, value);
        return client.sendEvent(message);
      },
      close: () => client.close(),
    };
  },
};

const { send, close } = await peers[peer]();

/** Sends so many, keeping `window` on their way. */
async function run(count) {
  let sent = 0;
  const worker = async () => {
    while (sent < count) await send(sent++);
  };
  await Promise.all(Array.from({ length: window }, worker));
}

await run(warmup);
global.gc?.();
const cpu = process.cpuUsage();
const begin = process.hrtime.bigint();
await run(messages);
const wall = Number(process.hrtime.bigint() - begin) / 1e3;
const { user, system } = process.cpuUsage(cpu);
process.send({ cpu: (user + system) / messages, wall: wall / messages });
void Promise.resolve(close()).finally(() => process.exit());
