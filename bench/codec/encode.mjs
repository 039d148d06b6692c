// Encoding: `encode` and `PacketWriter` against mqtt-packet's `generate`, each packet in a process of its own
// (decode.mjs says why).
import { parseArgs } from "node:util";
import { ownProcess } from "./child.mjs";
import { c2dTopic } from "./corpora.mjs";
import { interleave, median, ratios, spread } from "./measure.mjs";
import { hubwire, mqttPacket } from "./peers.mjs";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "11" },
    turn: { type: "string", default: "60" },
    case: { type: "string" },
  },
});
const telemetry = Buffer.from(
  JSON.stringify({ temperature: 21.43, humidity: 48.2, pressure: 1013.25, battery: 3.61, sequence: 123456 }),
);
const events = "devices/thermostat-0042/messages/events/";
const cases = [
  ["QoS 1, 4-byte topic, 4-byte payload", "t/01", Buffer.from("1234")],
  ["QoS 1, telemetry topic, 98-byte payload", `${events}%24.ct=application%2Fjson`, telemetry],
  ["QoS 1, long property bag, 98-byte payload", c2dTopic, telemetry],
  ["QoS 1, telemetry topic, 98-character string", events, telemetry.toString()],
  ["PUBACK"],
];
let kept;

function contender(name, make) {
  let count = 20_000;
  const pass = (times) => {
    for (let i = 0; i < times; i++) kept = make(1 + (i % 65_535));
  };
  pass(count);
  const started = performance.now();
  pass(count);
  count = Math.ceil((count * Number(values.turn)) / (performance.now() - started));
  return { name, count, run: () => pass(count) };
}

function contenders(topic, payload) {
  const writer = new hubwire.PacketWriter();
  const taken = (packetId) => ((packetId & 31) === 0 ? writer.take() : kept);
  if (topic === undefined) {
    return [
      contender("mqtt-packet", (messageId) => mqttPacket.generate({ cmd: "puback", messageId })),
      contender("encode", (packetId) => hubwire.encode({ type: "puback", packetId })),
      contender("PacketWriter", (packetId) => {
        writer.puback(packetId);
        return taken(packetId);
      }),
    ];
  }
  return [
    contender("mqtt-packet", (messageId) =>
      mqttPacket.generate({ cmd: "publish", topic, payload, qos: 1, retain: false, dup: false, messageId }),
    ),
    contender("encode", (packetId) =>
      hubwire.encode({ type: "publish", topic, payload, qos: 1, retain: false, dup: false, packetId }),
    ),
    contender("PacketWriter", (packetId) => {
      writer.publish(topic, payload, 1, false, false, packetId);
      return taken(packetId);
    }),
  ];
}

if (values.case === undefined) {
  const options = process.argv.slice(2);
  for (const i of cases.keys()) process.stdout.write(ownProcess("encode", [...options, "--case", `${i}`]));
} else {
  const [label, topic, payload] = cases[values.case];
  const times = interleave(contenders(topic, payload), Number(values.rounds));
  const ns = [...times].map(([name, list]) => `${name} ${median(list).toFixed(1)}`).join(", ");
  const gain = (name) => spread(ratios(times, "mqtt-packet", name));
  console.log(
    `${label.padEnd(44)} ns: ${ns}; times mqtt-packet: encode ${gain("encode")} (target 8x), ` +
      `PacketWriter ${gain("PacketWriter")}`,
  );
}
