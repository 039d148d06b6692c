/**
 * The cloud-to-device messages that wait for one device or module.
 *
 * "Understand cloud-to-device messaging from an IoT hub": a message waits an hour where nobody says otherwise; once
 * delivered it is locked for a minute, then it waits again. Over MQTT no device can abandon a message, so that the
 * hub's maximum of deliveries never applies.
 *
 * Invariants: at most `limits.cloudToDevicePending` wait; a message leaves the queue exactly once, with an
 * outcome: completed (PUBACK), expired, or purged; the order is that of arrival, for first deliveries and for repeated
 * ones.
 */
import { randomUUID } from "node:crypto";
import { checkTopicName } from "../codec/index.js";
import { attempt } from "../check.js";
import { HubwireError } from "../errors.js";
import { encodeProperties, propertyEntries, SYSTEM_PROPERTIES, type PropertiesInit } from "../wire/property-bag.js";
import { messageIdObjection } from "../wire/twin-limits.js";
import { Alarm, type Clock } from "../clock.js";
import type { Limits } from "./limits.js";
import { messageBytes } from "./message-bytes.js";

/** Which outcomes the sender wants to be told of by the `feedback` event. */
export type Acknowledgement = "none" | "positive" | "negative" | "full";

/** How a message can end; the names are those of the hub's feedback. */
export type CloudOutcome = "Success" | "Expired" | "Purged";

/** How a message to a device or module is sent. */
export interface SendOptions {
  /** Sends to this module's input `inputName`. */
  moduleId?: string | undefined;
  /** The input of the module; needed with `moduleId`, and only there. */
  inputName?: string | undefined;
  /** The application's own. */
  properties?: PropertiesInit | undefined;
  /** Default: a random UUID. */
  messageId?: string | undefined;
  /** The message that this one answers, or what else both sides agreed on. Default: none. */
  correlationId?: string | undefined;
  /** Who sends it. Default: none. */
  userId?: string | undefined;
  /** Default: the address of the device or input. */
  to?: string | undefined;
  /** Of the payload, e.g. `application/json`. Default: none. */
  contentType?: string | undefined;
  /** Of the payload, e.g. `utf-8`. Default: none. */
  contentEncoding?: string | undefined;
  /** When the message is given up, at most in 48 hours. Default: in an hour. */
  expiry?: Date | number | undefined;
  /** Which outcomes the event `feedback` tells. Default: none. */
  ack?: Acknowledgement | undefined;
}

/** How a message ended. */
export interface CloudCompletion {
  /** The device that it was for. */
  deviceId: string;
  /** Its module, where the message was for one. */
  moduleId?: string;
  /** As `sendToDevice` returned it. */
  messageId: string;
  /** In which way it left the queue. */
  outcome: CloudOutcome;
  /** How often it was sent to the device. */
  deliveryCount: number;
  /** When it did, by the hub's clock. */
  completedTime: Date;
}

/** A message in the queue. */
export interface CloudMessage {
  readonly messageId: string;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly ack: Acknowledgement;
  /** Milliseconds since the epoch. */
  readonly expiry: number;
  /** Its place in the order of arrival. */
  readonly sequence: number;
  readonly onOutcome: (outcome: CloudOutcome) => void;
  deliveryCount: number;
  /** The packet identifier under which the MQTT session knows it; 0 before it was sent. */
  packetId: number;
  /** Until when it is locked, on the monotonic clock, because it was sent; 0 where it waits. */
  lockedUntil: number;
}

/** A message to queue; `topic` makes its topic of the property bag. */
export interface CloudMessageInit {
  readonly body: Uint8Array | string;
  readonly options: SendOptions;
  readonly defaultTo: string;
  readonly topic: (bag: string) => string;
  readonly onOutcome: (outcome: CloudOutcome) => void;
}

/** What became of the attempt to send a message. */
export type Attempt = "sent" | "complete" | "wait";

const MAX_PACKET_ID = 65_535;

export class CloudQueue {
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #onOutcome: (message: CloudMessage, outcome: CloudOutcome) => void;
  readonly #onUnlocked: () => void;
  readonly #alarm: Alarm;
  /** Not locked, in order of arrival. */
  #waiting: CloudMessage[] = [];
  /** All that have a packet identifier, by it: on their way, or waiting to be sent again. */
  readonly #byPacketId = new Map<number, CloudMessage>();
  #size = 0;
  /** No message that waits expires before, ms since the epoch, and no lock ends before, monotonic. */
  #nextExpiry = Infinity;
  #nextUnlock = Infinity;
  #lastSequence = 0;
  #lastPacketId = 0;

