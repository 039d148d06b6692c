/**
 * Acknowledgements: which exchange one is for, and whether it may be (policy 4).
 *
 * Invariants: one for an identifier that nobody holds changes nothing (PUBREC is answered, so that the server can forget
 * it); one that the flow of its exchange never has is a violation; each that fits shows that the server still answers.
 */
import {
  type Asking,
  type Exchange,
  PUBACK,
  PUBCOMP,
  Publication,
  PUBREC,
  type SUBACK,
  type UNSUBACK,
} from "./exchange.js";
import { Liveness } from "./liveness.js";
import type { Outbound } from "./outbound.js";
import type { SessionParts } from "./parts.js";
import { unfit, violation } from "./refusals.js";
import type { Route } from "./route.js";

export class Answers<S extends Route> {
  readonly liveness: Liveness;
  readonly #parts: SessionParts;
  readonly #outbound: Outbound;
  /** Said on this connection: the server treats QoS 2 as QoS 1. */
  #isDowngraded = false;

  constructor(parts: SessionParts, outbound: Outbound) {
    this.#parts = parts;
    this.#outbound = outbound;
    this.liveness = new Liveness(parts.options.operationTimeout);
  }

  /** A new connection. */
  opened(): void {
    this.#isDowngraded = false;
  }

  /** PUBACK, PUBREC or PUBCOMP. Throws ERR_PROTOCOL_VIOLATION, ERR_STORE. */
  ofPublication(name: string, packetId: number, type: typeof PUBACK | typeof PUBREC | typeof PUBCOMP): void {
    const { ids, output, time } = this.#parts;
    const holder = ids.holder(packetId);
    if (!holder) {
      if (type === PUBREC) output.answer("pubrel", packetId, time.now);
      return;
    }
    if (!(holder instanceof Publication)) throw unfit(name, holder);
    const { awaits } = holder;
    if (awaits === type) this.#acknowledged(holder, type);
    else if (type === PUBACK && awaits === PUBREC) {
      this.#downgrade();
      this.#acknowledged(holder, PUBACK);
    } else if (holder.qos < 2 || type === PUBACK) throw unfit(name, holder);
    else if (type === PUBREC) this.#outbound.release(holder);
    // PUBCOMP before PUBREC belongs to an earlier message of that identifier.
  }

  #acknowledged(publication: Publication, type: number): void {
    this.liveness.answered(this.#parts.time.now);
    this.#outbound.acknowledged(publication, type);
  }

  /** RabbitMQ acknowledges QoS 2 so; the message has arrived as one of QoS 1. */
  #downgrade(): void {
    if (this.#isDowngraded) return;
    this.#isDowngraded = true;
    const error = violation("PUBACK for QoS 2, which the server treats as QoS 1", "MQTT-4.3.3-1");
    this.#parts.event({ type: "downgraded", error });
  }

  /** The request that a SUBACK or UNSUBACK is for; undefined where it is for none. Throws ERR_PROTOCOL_VIOLATION. */
  asking(name: string, packetId: number, type: typeof SUBACK | typeof UNSUBACK): Asking<S> | undefined {
    const holder: Exchange | undefined = this.#parts.ids.holder(packetId);
    if (!holder) return undefined;
    if (holder.awaits !== type) throw unfit(name, holder);
    this.liveness.answered(this.#parts.time.now);
    return holder as Asking<S>;
  }
}
