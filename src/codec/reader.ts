/**
 * From bytes to packet objects: `PacketReader` for a stream, `decode` for one packet.
 *
 * Invariant: nothing here keeps memory of the caller's alive after a call.
 */
import { deliver } from "./deliver.js";
import { MALFORMED, fault, invalidArgument } from "./fault.js";
import { Decoder, checkBytes, type DecoderOptions } from "./framing.js";
import { NAMES, packetSize } from "./header.js";
import { TopicCache } from "./topic-cache.js";
import type { Packet, PacketSink } from "./types.js";

/** A sink that makes packet objects; `forget` keeps no chunk alive that nobody else needs. */
type Maker = Required<PacketSink> & { forget(): void };

function packetMaker(onPacket: (packet: Packet) => void): Maker {
  // The last `bytes`, and what is asked of them for each payload: the answers take longer than all the rest.
  let last: Uint8Array | undefined;
  let buffer: ArrayBufferLike | undefined;
  let offset = 0;
  const maker = {
    forget() {
      last = buffer = undefined;
    },
    connect: onPacket,
    connack: (sessionPresent, returnCode) => onPacket({ type: "connack", sessionPresent, returnCode }),
    publish(topic, bytes, start, end, qos, retain, dup, packetId) {
      if (bytes !== last) {
        last = bytes;
        buffer = bytes.buffer;
        offset = bytes.byteOffset;
      }
      const payload = new Uint8Array(buffer!, offset + start, end - start);
      onPacket(
        qos === 0
          ? { type: "publish", topic, payload, qos, retain, dup }
          : { type: "publish", topic, payload, qos, retain, dup, packetId },
      );
    },
    subscribe: (packetId, subscriptions) => onPacket({ type: "subscribe", packetId, subscriptions }),
    suback: (packetId, returnCodes) => onPacket({ type: "suback", packetId, returnCodes }),
    unsubscribe: (packetId, topicFilters) => onPacket({ type: "unsubscribe", packetId, topicFilters }),
  } as Maker;
  // The rest are an identifier, or nothing but their type.
  NAMES.forEach((name, number) => {
    const type = name as "puback";
    maker[type] ??= (packetId) => onPacket(number > 11 ? { type: name as "pingreq" } : { type, packetId });
  });
  return maker;
}

/**
 * A `Decoder` that delivers `Packet` objects; payloads are views of the pushed chunk or, where the packet was
 * split over chunks, of memory in which small packets lie side by side: copy them before transferring them.
 */
export class PacketReader extends Decoder {
  readonly #maker: ReturnType<typeof packetMaker>;

  /** Throws ERR_INVALID_ARGUMENT. */
  constructor(onPacket: (packet: Packet) => void, options?: DecoderOptions) {
    if (typeof onPacket !== "function") throw invalidArgument("onPacket must be a function");
    const maker = packetMaker(onPacket);
    super(maker, options);
    this.#maker = maker;
  }

  /** As `Decoder.push`; `onPacket` is called before it returns, and what it throws ends the reader. */
  override push(chunk: Uint8Array): void {
    try {
      super.push(chunk);
    } finally {
      this.#maker.forget();
    }
  }
}

// What `decode` works with; a call is over before another can begin, because it calls nobody else. Nothing of
// a packet stays here: its payload may be large.
let single: Packet | undefined;
const singleMaker = /* @__PURE__ */ packetMaker((packet) => (single = packet));
const singleTopics = /* @__PURE__ */ new TopicCache();

/**
 * The one packet that `bytes` is. Its payload is a view of `bytes`.
 * Throws ERR_MALFORMED_PACKET (also for missing and for trailing bytes) and ERR_INVALID_ARGUMENT.
 */
export function decode(bytes: Uint8Array): Packet {
  bytes = checkBytes(bytes);
  const size = bytes.length && packetSize(bytes, 0, bytes.length, Infinity);
  if (size === 0 || size > bytes.length) throw fault(MALFORMED, "incomplete packet");
  if (size < bytes.length) throw fault(MALFORMED, "bytes after the packet");
  deliver(bytes, 0, size, singleMaker, Infinity, singleTopics);
  singleMaker.forget();
  const packet = single!;
  single = undefined;
  return packet;
}
