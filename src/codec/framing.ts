/**
 * Framing: a byte stream, split anywhere, into packets.
 *
 * Invariants: a packet inside one chunk is delivered as part of that chunk; one that was split is gathered in
 * memory that holds nothing else, or in its own stretch of a block of small ones; no byte that was delivered
 * is written again. Memory for a large packet is taken as its bytes arrive: FIRST_SIZE, then double what is
 * there, and once GROW_LIMIT is there the whole of it. After an error nothing more is delivered.
 *
 * The constants were chosen with `npm run bench -- codec`.
 */
import { isBytes, plainBytes } from "./values.js";
import { MAX_PACKET_SIZE, invalidArgument } from "./fault.js";
import { deliver } from "./deliver.js";
import { NAMES, packetSize } from "./header.js";
import { TopicCache } from "./topic-cache.js";
import type { PacketSink } from "./types.js";

/** Split packets of at most so many bytes share blocks. */
const SMALL = 0x400;
/** Chunks of at most so many bytes are parsed in a copy: a view of each would cost more. */
const SMALL_CHUNK = 0x800;
const BLOCK = 0x4000;
/** For a connection on which nothing happens. */
const FIRST_BLOCK = 0x100;
const FIRST_SIZE = 0x10000;
/**
 * A quarter of what a split packet may cost on top of its size: old and new memory live together while it
 * grows.
 */
const GROW_LIMIT = 0x400000;

/** Options of `Decoder` and `PacketReader`. */
export interface DecoderOptions {
  /**
   * The largest whole packet accepted, bytes, fixed header included; larger ones are ERR_PACKET_TOO_LARGE at
   * their header. Default: 268,435,460, the largest that there can be.
   */
  maxPacketSize?: number | undefined;
}

const EMPTY = /* @__PURE__ */ new Uint8Array(0);

export function checkBytes(bytes: unknown): Uint8Array {
  if (!isBytes(bytes)) throw invalidArgument("bytes must be a Uint8Array");
  return plainBytes(bytes);
}

/** What a caller's object says, which may throw when it is asked. */
function read<const T>(name: string, ask: () => T): T {
  try {
    return ask();
  } catch {
    throw invalidArgument(`${name} cannot be read`);
  }
}

/** Delivers packets to a sink in plain arguments. */
export class Decoder {
  readonly #sink: PacketSink;
  readonly #maxPacketSize: number;
  readonly #topics = new TopicCache();
  /**
   * Before `#free` the block is delivered. From there on lie the first `#held` bytes of a packet; but if it
   * is a large one, of `#size` bytes, they are in `#large`, which has room for some or all of them.
   */
  #block = EMPTY;
  #blockView: DataView | undefined;
  #free = 0;
  #held = 0;
  #large = EMPTY;
  #size = 0;
  #busy = false;
  #failure: { error: unknown } | undefined;

