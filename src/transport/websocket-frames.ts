/**
 * Frames of RFC 6455, for both sides.
 *
 * Invariants: sans-IO; no memory is taken for a data frame, however long it says it is: its payload is handed on as it
 * comes; only binary messages are taken (MQTT-6.0.0-1), and where a message or frame begins or ends means nothing to
 * MQTT (MQTT-6.0.0-2). What one chunk brings is handed on as one piece. Chunks are never written to.
 */

/** Opcodes of section 5.2. */
const CONTINUATION = 0;
const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
const PING = 9;
export const PONG = 10;

/** Those close codes of section 7.4.1 that are sent here. */
export const NORMAL = 1000;
const PROTOCOL_ERROR = 1002;
const UNSUPPORTED_DATA = 1003;
const INVALID_TEXT = 1007;
const TOO_LARGE = 1009;

/** A breach of the protocol by the other side; the connection is closed with `closeCode`. */
export class FrameFault extends Error {
  readonly closeCode: number;
  /** The statement of MQTT 3.1.1 that was broken, where it is one of those. */
  readonly statement: string | undefined;

  constructor(message: string, closeCode = PROTOCOL_ERROR, statement?: string) {
    super(message);
    this.closeCode = closeCode;
    this.statement = statement;
  }
}

/** What a reader delivers. */
export interface FrameSink {
  /** Payload of binary messages; the receiver's to keep. */
  data(bytes: Uint8Array): void;
  /** To be answered by a pong with the same payload. */
  ping(payload: Uint8Array): void;
  /** The other side sends no more; 1005 where it gave no code. Nothing is delivered after this. */
  close(code: number, reason: string): void;
}

/** The longest header: two bytes, eight of length, four of mask. */
const LONGEST_HEADER = 14;
/** Section 5.5. */
const CONTROL_LIMIT = 125;
const NO_CODE = 1005;

/** Reads the frames that a client (`masked`) or a server sends, cut into chunks anywhere. */
export class FrameReader {
  readonly #masked: boolean;
  readonly #sink: FrameSink;
  readonly #header = Buffer.alloc(LONGEST_HEADER);
  #headerLength = 0;
  readonly #control = Buffer.alloc(CONTROL_LIMIT);
  #controlLength = 0;
  /** Payload of the present chunk. */
  #data: Uint8Array[] = [];
  #opcode = BINARY;
  /** Payload bytes of the present frame that are still to come. */
  #left = 0;
  /** Where its mask stands in the header, and how many bytes were unmasked with it. */
  #maskStart = 0;
  #unmasked = 0;
  /** Inside a message of several frames. */
  #fragmented = false;
  #closed = false;
  #fault: FrameFault | undefined;

  constructor(masked: boolean, sink: FrameSink) {
    this.#masked = masked;
    this.#sink = sink;
  }

