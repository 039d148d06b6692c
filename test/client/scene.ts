/** A client that is connected to a scripted peer on a real socket; whatever a test leaves open is closed after it. */
import { afterEach } from "vitest";
import { MqttClient, type MqttClientOptions } from "../../src/client/index.js";
import { FakeClock } from "../support/clock.js";
import { Peer, type PeerConnection } from "../support/peer.js";

export interface Scene {
  client: MqttClient;
  peer: Peer;
  connection: PeerConnection;
  clock: FakeClock;
}

export const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Makes both ends; `watch` gets the client before it connects. */
export async function connectedScene(
  options: Partial<MqttClientOptions>,
  { sessionPresent = false, watch = () => {} }: { sessionPresent?: boolean; watch?: (client: MqttClient) => void } = {},
): Promise<Scene> {
  const peer = await Peer.listen();
  cleanups.push(() => peer.close());
  const clock = new FakeClock();
  const client = new MqttClient({
    host: "127.0.0.1",
    port: peer.port,
    protocol: "mqtt",
    clientId: "c",
    clock,
    ...options,
  });
  cleanups.push(() => client.close({ force: true }));
  watch(client);
  const connected = client.connect();
  const connection = await peer.next();
  await connection.accept(sessionPresent);
  await connected;
  return { client, peer, connection, clock };
}