  /** `onUnlocked` is called when messages that were sent wait again. */
  constructor(
    clock: Clock,
    limits: Limits,
    onOutcome: (message: CloudMessage, outcome: CloudOutcome) => void,
    onUnlocked: () => void,
  ) {
    this.#clock = clock;
    this.#limits = limits;
    this.#onOutcome = onOutcome;
    this.#onUnlocked = onUnlocked;
    this.#alarm = new Alarm(clock, () => this.#onAlarm());
  }

  get size(): number {
    return this.#size;
  }

  /** Copies the body. Throws ERR_QUEUE_FULL, ERR_LIMIT or ERR_INVALID_ARGUMENT, and queues nothing then. */
  add({ body, options, defaultTo, topic, onOutcome }: CloudMessageInit): CloudMessage {
    const { cloudToDevicePending, cloudToDeviceBytes, cloudToDeviceLifetime, cloudToDeviceMaxLifetime } = this.#limits;
    if (this.#size >= cloudToDevicePending) {
      throw new HubwireError("ERR_QUEUE_FULL", `${cloudToDevicePending} messages wait already`, {
        status: 403,
      });
    }
    if (typeof body !== "string" && !(body instanceof Uint8Array)) {
      throw new HubwireError("ERR_INVALID_ARGUMENT", "a body is a string or a Uint8Array");
    }
    const now = this.#clock.wallTime();
    const { expiry: given = now + cloudToDeviceLifetime } = options;
    const wanted = typeof given === "number" ? given : attempt(() => Date.prototype.getTime.call(given), NaN);
    if (!isTime(wanted)) throw new HubwireError("ERR_INVALID_ARGUMENT", "expiry is not a time");
    const expiry = Math.min(wanted, now + cloudToDeviceMaxLifetime);
    if (!["none", "positive", "negative", "full"].includes(options.ack ?? "none")) {
      throw new HubwireError("ERR_INVALID_ARGUMENT", "ack must be none, positive, negative or full");
    }
    const messageId = options.messageId ?? randomUUID();
    const found = messageIdObjection(messageId);
    if (found !== undefined) throw new HubwireError("ERR_INVALID_ARGUMENT", found);
    const payload = typeof body === "string" ? Buffer.from(body) : Uint8Array.from(body);
    const wire = wireProperties({ ...options, messageId, to: options.to ?? defaultTo });
    const size = messageBytes(payload, wire);
    if (size > cloudToDeviceBytes) {
      throw new HubwireError("ERR_LIMIT", `a message of ${size} bytes is over ${cloudToDeviceBytes}`);
    }
    const message: CloudMessage = {
      messageId,
      topic: topic(encodeProperties(wire)),
      payload,
      ack: options.ack ?? "none",
      expiry,
      sequence: ++this.#lastSequence,
      onOutcome,
      deliveryCount: 0,
      packetId: 0,
      lockedUntil: 0,
    };
    // Escapes may make a small message's topic too long.
    checkTopicName(message.topic);
    this.#waiting.push(message);
    this.#size++;
    this.#nextExpiry = Math.min(this.#nextExpiry, expiry);
    this.#setAlarm();
    return message;
  }

  /**
   * Offers every message that is not on its way to `attempt`, oldest first. Those that have expired leave the queue
   * instead. Outcomes are told afterwards.
   */
  deliver(attempt: (message: CloudMessage) => Attempt): void {
    if (this.#waiting.length === 0) return;
    this.#expire();
    const completed: CloudMessage[] = [];
    const lockedUntil = this.#clock.now() + this.#limits.cloudToDeviceLock;
    this.#waiting = this.#waiting.filter((message) => {
      const result = attempt(message);
      if (result === "wait") return true;
      message.deliveryCount++;
      if (result === "sent") message.lockedUntil = lockedUntil;
      else completed.push(message);
      return false;
    });
    // Others were locked before, and none for longer.
    if (this.#nextUnlock === Infinity) this.#nextUnlock = lockedUntil;
    this.#setAlarm();
    for (const message of completed) this.#settle(message, "Success");
  }