  /** Takes the chunk over. @throws FrameFault after what came before the breach was delivered; then always the same. */
  push(chunk: Uint8Array): void {
    if (this.#fault) throw this.#fault;
    try {
      for (let at = 0; at < chunk.length && !this.#closed;) at = this.#step(chunk, at);
    } catch (error) {
      throw (this.#fault = error as FrameFault);
    } finally {
      this.#deliver();
    }
  }

  /** As one piece: a view of the chunk where it is in one place and not masked, else memory of its own. */
  #deliver(): void {
    const parts = this.#data;
    if (parts.length === 1) this.#sink.data(parts.pop()!);
    if (parts.length < 2) return;
    this.#data = [];
    this.#sink.data(put(parts, new Uint8Array(lengthOf(parts)), 0));
  }

  /** Takes one byte of a header, or all of a payload that is there; returns where to go on. */
  #step(chunk: Uint8Array, at: number): number {
    if (this.#left === 0) {
      this.#header[this.#headerLength++] = chunk[at]!;
      if (this.#headerLength === this.#headerNeeded()) this.#begin();
      return at + 1;
    }
    const end = Math.min(chunk.length, at + this.#left);
    const view = chunk.subarray(at, end);
    const part = this.#masked ? this.#unmask(new Uint8Array(view)) : view;
    if (this.#opcode < CLOSE) this.#data.push(part);
    else {
      this.#control.set(part, this.#controlLength);
      this.#controlLength += part.length;
    }
    this.#left -= part.length;
    if (this.#left === 0) this.#end();
    return end;
  }

  #unmask(bytes: Uint8Array): Uint8Array {
    const header = this.#header;
    const start = this.#maskStart;
    let at = this.#unmasked;
    for (let i = 0; i < bytes.length; i++) bytes[i]! ^= header[start + (at++ & 3)]!;
    this.#unmasked = at;
    return bytes;
  }

  /** Bytes of the header, as far as what is there tells. What is wrong with the first two is told at once. */
  #headerNeeded(): number {
    if (this.#headerLength < 2) return 2;
    const [first = 0, second = 0] = this.#header;
    if (this.#headerLength === 2) this.#check(first, second);
    const length = second & 0x7f;
    return 2 + (length === 126 ? 2 : length === 127 ? 8 : 0) + (this.#masked ? 4 : 0);
  }

  #check(first: number, second: number): void {
    const opcode = first & 15;
    if (first & 0x70) throw new FrameFault("a WebSocket frame of an extension that was not agreed on");
    if (second >= 0x80 !== this.#masked)
      throw new FrameFault(`a WebSocket frame that is ${this.#masked ? "not " : ""}masked`);
    if (opcode >= CLOSE) {
      if (opcode > PONG) throw new FrameFault("a WebSocket frame of an unknown type");
      if (!(first & 0x80) || (second & 0x7f) > CONTROL_LIMIT)
        throw new FrameFault("a WebSocket control frame in parts");
      return;
    }
    if (opcode === TEXT) {
      throw new FrameFault("a WebSocket text frame; MQTT is binary", UNSUPPORTED_DATA, "MQTT-6.0.0-1");
    }
    if (opcode > BINARY) throw new FrameFault("a WebSocket frame of an unknown type");
    if ((opcode === CONTINUATION) !== this.#fragmented) {
      throw new FrameFault(`a WebSocket ${this.#fragmented ? "message inside another" : "continuation of no message"}`);
    }
  }

  /** The header is whole. */
  #begin(): void {
    const header = this.#header;
    const [first = 0, second = 0] = header;
    let length = second & 0x7f;
    if (length === 126) length = least(header.readUInt16BE(2), 126);
    else if (length === 127) length = least(header.readUInt32BE(2) * 2 ** 32 + header.readUInt32BE(6), 65_536);
    this.#opcode = first & 15;
    this.#maskStart = this.#headerLength - 4;
    this.#unmasked = this.#headerLength = this.#controlLength = 0;
    this.#left = length;
    if (this.#opcode < CLOSE) this.#fragmented = !(first & 0x80);
    if (length === 0) this.#end();
  }

  /** The payload is whole. */
  #end(): void {
    if (this.#opcode < CLOSE) return;
    const payload = this.#control.subarray(0, this.#controlLength);
    if (this.#opcode === PING) this.#sink.ping(Buffer.from(payload));
    if (this.#opcode !== CLOSE) return;
    const [code, reason] = closeReason(payload);
    this.#closed = true;
    this.#deliver();
    this.#sink.close(code, reason);
  }
}

/** Section 5.2: the shortest form of a length; and one that JavaScript can count. */
function least(length: number, bound: number): number {
  if (length < bound) throw new FrameFault("a WebSocket frame with its length in a longer form");
  if (length > Number.MAX_SAFE_INTEGER) throw new FrameFault("a WebSocket frame of 2^53 bytes or more", TOO_LARGE);
  return length;
}

/** Sections 5.5.1, 7.4. */
function closeReason(payload: Buffer): [code: number, reason: string] {
  if (payload.length === 0) return [NO_CODE, ""];
  const code = payload.length === 1 ? 0 : payload.readUInt16BE(0);
  const known = (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code < 5000);
  if (!known) throw new FrameFault("a WebSocket close without a valid code");
  try {
    return [code, new TextDecoder("utf-8", { fatal: true }).decode(payload.subarray(2))];
  } catch {
    throw new FrameFault("a WebSocket close whose reason is not UTF-8", INVALID_TEXT);
  }
}

function lengthOf(chunks: readonly Uint8Array[]): number {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  return length;
}

/** Copies the chunks into `bytes`, one behind the other. */
function put(chunks: readonly Uint8Array[], bytes: Uint8Array, at: number): Uint8Array {
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** A frame that is a whole message, in memory of its own; `mask`, 32 unpredictable bits, makes it a client's. */
export function encodeFrame(opcode: number, chunks: readonly Uint8Array[], mask?: number): Uint8Array {
  const length = lengthOf(chunks);
  const masked = mask !== undefined;
  const header = 2 + (length < 126 ? 0 : length < 65_536 ? 2 : 8) + (masked ? 4 : 0);
  // So that the payload stands at a multiple of four, and is masked in words.
  const pad = -header & 3;
  const start = pad + header;
  const bytes = Buffer.allocUnsafe(start + length);
  bytes[pad] = 0x80 | opcode;
  bytes[pad + 1] = (masked ? 0x80 : 0) | (length < 126 ? length : length < 65_536 ? 126 : 127);
  if (length >= 65_536) {
    bytes.writeUInt32BE(Math.floor(length / 2 ** 32), pad + 2);
    bytes.writeUInt32BE(length >>> 0, pad + 6);
  } else if (length >= 126) bytes.writeUInt16BE(length, pad + 2);
  put(chunks, bytes, start);
  if (masked) applyMask(bytes, start, mask);
  return bytes.subarray(pad);
}

/** Writes the mask before `start`, which is a multiple of four, and applies it to all that follows. */
function applyMask(bytes: Buffer, start: number, mask: number): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset + start - 4, (bytes.length - start + 4) >> 2);
  words[0] = mask;
  const word = words[0] as number;
  for (let i = 1; i < words.length; i++) words[i] = (words[i] as number) ^ word;
  const tail = start + ((words.length - 1) << 2);
  for (let i = tail; i < bytes.length; i++) bytes[i] = (bytes[i] as number) ^ (bytes[start - 4 + (i - tail)] as number);
}

/** The payload of a close frame. */
export function closePayload(code: number): Uint8Array {
  return Uint8Array.of(code >> 8, code & 0xff);
}
