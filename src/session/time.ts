/**
 * The session's idea of time: what it is now, and when it has to be looked at next.
 *
 * Invariant: `due` is never later than the earliest deadline; it may be earlier, and a look then finds nothing to do. So
 * the hot paths never take a deadline back.
 */
export class Time {
  /** ms, of the call that is being served. */
  now = 0;
  due = Infinity;
  readonly #owner: { deadlineChanged(): void };

  /** `owner` hears that `due` moved to an earlier time. */
  constructor(owner: { deadlineChanged(): void }) {
    this.#owner = owner;
  }

  /** Whether `time` has come; where not, it will be looked at then. Inside a look at all deadlines. */
  isDue(time: number): boolean {
    if (time <= this.now) return true;
    if (time < this.due) this.due = time;
    return false;
  }

  /** Asks for a look at `time`. */
  schedule(time: number): void {
    if (time >= this.due) return;
    this.due = time;
    this.#owner.deadlineChanged();
  }
}
