/**
 * Messages of a resumed session that come before the program has said who handles them: the subscriptions of an earlier
 * process were there before this one subscribed.
 *
 * Invariant: what is kept counts as load, is handed on with the next subscription that matches, and is told and
 * acknowledged when its time is over.
 */
import type { Message } from "../session/types.js";

export interface EarlyMessage {
  message: Message;
  deliveryId: number;
}

export class EarlyMessages {
  #kept: EarlyMessage[] | undefined;
  /** Payload bytes, which are in memory of their own: the chunks that they came in may be much larger. */
  bytes = 0;

  get count(): number {
    return this.#kept?.length ?? 0;
  }

  /** A session was resumed: from now on messages are kept, up to `end`. */
  begin(): void {
    this.#kept ??= [];
  }

  /** False: it is not kept. */
  keep(message: Message, deliveryId: number): boolean {
    if (!this.#kept || deliveryId === 0) return false;
    message.payload = new Uint8Array(message.payload);
    this.#kept.push({ message, deliveryId });
    this.bytes += message.payload.length;
    return true;
  }

  /** All that is kept, to be delivered anew; who is still not wanted may be kept again. */
  take(): readonly EarlyMessage[] {
    const kept = this.#kept;
    if (!kept) return [];
    this.#kept = [];
    this.bytes = 0;
    return kept;
  }

  /** No message is kept any more; these were. */
  end(): readonly EarlyMessage[] {
    const kept = this.take();
    this.#kept = undefined;
    return kept;
  }
}
