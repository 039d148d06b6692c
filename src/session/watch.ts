/** Whether the connection is still worth having: does the peer live (keep alive), does it answer (policy 11)? */
import { HubwireError } from "../errors.js";
import { KeepAlive } from "./keep-alive.js";
import type { Liveness } from "./liveness.js";
import type { SessionParts } from "./parts.js";

export class Watch {
  readonly keepAlive = new KeepAlive();
  readonly #parts: SessionParts;
  readonly #liveness: Liveness;

  constructor(parts: SessionParts, liveness: Liveness) {
    this.#parts = parts;
    this.#liveness = liveness;
  }

  /**
   * Does what is due; `oldestSentAt` is of the oldest unanswered packet, ms. Throws ERR_TIMEOUT and ERR_KEEP_ALIVE_TIMEOUT
   * where the connection must be made anew.
   */
  check(oldestSentAt: number): void {
    const { time, output, event } = this.#parts;
    const { keepAlive } = this;
    if (oldestSentAt < Infinity && time.isDue(this.#liveness.sickAt(oldestSentAt))) {
      this.#liveness.sick();
      throw new HubwireError("ERR_TIMEOUT", "the server's acknowledgements stopped: the connection is made anew");
    }
    keepAlive.sentAt = Math.max(keepAlive.sentAt, output.writtenAt);
    const isDue = (at: number): boolean => time.isDue(at);
    if (keepAlive.wantsPing(time.now, isDue)) output.pingreq(time.now);
    const peer = keepAlive.check(time.now, isDue);
    if (peer === "unknown: look") event({ type: "look" });
    else if (peer === "gone") {
      const statement = "MQTT-3.12.4-1";
      throw new HubwireError("ERR_KEEP_ALIVE_TIMEOUT", `no PINGRESP in time (${statement})`, { statement });
    }
  }
}
