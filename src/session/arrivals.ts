/**
 * Messages from the server: to whom they go, and when they count as received.
 *
 * Invariant: what the store is told of a message that became the receiver's comes before the packet that tells the server.
 */
import type { QoS } from "../codec/types.js";
import type { Filters } from "./filters.js";
import { Inbound } from "./inbound.js";
import type { SessionStore } from "./journal.js";
import type { SessionParts } from "./parts.js";
import { violation } from "./refusals.js";
import type { Route } from "./route.js";
import type { SessionSink } from "./types.js";

/** A peer that repeats one without end must not fill the memory. */
const ALL_IDS = 65_535;

/** Who gets the messages; what `SessionSink` says of it. */
type Receiver<S extends Route> = Pick<SessionSink<never, never, S>, "deliver">;

export class Arrivals<S extends Route> {
  /** Between CONNACK and the end of the connection, or DISCONNECT: anything may come. */
  isOpen = false;
  readonly #parts: SessionParts;
  readonly #filters: Filters<S>;
  readonly #receiver: Receiver<S>;
  readonly #inbound = new Inbound(this);
  #journal: SessionStore | undefined;

  constructor(parts: SessionParts, filters: Filters<S>, receiver: Receiver<S>) {
    this.#parts = parts;
    this.#filters = filters;
    this.#receiver = receiver;
  }

  /** See `InboundOwner`. */
  answer(qos2: boolean, packetId: number): void {
    const { output, time } = this.#parts;
    if (this.isOpen) output.answer(qos2 ? "pubrec" : "puback", packetId, time.now);
  }

  /** See `InboundOwner`. */
  taken(packetId: number): void {
    this.#journal?.inbound(packetId, true);
  }

  /** Takes over the QoS 2 identifiers that the store has of an earlier process. */
  restore(store: SessionStore, packetIds: readonly number[]): void {
    this.#journal = store;
    for (const packetId of packetIds) this.#inbound.restore(packetId);
  }

  /** CONNACK. `isSure`: the session that is present is the one that is remembered. */
  opened(sessionPresent: boolean, isSure: boolean): void {
    this.isOpen = true;
    if (!sessionPresent) for (const packetId of this.#inbound.forget()) this.#journal?.inbound(packetId, false);
    else if (!isSure) this.#inbound.doubt();
  }

  lost(): void {
    this.isOpen = false;
    this.#inbound.lost();
  }

  /** PUBLISH; `packetId` is 0 with QoS 0. */
  published(topic: string, payload: Uint8Array, qos: QoS, retain: boolean, dup: boolean, packetId: number): void {
    const { metrics } = this.#parts;
    if (packetId && this.#inbound.waiting >= ALL_IDS) {
      throw violation("more messages without an acknowledgement than there are packet identifiers", "MQTT-2.3.1-4");
    }
    const deliveryId = packetId && this.#inbound.arrived(qos > 1, packetId, dup);
    if (packetId && !deliveryId) return void metrics.duplicatesSuppressed++;
    metrics.messagesReceived++;
    const routes = this.#filters.match(topic);
    const isLate = routes.length === 0 && this.#filters.wasSubscribed(topic);
    this.#receiver.deliver({ topic, payload, qos, retain, dup }, deliveryId, isLate ? undefined : routes);
  }

  /** PUBREL. */
  released(packetId: number): void {
    if (this.#inbound.released(packetId)) this.#journal?.inbound(packetId, false);
    this.#parts.output.answer("pubcomp", packetId, this.#parts.time.now);
  }

  /** The owner has taken a delivery over, or (`refused`) gives it up. Throws ERR_STORE. */
  settle(deliveryId: number, refused: boolean): void {
    if (deliveryId) this.#inbound.settle(deliveryId, refused);
  }
}
