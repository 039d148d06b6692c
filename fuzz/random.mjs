// Random numbers and mutation. Everything follows from the seed, and nothing is allocated.

/** xorshift128: `random(n)` is an integer in [0, n). */
export function randomFrom(seed) {
  let a = seed | 1;
  let b = 0x9e3779b9 ^ seed;
  let c = 0x7f4a7c15;
  let d = 0x2545f491;
  const random = (below) => {
    const t = a ^ (a << 11);
    a = b;
    b = c;
    c = d;
    d = d ^ (d >>> 19) ^ t ^ (t >>> 8);
    return (d >>> 0) % below;
  };
  for (let i = 0; i < 8; i++) random(2);
  return random;
}

const TELLING = [0, 1, 2, 0x23, 0x25, 0x26, 0x2b, 0x2f, 0x3b, 0x3d, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xed, 0xf0, 0xff];

const LARGEST = 4096;
const SPARE = 64;
const work = new Uint8Array(SPARE + 3 * LARGEST);
/** Inputs lie between bytes of earlier ones: a read beyond the ends of the view meets those and not zeros. */
const views = [];

/** The first `length` bytes of the work space. */
function view(length) {
  return (views[length] ??= new Uint8Array(work.buffer, SPARE, length));
}

/** The input as it would be after `mutate`, unchanged. */
export function place(input) {
  const length = Math.min(input.length, LARGEST);
  work.set(length === input.length ? input : input.subarray(0, length), SPARE);
  return view(length);
}

/** Two inputs of `pool`, one after the other; valid until the next call. */
export function pair(pool, random) {
  const first = place(pool[random(pool.length)]).length;
  const input = pool[random(pool.length)];
  if (first + input.length > LARGEST) return view(first);
  work.set(input, SPARE + first);
  return view(first + input.length);
}

/**
 * A changed copy, valid until the next call: mostly one edit, at most four, of bytes, stretches, a word of the target
 * or a splice with another input of the corpus.
 */
export function mutate(input, random, corpus, words) {
  let length = place(input).length;
  for (let edits = random(4) ? 1 : 1 + random(4); edits > 0; edits--) {
    const at = SPARE + random(length + 1);
    const left = SPARE + length - at;
    switch (left > 0 ? random(10) : 6 + random(4)) {
      case 0:
        work[at] = random(256);
        break;
      case 1:
        work[at] = TELLING[random(TELLING.length)];
        break;
      case 2:
        work[at] ^= 1 << random(8);
        break;
      case 3:
        work[at] += random(2) ? 1 : 255;
        break;
      case 4: {
        const count = Math.min(left, 1 + random(4));
        work.copyWithin(at, at + count, SPARE + length);
        length -= count;
        break;
      }
      case 5: {
        const count = Math.min(left, 1 + random(8));
        work.copyWithin(at + count, at, SPARE + length);
        length += count;
        break;
      }
      case 6:
      case 7: {
        const word = words === undefined ? undefined : words[random(words.length)];
        const count = word?.length ?? 1 + random(4);
        work.copyWithin(at + count, at, SPARE + length);
        for (let i = 0; i < count; i++) work[at + i] = word?.[i] ?? TELLING[random(TELLING.length)];
        length += count;
        break;
      }
      default: {
        const other = corpus[random(corpus.length)];
        const from = random(other.length + 1);
        const count = Math.min(other.length - from, LARGEST);
        work.set(other.subarray(from, from + count), at);
        length = at - SPARE + count;
      }
    }
    length = Math.min(length, LARGEST);
  }
  return view(length);
}
