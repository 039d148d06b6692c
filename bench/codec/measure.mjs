// Timing in one process: every contender takes its turn in every round, in an order that rotates, so that a drift of the
// machine falls on all.

/** CPU time of this process in nanoseconds: others on the machine then count little. The collector's threads are in it. */
export const now = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1e3;
};
export const sorted = (values) => [...values].sort((a, b) => a - b);
export const median = (values) => sorted(values)[values.length >> 1];

/** Nanoseconds a unit. */
export function timed({ count, run }) {
  const started = now();
  run();
  return (now() - started) / count;
}

/**
 * `contenders`: { name, count, run } where `run()` handles `count` units. Returns by name the nanoseconds a unit of each
 * round, after two rounds of warm-up that are not kept.
 */
export function interleave(contenders, rounds, warmup = 2) {
  const times = new Map(contenders.map(({ name }) => [name, []]));
  globalThis.gc?.();
  for (let round = -warmup; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const contender = contenders[(i + round + warmup) % contenders.length];
      const nanoseconds = timed(contender);
      if (round >= 0) times.get(contender.name).push(nanoseconds);
    }
  }
  return times;
}
