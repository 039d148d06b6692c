/** Where a connection leads, and how: what all parts of the transport are told. */
import type { Duplex } from "node:stream";
import type { ConnectionOptions } from "node:tls";

/** Where to connect and how. */
export interface Endpoint {
  host: string;
  port: number;
  /** `mqtts` and `wss` are TLS. */
  protocol: "mqtts" | "mqtt" | "wss" | "ws";
  /** Of the WebSocket. Default `/mqtt`. */
  path?: string | undefined;
  /** URL of an HTTP proxy, or `environment`: as `HTTPS_PROXY` and `NO_PROXY` say at the time. */
  proxy?: string | URL | undefined;
  /** Passed on to `node:tls`; a client certificate, a private CA, a server name. */
  tls?: ConnectionOptions | undefined;
  /** Makes the connection in place of TCP; TLS and WebSocket come above it as the protocol says. */
  createConnection?: ((options: CreateConnectionOptions) => Duplex | Promise<Duplex>) | undefined;
}

/** What the caller's own connection is made from. */
export interface CreateConnectionOptions {
  /** The host that the connection is to lead to. */
  host: string;
  /** Its port, 1 to 65,535. */
  port: number;
  /** Aborted when the connection is not wanted any more; a stream that comes after that is destroyed. */
  signal: AbortSignal;
}
