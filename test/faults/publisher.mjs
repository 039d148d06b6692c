// A program that publishes with a file store until it is killed: node publisher.mjs PORT STORE RUN COUNT
// After each publish() has returned it writes `accepted <topic> <payload>` to standard output, without
// buffering, and `settled <payload>` when the promise has resolved. It ends by itself when everything, also
// of earlier runs, is settled.
import { writeSync } from "node:fs";
import { FileStore } from "hubwire/file-store";
import { MqttClient } from "hubwire/mqtt";

const [port, path, run, count] = process.argv.slice(2);
const client = new MqttClient({
  host: "127.0.0.1",
  port: Number(port),
  protocol: "mqtt",
  clientId: "killed",
  cleanSession: false,
  store: new FileStore(path),
  connectTimeout: 20_000,
  reconnect: { minDelay: 5, maxDelay: 100 },
});
client.on("error", (error) => writeSync(1, `error ${error.code}\n`));

let number = 0;
function burst() {
  for (let more = 10; more > 0 && number < Number(count); more--, number++) {
    const qos = 1 + (number % 2);
    const payload = `${run}.${number}`;
    const done = client.publish(`kept/${qos}`, payload, { qos });
    writeSync(1, `accepted kept/${qos} ${payload}\n`);
    done.then(
      () => writeSync(1, `settled ${payload}\n`),
      (error) => writeSync(1, `error ${error.code} for ${payload}\n`),
    );
  }
  if (number < Number(count)) setImmediate(burst);
}

// The first messages are accepted before there is a connection, and so with nothing but the store to keep
// them.
burst();
await client.connect();
while (number < Number(count) || client.metrics.inflight + client.metrics.queued > 0) {
  await new Promise((resolve) => setTimeout(resolve, 5));
}
await client.close();
writeSync(1, "end\n");
