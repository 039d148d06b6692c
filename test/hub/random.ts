/** Pseudo-random test input that is the same in every run. */
export function random(seed: number): {
  integer(below: number): number;
  text(length: number, alphabet: string): string;
} {
  let state = seed;
  const integer = (below: number): number => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
  const text = (length: number, alphabet: string): string => {
    const characters = [...alphabet];
    return Array.from({ length }, () => characters[integer(characters.length)]).join("");
  };
  return { integer, text };
}
