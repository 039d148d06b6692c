/** The hub itself: starting, faults, closing. */
import { once } from "node:events";
import { connect as connectTcp, createServer, type AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import * as tls from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { decode, encode } from "../../src/codec/index.js";
import { createAuthority, HubEmulator } from "../../src/emulator/index.js";
import { parseConnectionString } from "../../src/wire/connection-string.js";
import { FakeClock } from "../support/clock.js";
import { connectPacket, event, RawClient } from "./raw-client.js";

const hubs: HubEmulator[] = [];
async function start(options?: Parameters<typeof HubEmulator.start>[0]): Promise<HubEmulator> {
  const hub = await HubEmulator.start(options);
  hubs.push(hub);
  return hub;
}
afterEach(async () => {
  await Promise.all(hubs.splice(0).map((hub) => hub.close()));
});

describe("start", () => {
  it("listens on loopback, with a certificate for each of its names", async () => {
    const hub = await start();
    expect(hub.port).toBeGreaterThan(0);
    for (const [host, servername] of [
      ["127.0.0.1", ""],
      ["::1", ""],
      ["localhost", "localhost"],
    ] as const) {
      const socket = tls.connect({
        host,
        port: hub.port,
        ca: hub.caCertificate,
        ...(servername ? { servername } : {}),
      });
      await once(socket, "secureConnect");
      expect(socket.authorized).toBe(true);
      socket.destroy();
    }
  });

  it("takes a host name, further names and an authority", async () => {
    const authority = createAuthority({ commonName: "ours" });
    const hub = await start({
      hostName: "hub.example",
      alternativeNames: ["gateway.example", "10.1.2.3"],
      host: "127.0.0.1",
      authority,
    });
    expect(hub.caCertificate).toBe(authority.certificate);
    const { connectionString } = hub.createDevice("d1");
    expect(parseConnectionString(connectionString)).toMatchObject({
      hostName: "hub.example",
      deviceId: "d1",
    });
    for (const servername of ["hub.example", "gateway.example", "localhost"]) {
      const client = await RawClient.open(hub, { servername });
      expect(client.socket.authorized).toBe(true);
      client.destroy();
    }
    const gateway = hub.connectionString("d1", { gatewayHostName: "gateway.example" });
    expect(gateway).toContain(";GatewayHostName=gateway.example;");
    expect(() => hub.connectionString("d1", { keyName: "nobody" })).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
  });

  it("refuses TLS 1.1 and what is not TLS", async () => {
    const hub = await start();
    const old = tls.connect({
      host: "127.0.0.1",
      port: hub.port,
      ca: hub.caCertificate,
      servername: "localhost",
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    await expect(once(old, "secureConnect")).rejects.toThrow();
    const plain = connectTcp(hub.port, "127.0.0.1");
    plain.on("error", () => {});
    plain.write(encode({ type: "connect", clientId: "d1" }));
    await once(plain, "close");
    // The hub lives on.
    (await RawClient.open(hub)).destroy();
  });

  it("says when the port is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    await expect(HubEmulator.start({ port })).rejects.toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
      message: expect.stringContaining(`port ${port}`) as string,
    });
    taken.close();
    await expect(HubEmulator.start({ port: 70_000 })).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    await expect(HubEmulator.start({ host: 5 as never })).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    await expect(HubEmulator.start({ prot: 1 } as never)).rejects.toMatchObject({
      message: expect.stringContaining('unknown option "prot"'),
    });
    await expect(HubEmulator.start(null as never)).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    const certificate = { certificate: "none", key: "none" };
    await expect(HubEmulator.start({ certificate })).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  });

  it("takes the policies' keys", async () => {
    const hub = await start({ policies: { device: Buffer.alloc(32, 9).toString("base64") } });
    hub.createDevice("d1");
    expect(hub.connectionString("d1", { keyName: "device" })).toMatch(/SharedAccessKey=CQkJ/);
    await expect(HubEmulator.start({ policies: { device: "?" } })).rejects.toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
    });
  });
});

