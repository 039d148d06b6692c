/** Repeatable randomness (mulberry32): the same seed makes the same values on every machine. */
export interface Random {
  /** 0 <= value < 1. */
  next(): number;
  /** A whole number, 0 <= value < `limit`. */
  below(limit: number): number;
  pick<T>(items: readonly T[]): T;
  bytes(length: number): Uint8Array;
  /** `length` characters out of `alphabet`. */
  text(length: number, alphabet: string): string;
}

export function seeded(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    below,
    pick: (items) => items[below(items.length)] as (typeof items)[number],
    bytes: (length) => Uint8Array.from({ length }, () => below(256)),
    text: (length, alphabet) => {
      const characters = Array.from(alphabet);
      return Array.from({ length }, () => characters[below(characters.length)]).join("");
    },
  };
}
