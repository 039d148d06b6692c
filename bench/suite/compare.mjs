// A run against an earlier one: what changed beyond both spreads.
import { median, number } from "./tables.mjs";

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
  const key = ({ table, what, unit }) => `${table} | ${what} | ${unit}`;
  const old = new Map(before.rows.map((row) => [key(row), row]));
  for (const row of after.rows) {
    const was = old.get(key(row))?.values[row.ours];
    const is = row.values[row.ours];
    if (!was || !is) continue;
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
  const nothing = `nothing of ours changed beyond the spread of both runs (${after.rows.length} rows)`;
  if (!lines.some((line) => /^(WORSE|better)/.test(line))) lines.push(nothing);
  return { text: `\ncompared with ${before.date}\n${lines.join("\n")}\n`, worst };
}
