/**
 * What is on its way out of one connection.
 *
 * Invariants: bytes leave in the order in which they came; what a call of `write` brings leaves as one write as long as
 * little waits, and in slices, one ahead of the network, when much does; no byte is copied, and what has left is not
 * held.
 */
import type { Duplex } from "node:stream";

/** Bytes that wait for the network above which the owner holds its output back. */
const HIGH_WATER = 256 * 1024;
/** Of what waits, bytes that are handed on at a time: each slice that the network takes is a sign of life. */
const SLICE = 64 * 1024;
const NOTHING = new Uint8Array(0);

/** What the owner hears. */
export interface OutputEvents {
  /** The network took a part of what had to wait. */
  progress(): void;
  /** `write` returned false before, and there is room again. */
  writable(): void;
}

/** Frames around what leaves. */
export interface OutputFraming {
  /** Frames of what leaves together. */
  wrap(chunks: readonly Uint8Array[]): Uint8Array[];
  /** The last frame; the stream is ended by the other side's. */
  goodbye(): Uint8Array;
}

export class Output {
  readonly #stream: Duplex;
  readonly #events: OutputEvents;
  readonly #framing: OutputFraming | undefined;
  /** Made when output has to wait for the first time. */
  #onTaken: ((error?: Error | null) => void) | undefined;
  readonly #onMoved = (error?: Error | null): void => (error ? undefined : this.#events.progress());
  /** Not handed on yet; `#at` is the first of it. */
  #waiting: Uint8Array[] = [];
  #at = 0;
  #waitingBytes = 0;
  /** Slices that the stream has and the network has not taken. */
  #handed = 0;
  #blocked = false;
  #control: Uint8Array | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(stream: Duplex, events: OutputEvents, framing?: OutputFraming) {
    this.#stream = stream;
    this.#events = events;
    this.#framing = framing;
  }

  /** Sends the chunks, which must not change any more. False: hold further output until `writable`. */
  write(chunks: readonly Uint8Array[]): boolean {
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    if (this.#waitingBytes === 0 && this.#stream.writableLength + bytes < HIGH_WATER) {
      // Much takes its time on a slow line: that it has left is a sign of life.
      this.#send(chunks, this.#stream.writableLength + bytes >= SLICE ? this.#onMoved : undefined);
      return true;
    }
    for (const chunk of chunks) this.#waiting.push(chunk);
    this.#waitingBytes += bytes;
    this.#handOn();
    this.#blocked = true;
    return false;
  }

  /** Sends a whole frame between others. While much waits only the newest of them does. */
  control(frame: Uint8Array): void {
    this.#control = frame;
    this.#sendControl();
  }

  /** Calls back when the network has taken everything; nothing may be written after that. */
  end(done: () => void): void {
    this.#onEmpty = () => {
      this.#attempt(() => {
        if (this.#framing === undefined) this.#stream.end(done);
        else this.#stream.write(this.#framing.goodbye(), done);
      });
    };
    if (this.#waitingBytes === 0) this.#onEmpty();
  }

  #sendControl(): void {
    const frame = this.#control;
    if (frame === undefined) return;
    const room = this.#stream.writableLength < HIGH_WATER;
    // With a slice on its way there will be a later occasion.
    if (!room && this.#handed > 0) return;
    this.#control = undefined;
    if (!room) this.#handed++;
    this.#attempt(() => this.#stream.write(frame, room ? undefined : this.#whenTaken));
  }

  /** Keeps one slice ahead of the one that the network is taking. */
  #handOn(): void {
    while (this.#waitingBytes > 0 && this.#handed < 2) {
      this.#handed++;
      this.#send(this.#slice(), this.#whenTaken);
    }
    // Stryker disable next-line ConditionalExpression,EqualityOperator: memory only, as is what follows.
    if (this.#waitingBytes === 0) this.#waiting = [];
    else {
      // Stryker disable next-line ConditionalExpression,EqualityOperator: as above.
      if (this.#at <= 1_024) return;
      this.#waiting.splice(0, this.#at);
    }
    this.#at = 0;
  }

  /** Takes the next slice from what waits. */
  #slice(): Uint8Array[] {
    const parts: Uint8Array[] = [];
    let room = Math.min(SLICE, this.#waitingBytes);
    this.#waitingBytes -= room;
    while (room > 0) {
      const chunk = this.#waiting[this.#at] as Uint8Array;
      // Stryker disable next-line EqualityOperator: an empty rest would go with the next slice.
      const whole = chunk.length <= room;
      const part = whole ? chunk : chunk.subarray(0, room);
      this.#waiting[this.#at] = whole ? NOTHING : chunk.subarray(room);
      if (whole) this.#at++;
      room -= part.length;
      parts.push(part);
    }
    return parts;
  }

  /** As one write; calls back when the network has taken all of it. */
  #send(payload: readonly Uint8Array[], taken?: (error?: Error | null) => void): void {
    this.#attempt(() => this.#write(payload, taken));
  }

  /** A caller's stream may throw where others fail: its owner hears of it as of any failure. */
  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#stream.destroy(error as Error);
    }
  }

  #write(payload: readonly Uint8Array[], taken?: (error?: Error | null) => void): void {
    const stream = this.#stream;
    const chunks = this.#framing === undefined ? payload : this.#framing.wrap(payload);
    const last = chunks.length - 1;
    if (last > 0) stream.cork();
    for (let i = 0; i < last; i++) stream.write(chunks[i]);
    if (last >= 0) stream.write(chunks[last], taken);
    // Stryker disable next-line ConditionalExpression,EqualityOperator: what is not corked stays as it is.
    if (last > 0) stream.uncork();
  }

  get #whenTaken(): (error?: Error | null) => void {
    return (this.#onTaken ??= (error) => this.#taken(error));
  }

  #taken(error: Error | null | undefined): void {
    this.#handed--;
    // The stream is gone, and its owner knows.
    if (error) return;
    this.#sendControl();
    this.#handOn();
    this.#events.progress();
    if (this.#waitingBytes > 0) return;
    this.#onEmpty?.();
    this.#onEmpty = undefined;
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#events.writable();
  }
}
