/**
 * Time, injected: the client reads no clock and starts no timer but through this.
 *
 * Invariant: `now` never runs backwards and knows no time zone or clock correction; only `wallTime` does.
 */

/** A pending timer; what it is belongs to the clock that made it. */
export type Timer = unknown;

export interface Clock {
  /** Monotonic, ms; the origin is arbitrary. */
  now(): number;
  /** ms since the epoch, as the operating system believes it. */
  wallTime(): number;
  /**
   * Calls back once after `delay` ms, or earlier where the delay is longer than the platform's longest timer.
   */
  setTimer(callback: () => void, delay: number): Timer;
  clearTimer(timer: Timer): void;
}

/** setTimeout fires at once above this; whoever sets a timer looks at the time again when it fires anyway. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/** The process's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  setTimer: (callback, delay) => setTimeout(callback, Math.min(Math.ceil(delay), LONGEST_TIMEOUT)),
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
