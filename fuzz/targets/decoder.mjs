// The decoder against the independent oracle: the same packets, and refused where it refuses. Nothing but a HubwireError
// with a documented code comes out, and a decoder that failed throws the same error again.
import { oracle } from "../../test/codec/oracle.mjs";
import { DECODING, attempt, codec, equal, seeds, streamOf } from "../codec.mjs";

export { seeds };
export const generate = streamOf;
export const coverage = /\/dist\/codec\//;

export function run(input) {
  const packets = [];
  const reader = new codec.PacketReader((packet) => packets.push(packet));
  const { error } = attempt(() => reader.push(input), DECODING);
  const expected = oracle(input);
  equal(packets, expected.packets, "packets");
  equal(error !== undefined, expected.end === "malformed", "refused");
  if (error !== undefined) {
    const again = attempt(() => reader.push(Uint8Array.of(0xd0, 0)), DECODING);
    if (again.error !== error || packets.length !== expected.packets.length) throw new Error("usable after an error");
  }
  const single = attempt(() => codec.decode(input), DECODING);
  const one = expected.end === "complete" && expected.packets.length === 1;
  equal(single.value, one ? expected.packets[0] : undefined, "decode");
}
