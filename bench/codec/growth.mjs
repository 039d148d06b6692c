// Cost must grow linearly: ten times the work takes ten times as long, however the bytes arrive.
import { publish } from "./corpora.mjs";
import { median } from "./measure.mjs";
import { hubwire } from "./peers.mjs";

const smoke = process.argv.includes("--smoke");
const MIB = 1 << 20;

function time(action) {
  const list = [];
  for (let i = 0; i < (smoke ? 1 : 5); i++) {
    const started = performance.now();
    action();
    list.push(performance.now() - started);
  }
  return median(list);
}

function feed(bytes, size) {
  let packets = 0;
  const reader = new hubwire.PacketReader(() => packets++);
  for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size));
  if (packets === 0) throw new Error("nothing was delivered");
}

function compare(label, small, large, factor) {
  time(small);
  const a = time(small);
  const b = time(large);
  console.log(`${label.padEnd(58)} ${a.toFixed(2)} ms and ${b.toFixed(2)} ms: ${(b / a).toFixed(1)}x for ${factor}x`);
}

const sized = (bytes) => publish("devices/d/messages/events/", Buffer.alloc(bytes));
const [one, sixteen] = [sized(MIB), sized(16 * MIB)];

// First of all: memory that others leave behind would be given back meanwhile, and be counted.
const peak = { before: 0, most: 0 };
const reader = new hubwire.PacketReader(() => {});
// Memory of buffers is given back a moment after the collection that found them.
for (let turn = 0; turn < 3; turn++) {
  globalThis.gc();
  await new Promise((resolve) => setTimeout(resolve, 50));
}
peak.before = process.memoryUsage().arrayBuffers;
for (let at = 0; at < sixteen.length; at += 1460) {
  reader.push(sixteen.subarray(at, at + 1460));
  if (at % (1460 * 16) === 0) peak.most = Math.max(peak.most, process.memoryUsage().arrayBuffers - peak.before);
}
console.log(
  `peak memory of the 16 MiB packet in 1,460-byte chunks: packet + ${((peak.most - sixteen.length) / MIB).toFixed(2)} MiB`,
);

if (!smoke)
  compare(
    "one packet of 1 and 16 MiB in 1-byte chunks",
    () => feed(one, 1),
    () => feed(sixteen, 1),
    16,
  );
compare(
  "one packet of 1 and 16 MiB in 1,460-byte chunks",
  () => feed(one, 1460),
  () => feed(sixteen, 1460),
  16,
);
const many = (count) =>
  Buffer.concat(Array.from({ length: count }, (_, i) => publish("t/1", [i], 1, 1 + (i % 65_535))));
const [few, ten] = [many(20_000), many(200_000)];
compare(
  "20,000 and 200,000 packets, whole",
  () => feed(few, few.length),
  () => feed(ten, ten.length),
  10,
);
compare(
  "20,000 and 200,000 packets in 1-byte chunks",
  () => feed(few, 1),
  () => feed(ten, 1),
  10,
);
const topics = (length) => {
  const list = Array.from({ length: 300 }, (_, i) => publish(String(i).padEnd(length, "/"), []));
  const bytes = Buffer.concat(list);
  return () => feed(bytes, bytes.length);
};
compare("300 topics of 6,500 and 65,000 slashes", topics(6_500), topics(65_000), 10);
const filter = "+/".repeat(32_000) + "#";
const match = (length) => () => hubwire.matchTopic(filter, "/".repeat(length));
compare("matching 6,500 and 65,000 slashes", match(6_500), match(65_000), 10);