  /** Throws ERR_INVALID_ARGUMENT. */
  constructor(sink: PacketSink, options: DecoderOptions = {}) {
    if (typeof sink !== "object" || sink === null) throw invalidArgument("sink must be an object");
    for (const name of NAMES) {
      if (name && !["function", "undefined"].includes(typeof read(name, () => sink[name]))) {
        throw invalidArgument(`sink.${name} must be a function`);
      }
    }
    if (typeof options !== "object" || options === null) throw invalidArgument("options must be an object");
    const [maxPacketSize, others] = read("options", () => {
      const { maxPacketSize = MAX_PACKET_SIZE, ...others } = options;
      return [maxPacketSize, Object.keys(others)];
    });
    if (others.length > 0) throw invalidArgument("there is no option but maxPacketSize");
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
    const bytes = checkBytes(chunk);
    if (this.#busy) throw invalidArgument("push from inside a sink method");
    this.#busy = true;
    try {
      this.#take(bytes);
    } catch (error) {
      this.#failure = { error };
      this.#block = this.#large = EMPTY;
      this.#blockView = undefined;
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  /**
   * First completes what is held; then parses the rest, a short chunk in its copy in the block, a long one
   * where it lies; and holds what is left.
   */
  #take(chunk: Uint8Array): void {
    let at = 0;
    // Acknowledgements need no view, and an idle client no block.
    const isCopied = chunk.length <= SMALL_CHUNK && chunk[0]! >> 4 === 3;
    if (this.#size === 0 && (this.#held > 0 || isCopied)) {
      at = this.#join(chunk);
      // Whoever got the packet may have transferred its memory, and with it the copy of the rest.
      if (this.#size === 0 && chunk.length <= SMALL_CHUNK && this.#block.length > 0) {
        const start = this.#free;
        const end = start + chunk.length - at;
        at = this.#deliver(this.#block, start, end, this.#blockView, chunk, start - at);
        if (at < end) this.#hold(this.#block, at, end);
        return;
      }
    }
    if (this.#size > 0) {
      at = this.#gather(chunk, at, chunk.length);
      if (this.#held < this.#size) return;
      const large = this.#large;
      this.#large = EMPTY;
      this.#held = this.#size = 0;
      this.#deliver(large, 0, large.length);
    }
    at = this.#deliver(chunk, at, chunk.length);
    if (at < chunk.length) this.#hold(chunk, at, chunk.length);
  }

  #deliver(bytes: Uint8Array, start: number, end: number, view?: DataView, owner?: Uint8Array, shift?: number): number {
    return deliver(bytes, start, end, this.#sink, this.#maxPacketSize, this.#topics, view, owner, shift);
  }

  /**
   * Puts a copy of the chunk, or of the beginning of a long one, behind what is held, and delivers the packet
   * that it completes. Returns how much of the chunk was used; the copy of the next byte is at `#free`.
   */
  #join(chunk: Uint8Array): number {
    const head = chunk.length > SMALL_CHUNK ? chunk.subarray(0, SMALL_CHUNK) : chunk;
    const held = this.#held;
    const there = held + head.length;
    this.#makeRoom(there);
    const block = this.#block;
    const start = this.#free;
    block.set(head, start + held);
    if (held === 0) return 0;
    const size = packetSize(block, start, start + there, this.#maxPacketSize);
    if (size > SMALL) {
      this.#begin(size, block, start, start + held);
      return 0;
    }
    if (size === 0 || size > there) {
      // A long chunk would have completed it.
      this.#held = there;
      return chunk.length;
    }
    this.#free = start + size;
    this.#held = 0;
    this.#deliver(block, start, start + size, this.#blockView);
    return size - held;
  }

  /** Keeps the beginning of a packet, `bytes[at, end)`. */
  #hold(bytes: Uint8Array, at: number, end: number): void {
    const length = end - at;
    if (length > SMALL) return this.#begin(packetSize(bytes, at, end, this.#maxPacketSize), bytes, at, end);
    if (bytes !== this.#block) {
      this.#makeRoom(length);
      this.#block.set(bytes.subarray(at, end), this.#free);
    } else if (at > this.#free) bytes.copyWithin(this.#free, at, end);
    this.#held = length;
  }

  /** Makes room in the block for `needed` bytes from `#free` on, where `#held` ones are. */
  #makeRoom(needed: number): void {
    const start = this.#free;
    const old = this.#block;
    if (old.length - start >= needed) return;
    const size = old.length === 0 && needed <= FIRST_BLOCK ? FIRST_BLOCK : BLOCK;
    // A plain array, as sinks expect it; what it begins with is written over before it is read.
    const block = new Uint8Array(Buffer.allocUnsafeSlow(size).buffer);
    if (this.#held > 0) {
      if (old.length === 0) throw invalidArgument("memory of a delivered packet was transferred");
      block.set(old.subarray(start, start + this.#held));
    }
    this.#block = block;
    this.#blockView = new DataView(block.buffer);
    this.#free = 0;
  }

  /** Begins to gather a packet of `size` bytes in memory of its own. */
  #begin(size: number, bytes: Uint8Array, at: number, end: number): void {
    this.#size = size;
    this.#held = 0;
    this.#gather(bytes, at, end);
  }

  /** Gathers from `bytes[at, end)` up to the end of the packet; returns the position reached. */
  #gather(bytes: Uint8Array, at: number, end: number): number {
    const held = this.#held;
    const count = Math.min(this.#size - held, end - at);
    this.#reserve(held + count);
    if (count === 1) this.#large[held] = bytes[at]!;
    else this.#large.set(bytes.subarray(at, at + count), held);
    this.#held = held + count;
    return at + count;
  }

  /** Makes room for the first `needed` bytes of the packet. */
  #reserve(needed: number): void {
    const old = this.#large;
    if (needed <= old.length) return;
    const grown = new Uint8Array(
      needed > GROW_LIMIT ? this.#size : Math.min(this.#size, Math.max(needed, FIRST_SIZE, 2 * old.length)),
    );
    grown.set(old);
    this.#large = grown;
  }
}
