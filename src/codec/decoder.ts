/**
 * Framing: a byte stream, split anywhere, into packets.
 *
 * Invariants: a packet inside one chunk is parsed where it lies; a packet that was split is gathered in
 * memory that holds nothing else, or in its own stretch of a block of small ones; no byte that was delivered
 * is written again. Memory for a large packet is taken as its bytes arrive: at most double what is here,
 * until GROW_LIMIT of it is, then the whole of it at once. After an error nothing more is delivered.
 */
import { isBytes } from "./checks.js";
import { MALFORMED, MAX_PACKET_SIZE, fault, invalidArgument } from "./fault.js";
import { NAMES, deliver, packetSize } from "./decode.js";
import { TopicCache } from "./topic-cache.js";
import type { AcknowledgementPacket, EmptyPacket, Packet, PacketSink } from "./types.js";

/**
 * Split packets of at most SMALL bytes share blocks; `npm run bench -- codec`, C2D in chunks of 1,460 bytes.
 */
const BLOCK = 0x2000;
const SMALL = 0x400;
const FIRST_SIZE = 0x10000;
/**
 * A quarter of what a split packet may cost on top of its size: old and new memory live together while it
 * grows.
 */
const GROW_LIMIT = 0x400000;

export interface DecoderOptions {
  /**
   * The largest whole packet accepted, bytes, fixed header included; larger ones are ERR_PACKET_TOO_LARGE at
   * their header. Default: 268,435,460, the largest that there can be.
   */
  maxPacketSize?: number | undefined;
}

const EMPTY = new Uint8Array(0);

function checkBytes(bytes: unknown): asserts bytes is Uint8Array {
  if (!isBytes(bytes)) throw invalidArgument("bytes must be a Uint8Array");
}

/** Delivers packets to a sink in plain arguments. */
export class Decoder {
  readonly #sink: PacketSink;
  readonly #maxPacketSize: number;
  readonly #topics = new TopicCache();
  #block = EMPTY;
  #blockView: DataView | undefined;
  #blockUsed = 0;
  /**
   * The packet being gathered is in `#memory[#start, #start + #held)`; `#size` is 0 until its header is
   * complete.
   */
  #memory = EMPTY;
  #start = 0;
  #held = 0;
  #size = 0;
  #busy = false;
  #failure: { error: unknown } | undefined;

  /** Throws ERR_INVALID_ARGUMENT. */
  constructor(sink: PacketSink, options: DecoderOptions = {}) {
    if (typeof sink !== "object" || sink === null) throw invalidArgument("sink must be an object");
    for (const name of NAMES) {
      if (name && !["function", "undefined"].includes(typeof sink[name])) {
        throw invalidArgument(`sink.${name} must be a function`);
      }
    }
    if (typeof options !== "object" || options === null) throw invalidArgument("options must be an object");
    const { maxPacketSize = MAX_PACKET_SIZE + 5 } = options;
    if (!(typeof maxPacketSize === "number" && maxPacketSize >= 2)) {
      throw invalidArgument("maxPacketSize must be a number over 1");
    }
    this.#sink = sink;
    this.#maxPacketSize = maxPacketSize;
  }

