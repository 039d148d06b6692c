/** What the parts of a session share: given to each when it is made. */
import type { HubwireError } from "../errors.js";
import type { Exchange } from "./exchange.js";
import type { Output } from "./output.js";
import type { PacketIds } from "./packet-ids.js";
import type { Time } from "./time.js";
import type { SessionEvent, SessionMetrics, SessionOptions } from "./types.js";

export interface SessionParts {
  readonly time: Time;
  readonly output: Output;
  readonly ids: PacketIds;
  readonly metrics: SessionMetrics;
  readonly options: SessionOptions;
  /** Somebody waits for the exchange: it is over. */
  settle(exchange: Exchange, error: HubwireError | undefined, returnCodes?: readonly number[]): void;
  /** All of these are over, see `SessionSink`. */
  settleAll(publications: Iterable<Exchange>, error: HubwireError): void;
  /** For the owner to take after the call. */
  event(event: SessionEvent): void;
}
