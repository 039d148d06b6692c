/**
 * One connection, or attempt at one, as its owner sees it.
 *
 * Invariants: `opened` is reported at most once and `closed` at most once, in that order, and nothing after
 * `closed`; an owner that calls `destroy` hears nothing more. While paused nothing is delivered, but for what is in hand
 * when the peer ends the connection. A stream never emits an `error` that nobody hears.
 */
import type { Duplex } from "node:stream";
import type { HubwireError } from "../errors.js";
import { dial, type Line } from "./dial.js";
import type { Endpoint } from "./endpoint.js";
import { explainFailure } from "./failures.js";
import { Output, type OutputEvents } from "./output.js";
import type { TlsSessions } from "./tls-sessions.js";

export type { CreateConnectionOptions, Endpoint } from "./endpoint.js";
export { TlsSessions } from "./tls-sessions.js";

/** What a connection tells its owner. */
export interface ConnectionSink {
  /** Bytes of MQTT can flow: TLS is verified, the WebSocket open. */
  opened(): void;
  /** MQTT bytes from the peer: the receiver's to keep. */
  received(chunk: Uint8Array): void;
  /** `write` returned false before, and there is room again. */
  writable(): void;
  /**
   * The network took a part of output that had to wait for it: a sign of life of the peer. Not told for output that
   * leaves at once, which a dead peer's network would take too.
   */
  progress(): void;
  /** All was written after `end`; what is left is the peer's own end. */
  flushed(): void;
  /** The connection is gone; no error where `end` asked for it. */
  closed(error: HubwireError | undefined): void;
}

/**
 * Bytes that are still read while paused, and kept: so that the end of a peer that has sent little is noticed.
 */
const HELD = 64 * 1024;

export class Connection implements OutputEvents {
  readonly #sessions: TlsSessions;
  /** Where to connect to, until that has begun. */
  #endpoint: Endpoint | undefined;
  /** Ends the attempt; afterwards the caller's own stream may still listen to its signal. */
  #abort: AbortController | undefined;
  #sink: ConnectionSink | undefined;
  #stream: Duplex | undefined;
  #output: Output | undefined;
  /** Called with the first bytes of the peer. */
  #proven: (() => void) | undefined;
  #paused = false;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #ending = false;

  constructor(endpoint: Endpoint, sink: ConnectionSink, sessions: TlsSessions) {
    this.#endpoint = endpoint;
    this.#sink = sink;
    this.#sessions = sessions;
  }

  /** Starts to connect. */
  open(): void {
    const endpoint = this.#endpoint!;
    const abort = new AbortController();
    this.#endpoint = undefined;
    this.#abort = abort;
    void dial(endpoint, this.#sessions, abort.signal).then(
      (line) => {
        // An idle client is to keep nothing of what an attempt needs.
        // Stryker disable next-line ConditionalExpression: memory only.
        if (!endpoint.createConnection) this.#abort = undefined;
        this.#attach(line);
      },
      (error: HubwireError) => this.#over(error),
    );
  }

  /**
   * Sends all chunks, which are not copied and must not change any more; only after `opened`. They leave as one write, or
   * in slices where they are large. False: hold further output until `writable`.
   */
  write(chunks: readonly Uint8Array[]): boolean {
    return (this.#output as Output).write(chunks);
  }

  /** Delivers nothing more until `resume`. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    // The receiver of one chunk may pause again.
    for (const chunk of held) this.#received(chunk);
    if (!this.#paused) this.#stream?.resume();
  }

  /** Sends what was written, closes, and reports `closed` without an error when the peer has closed as well. */
  end(): void {
    this.#ending = true;
    this.resume();
    this.#output?.end(() => this.#sink?.flushed());
  }

  /** Closes at once and reports nothing more. */
  destroy(): void {
    this.#sink = undefined;
    // Stryker disable next-line ArrayDeclaration: memory only; nobody hears of it any more.
    this.#held = [];
    // Each abort makes an exception with its stack, heard or not.
    if (this.#abort?.signal.aborted === false) this.#abort.abort();
    this.#stream?.destroy();
  }

  /** See `OutputEvents`. */
  progress(): void {
    this.#sink?.progress();
  }

  /** See `OutputEvents`. */
  writable(): void {
    this.#sink?.writable();
  }

  #attach({ stream, framing, proven }: Line): void {
    const sink = this.#sink;
    if (sink === undefined) {
      stream.destroy();
      return;
    }
    this.#stream = stream;
    this.#proven = proven;
    const output = new Output(stream, this, framing);
    this.#output = output;
    framing?.attach({
      received: (bytes) => this.#received(bytes),
      answer: (frame) => output.control(frame),
      closed: (error, frame) => this.#dismissed(error, frame),
    });
    stream.on("error", (error) => this.#lost(error));
    stream.on("end", () => this.#ended());
    stream.on("close", () => this.#lost(undefined));
    if (stream.destroyed || stream.readableEnded) {
      this.#lost(stream.errored ?? undefined);
      return;
    }
    sink.opened();
    stream.on("data", framing ? (chunk: Uint8Array) => framing.push(chunk) : (chunk) => this.#received(chunk));
    // What came with the answer to the upgrade.
    framing?.push(framing.rest);
    // A handshake below, or the caller, may have left it paused.
    if (this.#heldBytes < HELD) stream.resume();
  }

  #received(chunk: Uint8Array): void {
    if (this.#paused) {
      this.#held.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#heldBytes >= HELD) this.#stream!.pause();
      return;
    }
    if (this.#proven !== undefined) {
      this.#proven();
      this.#proven = undefined;
    }
    this.#sink?.received(chunk);
  }

  /** The WebSocket is over; `frame` is the last word, as far as the network takes it at once. */
  #dismissed(error: HubwireError, frame: Uint8Array): void {
    if (this.#sink === undefined) return;
    if (!this.#ending) this.#stream!.write(frame);
    this.#deliverHeld();
    this.#over(error);
  }

  /** The peer sends no more. */
  #ended(): void {
    this.#deliverHeld();
    this.#lost(undefined);
  }

  /** The end of the connection does not wait for the receiver. */
  #deliverHeld(): void {
    for (const chunk of this.#held.splice(0)) this.#sink?.received(chunk);
  }

  #lost(error: unknown): void {
    this.#over(explainFailure(error, "the connection", "open"));
  }

  #over(error: HubwireError): void {
    const sink = this.#sink;
    this.destroy();
    sink?.closed(this.#ending ? undefined : error);
  }
}
