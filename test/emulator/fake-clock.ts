import type { Clock } from "../../src/emulator/index.js";

/** A clock that stands still until it is moved. The wall clock may be moved on its own, as users do. */
export class FakeClock implements Clock {
  #now = 1000;
  #wall = Date.now();
  #timers = new Map<number, { due: number; callback: () => void }>();
  #lastTimer = 0;
  /** Delays asked for, oldest first. */
  readonly delays: number[] = [];

  now(): number {
    return this.#now;
  }

  wallTime(): number {
    return this.#wall;
  }

  setTimer(callback: () => void, delay: number): unknown {
    this.delays.push(delay);
    this.#timers.set(++this.#lastTimer, { due: this.#now + delay, callback });
    return this.#lastTimer;
  }

  clearTimer(timer: unknown): void {
    this.#timers.delete(timer as number);
  }

  get timers(): number {
    return this.#timers.size;
  }

  /** Moves time on, firing what falls due in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [id, timer] = [...this.#timers].sort((a, b) => a[1].due - b[1].due)[0] ?? [];
      if (id === undefined || timer === undefined || timer.due > end) break;
      this.#step(timer.due - this.#now);
      this.#timers.delete(id);
      timer.callback();
    }
    this.#step(end - this.#now);
  }

  setWallTime(ms: number): void {
    this.#wall = ms;
  }

  #step(ms: number): void {
    this.#now += ms;
    this.#wall += ms;
  }
}
