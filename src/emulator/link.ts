/**
 * One MQTT connection, seen from the hub: packets, keep alive, deadlines. It knows no socket and no device.
 *
 * Invariants: CONNECT comes first and once (MQTT-3.1.0-1, -2); after the link closed nothing more is
 * delivered or sent; what one chunk provokes leaves as one write; `endpoint.closed` is called exactly once
 * for an accepted link.
 */
import type { X509Certificate } from "node:crypto";
import { Decoder, PacketWriter } from "../codec/index.js";
import type { ConnectPacket, PacketSink, QoS, SubscriptionRequest, Will } from "../codec/index.js";
import { HubwireError } from "../errors.js";
import { Alarm, type Clock } from "../clock.js";
import type { Faults } from "./faults.js";
import { FaultyTransport } from "./faulty-transport.js";
import type { Limits } from "./limits.js";
import type { Transport } from "./transport.js";

/** Why a connection ended. */
export type CloseReason =
  | "disconnect"
  | "lost"
  | "takeover"
  | "keep-alive"
  | "token-expired"
  | "violation"
  | "throttled"
  | "disabled"
  | "fault"
  | "hub";

/** What an accepted CONNECT talks to. Methods may throw HubwireError: a violation, which closes the link. */
export interface Endpoint {
  /** CONNACK is written; what follows comes after it. */
  started(): void;
  /**
   * Returns whether it is done, so that a QoS 1 PUBLISH is acknowledged now; otherwise the endpoint calls
   * `acknowledge(packetId)` later, or never.
   */
  publish(topic: string, payload: Uint8Array, qos: QoS, retain: boolean, dup: boolean, packetId: number): boolean;
  /** Returns the granted QoS. */
  subscribe(topicFilter: string, qos: QoS): number;
  /** SUBACK is written. */
  subscribed(): void;
  unsubscribe(topicFilter: string): void;
  acknowledged(packetId: number): void;
  closed(reason: CloseReason, error: HubwireError | undefined, will: Will | undefined): void;
}

/** The answer to CONNECT: an endpoint, or a return code with the reason for the log. */
export type Verdict =
  | { readonly endpoint: Endpoint; readonly sessionPresent: boolean; readonly expiry: number }
  | { readonly returnCode: number; readonly reason: string };

/** What a link needs of its hub. */
export interface LinkOwner {
  readonly clock: Clock;
  readonly limits: Limits;
  /** The faults of this client; those of the hub while it is unknown. */
  faultsOf(clientId: string): Faults;
  /** Throws HubwireError for a CONNECT that is a violation. */
  admit(link: Link, connect: ConnectPacket): Verdict;
  refused(connect: ConnectPacket, returnCode: number, reason: string): void;
  violated(link: Link, error: HubwireError): void;
  closed(link: Link): void;
}

/** A topic's length field and name, and the fixed header and packet identifier of PUBLISH. */
const TOPIC_BYTES = 2 + 65_535 + 5 + 2;

/** Return code of CONNACK for a hub that has no room. */
const SERVER_UNAVAILABLE = 3;

/** The two breaches in CONNECT that are answered before the close (MQTT-3.1.2-2, MQTT-3.1.3-8). */
const CONNECT_ANSWERS: Readonly<Record<string, number>> = { "MQTT-3.1.2-2": 1, "MQTT-3.1.3-7": 2 };

/** Thrown through the decoder to stop it once the link closed; never seen outside. */
const STOP = new HubwireError("ERR_CLOSED", "the link is closed");

export const violation = (message: string, statement?: string): HubwireError =>
  new HubwireError("ERR_PROTOCOL_VIOLATION", message, statement === undefined ? {} : { statement });

export class Link {
  readonly certificate: X509Certificate | undefined;
  /** Of CONNECT; empty before. */
  clientId = "";
  readonly #owner: LinkOwner;
  readonly #transport: FaultyTransport;
  readonly #decoder: Decoder;
  readonly #writer = new PacketWriter();
  readonly #alarm: Alarm;
  #state: "new" | "open" | "closed" = "new";
  #endpoint: Endpoint | undefined;
  #will: Will | undefined;
  #lastReceived: number;
  /** How long the client may be silent, ms; before CONNECT, how long it may take. */
  #silence: number;
  /** When the token ends, on the monotonic clock. */
  #expiry = Infinity;
  #receiving = false;
  #flushScheduled = false;
  #heldAcknowledgements: number[] = [];
  #faults: Faults;
  /** Packets that came, and how many the fault `closeAfter` lets come; CONNECT is the first. */
  #packets = 0;
  #lastPacket = Infinity;
  /** Nothing is read before, on the monotonic clock: new connections are throttled. */
  readonly #readFrom: number;

