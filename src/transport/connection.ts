/**
 * The only file of the client that opens sockets: TCP, TLS, or any Duplex that the caller makes.
 *
 * Invariants: `opened` is reported at most once and `closed` at most once, in that order, and nothing after
 * `closed`; an owner that calls `destroy` hears nothing more. A socket never emits an `error` that nobody
 * hears. Certificates are verified and TLS 1.2 is the least unless the caller's own `tls` options say
 * otherwise.
 */
import { createConnection, isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { checkServerIdentity, connect, type ConnectionOptions, type PeerCertificate } from "node:tls";
import { type ErrorCode, HubwireError } from "../errors.js";

/** Where to connect and how. */
export interface Endpoint {
  host: string;
  port: number;
  protocol: "mqtts" | "mqtt";
  /** Passed on to `node:tls`; a client certificate, a private CA, a server name. */
  tls?: ConnectionOptions | undefined;
  /** Makes the transport instead; what it returns is used as it is, without TLS on top. */
  createConnection?: (() => Duplex | Promise<Duplex>) | undefined;
}

/** What a connection tells its owner. */
export interface ConnectionSink {
  /** Bytes can flow; with TLS the peer is verified. */
  opened(): void;
  /** Bytes from the peer: the receiver's to keep. */
  received(chunk: Uint8Array): void;
  /** `write` returned false before, and there is room again. */
  writable(): void;
  /** A TLS session that a later connection to the same endpoint may resume. */
  resumable(session: Buffer): void;
  /** All was written after `end`; what is left is the peer's own end. */
  flushed(): void;
  /** The connection is gone; no error where `end` asked for it. */
  closed(error: HubwireError | undefined): void;
}

/** Bytes in the socket's own buffer above which the client holds its output back. */
const HIGH_WATER = 256 * 1024;

export class Connection {
  readonly #endpoint: Endpoint;
  #sink: ConnectionSink | undefined;
  #socket: Duplex | undefined;
  #open = false;
  #ending = false;

  constructor(endpoint: Endpoint, sink: ConnectionSink) {
    this.#endpoint = endpoint;
    this.#sink = sink;
  }

  /** Starts to connect; with the TLS session of an earlier connection the handshake is shorter. */
  open(session: Buffer | undefined): void {
    const custom = this.#endpoint.createConnection;
    const failed = (error: unknown): void => this.#over(custom ? this.#explain(error) : badOptions(error));
    try {
      const made = custom ? custom() : dial(this.#endpoint, session);
      if ("then" in made) made.then((socket) => this.#attach(socket)).catch(failed);
      else this.#attach(made);
    } catch (error) {
      failed(error);
    }
  }

  /** Hands all chunks over as one write. False: hold further output until `writable`. */
  write(chunks: readonly Uint8Array[]): boolean {
    const socket = this.#socket as Duplex;
    socket.cork();
    for (const chunk of chunks) socket.write(chunk);
    socket.uncork();
    // Far above the stream's own mark, so that `drain` is sure to follow: holding back there costs throughput.
    return socket.writableLength < HIGH_WATER;
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** Sends what was written, closes, and reports `closed` without an error when the peer has closed as well. */
  end(): void {
    this.#ending = true;
    this.#socket?.resume();
    this.#socket?.end(() => this.#sink?.flushed());
  }

  /** Closes at once and reports nothing more. */
  destroy(): void {
    this.#sink = undefined;
    this.#socket?.destroy();
  }

  #attach(socket: Duplex): void {
    // Before anything else: a socket that outlives its use must not crash the process.
    socket.on("error", (error) => this.#over(this.#explain(error)));
    if (this.#sink === undefined) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => this.#sink?.received(chunk));
    socket.on("drain", () => this.#sink?.writable());
    socket.on("end", () => this.#over(this.#explain(undefined)));
    socket.on("close", () => this.#over(this.#explain(undefined)));
    if (this.#endpoint.createConnection) {
      this.#opened();
      return;
    }
    const secure = this.#endpoint.protocol === "mqtts";
    socket.once(secure ? "secureConnect" : "connect", () => this.#opened());
    if (secure) socket.on("session", (session: Buffer) => this.#sink?.resumable(session));
    // Output leaves in batches of the client's own making; Nagle's algorithm would only delay them.
    (socket as Socket).setNoDelay(true);
  }

  #opened(): void {
    this.#open = true;
    this.#sink?.opened();
  }

  #over(error: HubwireError | undefined): void {
    const sink = this.#sink;
    this.destroy();
    sink?.closed(this.#ending ? undefined : error);
  }

  #explain(error: unknown): HubwireError {
    return explainFailure(error, this.#endpoint, this.#open);
  }
}

function dial({ host, port, protocol, tls }: Endpoint, session: Buffer | undefined): Socket {
  if (protocol === "mqtt") return createConnection({ host, port });
  return connect({
    minVersion: "TLSv1.2",
    checkServerIdentity: requireAlternativeName,
    // RFC 6066, section 3: an address is no server name.
    ...(isIP(host) ? {} : { servername: host }),
    ...tls,
    host,
    port,
    ...(session && { session }),
  });
}

/**
 * Node accepts a certificate that names its host in the common name alone; RFC 9525, section 6.3 does not.
 */
function requireAlternativeName(host: string, certificate: PeerCertificate): Error | undefined {
  if (/(^|, )(DNS|IP Address):/.test(certificate.subjectaltname ?? "")) {
    return checkServerIdentity(host, certificate);
  }
  const error = new Error(`the certificate has no subject alternative name, so it cannot be for ${host}`);
  return Object.assign(error, { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

/** Node's own text may quote the value, which may be a key: only its code goes on. */
function badOptions(error: unknown): HubwireError {
  return new HubwireError("ERR_INVALID_ARGUMENT", `tls or connection options refused: ${codeOf(error)}`);
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

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

/** The error for the end of a connection; `error` undefined where the peer simply closed it. */
export function explainFailure(error: unknown, endpoint: Endpoint, open: boolean): HubwireError {
  if (error instanceof HubwireError) return error;
  const name = endpoint.createConnection ? "the connection" : `${endpoint.host}:${endpoint.port}`;
  const code = codeOf(error);
  const details = error === undefined ? {} : { cause: error };
  if (!open) {
    for (const [pattern, known, text] of CAUSES) {
      if (pattern.test(code)) return new HubwireError(known, `${name} ${text}`, details);
    }
  }
  if (/^ERR_SSL|^ERR_TLS|^EPROTO/.test(code)) {
    const retryable = !REFUSAL.test(code);
    const text = retryable ? "" : ": it refuses this client's certificate or ciphers";
    return new HubwireError("ERR_TLS", `${name} failed in TLS (${code})${text}`, { ...details, retryable });
  }
  if (open) {
    const how = error === undefined ? "was closed by the peer" : `failed${code && ` (${code})`}`;
    return new HubwireError("ERR_CONNECTION_LOST", `the connection ${how}`, details);
  }
  if (endpoint.protocol === "mqtts" && !endpoint.createConnection) {
    const text = "closed during the TLS handshake: check that the port speaks TLS and the server is up";
    return new HubwireError("ERR_TLS", `${name} ${text}`, details);
  }
  return new HubwireError("ERR_UNREACHABLE", `${name} could not be opened${code && ` (${code})`}`, details);
}
