/**
 * Tunnels through HTTP proxies (CONNECT, RFC 9110, section 9.3.6); loaded only where one is asked for.
 *
 * Invariants: the proxy sees the peer's name and port and what TLS lets anybody see, but never what is inside; its
 * credentials are in no error; its answer is bounded.
 */
import type { Duplex } from "node:stream";
import type { ConnectionOptions } from "node:tls";
import { builtin } from "../builtin.js";
import { HubwireError } from "../errors.js";
import type { Endpoint } from "./endpoint.js";
import { explainFailure } from "./failures.js";
import { HttpFault, type HttpHead, isPassing, statusOf } from "./http.js";
import { exchange } from "./http-exchange.js";
import { ENVIRONMENT, parseProxy, type Proxy, proxyOfEnvironment } from "./proxy-url.js";
import { connectTcp, opened } from "./streams.js";
import { secure } from "./tls.js";
import { TlsSessions } from "./tls-sessions.js";

/**
 * A stream through the proxy to the endpoint; undefined where the environment names none for it. Rejects with ERR_PROXY
 * for what the proxy says, and as any connection for one to the proxy itself.
 */
export async function throughProxy(endpoint: Endpoint, signal: AbortSignal): Promise<Duplex | undefined> {
  const { host, port, proxy = ENVIRONMENT } = endpoint;
  const chosen = proxy === ENVIRONMENT ? proxyOfEnvironment(host, port, process.env) : parseProxy(proxy);
  if (chosen === undefined) return undefined;
  const name = `the proxy ${chosen.host}:${chosen.port}`;
  const stream = await reach(chosen, endpoint.tls, signal).catch((error: unknown) => {
    throw explainFailure(error, name, chosen.secured ? "handshake" : "dial");
  });
  try {
    const head = await exchange(stream, connectRequest(host, port, chosen), signal);
    const fault = tunnelFault(head, host, port, name, chosen);
    if (fault) throw fault;
    if (head.rest.length > 0) stream.unshift(head.rest);
    return stream;
  } catch (error) {
    stream.destroy();
    if (error instanceof HttpFault) throw proxyError(`${name} is none: ${error.message}`);
    if (error === undefined)
      throw proxyError(`${name} closed the connection instead of an answer`, { retryable: true });
    throw error instanceof HubwireError ? error : explainFailure(error, name, "dial");
  }
}

const proxyError = (text: string, details = {}): HubwireError => new HubwireError("ERR_PROXY", text, details);

async function reach(
  { host, port, secured }: Proxy,
  tls: ConnectionOptions | undefined,
  signal: AbortSignal,
): Promise<Duplex> {
  if (!secured) return connectTcp(host, port, signal);
  const { socket } = secure(host, port, trustOf(tls), undefined, new TlsSessions());
  await opened(socket, "secureConnect", signal);
  return socket;
}

/** A company's proxy has a certificate of a public authority, or of the one that the caller trusts; it is shown none. */
function trustOf({ ca }: ConnectionOptions = {}): ConnectionOptions {
  if (ca === undefined) return {};
  const tls: typeof import("node:tls") & { getCACertificates?: () => string[] } = builtin("tls");
  return { ca: [...(tls.getCACertificates?.() ?? tls.rootCertificates), ...[ca].flat()] };
}

function connectRequest(host: string, port: number, { authorization }: Proxy): string {
  const target = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const lines = [`CONNECT ${target} HTTP/1.1`, `Host: ${target}`];
  if (authorization !== undefined) lines.push(`Proxy-Authorization: ${authorization}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** What is wrong with the proxy's answer; undefined where the tunnel is open. */
function tunnelFault(
  head: HttpHead,
  host: string,
  port: number,
  name: string,
  { authorization }: Proxy,
): HubwireError | undefined {
  const answer = statusOf(head);
  if (!answer) return proxyError(`${name} is none: what came is not HTTP`);
  const { status, text } = answer;
  if (status >= 200 && status < 300) return undefined;
  if (status === 407) {
    const what = authorization === undefined ? "wants credentials: write them into" : "refused the credentials in";
    return proxyError(`${name} ${what} the URL of option proxy (407)`, { status });
  }
  const advice = status === 403 || status === 405 ? ": it does not allow this host or port" : "";
  return proxyError(`${name} opened no tunnel to ${host}:${port}: ${status}${text && ` ${text}`}${advice}`, {
    status,
    retryable: isPassing(status),
  });
}
