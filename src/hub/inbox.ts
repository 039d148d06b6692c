/**
 * Cloud-to-device messages and module inputs, on their way to a handler or an iterator.
 *
 * Invariants: a message is acknowledged, which completes it, when its handler's promise has resolved or its iterator
 * has been asked for the next; one that nobody takes yet is held unacknowledged, and forgotten when the connection
 * goes, because the hub then sends it again.
 */
import type { Message } from "../session/types.js";
import { HubwireError } from "../errors.js";
import { type Link, track } from "./link.js";
import { decodeProperties, splitProperties, type SystemProperties } from "../wire/property-bag.js";

/** A message from the cloud, or to a module's input, with its system properties. */
export interface HubMessage extends SystemProperties {
  /** The receiver's to keep. */
  payload: Uint8Array;
  /** The application's own. */
  properties: Map<string, string | null>;
  /** The input of a module that it was sent to. */
  inputName?: string;
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

interface Held {
  key: string;
  message: HubMessage;
  resolve(done: void | Promise<void>): void;
}

export class Inbox {
  readonly #link: Link;
  readonly #handlers = new Map<string, MessageHandler>();
  readonly #held: Held[] = [];
  readonly #waiting: (() => void)[] = [];
  #iterators = 0;
  #closed = false;

  constructor(link: Link) {
    this.#link = link;
  }

  /** `key` is the input's name, or `*` for all that have no handler of their own. */
  on(key: string, handler: MessageHandler): void {
    this.#handlers.set(key, handler);
    for (const { key, message, resolve } of this.#held.splice(0)) resolve(this.deliver(key, message));
  }

  deliver(key: string, message: HubMessage): void | Promise<void> {
    const handler = this.#handlers.get(key) ?? this.#handlers.get("*");
    if (handler) {
      const result = handler(message);
      if (result instanceof Promise) track(this.#link.busy, result);
      return result;
    }
    if (this.#handlers.size > 0 && this.#iterators === 0) {
      // Holding it would hold the acknowledgements of all that come after it (MQTT-4.6.0-2).
      const name = JSON.stringify(key);
      return this.#link.report(
        new HubwireError("ERR_HANDLER", `a message to input ${name}, which has no handler, was dropped`),
      );
    }
    return new Promise((resolve) => {
      this.#held.push({ key, message, resolve });
      this.#waiting.shift()?.();
    });
  }

  /** The hub will send again what was not acknowledged. */
  forget(): void {
    // Acknowledging a delivery of a connection that is gone does nothing, but lets the client forget it too.
    for (const { resolve } of this.#held.splice(0)) resolve();
  }

  /** What is held stays unacknowledged, although the connection may still be up. */
  close(): void {
    this.#closed = true;
    this.#held.length = 0;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  iterate(): AsyncIterableIterator<HubMessage> {
    this.#iterators++;
    let over = false;
    let current: Held | undefined;
    const finish = (): void => {
      current?.resolve();
      current = undefined;
    };
    const iterator: AsyncIterableIterator<HubMessage> = {
      next: async () => {
        finish();
        while (!over && !this.#closed && this.#held.length === 0) {
          await new Promise<void>((wake) => this.#waiting.push(wake));
        }
        current = over ? undefined : this.#held.shift();
        return current ? { done: false, value: current.message } : { done: true, value: undefined };
      },
      return: async () => {
        finish();
        if (!over) this.#iterators--;
        over = true;
        for (const wake of this.#waiting.splice(0)) wake();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }
}
