/**
 * Messages on their way from a source to the hub: paced, bounded, counted.
 *
 * Invariants: the next message is read only when there is room for it, so that a source which is faster than the hub
 * waits; the first failure ends the reading; what was read when it ends, by failure or signal, is waited for.
 */
import { setAlarm } from "../clock.js";
import { HubwireError } from "../errors.js";
import type { Io } from "./io.js";

/** Messages, and bytes of them, that wait for their acknowledgement at a time. */
const WINDOW = 1_000;
const WINDOW_BYTES = 4 * 1024 * 1024;
/** ms between two lines of progress. */
const PROGRESS = 250;

export interface Tally {
  acknowledged: number;
  /** Of all that were acknowledged. */
  bytes: number;
  /** Bytes of the last one. */
  last: number;
}

export interface PumpOptions {
  /** Messages a second. */
  rate: number | undefined;
  /** Messages after which the source is left alone. */
  count: number | undefined;
}

export class Pump {
  readonly tally: Tally = { acknowledged: 0, bytes: 0, last: 0 };
  readonly #io: Io;
  readonly #options: PumpOptions;
  #waiting = 0;
  #waitingBytes = 0;
  #read = 0;
  #failure: unknown;
  /** Ends the waiting for room, or for all to be over. */
  #wake: () => void = () => {};

  constructor(io: Io, options: PumpOptions) {
    this.#io = io;
    this.#options = options;
  }

  /** Resolves when everything was acknowledged, or `stop` ended it; rejects with the first failure, after the rest. */
  async run(source: AsyncIterable<Uint8Array>, send: (body: Uint8Array) => Promise<void>): Promise<void> {
    const { rate, count = Infinity } = this.#options;
    const endProgress = this.#showProgress();
    const pace = this.#pacer(rate);
    const iterator = source[Symbol.asyncIterator]();
    try {
      while (this.#read < count && !this.#over) {
        await pace();
        if (this.#over) break;
        const body = await this.#next(iterator);
        if (body === undefined) break;
        this.#read++;
        this.#send(body, send);
        await this.#until(() => this.#waiting < WINDOW && this.#waitingBytes < WINDOW_BYTES);
      }
    } catch (error) {
      this.#fail(error, this.#read + 1);
    }
    await this.#until(() => this.#waiting === 0);
    endProgress();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends the reading: nothing can be sent any more. */
  abandon(reason: HubwireError): void {
    this.#failure ??= reason;
    this.#wake();
  }

  get #over(): boolean {
    return this.#failure !== undefined || this.#io.stop.aborted;
  }

  /** The next body; undefined at the source's end, or when the reading is to end before it comes. */
  #next(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.#wake = () => this.#over && resolve(undefined);
      iterator.next().then(({ done, value }) => resolve(done ? undefined : value), reject);
    });
  }

  #send(body: Uint8Array, send: (body: Uint8Array) => Promise<void>): void {
    const number = this.#read;
    this.#waiting++;
    this.#waitingBytes += body.length;
    const settled = (): void => {
      this.#waiting--;
      this.#waitingBytes -= body.length;
      this.#wake();
    };
    send(body).then(
      () => {
        this.tally.acknowledged++;
        this.tally.bytes += body.length;
        this.tally.last = body.length;
        settled();
      },
      (error: unknown) => {
        this.#fail(error, number);
        settled();
      },
    );
  }

  #fail(error: unknown, number: number): void {
    if (this.#failure !== undefined) return;
    const { count = Infinity } = this.#options;
    this.#failure =
      count === 1 || !(error instanceof HubwireError)
        ? error
        : new HubwireError(error.code, `message ${number}: ${error.message}`, { cause: error });
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** Waits until the next message may go. A source that paused does not catch up afterwards. */
  #pacer(rate: number | undefined): () => Promise<void> {
    const { clock, stop } = this.#io;
    if (rate === undefined) return async () => {};
    let next = clock.now();
    return async () => {
      const wait = next - clock.now();
      next = Math.max(next, clock.now()) + 1000 / rate;
      if (wait <= 0 || stop.aborted) return;
      await new Promise<void>((resolve) => {
        const cancel = setAlarm(clock, wait, done);
        function done(): void {
          cancel();
          stop.removeEventListener("abort", done);
          resolve();
        }
        stop.addEventListener("abort", done);
      });
    };
  }

  /** On a terminal, one line that is written over; returns what ends and wipes it. */
  #showProgress(): () => void {
    const { stderr, clock } = this.#io;
    if (stderr.isTTY !== true || this.#options.count === 1) return () => {};
    const began = clock.now();
    let cancel = (): void => {};
    const show = (): void => {
      const { acknowledged } = this.tally;
      const rate = acknowledged / Math.max(0.001, (clock.now() - began) / 1000);
      stderr.write(`\r\x1b[K${this.#read} read, ${acknowledged} acknowledged, ${rate.toFixed(rate < 10 ? 1 : 0)}/s`);
      cancel = setAlarm(clock, PROGRESS, show);
    };
    cancel = setAlarm(clock, PROGRESS, show);
    return () => {
      cancel();
      stderr.write("\r\x1b[K");
    };
  }
}
