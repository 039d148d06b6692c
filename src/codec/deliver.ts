/**
 * From bytes to the sink's methods: one whole packet after the other, straight from the chunk.
 *
 * Invariants: a packet is checked completely before the sink hears of it; the checks come in one order (fixed
 * header, size, remaining length, fields), so that the same bytes give the same error however they were
 * split; "need more bytes" is a return value.
 */
import { MALFORMED, fault } from "./fault.js";
import { Fields, nonZero, word } from "./fields.js";
import { NAMES, packetSize } from "./header.js";
import { parse } from "./parse.js";
import type { TopicCache } from "./topic-cache.js";
import type { PacketSink, QoS } from "./types.js";

/**
 * Delivers every whole packet of `bytes[at, end)`. Returns the position of the first incomplete one. `view`
 * is of all `bytes`, where there is one already. The sink is told that a payload lies in `owner`, `shift`
 * bytes before where it lies in `bytes`. Throws ERR_MALFORMED_PACKET, ERR_PACKET_TOO_LARGE and
 * whatever the sink throws.
 */
export function deliver(
  bytes: Uint8Array,
  at: number,
  end: number,
  sink: PacketSink,
  maxPacketSize: number,
  topics: TopicCache,
  view?: DataView,
  owner = bytes,
  shift = 0,
): number {
  topics.begin();
  while (at < end) {
    const size = packetSize(bytes, at, end, maxPacketSize);
    const next = at + size;
    if (size === 0 || next > end) break;
    let start = at + 2;
    while (bytes[start - 1]! > 0x7f) start++;
    const first = bytes[at]!;
    const type = first >> 4;
    if (type === 3) {
      const topicStart = start + 2;
      const topicEnd = topicStart + word(bytes, start);
      const qos = ((first >> 1) & 3) as QoS;
      const payload = qos === 0 ? topicEnd : topicEnd + 2;
      // Of a body of less than two bytes the topic's length is not its own, and this refuses it whatever it
      // is.
      if (topicStart > next || payload > next) throw fault(MALFORMED, "packet shorter than its fields");
      view ??= new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const topic = topics.get(bytes, view, topicStart, topicEnd, next, end);
      const packetId = qos === 0 ? 0 : nonZero(word(bytes, topicEnd));
      const retain = (first & 1) !== 0;
      sink.publish?.(topic, owner, payload - shift, next - shift, qos, retain, (first & 8) !== 0, packetId);
    } else if (type > 3 && type < 8) {
      const packetId = nonZero(word(bytes, start));
      sink[NAMES[type] as "puback"]?.(packetId);
    } else if (type > 11) sink[NAMES[type] as "pingreq"]?.();
    else parse(sink, type, new Fields(owner, start - shift, next - shift));
    at = next;
  }
  return at;
}
