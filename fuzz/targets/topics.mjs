// Topic names, filters and matching against the obvious way, level by level; and encoding a PUBLISH agrees.
import { ENCODING, codec, refused } from "../codec.mjs";
import { bytesOf, textOf, unitsOf } from "../hub.mjs";

export const coverage = /\/dist\/codec\//;
export const seeds = ["a/b\na/b", "#\n$a", "+/+\n/a", "a/#\na", "a/+/c\na//c", "\n", "é/+\né/ü", "a\0\n#"].map(bytesOf);
export const words = ["a", "b", "/", "/", "+", "#", "$", "é", "\n"].map(bytesOf);
/** A topic and a filter that is made of it, so that many match; most are legal. */
export function generate(random) {
  const filter = [];
  const topic = [];
  for (let levels = 1 + random(5); levels > 0; levels--) {
    const level = LEVELS[random(LEVELS.length)];
    topic.push(level);
    filter.push(random(3) === 0 ? "+" : random(8) === 0 ? LEVELS[random(LEVELS.length)] : level);
  }
  if (random(3) === 0) filter.splice(random(filter.length + 1), random(8) === 0 ? 1 : 9, "#");
  return bytesOf(`${filter.join("/")}\n${topic.join("/")}`);
}
const LEVELS = ["a", "b", "ab", "", "$", "é", "😀"];
/** Two of them in a row are no better. */
export const pairs = false;

const ARGUMENT = ["ERR_INVALID_ARGUMENT"];
const LONE_SURROGATE = /[\ud800-\udfff]/u;
const WILDCARD = /[+#]/;

function isFilter(filter, levels) {
  if (filter === "") return false;
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i];
    if (WILDCARD.test(level) && level !== "+" && !(level === "#" && i === levels.length - 1)) return false;
  }
  return true;
}

function matches(filter, filterLevels, topic) {
  if (topic[0] === "$" && (filter[0] === "+" || filter[0] === "#")) return false;
  const levels = topic.split("/");
  for (let i = 0; i < filterLevels.length; i++) {
    const level = filterLevels[i];
    if (level === "#") return true;
    if (i >= levels.length || (level !== "+" && level !== levels[i])) return false;
  }
  return filterLevels.length === levels.length;
}

function agree(refusal, legal, what) {
  if ((refusal === undefined) !== legal) throw new Error(`${what}: ${refusal?.message ?? "accepted"}`);
}

const packet = { type: "publish", topic: "" };

export function run(input) {
  // Two bytes a character where the first says so: lone surrogates and the like come in this way.
  const text = input[0] === 0xff ? unitsOf(input.subarray(1)) : textOf(input);
  const [filter, topic = ""] = text.split("\n", 2);
  const levels = filter.split("/");
  const fine = !text.includes("\0") && !LONE_SURROGATE.test(text);
  const isName = topic !== "" && !WILDCARD.test(topic);
  const legal = isFilter(filter, levels);
  const refusal = refused(codec.checkTopicName, topic, ARGUMENT);
  if (fine) {
    agree(refusal, isName, "topic name");
    agree(refused(codec.checkTopicFilter, filter, ARGUMENT), legal, "topic filter");
  }
  const matched = codec.matchTopic(filter, topic);
  if (legal && isName && matched !== matches(filter, levels, topic))
    throw new Error(`${filter} and ${topic}: ${matched}`);
  packet.topic = topic;
  agree(refused(codec.encode, packet, ENCODING), refusal === undefined, "encode");
}
