// Topic names, filters and matching against the obvious way, level by level; and no string takes long.
import { ENCODING, attempt, codec, equal } from "../codec.mjs";

export const coverage = /\/dist\/codec\//;
export const seeds = ["a/b\na/b", "#\n$a", "+/+\n/a", "a/#\na", "a/+/c\na//c", "\n", "é/+\né/ü", "a\0\n#"].map((text) =>
  new Uint8Array(Buffer.from(text)),
);

const PARTS = ["a", "b", "/", "/", "+", "#", "$", "é", "\n"];

export function generate(random) {
  let text = "";
  for (let parts = random(14); parts > 0; parts--) text += PARTS[random(PARTS.length)];
  return new Uint8Array(Buffer.from(text));
}

const allowed = ["ERR_INVALID_ARGUMENT"];
const legal = (check, text) => attempt(() => check(text), allowed).error === undefined;

function matches(filter, topic) {
  const levels = topic.split("/");
  if (topic.startsWith("$") && /^[+#]/.test(filter)) return false;
  for (const [i, level] of filter.split("/").entries()) {
    if (level === "#") return true;
    if (i >= levels.length || (level !== "+" && level !== levels[i])) return false;
  }
  return filter.split("/").length === levels.length;
}

export function run(input) {
  // Two bytes a character where the first says so: lone surrogates and the like come in this way.
  const text = input[0] === 0xff ? Buffer.from(input).toString("utf16le", 1) : Buffer.from(input).toString();
  const [filter, topic = ""] = text.split("\n");
  const fine = !text.includes("\0") && !/[\ud800-\udfff]/u.test(text);
  const name = (value) => value !== "" && !/[+#]/.test(value);
  const levels = (value) => value !== "" && value.split("/").every((level, i, all) =>
    !/[+#]/.test(level) || level === "+" || (level === "#" && i === all.length - 1));
  if (fine) {
    equal(legal(codec.checkTopicName, topic), name(topic), "topic name");
    equal(legal(codec.checkTopicFilter, filter), levels(filter), "topic filter");
  }
  const matched = codec.matchTopic(filter, topic);
  if (levels(filter) && name(topic)) equal(matched, matches(filter, topic), `${filter} and ${topic}`);
  const published = attempt(() => codec.encode({ type: "publish", topic }), ENCODING).error === undefined;
  equal(published, legal(codec.checkTopicName, topic), "encode agrees");
}
