// Where a target's inputs come from: a pool of generated ones, of which one in 32 runs is renewed. A third of the runs takes
// two of the pool in a row, varied where the target knows how; the others are mutants of the pool and of the corpus,
// most of them repaired.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { mutate, pair, place, randomFrom } from "./random.mjs";

const POOL = 256;

export const corpusFolder = (name) => join(import.meta.dirname, "corpus", name);

/** The inputs to begin with: the target's own, and those in files. */
export function corpusOf(name, target) {
  const folder = corpusFolder(name);
  const files = existsSync(folder) ? readdirSync(folder).sort() : [];
  const corpus = (target.seeds ?? []).concat(files.map((file) => new Uint8Array(readFileSync(join(folder, file)))));
  return corpus.length > 0 ? corpus : [new Uint8Array(0)];
}

/** Makes inputs one after the other; each is valid until the next. Equal seeds and corpora make equal inputs. */
export function inputsFrom(seed, { generate, words, vary, repair, pairs = true }, corpus) {
  const random = randomFrom(seed);
  const pool = generate === undefined ? corpus : Array.from({ length: POOL }, () => generate(random));
  return () => {
    const kind = random(32);
    if (kind === 0 && generate !== undefined) return place((pool[random(POOL)] = generate(random)));
    if (kind < 11 && pairs) {
      const input = pair(pool, random);
      vary?.(input, random);
      return input;
    }
    const from = kind < 21 ? corpus : pool;
    const input = mutate(from[random(from.length)], random, kind & 1 ? corpus : pool, words);
    if (random(8) > 0) repair?.(input);
    return input;
  };
}
