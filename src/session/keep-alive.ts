/**
 * Keep alive (section 3.1.2.10): when PINGREQ is due and when the peer counts as gone.
 *
 * Invariants, with an interval K: PINGREQ is due 0.9 K after the last packet sent (MQTT-3.1.2-23), whatever arrives, and
 * 0.9 K after the last byte received, whatever is sent: so a path that went dead is probed while publishing too. Bytes
 * that move are life: a peer is gone (MQTT-3.12.4-1) when, after PINGREQ, nothing came from it and nothing that waited
 * for the network was taken by it for 0.5 K, and for as much longer as what was sent since its last byte may need on a
 * slow line, behind which PINGREQ has to wait. With little under way that is 1.45 K after its last byte at the latest;
 * the last 0.05 K is a second look, so that a program that blocked its event loop gets to read what waits in the socket
 * before it gives up. While the owner does not read, nothing can come: then it is asked for a look at what is there.
 */

/** Bytes a ms of a line that is slow and still one to wait for: 64 KiB a second. */
const SLOW_LINE = 65.536;
/** What systems hold of output that they have taken: more of it has left, or is on its way. */
const UNDER_WAY = 4 * 1024 * 1024;

/** How the peer is. */
export type PeerState = "fine" | "gone" | "unknown: look";

export class KeepAlive {
  /** ms; 0 is off. */
  interval = 0;
  sentAt = 0;
  receivedAt = 0;
  /** Bytes sent since the last byte received. */
  #underWay = 0;
  /** When waiting output was last taken by the network. */
  #takenAt = 0;
  /** The first PINGREQ that is not answered; Infinity where there is none. */
  #pingAt = Infinity;
  #suspectAt = Infinity;
  // Stryker disable next-line BooleanLiteral: each connection begins with it.
  #reading = true;
  /** When a look began that the owner was asked for. */
  #lookAt = Infinity;

  /** A new connection: `interval` in ms. */
  start(interval: number, now: number): void {
    this.interval = interval;
    this.sentAt = this.receivedAt = this.#takenAt = now;
    this.#underWay = 0;
    this.#pingAt = this.#suspectAt = this.#lookAt = Infinity;
    this.#reading = true;
  }

  received(now: number): void {
    this.receivedAt = now;
    this.#underWay = 0;
    this.#suspectAt = this.#lookAt = Infinity;
  }

  /** `bytes` were handed to the transport. */
  wrote(bytes: number): void {
    this.#underWay = Math.min(UNDER_WAY, this.#underWay + bytes);
  }

  /** The network took something that had had to wait, or the owner has no room for a look. */
  taken(now: number): void {
    this.#takenAt = now;
    this.#suspectAt = this.#lookAt = Infinity;
  }

  pingresp(): void {
    this.#pingAt = Infinity;
  }

  reading(on: boolean): void {
    this.#reading = on;
    this.#lookAt = this.#suspectAt = Infinity;
  }

  /**
   * Whether a PINGREQ is due at `now`, which then counts as sent. `isDue` says whether a time has come and, where not,
   * remembers it as the next to look at.
   */
  wantsPing(now: number, isDue: (time: number) => boolean): boolean {
    const k = this.interval;
    if (!k) return false;
    const waiting = this.#pingAt < Infinity;
    if (!isDue((waiting ? this.sentAt : Math.min(this.sentAt, this.receivedAt)) + k * 0.9)) return false;
    if (!waiting) this.#pingAt = now;
    this.sentAt = now;
    isDue(now + k * 0.9);
    return true;
  }

  /** What is known of the peer at `now`; `isDue` as of `wantsPing`. */
  check(now: number, isDue: (time: number) => boolean): PeerState {
    const k = this.interval;
    const life = Math.max(this.#pingAt, this.receivedAt, this.#takenAt);
    const patience = k / 2 + this.#underWay / SLOW_LINE;
    if (!isDue(life + patience)) return "fine";
    if (!this.#reading && this.#lookAt === Infinity) {
      this.#lookAt = now;
      isDue(now + k / 2);
      return "unknown: look";
    }
    if (!this.#reading && !isDue(this.#lookAt + k / 2)) return "fine";
    if (this.#suspectAt === Infinity) this.#suspectAt = now + k / 20;
    return isDue(this.#suspectAt) ? "gone" : "fine";
  }
}
