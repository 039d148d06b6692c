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
  const cases = ["bytes", "text", "wide", "properties"].flatMap((form) => sizes.map((size) => [form, size]));
  const program = join(import.meta.dirname, "queue-filler.mjs");
  const { stdout } = await run(process.execPath, ["--expose-gc", program, JSON.stringify(cases)]);
  const results = JSON.parse(stdout) as Result[];
  expect(results.map(({ form, size }) => [form, size])).toEqual(cases);
  const wrong = results.filter(({ counted, taken }) => Math.abs(counted - taken) > MARGIN);
  expect(wrong).toEqual([]);
}, 120_000);