  /**
   * Takes the next bytes of the stream and delivers the packets that they complete, before it returns. The
   * chunk belongs to the decoder and to those who got views of it: it must not be written to afterwards.
   *
   * Throws ERR_MALFORMED_PACKET or ERR_PACKET_TOO_LARGE after having delivered all packets before the bad
   * one, and whatever a sink's method throws; from then on every call throws the same error. Throws
   * ERR_INVALID_ARGUMENT for anything but a Uint8Array and for a call from inside a sink's method.
   */
  push(chunk: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    checkBytes(chunk);
    if (this.#busy) throw invalidArgument("push from inside a sink method");
    this.#busy = true;
    try {
      let at = 0;
      if (this.#held > 0) {
        at = this.#gather(chunk, 0);
        if (this.#held !== this.#size) return;
        this.#deliverGathered();
      }
      at = deliver(chunk, at, chunk.length, this.#sink, this.#maxPacketSize, this.#topics);
      if (at < chunk.length) this.#gather(chunk, at);
    } catch (error) {
      this.#failure = { error };
      this.#memory = EMPTY;
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  #deliverGathered(): void {
    const memory = this.#memory;
    const start = this.#start;
    const end = start + this.#size;
    let view;
    if (memory === this.#block) {
      view = this.#blockView;
      this.#blockUsed = end;
    }
    this.#memory = EMPTY;
    this.#held = this.#size = 0;
    deliver(memory, start, end, this.#sink, this.#maxPacketSize, this.#topics, view);
  }

  /** Gathers from `chunk[at..]` up to the end of the packet; returns the position reached. */
  #gather(chunk: Uint8Array, at: number): number {
    if (this.#held === 0) {
      if (this.#block.length - this.#blockUsed < SMALL) {
        this.#block = new Uint8Array(BLOCK);
        this.#blockView = new DataView(this.#block.buffer);
        this.#blockUsed = 0;
      }
      this.#memory = this.#block;
      this.#start = this.#blockUsed;
    }
    // Byte by byte through the header, so that not one byte of the next packet is taken.
    while (this.#size === 0) {
      if (at === chunk.length) return at;
      this.#memory[this.#start + this.#held++] = chunk[at++]!;
      this.#size = packetSize(this.#memory, this.#start, this.#start + this.#held, this.#maxPacketSize);
    }
    const count = Math.min(this.#size - this.#held, chunk.length - at);
    this.#reserve(this.#held + count);
    const to = this.#start + this.#held;
    if (count === 1) this.#memory[to] = chunk[at]!;
    else this.#memory.set(chunk.subarray(at, at + count), to);
    this.#held += count;
    return at + count;
  }

  /** Makes room for the first `needed` bytes of the packet. */
  #reserve(needed: number): void {
    const shared = this.#memory === this.#block;
    const old = shared ? 0 : this.#memory.length;
    if (shared ? this.#size <= SMALL : needed <= old) return;
    const grown = new Uint8Array(
      needed > GROW_LIMIT ? this.#size : Math.min(this.#size, Math.max(needed, FIRST_SIZE, 2 * old)),
    );
    grown.set(this.#memory.subarray(this.#start, this.#start + this.#held));
    this.#memory = grown;
    this.#start = 0;
  }
}

/** A sink that makes packet objects; `forget` keeps no chunk alive that nobody else needs. */
function packetMaker(onPacket: (packet: Packet) => void): Required<PacketSink> & { forget(): void } {
  // The last `bytes`, and what is asked of them for each payload: the answers take longer than all the rest.
  let last: Uint8Array | undefined;
  let buffer: ArrayBufferLike = EMPTY.buffer;
  let offset = 0;
  const acknowledgement = (type: AcknowledgementPacket["type"]) => (packetId: number) =>
    onPacket({ type, packetId });
  const empty = (type: EmptyPacket["type"]) => () => onPacket({ type });
  return {
    forget() {
      last = undefined;
      buffer = EMPTY.buffer;
    },
    connect: onPacket,
    connack: (sessionPresent, returnCode) => onPacket({ type: "connack", sessionPresent, returnCode }),
    publish(topic, bytes, start, end, qos, retain, dup, packetId) {
      if (bytes !== last) {
        last = bytes;
        buffer = bytes.buffer;
        offset = bytes.byteOffset;
      }
      const payload = new Uint8Array(buffer, offset + start, end - start);
      onPacket(
        qos === 0
          ? { type: "publish", topic, payload, qos, retain, dup }
          : { type: "publish", topic, payload, qos, retain, dup, packetId },
      );
    },
    puback: acknowledgement("puback"),
    pubrec: acknowledgement("pubrec"),
    pubrel: acknowledgement("pubrel"),
    pubcomp: acknowledgement("pubcomp"),
    subscribe: (packetId, subscriptions) => onPacket({ type: "subscribe", packetId, subscriptions }),
    suback: (packetId, returnCodes) => onPacket({ type: "suback", packetId, returnCodes }),
    unsubscribe: (packetId, topicFilters) => onPacket({ type: "unsubscribe", packetId, topicFilters }),
    unsuback: acknowledgement("unsuback"),
    pingreq: empty("pingreq"),
    pingresp: empty("pingresp"),
    disconnect: empty("disconnect"),
  };
}

/**
 * A `Decoder` that delivers `Packet` objects; payloads are views of the pushed chunk, or of the packet's own
 * memory.
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

  override push(chunk: Uint8Array): void {
    super.push(chunk);
    this.#maker.forget();
  }
}

// What `decode` works with; a call is over before another can begin, because it calls nobody else. Nothing of a packet
// stays here: its payload may be large.
let single: Packet | undefined;
const singleMaker = packetMaker((packet) => (single = packet));
const singleTopics = new TopicCache();

/**
 * The one packet that `bytes` is. Its payload is a view of `bytes`.
 * Throws ERR_MALFORMED_PACKET (also for missing and for trailing bytes) and ERR_INVALID_ARGUMENT.
 */
export function decode(bytes: Uint8Array): Packet {
  checkBytes(bytes);
  const size = bytes.length && packetSize(bytes, 0, bytes.length, Infinity);
  if (size === 0 || size > bytes.length) throw fault(MALFORMED, "incomplete packet");
  if (size < bytes.length) throw fault(MALFORMED, "bytes after the packet");
  deliver(bytes, 0, size, singleMaker, Infinity, singleTopics);
  singleMaker.forget();
  const packet = single!;
  single = undefined;
  return packet;
}
