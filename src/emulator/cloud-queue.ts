/**
 * The cloud-to-device messages that wait for one device or module.
 *
 * Invariants: at most `limits.cloudToDevicePending` wait; a message leaves the queue exactly once, with an
 * outcome: completed (PUBACK), expired, given up after too many deliveries, or purged; the order is that of
 * arrival, for first deliveries and for repeated ones.
 */
import { randomUUID } from "node:crypto";
import { HubwireError } from "../errors.js";
import {
  encodeProperties,
  propertyEntries,
  SYSTEM_PROPERTIES,
  type PropertiesInit,
} from "../hub/property-bag.js";
import { Alarm, type Clock } from "./clock.js";
import type { Limits } from "./limits.js";

/** Which outcomes the sender wants to be told of by the `feedback` event. */
export type Acknowledgement = "none" | "positive" | "negative" | "full";

export type CloudOutcome = "Success" | "Expired" | "DeliveryCountExceeded" | "Purged";

/** How a message to a device or module is sent. */
export interface SendOptions {
  /** Sends to this module's input `inputName`. */
  moduleId?: string | undefined;
  inputName?: string | undefined;
  properties?: PropertiesInit | undefined;
  /** Default: a random UUID. */
  messageId?: string | undefined;
  correlationId?: string | undefined;
  userId?: string | undefined;
  to?: string | undefined;
  contentType?: string | undefined;
  contentEncoding?: string | undefined;
  /** When the message is given up. Default: in 48 hours, the longest. */
  expiry?: Date | number | undefined;
  ack?: Acknowledgement | undefined;
}

/** How a message ended. */
export interface CloudCompletion {
  deviceId: string;
  moduleId?: string;
  messageId: string;
  outcome: CloudOutcome;
  /** How often it was sent to the device. */
  deliveryCount: number;
  completedTime: Date;
}

/** A message in the queue. */
export interface CloudMessage {
  readonly messageId: string;
  readonly bag: string;
  readonly inputName: string | undefined;
  readonly payload: Uint8Array;
  readonly ack: Acknowledgement;
  /** Milliseconds since the epoch. */
  readonly expiry: number;
  deliveryCount: number;
  /** The packet identifier under which it is unacknowledged in the MQTT session; 0 when it is not. */
  packetId: number;
  /** Whether it was sent on the connection that is open now. */
  sent: boolean;
  readonly onOutcome: OutcomeListener;
}

type OutcomeListener = (outcome: CloudOutcome) => void;

export class CloudQueue {
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #onOutcome: (message: CloudMessage, outcome: CloudOutcome) => void;
  readonly #expiryAlarm: Alarm;
  #messages: CloudMessage[] = [];

  constructor(
    clock: Clock,
    limits: Limits,
    onOutcome: (message: CloudMessage, outcome: CloudOutcome) => void,
  ) {
    this.#clock = clock;
    this.#limits = limits;
    this.#onOutcome = onOutcome;
    this.#expiryAlarm = new Alarm(clock, () => this.#expire());
  }

  get size(): number {
    return this.#messages.length;
  }

  /**
   * Copies the body. `onOutcome` hears how this message ends. Throws ERR_QUEUE_FULL, ERR_LIMIT or
   * ERR_INVALID_ARGUMENT, and queues nothing then.
   */
  add(
    defaultTo: string,
    body: Uint8Array | string,
    options: SendOptions,
    onOutcome: OutcomeListener,
  ): CloudMessage {
    if (this.#messages.length >= this.#limits.cloudToDevicePending) {
      const limit = this.#limits.cloudToDevicePending;
      throw new HubwireError("ERR_QUEUE_FULL", `${limit} messages wait for the device already`, {
        status: 403,
      });
    }
    const wallTime = this.#clock.wallTime();
    const expiry = Math.min(
      Number(options.expiry ?? Infinity),
      wallTime + this.#limits.cloudToDeviceLifetime,
    );
    if (!Number.isFinite(expiry)) throw new HubwireError("ERR_INVALID_ARGUMENT", "expiry is not a time");
    const messageId = options.messageId ?? randomUUID();
    const payload = typeof body === "string" ? Buffer.from(body) : Uint8Array.from(body);
    const wire = wireProperties({ ...options, messageId, to: options.to ?? defaultTo });
    const size = messageBytes(payload, wire);
    if (size > this.#limits.cloudToDeviceBytes) {
      throw new HubwireError(
        "ERR_LIMIT",
        `a message of ${size} bytes is over ${this.#limits.cloudToDeviceBytes}`,
      );
    }
    const message: CloudMessage = {
      messageId,
      bag: encodeProperties(wire),
      inputName: options.inputName,
      payload,
      ack: options.ack ?? "none",
      expiry,
      deliveryCount: 0,
      packetId: 0,
      sent: false,
      onOutcome,
    };
    this.#messages.push(message);
    this.#setAlarm();
    return message;
  }

