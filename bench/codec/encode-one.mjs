// One contender of one row of encode.mjs: one form, one packet, one peer; it takes turns as it is told.
import { parseArgs } from "node:util";
import { cases } from "./cases.mjs";
import { hubwire, mqttPacket, mqttPacketPeer, otherCodecs } from "./peers.mjs";
import { answerTurns, lengths } from "./turns.mjs";

const { values } = parseArgs({
  options: {
    form: { type: "string" },
    case: { type: "string" },
    ...lengths,
    peer: { type: "string" },
  },
});
const COUNT = 5_000;
const [topic, payload] = cases[values.case];
let kept;

/** What mqtt-packet writes to: it keeps nothing, and is corked as a socket is. */
const stream = {
  write(bytes) {
    kept = bytes;
    return true;
  },
  cork() {},
  uncork() {},
};

/** By form: a function that encodes packet number `packetId`. */
function mqttPacketForms() {
  const packetOf =
    topic === undefined
      ? (messageId) => ({ cmd: "puback", messageId })
      : (messageId) => ({ cmd: "publish", topic, payload, qos: 1, retain: false, dup: false, messageId });
  return {
    bytes: (packetId) => (kept = mqttPacket.generate(packetOf(packetId))),
    stream: (packetId) => mqttPacket.writeToStream(packetOf(packetId), stream),
  };
}

function codecForms({ PacketWriter, encode }) {
  const writer = new PacketWriter();
  const packetOf =
    topic === undefined
      ? (packetId) => ({ type: "puback", packetId })
      : (packetId) => ({ type: "publish", topic, payload, qos: 1, retain: false, dup: false, packetId });
  const write =
    topic === undefined
      ? (packetId) => writer.puback(packetId)
      : (packetId) => writer.publish(topic, payload, 1, false, false, packetId);
  return {
    bytes: (packetId) => (kept = encode(packetOf(packetId))),
    stream(packetId) {
      write(packetId);
      if ((packetId & 31) === 0) kept = writer.take();
    },
  };
}

const codec = { hubwire, ...Object.fromEntries(otherCodecs) }[values.peer];
if (codec === undefined && values.peer !== mqttPacketPeer.name) throw new Error(`no peer of that name: ${values.peer}`);
const make = (codec ? codecForms(codec) : mqttPacketForms())[values.form];
const pass = () => {
  for (let i = 0; i < COUNT; i++) make(1 + i);
};
answerTurns(pass, COUNT, values);
// Read, so that no engine may find that nothing is.
process.once("exit", () => (globalThis.last = kept));
