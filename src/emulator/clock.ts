/**
 * Time as the emulator sees it; a test replaces it and moves it by hand.
 *
 * Invariant: nothing else in the emulator reads a clock or sets a timer, the validity of certificates apart.
 */
export interface Clock {
  /** Monotonic, milliseconds. */
  now(): number;
  /** Milliseconds since the epoch. */
  wallTime(): number;
  /** Calls back once after `delay` milliseconds. */
  setTimer(callback: () => void, delay: number): unknown;
  clearTimer(timer: unknown): void;
}

/** The longest delay that a Node.js timer can count; a longer one would fire at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  // The listening socket keeps the process alive, not what the hub waits for.
  setTimer: (callback, delay) => setTimeout(callback, delay).unref(),
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

/**
 * One timer that always aims at the earliest time wanted. Setting it to a later time costs nothing: the old
 * timer fires, finds nothing due and is set again, so it may be moved for every packet.
 */
export class Alarm {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  #timer: unknown;
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
    const now = this.#clock.now();
    this.#armedFor = this.#due;
    // Rounded up: a timer that fires early would be set again for a fraction of a millisecond.
    const delay = Math.min(Math.max(0, Math.ceil(this.#due - now)), LONGEST_TIMER);
    this.#timer = this.#clock.setTimer(() => this.#fired(), delay);
  }

  #fired(): void {
    this.#timer = undefined;
    this.#armedFor = Infinity;
    if (this.#clock.now() >= this.#due) {
      this.#due = Infinity;
      this.#onDue();
    } else {
      this.#arm();
    }
  }
}
