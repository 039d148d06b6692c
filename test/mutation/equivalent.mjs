// Mutants that no test can tell from the original: the file, the line they are in, what changes, and why.

const RULES = [
  // Any numbers that are no remaining length of a type will do.
  ["decode.js", /const (ILLEGAL|ANY) =/],
  ["decode.js", /new Int8Array\(256\)/, /^256>257$/],
  // Flags 1110 are illegal anyway, and no table entry is beyond them.
  ["decode.js", /for \(let flags = 1/, /^(<><=|14>15)$/],
  // The length is only shown when the flags are legal.
  ["decode.js", /throw headerFault\(first, 0\)/, /^0>1$/],
  // What leaves the fast path early takes the slow one, with the same outcome.
  ["decode.js", /let next = end \+ 1|if \(start <= end\)|if \(length >= 0 && |if \(next > end\)|const second =/],
  // Bit 0 was refused above.
  ["decode.js", /flags & (4|2|0x20|0xc0|0x80|0x40)\b/, /^(4>5|2>3|0x20>33|0xc0>193|0x80>129|0x40>65)$/],
  // Sizes of memory: any near them will do. How it grows shows in time and peak alone.
  ["decoder.js", /const (BLOCK|SMALL|FIRST_SIZE|GROW_LIMIT) =/],
  ["decoder.js", /const grown = |needed > GROW_LIMIT|if \(shared \? |const old = shared|< SMALL\)/],
  // Replaced before it is read.
  ["decoder.js", /const EMPTY =|#(blockUsed|start|offset) = 0;|this\.#blockUsed = 0;/],
  // No packet is larger.
  ["decoder.js", /maxPacketSize = MAX_PACKET_SIZE/, /^5>6$/],
  // Gathering nothing is gathering nothing.
  ["decoder.js", /if \(at < chunk\.length\)/, /^<><=$/],
  // Lets go of memory, or finds the same view another way.
  ["decoder.js", /this\.#(memory|buffer|bytes) = (EMPTY|undefined)|this\.#maker\.forget|singleMaker\.forget|lockView = |view = /],
  // Bits that are masked or decided elsewhere; ASCII comes out the same of either decoder.
  ["utf8.js", /let all = 0|const encoding = /],
  // Any number above 3 means ill-formed.
  ["utf8.js", /more = (lead|4)/, /^4>5$/],
  // Past the end charCodeAt is NaN, which equals nothing.
  ["topics.js", /< (filter|topic)\.length/, /^<><=$/],
  // The quality of the hash, and how much is kept for how long, show in time alone.
  ["topic-cache.js", /const (MAX|FIRST|REPEATS)|Math\.imul|hash|#repeats|#seen|seen\[|#recent|let (a|b) = |b \^= |a \^= |grown/],
  // What is not plain takes the strict way, with the same outcome.
  ["topic-cache.js", /flags|const (word|byte) = view/],
  ["topic-cache.js", /const last = end - 8|return mix|for \(; start < last - 24|if \(length > 0 && isPlain|MAX_ENTRIES|at \+ 4 <= end|const NONE/],
  ["writer.js", /length === text\.length && length < 16/],
  ["writer.js", /const (FIRST_SLAB|MAX_SLAB|MAX_ENCODED_TOPIC|MAX_TOPIC|LEND) =|#nextSlab|> MAX_SLAB|Float64Array/],
];

export function equivalent({ name, line, source, start, end, text }) {
  const change = `${source.slice(start, end)}>${text}`;
  return RULES.some(([file, where, what]) => name === file && where.test(line) && (what?.test(change) ?? true));
}
