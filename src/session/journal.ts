/**
 * What the session writes to its store, and how it reads it back. (The session knows this class as a type
 * only, so that a program without a store doesn't carry it.)
 *
 * Invariants: a record is put before the packet that it describes is sent, and removed only when a later
 * record or the peer's final acknowledgement made it superfluous, so a process killed between any two writes
 * repeats a step and never skips one. An outgoing message has a record of its own; its state, where it
 * differs from the message record, is a small second record. A release (PUBREC received) replaces both: after
 * it the message must not be sent again (MQTT-4.3.3-1). Of a QoS 2 message that was given up for good its identifier
 * stays, until the session is a new one. Keys: 1 to 65,535 are the packet identifiers of
 * inbound QoS 2 messages, greater ones are in order of acceptance (and, for releases, of PUBREC:
 * MQTT-4.6.0-4).
 *
 * Record: kind, packet identifier (two bytes, most significant first), then with a message: QoS and 4 for
 * RETAIN, topic length (two bytes), topic, payload; with a state: 1 if the user gave the message up.
 */
import { HubwireError } from "../errors.js";
import { checkPublish } from "../codec/index.js";
import type { QoS } from "../codec/types.js";
import { readUtf8 } from "../codec/utf8.js";
import { PUBACK, PUBCOMP, type Publication, PUBREC, QUEUED, Restored } from "./exchange.js";

const MESSAGE = 1;
const STATE = 2;
const RELEASE = 3;
const INBOUND = 4;
const RETIRED = 5;

/**
 * What a session survives its process in: extend it with a place for records. All calls are synchronous; what
 * `put` returned from must survive the kill of the process. They throw HubwireError ERR_STORE;
 * what else they throw is the cause of one.
 */
export abstract class SessionStore {
  #lastKey = 0xffff;
  /** The keys of what is recorded: of a message, and of its state. */
  #keys = new Map<Publication, { message: number; state: number }>();
  /** The keys of the identifiers that nobody may have before the session is a new one. */
  readonly #retired: number[] = [];

  /** All live records, in the order in which their keys were first put. Called once, before anything else. */
  abstract load(): Iterable<readonly [key: number, record: Uint8Array]>;
  /** Adds a record, or replaces the one of that key. Keys are integers from 1 to 2^47. */
  abstract put(key: number, record: Uint8Array): void;
  /** Removes the record of that key; ignored where there is none. */
  abstract remove(key: number): void;
  /** Removes the records of those keys, of which there may be 200,000. May be overridden by what is faster than one by one. */
  removeAll(keys: readonly number[]): void {
    for (const key of keys) this.remove(key);
  }
  /** Gives the place back, e.g. a file's lock; the client has ended, and calls nothing after it. */
  abstract close(): void;

