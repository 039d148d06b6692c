/** Whose a payload is: the caller's again as soon as its promise has settled, however it did. */
import { expect, test } from "vitest";
import { soon } from "../support/peer.js";
import { connectedScene } from "./scene.js";

const SIZES = [100, 17_000, 70_000, 300_000];
/** The payload of a PUBLISH is all of one value. */
const valueOf = (packet: Buffer, size: number): Set<number> => new Set(packet.subarray(packet.length - size));

test.each(SIZES)("of %i bytes with QoS 0 may be overwritten as soon as it is sent", async (size) => {
  const { client, connection } = await connectedScene({});
  const payload = new Uint8Array(size);
  for (let value = 1; value <= 5; value++) await client.publish("t", payload.fill(value));
  payload.fill(0);
  for (let value = 1; value <= 5; value++) {
    expect(valueOf(await connection.packetOfType(3), size)).toEqual(new Set([value]));
  }
});

test.each(SIZES)("of %i bytes with QoS 0 that waited for the connection may be, too", async (size) => {
  const payload = new Uint8Array(size).fill(1);
  let sent: Promise<void> | undefined;
  const { connection } = await connectedScene({}, { watch: (client) => (sent = client.publish("t", payload)) });
  await sent;
  payload.fill(0);
  expect(valueOf(await connection.packetOfType(3), size)).toEqual(new Set([1]));
});

test.each(SIZES)("of %i bytes that was given up in flight is sent again as it was", async (size) => {
  const { client, peer, connection, clock } = await connectedScene({
    cleanSession: false,
    reconnect: { minDelay: 1, maxDelay: 1 },
  });
  const abort = new AbortController();
  const payload = new Uint8Array(size).fill(1);
  const results = [1, 2].map((qos) =>
    client.publish("t", payload, { qos: qos as 1 | 2, signal: abort.signal }).catch((error) => error.code),
  );
  await connection.packetOfType(3);
  await connection.packetOfType(3);
  abort.abort();
  expect(await Promise.all(results)).toEqual(["ERR_ABORTED", "ERR_ABORTED"]);
  payload.fill(0);
  const waiting = new Promise((resolve) => client.once("reconnecting", resolve));
  connection.destroy();
  await soon(waiting, "the next attempt");
  clock.advance(10);
  const next = await peer.next();
  await next.accept(true);
  for (const first of [0x3a, 0x3c]) {
    const packet = await next.packetOfType(3);
    expect([packet[0], valueOf(packet, size)]).toEqual([first, new Set([1])]);
  }
});

test("of an array that was given away in flight holds up nothing", async () => {
  const { client, connection } = await connectedScene({});
  const abort = new AbortController();
  const payload = new Uint8Array(100).fill(1);
  const result = client.publish("t", payload, { qos: 1, signal: abort.signal }).catch((error) => error.code);
  await connection.packetOfType(3);
  structuredClone(payload, { transfer: [payload.buffer] });
  abort.abort();
  expect([await result, client.connected]).toEqual(["ERR_ABORTED", true]);
});
