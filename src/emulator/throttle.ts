/**
 * How much the hub does in a second, by the pages on quotas and on error 429001: a rate that is exceeded for too long is
 * kept by delays, then by refusals ("traffic shaping").
 *
 * Invariants: a refused operation costs nothing; operations of one bucket come due in the order of their admission; what
 * waits is bounded in count and in bytes.
 */
import { Alarm, setAlarm, type Clock } from "../clock.js";
import { HubwireError } from "../errors.js";
import type { Limits } from "./limits.js";

/** How many seconds' worth a rate may be exceeded by and is still kept once the bucket has run out. */
const REMEMBERED_SECONDS = 10;

/**
 * A leaky bucket with the page's "traffic shaping": its rate may be exceeded for a while, then operations are delayed to
 * the rate, then refused. The while begins anew when the bucket has been empty.
 */
export class Throttle {
  readonly #rate: number;
  readonly #capacity: number;
  readonly #grace: number;
  readonly #queue: number;
  #level = 0;
  #lastTime = 0;
  /** Since when there was too much; undefined after the bucket was empty. */
  #exceededSince: number | undefined;
  #shaping = false;

  /**
   * `rate` a second, `capacity` at once; more than that passes for `grace` ms, then up to `queue` are delayed.
   */
  constructor(rate: number, capacity: number, grace: number, queue: number) {
    this.#rate = rate;
    this.#capacity = capacity;
    this.#grace = grace;
    this.#queue = queue;
  }