  /** `delay`: for how long the throttle of new connections holds this one back, ms; Infinity refuses it. */
  constructor(owner: LinkOwner, transport: Transport, delay: number) {
    this.#owner = owner;
    this.#transport = new FaultyTransport(transport, owner.clock);
    this.#faults = owner.faultsOf("");
    this.certificate = transport.certificate;
    this.#decoder = new Decoder(this.#sink(), { maxPacketSize: owner.limits.telemetryBytes + TOPIC_BYTES });
    this.#readFrom = delay === Infinity ? Infinity : owner.clock.now() + delay;
    this.#lastReceived = owner.clock.now() + (delay === Infinity ? 0 : delay);
    this.#silence = owner.limits.connectTimeout;
    this.#alarm = new Alarm(owner.clock, () => this.#deadline());
    this.#setAlarm();
    this.faultsChanged();
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Bytes from the client. The caller must not write to `chunk` afterwards: payloads are views of it. */
  receive(chunk: Uint8Array): void {
    if (this.#state === "closed") return this.#transport.lateInput(this.#faults);
    if (this.#faults.get("halfOpen")) return;
    // Before CONNECT the deadline counts from the connection: a trickle of bytes must not extend it.
    if (this.#state === "open") this.#lastReceived = this.#owner.clock.now();
    this.#receiving = true;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      if (error !== STOP) this.#failed(error);
    } finally {
      this.#receiving = false;
      this.#flush();
    }
  }

  /** The stream ended or broke. */
  transportClosed(): void {
    this.close("lost");
  }

  /** Ends the link; what was written before still leaves, unless it ends `abruptly`. */
  close(reason: CloseReason, error?: HubwireError, abruptly = false): void {
    if (this.#state === "closed") return;
    this.#flush();
    this.#state = "closed";
    this.#alarm.stop();
    if (abruptly) this.#transport.destroy();
    else this.#transport.end(this.#faults);
    this.#owner.closed(this);
    // MQTT-3.1.2-8; a DISCONNECT took the will away before (MQTT-3.14.4-3).
    this.#endpoint?.closed(reason, error, this.#will);
  }

  /** Sends PUBLISH; `packetId` is 0 with QoS 0. */
  publish(topic: string, payload: Uint8Array | string, qos: QoS, dup: boolean, packetId: number): void {
    if (this.#state !== "open") return;
    this.#writer.publish(topic, payload, qos, false, dup, packetId);
    this.#scheduleFlush();
  }

  /** Acknowledges a QoS 1 PUBLISH that was not done at once. */
  acknowledge(packetId: number): void {
    if (this.#state !== "open") return;
    this.#puback(packetId);
    this.#scheduleFlush();
  }

  /** The faults that hold for this client may be others now. */
  faultsChanged(): void {
    if (this.#state === "closed") return;
    this.#lastPacket = this.#faults.strike("closeAfter") || Infinity;
    this.#setReading();
    if (this.#state !== "open" || this.#faults.get("puback") !== "send") return;
    for (const packetId of this.#heldAcknowledgements.splice(0)) this.#writer.puback(packetId);
    this.#scheduleFlush();
  }

  /** What the decoder delivers to: private, so that it does not mix with the calls of the hub. */
  #sink(): PacketSink {
    const counted =
      <A extends unknown[]>(handle: (...fields: A) => void) =>
      (...fields: A): void => {
        // What came before is answered.
        if (++this.#packets >= this.#lastPacket) this.#flush();
        handle(...fields);
        if (this.#packets >= this.#lastPacket) this.#break();
      };
    const refused = (type: string) =>
      counted((): never => {
        this.#open();
        throw violation(`a client must not send ${type}`);
      });
    return {
      connect: counted((packet) => this.#onConnect(packet)),
      publish: counted((topic, bytes, start, end, qos, retain, dup, packetId) =>
        this.#onPublish(
          topic,
          Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start),
          qos,
          retain,
          dup,
          packetId,
        ),
      ),
      puback: counted((packetId) => this.#open().acknowledged(packetId)),
      subscribe: counted((packetId, subscriptions) => this.#onSubscribe(packetId, subscriptions)),
      unsubscribe: counted((packetId, topicFilters) => this.#onUnsubscribe(packetId, topicFilters)),
      pingreq: counted(() => this.#onPingreq()),
      disconnect: counted(() => this.#onDisconnect()),
      connack: refused("CONNACK"),
      suback: refused("SUBACK"),
      unsuback: refused("UNSUBACK"),
      pingresp: refused("PINGRESP"),
      // The hub sends nothing with QoS 2 and takes nothing with QoS 2.
      pubrec: refused("PUBREC"),
      pubrel: refused("PUBREL"),
      pubcomp: refused("PUBCOMP"),
    };
  }

  #onConnect(packet: ConnectPacket): void {
    if (this.#state === "closed") throw STOP;
    if (this.#state === "open") throw violation("a second CONNECT", "MQTT-3.1.0-2");
    this.clientId = packet.clientId;
    const { clock, limits } = this.#owner;
    this.#faults = this.#owner.faultsOf(packet.clientId);
    if (this.#readFrom === Infinity) this.#refuse(packet, SERVER_UNAVAILABLE, "too many new connections a second");
    const connack = this.#faults.strike("connack");
    if (connack !== 0) this.#refuse(packet, connack, "the fault `connack` is set");
    const verdict = this.#owner.admit(this, packet);
    if (!("endpoint" in verdict)) this.#refuse(packet, verdict.returnCode, verdict.reason);
    this.#state = "open";
    this.#endpoint = verdict.endpoint;
    this.#will = packet.will && { ...packet.will, payload: Buffer.from(packet.will.payload) };
    this.#lastReceived = clock.now();
    // MQTT-3.1.2-24; a keep alive of 0 does not turn off the hub's own limit.
    this.#silence = Math.min(packet.keepAlive === 0 ? Infinity : packet.keepAlive * 1500, limits.silence);
    this.#expiry = clock.now() + (verdict.expiry - clock.wallTime() - this.#faults.get("clockOffset"));
    this.#setAlarm();
    this.faultsChanged();
    this.#writer.packet({ type: "connack", sessionPresent: verdict.sessionPresent, returnCode: 0 });
    verdict.endpoint.started();
  }

  /** MQTT-3.2.2-5: a return code other than 0 is followed by the close. */
  #refuse(packet: ConnectPacket, returnCode: number | "close", reason: string): never {
    if (returnCode !== "close") this.#writer.packet({ type: "connack", sessionPresent: false, returnCode });
    this.#owner.refused(packet, returnCode === "close" ? 0 : returnCode, reason);
    this.close("hub");
    throw STOP;
  }

  #onPublish(topic: string, payload: Uint8Array, qos: QoS, retain: boolean, dup: boolean, packetId: number): void {
    const endpoint = this.#open();
    if (qos === 2) throw violation("IoT Hub takes no QoS 2 PUBLISH");
    if (endpoint.publish(topic, payload, qos, retain, dup, packetId) && qos === 1) this.#puback(packetId);
  }

  #puback(packetId: number): void {
    const puback = this.#faults.strike("puback");
    if (puback === "send") this.#writer.puback(packetId);
    else if (puback === "hold") this.#heldAcknowledgements.push(packetId);
  }

  #onSubscribe(packetId: number, subscriptions: SubscriptionRequest[]): void {
    const endpoint = this.#open();
    const returnCodes = subscriptions.map(({ topicFilter, qos }) => endpoint.subscribe(topicFilter, qos));
    this.#writer.packet({ type: "suback", packetId, returnCodes });
    endpoint.subscribed();
  }

  #onUnsubscribe(packetId: number, topicFilters: string[]): void {
    const endpoint = this.#open();
    for (const topicFilter of topicFilters) endpoint.unsubscribe(topicFilter);
    this.#writer.packet({ type: "unsuback", packetId });
  }

  #onPingreq(): void {
    this.#open();
    if (this.#faults.strike("pingresp")) this.#writer.packet({ type: "pingresp" });
  }

  #onDisconnect(): void {
    this.#open();
    this.#will = undefined;
    this.close("disconnect");
    throw STOP;
  }

  /** The endpoint of an open link. */
  #open(): Endpoint {
    // Closed by what the packet before provoked.
    if (this.#state === "closed") throw STOP;
    if (this.#endpoint === undefined) throw violation("the first packet must be CONNECT", "MQTT-3.1.0-1");
    return this.#endpoint;
  }

  #failed(error: unknown): void {
    const known = error instanceof HubwireError;
    const reported = known ? error : violation("a listener of the hub threw");
    if (known) this.#owner.violated(this, reported);
    const returnCode = this.#state === "new" ? CONNECT_ANSWERS[reported.statement ?? ""] : undefined;
    if (returnCode !== undefined) this.#writer.packet({ type: "connack", sessionPresent: false, returnCode });
    this.close("violation", reported);
    // An error of the program's own listener is the program's to see.
    if (!known) throw error;
  }

  /** The fault `closeAfter`: the connection is gone, with what was not sent. */
  #break(): never {
    if (this.#state !== "closed") {
      this.#writer.take();
      this.close("fault", undefined, true);
    }
    throw STOP;
  }

  #deadline(): void {
    const now = this.#owner.clock.now();
    // What is not read from cannot be called silent.
    if (!this.#setReading()) this.#lastReceived = Math.max(this.#lastReceived, now);
    if (now >= this.#expiry) this.close("token-expired");
    else if (now >= this.#lastReceived + this.#silence) this.close("keep-alive");
    else this.#setAlarm();
  }

  #setAlarm(): void {
    const now = this.#owner.clock.now();
    const next = Math.min(this.#lastReceived + this.#silence, this.#expiry);
    this.#alarm.set(this.#readFrom !== Infinity && this.#readFrom > now ? Math.min(this.#readFrom, next) : next);
  }

  /** Whether input is read now: not before its time, and not while the fault `stall` is set. */
  #setReading(): boolean {
    const held = this.#readFrom !== Infinity && this.#readFrom > this.#owner.clock.now();
    const on = !held && !this.#faults.get("stall");
    this.#transport.setReading(on);
    return on;
  }

  /** One write for all that one tick sends; inside `receive` the end of the chunk is the moment. */
  #scheduleFlush(): void {
    if (this.#receiving || this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#state === "closed" || this.#writer.byteLength === 0) return;
    this.#transport.write(this.#writer.take(), this.#faults);
  }
}
