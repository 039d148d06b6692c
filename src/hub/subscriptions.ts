/**
 * What the device is subscribed to: what its handlers need.
 *
 * Invariants: the filters follow from the handlers that there are, and are kept nowhere else; each is asked of an MQTT
 * client once, which restores it after a reconnect by itself, and again where the hub has refused it; a refusal is an
 * `error` event besides what rejects, so that a promise may be ignored.
 */
import type { HubwireError } from "../errors.js";

export interface SubscriptionsOwner {
  /** What the handlers need now. */
  filters(): readonly string[];
  /** Asks the present MQTT client; settles with SUBACK. */
  subscribe(topicFilter: string): Promise<unknown>;
  /** Whether that client was asked, and nothing has ended it since. */
  isSubscribing(topicFilter: string): boolean;
  /** Resolves when a refused identity was replaced; rejects with any other error, explained. */
  recover(error: unknown): Promise<void>;
  report(error: HubwireError): void;
}

export class Subscriptions {
  readonly #owner: SubscriptionsOwner;
  /** What the present MQTT client was asked for. */
  #asked = new Map<string, Promise<unknown>>();

  constructor(owner: SubscriptionsOwner) {
    this.#owner = owner;
  }

  /** Settles with SUBACK, of this identity or of the one that takes its place. */
  async granted(topicFilter: string): Promise<void> {
    const asked = this.#asked;
    let granted = asked.get(topicFilter);
    // The hub may have refused what was to be restored on a later connection.
    if (!granted || !this.#owner.isSubscribing(topicFilter)) {
      granted = this.#owner.subscribe(topicFilter);
      asked.set(topicFilter, granted);
    }
    try {
      await granted;
    } catch (error) {
      if (asked === this.#asked) {
        if (asked.get(topicFilter) === granted) {
          asked.delete(topicFilter);
          // Of other failures, the connection's own end tells.
          if (/REFUSED|TIMEOUT/.test((error as HubwireError).code)) this.#owner.report(error as HubwireError);
        }
        await this.#owner.recover(error);
      }
      return this.granted(topicFilter);
    }
  }

  /** Settles when all that the handlers need is granted, or one is refused. */
  async all(): Promise<void> {
    await Promise.all(this.#owner.filters().map((topicFilter) => this.granted(topicFilter)));
  }

  /** There is another MQTT client, which knows of nothing yet. */
  moved(): void {
    this.#asked = new Map();
  }
}
