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
   * Before `#free` the block is delivered. From there on lie the first `#held` bytes of a packet. If it is a large one,
   * of `#size` bytes, the block is its own, and has room for some or all of them.
   */
  #block = EMPTY;
  #view: DataView | undefined;
  #free = 0;
  #held = 0;
  #size = 0;
  #busy = false;
  #failure: { error: unknown } | undefined;

  /** Throws ERR_INVALID_ARGUMENT. */
  constructor(sink: PacketSink, options: DecoderOptions = {}) {
    if (typeof sink !== "object" || sink === null) throw invalidArgument("sink must be an object");
    for (const name of NAMES.slice(1) as (keyof PacketSink)[]) {
      const method = read(name, () => sink[name]);
      if (method !== undefined && typeof method !== "function")
        throw invalidArgument(`sink.${name} must be a function`);
    }
    if (typeof options !== "object" || options === null) throw invalidArgument("options must be an object");
    const [maxPacketSize, others] = read("options", () => {
      const { maxPacketSize = MAX_PACKET_SIZE, ...others } = options;
      return [maxPacketSize, Object.keys(others)];
    });
    if (others.length) throw invalidArgument("there is no option but maxPacketSize");
    if (typeof maxPacketSize !== "number" || !(maxPacketSize >= 2)) {
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
    if (this.#failure) throw this.#failure.error;
    const bytes = checkBytes(chunk);
    if (this.#busy) throw invalidArgument("push from inside a sink method");
    this.#busy = true;
    try {
      this.#take(bytes);
    } catch (error) {
      this.#failure = { error };
      this.#drop();
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
    const { length } = chunk;
    const held = this.#held;
    let at = 0;
    // Acknowledgements need no view, and an idle client no block.
    const isCopied = length <= SMALL_CHUNK && chunk[0]! >> 4 === 3;
    if (!this.#size && (held || isCopied)) {
      this.#gather(chunk, 0, Math.min(length, SMALL_CHUNK));
      const block = this.#block;
      if (held) {
        const start = this.#free;
        const size = packetSize(block, start, start + this.#held, this.#maxPacketSize);
        if (size > SMALL) this.#begin(size, block, start, start + held);
        else if (size > 0 && size <= this.#held) {
          at = size - held;
          this.#free += size;
          this.#deliver(block, start, start + size, this.#view);
        } else return; // A long chunk would have completed it.
      }
      // Whoever got the packet may have transferred its memory, and with it the copy of the rest.
      if (!this.#size && length <= SMALL_CHUNK && block.length) {
        const start = this.#free;
        const end = start + length - at;
        return this.#hold(block, this.#deliver(block, start, end, this.#view, chunk, start - at), end);
      }
    }
    if (this.#size) {
      at = Math.min(length, this.#size - this.#held);
      this.#gather(chunk, 0, at);
      if (this.#held < this.#size) return;
      const large = this.#block;
      this.#drop();
      this.#deliver(large, 0, large.length);
    }
    this.#hold(chunk, this.#deliver(chunk, at, length), length);
  }

  #deliver(bytes: Uint8Array, start: number, end: number, view?: DataView, owner?: Uint8Array, shift?: number): number {
    return deliver(bytes, start, end, this.#sink, this.#maxPacketSize, this.#topics, view, owner, shift);
  }

  /** Keeps the beginning of a packet, `bytes[at, end)`, and nothing else. */
  #hold(bytes: Uint8Array, at: number, end: number): void {
    this.#held = 0;
    if (at === end) return;
    if (end - at > SMALL) this.#begin(packetSize(bytes, at, end, this.#maxPacketSize), bytes, at, end);
    else if (bytes !== this.#block) this.#gather(bytes, at, end);
    else {
      bytes.copyWithin(this.#free, at, end);
      this.#held = end - at;
    }
  }

  /** Begins to gather a packet of `size` bytes in memory of its own. */
  #begin(size: number, bytes: Uint8Array, at: number, end: number): void {
    this.#drop();
    this.#size = size;
    this.#gather(bytes, at, end);
  }

  /** Leaves the block to those who got packets in it. */
  #drop(): void {
    this.#block = EMPTY;
    this.#view = undefined;
    this.#free = this.#held = this.#size = 0;
  }

  /** Puts `bytes[at, end)` behind what is held, in a new block where there is no room in this one. */
  #gather(bytes: Uint8Array, at: number, end: number): void {
    const old = this.#block;
    const start = this.#free;
    const held = this.#held;
    const needed = held + end - at;
    if (old.length - start < needed) {
      const size = this.#size;
      let room = old.length === 0 && needed <= FIRST_BLOCK ? FIRST_BLOCK : BLOCK;
      if (size) room = needed > GROW_LIMIT ? size : Math.min(size, Math.max(needed, FIRST_SIZE, 2 * old.length));
      // A plain array, as sinks expect it; what it begins with is written over before it is read.
      const block = new Uint8Array(Buffer.allocUnsafeSlow(room).buffer);
      if (held) {
        if (!old.length) throw invalidArgument("delivered memory was transferred");
        block.set(old.subarray(start, start + held));
      }
      this.#block = block;
      this.#view = new DataView(block.buffer);
      this.#free = 0;
    }
    // A view of it takes longer than the copy of a small chunk.
    this.#block.set(end - at < bytes.length ? bytes.subarray(at, end) : bytes, this.#free + held);
    this.#held = needed;
  }
}
