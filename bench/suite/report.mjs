// What a benchmark says: rows in one format, and what it is doing. Under the runner both go to it as messages; alone, a
// benchmark prints its own tables.
//
// A row answers one question: { table, what, unit, better: "less" | "more", ours, values: { peer: samples } }. Samples of
// the same place were taken in the same round, so that ratios are taken round by round and a drift of the machine falls on
// both. `skipped` says of a peer why it is not there.
import { tables } from "./tables.mjs";

// Whose runner is gone (killed, or nobody reads on) measures for nobody; what it started goes with it.
if (process.send) {
  process.on("disconnect", () => process.exit(1));
  process.channel.unref();
}

/**
 * Hands over rows; those of one table come in one call or in several. `versions` are of peers that npm does not install.
 */
export function report(rows, skipped = [], versions = {}) {
  if (process.send) process.send({ rows, skipped, versions });
  else process.stdout.write(tables(rows, skipped));
}

/** What is running, for whoever waits. */
export function progress(text) {
  if (process.send) process.send({ progress: text });
}

/** Runs each of `names` once a round, in an order that rotates; `measure(name, round)` resolves to a sample. */
export async function interleaved(names, rounds, label, measure) {
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length];
      progress(`${label}, round ${round + 1} of ${rounds}: ${name}`);
      results[name].push(await measure(name, round));
    }
  }
  return results;
}

/** The samples of one key, by peer. */
export const column = (results, of) =>
  Object.fromEntries(Object.entries(results).map(([name, list]) => [name, list.map(of)]));
