/**
 * The listening sockets: TLS streams in, links out. The only file of the emulator that opens sockets.
 *
 * Invariants: after `close` no socket of the server is open; a client that reads slowly is not read from
 * either, so what waits for it is bounded by what it asked for.
 */
import { X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import * as tls from "node:tls";
import type { AddressInfo } from "node:net";
import { HubwireError } from "../errors.js";
import { ServerFraming } from "./framing.js";
import type { Transport } from "./transport.js";

/** What a transport feeds: `Link` has it. */
export interface Receiver {
  receive(chunk: Uint8Array): void;
  transportClosed(): void;
}

export interface ServerOptions {
  /** Addresses to listen on, with one port for all. */
  hosts: readonly string[];
  /** 0 takes any free one. */
  port: number;
  /** PEM. */
  certificate: string;
  key: string;
  onStream: (stream: Duplex, certificate: X509Certificate | undefined) => void;
  /** A listening socket failed; it goes on listening. */
  onError: (error: Error) => void;
}

const isPortTaken = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "EADDRINUSE";
const isNoSuchAddress = (error: unknown): boolean =>
  ["EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"].includes((error as NodeJS.ErrnoException).code ?? "");

export class Server {
  readonly port: number;
  readonly #listeners: readonly tls.Server[];
  readonly #sockets: ReadonlySet<Duplex>;

  constructor(port: number, listeners: readonly tls.Server[], sockets: ReadonlySet<Duplex>) {
    this.port = port;
    this.#listeners = listeners;
    this.#sockets = sockets;
  }

  /** Listens. Rejects with ERR_INVALID_ARGUMENT where the address or port cannot be had. */
  static async listen(options: ServerOptions): Promise<Server> {
    // With a free port chosen for the first address, another program may have it on the second one.
    for (let attempt = 1; ; attempt++) {
      const sockets = new Set<Duplex>();
      const listeners: tls.Server[] = [];
      try {
        let { port } = options;
        for (const [index, host] of options.hosts.entries()) {
          const listener = createListener(options, sockets);
          try {
            port = await listenOn(listener, host, port);
            // Out of file descriptors, for example: without a listener the error would end the process.
            listener.on("error", options.onError);
            listeners.push(listener);
          } catch (error) {
            // A machine without IPv6 has no ::1.
            if (index === 0 || !isNoSuchAddress(error)) throw error;
          }
        }
        return new Server(port, listeners, sockets);
      } catch (cause) {
        for (const listener of listeners) listener.close();
        if (options.port === 0 && isPortTaken(cause) && attempt < 10) continue;
        const where = `${options.hosts.join(" and ")}, port ${options.port}`;
        const why = (cause as NodeJS.ErrnoException).code ?? String(cause);
        throw new HubwireError("ERR_INVALID_ARGUMENT", `cannot listen on ${where}: ${why}`, { cause });
      }
    }
  }

  /** Shows another certificate to those who connect from now on. Throws where it is none. */
  setCertificate(certificate: string, key: string): void {
    for (const listener of this.#listeners)
      listener.setSecureContext({ cert: certificate, key, minVersion: "TLSv1.2" });
  }

  async close(): Promise<void> {
    const closed = this.#listeners.map((listener) => new Promise((resolve) => listener.close(resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }
}

function createListener({ certificate, key, onStream }: ServerOptions, sockets: Set<Duplex>): tls.Server {
  const listener = tls.createServer({
    cert: certificate,
    key,
    minVersion: "TLSv1.2",
    // Devices with X.509 identities show a certificate; whether it is a known one is decided at CONNECT.
    requestCert: true,
    rejectUnauthorized: false,
    noDelay: true,
  });
  // Before the handshake is over there is no TLS socket to destroy at `close`.
  listener.on("connection", (socket: Duplex) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  listener.on("tlsClientError", (_error, socket) => socket.destroy());
  listener.on("secureConnection", (socket) => onStream(socket, socket.getPeerX509Certificate()));
  return listener;
}

function listenOn(listener: tls.Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    listener.once("error", reject);
    listener.listen({ host, port }, () => {
      listener.removeListener("error", reject);
      resolve((listener.address() as AddressInfo).port);
    });
  });
}

/** Couples a stream to what `connect` makes of it. `now`: ms since the epoch, by the hub's clock. */
export function couple(
  stream: Duplex & { destroySoon?: () => void },
  certificate: X509Certificate | undefined,
  connect: (transport: Transport) => Receiver,
  now: () => number,
): void {
  // Read only while there is room for the answers, and the hub wants to.
  let room = true;
  let wanted = true;
  const setReading = (): void => void (room && wanted ? stream.resume() : stream.pause());
  const write = (chunks: readonly Uint8Array[]): void => {
    if (stream.destroyed || stream.writableEnded) return;
    if (chunks.length > 1) stream.cork();
    for (const chunk of chunks) room = stream.write(chunk);
    if (chunks.length > 1) stream.uncork();
    if (!room) setReading();
  };
  const end = (): void => {
    // Sockets have it: the peer need not close its side before ours is free.
    if (stream.destroySoon === undefined) stream.end(() => stream.destroy());
    else stream.destroySoon();
  };
  const framing = new ServerFraming(
    {
      received: (bytes) => receiver.receive(bytes),
      write: (bytes) => write([bytes]),
      over: () => {
        end();
        receiver.transportClosed();
      },
    },
    now,
  );
  const receiver = connect({
    certificate,
    write: (chunks) => write(framing.wrap(chunks)),
    end: () => framing.close() || end(),
    destroy: () => stream.destroy(),
    setReading: (on) => {
      if (on === wanted) return;
      wanted = on;
      setReading();
    },
  });
  stream.on("drain", () => {
    room = true;
    setReading();
  });
  stream.on("error", () => receiver.transportClosed());
  stream.on("end", () => receiver.transportClosed());
  stream.on("close", () => receiver.transportClosed());
  stream.on("data", (chunk: Uint8Array) => framing.push(chunk));
}
