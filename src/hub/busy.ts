/** Handlers of the user that are at work: a planned reconnect lets them finish, within bounds. */
import { type Clock, setAlarm } from "../clock.js";

export class Busy {
  readonly #running = new Set<Promise<unknown>>();

  add(work: Promise<unknown>): void {
    const done = (): boolean => this.#running.delete(work);
    this.#running.add(work);
    work.then(done, done);
  }

  /** Resolves when those that are at work now have settled, or `patience` ms have passed. */
  async settled(clock: Clock, patience: number): Promise<void> {
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => (cancel = setAlarm(clock, patience, resolve)));
    await Promise.race([late, Promise.allSettled(this.#running)]);
    cancel();
  }
}
