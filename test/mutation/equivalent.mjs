// Mutants that no test can tell from the original: the file, the line they are in, what changes, and why.
// `what` is the stretch, a `>` and its replacement; a rule without it holds for every change of its line.

const RULES = [
  // Any numbers that are no remaining length of a type will do.
  ["decode.js", /const (ILLEGAL|ANY) =/],
  ["decode.js", /new Int8Array\(256\)/, /^256>257$/],
  // Flags 1110 are illegal anyway, and no table entry is beyond them.
  ["decode.js", /for \(let flags = 1/, /^(<><=|14>15)$/],
  ["decode.js", /for \(let type = 1/, /^<><=$/],
  // There is no packet of type 15, and type 12 with flags other than 0 is not even looked at twice.
  ["decode.js", /const own =/, /^(5>4|>>>=)$/],
  // The length is only shown when the flags are legal.
  ["decode.js", /throw headerFault\(first, 0\)/, /^0>1$/],
  // What leaves the fast path early takes the slow one, with the same outcome.
  ["decode.js", /let next = end \+ 1/, /^1>2$/],
  ["decode.js", /if \(start <= end\)/, /^<=><$/],
  ["decode.js", /const second = /, /^(<><=|<>>|0x80>129)$/],
  ["decode.js", /length = second > 0x7f/, /^(>>>=|0x7f>126)$/],
  ["decode.js", /if \(length >= 0 &&/, /^(>=>>|<=><|0>1|->\+)$/],
  ["decode.js", /if \(next > end\) \{/, /^>>>=$/],
  // Bit 0 was refused above.
  ["decode.js", /flags & (4|2|0x20|0xc0|0x80|0x40)\b/, /^(4>5|2>3|0x20>33|0xc0>193|0x80>129|0x40>65)$/],
  // Sizes of memory, and which of two ways is taken near them: the outcome is the same.
  ["decoder.js", /const (BLOCK|FIRST_BLOCK|SMALL|SMALL_CHUNK|FIRST_SIZE|GROW_LIMIT) =/],
  ["decoder.js", /const grown = /, /^(>>>=|>><|Math\.max>Math\.min|2>[13]|\*>\+)$/],
  ["decoder.js", /chunk\.length (<=|>) SMALL_CHUNK/, /^(<=><|>>>=|0>1)$/],
  ["decoder.js", /^if \((size|length) > SMALL\)/, /^>>>=$/],
  ["decoder.js", /const size = old\.length === 0/, /^(===>!==|0>1|<=><)$/],
  ["decoder.js", /old\.length - start >= needed/, /^>=>>$/],
  ["decoder.js", /needed <= old\.length/, /^<=><$/],
  // No packet is of one byte, and gathering nothing is gathering nothing.
  ["decoder.js", /if \(this\.#size > 0\)/, /^(>>>=|0>1)$/],
  // An incomplete header is held again, whether the packet is said to be incomplete or empty.
  ["decoder.js", /if \(size === 0 \|\| size > there\)/, /^0>1$/],
  // Moving nothing.
  ["decoder.js", /else if \(at > this\.#free\)/, /^>>>=$/],
  // The fields' first values are replaced before they are read.
  ["decoder.js", /^(#free = 0;|let offset = 0;|const EMPTY =)/],
  // No packet is larger.
  ["decoder.js", /maxPacketSize = MAX_PACKET_SIZE/, /^5>6$/],
  ["decoder.js", /if \(at < chunk\.length\)/, /^<><=$/],
  // One byte more or less by the other of two ways to copy.
  ["decoder.js", /if \(count === 1\)/, /^===>!==$/],
  // Lets go of memory.
  ["decoder.js", /^(this\.#block = |last = (undefined|bytes)|buffer = EMPTY|single = undefined)/, />;$/],
  ["decoder.js", /^(this\.#maker|singleMaker|maker)\.forget\(\)/, />;$/],
  // How well the cache works shows in time alone: what it holds and for how long, the quality of the hashes, and
  // which of two ways finds a topic. A test that it finds nothing wrong can't tell.
  ["topic-cache.js", /const (MAX_TOPICS|FIRST_SLOTS|FIRST_WORDS|MAX_WORDS|MAX_CACHED_TOPIC|REPEATS|PROBES) =/],
  [
    "topic-cache.js",
    /#repeats = 0;|#count < MAX_TOPICS|const grown = |^this\.#last\[recent\] = found;/,
    /^(0>1|<=><|Math\.min>Math\.max|.*;>;)$/,
  ],
  ["topic-cache.js", /const OTHER =/, /^2>3$/],
  ["topic-cache.js", /const EMPTY_PAIRS =/, /^(0>1|0x10000>6553[57])$/],
  ["topic-cache.js", /^for \(; start < last; start \+= 8\) \{/, /^<><=$/],
  ["topic-cache.js", /Math\.imul|^let (a|b) = |^(a|b) \^=|^return (mix|hash)/],
  ["topic-cache.js", /^const (last|second|quarter|half|a|b) = /, /^(\^>\||8>[79]|[12]>[123]|true>false|\+>-)$/],
  ["topic-cache.js", /^if \(length < (8|16)\)/, /^(<><=|8>9|16>1[57])$/],
  ["topic-cache.js", /found === OTHER && length >= 16/, /^(>=>>|16>1[57]|<=><)$/],
  ["topic-cache.js", /^#(last|recent) = new Int32Array\(8\)/, /^8>[79]$/],
  ["topic-cache.js", /^const length = end - start;/, /^->\+$/],
  ["topic-cache.js", /^const recent = /, /^(&>\||7>[68])$/],
  ["topic-cache.js", /^if \(this\.#pairs\[2 \* at \+ 1\] === length && /, /^(2>[13]|\*>\+|\+>-|1>2)$/],
  ["topic-cache.js", /this\.#last\[recent\] === found/, /^===>!==$/],
  ["topic-cache.js", /for \(let step = 1; step <= PROBES/, /^<=><$/],
  ["topic-cache.js", /^#used = 1;/, /^1>2$/],
  // The same order of bytes on both sides, or bytes left out that the other word has.
  ["topic-cache.js", /^return view\.getInt32\((start|end - 4), true\);/, /^true>false$/],
  ["topic-cache.js", /^return length > 1 \? view\.getInt16/, /^true>false$/],
  // A step of four words or four steps of one.
  ["topic-cache.js", /for \(; start < last - 24/, /^(<><=|<>>|24>2[35]|->\+)$/],
  // Four or eight bytes: one word or two halves of it, the same either way; three and the byte before them.
  ["topic-cache.js", /if \(length > 3\)/, /^(3>[24]|>>>=)$/],
  ["topic-cache.js", /if \(start > last\)/, /^>>>=$/],
  // Types 0 and 3 were told apart before.
  ["writer.js", /type > 3 && type < 8/, /^(3>2|>>>=)$/],
  // A plain view of what is plain already.
  ["checks.js", /^if \(\(kind === Buffer\.prototype \|\| /, /^\|\|>&&$/],
  // What is let through by one is refused by the decoder's rules, with the same statement.
  ["body.js", /checkInteger\(/, /^(2>3|5>6|0x80>129)$/],
  // Sizes of memory, and which of two ways to copy is taken near them.
  ["writer.js", /const (FIRST_SLAB|MAX_SLAB|LEND|FEW|FEW_WORDS) =/],
  ["writer.js", /^this\.#nextSlab = /],
  ["writer.js", /this\.#topicMemory(\.length < length| = )/, /^(<><=|2>[13]|\*>\+)$/],
  ["writer.js", /^(if \(last < 0\)|const last = length - 8)/, /^(<><=|0>1|8>7)$/],
  ["writer.js", /else if \(length < FEW/, /^<>(<=|>)$/],
  ["writer.js", /for \(let i = 0; i < last; i \+= 8\)/, /^(<><=|8>7)$/],
  // What is written behind the end is written over, or out of bounds.
  ["writer.js", /for \(let i = 0; i < length; i\+\+\)/, /^<><=$/],
  // Lets go of memory, or learns a topic name again; no packet is of one byte.
  ["writer.js", /writer\.#at > MAX_SLAB/, /^>>(>=|<)$/],
  ["writer.js", /^this\.#topic = topic;/, />;$/],
  ["writer.js", /^if \(length > 0\)/, /^0>1$/],
  // Only what is no identifier gets there.
  ["writer.js", /checkInteger\(value, "packetId"/, /^0xffff>65534$/],
  // More room than is needed.
  ["writer.js", /this\.#reserve\((size - lent|4)\)/, /^(->\+|4>5)$/],
  ["writer.js", /this\.#reserve\(1 \+ lengthSize/, /^1>2$/],
  ["writer.js", /this\.#slab\.length - this\.#at >= size/, /^>=>>$/],
];

export function equivalent({ name, line, source, start, end, text }) {
  const change = `${source.slice(start, end)}>${text}`;
  return RULES.some(([file, where, what]) => name === file && where.test(line) && (what?.test(change) ?? true));
}
