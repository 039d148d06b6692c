// What the codec's targets share: the built package, seeds, and a generator of packets and of their bytes.
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const dist = process.env.HUBWIRE_DIST ?? resolve(import.meta.dirname, "../dist");
export const codec = await import(pathToFileURL(resolve(dist, "codec/index.js")).href);
const { HubwireError, encode } = codec;

/** Documented codes that may leave the decoder, and those that may leave the encoder. */
export const DECODING = ["ERR_MALFORMED_PACKET", "ERR_PACKET_TOO_LARGE"];
export const ENCODING = ["ERR_INVALID_PACKET"];

/** The result of `action`, or its HubwireError with one of `codes`; anything else is passed on. */
export function attempt(action, codes) {
  try {
    return { value: action() };
  } catch (error) {
    if (error instanceof HubwireError && codes.includes(error.code)) return { error };
    throw error;
  }
}

/** Whether two values made of plain objects, arrays, bytes and primitives are the same. */
function same(a, b) {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  }
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length || Array.isArray(a) !== Array.isArray(b)) return false;
  return keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}

export function equal(a, b, what) {
  const text = (value) =>
    JSON.stringify(value, (_key, field) => (field instanceof Uint8Array ? Buffer.from(field).toString("hex") : field));
  if (!same(a, b)) throw new Error(`${what}: ${text(a)} is not ${text(b)}`);
}

const WORDS = ["a", "/", "b/", "$", "é", "€", "😀", "\ufeff", "devices/", "+", "#", "\0", "\ud800", "x".repeat(20), ""];
const pick = (list, random) => list[random(list.length)];
/** Mostly legal for its place; `wild` lets wildcards in. */
function text(random, wild) {
  const usable = random(20) === 0 ? WORDS : WORDS.slice(0, 9);
  let made = random(30) === 0 ? "" : "t";
  for (let parts = random(5); parts > 0; parts--) made += pick(usable, random);
  if (wild && random(3) === 0) return pick(["#", "+", "a/#", "+/b", "/+/", `+/${made}`], random);
  return made;
}
const data = (random) => Uint8Array.from({ length: random(random(8) === 0 ? 300 : 12) }, () => random(256));
const identifier = (random) => (random(40) === 0 ? random(3) * 65_536 : 1 + random(65_535));
const list = (random, item) => Array.from({ length: random(30) === 0 ? 0 : 1 + random(4) }, item);

/** A packet object: legal more often than not. */
export function packetOf(random) {
  const qos = random(30) === 0 ? 3 : random(3);
  switch (random(10)) {
    case 0:
      return {
        type: "connect",
        clientId: text(random),
        cleanSession: random(4) > 0,
        keepAlive: random(65_536),
        ...(random(2) && { username: text(random) }),
        ...(random(2) && { password: data(random) }),
        ...(random(2) && { will: { topic: text(random), payload: data(random), qos, retain: random(2) === 1 } }),
      };
    case 1:
      return { type: "connack", sessionPresent: random(3) === 0, returnCode: random(7) };
    case 2:
      return {
        type: "subscribe",
        packetId: identifier(random),
        subscriptions: list(random, () => ({ topicFilter: text(random, true), qos })),
      };
    case 3:
      return { type: "suback", packetId: identifier(random), returnCodes: list(random, () => pick([0, 1, 2, 128, 3], random)) };
    case 4:
      return { type: "unsubscribe", packetId: identifier(random), topicFilters: list(random, () => text(random, true)) };
    case 5:
      return { type: pick(["pingreq", "pingresp", "disconnect"], random) };
    case 6:
      return { type: pick(["puback", "pubrec", "pubrel", "pubcomp", "unsuback"], random), packetId: identifier(random) };
    default: {
      const packet = { type: "publish", topic: text(random), payload: data(random), qos, retain: random(2) === 1 };
      return { ...packet, dup: qos > 0 && random(2) === 1, ...(qos > 0 && { packetId: identifier(random) }) };
    }
  }
}

/** The bytes of one to six packets. */
export function streamOf(random) {
  const parts = [];
  for (let packets = 1 + random(6); packets > 0; packets--) {
    const { value } = attempt(() => encode(packetOf(random)), ENCODING);
    if (value !== undefined) parts.push(value);
  }
  return new Uint8Array(Buffer.concat(parts));
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
