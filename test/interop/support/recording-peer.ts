/**
 * A scripted MQTT server on loopback that writes down every packet that it gets.
 *
 * Invariants: packets are recorded decoded, in the order of arrival; it answers the least that the standard
 * demands (CONNACK, SUBACK, UNSUBACK, PUBACK, PINGRESP), and beyond that only what the operation's script
 * does; one recording at a time, over when its clients have hung up.
 */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { encode, PacketReader, type Packet, type PacketInit } from "../../../src/codec/index.js";
import { createAuthority } from "../../../src/emulator/certificates.js";
import type { Target } from "./sdk.js";

/** What the hub says of its own accord, or in answer to `packet`. */
export type Script = (packet: Packet, send: (packet: PacketInit) => void) => void;

export interface RecordingPeer extends Target {
  /** Runs one client from connect to close; resolves to all that it sent. */
  record(script: Script, run: () => Promise<unknown>): Promise<Packet[]>;
  close(): Promise<void>;
}

export async function startRecordingPeer(): Promise<RecordingPeer> {
  const authority = createAuthority();
  // A client certificate is asked for and not checked: what counts is what CONNECT then leaves out.
  const server = createServer({
    ...serverCredentials(authority),
    ca: authority.certificate,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const sockets = new Set<TLSSocket>();
  let packets: Packet[] = [];
  let script: Script = () => {};
  let failure: unknown;

  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    const send = (packet: PacketInit): void => void socket.write(encode(packet));
    const reader = new PacketReader((packet) => {
      packets.push(packet);
      answer(packet, send);
      script(packet, send);
      if (packet.type === "disconnect") socket.end();
    });
    socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        failure ??= error;
        socket.destroy();
      }
    });
    // A client that hangs up hard is recorded like any other.
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");

  return {
    port: (server.address() as AddressInfo).port,
    caCertificate: authority.certificate,
    async record(nextScript, run) {
      packets = [];
      script = nextScript;
      failure = undefined;
      try {
        await run();
      } catch (error) {
        // A client that an operation left open must not hold up the next one.
        for (const socket of sockets) socket.destroy();
        throw error;
      }
      while (sockets.size > 0) await once([...sockets][0] as TLSSocket, "close");
      if (failure !== undefined) throw failure;
      return packets;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

function serverCredentials(authority: ReturnType<typeof createAuthority>): { cert: string; key: string } {
  const { chain, key } = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });
  return { cert: chain, key };
}

function answer(packet: Packet, send: (packet: PacketInit) => void): void {
  switch (packet.type) {
    case "connect":
      return send({ type: "connack", sessionPresent: false, returnCode: 0 });
    case "subscribe":
      return send({
        type: "suback",
        packetId: packet.packetId,
        returnCodes: packet.subscriptions.map(({ qos }) => Math.min(qos, 1)),
      });
    case "unsubscribe":
      return send({ type: "unsuback", packetId: packet.packetId });
    case "publish":
      if (packet.qos === 1) send({ type: "puback", packetId: packet.packetId as number });
      return;
    case "pingreq":
      return send({ type: "pingresp" });
    default:
  }
}
