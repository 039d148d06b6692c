/**
 * The demo's printed transcript: what was done, which packets it took, how long.
 *
 * Invariant: the packet lines come from the diagnostics channel that every program can subscribe to, so the
 * demo shows what really went over the wire and nothing that it made up.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Clock } from "../clock.js";

interface PacketEvent {
  direction: "in" | "out";
  type: string;
  packetId: number;
  byteLength: number;
}

export class Transcript {
  readonly #clock: Clock;
  readonly #start: number;
  readonly #print: (line: string) => void;
  readonly #onPacket = (event: unknown) => this.#packet(event as PacketEvent);
  packets = 0;
  bytes = 0;
  /** Counts packets without showing each. */
  quiet = false;

  constructor(clock: Clock, print: (line: string) => void) {
    this.#clock = clock;
    this.#start = clock.now();
    this.#print = print;
    subscribe("hubwire:packet", this.#onPacket);
  }

  /** Milliseconds since the transcript began. */
  get elapsed(): number {
    return this.#clock.now() - this.#start;
  }

  #line(text: string): void {
    this.#print(`${this.elapsed.toFixed(1).padStart(8)} ms  ${text}`);
  }

  #packet({ direction, type, packetId, byteLength }: PacketEvent): void {
    this.packets++;
    this.bytes += byteLength;
    if (this.quiet) return;
    const arrow = direction === "out" ? "device --> hub" : "device <-- hub";
    const id = packetId === 0 ? "" : ` #${packetId}`;
    this.#line(`  ${arrow}  ${`${type.toUpperCase()}${id}`.padEnd(14)} ${String(byteLength).padStart(5)} bytes`);
  }

  /** A heading. */
  section(title: string): void {
    this.#print(`\n${title}`);
  }

  /** Something that the device's program did or saw. */
  device(text: string): void {
    this.#line(`device: ${text}`);
  }

  /** Something that the hub did or saw. */
  hub(text: string): void {
    this.#line(`hub:    ${text}`);
  }

  /** Runs a step and tells how long it took. */
  async timed<T>(what: string, step: () => Promise<T>): Promise<T> {
    const before = this.#clock.now();
    const result = await step();
    this.device(`${what} (${(this.#clock.now() - before).toFixed(1)} ms)`);
    return result;
  }

  close(): void {
    unsubscribe("hubwire:packet", this.#onPacket);
  }
}