  /** Counts an operation of `cost` at the time `now`: ms until it is due, or Infinity, which refuses it. */
  admit(now: number, cost = 1): number {
    if (this.#rate === Infinity) return 0;
    this.#leak(now);
    if (this.#level + cost <= this.#capacity) {
      this.#level += cost;
      return 0;
    }
    this.#exceededSince ??= now;
    if (now - this.#exceededSince < this.#grace) {
      this.#level = Math.min(this.#level + cost, this.#capacity + this.#rate * REMEMBERED_SECONDS);
      return 0;
    }
    // What passed is not owed.
    if (!this.#shaping) this.#level = Math.min(this.#level, this.#capacity);
    this.#shaping = true;
    const excess = this.#level + cost - this.#capacity;
    if (excess > this.#queue) return Infinity;
    this.#level += cost;
    return Math.ceil((excess / this.#rate) * 1000);
  }

  #leak(now: number): void {
    this.#level = Math.max(0, this.#level - ((now - this.#lastTime) * this.#rate) / 1000);
    this.#lastTime = now;
    if (this.#level > 0) return;
    this.#exceededSince = undefined;
    this.#shaping = false;
  }
}

/** What is throttled for the whole hub. */
export type Operation =
  "connection" | "send" | "cloudToDeviceSend" | "method" | "twinRead" | "twinUpdate" | "registration";

const RATES = {
  connection: "connectionsPerSecond",
  send: "sendsPerSecond",
  cloudToDeviceSend: "cloudToDeviceSendsPerSecond",
  method: "methodBytesPerSecond",
  twinRead: "twinReadsPerSecond",
  twinUpdate: "twinUpdatesPerSecond",
  registration: "registrationsPerSecond",
} as const satisfies Record<Operation, keyof Limits>;

/** What became of an operation that was not done at once. */
export type ThrottleOutcome = "delayed" | "refused" | "closed";

/** The buckets of one hub, and the bytes that its delayed messages take. */
export class Throttles {
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #buckets = new Map<Operation, Throttle>();
  readonly #onThrottled: (operation: Operation, outcome: ThrottleOutcome) => void;
  /** Calls of the service side that wait; each ends its wait, with an error where there is one. */
  readonly #waits = new Set<(error: HubwireError) => void>();
  #queuedBytes = 0;

  /** `onThrottled` is told of calls of the service side that wait or are refused. */
  constructor(clock: Clock, limits: Limits, onThrottled: (operation: Operation, outcome: ThrottleOutcome) => void) {
    this.#clock = clock;
    this.#limits = limits;
    this.#onThrottled = onThrottled;
  }

  /** As `Throttle.admit`, for the hub's bucket of `operation`. */
  admit(operation: Operation, cost = 1): number {
    if (!this.#limits.throttling) return 0;
    let bucket = this.#buckets.get(operation);
    if (bucket === undefined) {
      const { shapingAfter, shapingQueue } = this.#limits;
      const rate = this.#limits[RATES[operation]];
      bucket = new Throttle(rate, Math.max(1, rate), shapingAfter, (rate * shapingQueue) / 1000);
      this.#buckets.set(operation, bucket);
    }
    return bucket.admit(this.#clock.now(), cost);
  }

  /** Admits a message to a device: undefined for at once, or when its time has come. Rejects with ERR_THROTTLED. */
  cloudToDeviceSend(): Promise<void> | undefined {
    return this.#wait("cloudToDeviceSend", this.admit("cloudToDeviceSend"));
  }

  /** As `cloudToDeviceSend`, for a direct method whose body has `bytes`. */
  method(bytes: number): Promise<void> | undefined {
    const { methodMeterBytes } = this.#limits;
    const meters = Math.max(1, Math.ceil(bytes / methodMeterBytes));
    return this.#wait("method", this.admit("method", meters * methodMeterBytes));
  }

  /** Ends every wait with `error`. */
  close(error: HubwireError): void {
    for (const end of this.#waits) end(error);
  }

  /** The polls of one device, which are never delayed. */
  polls(): Throttle {
    const { throttling, pollsPerTenSeconds } = this.#limits;
    return new Throttle(throttling ? pollsPerTenSeconds / 10 : Infinity, pollsPerTenSeconds, 0, 0);
  }

  /** Takes memory for a delayed message, or returns false where there is no more. */
  reserve(bytes: number): boolean {
    if (this.#queuedBytes + bytes > this.#limits.queueBytes) return false;
    this.#queuedBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#queuedBytes -= bytes;
  }

  #wait(operation: Operation, delay: number): Promise<void> | undefined {
    if (delay === 0) return undefined;
    this.#onThrottled(operation, delay === Infinity ? "refused" : "delayed");
    if (delay === Infinity) {
      const message = "too many operations of this kind a second";
      return Promise.reject(new HubwireError("ERR_THROTTLED", message, { status: 429 }));
    }
    return new Promise<void>((resolve, reject) => {
      const end = (error?: HubwireError): void => {
        this.#waits.delete(end);
        cancel();
        if (error === undefined) resolve();
        else reject(error);
      };
      const cancel = setAlarm(this.#clock, delay, () => end());
      this.#waits.add(end);
    });
  }
}

interface Delayed {
  readonly due: number;
  readonly bytes: number;
  readonly run: () => void;
}

/** The delayed operations of one device, oldest first. */
export class Lane {
  readonly #clock: Clock;
  readonly #throttles: Throttles;
  readonly #alarm: Alarm;
  #queue: Delayed[] = [];

  constructor(clock: Clock, throttles: Throttles) {
    this.#clock = clock;
    this.#throttles = throttles;
    this.#alarm = new Alarm(clock, () => this.#run());
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** Runs `run` in `delay` ms, and after everything before it; false where there is no memory for it. */
  add(delay: number, bytes: number, run: () => void): boolean {
    if (!this.#throttles.reserve(bytes)) return false;
    const due = Math.max(this.#clock.now() + delay, this.#queue.at(-1)?.due ?? 0);
    this.#queue.push({ due, bytes, run });
    this.#alarm.set((this.#queue[0] as Delayed).due);
    return true;
  }

  /** Forgets what waits. */
  clear(): void {
    for (const { bytes } of this.#queue.splice(0)) this.#throttles.release(bytes);
    this.#alarm.stop();
  }

  #run(): void {
    const now = this.#clock.now();
    try {
      for (let first = this.#queue[0]; first !== undefined && first.due <= now; first = this.#queue[0]) {
        this.#queue.shift();
        this.#throttles.release(first.bytes);
        first.run();
      }
    } finally {
      // Also where a listener threw: what comes after it is still to be done.
      if (this.#queue[0] !== undefined) this.#alarm.set(this.#queue[0].due);
    }
  }
}
