/** A subscription as the user holds it. */
import type { QoS } from "../codec/types.js";
import { invalid } from "../check.js";
import type { Message } from "../session/types.js";
import { type Mailbox, Reader } from "./mailbox.js";

/**
 * A subscription that the server granted. Made without a handler, it is read with `for await`: messages wait while nobody
 * reads, and when many wait the client stops reading from the network. A message is acknowledged when the loop asks for
 * the next, or is left. Leaving the loop does not end the subscription; a later loop goes on. After `unsubscribe` the
 * iteration ends behind the messages that wait.
 */
export class Subscription implements AsyncIterable<Message> {
  /** As it was asked for. */
  readonly topicFilter: string;
  /** The highest QoS at which the server sends. */
  readonly grantedQos: QoS;
  readonly #mailbox: Mailbox | undefined;
  readonly #unsubscribe: () => Promise<void>;

  /** @internal `MqttClient.subscribe` makes it. */
  constructor(topicFilter: string, grantedQos: QoS, mailbox: Mailbox | undefined, unsubscribe: () => Promise<void>) {
    this.topicFilter = topicFilter;
    this.grantedQos = grantedQos;
    this.#mailbox = mailbox;
    this.#unsubscribe = unsubscribe;
  }

  /**
   * Ends this subscription; UNSUBSCRIBE goes out unless another subscription has the same filter. Rejects as
   * `MqttClient.unsubscribe` does.
   */
  unsubscribe(): Promise<void> {
    return this.#unsubscribe();
  }

  /** Throws ERR_INVALID_ARGUMENT for a subscription that has a handler. */
  [Symbol.asyncIterator](): AsyncIterator<Message, undefined> {
    if (this.#mailbox) return new Reader(this.#mailbox);
    throw invalid("a subscription with a handler cannot be iterated");
  }
}
