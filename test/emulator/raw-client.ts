/**
 * A client that says and hears packets and bytes, nothing more: no session, no keep alive, no acknowledgement
 * of its own. It goes over a real TLS socket.
 */
import * as tls from "node:tls";
import { encode, PacketReader, type ConnectInit, type Packet, type PacketInit } from "../../src/codec/index.js";
import type { HubEmulator } from "../../src/emulator/index.js";
import { createSasToken } from "../../src/wire/sas.js";
import { soon } from "../support/peer.js";

/** A far future, in seconds. */
const LATER = 4_102_444_800;

/** The CONNECT of a device or module with its own key. */
export function connectPacket(
  identity: { deviceId: string; moduleId?: string | undefined; primaryKey: string | undefined },
  changes: Partial<ConnectInit> & { expiry?: number; keyName?: string } = {},
): ConnectInit {
  const { deviceId, moduleId, primaryKey: key } = identity;
  const { expiry = LATER, keyName, ...rest } = changes;
  const clientId = moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`;
  const token =
    key === undefined ? undefined : createSasToken({ hostName: "localhost", deviceId, moduleId, key, expiry, keyName });
  return {
    type: "connect",
    clientId,
    username: `localhost/${clientId}/?api-version=2021-04-12`,
    password: token,
    cleanSession: false,
    keepAlive: 60,
    ...rest,
  };
}

export class RawClient {
  readonly socket: tls.TLSSocket;
  readonly #packets: Packet[] = [];
  #closed = false;
  #wake: () => void = () => {};

  constructor(socket: tls.TLSSocket) {
    this.socket = socket;
    const reader = new PacketReader((packet) => {
      this.#packets.push(packet);
      this.#wake();
    });
    socket.on("data", (chunk: Uint8Array) => reader.push(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** Opens the TLS connection, without CONNECT. */
  static async open(hub: HubEmulator, options: tls.ConnectionOptions = {}): Promise<RawClient> {
    const socket = tls.connect({
      host: "127.0.0.1",
      servername: "localhost",
      port: hub.port,
      ca: hub.caCertificate,
      ...options,
    });
    // A packet behind another would wait 40 ms for an acknowledgement that the system delays.
    socket.setNoDelay();
    const client = new RawClient(socket);
    await soon(new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject)), "TLS");
    return client;
  }

  /** Opens the connection, sends CONNECT and expects to be accepted. */
  static async connected(
    hub: HubEmulator,
    identity: Parameters<typeof connectPacket>[0],
    changes: Parameters<typeof connectPacket>[1] = {},
  ): Promise<RawClient> {
    const client = await RawClient.open(hub);
    client.send(connectPacket(identity, changes));
    const answer = await client.next();
    if (answer === "closed" || answer.type !== "connack" || answer.returnCode !== 0) {
      throw new Error(`not accepted: ${JSON.stringify(answer)}`);
    }
    return client;
  }

  send(...packets: PacketInit[]): void {
    this.socket.write(Buffer.concat(packets.map((packet) => encode(packet))));
  }

  sendBytes(hex: string): void {
    this.socket.write(Buffer.from(hex.replaceAll(" ", ""), "hex"));
  }

  /** The next packet, or "closed" when there will be none. */
  next(): Promise<Packet | "closed"> {
    const wait = async (): Promise<Packet | "closed"> => {
      while (this.#packets.length === 0 && !this.#closed) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      return this.#packets.shift() ?? "closed";
    };
    return soon(wait(), "a packet or the close");
  }

  /** Subscribes and returns the return codes. */
  async subscribe(...topicFilters: string[]): Promise<number[]> {
    const subscriptions = topicFilters.map((topicFilter) => ({ topicFilter, qos: 1 as const }));
    this.send({ type: "subscribe", packetId: 9, subscriptions });
    const answer = await this.next();
    if (answer === "closed" || answer.type !== "suback") throw new Error(`no SUBACK: ${JSON.stringify(answer)}`);
    return answer.returnCodes;
  }

  /** Shows that nothing else is on its way: the answer to PINGREQ comes next. */
  async nothingElse(): Promise<boolean> {
    this.send({ type: "pingreq" });
    const answer = await this.next();
    return answer !== "closed" && answer.type === "pingresp";
  }

  async disconnect(): Promise<void> {
    this.send({ type: "disconnect" });
    while ((await this.next()) !== "closed");
  }

  /** Breaks the connection without DISCONNECT. */
  destroy(): void {
    this.socket.destroy();
  }
}

/** The next event of this name. */
export function event<K extends Parameters<HubEmulator["on"]>[0]>(hub: HubEmulator, name: K): Promise<never> {
  return soon(new Promise((resolve) => hub.once(name, resolve as never)), `the event ${String(name)}`);
}
