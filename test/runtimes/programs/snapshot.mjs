// A start-up snapshot that holds the codec, warm, and a client which has not dialled yet.
import { startupSnapshot } from "node:v8";
import { decode, encode } from "hubwire/codec";
import { MqttClient } from "hubwire/mqtt";

const packet = { type: "publish", topic: "a/b", payload: "c", qos: 1, packetId: 1 };
const before = decode(encode(packet));
startupSnapshot.setDeserializeMainFunction(() => {
  const after = decode(encode(packet));
  console.log(before.topic === after.topic ? "codec" : "the codec differs");
  if (process.env.SETTINGS === undefined) return;
  const { port } = JSON.parse(process.env.SETTINGS);
  const client = new MqttClient({ host: "127.0.0.1", port, protocol: "mqtt", clientId: "snapshot" });
  void client
    .connect()
    .then(() => client.publish("a", "b", { qos: 1 }))
    .then(() => client.close())
    .then(() => console.log("client"));
});