describe("accept", () => {
  it("serves any stream", async () => {
    const hub = await start();
    const device = hub.createDevice("d1");
    const sent: Uint8Array[] = [];
    const stream = new Duplex({
      read() {},
      write(chunk: Uint8Array, _encoding, done) {
        sent.push(chunk);
        done();
      },
    });
    hub.accept(stream);
    stream.push(encode(connectPacket(device)));
    await event(hub, "connected");
    await new Promise((resolve) => setImmediate(resolve));
    expect(decode(Buffer.concat(sent))).toEqual({ type: "connack", sessionPresent: false, returnCode: 0 });
    const gone = event(hub, "disconnected");
    stream.push(null);
    expect(await gone).toEqual({ deviceId: "d1", reason: "lost" });
  });

  it("stops reading from a client that does not read", async () => {
    const hub = await start();
    const device = hub.createDevice("d1");
    let release = (): void => {};
    const stream = new Duplex({
      read() {},
      highWaterMark: 16,
      write: (_chunk, _encoding, done) => void (release = done),
    });
    hub.accept(stream);
    let received = 0;
    hub.on("telemetry", () => received++);
    stream.push(encode(connectPacket(device)));
    await event(hub, "connected");
    const publish = encode({ type: "publish", topic: "devices/d1/messages/events/", qos: 1, packetId: 1 });
    for (let round = 0; round < 8; round++) {
      stream.push(Buffer.concat([publish, publish]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(received).toBeLessThan(16);
    expect(stream.isPaused()).toBe(true);
    for (let round = 0; round < 40; round++) {
      release();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(received).toBe(16);
  });
});

describe("faults", () => {
  it("refuse connections with a code, or without", async () => {
    const hub = await start();
    const device = hub.createDevice("d1");
    hub.faults.connack = 3;
    let client = await RawClient.open(hub);
    client.send(connectPacket(device));
    expect(await client.next()).toEqual({ type: "connack", sessionPresent: false, returnCode: 3 });
    expect(await client.next()).toBe("closed");
    hub.faults.connack = "close";
    client = await RawClient.open(hub);
    client.send(connectPacket(device));
    expect(await client.next()).toBe("closed");
    hub.faults.connack = 0;
    await (await RawClient.connected(hub, device)).disconnect();
  });

  it("hold and drop PUBACK, though the message has arrived", async () => {
    const hub = await start();
    const client = await RawClient.connected(hub, hub.createDevice("d1"));
    const publish = (packetId: number) =>
      client.send({ type: "publish", topic: "devices/d1/messages/events/", qos: 1, packetId });
    hub.faults.puback = "hold";
    const arrived = event(hub, "telemetry");
    publish(1);
    publish(2);
    await arrived;
    expect(await client.nothingElse()).toBe(true);
    hub.faults.puback = "send";
    expect(await client.next()).toEqual({ type: "puback", packetId: 1 });
    expect(await client.next()).toEqual({ type: "puback", packetId: 2 });
    hub.faults.puback = "drop";
    publish(3);
    expect(await client.nothingElse()).toBe(true);
    hub.faults.puback = "send";
    publish(4);
    expect(await client.next()).toEqual({ type: "puback", packetId: 4 });
  });

  it("leave PINGREQ unanswered", async () => {
    const hub = await start();
    const client = await RawClient.connected(hub, hub.createDevice("d1"));
    hub.faults.pingresp = false;
    client.send({ type: "pingreq" }, { type: "unsubscribe", packetId: 1, topicFilters: ["x"] });
    expect(await client.next()).toEqual({ type: "unsuback", packetId: 1 });
  });

  it("end a connection without a reason", async () => {
    const hub = await start();
    const device = hub.createDevice("d1");
    for (const abruptly of [false, true]) {
      const client = await RawClient.connected(hub, device);
      const gone = event(hub, "disconnected");
      hub.disconnectDevice("d1", { abruptly });
      expect(await gone).toEqual({ deviceId: "d1", reason: "hub" });
      expect(await client.next()).toBe("closed");
    }
    hub.disconnectDevice("d1");
  });
});

describe("close", () => {
  it("closes every connection, settles everything, leaves no timer, and may be called again", async () => {
    const clock = new FakeClock(Date.now());
    const hub = await start({ clock });
    const device = hub.createDevice("d1");
    const client = await RawClient.connected(hub, device);
    await client.subscribe("$iothub/methods/POST/#");
    const silent = await RawClient.open(hub);
    const pending = hub.invokeMethod("d1", "m");
    const waiting = hub.invokeMethod("d1", "m", null, { connectTimeout: 1e6 });
    const { completion } = await hub.sendToDevice("d1", "x");
    const outcomes = Promise.allSettled([pending, waiting]);
    await hub.close();
    expect(await outcomes).toMatchObject([{ reason: { code: "ERR_CLOSED" } }, { reason: { code: "ERR_CLOSED" } }]);
    expect(await completion).toBe("Purged");
    while ((await client.next()) !== "closed");
    expect(await silent.next()).toBe("closed");
    expect(clock.pending).toBe(0);
    await hub.close();
    await expect(hub.sendToDevice("d1", "x")).rejects.toMatchObject({ code: "ERR_CLOSED" });
    await expect(hub.invokeMethod("d1", "x")).rejects.toMatchObject({ code: "ERR_CLOSED" });
    const refused = tls.connect({ host: "127.0.0.1", port: hub.port });
    await expect(once(refused, "secureConnect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("ends connections that have not even shaken hands", async () => {
    const hub = await start();
    const socket = connectTcp(hub.port, "127.0.0.1");
    const closed = once(socket, "close");
    socket.on("error", () => {});
    await once(socket, "connect");
    await hub.close();
    await closed;
  });

  it("is what `await using` calls", async () => {
    const hub = await start();
    const dispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
    await (hub as unknown as Record<symbol, () => Promise<void>>)[dispose]?.();
    await expect(hub.sendToDevice("d1", "x")).rejects.toMatchObject({ code: "ERR_CLOSED" });
  });
});
