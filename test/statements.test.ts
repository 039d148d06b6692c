/**
 * Each statement of the standard that a client owes something has a positive and a negative test.
 *
 * A test says which it checks with a tag in its title: `[MQTT-x.y.z-n +]` for "does it", `[MQTT-x.y.z-n -]` for
 * "refuses, or notices, the opposite". Several may stand in one title.
 */
import { readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { statements } from "./support/statements.js";

const folder = resolve(import.meta.dirname);
const tags = new Map<string, string[]>();
for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
  if (!/\.test\.ts$/.test(name) || /node_modules|interop|^statements/.test(name)) continue;
  for (const [, id, sign] of readFileSync(join(folder, name), "utf8").matchAll(/\[(MQTT-[\d.-]+) ([+-])\]/g)) {
    const key = `${id} ${sign}`;
    tags.set(key, [...(tags.get(key) ?? []), name]);
  }
}

test("the list is whole: 72 that bind, 8 duties, 26 to notice", () => {
  const count = (role: string) => [...statements.values()].filter((value) => value === role).length;
  expect([count("C"), count("I"), count("V")]).toEqual([72, 8, 26]);
});

test.each([...statements.keys()])("%s has a positive and a negative test", (id) => {
  expect(tags.get(`${id} +`), `no test is tagged [${id} +]`).toBeDefined();
  expect(tags.get(`${id} -`), `no test is tagged [${id} -]`).toBeDefined();
});

test("no tag names a statement that is not on the list", () => {
  expect([...tags.keys()].filter((key) => !statements.has(key.slice(0, -2)))).toEqual([]);
});
