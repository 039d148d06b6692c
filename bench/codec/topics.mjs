// Hostile topics against the topic cache: what each costs beside decoding the same topics with no cache at
// all.
import { chunks, publish, random } from "./corpora.mjs";
import { interleave, median, ratios, spread } from "./measure.mjs";
import { hubwire } from "./peers.mjs";

const smoke = process.argv.includes("--smoke");
const pad = (value) => value.padEnd(60, "x");
const pick = random(3);
const shapes = {
  "one topic": () => pad("a"),
  "never the same twice": (i) => pad(`devices/${i}/`),
  "never the same twice, not ASCII": (i) => pad(`é/${i}/`),
  "each twice": (i) => pad(`devices/${i >> 1}/`),
  "5,000 in turn": (i) => pad(`devices/${i % 5_000}/`),
  "5,000 at random": () => pad(`devices/${pick(5_000)}/`),
  "differ in the last byte, same length": (i) => "y".repeat(59) + String.fromCharCode(0x41 + (i % 26)),
  "fill it, then 40 others in turn": (i) => pad(i < 4_000 ? `devices/${i}/` : `other/${i % 40}/`),
  // The quick hash looks at the last 8 bytes and at those after 8, a quarter and a half.
  "1,000 with one quick hash": (i) => `${"x".repeat(40)}${String(i % 1_000).padStart(8, "0")}${"x".repeat(12)}`,
  "never the same, one quick hash": (i) => `${"x".repeat(40)}${String(i).padStart(8, "0")}${"x".repeat(12)}`,
  "the same with 4,000 bytes": (i) => `${"x".repeat(3_980)}${String(i).padStart(8, "0")}${"x".repeat(12)}`,
};

/** The obvious way: the platform's decoder each time. */
function plain(pieces) {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let total = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      let length = piece[++at];
      if (length > 0x7f) length = (length & 0x7f) | (piece[++at] << 7);
      const end = at + 3 + ((piece[at + 1] << 8) | piece[at + 2]);
      const topic = decoder.decode(piece.subarray(at + 3, end));
      if (/[\0+#]/.test(topic)) throw new Error("wildcard");
      total += topic.length;
      at += 1 + length;
    }
  }
  return total;
}

for (const [label, topicOf] of Object.entries(shapes)) {
  const count = label.includes("4,000 bytes") ? 1_000 : 20_000;
  const bytes = Buffer.concat(Array.from({ length: count }, (_, i) => publish(topicOf(i), "1234")));
  const pieces = chunks(bytes, 0);
  let total = 0;
  const decoder = new hubwire.Decoder({ publish: (topic) => (total += topic.length) });
  const times = interleave(
    [
      { name: "plain", count: count, run: () => (total += plain(pieces)) },
      {
        name: "Decoder",
        count: count,
        run() {
          for (const piece of pieces) decoder.push(piece);
        },
      },
    ],
    smoke ? 3 : 11,
    4,
  );
  console.log(
    `${label.padEnd(38)} ns/packet: Decoder ${median(times.get("Decoder")).toFixed(0)}, without a cache ` +
      `${median(times.get("plain")).toFixed(0)}; times faster: ${spread(ratios(times, "plain", "Decoder"))}`,
  );
}
