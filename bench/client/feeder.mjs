// Publishes to mosquitto what a client under test orders by a PUBLISH to "order" with { qos, count, window, payloadBytes }, as
// broker.mjs does by itself: `feeder.mjs PORT`. A process of its own, without TLS, so that it is ahead of any client.
import { MqttClient } from "../../dist/client/index.js";

const topic = "devices/thermostat-1/messages/devicebound/%24.mid=1&%24.ct=application%2Fjson";
const client = new MqttClient({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  protocol: "mqtt",
  clientId: "feeder",
});
await client.connect();
await client.subscribe("order", { qos: 0 }, async ({ payload: order }) => {
  const { qos, count, window, payloadBytes } = JSON.parse(Buffer.from(order).toString());
  const payload = Buffer.alloc(payloadBytes, "x");
  let sent = 0;
  const worker = async () => {
    while (sent < count) {
      sent++;
      await client.publish(topic, payload, { qos });
    }
  };
  await Promise.all(Array.from({ length: window }, worker));
});
process.send("ready");
process.on("disconnect", () => process.exit());
