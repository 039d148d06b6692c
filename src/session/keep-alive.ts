/**
 * Keep alive (section 3.1.2.10): when PINGREQ is due and when the peer counts as gone.
 *
 * Invariants: with an interval K, PINGREQ is due 0.9 K after the last packet sent (MQTT-3.1.2-23), whatever
 * arrives, and 0.9 K after the last byte received, whatever is sent: so a path that went dead is probed while
 * publishing too. A peer from which nothing comes for 0.5 K after PINGREQ is gone (MQTT-3.12.4-1), which is
 * found 1.45 K after its last byte at the latest; the last 0.05 K is a second look, so that a program that
 * blocked its event loop gets to read what waits in the socket before it gives up. A peer that keeps sending
 * whole packets but no PINGRESP has K; while one large packet is still arriving there is no such bound.
 */
export class KeepAlive {
  /** ms; 0 is off. */
  interval = 0;
  sentAt = 0;
  receivedAt = 0;
  /** The first PINGREQ that is not answered; Infinity where there is none. */
  #pingAt = Infinity;
  #packetsAtPing = 0;
  #suspectAt = Infinity;
  #reading = true;

  /** A new connection: `interval` in ms. */
  start(interval: number, now: number): void {
    this.interval = interval;
    this.sentAt = this.receivedAt = now;
    this.#pingAt = this.#suspectAt = Infinity;
    this.#reading = true;
  }

  received(now: number): void {
    this.receivedAt = now;
    this.#suspectAt = Infinity;
  }

  pingresp(): void {
    this.#pingAt = Infinity;
  }

  /** While the owner does not read, PINGRESP can't arrive, so it can't be late. */
  reading(on: boolean, now: number): void {
    this.#reading = on;
    this.received(now);
    if (on && this.#pingAt < now) this.#pingAt = now;
  }

  /**
   * What is due at `now`: 0 nothing, 1 a PINGREQ (which counts as sent), 2 the peer is gone. `isDue` says
   * whether a time has come and, where not, remembers it as the next to look at.
   */
  check(now: number, packets: number, isDue: (time: number) => boolean): 0 | 1 | 2 {
    const k = this.interval;
    if (!k) return 0;
    const waiting = this.#pingAt < Infinity;
    if (waiting && this.#reading) {
      const silent = isDue(Math.max(this.#pingAt, this.receivedAt) + k / 2);
      if (silent && this.#suspectAt === Infinity) this.#suspectAt = now + k / 20;
      if (silent && isDue(this.#suspectAt)) return 2;
      if (packets > this.#packetsAtPing && isDue(this.#pingAt + k)) return 2;
    }
    if (!isDue((waiting ? this.sentAt : Math.min(this.sentAt, this.receivedAt)) + k * 0.9)) return 0;
    if (!waiting) {
      this.#pingAt = now;
      this.#packetsAtPing = packets;
    }
    isDue((this.sentAt = now) + k * 0.9);
    isDue(now + k / 2);
    return 1;
  }
}
