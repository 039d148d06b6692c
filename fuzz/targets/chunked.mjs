// However a stream is split, the same comes out: whole, byte by byte, and in pieces whose sizes follow from the input.
import { DECODING, attempt, codec, equal, seeds, streamOf } from "../codec.mjs";

export { seeds };
export const generate = streamOf;
export const coverage = /\/dist\/codec\//;

const LIMITS = { maxPacketSize: 200 };

function read(input, sizeOf) {
  const packets = [];
  const reader = new codec.PacketReader((packet) => packets.push(packet), LIMITS);
  let found;
  for (let at = 0; at < input.length && found === undefined; ) {
    const size = sizeOf(at);
    const chunk = input.slice(at, at + size);
    found = attempt(() => reader.push(chunk), DECODING).error;
    at += size;
  }
  return { packets, error: found && [found.code, found.statement, found.message] };
}

export function run(input) {
  const whole = read(input, () => input.length);
  equal(read(input, () => 1), whole, "byte by byte");
  let state = input.length;
  const sizes = (at) => 1 + ((state = (Math.imul(state, 75) + (input[at] ?? 0) + 74) & 0xffff) % 9);
  equal(read(input, sizes), whole, "in pieces");
  equal(read(input, () => 1 + (input.length >> 1)), whole, "in halves");
}
