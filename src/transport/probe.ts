/**
 * A server looked at from outside, layer by layer, for who wants to know where a connection fails.
 *
 * Invariants: a probe sends nothing secret, because it goes on where the server's certificate is no good, to tell what it
 * says; its connection is closed when it settles; what it rejects with is a HubwireError, or the signal's reason.
 */
import type { LookupAddress } from "node:dns";
import type { Duplex } from "node:stream";
import type { ConnectionOptions, PeerCertificate, TLSSocket } from "node:tls";
import { abortable } from "../abort.js";
import { HubwireError } from "../errors.js";
import type { Endpoint } from "./endpoint.js";
import { codeOf, explainFailure, type Stage } from "./failures.js";
import { HttpFault } from "./http.js";
import { exchange } from "./http-exchange.js";
import { connectTcp, opened } from "./streams.js";
import { secure } from "./tls.js";
import { TlsSessions } from "./tls-sessions.js";

/** What is looked at; with a proxy, through it. */
export type Target = Pick<Endpoint, "host" | "port" | "proxy" | "tls">;

/** What a TLS server shows of itself. */
export interface TlsFacts {
  /** Of TLS, e.g. `TLSv1.3`. */
  version: string;
  /** Common names, the server's first, its issuer's next; as far as the server sent the chain. */
  chain: string[];
  /** What the certificate is for: DNS names and addresses. */
  names: string[];
  validFrom: Date;
  validTo: Date;
  /** Why a client would not trust it; undefined where it would. */
  objection: HubwireError | undefined;
}

/** The addresses of a name in one family, as the operating system finds them. Rejects with ERR_DNS where there is none. */
export async function resolveName(host: string, family: 4 | 6, signal: AbortSignal): Promise<string[]> {
  const { lookup } = await import("node:dns/promises");
  const none = `${host} has no IPv${family} address`;
  const found = lookup(host, { family, all: true }).catch((cause: unknown): LookupAddress[] => {
    const code = codeOf(cause);
    const isNone = /^(ENOTFOUND|ENODATA|EAI_(NODATA|NONAME|ADDRFAMILY))$/.test(code);
    throw new HubwireError("ERR_DNS", isNone ? none : `${host} cannot be looked up (${code})`, { cause });
  });
  // An address in place of a name comes back whatever its family.
  const addresses = (await abortable(signal, found)).filter((each) => each.family === family);
  if (addresses.length === 0) throw new HubwireError("ERR_DNS", none);
  return addresses.map(({ address }) => address);
}

/** Opens a TCP connection to the target, or a tunnel to it. */
export async function probeTcp(target: Target, signal: AbortSignal): Promise<void> {
  (await reach(target, signal)).destroy();
}

/** Shakes hands with a TLS server and reads what it shows. */
export async function probeTls(target: Target, signal: AbortSignal): Promise<TlsFacts> {
  return withTls(target, signal, async (socket) => factsOf(socket, `${target.host}:${target.port}`));
}

/**
 * The time that an HTTPS server tells in its answer to a plain request; undefined where it tells none. HTTP tells whole
 * seconds (RFC 9110, section 5.6.7).
 */
export async function probeDate(target: Target, signal: AbortSignal): Promise<Date | undefined> {
  const { host } = target;
  const name = host.includes(":") ? `[${host}]` : host;
  const request = `GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`;
  const head = await withTls(target, signal, (socket) => exchange(socket, request, signal));
  const date = new Date(head.fields.get("date") ?? "");
  return Number.isNaN(date.getTime()) ? undefined : date;
}

async function reach({ host, port, proxy, tls }: Target, signal: AbortSignal): Promise<Duplex> {
  try {
    if (proxy !== undefined) {
      const { throughProxy } = await import("./proxy.js");
      const tunnel = await throughProxy({ host, port, proxy, tls, protocol: "mqtts" }, signal);
      if (tunnel !== undefined) return tunnel;
    }
    return await connectTcp(host, port, signal);
  } catch (error) {
    throw faultOf(error, { host, port }, "dial", signal);
  }
}

async function withTls<T>(target: Target, signal: AbortSignal, use: (socket: TLSSocket) => Promise<T>): Promise<T> {
  const { host, port, tls } = target;
  const stream = await reach(target, signal);
  let stage: Stage = "handshake";
  try {
    const options: ConnectionOptions = { ...tls, rejectUnauthorized: false };
    const { socket } = secure(host, port, options, stream, new TlsSessions());
    await opened(socket, "secureConnect", signal);
    stage = "open";
    return await use(socket);
  } catch (error) {
    throw faultOf(error, target, stage, signal);
  } finally {
    stream.destroy();
  }
}

function faultOf(
  error: unknown,
  { host, port }: Pick<Target, "host" | "port">,
  stage: Stage,
  signal: AbortSignal,
): Error {
  if (signal.aborted && error === signal.reason) return error as Error;
  if (error instanceof HttpFault) return new HubwireError("ERR_WEBSOCKET", `${host}:${port}: ${error.message}`);
  return explainFailure(error, `${host}:${port}`, stage);
}

function factsOf(socket: TLSSocket, name: string): TlsFacts {
  const certificate = socket.getPeerCertificate(true);
  const { authorizationError } = socket as { authorizationError?: Error | string | null };
  const code =
    typeof authorizationError === "string" ? authorizationError : (authorizationError as { code?: string })?.code;
  return {
    version: socket.getProtocol() ?? "unknown",
    chain: chainOf(certificate),
    names: (certificate.subjectaltname ?? "").split(", ").map((each) => each.replace(/^(DNS|IP Address):/, "")),
    validFrom: new Date(certificate.valid_from),
    validTo: new Date(certificate.valid_to),
    objection: code ? explainFailure(Object.assign(new Error(code), { code }), name, "handshake") : undefined,
  };
}

type Detailed = PeerCertificate & { issuerCertificate?: Detailed };

function chainOf(certificate: Detailed): string[] {
  const names: string[] = [];
  const seen = new Set<Detailed>();
  let last: Detailed | undefined;
  for (let each: Detailed | undefined = certificate; each?.subject && !seen.has(each); each = each.issuerCertificate) {
    seen.add(each);
    names.push(nameOf(each.subject));
    last = each;
  }
  // The server need not send the one that issued the last.
  const issuer = last && nameOf(last.issuer);
  if (issuer !== undefined && issuer !== names.at(-1)) names.push(issuer);
  return names;
}

const nameOf = ({ CN, O, OU }: PeerCertificate["subject"]): string => String(CN ?? O ?? OU ?? "without a name");
