// What each byte of a text costs where it is deflated, in bits: a literal what its code takes, a repetition what length and
// distance take, shared among its bytes. Only the tables of the blocks' codes are nobody's.
import { deflateRawSync } from "node:zlib";

const CODE_LENGTHS = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const DYNAMIC = 2;

/** The bases and extra bits of RFC 1951, section 3.2.5: `steps` codes without extra bits, then so many for each number. */
function ranges(first, plain, each, count) {
  const found = [];
  for (let base = first; found.length < count;) {
    const extra = Math.max(0, Math.floor((found.length - plain) / each) + 1);
    found.push({ base, extra });
    base += 2 ** extra;
  }
  return found;
}
const LENGTHS = [...ranges(3, 8, 4, 28), { base: 258, extra: 0 }];
const DISTANCES = ranges(1, 4, 2, 30);

/** Bits a byte of `text`, which must be long enough for codes of its own. */
export function costs(text) {
  const data = deflateRawSync(text, { level: 9 });
  let at = 0;
  const bits = (count) => {
    let value = 0;
    for (let i = 0; i < count; i++, at++) value |= ((data[at >> 3] >> (at & 7)) & 1) << i;
    return value;
  };
  const symbol = (codes) => {
    let code = 1;
    do code = code * 2 + bits(1);
    while (!codes.has(code));
    return codes.get(code);
  };
  const found = [];
  for (let last = 0; !last;) {
    last = bits(1);
    if (bits(2) !== DYNAMIC) throw new Error("a block without codes of its own");
    const [literals, distances] = tables(bits, symbol);
    for (;;) {
      const begin = at;
      const value = symbol(literals);
      if (value === 256) break;
      if (value < 256) {
        found.push(at - begin);
        continue;
      }
      const { base, extra } = LENGTHS[value - 257];
      const length = base + bits(extra);
      bits(DISTANCES[symbol(distances)].extra);
      found.push(...new Array(length).fill((at - begin) / length));
    }
  }
  return found;
}

/** RFC 1951, section 3.2.7. */
function tables(bits, symbol) {
  const [literals, distances, count] = [bits(5) + 257, bits(5) + 1, bits(4) + 4];
  const own = new Array(19).fill(0);
  for (const index of CODE_LENGTHS.slice(0, count)) own[index] = bits(3);
  const codes = codesOf(own);
  const lengths = [];
  while (lengths.length < literals + distances) {
    const value = symbol(codes);
    if (value < 16) lengths.push(value);
    else if (value === 16) lengths.push(...new Array(3 + bits(2)).fill(lengths.at(-1)));
    else lengths.push(...new Array(value === 17 ? 3 + bits(3) : 11 + bits(7)).fill(0));
  }
  return [codesOf(lengths.slice(0, literals)), codesOf(lengths.slice(literals))];
}

/** RFC 1951, section 3.2.2: from lengths to codes, each with a 1 before it, so that leading zeros count. */
function codesOf(lengths) {
  const codes = new Map();
  let code = 0;
  for (let length = 1; length < 16; length++, code *= 2) {
    lengths.forEach((own, value) => own === length && codes.set(2 ** length + code++, value));
  }
  return codes;
}
