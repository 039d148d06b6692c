/** Filters in a tree give what `matchTopic` gives filter by filter, and leave nothing behind. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { matchTopic } from "../../src/codec/index.js";
import { TopicTree } from "../../src/session/topic-tree.js";
import { seeded } from "../support/random.js";

/** Every combination of up to `depth` of `parts`. */
function levels(parts: readonly string[], depth: number): string[] {
  if (depth === 1) return [...parts];
  const shorter = levels(parts, depth - 1);
  return [...new Set([...shorter, ...shorter.flatMap((text) => parts.map((part) => `${text}/${part}`))])];
}
const names = levels(["", "a", "$", "ab"], 3).filter(Boolean);
const plain = levels(["", "a", "$", "ab", "+"], 3).filter(Boolean);
const filters = [...plain, "#", ...plain.filter((text) => text.split("/").length < 3).map((text) => `${text}/#`)];

function set<V>(tree: TopicTree<V>, filter: string, value: V | undefined): void {
  tree.change(filter, () => value);
}

function get<V>(tree: TopicTree<V>, filter: string): V | undefined {
  let found: V | undefined;
  tree.change(filter, (value) => (found = value));
  return found;
}

function expectMatches(tree: TopicTree<string>, present: ReadonlySet<string>): void {
  for (const name of names) {
    const expected = filters.filter((filter) => present.has(filter) && matchTopic(filter, name));
    expect(tree.match(name).sort(), name).toEqual(expected.sort());
  }
}

describe("topic filters in a tree", () => {
  test("match as filter by filter, all of them, and half of them after the others were taken out", () => {
    const tree = new TopicTree<string>();
    const present = new Set(filters);
    for (const filter of filters) set(tree, filter, filter);
    for (const filter of filters) expect(get(tree, filter)).toBe(filter);
    expectMatches(tree, present);
    const random = seeded(7);
    for (const filter of filters) {
      if (random.next() < 0.5) continue;
      set(tree, filter, undefined);
      present.delete(filter);
    }
    for (const filter of filters) expect(get(tree, filter)).toBe(present.has(filter) ? filter : undefined);
    expectMatches(tree, present);
    for (const filter of filters) set(tree, filter, undefined);
    expectMatches(tree, new Set());
  });

  test.each([
    ["a/b", "a/b/c"],
    ["a/b/c", "a/b"],
    ["a/#", "a"],
    ["a", "a/#"],
    ["#", "a"],
    ["+", "a"],
  ])("%s does not stand at %s", (one, other) => {
    const tree = new TopicTree<number>();
    set(tree, one, 1);
    expect(get(tree, other)).toBeUndefined();
    set(tree, other, undefined);
    expect(get(tree, one)).toBe(1);
    set(tree, other, 2);
    set(tree, other, undefined);
    expect([get(tree, one), get(tree, other)]).toEqual([1, undefined]);
  });

  test("levels take no stack", () => {
    const tree = new TopicTree<string>();
    const name = "/".repeat(32_000);
    for (const filter of [`+${"/+".repeat(32_000)}`, `${name}#`]) tree.change(filter, () => filter.slice(-1));
    expect(tree.match(name).sort()).toEqual(["#", "+"]);
  });

  test("thousands of filters that came and went leave nothing behind", () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const held = (): number => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const tree = new TopicTree<true>();
    set(tree, "devices/kept/#", true);
    const pass = (from: number, to: number): void => {
      for (let i = from; i < to; i++) {
        for (const end of ["/state", "/#", ""]) set(tree, `devices/${i}/a${end}`, true);
        for (const end of ["", "/#", "/state"]) set(tree, `devices/${i}/a${end}`, undefined);
        set(tree, `devices/${i}/never`, undefined);
      }
    };
    pass(0, 500);
    const before = held();
    pass(500, 6_000);
    // A node and a map for each would be megabytes.
    expect(held() - before).toBeLessThan(400_000);
    expect(tree.match("devices/kept/x")).toEqual([true]);
  });
});
