/**
 * What a client tells `node:diagnostics_channel`: free while nobody subscribes, and never a payload, topic,
 * user name or password.
 *
 * - `hubwire:packet` { clientId, direction: "in" | "out", type, packetId, byteLength }: each packet;
 *   `packetId` is 0 where a packet has none. A subscriber is noticed with the next chunk read or batch
 *   written.
 * - `hubwire:state` { clientId, state, error? }: each change of the client's state.
 * - `hubwire:reconnect` { clientId, attempt, delay (ms), error }: each planned attempt.
 */
import { channel } from "node:diagnostics_channel";
import type { Trace } from "../session/types.js";

// Held here for good: Node drops a channel that nobody holds, together with its subscribers.
export const packetChannel = channel("hubwire:packet");
export const stateChannel = channel("hubwire:state");
export const reconnectChannel = channel("hubwire:reconnect");

/** What a session calls for each packet: `current`, as long as somebody subscribes to the channel. */
export function traceOf(clientId: string, current: Trace | undefined): Trace | undefined {
  if (!packetChannel.hasSubscribers) return undefined;
  if (current) return current;
  return (direction, type, packetId, byteLength) =>
    packetChannel.publish({ clientId, direction, type, packetId, byteLength });
}
