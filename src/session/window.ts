/**
 * How much is queued and in flight, and whether more may be.
 *
 * Invariant: what was counted in is counted out in the same place with the same size.
 */
import { type Publication, QUEUED } from "./exchange.js";
import type { Link } from "./list.js";
import type { SessionMetrics, SessionOptions } from "./types.js";

/** So many of the queue, the first, are kept as they came while there is a connection: the socket soon takes more. */
const BRIEF = 1_024;

export class Window {
  readonly #metrics: SessionMetrics;
  readonly #options: SessionOptions;
  #qos2 = 0;
  #bytes = 0;

  constructor(metrics: SessionMetrics, options: SessionOptions) {
    this.#metrics = metrics;
    this.#options = options;
  }

  /** Counts a publication in or out (-1) of where it is: the queue or in flight. */
  count({ awaits, qos, size }: Publication, change: 1 | -1): void {
    const metrics = this.#metrics;
    if (awaits === QUEUED) {
      metrics.queued += change;
      metrics.queuedBytes += change * size;
    } else {
      metrics.inflight += change;
      this.#bytes += change * size;
      if (qos > 1) this.#qos2 += change;
    }
  }

  /** Whether a message may be in flight besides those that are. Bytes: as many as may be queued, or one message. */
  hasRoom({ qos, size }: Publication): boolean {
    if (!qos) return true;
    const { inflight } = this.#metrics;
    const { maxInflight, maxInflightQos2 = Infinity, queue } = this.#options;
    if (inflight >= maxInflight || (qos > 1 && this.#qos2 >= maxInflightQos2)) return false;
    return this.#bytes + size <= queue.maxBytes || inflight === 0;
  }

  /** Whether the queue has no place for `size` more bytes. */
  isQueueFull(size: number): boolean {
    const { maxCount, maxBytes } = this.#options.queue;
    return this.#metrics.queued >= maxCount || this.#metrics.queuedBytes + size > maxBytes;
  }

  /** Whether what joins the queue is one of its first. */
  get isQueueShort(): boolean {
    return this.#metrics.queued < BRIEF;
  }

  /** The first of the queue were to wait briefly, and may wait for long now. */
  pack(queue: Link): void {
    let left = BRIEF;
    for (let link = queue.next; link !== queue && left > 0; link = link.next, left--) {
      const publication = link as Publication;
      this.count(publication, -1);
      publication.wait(false);
      this.count(publication, 1);
    }
  }

  /** Nothing is queued any more. */
  clearQueue(): void {
    this.#metrics.queued = this.#metrics.queuedBytes = 0;
  }

  clear(): void {
    this.clearQueue();
    this.#metrics.inflight = this.#bytes = this.#qos2 = 0;
  }
}
