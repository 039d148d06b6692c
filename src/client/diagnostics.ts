/**
 * What a client tells who looks inside: free while nobody does, and never a payload, user name, password, or the value of a
 * property.
 *
 * `node:diagnostics_channel`, which has no topics either:
 * - `hubwire:packet` { clientId, direction: "in" | "out", type, packetId, byteLength }: each packet;
 *   `packetId` is 0 where a packet has none. A subscriber is noticed with the next chunk read or batch
 *   written.
 * - `hubwire:state` { clientId, state, error? }: each change of the client's state.
 * - `hubwire:reconnect` { clientId, attempt, delay (ms), error }: each planned attempt.
 *
 * `NODE_DEBUG=hubwire` writes the same to standard error, with topics, and why each connection ended.
 */
import { channel } from "node:diagnostics_channel";
import { builtin } from "../builtin.js";
import { attempt } from "../check.js";
import type { HubwireError } from "../errors.js";
import type { Trace } from "../session/types.js";
import type { ClientEvents, ClientState } from "./api.js";

// Held here for good: Node drops a channel that nobody holds, together with its subscribers.
const packetChannel = channel("hubwire:packet");
const stateChannel = channel("hubwire:state");
const reconnectChannel = channel("hubwire:reconnect");

/** Node reads NODE_DEBUG once, when it starts; a runtime may forbid to read it. */
const isDebugged = attempt(() => Boolean(process.env["NODE_DEBUG"]), false);
const log = isDebugged ? builtin("util").debuglog("hubwire") : undefined;
const isLogged = log?.enabled === true;

/** Characters of a topic that are shown. */
const TOPIC = 200;

/** A hub's topics carry properties, of which only the names are shown: `devices/d/messages/events/alarm=…`. */
function withoutValues(topic: string): string {
  return JSON.stringify(topic.slice(0, TOPIC).replace(/=[^&]*/g, "=…"));
}

/** An error in a line; of its cause, which others may have made, the code alone. */
function inShort(error: HubwireError): string {
  const { code, message, statement, cause } = error;
  const causeCode = (cause as { code?: unknown } | undefined)?.code;
  return [code, message, statement && `[${statement}]`, typeof causeCode === "string" && `(${causeCode})`]
    .filter(Boolean)
    .join(" ");
}

const say = (clientId: string, text: string): void => log?.("%s %s", JSON.stringify(clientId), text);

/** What a session calls for each packet: `current`, as long as somebody looks. */
export function traceOf(clientId: string, current: Trace | undefined): Trace | undefined {
  if (!packetChannel.hasSubscribers && !isLogged) return undefined;
  if (current) return current;
  return (direction, type, packetId, byteLength, topic) => {
    packetChannel.publish({ clientId, direction, type, packetId, byteLength });
    if (!isLogged) return;
    const about = (packetId ? ` ${packetId}` : "") + (topic === undefined ? "" : ` ${withoutValues(topic)}`);
    say(clientId, `${direction === "in" ? "<-" : "->"} ${type}${about} ${byteLength} B`);
  };
}

export function tellState(clientId: string, state: ClientState, error: HubwireError | undefined): void {
  if (stateChannel.hasSubscribers) stateChannel.publish({ clientId, state, ...(error && { error }) });
  if (isLogged) say(clientId, state);
}

export function tellReconnect(clientId: string, event: ClientEvents["reconnecting"][0]): void {
  if (reconnectChannel.hasSubscribers) reconnectChannel.publish({ clientId, ...event });
  if (isLogged) say(clientId, `attempt ${event.attempt} in ${Math.round(event.delay)} ms`);
}

/** A connection, or an attempt at one, is over; without an error as was asked for. */
export function tellEnd(clientId: string, error: HubwireError | undefined): void {
  if (isLogged) say(clientId, `connection ended: ${error ? inShort(error) : "as planned"}`);
}
