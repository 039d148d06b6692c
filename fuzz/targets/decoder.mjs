// The decoder against the reference, and now and then against the oracle: the same packets, payloads that are views, and
// refused where they refuse. Nothing but a HubwireError with a documented code comes out, and a decoder that failed
// throws the same error again. A decoder that read all of an input goes on to the next, as it would in a long stream.
import { oracle } from "../../test/codec/oracle.mjs";
import { DECODING, codec, documented, equal, refusal, same } from "../codec.mjs";
import { COMPLETE, MALFORMED, outcome } from "../reference.mjs";

export { streamOf as generate } from "../packets.mjs";
export { repair, seeds, vary } from "../streams.mjs";
export const coverage = /\/dist\/codec\//;

const PING = Uint8Array.of(0xd0, 0);
const packets = [];
let reader;

export function fresh() {
  reader = undefined;
}

function decoded(input) {
  try {
    return codec.decode(input);
  } catch (error) {
    documented(error, DECODING);
    return undefined;
  }
}

export function run(input) {
  packets.length = 0;
  reader ??= new codec.PacketReader((packet) => packets.push(packet));
  const error = refusal(reader, input);
  const end = outcome(input, packets);
  if ((error !== undefined) !== (end === MALFORMED)) throw new Error(`${end}, but the decoder: ${error?.message}`);
  const count = packets.length;
  if (error !== undefined && (refusal(reader, PING) !== error || packets.length !== count)) {
    throw new Error("usable after an error");
  }
  const single = decoded(input);
  if (!same(single, end === COMPLETE && count === 1 ? packets[0] : undefined)) throw new Error("decode disagrees");
  if (end !== COMPLETE) reader = undefined;
}

export function thorough(input) {
  const expected = oracle(input);
  const read = [];
  const error = refusal(new codec.PacketReader((packet) => read.push(packet)), input);
  equal(read, expected.packets, "packets");
  equal(error !== undefined, expected.end === MALFORMED, "refused");
  equal(outcome(input, read), expected.end, "the reference's own end");
}
