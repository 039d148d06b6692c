// What the codec's targets begin with, and edits of streams that know where packets begin.

const hex = (digits) => new Uint8Array(Buffer.from(digits.replaceAll(" ", ""), "hex"));
/** A packet of each type, and the headers that others got wrong. */
export const seeds = [
  "10 23 0004 4d515454 04 f4 0499 0005 6465762d31 0003 772f74 0002 00ff 0002 c3a9 0003 0001fe",
  "10 0c 0004 4d515454 04 02 0000 0000",
  "20 02 01 00",
  "30 07 0003 612f62 6869",
  "3c 06 0001 2f 0001 02",
  "40 02 0001",
  "50 02 1234",
  "62 02 00ff",
  "70 02 ff00",
  "82 0e 0002 0003 612f23 00 0003 2b2f62 01",
  "90 06 0002 00 01 02 80",
  "a2 0d 0003 0003 612f23 0001 2b 0001 2f",
  "b0 02 0003",
  "c0 00 d0 00 e0 00",
  "30 ff ff ff ff 01",
  "30 ff ff ff 7f 0001 61",
  "20 02 00 00 62 00",
].map(hex);

/** The size of the packet at `at`, of at most 16 KiB; NaN where its header is incomplete. */
function sizeAt(input, at) {
  const length = input[at + 1];
  return length < 128 ? 2 + length : 3 + (length & 127) + 128 * input[at + 2];
}

/** Makes the last packet of a mutant end with the stream where a byte for its length allows; most others are incomplete. */
export function repair(input) {
  let at = 0;
  for (let size; at + (size = sizeAt(input, at)) < input.length;) at += size;
  const left = input.length - at - 2;
  if (left >= 0 && left < 128 && input[at + 1] < 128) input[at + 1] = left;
}

/** Gives legal packets other identifiers and flags, and the payloads another byte. */
export function vary(input, random) {
  for (let at = 0, size; at + (size = sizeAt(input, at)) <= input.length; at += size) {
    const type = input[at] >> 4;
    let id = at + (input[at + 1] < 128 ? 2 : 3);
    if (type === 3) {
      id += 2 + 256 * input[id] + input[id + 1];
      const qos = (input[at] >> 1) & 3;
      input[at] = 0x30 | (qos << 1) | random(2) | (qos > 0 ? random(2) << 3 : 0);
      const payload = qos > 0 ? id + 2 : id;
      if (payload < at + size) input[payload + random(at + size - payload)] = random(256);
      if (qos === 0) continue;
    } else if (type < 4 || type > 11) continue;
    const value = 1 + random(65_535);
    input[id] = value >> 8;
    input[id + 1] = value;
  }
}
