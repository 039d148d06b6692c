/**
 * One simulated connection: the client's end is a Duplex, the server's end two methods; between them two pipes that
 * delay, split, slow down, stall, fill up, and end in the middle of a packet.
 *
 * Invariants: bytes arrive whole, once and in order, up to the point where the line is cut; the client's `write` calls
 * back when the network has taken the bytes; what the client does not read stays in the network.
 */
import { Duplex } from "node:stream";
import type { Scheduler } from "./scheduler.js";

export interface Conditions {
  /** ms for each direction. */
  latency: number;
  /** Bytes a millisecond towards the server. */
  rate: number;
  /** Bytes that the network takes towards the server before it makes the client wait. */
  capacity: number;
  /** Sizes of the chunks that the client gets, over and over; empty: as much as there is. */
  pieces: readonly number[];
}

/** What the server hears. */
export interface ServerEnd {
  received(bytes: Uint8Array): void;
  closed(): void;
}

/** The largest chunk that a read delivers, as with a real socket. */
const READ = 65_536;
/** Above this, splitting into a few bytes each would only take time. */
const WORTH_SPLITTING = 4_096;
/** Bytes that wait for the network from which on the client can tell that some were taken. */
const BACKLOG = 100_000;
/** ms between two deliveries of a line with a limited rate. */
const PULSE = 100;

/** Bytes on their way in one direction. */
class Pipe {
  readonly #scheduler: Scheduler;
  readonly #conditions: () => { latency: number; rate: number };
  /** False: no more until `resume`. */
  readonly #deliver: (bytes: Uint8Array) => boolean;
  readonly #over: () => void;
  #queue: Uint8Array[] = [];
  #scheduled = false;
  #full = false;
  #ended = false;
  #gone = false;
  #stalledUntil = 0;
  #allowed = Infinity;
  /** Bytes not delivered yet. */
  bytes = 0;
  /** When bytes were last delivered. */
  movedAt = 0;

  constructor(
    scheduler: Scheduler,
    conditions: () => { latency: number; rate: number },
    deliver: (bytes: Uint8Array) => boolean,
    over: () => void,
  ) {
    this.#scheduler = scheduler;
    this.#conditions = conditions;
    this.#deliver = deliver;
    this.#over = over;
  }

