/**
 * Where a broker is and how to get there: the options for that, and what they may be.
 *
 * Invariant: no text made here quotes a value, for a URL may hold a password.
 */
import { attempt, invalid, orInvalid } from "../check.js";
import type { Endpoint } from "../transport/connection.js";

/** The options that say where to connect. */
export interface Address {
  /** A name or an address alone. Not needed with `createConnection`. */
  host?: string | undefined;
  /** Default 8883, or 1883, 443, 80 with protocol `mqtt`, `wss`, `ws`. */
  port?: number | undefined;
  /** `mqtts` (default) is TLS, verified; `mqtt` is cleartext; `wss` and `ws` are the same through a WebSocket. */
  protocol?: Protocol | undefined;
  /** Of the WebSocket, with a query if need be. Default `/mqtt`. */
  path?: string | undefined;
  /**
   * An HTTP proxy to connect through: `http://host:port`, `https:` for TLS to it, with `user:password@` where it wants
   * credentials; or `environment`, for what HTTPS_PROXY and NO_PROXY say.
   */
  proxy?: string | URL | undefined;
  /**
   * Makes the connection in place of TCP: any Duplex, or a promise of one. TLS and WebSocket come above it as `protocol`
   * says, and the certificate must be for `host`. Its `signal` is aborted when the connection is over or not wanted.
   */
  createConnection?: Endpoint["createConnection"];
}

/** How to speak to the broker. */
export type Protocol = Endpoint["protocol"];

/** The usual port of each protocol. */
export const PORTS: Readonly<Record<Protocol, number>> = { mqtts: 8883, mqtt: 1883, wss: 443, ws: 80 };

/** Completes the options. @throws HubwireError ERR_INVALID_ARGUMENT, which says what to write. */
export function resolveAddress(options: Address): Omit<Endpoint, "tls"> {
  const { protocol = "mqtts", path, proxy, createConnection } = options;
  const host = checkHost(options.host ?? (createConnection && "localhost"));
  if (!Object.hasOwn(PORTS, protocol)) throw invalid(`option protocol must be one of ${Object.keys(PORTS).join(", ")}`);
  if (path !== undefined) {
    if (protocol !== "wss" && protocol !== "ws") throw invalid("option path is for protocol wss and ws");
    if (!/^\/[!-~]*$/.test(path) || path.includes("#")) {
      throw invalid("option path must begin with / and be escaped as in a URL");
    }
  }
  if (proxy !== undefined) checkProxy(proxy, createConnection);
  return { host, port: options.port ?? PORTS[protocol], protocol, path, proxy, createConnection };
}

function checkHost(host: string | undefined): string {
  if (!host) throw invalid("option host is missing");
  if (host.includes("://")) {
    throw invalid('option host is a URL: write new MqttClient("mqtts://…"), or the name alone with protocol and port');
  }
  if (/^[^:]*:\d+$/.test(host)) throw invalid("option host ends with a port: give it as option port");
  if (/[/@?#\\[\]\x00-\x20\x7f]/.test(host)) {
    throw invalid("option host must be a name or an address alone, without brackets, path or user");
  }
  return asciiOf(host);
}

/** As DNS, TLS and HTTP know a name with other letters (RFC 5891, section 4.4). */
function asciiOf(host: string): string {
  if (/^[!-~]*$/.test(host)) return host;
  return orInvalid(() => new URL(`ws://${host}`).hostname, "option host is no name that can be looked up");
}

/** As far as it costs nothing; the rest is checked where the proxy is used. */
function checkProxy(proxy: string | URL, createConnection: Address["createConnection"]): void {
  if (createConnection !== undefined) throw invalid("options proxy and createConnection exclude each other");
  if (proxy === "environment") return;
  if (/^https?:\/\/[^/]/.test(attempt(() => String(proxy), ""))) return;
  throw invalid("option proxy is written http://host:port, http://user:password@host:port, or environment");
}
