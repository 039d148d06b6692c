// What the encoder writes, the decoder reads back as the same packet, and what the decoder reads, the encoder writes
// again. The input is the seed of a packet object, and a stream of bytes.
import { ENCODING, codec, documented, equal, refusal, refused, same } from "../codec.mjs";
import { packetOf } from "../packets.mjs";
import { randomFrom } from "../random.mjs";
import { endsWhole } from "../reference.mjs";

export { streamOf as generate } from "../packets.mjs";
export { repair, seeds, vary } from "../streams.mjs";
export const coverage = /\/dist\/codec\//;

const writer = new codec.PacketWriter();

function written(bytes, what) {
  const output = writer.take();
  const all = output.length === 1 ? output[0] : new Uint8Array(Buffer.concat(output));
  if (!same(all, bytes)) equal(new Uint8Array(all), bytes, what);
}

function back(packet, bytes) {
  const again = codec.decode(bytes);
  if (!same(again, packet)) equal(again, packet, "decoded again");
  writer.packet(packet);
  written(bytes, "PacketWriter");
  if (packet.type !== "publish") return;
  const { topic, payload, qos, retain, dup, packetId = 0 } = packet;
  writer.publish(topic, payload, qos, retain, dup, packetId);
  written(bytes, "publish");
}

const packets = [];
let reader;

export function fresh() {
  reader = undefined;
}

/** The bytes of `packet`; undefined, with nothing written, where both encoders refuse it. */
function encoded(packet) {
  try {
    return codec.encode(packet);
  } catch (error) {
    documented(error, ENCODING);
  }
  if (refused(write, packet, ENCODING) === undefined) throw new Error("refused by encode alone");
  equal(writer.byteLength, 0, "written by a refused packet");
  return undefined;
}
const write = (packet) => writer.packet(packet);

export function run(input) {
  packets.length = 0;
  reader ??= new codec.PacketReader((packet) => packets.push(packet));
  const error = refusal(reader, input);
  if (error !== undefined || !endsWhole(input)) fresh();
  for (const packet of packets) back(packet, codec.encode(packet));

  let seed = input.length;
  for (let i = 0; i < input.length; i++) seed = (Math.imul(seed, 31) + input[i]) | 0;
  const packet = packetOf(randomFrom(seed));
  const bytes = encoded(packet);
  if (bytes !== undefined) back(packet, bytes);
}
