/**
 * Simulated time: the clock of the client and of everything around it.
 *
 * Invariants: time moves only in `advance`, from one event to the next, and only when the process is at rest: every
 * promise, tick and immediate that an event started has run. Events of the same time run in the order in which they were
 * asked for. Nothing here reads the machine's clock, so a run takes no time and repeats exactly.
 */
import type { Clock } from "../../src/clock.js";

export interface Event {
  at: number;
  order: number;
  run: (() => void) | undefined;
}

/** Rounds of the event loop without any change after which the process is at rest. */
const QUIET = 2;
const START = 1_000;
const round = (): Promise<void> => new Promise((done) => setImmediate(done));

export class Scheduler implements Clock {
  /** Events run. */
  steps = 0;
  /** Timers of the client that are set: 0 when it has been closed. */
  timers = 0;
  readonly #heap: Event[] = [];
  #now = START;
  #order = 0;
  #changes = 0;
  /** The changes after which the process was last at rest. */
  #settled = 0;

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return 1_700_000_000_000 + this.#now;
  }

  setTimer(callback: () => void, delay: number): Event {
    this.touch();
    this.timers++;
    return this.after(Math.max(0, delay), () => {
      this.timers--;
      this.touch();
      callback();
    });
  }

  clearTimer(timer: unknown): void {
    const event = timer as Event | undefined;
    if (event?.run) this.timers--;
    this.cancel(event);
  }

  /** Something happened that the client may answer to: time stands still until it has. */
  touch(): void {
    this.#changes++;
  }

  /** Runs `run` in `delay` ms. */
  after(delay: number, run: () => void): Event {
    const event = { at: this.#now + delay, order: this.#order++, run };
    this.#push(event);
    return event;
  }

  cancel(event: Event | undefined): void {
    if (event) event.run = undefined;
  }

  /** Waits until the process is at rest. */
  async settle(): Promise<void> {
    let seen = this.#changes;
    for (let quiet = 0; quiet < QUIET;) {
      await round();
      quiet = seen === this.#changes ? quiet + 1 : 0;
      seen = this.#changes;
    }
    this.#settled = seen;
  }

  /**
   * Runs what comes due up to `end`, or up to the first moment at which `over` says so. `after` is called whenever the
   * process has come to rest.
   */
  async advance(end: number, rested: () => void, over: () => boolean = () => false): Promise<void> {
    if (this.#settled !== this.#changes) {
      await this.settle();
      rested();
    }
    while (!over()) {
      const event = this.#heap[0];
      if (event === undefined || event.at > end) {
        this.#now = Math.max(this.#now, Math.min(end, Number.MAX_SAFE_INTEGER));
        return;
      }
      this.#pop();
      if (event.run === undefined) continue;
      this.#now = event.at;
      const before = this.#changes;
      const { run } = event;
      event.run = undefined;
      this.steps++;
      run();
      if (before === this.#changes) continue;
      await this.settle();
      rested();
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    const { length } = heap;
    if (length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= length) break;
      if (child + 1 < length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

const before = (one: Event, other: Event): boolean =>
  one.at < other.at || (one.at === other.at && one.order < other.order);
