// What a program is told that lacks a right: `denied.mjs connect|store`.
import { MqttClient } from "hubwire/mqtt";
import { FileStore } from "hubwire/file-store";

const tell = ({ code, retryable, cause }) => console.log(code, retryable, cause?.code);
if (process.argv[2] === "store") {
  try {
    new FileStore("records");
  } catch (error) {
    tell(error);
  }
} else {
  const client = new MqttClient({ host: "127.0.0.1", port: 1, protocol: "mqtt", clientId: "c" });
  await client.connect({ timeout: Infinity }).catch(tell);
}
