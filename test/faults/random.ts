/** Random numbers that a seed decides (mulberry32): 0 <= value < 1. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number, 0 <= value < `bound`. */
export const below = (random: () => number, bound: number): number => Math.floor(random() * bound);

/** One of several. */
export const pick = <T>(random: () => number, values: readonly T[]): T => values[below(random, values.length)] as T;
