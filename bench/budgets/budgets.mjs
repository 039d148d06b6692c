// Budgets: each is held against what was measured, printed, and counted when it is lost. Only the command that enforces
// them asks for that (HUBWIRE_BUDGETS); who measures for himself is shown figures and nobody's goals.

const enforced = process.env.HUBWIRE_BUDGETS === "1";

let lost = 0;

/** Prints a budget and what was measured; `value` may not be over `limit`. Returns whether it is held; true where none is enforced. */
export function budget(name, value, limit, unit = "", digits = 0) {
  if (!enforced) return true;
  const held = value <= limit;
  if (!held) lost++;
  const show = (number) =>
    number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const mark = held ? "held" : "LOST";
  console.log(`${mark}  ${name.padEnd(58)} ${show(value).padStart(9)} of ${show(limit)}${unit && ` ${unit}`}`);
  return held;
}

/** To be called last: a lost budget is a failed run. */
export function finish() {
  if (lost > 0) console.log(`\n${lost} budget${lost > 1 ? "s" : ""} lost`);
  process.exitCode = lost > 0 ? 1 : 0;
}

export const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** Median and range. */
export function spread(list, digits = 1) {
  const show = (value) => value.toFixed(digits).padStart(7);
  return `${show(median(list))} (${show(Math.min(...list))} to ${show(Math.max(...list))})`;
}
