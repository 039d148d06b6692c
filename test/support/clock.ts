/** A clock that moves only when it is told to. The wall clock may be moved on its own (`wallOffset`), as users do. */
import type { Clock } from "../../src/clock.js";

interface FakeTimer {
  at: number;
  callback: () => void;
}

export class FakeClock implements Clock {
  #now = 1_000;
  readonly #timers = new Set<FakeTimer>();
  /** Delays asked for, oldest first. */
  readonly delays: number[] = [];
  /** What is added to the time since the start to make the wall clock's time. */
  wallOffset: number;

  /** The wall clock stands at `wallTime`, ms since the epoch, in the beginning. */
  constructor(wallTime = 1_700_000_001_000) {
    this.wallOffset = wallTime - this.#now;
  }

  /** Timers that are set; a leak shows here. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return this.wallOffset + this.#now;
  }

  setTimer(callback: () => void, delay: number): FakeTimer {
    this.delays.push(delay);
    const timer = { at: this.#now + delay, callback };
    this.#timers.add(timer);
    return timer;
  }

  clearTimer(timer: unknown): void {
    this.#timers.delete(timer as FakeTimer);
  }

  /** Time at which the next timer fires; Infinity without one. */
  get next(): number {
    return Math.min(...[...this.#timers].map(({ at }) => at));
  }

  /** Moves the time on by `ms`, and fires on the way what comes due, each at its own time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    while (this.next <= end) {
      const timer = [...this.#timers].reduce((first, other) => (other.at < first.at ? other : first));
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, timer.at);
      timer.callback();
    }
    this.#now = end;
  }
}
