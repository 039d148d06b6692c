/** How the session names what the server may not do, what it did not grant, and whose doing an end was. */
import { type ErrorCode, HubwireError } from "../errors.js";
import { type Exchange, SUBACK, UNSUBACK } from "./exchange.js";

export function violation(message: string, statement: string): HubwireError {
  return new HubwireError("ERR_PROTOCOL_VIOLATION", `${message} (${statement})`, { statement });
}

/** CONNACK return codes 1 to 5 (section 3.2.2.3). */
const REFUSALS: readonly (readonly [ErrorCode, string])[] = [
  ["ERR_PROTOCOL_VERSION", "MQTT 3.1.1"],
  ["ERR_IDENTIFIER_REJECTED", "the client identifier"],
  ["ERR_SERVER_UNAVAILABLE", "service for now"],
  ["ERR_BAD_CREDENTIALS", "the user name or password"],
  ["ERR_NOT_AUTHORIZED", "to authorise this client"],
];

/** The error of a CONNACK with that return code; the codec lets no other pass than 0 to 5. */
export function refusedConnection(returnCode: number): HubwireError {
  const [code, what] = REFUSALS[returnCode - 1]!;
  return new HubwireError(code, `the server refused ${what} (CONNACK ${returnCode})`);
}

export function onlyFromClients(): never {
  throw violation("a packet that only clients send", "MQTT-4.8.0-1");
}

/** The error of an acknowledgement that the flow of its exchange never has. */
export function unfit(name: string, { awaits }: Exchange): HubwireError {
  const what = awaits === SUBACK ? "SUBSCRIBE" : awaits === UNSUBACK ? "UNSUBSCRIBE" : "this PUBLISH";
  return violation(`${name} in answer to ${what}`, "MQTT-4.8.0-1");
}

/** Not where this end gave the connection up: a violation or a silence says nothing about a message (policy 12). */
export const isByPeer = (error: HubwireError | undefined): boolean =>
  error?.kind === "network" && error.code !== "ERR_TIMEOUT" && error.code !== "ERR_KEEP_ALIVE_TIMEOUT";

/** Policy 12. */
export const refused = (code: ErrorCode): HubwireError =>
  new HubwireError(code, "the server ended every connection on which this was sent, and none without it");

/** Policy 6. */
export const sessionLost = (): HubwireError =>
  new HubwireError("ERR_SESSION_LOST", "the server lost the session of a QoS 2 message");
