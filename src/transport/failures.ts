/**
 * What the failures of DNS, TCP and TLS mean, and what to do about them.
 *
 * Invariant: Node's own text goes no further than `cause`, and where it may quote an option, which may be a key, not
 * even there.
 */
import { invalid } from "../check.js";
import { type ErrorCode, HubwireError } from "../errors.js";

/** How far the connection had come: on its way to the peer, in the TLS handshake, or usable. */
export type Stage = "dial" | "handshake" | "open";

/** The `code` of an error of Node, or nothing. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/** What `connect` returns. Where Node refuses the options, its text may quote a value, so only its code goes on. */
export function begin<T>(connect: () => T): T {
  try {
    return connect();
  } catch (error) {
    if (error instanceof HubwireError) throw error;
    if (codeOf(error) === "ERR_ACCESS_DENIED") throw accessDenied("the connection", error);
    throw invalid(`tls or connection options refused: ${codeOf(error)}`);
  }
}

const accessDenied = (name: string, cause: unknown): HubwireError =>
  new HubwireError("ERR_UNREACHABLE", `${name} is denied to this process: start node with --allow-net`, {
    cause,
    retryable: false,
  });

/** Node's and OpenSSL's codes, in the order in which they are tried; the text says what to do. */
const CAUSES: readonly (readonly [RegExp, ErrorCode, string])[] = [
  [/^(ENOTFOUND|EAI_|ENODATA|ESERVFAIL)/, "ERR_DNS", "cannot be resolved: check the name and the network"],
  [/^ECONNREFUSED/, "ERR_CONNECTION_REFUSED", "refused the connection: check port and server"],
  [
    /^(EHOST|ENET|EADDRNOTAVAIL|ETIMEDOUT|ERR_SOCKET_CONNECTION_TIMEOUT)/,
    "ERR_UNREACHABLE",
    "cannot be reached: check the network, a firewall, or the address",
  ],
  [
    /^ERR_TLS_CERT_ALTNAME/,
    "ERR_TLS_HOST_NAME",
    "showed a certificate for another name: connect by the name it was issued for",
  ],
  [
    /^DEPTH_ZERO_SELF_SIGNED/,
    "ERR_TLS_SELF_SIGNED",
    "showed a self-signed certificate: pass it as tls.ca if it is to be trusted",
  ],
  [
    /^CERT_(HAS_EXPIRED|NOT_YET_VALID)/,
    "ERR_TLS_EXPIRED",
    "showed a certificate that is not valid today: renew it, or check the clock of this machine",
  ],
  [
    /^(SELF_SIGNED_CERT_IN|UNABLE_TO|CERT_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|ERROR_IN_CERT)/,
    "ERR_TLS_UNTRUSTED",
    "showed a certificate from an untrusted issuer: pass its CA as tls.ca",
  ],
  [
    /UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|VERSION_TOO|NO_PROTOCOLS|WRONG_SSL_VERSION/,
    "ERR_TLS_VERSION",
    "and this client share no TLS version: the server must speak TLS 1.2 or newer",
  ],
  [
    /^ERR_SSL_(WRONG_VERSION|PACKET_LENGTH|HTTP|RECORD_TOO|BAD_RECORD_TYPE|UNEXPECTED_MESSAGE|RECORD_LAYER)/,
    "ERR_TLS_NOT_TLS",
    "does not speak TLS there: check the port, or use protocol mqtt",
  ],
];

/** A TLS alert with which the peer refuses what this client is, rather than reports a passing trouble. */
const REFUSAL = /ALERT_(\w*CERT|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE)|_CERTIFICATE_REQUIRED/;

/** The error for the end of a connection to `name`; `error` undefined where the peer simply closed it. */
export function explainFailure(error: unknown, name: string, stage: Stage): HubwireError {
  if (error instanceof HubwireError) return error;
  const code = codeOf(error);
  const details = error === undefined ? {} : { cause: error };
  if (stage !== "open") {
    if (code === "ERR_ACCESS_DENIED") return accessDenied(name, error);
    for (const [pattern, known, text] of CAUSES) {
      if (pattern.test(code)) return new HubwireError(known, `${name} ${text}`, details);
    }
  }
  if (/^(ERR_SSL|ERR_TLS|EPROTO)/.test(code)) {
    const retryable = !REFUSAL.test(code);
    const text = retryable ? "" : ": it refuses this client's certificate or ciphers";
    return new HubwireError("ERR_TLS", `${name} failed in TLS (${code})${text}`, { ...details, retryable });
  }
  if (stage === "open") {
    const how = error === undefined ? "was closed by the peer" : `failed${code && ` (${code})`}`;
    return new HubwireError("ERR_CONNECTION_LOST", `the connection ${how}`, details);
  }
  if (stage === "handshake") {
    const text = "closed during the TLS handshake: check that the port speaks TLS and the server is up";
    return new HubwireError("ERR_TLS", `${name} ${text}`, details);
  }
  return new HubwireError("ERR_UNREACHABLE", `${name} could not be opened${code && ` (${code})`}`, details);
}
