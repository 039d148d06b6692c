// Decoding takes any text and says what the obvious way says; what it says, encoding writes so that it comes back; and
// any map is either refused for a lone surrogate or a name that cannot be written, or comes back.
import { documented } from "../codec.mjs";
import { bytesOf, hub, ofWords, textOf, unitsOf } from "../hub.mjs";

export const coverage = /\/dist\/hub\//;
export const seeds = ["a=1&b", "?a=%20&=x&&b=", "%24.mid=m&iothub-ack=full", "__proto__=1&a=%ff%zz"].map(bytesOf);
export const words = ["a", "b=", "=", "&", "%", "%2", "%20", "%ff", "%C3%BC", "?", "é", "__proto__", "$.mid", " "]
  .concat("+")
  .map(bytesOf);
export const generate = ofWords(words, 20);

function unescape(text) {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function obvious(bag) {
  const map = new Map();
  for (const pair of (bag[0] === "?" ? bag.slice(1) : bag).split("&")) {
    if (pair === "") continue;
    const [name, ...values] = pair.split("=");
    map.set(unescape(name), values.length === 0 ? null : unescape(values.join("=")));
  }
  return map;
}

/** Throws unless both have the same entries in the same order. */
function check(map, expected, what) {
  const entries = expected.entries();
  for (const [name, value] of map) {
    const entry = entries.next().value;
    if (name !== entry?.[0] || value !== entry[1]) throw new Error(`${what}: ${name}=${value} is not ${entry}`);
  }
  if (map.size !== expected.size) throw new Error(`${what}: ${expected.size - map.size} entries are missing`);
}

const LONE_SURROGATE = /[\ud800-\udfff]/u;

function unwritable(map) {
  if (map.get("") === null) return true;
  for (const [name, value] of map) if (LONE_SURROGATE.test(name) || LONE_SURROGATE.test(value ?? "")) return true;
  return false;
}

const UNESCAPED = /[^\w.~&=%-]/;
const BROKEN = /%(?![0-9A-F]{2})/;
const CODES = ["ERR_INVALID_ARGUMENT"];

function back(map, what) {
  let bag;
  try {
    bag = hub.encodeProperties(map);
  } catch (error) {
    documented(error, CODES);
  }
  if ((bag === undefined) !== unwritable(map)) throw new Error(`${what}: written as ${bag}`);
  if (bag === undefined) return;
  if (UNESCAPED.test(bag) || BROKEN.test(bag)) throw new Error(`${what}: unescaped in ${bag}`);
  check(hub.decodeProperties(bag), map, what);
}

export function run(input) {
  const bag = textOf(input);
  const map = hub.decodeProperties(bag);
  check(map, obvious(bag), "decoded");
  back(map, "what was decoded");
  const units = unitsOf(input);
  const half = units.length >> 1;
  back(
    new Map([
      [units.slice(0, half), units.slice(half)],
      [units, null],
    ]),
    "a map of two",
  );
}
