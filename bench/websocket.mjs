// Publishing with QoS 1 over WebSocket: hubwire over wss and over TLS, and MQTT.js over wss, each in a process of its own,
// in turn against one broker process (the package `ws` where it speaks WebSocket), over several rounds.
//
//   npm run bench -- websocket [--messages N] [--rounds N] [--window 1..65535] [--payload BYTES]
import { settings } from "./suite/options.mjs";
import { client, startBroker } from "./suite/parties.mjs";
import { column, interleaved, report } from "./suite/report.mjs";

const { values, pick } = settings(import.meta.filename);
const messages = values.messages ?? pick(100_000, 20_000, 2_000);
const rounds = values.rounds ?? pick(7, 3, 1);
const payloadBytes = values.payload ?? 100;
const broker = await startBroker();
const { tls, wss, ca } = broker;

const peers = {
  "hubwire, wss": { peer: "hubwire", protocol: "wss", port: wss },
  "hubwire, TLS": { peer: "hubwire", protocol: "mqtts", port: tls },
  "MQTT.js, wss": { peer: "MQTT.js", protocol: "wss", port: wss },
};

const results = await interleaved(Object.keys(peers), rounds, "websocket", (name) =>
  client("client/run.mjs", {
    ...peers[name],
    host: "localhost",
    ca,
    secure: true,
    messages,
    warmup: Math.ceil(messages / 5),
    window: values.window ?? 1_000,
    payloadBytes,
    qos: 1,
  }),
);
broker.stop();

const row = { what: `${payloadBytes} B`, ours: "hubwire, wss" };
const table = "Publishing with QoS 1 over WebSocket";
const cpu = (result) => (result.cpuSeconds / messages) * 1e6;
report([
  { ...row, table: `${table}: CPU of the client`, unit: "µs a message", better: "less", values: column(results, cpu) },
  {
    ...row,
    table: `${table}: throughput`,
    unit: "messages/s",
    better: "more",
    values: column(results, ({ seconds }) => messages / seconds),
  },
]);
