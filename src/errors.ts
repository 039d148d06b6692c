/**
 * The one error class of the project.
 *
 * Invariants: everything that the library throws, rejects with or emits as an error is a `HubwireError`; its
 * `code` is stable and documented in src/client/README.md; its text and its `cause` never hold a key, signature, token
 * or password. Match on `code`, not on `instanceof`: two copies of the package may live in one process.
 */

/**
 * Who has to act: the calling program, the other end of the connection, the network, or nobody (a local
 * decision).
 */
export type ErrorKind = "caller" | "peer" | "network" | "local";

/** A stable error code; the client's guide lists what each means and what to do. */
export type ErrorCode =
  // codec
  | "ERR_INVALID_ARGUMENT"
  | "ERR_INVALID_PACKET"
  | "ERR_MALFORMED_PACKET"
  | "ERR_PACKET_TOO_LARGE"
  // session
  | "ERR_PROTOCOL_VIOLATION"
  | "ERR_PROTOCOL_VERSION"
  | "ERR_IDENTIFIER_REJECTED"
  | "ERR_SERVER_UNAVAILABLE"
  | "ERR_BAD_CREDENTIALS"
  | "ERR_NOT_AUTHORIZED"
  | "ERR_SUBSCRIBE_REFUSED"
  | "ERR_SESSION_LOST"
  | "ERR_KEEP_ALIVE_TIMEOUT"
  | "ERR_CONNECT_TIMEOUT"
  | "ERR_TIMEOUT"
  | "ERR_CONNECTION_LOST"
  | "ERR_QUEUE_FULL"
  | "ERR_MESSAGE_EXPIRED"
  | "ERR_MESSAGE_REFUSED"
  | "ERR_UNEXPECTED_MESSAGE"
  | "ERR_ABORTED"
  | "ERR_CLOSED"
  | "ERR_NOT_CONNECTED"
  | "ERR_HANDLER"
  | "ERR_STORE"
  // connection
  | "ERR_DNS"
  | "ERR_CONNECTION_REFUSED"
  | "ERR_UNREACHABLE"
  | "ERR_TLS"
  | "ERR_TLS_UNTRUSTED"
  | "ERR_TLS_SELF_SIGNED"
  | "ERR_TLS_EXPIRED"
  | "ERR_TLS_HOST_NAME"
  | "ERR_TLS_VERSION"
  | "ERR_TLS_NOT_TLS"
  | "ERR_PROXY"
  | "ERR_WEBSOCKET"
  | "ERR_TAKEOVER"
  // hub
  | "ERR_CONNECTION_STRING"
  | "ERR_SAS_TOKEN"
  | "ERR_SAS_EXPIRED"
  | "ERR_LIMIT"
  | "ERR_HUB_STATUS"
  | "ERR_THROTTLED"
  | "ERR_PROVISIONING"
  | "ERR_SIGNING"
  // emulator
  | "ERR_DEVICE_NOT_FOUND"
  | "ERR_DEVICE_OFFLINE";

/** Who has to act, whether the same call may succeed later, and what the names of such codes have that no other's has. */
const TRAITS: readonly (readonly [kind: ErrorKind, retryable: boolean, codes: RegExp])[] = [
  ["caller", false, /INVALID|HANDLER|STRING|SAS|LIMIT|NOT_FOUND/],
  ["peer", true, /MALFORMED|VIOLATION|UNAVAILABLE|THROTTLED|OFFLINE/],
  ["network", true, /TIMEOUT|CONNECTION_|DNS|UNREACH|ERR_TLS$|SIGNING/],
  ["local", true, /FULL|MESSAGE_EXPIRED|NOT_CONNECTED/],
  ["local", false, /ABORTED|CLOSED|STORE/],
  ["peer", false, /./],
];

/** What an error carries besides its code and message. */
export interface ErrorDetails {
  /** The underlying error, where one exists. */
  cause?: unknown;
  /** The numbered statement of MQTT 3.1.1 that was broken, e.g. `MQTT-2.3.1-1`. */
  statement?: string | undefined;
  /** The status that the hub answered with (an HTTP-like number). */
  status?: number;
  /** Overrides the code's own answer to "can the same call succeed later?". */
  retryable?: boolean;
}

/** Every error of this package. */
export class HubwireError extends Error {
  /** Always this, also where two copies of the package are in one process. */
  override readonly name = "HubwireError";
  /** Stable and documented; match on this. */
  declare readonly code: ErrorCode;
  /** Who has to act. */
  declare readonly kind: ErrorKind;
  /** Whether the same call may succeed later with nothing changed by the caller. */
  declare readonly retryable: boolean;
  /** The statement of MQTT 3.1.1 that was broken, where there is one. */
  declare readonly statement?: string;
  /** The hub's status, where the hub answered with one. */
  declare readonly status?: number;

  /** `message` and the `cause` in `details` must hold no secret. What `details` leaves out follows from the code. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details);
    const { statement, status, retryable } = details;
    const [kind, mayPass] = TRAITS.find(([, , codes]) => codes.test(code))!;
    this.code = code;
    this.kind = kind;
    this.retryable = retryable ?? mayPass;
    if (statement !== undefined) this.statement = statement;
    if (status !== undefined) this.status = status;
  }
}
