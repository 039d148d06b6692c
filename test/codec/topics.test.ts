/** Topic names, topic filters and matching (section 4.7). */
import { describe, expect, test } from "vitest";
import { checkTopicFilter, checkTopicName, encode, matchTopic } from "../../src/codec/index.js";
import { trustName } from "../../src/codec/topics.js";
import { refusal } from "./support.js";

test.each(["a", "/", "a/b", "$SYS/x", " ", "é😀", "a".repeat(65_535)])("a topic name", (topic) => {
  expect(() => checkTopicName(topic)).not.toThrow();
  expect(() => checkTopicFilter(topic)).not.toThrow();
});

test.each(["", "+", "#", "a/+", "a#", "a\0", "\ud800", "a".repeat(65_536), undefined, null, 5, {}])(
  "no topic name: case %#",
  (topic) => {
    expect(refusal(() => checkTopicName(topic as string)).code).toBe("ERR_INVALID_ARGUMENT");
  },
);

test.each(["#", "+", "+/+", "a/#", "/#", "+/#", "a/+/b"])("topic filter %s", (filter) => {
  expect(() => checkTopicFilter(filter)).not.toThrow();
});

test.each([
  ["", "MQTT-4.7.3-1"],
  ["a#", "MQTT-4.7.1-2"],
  ["#a", "MQTT-4.7.1-2"],
  ["#/", "MQTT-4.7.1-2"],
  ["##", "MQTT-4.7.1-2"],
  ["a+", "MQTT-4.7.1-3"],
  ["+a", "MQTT-4.7.1-3"],
  ["++", "MQTT-4.7.1-3"],
  ["a/b+/c", "MQTT-4.7.1-3"],
  ["a\0", "MQTT-1.5.3-2"],
  ["\udc00", "MQTT-1.5.3-1"],
  ["é".repeat(32_768), "MQTT-4.7.3-3"],
  [undefined, undefined],
  [7, undefined],
])("no topic filter: case %#", (filter, statement) => {
  const error = refusal(() => checkTopicFilter(filter as string));
  expect([error.code, error.statement]).toEqual(["ERR_INVALID_ARGUMENT", statement]);
});

describe("matchTopic", () => {
  // The standard's own examples (sections 4.7.1.2, 4.7.1.3, 4.7.2, 4.7.3) and the edges beside them.
  test.each([
    ["sport/tennis/player1/#", "sport/tennis/player1", true],
    ["sport/tennis/player1/#", "sport/tennis/player1/ranking", true],
    ["sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true],
    ["sport/tennis/player1/#", "sport/tennis/player10", false],
    ["sport/#", "sport", true],
    ["sport/#", "sport/", true],
    ["sport/#", "sports", false],
    ["#", "sport/tennis", true],
    ["#", "/", true],
    ["sport/tennis/+", "sport/tennis/player1", true],
    ["sport/tennis/+", "sport/tennis/player1/ranking", false],
    ["sport/+", "sport", false],
    ["sport/+", "sport/", true],
    ["+/+", "/finance", true],
    ["/+", "/finance", true],
    ["+", "/finance", false],
    ["+", "finance", true],
    ["+/#", "a", true],
    ["+/+", "a", false],
    ["#", "$SYS/x", false],
    ["+/monitor/Clients", "$SYS/monitor/Clients", false],
    ["$SYS/#", "$SYS/monitor", true],
    ["$SYS/monitor/+", "$SYS/monitor/Clients", true],
    ["a/#", "a/$SYS", true],
    ["ACCOUNTS", "Accounts", false],
    ["a", "/a", false],
    ["/a", "a", false],
    ["a/", "a", false],
    ["a", "a/", false],
    ["a/b", "a/b", true],
    ["a/b", "a/bc", false],
    ["a/bc", "a/b", false],
    ["a//b", "a//b", true],
    ["a/+/b", "a//b", true],
    ["a/+/b", "a/x/c", false],
    ["a/b/#", "a", false],
    ["/", "/", true],
    ["é/+", "é/ü", true],
    ["e\u0301", "\u00e9", false],
  ])("%s and %s: %s", (filter, topic, expected) => {
    expect(matchTopic(filter, topic)).toBe(expected);
  });

  test("agrees with a comparison level by level on all short filters and topics", () => {
    const slow = (filter: string, topic: string): boolean => {
      const f = filter.split("/");
      const t = topic.split("/");
      if (topic.startsWith("$") && (f[0] === "+" || f[0] === "#")) return false;
      for (const [i, level] of f.entries()) {
        if (level === "#") return true;
        if (i >= t.length || (level !== "+" && level !== t[i])) return false;
      }
      return f.length === t.length;
    };
    const levels = ["", "a", "$", "ab"];
    const build = (parts: readonly string[], depth: number): string[] =>
      depth === 0
        ? [""]
        : build(parts, depth - 1).flatMap((rest) => parts.map((part) => (rest ? `${rest}/${part}` : part)));
    const filters = [1, 2, 3].flatMap((depth) => {
      const plain = build([...levels, "+"], depth);
      return [...plain, ...build([...levels, "+"], depth - 1).map((rest) => (depth > 1 ? `${rest}/#` : "#"))];
    });
    const topics = [1, 2, 3].flatMap((depth) => build(levels, depth));
    let pairs = 0;
    for (const filter of filters.filter(Boolean)) {
      for (const topic of topics.filter(Boolean)) {
        pairs++;
        expect(matchTopic(filter, topic), `${filter} ${topic}`).toBe(slow(filter, topic));
      }
    }
    expect(pairs).toBeGreaterThan(10_000);
  });

  test("65 thousand slashes take no time to speak of", () => {
    const topic = "/".repeat(65_535);
    expect(matchTopic("+/".repeat(32_767) + "#", topic)).toBe(true);
    expect(matchTopic(topic, topic)).toBe(true);
    expect(matchTopic(topic + "a", topic)).toBe(false);
  });

  test.each([
    [undefined, "a"],
    ["a", null],
    [5, 5],
  ])("anything but two strings is refused", (filter, topic) => {
    expect(refusal(() => matchTopic(filter as string, topic as string)).code).toBe("ERR_INVALID_ARGUMENT");
  });
});

test("a topic that its maker vouches for is written as any other, and vouches for no other", () => {
  const packet = { type: "publish", topic: "devices/d/messages/events/a=b", payload: "x" } as const;
  const checked = encode(packet);
  checkTopicName("another");
  trustName(packet.topic);
  expect(encode(packet)).toEqual(checked);
  expect(refusal(() => encode({ ...packet, topic: "devices/+" })).code).toBe("ERR_INVALID_PACKET");
});
