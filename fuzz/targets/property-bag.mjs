// Decoding takes any text and says what the obvious, slower way says; what it says, encoding writes so that it comes
// back; and any map is either refused for a lone surrogate or a name that cannot be written, or comes back.
import { attempt, equal } from "../codec.mjs";
import { bytesOf, entries, hub, ofParts, textOf, unitsOf } from "../hub.mjs";

export const coverage = /\/dist\/hub\//;
export const seeds = ["a=1&b", "?a=%20&=x&&b=", "%24.mid=m&iothub-ack=full", "__proto__=1&a=%ff%zz"].map(bytesOf);
export const generate = ofParts(["a", "b=", "=", "&", "%", "%2", "%20", "%ff", "%C3%BC", "?", "é", "__proto__", "$.mid", " ", "+"], 20);

const unescape = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

function obvious(bag) {
  const map = new Map();
  for (const pair of bag.replace(/^\?/, "").split("&").filter(Boolean)) {
    const [, name, value] = /^([^=]*)(?:=([^]*))?$/.exec(pair);
    map.set(unescape(name), value === undefined ? null : unescape(value));
  }
  return map;
}

function back(map, what) {
  const { value: bag, error } = attempt(() => hub.encodeProperties(map), ["ERR_INVALID_ARGUMENT"]);
  const unwritable = map.get("") === null || entries(map).some((text) => /[\ud800-\udfff]/u.test(text ?? ""));
  equal(error !== undefined, unwritable, `${what} refused`);
  if (error !== undefined) return;
  if (!/^(?:[\w.~&=-]|%[0-9A-F]{2})*$/.test(bag)) throw new Error(`${what}: unescaped in ${bag}`);
  equal(entries(hub.decodeProperties(bag)), entries(map), what);
}

export function run(input) {
  const bag = textOf(input);
  const map = hub.decodeProperties(bag);
  equal(entries(map), entries(obvious(bag)), "decoded");
  back(map, "what was decoded");
  const units = unitsOf(input);
  const half = units.length >> 1;
  back(new Map([[units.slice(0, half), units.slice(half)], [units, null]]), "a map of two");
}
