/**
 * From an endpoint to a stream on which MQTT can flow: the caller's own connection, or TCP; TLS above it where the
 * protocol says so.
 *
 * Invariants: nothing is sent in the clear unless the protocol is `mqtt` or `ws`; whatever fails or comes too late is
 * destroyed, with an ear for its errors; what is thrown is a HubwireError.
 */
import type { Duplex } from "node:stream";
import type { ConnectionOptions } from "node:tls";
import { HubwireError } from "../errors.js";
import { loadNet } from "./builtins.js";
import { badOptions, explainFailure, type Stage } from "./failures.js";
import { secure } from "./tls.js";
import type { TlsSessions } from "./tls-sessions.js";

/** Where to connect and how. */
export interface Endpoint {
  host: string;
  port: number;
  /** `mqtts` and `wss` are TLS. */
  protocol: "mqtts" | "mqtt" | "wss" | "ws";
  /** Of the WebSocket. */
  path?: string | undefined;
  /** URL of an HTTP proxy, or `environment`: as `HTTPS_PROXY` and `NO_PROXY` say. */
  proxy?: string | URL | undefined;
  /** Passed on to `node:tls`; a client certificate, a private CA, a server name. */
  tls?: ConnectionOptions | undefined;
  /** Makes the connection in place of TCP; TLS and WebSocket come above it as the protocol says. */
  createConnection?: ((options: CreateConnectionOptions) => Duplex | Promise<Duplex>) | undefined;
}

/** What the caller's own connection is made from. */
export interface CreateConnectionOptions {
  host: string;
  port: number;
  /** Aborted when the connection is not wanted any more; a stream that comes after that is destroyed. */
  signal: AbortSignal;
}

/** A stream that is ready for MQTT, or for the WebSocket above it. */
export interface Line {
  readonly stream: Duplex;
  /** To be called once the peer has answered: the connection works. */
  readonly proven: (() => void) | undefined;
}

/** Connects. `signal` ends it, and destroys what has been made. @throws HubwireError */
export async function dial(endpoint: Endpoint, sessions: TlsSessions, signal: AbortSignal): Promise<Line> {
  const { host, port, protocol } = endpoint;
  const name = endpoint.createConnection ? "the connection" : `${host}:${port}`;
  let below: Duplex | undefined;
  try {
    if (endpoint.createConnection) below = await callersConnection(endpoint, name, signal);
    if (protocol === "mqtt" || protocol === "ws") {
      below ??= (await loadNet()).connect({ host, port });
      await ready(below, "connect", signal, name, "dial");
      return { stream: below, proven: undefined };
    }
    const { socket, proven } = await secure(host, port, endpoint.tls, below, sessions);
    await ready(socket, "secureConnect", signal, name, "handshake");
    return { stream: socket, proven };
  } catch (error) {
    below?.destroy();
    throw badOptions(error);
  }
}

/** The caller's stream. After an abort nobody waits for it, and it is destroyed when it comes. */
function callersConnection(endpoint: Endpoint, name: string, signal: AbortSignal): Promise<Duplex> {
  const { host, port, createConnection } = endpoint;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => reject(explainFailure(error, name, "dial"));
    signal.addEventListener("abort", () => fail(signal.reason), { once: true });
    const take = (stream: Duplex): void => {
      if (typeof stream?.pipe !== "function" || typeof stream.write !== "function") {
        throw new HubwireError("ERR_UNREACHABLE", "createConnection gave no Duplex, and no promise of one");
      }
      // Whoever uses it next listens too; until then, and after that, a failure must not end the process.
      stream.on("error", () => {});
      if (signal.aborted) stream.destroy();
      else resolve(stream);
    };
    // What it throws at once is a rejection too.
    new Promise<Duplex>((made) => made(createConnection?.({ host, port, signal }) as Duplex | Promise<Duplex>))
      .then(take)
      .catch(fail);
  });
}

/** Resolves with `event` (at once where a stream is connected already); else the stream is destroyed. */
function ready(stream: Duplex, event: string, signal: AbortSignal, name: string, stage: Stage): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error?: unknown): void => {
      stop();
      stream.destroy();
      reject(explainFailure(error, name, stage));
    };
    const close = (): void => fail(stream.errored ?? undefined);
    const abort = (): void => fail(signal.reason);
    const stop = (): void => {
      signal.removeEventListener("abort", abort);
      stream.off(event, done).off("end", close).off("close", close);
    };
    const done = (): void => {
      stop();
      resolve();
    };
    // Stays: a stream that outlives its use must not crash the process.
    stream.on("error", fail);
    stream.once(event, done).once("end", close).once("close", close);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    else if (stream.destroyed) close();
    else if (event === "connect" && !(stream as { connecting?: boolean }).connecting) done();
    // Output leaves in batches of the client's own making; Nagle's algorithm would only delay them.
    (stream as { setNoDelay?: (on: boolean) => void }).setNoDelay?.(true);
  });
}
