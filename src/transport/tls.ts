/**
 * TLS as the client wants it: which options go to `node:tls`, and when a certificate is for the host.
 *
 * Invariants: certificates are verified and TLS 1.2 is the least unless the caller's own options say otherwise; an
 * option that is undefined or null is one that was not given; a check that throws refuses.
 */
import type { Duplex } from "node:stream";
import type { ConnectionOptions, PeerCertificate, TLSSocket } from "node:tls";
import { builtin } from "../builtin.js";
import { invalid } from "../check.js";
import { HubwireError } from "../errors.js";
import { begin, codeOf } from "./failures.js";
import { quieten } from "./streams.js";
import { termsOf, type TlsSessions } from "./tls-sessions.js";

/** What the caller may not set: the connection itself is made here. */
const OWN = ["host", "port", "path", "socket"];

/** A TLS socket that has begun its handshake. */
export interface Secured {
  socket: TLSSocket;
  /** The connection works: its session may be resumed. */
  proven: () => void;
}

/** Begins TLS with `host`: over `stream`, or over a TCP connection of its own where there is none. */
export function secure(
  host: string,
  port: number,
  given: ConnectionOptions | undefined,
  stream: Duplex | undefined,
  sessions: TlsSessions,
): Secured {
  const tls = builtin("tls");
  const options = mergeOptions(host, given);
  const terms = termsOf({ ...options, host, port });
  const session = sessions.take(terms);
  const checkServerIdentity = identityCheck(options);
  // What the options hold is read in here.
  const socket = begin(() =>
    tls.connect({
      ...options,
      secureContext: options.secureContext ?? sessions.context(terms, () => tls.createSecureContext(options)),
      checkServerIdentity,
      host,
      port,
      ...(stream && { socket: stream }),
      ...(session && { session }),
    }),
  );
  // Whoever waits for it listens too.
  quieten(socket);
  if (stream) {
    stream.on("error", (error) => socket.destroy(error)).on("close", () => socket.destroy());
    socket.on("close", () => stream.destroy());
  }
  let newest = session;
  let proven = false;
  socket.on("session", (made) => {
    newest = made;
    if (proven) sessions.put(terms, made);
  });
  return {
    socket,
    proven: () => {
      proven = true;
      if (newest) sessions.put(terms, newest);
    },
  };
}

function mergeOptions(host: string, given: ConnectionOptions = {}): ConnectionOptions {
  const own = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined && value !== null));
  const forbidden = OWN.find((name) => name in own);
  if (forbidden !== undefined) {
    throw invalid(`tls.${forbidden} cannot be set: give host and port beside tls, or createConnection`);
  }
  const check = own["checkServerIdentity"];
  if (check !== undefined && typeof check !== "function") {
    throw invalid("tls.checkServerIdentity must be a function");
  }
  // RFC 6066, section 3: an address is no server name, and a name has no dot at its end.
  const name = builtin("net").isIP(host) ? {} : { servername: host.replace(/\.$/, "") };
  return { minVersion: "TLSv1.2", ...name, ...own };
}

type IdentityCheck = NonNullable<ConnectionOptions["checkServerIdentity"]>;

/** The caller's check, or ours, which is one for all connections: each keeps the one it was made with. */
const identityCheck = ({ checkServerIdentity }: ConnectionOptions): IdentityCheck =>
  checkServerIdentity ? guarded(checkServerIdentity) : ours;

/**
 * What a check throws would else leave through the event loop. Without a code of Node's that says more it is a refusal of
 * the certificate, and not of the network, which would be tried again.
 */
function guarded(check: IdentityCheck): IdentityCheck {
  return (host, certificate) => {
    let refusal: unknown;
    try {
      refusal = check(host, certificate);
    } catch (error) {
      refusal = error ?? true;
    }
    // Node takes anything that is true for a refusal.
    if (!refusal || /^(ERR_TLS_)?CERT_/.test(codeOf(refusal))) return refusal as undefined;
    return new HubwireError("ERR_TLS_UNTRUSTED", "tls.checkServerIdentity refused the certificate", { cause: refusal });
  };
}

const ours = /* @__PURE__ */ guarded((host, certificate) => {
  // Node 22.23 and 24.17 find no IPv6 address in a certificate.
  if (builtin("net").isIP(host)) {
    return new (builtin("crypto").X509Certificate)(certificate.raw).checkIP(host)
      ? undefined
      : mismatch(`the certificate is not for the address ${host}`);
  }
  // Where a certificate has no DNS name, Node takes its common name; RFC 9525, section 6.3 does not.
  const nameless = { ...certificate, subject: {} as PeerCertificate["subject"] };
  return builtin("tls").checkServerIdentity(host, nameless);
});

const mismatch = (text: string): Error => Object.assign(new Error(text), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
