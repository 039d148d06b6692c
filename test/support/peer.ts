/**
 * A scripted peer: a fake server on a real loopback socket that speaks bytes, not packets, and knows nothing of the
 * library under test.
 *
 * Invariant: whatever waits here gives up after a few seconds with a text that says what it waited for.
 */
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";

const PATIENCE = 10_000;

/** Rejects when `promise` takes too long. For tests: the time decides nothing but how long a failure takes. */
export function soon<T>(promise: Promise<T>, what: string, ms = PATIENCE): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Bytes from hexadecimal digits; spaces do not count. */
export const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ""), "hex");

/** A string as MQTT writes it: two bytes of length, then UTF-8; in hexadecimal. */
export function utf8(text: string): string {
  const data = Buffer.from(text);
  return data.length.toString(16).padStart(4, "0") + data.toString("hex");
}

/** One connection, seen from the server. */
export class PeerConnection {
  readonly socket: Socket;
  /** Resolves when the client's side has ended or the connection is gone. */
  readonly ended: Promise<void>;
  #buffer: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #over = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake?.();
    });
    this.ended = new Promise((resolve) => {
      const over = () => {
        this.#over = true;
        this.#wake?.();
        resolve();
      };
      socket.on("error", over);
      socket.on("end", over);
      socket.on("close", over);
    });
  }

  /** The next whole packet, header included. */
  async packet(): Promise<Buffer> {
    for (;;) {
      const packet = this.#take();
      if (packet) return packet;
      if (this.#over) throw new Error("the client closed the connection instead of sending a packet");
      await soon(new Promise<void>((resolve) => (this.#wake = resolve)), "a packet from the client");
    }
  }

  /** The next packet whose first byte's upper half is `type`; others are passed over. */
  async packetOfType(type: number): Promise<Buffer> {
    for (;;) {
      const packet = await this.packet();
      if ((packet[0] as number) >> 4 === type) return packet;
    }
  }

  /** Waits until the client has closed; returns the packets that came before, in hexadecimal. */
  async rest(): Promise<string[]> {
    await soon(this.ended, "the client to close the connection");
    const packets: string[] = [];
    for (let packet = this.#take(); packet; packet = this.#take()) packets.push(packet.toString("hex"));
    return packets;
  }

  /** Packets that are here already, in hexadecimal; does not wait. */
  arrived(): string[] {
    const packets: string[] = [];
    for (let packet = this.#take(); packet; packet = this.#take()) packets.push(packet.toString("hex"));
    return packets;
  }

  send(hex: string | Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(typeof hex === "string" ? bytes(hex) : hex);
  }

  /** Reads CONNECT and answers CONNACK 0; returns the CONNECT. */
  async accept(sessionPresent = false): Promise<Buffer> {
    const connect = await this.packetOfType(1);
    this.send(sessionPresent ? "20 02 01 00" : "20 02 00 00");
    return connect;
  }

  /** Proves that the client has handled all that was sent: it answers this PUBREL, for no message, with PUBCOMP. */
  async settle(packetId = 0xfff0): Promise<string[]> {
    const id = packetId.toString(16).padStart(4, "0");
    this.send(`62 02 ${id}`);
    const before: string[] = [];
    for (;;) {
      const packet = (await this.packet()).toString("hex");
      if (packet === `7002${id}`) return before;
      before.push(packet);
    }
  }

  close(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #take(): Buffer | undefined {
    let length = 0;
    for (let at = 1; at < 5; at++) {
      const byte = this.#buffer[at];
      if (byte === undefined) return undefined;
      length += (byte & 0x7f) * 128 ** (at - 1);
      if (byte < 0x80) {
        const end = at + 1 + length;
        if (this.#buffer.length < end) return undefined;
        const packet = this.#buffer.subarray(0, end);
        this.#buffer = this.#buffer.subarray(end);
        return packet;
      }
    }
    throw new Error("the client sent a remaining length of more than four bytes");
  }
}

export class Peer {
  readonly #server: Server;
  readonly connections: PeerConnection[] = [];
  readonly #waiting: ((connection: PeerConnection) => void)[] = [];
  #given = 0;

  constructor(tls: TlsOptions | undefined, script: ((connection: PeerConnection) => unknown) | undefined) {
    const accept = (socket: Socket) => {
      const connection = new PeerConnection(socket);
      this.connections.push(connection);
      if (script) {
        void script(connection);
        return;
      }
      const waiting = this.#waiting.shift();
      if (waiting) {
        this.#given++;
        waiting(connection);
      }
    };
    this.#server = tls ? createTlsServer(tls, accept) : createTcpServer(accept);
    this.#server.on("tlsClientError", () => {});
  }

  /** Starts a peer; with a script each connection goes there, without one `next()` hands them out. */
  static async listen(
    options: { tls?: TlsOptions; host?: string; port?: number; script?: (connection: PeerConnection) => unknown } = {},
  ): Promise<Peer> {
    const peer = new Peer(options.tls, options.script);
    await new Promise<void>((resolve, reject) => {
      peer.#server.once("error", reject);
      peer.#server.listen(options.port ?? 0, options.host ?? "127.0.0.1", resolve);
    });
    return peer;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The next connection that was not handed out yet. */
  next(): Promise<PeerConnection> {
    const ready = this.connections[this.#given];
    if (ready) {
      this.#given++;
      return Promise.resolve(ready);
    }
    return soon(new Promise<PeerConnection>((resolve) => this.#waiting.push(resolve)), "a connection");
  }

  /** Stops listening and cuts every connection. */
  async close(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
