// However a stream is split, the same comes out: whole, byte by byte, in halves, in pieces whose sizes follow from the
// input, and in halves of chunks so long that they are parsed in another way. Every chunk lies between bytes that are
// not its own. Readers that took a whole stream go on to the next.
import { codec, equal, refusal, same } from "../codec.mjs";
import { endsWhole } from "../reference.mjs";

export { streamOf as generate } from "../packets.mjs";
export { repair, seeds, vary } from "../streams.mjs";
export const coverage = /\/dist\/codec\//;

const LIMITS = { maxPacketSize: 200 };
const space = new Uint8Array(0x8000).fill(0xa5);
const singles = Array.from({ length: 4096 }, (_, i) => new Uint8Array(space.buffer, 2 * i, 1));

function single(input, at) {
  const chunk = singles[at];
  chunk[0] = input[at];
  return chunk;
}

let used;
/** The bytes from `at` on, at most `size`, in memory of their own. */
function piece(input, at, size) {
  const length = Math.min(size, input.length - at);
  const chunk = new Uint8Array(space.buffer, used, length);
  for (let i = 0; i < length; i++) chunk[i] = input[at + i];
  used += length + 1;
  return chunk;
}

let state;
const random = (input, at) => 1 + ((state = (Math.imul(state, 75) + input[at] + 74) & 0xffff) % 9);

class Way {
  packets = [];
  reader;

  constructor(chunkAt) {
    this.chunkAt = chunkAt;
  }

  begin() {
    this.packets.length = 0;
    this.reader ??= new codec.PacketReader((packet) => this.packets.push(packet), LIMITS);
  }

  /** The error that ends `input`, if any; `packets` are those before it. */
  read(input) {
    this.begin();
    state = input.length;
    used = 0;
    for (let at = 0; at < input.length;) {
      const chunk = this.chunkAt(input, at);
      const error = refusal(this.reader, chunk);
      if (error !== undefined) return error;
      at += chunk.length;
    }
    return undefined;
  }
}

const FILLER = codec.encode({ type: "publish", topic: "f", payload: new Uint8Array(190) });
const FILLERS = 12;
const filling = new Uint8Array(Buffer.concat(Array.from({ length: FILLERS }, () => FILLER)));
const first = new Uint8Array(0x8000).fill(0xa5);
const second = first.slice();
first.set(filling);

/** The first half of the input at the end of a long chunk; the second at the beginning of one, if it ends whole. */
class LongWay extends Way {
  read(input) {
    this.begin();
    const half = input.length >> 1;
    for (let i = 0; i < half; i++) first[filling.length + i] = input[i];
    let error = refusal(this.reader, first.subarray(0, filling.length + half));
    const whole = error === undefined && endsWhole(input);
    if (error === undefined) {
      const rest = input.length - half;
      for (let i = 0; i < rest; i++) second[i] = input[half + i];
      if (whole) second.set(filling, rest);
      error = refusal(this.reader, second.subarray(0, whole ? rest + filling.length : rest));
    }
    this.packets.splice(0, FILLERS);
    if (whole && error === undefined) this.packets.length -= FILLERS;
    return error;
  }
}

const whole = new Way((input) => input);
const others = {
  "byte by byte": new Way(single),
  "in pieces": new Way((input, at) => piece(input, at, random(input, at))),
  "in halves": new Way((input, at) => piece(input, at, 1 + (input.length >> 1))),
  "in halves of long chunks": new LongWay(),
};
const ways = Object.entries(others);

export function fresh() {
  whole.reader = undefined;
  for (const [, way] of ways) way.reader = undefined;
}

export function run(input) {
  const error = whole.read(input);
  for (const [name, way] of ways) {
    const found = way.read(input);
    if (!same(way.packets, whole.packets)) equal(way.packets, whole.packets, name);
    if (found?.code !== error?.code || found?.statement !== error?.statement || found?.message !== error?.message) {
      throw new Error(`${name}: ${found?.message}, whole: ${error?.message}`);
    }
  }
  if (error !== undefined || !endsWhole(input)) fresh();
}