  /**
   * The messages still to be sent on this connection, oldest first. Those that have expired, or were
   * delivered too often, leave the queue instead.
   */
  unsent(): CloudMessage[] {
    this.#expire();
    const spent = this.#limits.cloudToDeviceDeliveries;
    for (const message of this.#messages.filter((each) => !each.sent && each.deliveryCount >= spent)) {
      this.#settle(message, "DeliveryCountExceeded");
    }
    return this.#messages.filter((message) => !message.sent);
  }

  /** The device has the message; unknown identifiers are ignored. */
  acknowledge(packetId: number): void {
    const message = this.#messages.find((each) => each.packetId === packetId);
    if (message !== undefined) this.#settle(message, "Success");
  }

  /** Completes a message that was sent with QoS 0. */
  complete(message: CloudMessage): void {
    this.#settle(message, "Success");
  }

  isTaken(packetId: number): boolean {
    return this.#messages.some((message) => message.packetId === packetId);
  }

  /** The connection is gone: everything unacknowledged is sent again on the next one. */
  connectionLost(): void {
    for (const message of this.#messages) message.sent = false;
  }

  /** The MQTT session is gone: nothing is in flight under a packet identifier any more. */
  sessionLost(): void {
    for (const message of this.#messages) message.packetId = 0;
  }

  purge(): void {
    for (const message of [...this.#messages]) this.#settle(message, "Purged");
  }

  #settle(message: CloudMessage, outcome: CloudOutcome): void {
    const index = this.#messages.indexOf(message);
    if (index < 0) return;
    this.#messages.splice(index, 1);
    this.#setAlarm();
    message.onOutcome(outcome);
    this.#onOutcome(message, outcome);
  }

  #expire(): void {
    const wallTime = this.#clock.wallTime();
    // What the device holds unacknowledged is locked, as in the real queue: it may still complete it.
    for (const message of this.#messages.filter((each) => !each.sent && each.expiry <= wallTime)) {
      this.#settle(message, "Expired");
    }
    this.#setAlarm();
  }

  #setAlarm(): void {
    let next = Infinity;
    for (const message of this.#messages) if (!message.sent && message.expiry < next) next = message.expiry;
    this.#expiryAlarm.set(
      next === Infinity ? Infinity : this.#clock.now() + Math.max(0, next - this.#clock.wallTime()),
    );
  }
}

/** Every property as it goes on the wire, system properties first. */
function wireProperties(options: SendOptions): Map<string, string | null> {
  const wire = new Map<string, string | null>();
  const put = (name: string, value: string | undefined): void => {
    if (value !== undefined) wire.set(name, value);
  };
  put(SYSTEM_PROPERTIES.messageId, options.messageId);
  put(SYSTEM_PROPERTIES.correlationId, options.correlationId);
  put(SYSTEM_PROPERTIES.userId, options.userId);
  put(SYSTEM_PROPERTIES.to, options.to);
  if (options.expiry !== undefined) put(SYSTEM_PROPERTIES.expiry, new Date(options.expiry).toISOString());
  put(SYSTEM_PROPERTIES.contentType, options.contentType);
  put(SYSTEM_PROPERTIES.contentEncoding, options.contentEncoding);
  put(SYSTEM_PROPERTIES.ack, options.ack);
  for (const [name, value] of propertyEntries(options.properties ?? {})) wire.set(name, value);
  return wire;
}

const SYSTEM_NAMES: ReadonlySet<string> = new Set(Object.values(SYSTEM_PROPERTIES));

/**
 * The size of a message as the hub counts it: the body, the values of system properties, and the names and
 * values of application properties, in bytes of UTF-8.
 */
export function messageBytes(payload: Uint8Array, wire: ReadonlyMap<string, string | null>): number {
  let size = payload.length;
  for (const [name, value] of wire) {
    if (!SYSTEM_NAMES.has(name)) size += Buffer.byteLength(name);
    if (typeof value === "string") size += Buffer.byteLength(value);
  }
  return size;
}
