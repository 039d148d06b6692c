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
  ["decoder.js", /allocUnsafeSlow\(old\.length === 0/, /^(===>!==|0>1|<=><)$/],
  ["decoder.js", /old\.length - start >= needed/, /^>=>>$/],
  ["decoder.js", /needed <= old\.length/, /^<=><$/],
  // No packet is of one byte, and gathering nothing is gathering nothing.
  ["decoder.js", /if \(this\.#size > 0\)/, /^(>>>=|0>1)$/],
  // An incomplete header is held again, whether the packet is said to be incomplete or empty.
  ["decoder.js", /if \(size === 0 \|\| size > there\)/, /^0>1$/],
  // Moving nothing.
  ["decoder.js", /else if \(at > this\.#free\)/, /^>>>=$/],
  // The fields' first values are replaced before they are read.
  ["decoder.js", /^(#free = 0;|let offset = 0;|const (EMPTY|NO_BUFFER) =)/],
  // No packet is larger.
  ["decoder.js", /maxPacketSize = MAX_PACKET_SIZE/, /^5>6$/],
  ["decoder.js", /if \(at < chunk\.length\)/, /^<><=$/],
  // One byte more or less by the other of two ways to copy.
  ["decoder.js", /if \(count === 1\)/, /^===>!==$/],
  // Lets go of memory.
  ["decoder.js", /^(this\.#block(Bytes)? = |last = (undefined|bytes)|buffer = EMPTY|single = undefined)/, />;$/],
  ["decoder.js", /^(this\.#maker|singleMaker|maker)\.forget\(\)/, />;$/],
  // The quality of the hash, and how much is kept for how long, show in time alone.
  ["topic-cache.js", /const (MAX_ENTRIES|FIRST_WORDS|MAX_WORDS|MAX_CACHED_TOPIC|REPEATS) =/],
  ["topic-cache.js", /Math\.imul|^(let|const) (a|b|hash|slot) = |^(a|b) \^=|^return (mix|hash)/],
  [
    "topic-cache.js",
    /#repeats > REPEATS|#repeats = this\.#used = 0;|^#repeats = 0;$|^seen\[slot\] = |#seen \?\?=/,
    /^(===>!==|&&>\|\||>>>=|>><|0>1|256>25[57]|\+\+>--|seen\[slot\] = hash;>;)$/,
  ],
  ["topic-cache.js", /entries\.size < MAX_ENTRIES/, /^(<><=|<>>|&&>\|\||3>[24]|>>><<|\+>-)$/],
  ["topic-cache.js", /length <= MAX_CACHED_TOPIC/, /^<=><$/],
  ["topic-cache.js", /^return true;$/, /^true>false$/],
  ["topic-cache.js", /const grown =/, /^(2>[13]|\*>\+)$/],
  ["topic-cache.js", /^for \(; start < last; start \+= 8\) \{/],
  // An entry found again may be left where it was, and a bit more of the length only makes places.
  ["topic-cache.js", /^this\.#recent\[length & 7\] = entry/, /^(this\.#recent.*;>;|7>[68]|&>\|)$/],
  // The same order of bytes on both sides, or bytes left out that the other word has.
  ["topic-cache.js", /^return view\.getInt32\((start|end - 4), true\);/, /^true>false$/],
  ["topic-cache.js", /^return length > 1 \? view\.getInt16/, /^true>false$/],
  // A step of four words or four steps of one.
  ["topic-cache.js", /for \(; start < last - 24/, /^(<><=|<>>|24>2[35]|->\+)$/],
  // Four or eight bytes: one word or two halves of it, the same either way.
  ["topic-cache.js", /if \(length > 3\)/, /^3>4$/],
  ["topic-cache.js", /if \(start > last\)/, /^>>>=$/],
  // No topic is like it.
  ["topic-cache.js", /const NONE =/, /^(->\+|1>2|0>1)$/],
  ["topic-cache.js", /^#(used|repeats) = 0;|^#(words|pairs) = /, /^0>1$/],
  // Types 0 and 3 were told apart before.
  ["writer.js", /type > 3 && type < 8/, /^3>2$/],
  // What is let through by one is refused by the decoder's rules, with the same statement.
  ["body.js", /checkInteger\(/, /^(2>3|5>6|0x80>129)$/],
  // One way or another to write the same characters.
  ["writer.js", /length === text\.length && length < 16/, /^(16>1[57]|<><=|<>>|&&>\|\|)$/],
  ["writer.js", /const (FIRST_SLAB|MAX_SLAB|MAX_TOPIC|LEND) =/],
  ["writer.js", /writer\.#at > MAX_SLAB/, /^>>>=$/],
  ["writer.js", /^this\.#nextSlab = /],
  ["writer.js", /if \(known && length > 7\)/, /^7>8$/],
  // There is room for more words than there are.
  ["writer.js", /^let i = 0;/, /^0>1$/],
  // More room than is needed, and the same bytes without the memory of the last topic.
  ["writer.js", /this\.#reserve\(1 \+ size/, /^1>2$/],
  ["writer.js", /this\.#slab\.length - this\.#at >= size/, /^>=>>$/],
  ["writer.js", /^this\.#topicLength = length;/],
  ["writer.js", /^const known = /, /^(>><|0>1)$/],
  ["writer.js", /^this\.#topic = topic;/, />;$/],
  ["writer.js", /if \(length > MAX_TOPIC\)/, /^>>(>=|<)$/],
  ["writer.js", /#topicWords\.length \* 8 < length/, /^(8>7|<><=|\*>\+)$/],
  ["writer.js", /new Float64Array\(length >> 2\)/, /^(2>1|>>><<)$/],
];

export function equivalent({ name, line, source, start, end, text }) {
  const change = `${source.slice(start, end)}>${text}`;
  return RULES.some(
    ([file, where, what]) => name === file && where.test(line) && (what?.test(change) ?? true),
  );
}
