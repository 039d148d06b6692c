/** The memory that the client counts for what waits is what the process takes for it. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

interface Result {
  form: string;
  size: number;
  /** Bytes a message. */
  counted: number;
  taken: number;
}

const run = promisify(execFile);
/** Bytes a message that both may be apart: less than any part of the estimate but the text's own length. */
const MARGIN = 100;

test("queuedBytes is what messages take, whatever their size and form", async () => {
  const sizes = [0, 10, 100, 1_000, 15_000, 20_000];
  const program = join(import.meta.dirname, "queue-filler.mjs");
  let cases = ["bytes", "text", "wide", "properties"].flatMap((form) =>
    sizes.map((size): [string, number] => [form, size]),
  );
  // Pieces of something larger, and a signal for each.
  cases.push(["view", 20_000], ["slice", 100], ["slice", 20_000], ["signal", 100], ["topic", 100]);
  let wrong: Result[] = [];
  // What a collection leaves behind differs from process to process; a wrong estimate does not.
  for (let tries = 0; tries < 6 && cases.length > 0; tries++) {
    const { stdout } = await run(process.execPath, ["--expose-gc", program, JSON.stringify(cases)]);
    const results = JSON.parse(stdout) as Result[];
    expect(results.map(({ form, size }) => [form, size])).toEqual(cases);
    wrong = results.filter(({ counted, taken }) => Math.abs(counted - taken) > MARGIN);
    cases = wrong.map(({ form, size }) => [form, size]);
  }
  expect(wrong).toEqual([]);
}, 120_000);
