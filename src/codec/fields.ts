/**
 * Reads the fields of the packets that are not hot: a cursor over one packet's bytes.
 *
 * Invariant: no read passes `end`; whatever is missing is ERR_MALFORMED_PACKET.
 */
import type { ErrorCode } from "../errors.js";
import { MALFORMED, fault } from "./fault.js";
import { readUtf8 } from "./utf8.js";

export class Fields {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  get more(): boolean {
    return this.#at < this.#end;
  }

  #take(length: number): number {
    const at = this.#at;
    if ((this.#at += length) > this.#end) throw fault(MALFORMED, "packet shorter than its fields");
    return at;
  }

  byte(): number {
    return this.#bytes[this.#take(1)]!;
  }

  word(): number {
    return word(this.#bytes, this.#take(2));
  }

  text(): string {
    const length = this.word();
    const at = this.#take(length);
    return readUtf8(this.#bytes, at, at + length);
  }

  /** A view, not a copy. */
  binary(): Uint8Array {
    const length = this.word();
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + this.#take(length), length);
  }
}

export function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

/** `packetId`. Throws `code` where it is 0: MQTT-2.3.1-1. */
export function nonZero(packetId: number, code: ErrorCode = MALFORMED): number {
  if (packetId === 0) throw fault(code, "packetId 0", "2.3.1-1");
  return packetId;
}
