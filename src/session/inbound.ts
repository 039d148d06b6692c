/**
 * Messages received with QoS 1 and 2, and the order of their acknowledgements.
 *
 * Invariants: PUBACK and PUBREC leave in the order in which the PUBLISH arrived (MQTT-4.6.0-2, -3), whatever
 * the order of `acknowledge`; a PUBLISH is answered only on the connection that it came on; a QoS 2 message
 * is known by its packet identifier from delivery until PUBREL and not delivered a second time (MQTT-4.3.3-2,
 * the standard's method B). Its PUBREC waits for `acknowledge` and is what makes it the receiver's: an
 * unacknowledged one is the server's to send again, and is answered then if `acknowledge` came meanwhile.
 */

/** A slot is the packet identifier and these bits. */
const QOS_2 = 1 << 16;
const DONE = 1 << 17;
const SKIP = 1 << 18;

const DOUBTFUL = -1;

/** Whom `Inbound` tells. */
export interface InboundOwner {
  /** Sends PUBREC or PUBACK. */
  answer(qos2: boolean, packetId: number): void;
  /** A QoS 2 message became the receiver's; its PUBREC comes after this. */
  taken(packetId: number): void;
}

export class Inbound {
  /**
   * Arrivals on this connection that wait for their turn, oldest at `#head`; delivery `#base + n` is slot n.
   */
  #slots: number[] = [];
  #head = 0;
  #base = 1;
  // The maps are made when they are needed: most clients never get a QoS 2 message.
  /**
   * QoS 2 packet identifier to its delivery, 0 once that is acknowledged, DOUBTFUL where the server may have
   * forgotten it.
   */
  #known: Map<number, number> | undefined;
  /** Delivery to QoS 2 packet identifier, of deliveries of earlier connections that are not settled. */
  #carried: Map<number, number> | undefined;
  /** The first delivery since the last doubt: of those before it that are not settled the server may know nothing. */
  #sinceDoubt = 0;
  /** QoS 2 packet identifier to the first slot behind those that were given up with their message. */
  #refused: Map<number, number> | undefined;
  readonly #owner: InboundOwner;

  constructor(owner: InboundOwner) {
    this.#owner = owner;
  }

  /** A QoS 2 message that became the receiver's in an earlier process and is not released. */
  restore(packetId: number): void {
    (this.#known ??= new Map()).set(packetId, 0);
  }

  /** Those that arrived on this connection and are not answered. */
  get waiting(): number {
    return this.#slots.length - this.#head;
  }

  /** A PUBLISH arrived: its delivery, or 0 for a duplicate that must not be delivered. */
  arrived(qos2: boolean, packetId: number, dup: boolean): number {
    const deliveryId = this.#base + this.#slots.push(qos2 ? packetId | QOS_2 : packetId) - 1;
    if (!qos2) return deliveryId;
    const known = this.#known?.get(packetId);
    if (known !== undefined && (dup || !this.#isDoubtful(known))) {
      if (known === 0) this.#owner.taken(packetId);
      this.#advance();
      return 0;
    }
    (this.#known ??= new Map()).set(packetId, deliveryId);
    return deliveryId;
  }

  /**
   * The owner took the delivery over, or (`refused`) gave it up. A delivery that is over already is ignored.
   */
  settle(deliveryId: number, refused: boolean): void {
    const index = deliveryId - this.#base;
    const slot = this.#slots[index];
    let qos2Id = 0;
    if (slot === undefined) {
      // From an earlier connection: only a QoS 2 message that is still known means anything on this one.
      qos2Id = this.#carried?.get(deliveryId) ?? 0;
      this.#carried?.delete(deliveryId);
    } else if (slot & QOS_2) qos2Id = slot & 0xffff;
    else this.#slots[index] = slot | (refused ? SKIP : DONE);
    const known = this.#known;
    // Stryker disable next-line OptionalChaining: with an identifier there is a map.
    if (qos2Id && known?.get(qos2Id) === deliveryId) {
      if (refused) {
        // Repeats of it that arrived meanwhile must not be answered either.
        known.delete(qos2Id);
        (this.#refused ??= new Map()).set(qos2Id, this.#base + this.#slots.length);
      } else {
        // First: where the store fails, the message is taken all the same, and recorded when it comes again.
        known.set(qos2Id, this.#isDoubtful(deliveryId) ? DOUBTFUL : 0);
        this.#owner.taken(qos2Id);
      }
    }
    this.#advance();
  }

  /** PUBREL: the identifier is free for a new message. Whether it was known. */
  released(packetId: number): boolean {
    return this.#known?.delete(packetId) ?? false;
  }

  /** The connection is gone, and with it everything that waited for its turn. */
  lost(): void {
    this.#base += this.#slots.length;
    this.#slots = [];
    this.#head = 0;
    this.#refused = undefined;
    this.#known?.forEach((known, id) => {
      // Stryker disable next-line ConditionalExpression,EqualityOperator: of what is no delivery nobody will ask.
      if (known > 0) (this.#carried ??= new Map()).set(known, id);
    });
  }

  /** The session is gone: the identifiers that were known, each forgotten once the next is asked for. */
  *forget(): Iterable<number> {
    this.#carried = undefined;
    for (const packetId of this.#known?.keys() ?? []) {
      yield packetId;
      this.#known?.delete(packetId);
    }
  }

  /**
   * The server may have begun a new session unnoticed: a first PUBLISH (DUP 0) of a known identifier is a new
   * message.
   */
  doubt(): void {
    this.#known?.forEach((known, id, all) => {
      if (!known) all.set(id, DOUBTFUL);
    });
    this.#sinceDoubt = this.#base;
  }

  /** Of a known identifier's value: DOUBTFUL itself is below every delivery. */
  #isDoubtful(known: number): boolean {
    return known !== 0 && known < this.#sinceDoubt;
  }

  #advance(): void {
    const slots = this.#slots;
    // Stryker disable next-line EqualityOperator: what is not there waits.
    while (this.#head < slots.length) {
      const slot = slots[this.#head]!;
      const id = slot & 0xffff;
      const qos2 = (slot & QOS_2) !== 0;
      const isSkipped = qos2 ? (this.#refused?.get(id) ?? 0) > this.#base + this.#head : (slot & SKIP) !== 0;
      // Stryker disable next-line OptionalChaining: with an identifier there is a map.
      if (!isSkipped && (qos2 ? (this.#known?.get(id) ?? 0) > 0 : !(slot & DONE))) break;
      this.#head++;
      if (!isSkipped) this.#owner.answer(qos2, id);
    }
    // Emptied at once where nothing waits; otherwise when half of it is history.
    // Stryker disable next-line ConditionalExpression,LogicalOperator,EqualityOperator,MethodExpression,ArithmeticOperator: time and memory only.
    if (this.#head < slots.length && this.#head <= Math.max(1023, slots.length / 2)) return;
    this.#base += this.#head;
    // One handled at once, as most are: to take it off keeps the memory for the next.
    // Stryker disable next-line ConditionalExpression,EqualityOperator: as above.
    if (slots.length === 1) slots.pop();
    else slots.splice(0, this.#head);
    this.#head = 0;
  }
}
