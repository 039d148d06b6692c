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
  if (random(2)) packet.will = { topic: text(random), payload: data(random), qos: qosOf(random), retain: random(2) === 1 };
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
      return { type: pick(["puback", "pubrec", "pubrel", "pubcomp", "unsuback"], random), packetId: identifier(random) };
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

/** The size of the packet at `at`, of at most 16 KiB; NaN where its header is incomplete. */
function sizeAt(input, at) {
  const length = input[at + 1];
  return length < 128 ? 2 + length : 3 + (length & 127) + 128 * input[at + 2];
}

/** Makes the last packet of a mutant end with the stream where a byte for its length allows; most others are incomplete. */
export function repair(input) {
  let at = 0;
  for (let size; at + (size = sizeAt(input, at)) < input.length; ) at += size;
  const left = input.length - at - 2;
  if (left >= 0 && left < 128 && input[at + 1] < 128) input[at + 1] = left;
}

/** Gives legal packets other identifiers and flags, and the payloads another byte. */
export function vary(input, random) {
  for (let at = 0, size; at + (size = sizeAt(input, at)) <= input.length; at += size) {
    const type = input[at] >> 4;
    let id = at + (input[at + 1] < 128 ? 2 : 3);
    if (type === 3) {
      id += 2 + 256 * input[id] + input[id + 1];
      const qos = (input[at] >> 1) & 3;
      input[at] = 0x30 | (qos << 1) | random(2) | (qos > 0 ? random(2) << 3 : 0);
      const payload = qos > 0 ? id + 2 : id;
      if (payload < at + size) input[payload + random(at + size - payload)] = random(256);
      if (qos === 0) continue;
    } else if (type < 4 || type > 11) continue;
    const value = 1 + random(65_535);
    input[id] = value >> 8;
    input[id + 1] = value;
  }
}

const hex = (digits) => new Uint8Array(Buffer.from(digits.replaceAll(" ", ""), "hex"));
/** A packet of each type, and the headers that others got wrong. */
export const seeds = [
  "10 23 0004 4d515454 04 f4 0499 0005 6465762d31 0003 772f74 0002 00ff 0002 c3a9 0003 0001fe",
  "10 0c 0004 4d515454 04 02 0000 0000",
  "20 02 01 00",
  "30 07 0003 612f62 6869",
  "3c 06 0001 2f 0001 02",
  "40 02 0001",
  "50 02 1234",
  "62 02 00ff",
  "70 02 ff00",
  "82 0e 0002 0003 612f23 00 0003 2b2f62 01",
  "90 06 0002 00 01 02 80",
  "a2 0d 0003 0003 612f23 0001 2b 0001 2f",
  "b0 02 0003",
  "c0 00 d0 00 e0 00",
  "30 ff ff ff ff 01",
  "30 ff ff ff 7f 0001 61",
  "20 02 00 00 62 00",
].map(hex);
