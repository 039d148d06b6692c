// Encoding: `encode` and `PacketWriter` against mqtt-packet's `generate` and against its `writeToStream`, which is what
// MQTT.js uses; each packet in a process of its own (decode.mjs says why).
import { parseArgs } from "node:util";
import { progress, report } from "../suite/report.mjs";
import { ownProcess } from "./child.mjs";
import { c2dTopic } from "./corpora.mjs";
import { interleave } from "./measure.mjs";
import { hubwire, mqttPacket, otherCodecs } from "./peers.mjs";

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
  const started = process.cpuUsage();
  pass(count);
  const { user, system } = process.cpuUsage(started);
  count = Math.ceil((count * Number(values.turn) * 1e3) / Math.max(1, user + system));
  return { name, count, run: () => pass(count) };
}

/** What mqtt-packet writes to: it keeps nothing, and is corked as a socket is. */
const stream = {
  write(bytes) {
    kept = bytes;
    return true;
  },
  cork() {},
  uncork() {},
};

/** `encode` and `PacketWriter` of a build. */
function codecOf(name, { PacketWriter, encode }, topic, payload) {
  const writer = new PacketWriter();
  const taken = (packetId) => ((packetId & 31) === 0 ? writer.take() : kept);
  if (topic === undefined) {
    return [
      contender(`bytes ${name}`, (packetId) => encode({ type: "puback", packetId })),
      contender(`stream ${name}`, (packetId) => {
        writer.puback(packetId);
        return taken(packetId);
      }),
    ];
  }
  return [
    contender(`bytes ${name}`, (packetId) =>
      encode({ type: "publish", topic, payload, qos: 1, retain: false, dup: false, packetId }),
    ),
    contender(`stream ${name}`, (packetId) => {
      writer.publish(topic, payload, 1, false, false, packetId);
      return taken(packetId);
    }),
  ];
}

function contenders(topic, payload) {
  const packetOf =
    topic === undefined
      ? (messageId) => ({ cmd: "puback", messageId })
      : (messageId) => ({ cmd: "publish", topic, payload, qos: 1, retain: false, dup: false, messageId });
  return [
    ...codecOf("hubwire", hubwire, topic, payload),
    ...otherCodecs.flatMap(([name, codec]) => codecOf(name, codec, topic, payload)),
    contender("bytes mqtt-packet", (messageId) => mqttPacket.generate(packetOf(messageId))),
    contender("stream mqtt-packet", (messageId) => mqttPacket.writeToStream(packetOf(messageId), stream)),
  ];
}

/** The samples of one of the two forms, by peer. */
const formOf = (samples, form) =>
  Object.fromEntries(
    Object.entries(samples)
      .filter(([name]) => name.startsWith(`${form} `))
      .map(([name, list]) => [name.slice(form.length + 1), list]),
  );

if (values.case === undefined) {
  const options = process.argv.slice(2);
  for (const [i, [label]] of cases.entries()) {
    progress(`encoding: ${label}`);
    const samples = JSON.parse(ownProcess("encode", [...options, "--case", `${i}`]));
    const row = { what: label, unit: "CPU ns a packet", better: "less", ours: "hubwire" };
    report([
      { ...row, table: "Encoding to bytes of its own", values: formOf(samples, "bytes") },
      { ...row, table: "Encoding into a stream's buffer", values: formOf(samples, "stream") },
    ]);
  }
} else {
  const [, topic, payload] = cases[values.case];
  const times = interleave(contenders(topic, payload), Number(values.rounds));
  console.log(JSON.stringify(Object.fromEntries(times)));
}