  #put(key: number, record: Uint8Array): void {
    stored(() => this.put(key, record));
  }

  #remove(key: number): void {
    stored(() => this.remove(key));
  }

  /**
   * Everything unfinished, in order: messages (sent or not), releases, and those of which only the identifier is left,
   * which await nothing; `inbound` hears the QoS 2
   * identifiers, `setAside` of each message that may not be sent.
   * @internal
   */
  restore(now: number, inbound: (packetId: number) => void, setAside: (error: HubwireError) => void): Restored[] {
    return stored(() => this.#restore(now, inbound, setAside));
  }

  #restore(now: number, inbound: (packetId: number) => void, setAside: (error: HubwireError) => void): Restored[] {
    const messages = new Map<number, Restored>();
    const released: Restored[] = [];
    const retired: Restored[] = [];
    const stale: number[] = [];
    for (const [key, bytes] of this.load()) {
      const record = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      const kind = record[0];
      if (record.length < 3 || !kind || kind > RETIRED || (kind === MESSAGE && record.length < 6)) {
        throw new HubwireError("ERR_STORE", "the store holds a record that is not a session's");
      }
      const packetId = record.readUInt16BE(1);
      this.#lastKey = Math.max(this.#lastKey, key);
      if (kind === INBOUND) inbound(packetId);
      else if (kind === RETIRED) {
        const one = new Restored("", "", 2, false);
        one.packetId = packetId;
        retired.push(one);
        this.#retired.push(key);
      } else if (kind === STATE) {
        const message = messages.get(key - 1);
        if (message) {
          this.#keys.get(message)!.state = key;
          message.packetId = packetId;
          if (record[3] === 1) message.settle();
        } else stale.push(key);
      } else if (kind === RELEASE) {
        const release = new Restored("", "", 2, false);
        release.packetId = packetId;
        release.awaits = PUBCOMP;
        this.#keys.set(release, { message: 0, state: key });
        released.push(release);
      } else {
        const message = messageOf(record, packetId);
        if (message instanceof HubwireError) setAside(message);
        else {
          this.#keys.set(message, { message: key, state: 0 });
          messages.set(key, message);
        }
      }
    }
    // Killed between a release and the removal of its message, or between the two removals at the end.
    for (const key of stale) this.#remove(key);
    const ids = new Set(released.concat(retired).map(({ packetId }) => packetId));
    const live: Restored[] = [];
    for (const message of messages.values()) {
      if (message.packetId && ids.has(message.packetId)) this.done(message);
      else {
        if (message.packetId) {
          ids.add(message.packetId);
          message.awaits = message.qos === 1 ? PUBACK : PUBREC;
        }
        live.push(message);
      }
    }
    const all = live.concat(released, retired);
    for (const publication of all) publication.acceptedAt = publication.sentAt = Math.floor(now);
    return all;
  }

  /**
   * A message was accepted; `packetId` 0 unless it is being sent at once.
   * @internal
   */
  accepted(exchange: Publication, packetId: number): void {
    const topic = Buffer.from(exchange.topic);
    const { length } = topic;
    const flags = exchange.qos | (exchange.retain ? 4 : 0);
    const head = Buffer.from([MESSAGE, packetId >> 8, packetId, flags, length >> 8, length]);
    const payload = typeof exchange.payload === "string" ? Buffer.from(exchange.payload) : exchange.payload;
    // Two apart, so that the state's key is the next one.
    this.#lastKey += 2;
    this.#put(this.#lastKey, Buffer.concat([head, topic, payload]));
    this.#keys.set(exchange, { message: this.#lastKey, state: 0 });
  }

  /**
   * The message is being sent with `packetId`, waits again to be sent (0), or was given up by the user.
   * @internal
   */
  state(exchange: Publication, packetId: number, givenUp = false): void {
    const keys = this.#keys.get(exchange);
    if (!keys?.message) return;
    this.#put(keys.message + 1, Uint8Array.of(STATE, packetId >> 8, packetId, +givenUp));
    keys.state = keys.message + 1;
  }

  /**
   * PUBREC: from now on only the release matters.
   * @internal
   */
  released(exchange: Publication): void {
    this.#lastKey += 2;
    this.#put(this.#lastKey, Uint8Array.of(RELEASE, exchange.packetId >> 8, exchange.packetId));
    this.done(exchange);
    this.#keys.set(exchange, { message: 0, state: this.#lastKey });
  }

  /**
   * The session is a new one: the server knows no identifier.
   * @internal
   */
  renewed(): void {
    for (const key of this.#retired) this.#remove(key);
    this.#retired.length = 0;
  }

  /**
   * Nothing is to be remembered of this message, but `retiredId` where it is not 0.
   * @internal
   */
  done(exchange: Publication, retiredId = 0): void {
    if (retiredId) {
      this.#lastKey += 2;
      this.#put(this.#lastKey, Uint8Array.of(RETIRED, retiredId >> 8, retiredId));
      this.#retired.push(this.#lastKey);
    }
    const keys = this.#keys.get(exchange);
    if (keys?.message) this.#remove(keys.message);
    if (keys?.state) this.#remove(keys.state);
    this.#keys.delete(exchange);
  }

  /**
   * Nothing is to be remembered of what was queued and is settled: many messages at once.
   * @internal
   */
  forgetQueue(): void {
    const all = this.#keys;
    const gone: number[] = [];
    this.#keys = new Map();
    for (const [exchange, keys] of all) {
      if (exchange.settled && exchange.awaits === QUEUED) {
        gone.push(keys.message);
        if (keys.state) gone.push(keys.state);
      } else this.#keys.set(exchange, keys);
    }
    stored(() => this.removeAll(gone));
  }

  /**
   * An inbound QoS 2 message became ours (`known`), or is released.
   * @internal
   */
  inbound(packetId: number, known: boolean): void {
    if (known) this.#put(packetId, Uint8Array.of(INBOUND, packetId >> 8, packetId));
    else this.#remove(packetId);
  }
}

/** Runs what calls a store; whatever that throws leaves as a HubwireError. */
function stored<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof HubwireError) throw cause;
    throw new HubwireError("ERR_STORE", "the store failed", { cause });
  }
}

/**
 * The message of a MESSAGE record; or why it may not be sent: it would end every connection, or the client, so it stays
 * where it is and holds up no other.
 */
function messageOf(record: Buffer, packetId: number): Restored | HubwireError {
  const end = 6 + record.readUInt16BE(4);
  const qos = (record[3]! & 3) as QoS;
  const retain = record[3]! > 3;
  const payload = record.subarray(end);
  let topic: string;
  try {
    if (end > record.length) throw new HubwireError("ERR_MALFORMED_PACKET", "a record shorter than its topic");
    topic = readUtf8(record, 6, end);
    checkPublish(topic, payload, qos, retain);
  } catch (cause) {
    const text = "a message in the store breaks a rule of MQTT: it is set aside, and stays in the store";
    return new HubwireError("ERR_STORE", text, { cause });
  }
  const message = new Restored(topic, payload, qos, retain);
  message.packetId = packetId;
  message.wait(false);
  return message;
}
