// Hostile topics against the topic cache: what each costs beside decoding the same topics with no cache at
// all.
import { chunks, publish, random } from "./corpora.mjs";
import { interleave, median, ratios, spread } from "./measure.mjs";
import { hubwire } from "./peers.mjs";

const smoke = process.argv.includes("--smoke");
const COUNT = 20_000;
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
};

/** The obvious way: the platform's decoder each time. */
function plain(pieces) {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let total = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const length = piece[at + 1];
      const end = at + 4 + ((piece[at + 2] << 8) | piece[at + 3]);
      const topic = decoder.decode(piece.subarray(at + 4, end));
      if (/[\0+#]/.test(topic)) throw new Error("wildcard");
      total += topic.length;
      at += 2 + length;
    }
  }
  return total;
}

for (const [label, topicOf] of Object.entries(shapes)) {
  const bytes = Buffer.concat(Array.from({ length: COUNT }, (_, i) => publish(topicOf(i), "1234")));
  const pieces = chunks(bytes, 0);
  let total = 0;
  const decoder = new hubwire.Decoder({ publish: (topic) => (total += topic.length) });
  const times = interleave(
    [
      { name: "plain", count: COUNT, run: () => (total += plain(pieces)) },
      {
        name: "Decoder",
        count: COUNT,
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
