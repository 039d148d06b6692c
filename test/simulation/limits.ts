/**
 * Judges what no single call shows: memory held, connections left open or given up, silence that is not noticed.
 */
import type { Line } from "./line.js";
import type { ClientEvent } from "./program.js";
import { code } from "./subject.js";
import type { World } from "./world.js";

/** Bytes of output that may wait behind a peer that doesn't read, besides one message of the user's own. */
const OUTPUT = 1_048_576;
/** Bytes that may be read while the answers can't be written. */
const INPUT_WHILE_BLOCKED = 1_048_576;
/** Memory that messages in busy handlers may pin. */
const PINNED = 80 * 1_048_576;
const SLACK = 1_000;
/** Connections that end before a message is accused of it. */
const DOUBTS = 5;
/** Bytes a ms of a line that is slow and still one to wait for. */
const SLOW_LINE = 65;
/** The counters are looked at each so many-th time. */
const SAMPLE = 4;
/** Bytes in the stream's buffer from which on the client has to hold back. */
const BLOCKED = 256 * 1_024;

export class Limits {
  readonly #world: World;
  readonly #blocked = new Map<Line, number>();
  #connected = false;
  #rests = 0;
  #ends = 0;
  /** The one that the client is connected by. */
  #line: Line | undefined;

  constructor(world: World) {
    this.#world = world;
  }

  opened(line: Line): void {
    this.#watch(line);
  }

  /** A peer that says nothing any more is found out within two intervals, and what a slow line needs for what was sent. */
  #watch(line: Line): void {
    const { scheduler, program, report } = this.#world;
    const { keepAlive, connectTimeout } = program.options;
    if (keepAlive === 0) return;
    const patience = Math.max(2_000 * keepAlive + this.#world.largest / SLOW_LINE, connectTimeout) + SLACK;
    const look = (): void => {
      if (line.over || line.left) return;
      const { deadSince } = line;
      const now = scheduler.now();
      if (deadSince < Infinity && now >= deadSince + patience) {
        report.fail(`the peer is gone since ${deadSince.toFixed(0)} ms, and the client has not noticed`);
      }
      scheduler.after(deadSince < Infinity ? deadSince + patience - now : patience, look);
    };
    scheduler.after(patience, look);
  }

  event(event: ClientEvent, error: unknown): void {
    const { report, program, scheduler, arrivals } = this.#world;
    if (event === "connect") {
      report.check(!this.#connected, () => "a connect event while connected");
      this.#connected = true;
      this.#line = this.#world.broker.line;
    }
    if (event === "disconnect") {
      report.check(this.#connected, () => "a disconnect event while not connected");
      this.#connected = false;
      // A message that may be the cause of so many ends is held back, and others overtake it (policy 12).
      arrivals.unordered ||= ++this.#ends >= DOUBTS;
      const line = this.#line;
      if (code(error) !== "ERR_KEEP_ALIVE_TIMEOUT" || line === undefined) return;
      const quiet = scheduler.now() - line.progressAt;
      const least = program.options.keepAlive * 400;
      report.check(
        quiet >= least,
        () => `keep alive ended a connection on which bytes moved ${quiet.toFixed(0)} ms ago`,
      );
    }
  }

  rested(): void {
    const { report, lines, user } = this.#world;
    const line = lines.at(-1);
    if (line && !line.over) this.#look(line);
    let pinned = 0;
    for (const buffer of user.held.keys()) pinned += buffer.byteLength;
    report.check(pinned <= PINNED, () => `messages in busy handlers pin ${pinned} bytes`);
    // Looking at the counters costs as much as all the rest.
    if (this.#rests++ % SAMPLE === 0) this.#count();
  }

  #count(): void {
    const { client, program, report } = this.#world;
    const { queue, maxInflight } = program.options;
    const { queued, queuedBytes, inflight } = client.metrics;
    if (queue) {
      report.check(
        queued <= queue.maxCount + maxInflight,
        () => `${queued} messages queued, the bound is ${queue.maxCount}`,
      );
      const room = queue.maxBytes + maxInflight * 500_000;
      report.check(queuedBytes <= room, () => `${queuedBytes} bytes queued, the bound is ${queue.maxBytes}`);
    }
    report.check(inflight <= maxInflight, () => `${inflight} messages in flight`);
    report.check(queued >= 0 && queuedBytes >= 0 && inflight >= 0, () => "a counter is negative");
  }

  #look(line: Line): void {
    const { report } = this.#world;
    const waiting = line.end.writableLength;
    report.check(waiting <= OUTPUT + this.#world.largest, () => `${waiting} bytes of output wait`);
    if (waiting < BLOCKED) {
      this.#blocked.delete(line);
      return;
    }
    const consumed = line.consumed;
    const since = this.#blocked.get(line) ?? consumed;
    this.#blocked.set(line, since);
    report.check(
      consumed - since <= INPUT_WHILE_BLOCKED,
      () => `${consumed - since} bytes were read while the answers could not be written`,
    );
  }
}
