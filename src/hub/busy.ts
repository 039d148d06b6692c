/**
 * Waiting for what is the user's: handlers, callbacks, and what they are asked for.
 *
 * Invariant: each wait has a bound, and `end` ends all of them, so that after `close()` nothing is pending and no timer is
 * left, whatever a handler does.
 */
import { type Clock, setAlarm } from "../clock.js";
import { closedError } from "../client/failures.js";
import type { HubwireError } from "../errors.js";

export class Busy {
  /** Handlers at work, which a planned reconnect lets finish. */
  readonly #running = new Set<Promise<unknown>>();
  readonly #ends = new Set<() => void>();

  add(work: Promise<unknown>): void {
    const done = (): boolean => this.#running.delete(work);
    this.#running.add(work);
    work.then(done, done);
  }

  /** Resolves when those that are at work now have settled, or `patience` ms have passed. */
  async settled(clock: Clock, patience: number): Promise<void> {
    const go = (): void => {};
    await this.within(clock, patience, Promise.allSettled(this.#running), closedError).then(go, go);
  }

  /** As `operation` does, but rejects with `late()` after `ms`, and with ERR_CLOSED at the `end`. */
  within<T>(clock: Clock, ms: number, operation: T | PromiseLike<T>, late: () => HubwireError): Promise<Awaited<T>> {
    return new Promise((resolve, reject) => {
      const work = Promise.resolve(operation);
      const over = (): void => {
        cancel();
        this.#ends.delete(end);
      };
      const fail = (error: unknown): void => {
        over();
        reject(error);
      };
      const end = (): void => fail(closedError());
      const cancel = setAlarm(clock, ms, () => fail(late()));
      this.#ends.add(end);
      work.then((value) => {
        over();
        resolve(value);
      }, fail);
    });
  }

  /** Nobody waits any more. */
  end(): void {
    for (const end of [...this.#ends]) end();
  }
}
