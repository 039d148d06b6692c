/**
 * Time, injected: nothing reads a clock or starts a timer but through this.
 *
 * Invariant: `now` never runs backwards and knows no time zone or clock correction; only `wallTime` does.
 */

/** A pending timer; what it is belongs to the clock that made it. */
export type Timer = unknown;

/** Where the time and all timers come from; tests give one of their own. */
export interface Clock {
  /** Monotonic, ms; the origin is arbitrary. */
  now(): number;
  /** ms since the epoch, as the operating system believes it. */
  wallTime(): number;
  /**
   * Calls back once after `delay` ms, or earlier where the delay is longer than the platform's longest timer.
   */
  setTimer(callback: () => void, delay: number): Timer;
  /** Cancels a timer of this clock; ignored for one that has fired. */
  clearTimer(timer: Timer): void;
}

/** setTimeout fires at once above this, ms. */
export const LONGEST_TIMER = 2_147_483_647;

/** The process's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  setTimer: (callback, delay) => setTimeout(callback, Math.min(Math.ceil(delay), LONGEST_TIMER)),
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

/**
 * One timer that always aims at the earliest time wanted. Setting it to a later time costs nothing: the old
 * timer fires, finds nothing due and is set again, so it may be moved for every packet.
 */
export class Alarm {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  readonly #onTimer = (): void => this.#fired();
  #timer: Timer;
  #armedFor = Infinity;
  #due = Infinity;

  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Calls back at `due` on the monotonic clock; Infinity turns the alarm off. */
  set(due: number): void {
    this.#due = due;
    if (due === Infinity) this.#disarm();
    else if (due < this.#armedFor) this.#arm();
  }

  stop(): void {
    this.set(Infinity);
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#clock.clearTimer(this.#timer);
    this.#timer = undefined;
    this.#armedFor = Infinity;
  }

  #arm(): void {
    this.#disarm();
    const delay = Math.max(0, this.#due - this.#clock.now());
    this.#armedFor = this.#due;
    this.#timer = this.#clock.setTimer(this.#onTimer, Math.min(delay, LONGEST_TIMER));
  }

  #fired(): void {
    this.#timer = undefined;
    this.#armedFor = Infinity;
    if (this.#clock.now() < this.#due) return this.#arm();
    this.#due = Infinity;
    this.#onDue();
  }
}

/** Calls back once, `delay` ms from now, however long that is. Returns what cancels it. */
export function setAlarm(clock: Clock, delay: number, callback: () => void): () => void {
  const alarm = new Alarm(clock, callback);
  alarm.set(clock.now() + Math.max(0, delay));
  return () => alarm.stop();
}
