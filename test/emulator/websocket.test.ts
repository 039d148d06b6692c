/** MQTT over WebSocket on the emulator's one port, and clients that mean it no good. */
import { once } from "node:events";
import { connect as tlsConnect, type TLSSocket } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { HubEmulator } from "../../src/emulator/index.js";
import { DeviceClient } from "../../src/hub/index.js";
import { FakeClock } from "../support/clock.js";
import { soon } from "../support/peer.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: Parameters<typeof HubEmulator.start>[0] = {}): Promise<HubEmulator> {
  const hub = await HubEmulator.start(options);
  cleanups.push(() => hub.close());
  return hub;
}

/** A TLS connection that collects what the hub says. */
async function dial(hub: HubEmulator): Promise<{ socket: TLSSocket; said: () => string; ended: Promise<unknown> }> {
  const socket = tlsConnect({ host: "127.0.0.1", port: hub.port, ca: hub.caCertificate });
  cleanups.push(() => socket.destroy());
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  socket.on("error", () => {});
  const ended = new Promise((resolve) => socket.once("close", resolve));
  await once(socket, "secureConnect");
  return { socket, said: () => text, ended };
}

const upgrade = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

test("a device over wss and one over mqtts, on one port", async () => {
  const hub = await start();
  for (const protocol of ["wss", "mqtts"] as const) {
    const { connectionString } = hub.createDevice(protocol);
    const device = new DeviceClient(connectionString, { port: hub.port, protocol, tls: { ca: hub.caCertificate } });
    cleanups.push(() => device.close());
    const telemetry = once(hub, "telemetry");
    await device.connect();
    await device.sendTelemetry(Buffer.alloc(200_000));
    expect((await telemetry)[0]).toMatchObject({ deviceId: protocol });
  }
});

test.each([
  ["another path", upgrade("/mqtt"), /^HTTP\/1\.1 404 /],
  ["no upgrade", "GET /$iothub/websocket HTTP/1.1\r\nHost: localhost\r\n\r\n", /^HTTP\/1\.1 426 /],
  ["no HTTP", "GARBAGE", /^HTTP\/1\.1 400 /],
  ["a request without end", `GET / HTTP/1.1\r\nA: ${"a".repeat(20_000)}`, /^HTTP\/1\.1 400 /],
])("%s is answered in HTTP, with the time, and closed", async (_what, request, expected) => {
  const hub = await start();
  const { socket, said, ended } = await dial(hub);
  socket.write(request);
  await soon(ended, "the end of the connection");
  expect(said()).toMatch(expected);
  expect(said()).toMatch(/\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/);
});

test("its clock's offset shows in HTTP too", async () => {
  const hub = await start();
  hub.faults.set({ clockOffset: 3_600_000 });
  const { socket, said, ended } = await dial(hub);
  socket.write("GET / HTTP/1.1\r\n\r\n");
  await soon(ended, "the end of the connection");
  const told = Date.parse(/\r\nDate: (.*)\r\n/.exec(said())?.[1] ?? "");
  expect(Math.abs(told - Date.now() - 3_600_000)).toBeLessThan(60_000);
});

test.each([
  ["in the middle of the request", upgrade("/$iothub/websocket").slice(0, 50), /^HTTP\/1\.1 503 /],
  ["after the upgrade, without CONNECT", upgrade("/$iothub/websocket"), /^HTTP\/1\.1 101 [^]*\x88\x02\x03\xe8$/],
])("a client that stops %s is let go in time", async (_what, request, expected) => {
  const clock = new FakeClock();
  const hub = await start({ clock });
  const { socket, said, ended } = await dial(hub);
  socket.write(request);
  // The hub is in this process: what was written is read in a turn or two.
  for (let turn = 0; turn < 200; turn++) await new Promise(setImmediate);
  clock.advance(300_000);
  await soon(ended, "the end of the connection");
  expect(said()).toMatch(expected);
});

test("a flood of pings costs the hub no memory, and a text frame ends it with 1003", async () => {
  const hub = await start();
  const { socket, said, ended } = await dial(hub);
  socket.write(upgrade("/$iothub/websocket"));
  const ping = Buffer.from("8980ffffffff", "hex");
  socket.write(Buffer.concat(Array.from({ length: 100_000 }, () => ping)));
  socket.write(Buffer.from("8180ffffffff", "hex"));
  await soon(ended, "the end of the connection");
  const frames = said().slice(said().indexOf("\r\n\r\n") + 4);
  expect(frames.length).toBeLessThan(2 * 1_000);
  expect(frames).toMatch(/\x88\x02\x03\xeb$/);
});
