/**
 * Cloud-to-device messages and module inputs, on their way to a handler or an iterator.
 *
 * Invariants: a message is acknowledged, which completes it, when its handler's promise has resolved or its iterator
 * has been asked for the next or was left; one that nobody takes yet is held unacknowledged, and forgotten when the
 * connection goes, because the hub then sends it again. What an open iterator has not read yet holds back the socket;
 * where nobody reads at all, a bounded number is held, and what comes on top is left to the hub.
 */
import { invalid } from "../check.js";
import { HubwireError } from "../errors.js";
import type { Message } from "../session/types.js";
import { decodeProperties, splitProperties, type SystemProperties } from "../wire/property-bag.js";
import type { HubAccess } from "./access.js";

/** A message from the cloud, or to a module's input, with its system properties. */
export interface HubMessage extends SystemProperties {
  /** The receiver's to keep. */
  payload: Uint8Array;
  /** The application's own. */
  properties: Map<string, string | null>;
  /** The input of a module that it was sent to. */
  inputName?: string;
  /** At which the hub sent it. */
  qos: 0 | 1 | 2;
  /** It may have been delivered before. */
  dup: boolean;
}

/** The message is completed when what it returns has resolved; if it throws, the hub delivers the message again. */
export type MessageHandler = (message: HubMessage) => void | Promise<void>;

/** Decodes what the topic says of a message. */
export function hubMessage(message: Message, bag: string, inputName?: string): HubMessage {
  const properties = decodeProperties(bag);
  const system = splitProperties(properties);
  const { payload, qos, dup } = message;
  return { payload, properties, ...system, ...(inputName !== undefined && { inputName }), qos, dup };
}

/** Messages held while nobody reads; the hub keeps fifty for a device (quota of cloud-to-device messages). */
const MOST_HELD = 50;

/** All inputs that have no handler of their own, or a device's messages. */
const ALL = "*";

interface Held {
  key: string;
  message: HubMessage;
  resolve(done: void | Promise<void>): void;
}

interface Reader {
  /** Looks again whether there is something to read. */
  wake(): void;
  /** Ends the iteration, with an error where there is one. */
  end(error?: HubwireError): void;
}

export class Inbox {
  readonly #hub: HubAccess;
  readonly #handlers = new Map<string, MessageHandler>();
  readonly #held: Held[] = [];
  readonly #readers = new Set<Reader>();
  #used = false;
  #closed = false;

  constructor(hub: HubAccess) {
    this.#hub = hub;
  }

  /** Whether messages are, or were, asked for. */
  get isUsed(): boolean {
    return this.#used;
  }

  /** All messages without a handler of their own. Throws ERR_INVALID_ARGUMENT where they are taken already. */
  onAll(handler: MessageHandler): void {
    if (this.#handlers.has(ALL)) throw invalid("messages() has a handler already; a message goes to one place");
    if (this.#readers.size > 0) throw invalid("messages() is being iterated already; a message goes to one place");
    this.on(ALL, handler);
  }

  /** `key` is the input's name. A later handler takes the place of an earlier one. */
  on(key: string, handler: MessageHandler): void {
    this.#used = true;
    this.#handlers.set(key, handler);
    for (const { key, message, resolve } of this.#held.splice(0)) resolve(this.#attempt(key, message));
  }

  /** What the handler throws is of its message, and of nobody who asked for messages. */
  async #attempt(key: string, message: HubMessage): Promise<void> {
    await this.deliver(key, message);
  }

  deliver(key: string, message: HubMessage): void | Promise<void> {
    const handler = this.#handlers.get(key) ?? this.#handlers.get(ALL);
    if (handler) {
      const result = handler(message);
      if (typeof result?.then !== "function") return;
      // Any thenable: what a handler returns may be of another library.
      const work = Promise.resolve(result);
      this.#hub.busy.add(work);
      return work;
    }
    if (this.#readers.size === 0) {
      if (this.#handlers.size > 0) {
        // Holding it would hold the acknowledgements of all that come after it (MQTT-4.6.0-2).
        const name = JSON.stringify(key);
        const text = `a message to input ${name}, which has no handler, was dropped`;
        return this.#hub.report(new HubwireError("ERR_HANDLER", text));
      }
      if (this.#held.length >= MOST_HELD) {
        throw new HubwireError("ERR_LIMIT", `${MOST_HELD} messages are held that nobody reads; one more is not`);
      }
    }
    return new Promise((resolve) => {
      this.#held.push({ key, message, resolve });
      for (const reader of this.#readers) reader.wake();
    });
  }

  /** The hub will send again what was not acknowledged. */
  forget(): void {
    // Acknowledging a delivery of a connection that is gone does nothing, but lets the client forget it too.
    for (const { resolve } of this.#held.splice(0)) resolve();
  }

  /** The client has given up: nothing will come until it is connected again. */
  stop(error: HubwireError): void {
    for (const reader of [...this.#readers]) reader.end(error);
  }

  /** What is held stays unacknowledged, although the connection may still be up. */
  close(): void {
    this.#closed = true;
    this.#held.length = 0;
    for (const reader of [...this.#readers]) reader.end();
  }

  /** Throws ERR_INVALID_ARGUMENT where a handler takes the messages. */
  iterate(): AsyncIterableIterator<HubMessage> {
    if (this.#handlers.has(ALL)) throw invalid("messages() has a handler already; a message goes to one place");
    this.#used = true;
    const held = this.#held;
    let over = this.#closed;
    let failure: HubwireError | undefined;
    let current: Held | undefined;
    let wake = (): void => {};
    const finish = (): void => {
      current?.resolve();
      current = undefined;
    };
    const reader: Reader = {
      wake: () => wake(),
      end: (error) => {
        over = true;
        failure = error;
        this.#readers.delete(reader);
        wake();
      },
    };
    if (!over) this.#readers.add(reader);
    const messages = (async function* (): AsyncGenerator<HubMessage, undefined> {
      for (;;) {
        while (!over && held.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        if (over) break;
        current = held.shift()!;
        yield current.message;
        finish();
      }
      if (failure) throw failure;
      return undefined;
    })();
    return {
      next: () => messages.next(),
      return: () => {
        finish();
        // A `next` that waits ends first.
        reader.end();
        return messages.return(undefined);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}
