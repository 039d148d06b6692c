// Random numbers, mutation and minimisation. Everything follows from the seed.

/** xorshift128: `random(n)` is an integer in [0, n). */
export function randomFrom(seed) {
  let [a, b, c, d] = [seed | 1, 0x9e3779b9 ^ seed, 0x7f4a7c15, 0x2545f491];
  const random = (below) => {
    let t = a ^ (a << 11);
    [a, b, c] = [b, c, d];
    t ^= t >>> 8;
    d = d ^ (d >>> 19) ^ t;
    return (d >>> 0) % below;
  };
  for (let i = 0; i < 20; i++) random(2);
  return random;
}

const TELLING = [0, 1, 2, 0x23, 0x25, 0x26, 0x2b, 0x2f, 0x3b, 0x3d, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xed, 0xf0, 0xff];

const LARGEST = 4096;
const work = Buffer.alloc(2 * LARGEST);

/** A changed copy: one to four edits, of bytes, stretches, or a splice with another input of the corpus. */
export function mutate(input, random, corpus) {
  let length = Math.min(input.length, LARGEST);
  work.set(input.subarray(0, length));
  const open = (at, count) => {
    work.copyWithin(at + count, at, length);
    length += count;
  };
  for (let edits = 1 + random(4); edits > 0; edits--) {
    const at = random(length + 1);
    const kind = random(8);
    if (kind < 4 && at < length) {
      if (kind === 0) work[at] = random(256);
      else if (kind === 1) work[at] = TELLING[random(TELLING.length)];
      else if (kind === 2) work[at] ^= 1 << random(8);
      else work[at] += random(2) ? 1 : 255;
    } else if (kind === 4) {
      const count = Math.min(length - at, 1 + random(4));
      work.copyWithin(at, at + count, length);
      length -= count;
    } else if (kind === 5) {
      const count = 1 + random(4);
      open(at, count);
      for (let i = 0; i < count; i++) work[at + i] = TELLING[random(TELLING.length)];
    } else if (kind === 6) {
      const count = Math.min(length - at, 1 + random(8));
      open(at, count);
    } else {
      const other = corpus[random(corpus.length)];
      const tail = other.subarray(random(other.length + 1)).subarray(0, LARGEST);
      work.set(tail, at);
      length = at + tail.length;
    }
    length = Math.min(length, LARGEST);
  }
  return new Uint8Array(work.subarray(0, length));
}

/** The smallest input found for which `fails` still holds: stretches go first, then bytes become 0. */
export function minimise(input, fails) {
  let best = input;
  let tries = 5_000;
  for (let size = best.length >> 1 || 1; size > 0; size >>= 1) {
    for (let at = 0; at < best.length && tries-- > 0; ) {
      const candidate = Uint8Array.from([...best.subarray(0, at), ...best.subarray(at + size)]);
      if (candidate.length < best.length && fails(candidate)) best = candidate;
      else at += size;
    }
  }
  for (let at = 0; at < best.length && tries-- > 0; at++) {
    const candidate = best.slice();
    candidate[at] = 0;
    if (best[at] !== 0 && fails(candidate)) best = candidate;
  }
  return best;
}
