// A run against an earlier one: what changed beyond both spreads.
import { median, number } from "./tables.mjs";

/** Ranges of fewer samples lie apart by chance too often: of two and two, one time in three. */
const LEAST = 3;

/**
 * `{ text, worst }`: worst is by how many percent the most changed figure of ours got worse beyond the spreads. Machines
 * that differ make the comparison meaningless, which the text then says first.
 */
export function compare(before, after) {
  const lines = [];
  let worst = 0;
  if (before.machine.cpu !== after.machine.cpu || before.machine.node !== after.machine.node) {
    lines.push("ANOTHER MACHINE OR NODE: the ratios may be compared, the absolute figures may not.");
  }
  if (before.quick || after.quick) lines.push("One of the two is a quick run: its spreads are wide.");
  const [first, second] = [before, after].map(({ settings = {} }) => JSON.stringify(settings));
  if (first !== second) lines.push(`OTHER SETTINGS: ${first} before, ${second} now.`);
  let [compared, few] = [0, 0];
  const key = ({ table, what, unit }) => `${table} | ${what} | ${unit}`;
  const old = new Map(before.rows.map((row) => [key(row), row]));
  for (const row of after.rows) {
    const was = old.get(key(row))?.values[row.ours];
    const is = row.values[row.ours];
    if (!was || !is) continue;
    if (Math.min(was.length, is.length) < LEAST) {
      few++;
      continue;
    }
    compared++;
    const apart = Math.min(...is) > Math.max(...was) || Math.max(...is) < Math.min(...was);
    if (!apart) continue;
    const change = median(is) / median(was) - 1;
    const worse = (row.better === "less" ? change : 1 / (1 + change) - 1) * 100;
    if (worse > worst) worst = worse;
    const verdict = worse > 0 ? "WORSE" : "better";
    lines.push(
      `${verdict.padEnd(6)} ${key(row)}: ${number(median(was))} to ${number(median(is))} (${(change * 100).toFixed(1)} %)`,
    );
  }
  const nothing = `nothing of ours changed beyond the spread of both runs (${compared} rows)`;
  if (!lines.some((line) => /^(WORSE|better)/.test(line))) lines.push(nothing);
  if (few > 0) lines.push(`${few} rows have fewer than ${LEAST} rounds, and are not compared`);
  const now = new Set(after.rows.map(key));
  const gone = before.rows.filter((row) => !now.has(key(row))).length;
  if (gone > 0) lines.push(`${gone} rows of the earlier run are not in this one`);
  return { text: `\ncompared with ${before.date}\n${lines.join("\n")}\n`, worst };
}
