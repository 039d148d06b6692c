/** Collects what arrives, and lets a test wait for a number of things without polling. */
export class Inbox<T> {
  readonly items: T[] = [];
  #waiting: (() => void)[] = [];

  readonly put = (item: T): void => {
    this.items.push(item);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  };

  /** The first `count` items, as soon as there are so many. */
  async take(count: number): Promise<T[]> {
    while (this.items.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.items.slice(0, count);
  }

  /** The first item. */
  async first(): Promise<T> {
    return (await this.take(1))[0] as T;
  }
}
