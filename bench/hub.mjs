// The hub layer's text: property bags of many keys, and how the cost grows when the input doubles.
//
//   npm run bench -- hub
import { settings } from "./suite/options.mjs";
import { decodeProperties, encodeProperties } from "../dist/hub/index.js";

const smoke = settings(import.meta.filename).pick(false, true, true);
const rounds = smoke ? 3 : 25;
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const spread = (list, digits) =>
  `${median(list).toFixed(digits)} (${Math.min(...list).toFixed(digits)} to ${Math.max(...list).toFixed(digits)})`;

/** Each kind of key and value that takes its own path through the code. */
const kinds = {
  plain: (i) => [`key${i}`, `value${i}`],
  escaped: (i) => [`k &=${i}`, `50 % of #${i}/!'()*`],
  "non-ASCII": (i) => [`Größe${i}`, `二十一 °C ${i} 🙂`],
};
const bag = (kind, count) => new Map(Array.from({ length: count }, (_, i) => kinds[kind](i)));

function milliseconds(work) {
  const begin = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - begin) / 1e6;
}

console.log(`property bags, ${rounds} rounds in turn; Node ${process.version}\n`);
for (const kind of Object.keys(kinds)) {
  const single = bag(kind, 10_000);
  const double = bag(kind, 20_000);
  const texts = [encodeProperties(single), encodeProperties(double)];
  const times = { encode: [], decode: [], encodeRatio: [], decodeRatio: [] };
  for (let round = 0; round < rounds; round++) {
    const encode = milliseconds(() => encodeProperties(single));
    const decode = milliseconds(() => decodeProperties(texts[0]));
    times.encode.push(encode);
    times.decode.push(decode);
    times.encodeRatio.push(milliseconds(() => encodeProperties(double)) / encode);
    times.decodeRatio.push(milliseconds(() => decodeProperties(texts[1])) / decode);
  }
  console.log(`${kind.padEnd(10)} encode ${spread(times.encode, 2)} ms, doubled ${spread(times.encodeRatio, 2)}x`);
  console.log(`${"".padEnd(10)} decode ${spread(times.decode, 2)} ms, doubled ${spread(times.decodeRatio, 2)}x`);
}
