/**
 * How the codec refuses.
 *
 * Invariant: the rules on strings, topics and packets are written once and run in both directions; only the
 * code differs: ERR_MALFORMED_PACKET blames the peer, ERR_INVALID_PACKET and ERR_INVALID_ARGUMENT the caller.
 */
import { HubwireError, type ErrorCode } from "../errors.js";

/** The largest whole packet that there can be, bytes: its remaining length (section 2.2.3) and five more. */
export const MAX_PACKET_SIZE = 268_435_460;

export const MALFORMED = "ERR_MALFORMED_PACKET";
export const TOO_LARGE = "ERR_PACKET_TOO_LARGE";
export const INVALID = "ERR_INVALID_PACKET";
export const ARGUMENT = "ERR_INVALID_ARGUMENT";

/** The error to throw; `statement` is the id of the broken statement without its `MQTT-`. */
export function fault(code: ErrorCode, message: string, statement?: string): HubwireError {
  if (statement) {
    statement = "MQTT-" + statement;
    message += ` (${statement})`;
  }
  return new HubwireError(code, message, { statement });
}

export function invalidArgument(message: string): HubwireError {
  return fault(ARGUMENT, message);
}
