/**
 * Packet identifiers (section 2.3.1).
 *
 * Invariants: an identifier is either free or taken, never both (MQTT-2.3.1-2); 0 is never handed out
 * (MQTT-2.3.1-1); taking and releasing are O(1). Free ones wait in a ring and are reused oldest first, so
 * that a server's belated acknowledgement is unlikely to meet a new message. The range doubles when it is
 * used up, so a client with little in flight stays small.
 */
export class PacketIds {
  #ring = new Uint16Array(0);
  #head = 0;
  #free = 0;

  /** A free identifier, 1 to 65,535; 0 when all are taken. */
  take(): number {
    const size = this.#ring.length;
    if (this.#free === 0) {
      if (size > 65_535) return 0;
      this.#fill(size, size * 2 || 256);
    }
    this.#free--;
    const id = this.#ring[this.#head++]!;
    this.#head &= this.#ring.length - 1;
    return id;
  }

  /** Gives `id` back; it must have been taken. */
  release(id: number): void {
    this.#ring[(this.#head + this.#free++) & (this.#ring.length - 1)] = id;
  }

  /** Starts with the listed identifiers taken. Only before the first `take`. */
  reserve(taken: ReadonlySet<number>): void {
    let size = 256;
    while (size <= Math.max(0, ...taken)) size *= 2;
    this.#fill(0, size, taken);
  }

  /** Makes the range `size`, with everything from `first` on free. Only when nothing below is free. */
  #fill(first: number, size: number, taken?: ReadonlySet<number>): void {
    this.#ring = new Uint16Array(size);
    this.#head = this.#free = 0;
    for (let id = first || 1; id < size; id++) if (!taken?.has(id)) this.#ring[this.#free++] = id;
  }
}