  write(bytes: Uint8Array): void {
    if (this.#ended || this.#gone || bytes.length === 0) return;
    this.#queue.push(bytes);
    this.bytes += bytes.length;
    this.#schedule(this.#conditions().latency);
  }

  /** The other end learns of it after all that is on its way. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#schedule(this.#conditions().latency);
  }

  resume(): void {
    if (!this.#full) return;
    this.#full = false;
    this.#schedule(0);
  }

  stall(until: number): void {
    this.#stalledUntil = until;
    if (until > this.#scheduler.now() || (this.#queue.length === 0 && !this.#ended)) return;
    // What is scheduled may be for the end of the stall that has just been lifted.
    this.#scheduled = false;
    this.#schedule(0);
  }

  /** Nothing more gets through, and nobody is told. */
  vanish(): void {
    this.#gone = true;
    this.#queue = [];
    this.bytes = 0;
  }

  /** The line breaks after so many further bytes. */
  breakAfter(bytes: number): void {
    this.#allowed = bytes;
  }

  get broken(): boolean {
    return this.#allowed === 0;
  }

  #schedule(delay: number): void {
    if (this.#scheduled || this.#full || this.#gone) return;
    this.#scheduled = true;
    this.#scheduler.after(delay, () => this.#pump());
  }

  #pump(): void {
    this.#scheduled = false;
    if (this.#gone) return;
    const now = this.#scheduler.now();
    if (now < this.#stalledUntil) return this.#schedule(this.#stalledUntil - now);
    let budget = Math.min(this.#conditions().rate * PULSE, this.#allowed);
    while (budget > 0 && this.#queue.length > 0 && !this.#full) {
      const bytes = this.#take(budget);
      budget -= bytes.length;
      this.#allowed -= bytes.length;
      this.bytes -= bytes.length;
      this.movedAt = now;
      if (!this.#deliver(bytes)) this.#full = true;
      if (this.#gone) return;
      // One read in one turn of the event loop: what it brought is answered before the next.
      if (bytes.length === READ && this.#allowed > 0) return this.#schedule(0);
    }
    if (this.#allowed === 0) return this.#over();
    if (this.#full) return;
    if (this.#queue.length > 0) this.#schedule(PULSE);
    else if (this.#ended) this.#over();
  }

  #take(limit: number): Uint8Array {
    let all = this.#queue.length === 1 ? this.#queue[0]! : Buffer.concat(this.#queue);
    this.#queue = [];
    const most = Math.min(limit, READ);
    if (all.length > most) {
      this.#queue.push(all.subarray(most));
      all = all.subarray(0, most);
    }
    return all;
  }
}

export class Line {
  readonly end: ClientEnd;
  readonly openedAt: number;
  /** The server's; set when it has accepted the connection. */
  server: ServerEnd | undefined;
  conditions: Conditions;
  #pushed = 0;
  /** Bytes that the server has sent. */
  sent = 0;
  /** Bytes that the network has taken from the client. */
  taken = 0;
  #offered = 0;
  /** Chunks that the client got. */
  chunks = 0;
  /** When the peer vanished without a word; Infinity: it has not. */
  deadSince = Infinity;
  /** The client has ended or destroyed its side. */
  left = false;
  readonly #scheduler: Scheduler;
  readonly #up: Pipe;
  readonly #down: Pipe;
  #piece = 0;
  #waiting: (() => void) | undefined;
  #drainedAt = 0;
  #over = false;

  constructor(scheduler: Scheduler, conditions: Conditions) {
    this.#scheduler = scheduler;
    this.conditions = conditions;
    this.openedAt = scheduler.now();
    this.#up = new Pipe(
      scheduler,
      () => this.conditions,
      (bytes) => this.#arrived(bytes),
      () => this.#upOver(),
    );
    this.#down = new Pipe(
      scheduler,
      () => ({ latency: this.conditions.latency, rate: Infinity }),
      (bytes) => this.#push(bytes),
      () => this.#downOver(),
    );
    this.end = new ClientEnd(this, scheduler);
  }

  /** Bytes that the client has taken from the stream. */
  get consumed(): number {
    return this.#pushed - this.end.readableLength;
  }

  /** When the client last saw that bytes move: some arrived, or some of a large backlog was taken. */
  get progressAt(): number {
    return Math.max(this.openedAt, this.#drainedAt, this.#down.movedAt);
  }

  /** Nothing can reach the client any more. */
  get over(): boolean {
    return this.#over || this.end.destroyed;
  }

  // --- the server's side

  send(bytes: Uint8Array): void {
    if (this.#over) return;
    this.sent += bytes.length;
    this.#down.write(bytes);
  }

  /** The server closes: what it has sent arrives first. */
  close(): void {
    this.server = undefined;
    this.#down.end();
  }

  // --- the network's faults

  /** Both ends learn of it at once. */
  reset(code = "ECONNRESET"): void {
    if (this.#over) return;
    this.#over = true;
    this.#scheduler.touch();
    this.#up.vanish();
    this.#down.vanish();
    // First: it was not the client that left.
    this.#serverClosed();
    this.end.destroy(Object.assign(new Error("reset by the simulated network"), { code }));
  }

  /** Nothing arrives any more, and nobody is told. */
  vanish(): void {
    if (this.#over) return;
    this.deadSince = Math.min(this.deadSince, this.#scheduler.now());
    this.#up.stall(Infinity);
    this.#down.vanish();
    this.#serverClosed();
  }

  stall(way: "up" | "down" | "both", ms: number): void {
    // A peer that has vanished takes nothing more, however long the line halts.
    if (this.deadSince < Infinity) return;
    const until = this.#scheduler.now() + ms;
    if (way !== "down") this.#up.stall(until);
    if (way !== "up") this.#down.stall(until);
  }

  breakAfter(way: "up" | "down", bytes: number): void {
    (way === "up" ? this.#up : this.#down).breakAfter(bytes);
  }

  /** The faults of the network end; a peer that has vanished is at last known to be gone. */
  heal(conditions: Conditions): void {
    this.conditions = conditions;
    if (this.deadSince < Infinity) return this.reset();
    this.#up.stall(0);
    this.#down.stall(0);
    this.#up.breakAfter(Infinity);
    this.#down.breakAfter(Infinity);
  }

  // --- the client's side

  write(bytes: Uint8Array, done: () => void): void {
    if (this.#over) return done();
    this.#up.write(bytes);
    this.#offered += bytes.length;
    if (this.#up.bytes > this.conditions.capacity) {
      this.#waiting = done;
      return;
    }
    this.taken = this.#offered;
    done();
  }

  finish(): void {
    this.left = true;
    this.#up.end();
  }

  wanted(): void {
    this.#down.resume();
  }

  destroyed(): void {
    this.left = true;
    this.#down.vanish();
    this.#up.end();
  }

  // --- inside

  #arrived(bytes: Uint8Array): boolean {
    this.server?.received(bytes);
    if (this.#waiting && this.#up.bytes <= this.conditions.capacity) {
      this.#scheduler.touch();
      const done = this.#waiting;
      this.#waiting = undefined;
      this.taken = this.#offered;
      if (this.end.writableLength > BACKLOG) this.#drainedAt = this.#scheduler.now();
      done();
    }
    return true;
  }

  #push(bytes: Uint8Array): boolean {
    this.#scheduler.touch();
    const { pieces } = this.conditions;
    let room = true;
    for (let start = 0; start < bytes.length;) {
      const split = pieces.length > 0 && bytes.length <= WORTH_SPLITTING;
      const size = split ? pieces[this.#piece++ % pieces.length]! : bytes.length;
      // Memory of its own, as a socket's: what pins it shows.
      const chunk = Buffer.from(new Uint8Array(bytes.subarray(start, (start += size))).buffer);
      if (this.end.destroyed) return true;
      this.#pushed += chunk.length;
      this.chunks++;
      room = this.end.push(chunk);
    }
    return room;
  }

  #upOver(): void {
    if (this.#up.broken) return this.reset();
    this.#serverClosed();
    if (this.end.destroyed) this.#over = true;
    else this.#down.end();
  }

  #downOver(): void {
    if (this.#down.broken) return this.reset();
    this.#scheduler.touch();
    this.end.push(null);
  }

  #serverClosed(): void {
    const { server } = this;
    this.server = undefined;
    server?.closed();
  }
}

/** What the client gets from `createConnection`. */
export class ClientEnd extends Duplex {
  readonly line: Line;
  readonly #scheduler: Scheduler;

  constructor(line: Line, scheduler: Scheduler) {
    super({ allowHalfOpen: false, readableHighWaterMark: READ });
    this.line = line;
    this.#scheduler = scheduler;
  }

  override _read(): void {
    this.line.wanted();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.#scheduler.touch();
    this.line.write(chunk, done);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: () => void): void {
    this.#scheduler.touch();
    this.line.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: () => void): void {
    this.#scheduler.touch();
    this.line.finish();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#scheduler.touch();
    this.line.destroyed();
    done(error);
  }
}