  /** Gives a message its packet identifier; false where all are taken. */
  identify(message: CloudMessage): boolean {
    if (this.#byPacketId.size >= MAX_PACKET_ID) return false;
    do this.#lastPacketId = (this.#lastPacketId % MAX_PACKET_ID) + 1;
    while (this.#byPacketId.has(this.#lastPacketId));
    message.packetId = this.#lastPacketId;
    this.#byPacketId.set(message.packetId, message);
    return true;
  }

  /** The device has the message; unknown identifiers are ignored. */
  acknowledge(packetId: number): void {
    const message = this.#byPacketId.get(packetId);
    if (message === undefined) return;
    if (message.lockedUntil === 0) this.#waiting = this.#waiting.filter((each) => each !== message);
    this.#settle(message, "Success");
  }

  /** The connection is gone: everything unacknowledged is sent again on the next one. */
  connectionLost(): void {
    this.#unlock(Infinity);
    this.#lookAhead();
  }

  /** The MQTT session is gone as well: nothing is known under a packet identifier any more. */
  sessionLost(): void {
    for (const message of this.#byPacketId.values()) message.packetId = 0;
    this.#byPacketId.clear();
  }

  /** Gives up everything, what the device has and has not acknowledged included. */
  purge(): void {
    const all = new Set([...this.#byPacketId.values(), ...this.#waiting]);
    this.#waiting = [];
    for (const message of all) this.#settle(message, "Purged");
  }

  /** Tells the outcome of a message that is not among the waiting ones any more. */
  #settle(message: CloudMessage, outcome: CloudOutcome): void {
    this.#byPacketId.delete(message.packetId);
    if (--this.#size === 0) this.#alarm.stop();
    message.onOutcome(outcome);
    this.#onOutcome(message, outcome);
  }

  /** What the device holds unacknowledged is locked, as in the real queue: it may still complete it. */
  #expire(): void {
    const wallTime = this.#clock.wallTime();
    const expired = this.#waiting.filter((message) => message.expiry <= wallTime);
    if (expired.length > 0) this.#waiting = this.#waiting.filter((message) => message.expiry > wallTime);
    for (const message of expired) this.#settle(message, "Expired");
  }

  /** The locks that end by `now` are gone; returns whether there were any. */
  #unlock(now: number): boolean {
    let found = false;
    for (const message of this.#byPacketId.values()) {
      if (message.lockedUntil === 0 || message.lockedUntil > now) continue;
      message.lockedUntil = 0;
      this.#waiting.push(message);
      found = true;
    }
    if (found) this.#waiting.sort((a, b) => a.sequence - b.sequence);
    return found;
  }

  #onAlarm(): void {
    const unlocked = this.#unlock(this.#clock.now());
    this.#expire();
    this.#lookAhead();
    if (unlocked) this.#onUnlocked();
  }

  /** Finds anew what comes due next. */
  #lookAhead(): void {
    this.#nextExpiry = this.#waiting.reduce((earliest, { expiry }) => Math.min(earliest, expiry), Infinity);
    this.#nextUnlock = Infinity;
    for (const { lockedUntil } of this.#byPacketId.values()) {
      if (lockedUntil > 0) this.#nextUnlock = Math.min(this.#nextUnlock, lockedUntil);
    }
    this.#setAlarm();
  }

  /** Both bounds may be too early, never too late. */
  #setAlarm(): void {
    const delay = Math.max(0, this.#nextExpiry - this.#clock.wallTime());
    this.#alarm.set(this.#size === 0 ? Infinity : Math.min(this.#clock.now() + delay, this.#nextUnlock));
  }
}

/** Whether a Date can hold `time`, ms since the epoch. */
const isTime = (time: number): boolean => Math.abs(time) <= 8.64e15;

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
  if (options.expiry !== undefined) put(SYSTEM_PROPERTIES.expiry, new Date(Number(options.expiry)).toISOString());
  put(SYSTEM_PROPERTIES.contentType, options.contentType);
  put(SYSTEM_PROPERTIES.contentEncoding, options.contentEncoding);
  put(SYSTEM_PROPERTIES.ack, options.ack);
  for (const [name, value] of propertyEntries(options.properties ?? {})) wire.set(name, value);
  return wire;
}
