// Packets, legal more often than not, and streams of their bytes.
import { ENCODING, codec, documented } from "./codec.mjs";
import { randomFrom } from "./random.mjs";

const pick = (list, random) => list[random(list.length)];

const WORDS = ["a", "/", "b/", "$", "é", "€", "😀", "\ufeff", "devices/", "+", "#", "\0", "\ud800", "x".repeat(20), ""];
/** Mostly legal for its place; `wild` lets wildcards in. */
function makeText(random, wild) {
  const usable = random(20) === 0 ? WORDS : WORDS.slice(0, 9);
  let made = random(30) === 0 ? "" : "t";
  for (let parts = random(5); parts > 0; parts--) made += pick(usable, random);
  if (wild && random(3) === 0) return pick(["#", "+", "a/#", "+/b", "/+/", `+/${made}`], random);
  return made;
}
// Made once; two of them together make the rest of the variety.
const random = randomFrom(0);
const TEXTS = Array.from({ length: 1024 }, () => makeText(random, false));
const FILTERS = Array.from({ length: 1024 }, () => makeText(random, true));
const BYTES = Uint8Array.from({ length: 4096 }, () => random(256));

const text = (random) => (random(4) ? pick(TEXTS, random) : pick(TEXTS, random) + pick(TEXTS, random));
const filter = (random) => (random(4) ? pick(FILTERS, random) : pick(TEXTS, random) + "/" + pick(FILTERS, random));
function data(random) {
  const start = random(3796);
  return BYTES.subarray(start, start + random(random(8) === 0 ? 300 : 12));
}
const identifier = (random) => (random(40) === 0 ? random(3) * 65_536 : 1 + random(65_535));
function list(random, item) {
  const items = [];
  for (let count = random(30) === 0 ? 0 : 1 + random(4); count > 0; count--) items.push(item(random));
  return items;
}

const qosOf = (random) => (random(30) === 0 ? 3 : random(3));
const subscription = (random) => ({ topicFilter: filter(random), qos: qosOf(random) });
const returnCode = (random) => (random(20) === 0 ? 3 : pick([0, 1, 2, 128], random));

function connect(random) {
  const packet = { type: "connect", clientId: text(random), cleanSession: random(4) > 0, keepAlive: random(65_536) };
  if (random(3)) packet.username = text(random);
  if (packet.username === undefined ? random(20) === 0 : random(2)) packet.password = data(random);
  if (random(2))
    packet.will = { topic: text(random), payload: data(random), qos: qosOf(random), retain: random(2) === 1 };
  return packet;
}

/** A packet object. */
export function packetOf(random) {
  switch (random(10)) {
    case 0:
      return connect(random);
    case 1:
      return { type: "connack", sessionPresent: random(3) === 0, returnCode: random(2) ? 0 : random(7) };
    case 2:
      return { type: "subscribe", packetId: identifier(random), subscriptions: list(random, subscription) };
    case 3:
      return { type: "suback", packetId: identifier(random), returnCodes: list(random, returnCode) };
    case 4:
      return { type: "unsubscribe", packetId: identifier(random), topicFilters: list(random, filter) };
    case 5:
      return { type: pick(["pingreq", "pingresp", "disconnect"], random) };
    case 6:
      return {
        type: pick(["puback", "pubrec", "pubrel", "pubcomp", "unsuback"], random),
        packetId: identifier(random),
      };
    default: {
      const qos = qosOf(random);
      const packet = { type: "publish", topic: text(random), payload: data(random), qos, retain: random(2) === 1 };
      packet.dup = qos > 0 && random(2) === 1;
      if (qos > 0) packet.packetId = identifier(random);
      return packet;
    }
  }
}

/** The bytes of one to four packets. */
export function streamOf(random) {
  const parts = [];
  for (let packets = 1 + random(1 + random(4)); packets > 0; packets--) {
    try {
      parts.push(codec.encode(packetOf(random)));
    } catch (error) {
      documented(error, ENCODING);
    }
  }
  return new Uint8Array(Buffer.concat(parts));
}
