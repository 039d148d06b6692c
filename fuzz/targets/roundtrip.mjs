// What the encoder writes, the decoder reads back as the same packet, and what the decoder reads, the encoder writes
// again. The input is the seed of a packet object, and a stream of bytes.
import { randomFrom } from "../mutate.mjs";
import { DECODING, ENCODING, attempt, codec, equal, packetOf, seeds, streamOf } from "../codec.mjs";

export { seeds };
export const generate = streamOf;
export const coverage = /\/dist\/codec\//;

const writer = new codec.PacketWriter();

function back(packet) {
  const bytes = codec.encode(packet);
  equal(codec.decode(bytes), packet, "decoded again");
  writer.packet(packet);
  equal(new Uint8Array(Buffer.concat(writer.take())), bytes, "PacketWriter");
  if (packet.type !== "publish") return;
  const { topic, payload, qos, retain, dup, packetId = 0 } = packet;
  writer.publish(topic, payload, qos, retain, dup, packetId);
  equal(new Uint8Array(Buffer.concat(writer.take())), bytes, "publish");
}

export function run(input) {
  const packets = [];
  attempt(() => new codec.PacketReader((packet) => packets.push(packet)).push(input), DECODING);
  for (const packet of packets) back(packet);

  let seed = input.length;
  for (const byte of input) seed = (Math.imul(seed, 31) + byte) | 0;
  const packet = packetOf(randomFrom(seed));
  const { value, error } = attempt(() => codec.encode(packet), ENCODING);
  if (error !== undefined) equal(writer.byteLength, 0, "written by a refused packet");
  else back(codec.decode(value));
}
