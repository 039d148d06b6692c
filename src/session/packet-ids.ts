/**
 * Packet identifiers and who holds them (section 2.3.1).
 *
 * Invariants: an identifier is either free or held by one exchange, never both (MQTT-2.3.1-2); 0 is never handed out
 * (MQTT-2.3.1-1); one that the server may know of a message that was given up is retired until the session is a new one;
 * every step is O(1). Free ones wait in a ring and are reused oldest first, so that a server's belated
 * acknowledgement is unlikely to meet a new message. The range doubles when it is used up, so a client with little in
 * flight stays small.
 */
import type { Exchange } from "./exchange.js";

/** Before the first identifier. */
const NONE = /* @__PURE__ */ new Uint16Array(0);

export class PacketIds {
  #ring = NONE;
  #head = 0;
  #free = 0;
  readonly #holders: (Exchange | undefined)[] = [];
  readonly #retired: number[] = [];

  /** Gives `holder` a free identifier, 1 to 65,535. False when all are taken. */
  take(holder: Exchange): boolean {
    const size = this.#ring.length;
    if (this.#free === 0) {
      if (size >= 65_536) return false;
      this.#fill(size, size * 2 || 256);
    }
    this.#free--;
    const id = this.#ring[this.#head++]!;
    this.#head &= this.#ring.length - 1;
    this.#holders[id] = holder;
    holder.packetId = id;
    return true;
  }

  /** Takes the identifier back, where `holder` has one; `isRetired`: nobody gets it before `renew`. */
  release(holder: Exchange, isRetired = false): void {
    const { packetId } = holder;
    if (!packetId) return;
    this.#holders[packetId] = undefined;
    holder.packetId = 0;
    if (isRetired) this.#retired.push(packetId);
    else this.#put(packetId);
  }

  /** The session is a new one: the server knows no identifier. */
  renew(): void {
    for (const packetId of this.#retired.splice(0)) this.#put(packetId);
  }

  #put(packetId: number): void {
    this.#ring[(this.#head + this.#free++) & (this.#ring.length - 1)] = packetId;
  }

  /** Who holds the identifier; undefined where it is free. */
  holder(packetId: number): Exchange | undefined {
    return this.#holders[packetId];
  }

  /** Starts with what `holders` have; one that awaits nothing stands for a retired one. Only before the first `take`. */
  restore(holders: readonly Exchange[]): void {
    let size = 256;
    for (const holder of holders) {
      while (size <= holder.packetId) size *= 2;
      if (holder.packetId) this.#holders[holder.packetId] = holder;
    }
    this.#fill(0, size);
    for (const holder of holders) if (!holder.awaits) this.release(holder, true);
  }

  /** Makes the range `size`, with everything from `first` on free that nobody holds. */
  #fill(first: number, size: number): void {
    this.#ring = new Uint16Array(size);
    this.#head = this.#free = 0;
    for (let id = first || 1; id < size; id++) if (!this.#holders[id]) this.#ring[this.#free++] = id;
  }
}
