/**
 * Telemetry as an async iterator.
 *
 * Invariants: it collects from the moment it is made; at most `capacity` messages wait, and one more ends it with
 * ERR_QUEUE_FULL, because a message that is left out in silence makes a test lie; leaving the loop stops the collecting.
 */
import { aborted, checkSignal } from "../abort.js";
import { HubwireError } from "../errors.js";
import type { HubContext, TelemetryMessage } from "./events.js";

/** Which telemetry is iterated over, and how. */
export interface TelemetryOptions {
  /** Only what this device, or its module `moduleId`, sends. Default: everything. */
  deviceId?: string | undefined;
  /** Only what this module of `deviceId` sends. Default: the device and all its modules. */
  moduleId?: string | undefined;
  /** Messages that may wait for the reader. Default: 10,000. */
  capacity?: number | undefined;
  /** Ends the iteration with ERR_ABORTED. */
  signal?: AbortSignal | undefined;
}

export class TelemetryStream implements AsyncIterableIterator<TelemetryMessage> {
  readonly #onEnd: () => void;
  #waiting: TelemetryMessage[] = [];
  #readers: {
    resolve: (result: IteratorResult<TelemetryMessage, undefined>) => void;
    reject: (error: unknown) => void;
  }[] = [];
  #error: HubwireError | undefined;
  #ended = false;

  /** `onStop` is called once, when the collecting stops. Throws ERR_INVALID_ARGUMENT. */
  constructor({ events }: HubContext, options: TelemetryOptions, onStop: (stream: TelemetryStream) => void) {
    const { deviceId, moduleId, capacity = 10_000, signal } = options;
    checkSignal(signal);
    const listener = (message: TelemetryMessage): void => {
      if (deviceId !== undefined && message.deviceId !== deviceId) return;
      if (moduleId !== undefined && message.moduleId !== moduleId) return;
      this.#push(message, capacity);
    };
    const onAbort = (): void => this.end(signal && aborted(signal));
    this.#onEnd = () => {
      events.off("telemetry", listener);
      signal?.removeEventListener("abort", onAbort);
      onStop(this);
    };
    events.on("telemetry", listener);
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
  }

  get ended(): boolean {
    return this.#ended;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<TelemetryMessage, undefined>> {
    const message = this.#waiting.shift();
    if (message !== undefined) return Promise.resolve({ done: false, value: message });
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  return(): Promise<IteratorResult<TelemetryMessage, undefined>> {
    this.#waiting = [];
    this.end();
    this.#error = undefined;
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Stops collecting; what waits is still read, then the iteration ends, with `error` where there is one. */
  end(error?: HubwireError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    this.#error = error;
    const [first, ...rest] = this.#readers.splice(0);
    if (first === undefined) return;
    this.#error = undefined;
    if (error === undefined) first.resolve({ done: true, value: undefined });
    else first.reject(error);
    for (const { resolve } of rest) resolve({ done: true, value: undefined });
  }

  #push(message: TelemetryMessage, capacity: number): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) return reader.resolve({ done: false, value: message });
    if (this.#waiting.length < capacity) this.#waiting.push(message);
    else
      this.end(
        new HubwireError("ERR_QUEUE_FULL", `${capacity} messages wait: the reader of the telemetry is too slow`),
      );
  }
}
