/**
 * The byte stream under a link with the faults of the network on it: delay, corruption, half-open, stall.
 *
 * Invariants: what is delayed keeps its order, and an `end` waits behind it; nothing is corrupted in the writer's own
 * memory; without faults everything passes at once.
 */
import { Alarm, type Clock } from "../clock.js";
import type { Faults } from "./faults.js";
import type { Transport } from "./transport.js";

/** Chunks to write at `due`; undefined ends the stream. */
interface Late {
  readonly due: number;
  readonly chunks: readonly Uint8Array[] | undefined;
}

export class FaultyTransport {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #late: Late[] = [];
  readonly #alarm: Alarm;
  #endWithheld = false;

  constructor(transport: Transport, clock: Clock) {
    this.#transport = transport;
    this.#clock = clock;
    this.#alarm = new Alarm(clock, () => this.#release());
  }

  write(chunks: readonly Uint8Array[], faults: Faults): void {
    if (faults.get("halfOpen")) return;
    const sent = faults.strike("corrupt") ? corrupted(chunks, faults) : chunks;
    const delay = drawDelay(faults);
    if (delay === 0 && this.#late.length === 0) this.#transport.write(sent);
    // The chunks are the writer's only until it returns.
    else
      this.#later(
        delay,
        sent.map((chunk) => Uint8Array.from(chunk)),
      );
  }

  /** Closes after what was written; a half-open connection is not closed at all. */
  end(faults: Faults): void {
    if (faults.get("halfOpen")) this.#endWithheld = true;
    else if (this.#late.length > 0) this.#later(0, undefined);
    else this.#transport.end();
  }

  /** The peer sent something although the link is closed: once the fault is over it is told. */
  lateInput(faults: Faults): void {
    if (this.#endWithheld && !faults.get("halfOpen")) this.#transport.destroy();
  }

  destroy(): void {
    this.#late.length = 0;
    this.#alarm.stop();
    this.#transport.destroy();
  }

  setReading(on: boolean): void {
    this.#transport.setReading(on);
  }

  #later(delay: number, chunks: readonly Uint8Array[] | undefined): void {
    this.#late.push({ due: Math.max(this.#clock.now() + delay, this.#late.at(-1)?.due ?? 0), chunks });
    this.#alarm.set((this.#late[0] as Late).due);
  }

  #release(): void {
    const now = this.#clock.now();
    for (let next = this.#late[0]; next !== undefined && next.due <= now; next = this.#late[0]) {
      this.#late.shift();
      if (next.chunks === undefined) return this.#transport.end();
      this.#transport.write(next.chunks);
    }
    if (this.#late[0] !== undefined) this.#alarm.set(this.#late[0].due);
  }
}

function drawDelay(faults: Faults): number {
  const delay = faults.strike("delay");
  if (typeof delay === "number") return delay;
  const [least, most] = delay;
  return least + faults.random() * (most - least);
}

function corrupted(chunks: readonly Uint8Array[], faults: Faults): Uint8Array[] {
  const bytes = Buffer.concat(chunks);
  const at = Math.floor(faults.random() * bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(faults.random() * 8));
  return [bytes];
}
