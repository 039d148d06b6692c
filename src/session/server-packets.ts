/**
 * What each packet from the server is for: counted, traced and handed to the part that owns what it is about.
 *
 * Invariant: nothing but CONNACK may come before CONNACK (MQTT-3.2.0-1), and nothing that only clients send at all.
 */
import { Buffer } from "node:buffer";
import { publishSize } from "../codec/check.js";
import type { Decoder } from "../codec/index.js";
import type { PacketSink, QoS } from "../codec/types.js";
import type { Answers } from "./answers.js";
import type { Arrivals } from "./arrivals.js";
import { PUBACK, PUBCOMP, PUBREC, SUBACK, UNSUBACK } from "./exchange.js";
import type { KeepAlive } from "./keep-alive.js";
import type { Outbound } from "./outbound.js";
import type { SessionParts } from "./parts.js";
import { onlyFromClients, violation } from "./refusals.js";
import type { Route } from "./route.js";
import type { Subscriptions } from "./subscriptions.js";

/** What a Buffer makes its own views with; `Buffer.from` and `subarray` take longer to get there. */
const View = (Buffer as unknown as { [Symbol.species]?: Uint8ArrayConstructor })[Symbol.species] ?? Uint8Array;

export interface Recipients<S extends Route> {
  readonly parts: SessionParts;
  readonly outbound: Outbound;
  readonly subscriptions: Subscriptions<S>;
  readonly arrivals: Arrivals<S>;
  readonly answers: Answers<S>;
  readonly keepAlive: KeepAlive;
  onConnack(sessionPresent: boolean, returnCode: number): void;
}

/** The sink of a connection's decoder. A class, because a closure for each packet would take more than all it works with. */
export class ServerPackets<S extends Route> implements Required<PacketSink> {
  readonly #to: Recipients<S>;
  readonly #parts: SessionParts;
  readonly #arrivals: Arrivals<S>;
  /** The last `bytes`, and what is asked of them for each payload: the answers take longer than all the rest of a view. */
  #bytes: Uint8Array | undefined;
  #memory: ArrayBufferLike | undefined;
  #offset = 0;

  constructor(to: Recipients<S>) {
    this.#to = to;
    this.#parts = to.parts;
    this.#arrivals = to.arrivals;
  }

  /** Delivers the packets that the chunk completes, by a decoder whose sink this is; keeps nothing of it alive. Throws what `push` does. */
  receive(decoder: Decoder, chunk: Uint8Array): void {
    try {
      decoder.push(chunk);
    } finally {
      this.#bytes = this.#memory = undefined;
    }
  }

  #took(type: string, packetId: number, size: number | undefined, topic?: string): void {
    const { metrics, output } = this.#parts;
    if (!this.#arrivals.isOpen) throw violation(`${type} before CONNACK`, "MQTT-3.2.0-1");
    metrics.packetsReceived++;
    output.trace?.("in", type, packetId, size!, topic);
  }

  connack(sessionPresent: boolean, returnCode: number): void {
    const { metrics, output } = this.#parts;
    metrics.packetsReceived++;
    output.trace?.("in", "connack", 0, 4);
    this.#to.onConnack(sessionPresent, returnCode);
  }

  publish(
    topic: string,
    bytes: Uint8Array,
    start: number,
    end: number,
    qos: QoS,
    retain: boolean,
    dup: boolean,
    packetId: number,
  ): void {
    const { trace } = this.#parts.output;
    this.#took("publish", packetId, trace && publishSize(topic, end - start, qos), topic);
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#memory = bytes.buffer;
      this.#offset = bytes.byteOffset;
    }
    const payload = new View(this.#memory!, this.#offset + start, end - start);
    this.#arrivals.published(topic, payload, qos, retain, dup, packetId);
  }

  puback(packetId: number): void {
    this.#acknowledged("puback", packetId, PUBACK);
  }

  pubrec(packetId: number): void {
    this.#acknowledged("pubrec", packetId, PUBREC);
  }

  pubcomp(packetId: number): void {
    this.#acknowledged("pubcomp", packetId, PUBCOMP);
  }

  #acknowledged(name: string, packetId: number, type: typeof PUBACK | typeof PUBREC | typeof PUBCOMP): void {
    this.#took(name, packetId, 4);
    this.#to.answers.ofPublication(name, packetId, type);
  }

  pubrel(packetId: number): void {
    this.#took("pubrel", packetId, 4);
    this.#arrivals.released(packetId);
  }

  suback(packetId: number, returnCodes: number[]): void {
    const { answers, subscriptions } = this.#to;
    this.#took("suback", packetId, 4 + returnCodes.length);
    const asking = answers.asking("suback", packetId, SUBACK);
    if (!asking) return;
    const { length } = asking.topicFilters;
    if (length !== returnCodes.length) {
      throw violation(`SUBACK with ${returnCodes.length} codes for ${length} filters`, "MQTT-3.8.4-5");
    }
    subscriptions.granted(asking, returnCodes);
  }

  unsuback(packetId: number): void {
    const { answers, subscriptions } = this.#to;
    this.#took("unsuback", packetId, 4);
    const asking = answers.asking("unsuback", packetId, UNSUBACK);
    if (asking) subscriptions.ended(asking);
  }

  pingresp(): void {
    const { keepAlive, outbound, parts } = this.#to;
    this.#took("pingresp", 0, 2);
    keepAlive.pingresp();
    outbound.suspect.alive(parts.time.now);
  }

  connect(): void {
    onlyFromClients();
  }

  subscribe(): void {
    onlyFromClients();
  }

  unsubscribe(): void {
    onlyFromClients();
  }

  pingreq(): void {
    onlyFromClients();
  }

  disconnect(): void {
    onlyFromClients();
  }
}
