/**
 * Bytes between the session and the connection, in both directions.
 *
 * Invariants: what one tick writes leaves as one write; while the socket is full no message is taken from the session;
 * nothing is read while too much of what was read waits in handlers and mailboxes, or while the answers to it cannot be
 * written (policy 10), but for a look that keep alive asks for.
 */
import type { Clock } from "../clock.js";
import type { Connection } from "../transport/connection.js";

/** What the flow asks of the session. */
export interface FlowSession {
  readonly outputBytes: number;
  readonly hasMore: boolean;
  takeOutput(): Uint8Array[];
  wrote(bytes: number): void;
  writable(ready: boolean, now: number): void;
  reading(on: boolean, now: number): void;
  progressed(now: number): void;
}

/** What the flow asks of its owner. */
export interface FlowOwner {
  /** How full handlers and mailboxes are: 1 is full. */
  load(): number;
  /** Calls the flow's `flush`, and does what else comes with it. */
  flush(): void;
}

/** Output that is written at once instead of at the end of the tick, bytes. */
const BATCH = 64 * 1024;
/** Answers that wait for a peer that does not read, bytes, above which nothing more is read from it. */
const ANSWERS = 256 * 1024;
/** What looks may add to what waits in handlers and mailboxes, as `load` counts: each takes in a chunk. */
const LOOKS = 1;

const flush = (owner: FlowOwner): void => owner.flush();

export class Flow {
  bytesReceived = 0;
  bytesSent = 0;
  readonly #session: FlowSession;
  readonly #clock: Clock;
  readonly #owner: FlowOwner;
  #connection: Connection | undefined;
  /** A write is to come in this tick. */
  #isFlushing = false;
  /** Bytes of payload handed to the session since the last write. */
  #unflushed = 0;
  #isBlocked = false;
  #isPaused = false;
  /** Reading although all is full, up to the next chunk. */
  // Stryker disable next-line BooleanLiteral: each connection begins with it.
  #isLooking = false;
  /** The load up to which there are looks, over what waited at the first of them; 0: there was none since all was full. */
  #lookUpTo = 0;
  #now = 0;

  constructor(session: FlowSession, clock: Clock, owner: FlowOwner) {
    this.#session = session;
    this.#clock = clock;
    this.#owner = owner;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** The time, looked at once a batch: of what is written, and of what waits for a full socket. */
  get now(): number {
    if (this.#isBlocked) this.wantsWrite();
    return this.#isFlushing ? this.#now : this.#clock.now();
  }

  attach(connection: Connection | undefined): void {
    this.#connection = connection;
    this.#isBlocked = this.#isPaused = this.#isLooking = false;
  }

  detach(): void {
    this.#connection?.destroy();
    this.attach(undefined);
  }

  // --- output ---

  /** The session has output. */
  wantsWrite(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    this.#now = this.#clock.now();
    // After the I/O callbacks and all promises of this turn: their answers share one write.
    setImmediate(flush, this.#owner);
  }

  /** A message of so many bytes was handed to the session. */
  accepted(bytes: number): void {
    this.#unflushed += bytes;
    if (this.#unflushed > BATCH) this.#owner.flush();
  }

  flush(): void {
    this.#isFlushing = false;
    this.#unflushed = 0;
    if (this.#isBlocked || this.#connection === undefined) return;
    if (this.#session.hasMore) this.#session.writable(true, this.#clock.now());
    const chunks = this.#session.takeOutput();
    if (chunks.length === 0) return;
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    this.bytesSent += bytes;
    this.#session.wrote(bytes);
    if (!this.#connection.write(chunks)) {
      this.#isBlocked = true;
      this.#session.writable(false, this.#clock.now());
    } else if (this.#session.hasMore) this.wantsWrite();
  }

  /** The socket takes more. */
  writable(): void {
    if (!this.#isBlocked) return;
    this.#isBlocked = false;
    this.#session.writable(true, this.#clock.now());
    this.#owner.flush();
    this.feel();
  }

  /** Writes what is left, whatever the socket says, and ends the connection. */
  end(): void {
    this.#isBlocked = false;
    this.flush();
    this.#isPaused = false;
    this.#connection?.end();
  }

  // --- input ---

  /** A chunk arrived. */
  received(bytes: number): void {
    this.bytesReceived += bytes;
    // Stryker disable next-line ConditionalExpression: what is paused would be paused once more.
    if (!this.#isLooking) return;
    this.#isLooking = false;
    // Behind all that the stream holds: of PINGRESPs that wait in it, one a look would make a dead peer live on.
    queueMicrotask(() => {
      // Stryker disable next-line OptionalChaining: without a connection nothing is paused.
      if (this.#isPaused && !this.#isLooking) this.#connection?.pause();
    });
  }

  /** Keep alive has to know whether anything is there. A peer that does not take its answers has to move first. */
  look(): void {
    if (!this.#isPaused || this.#isLooking || this.#isStuck) return;
    const load = this.#owner.load();
    this.#lookUpTo ||= load + LOOKS;
    // Looks brought so much that there is no room for more: the peer counts as alive until the system gives it up.
    if (load >= this.#lookUpTo) return this.#session.progressed(this.#clock.now());
    this.#isLooking = true;
    // Stryker disable next-line OptionalChaining: as above.
    this.#connection?.resume();
  }

  get #isStuck(): boolean {
    return this.#isBlocked && this.#session.outputBytes > ANSWERS;
  }

  /** Stops or resumes reading by how much waits. */
  feel(): void {
    if (this.#connection === undefined) return;
    const isFull = this.#owner.load() >= (this.#isPaused ? 0.5 : 1);
    if (!isFull) this.#lookUpTo = 0;
    const isPaused = isFull || this.#isStuck;
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    this.#isLooking = false;
    this.#session.reading(!isPaused, this.#clock.now());
    if (isPaused) this.#connection.pause();
    else this.#connection.resume();
  }
}
