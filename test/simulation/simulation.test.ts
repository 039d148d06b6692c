/** Programs against the client, and the simulation itself: runs repeat exactly, failing programs become small. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as subject from "../../src/client/index.js";
import * as hub from "../../src/hub/index.js";
import { generateDevice } from "./device/generate.js";
import { knownOfDevice } from "./device/known.js";
import { runDevice } from "./device/run.js";
import { generate } from "./generate.js";
import { known } from "./known.js";
import { mutants } from "./mutants.mjs";
import type { Program } from "./program.js";
import { run } from "./run.js";
import { kindOf, shrink } from "./shrink.js";

test("a seed makes the same run each time", async () => {
  for (let seed = 0; seed < 10; seed++) {
    const first = await run(generate(seed), subject, true);
    expect(await run(generate(seed), subject, true)).toEqual(first);
    expect(first.steps).toBeGreaterThan(0);
    expect(await runDevice(generateDevice(seed), hub, true)).toEqual(await runDevice(generateDevice(seed), hub, true));
  }
});

test("a failing program becomes small and keeps what it needs", async () => {
  const program = [...Array(100).keys()].map(generate).find(({ steps }) => steps.length > 20)!;
  const [, , needed] = program.steps;
  program.steps.push({ after: 10, op: { do: "close", force: true } });
  const fails = async ({ steps }: Program): Promise<boolean> => {
    const index = steps.findIndex(({ op }) => JSON.stringify(op) === JSON.stringify(needed!.op));
    return index >= 0 && steps.findIndex(({ op }) => op.do === "close") > index;
  };
  const { steps } = await shrink(program, fails);
  expect(steps.map(({ op }) => op)).toEqual([needed!.op, { do: "close", force: expect.any(Boolean) }]);
});

test("faults are alike when only their numbers differ", () => {
  expect(kindOf("at 12 ms: publish 3 (QoS 1) is not settled after 5000 ms")).toBe(
    kindOf("at 7.5 ms: publish 12 (QoS 2) is not settled after 60000 ms"),
  );
});

test("300 programs, and nothing is lost, doubled, stuck or left over", { timeout: 180_000 }, async () => {
  for (let seed = 0; seed < 300; seed++) {
    const { fault } = await run(generate(seed), subject);
    expect(fault, `npm run simulate -- --seed ${seed}`).toBeUndefined();
  }
});

test("150 programs of a device, and it knows what the hub knows", { timeout: 180_000 }, async () => {
  for (let seed = 0; seed < 150; seed++) {
    const { fault } = await runDevice(generateDevice(seed), hub);
    expect(fault, `npm run simulate -- --only device --seed ${seed}`).toBeUndefined();
  }
});

test.each(Object.entries(known))("%s: mended", async (_name, program) => {
  expect((await run(program, subject)).fault).toBeUndefined();
});

test.each(Object.entries(knownOfDevice))("%s: mended", async (_name, program) => {
  expect((await runDevice(program, hub)).fault).toBeUndefined();
});

test.each(mutants)('the fault "$name" can still be put into the sources', ({ edits }) => {
  for (const [file, from] of edits) expect(readFileSync(file, "utf8").split(from), `${file}: ${from}`).toHaveLength(2);
});
