/**
 * MQTT over WebSocket with others: our client against mosquitto's listener, the npm package `ws` and Aedes behind it;
 * MQTT.js and Microsoft's SDK, unmodified, against the emulator.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpsServer, Agent } from "node:https";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Aedes } from "aedes";
import { connect as mqttConnect, type IClientOptions } from "mqtt";
import { afterEach, describe, expect, it } from "vitest";
import { createWebSocketStream, WebSocketServer, type WebSocket } from "ws";
import { MqttClient, type Message, type MqttClientOptions } from "../../src/client/index.js";
import { createAuthority, HubEmulator } from "../../src/emulator/index.js";
import { createSasToken, DeviceClient, parseConnectionString } from "../../src/hub/index.js";
import { Inbox } from "./support/inbox.js";
import { Message as SdkMessage, sdkWebSocketDevice } from "./support/sdk.js";

const authority = createAuthority();
const identity = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of cleanup.splice(0).reverse()) await close();
});

/** `ws` behind TLS; each connection goes to `serve`. */
async function wsServer(serve: (socket: WebSocket) => void): Promise<number> {
  const https = createHttpsServer({ cert: identity.chain, key: identity.key });
  const server = new WebSocketServer({
    server: https,
    handleProtocols: (offered) => (offered.has("mqtt") ? "mqtt" : false),
  });
  server.on("connection", serve);
  https.listen(0, "127.0.0.1");
  await once(https, "listening");
  cleanup.push(async () => {
    for (const client of server.clients) client.terminate();
    https.close();
    await once(https, "close");
  });
  return (https.address() as AddressInfo).port;
}

function client(port: number, options: Partial<MqttClientOptions> = {}): MqttClient {
  const made = new MqttClient({
    host: "localhost",
    port,
    protocol: "wss",
    tls: { ca: authority.certificate },
    clientId: "h",
    reconnect: { minDelay: 10, maxDelay: 50 },
    ...options,
  });
  cleanup.push(() => made.close({ force: true }));
  return made;
}

const bytes = (...values: number[]): Buffer => Buffer.from(values);
const CONNACK = bytes(0x20, 2, 0, 0);

/** QoS 0 to 2, empty and large payloads, there and back in order. */
async function exchange(made: MqttClient): Promise<void> {
  const inbox = new Inbox<Message>();
  await made.connect();
  await made.subscribe("t/#", { qos: 2 }, inbox.put);
  const large = Buffer.alloc(300_000, "l");
  const sent = Array.from({ length: 90 }, (_, index) => (index === 30 ? large : Buffer.from(`m${index}`)));
  await Promise.all(sent.map((payload, index) => made.publish("t/x", payload, { qos: (index % 3) as 0 | 1 | 2 })));
  await made.publish("t/x", "", { qos: 1 });
  const arrived = (await inbox.take(91)).map(({ payload }) => Buffer.from(payload));
  const texts = (list: readonly Buffer[]): string[] => list.map((payload) => payload.toString().slice(0, 10)).sort();
  expect(texts(arrived)).toEqual(texts([...sent, Buffer.alloc(0)]));
  expect(arrived.some((payload) => payload.equals(large))).toBe(true);
  await made.close();
}

const mosquittoMissing = spawnSync("mosquitto", ["-h"]).error !== undefined && !process.env["CI"];

describe.skipIf(mosquittoMissing)("mosquitto's WebSocket listener", () => {
  async function mosquitto(): Promise<{ port: number; stop: () => void }> {
    const folder = mkdtempSync(join(tmpdir(), "hubwire-interop-"));
    const freePort = async (): Promise<number> => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      server.close();
      await once(server, "close");
      return port;
    };
    const port = await freePort();
    const files = { "cert.pem": identity.chain, "key.pem": identity.key };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const lines = [
      // Debian's does not start with a WebSocket listener alone.
      `listener ${await freePort()} 127.0.0.1`,
      `listener ${port} 127.0.0.1`,
      "protocol websockets",
      `certfile ${join(folder, "cert.pem")}`,
      `keyfile ${join(folder, "key.pem")}`,
      "allow_anonymous true",
      ...(process.getuid?.() === 0 ? ["user root"] : []),
    ];
    writeFileSync(join(folder, "mosquitto.conf"), lines.join("\n"));
    const child = spawn("mosquitto", ["-c", join(folder, "mosquitto.conf")], { stdio: ["ignore", "ignore", "pipe"] });
    const exited = once(child, "exit");
    cleanup.push(async () => {
      child.kill();
      await exited;
      rmSync(folder, { recursive: true });
    });
    let log = "";
    await new Promise<void>((resolve, reject) => {
      child.stderr.on("data", (text: Buffer) => {
        log += text.toString();
        if (/mosquitto version \S+ running/.test(log)) resolve();
      });
      child.on("exit", () => reject(new Error(`mosquitto did not start: ${log}`)));
    });
    return { port, stop: () => child.kill() };
  }

  it("takes and gives messages of every QoS", async () => {
    const { port } = await mosquitto();
    await exchange(client(port));
  });

  it("is found gone when it stops", async () => {
    const { port, stop } = await mosquitto();
    const made = client(port, { reconnect: false });
    await made.connect();
    const lost = once(made, "disconnect");
    stop();
    expect((await lost)[0]).toMatchObject({ code: "ERR_CONNECTION_LOST" });
  });
});

it("Aedes behind ws takes and gives messages of every QoS", async () => {
  const broker = await Aedes.createBroker();
  cleanup.push(() => new Promise<void>((resolve) => broker.close(resolve)));
  const port = await wsServer((socket) => void broker.handle(createWebSocketStream(socket) as never));
  await exchange(client(port));
});

describe("ws as a server", () => {
  it("sends packets in fragments with pings between them, and hears the pongs", async () => {
    const pongs = new Inbox<string>();
    const port = await wsServer((socket) => {
      socket.on("pong", (payload) => pongs.put(payload.toString()));
      socket.once("message", () => {
        socket.send(CONNACK.subarray(0, 1), { fin: false });
        socket.ping("one");
        socket.send(CONNACK.subarray(1, 3), { fin: false });
        socket.ping("two");
        socket.send(CONNACK.subarray(3), { fin: true });
        // Two packets and a half, then the other half.
        socket.send(
          Buffer.concat([bytes(0x30, 4, 0, 1, 0x74, 0x31), bytes(0x30, 4, 0, 1, 0x74, 0x32), bytes(0x30, 4, 0)]),
        );
        socket.send(bytes(1, 0x74, 0x33));
      });
    });
    const inbox = new Inbox<Message>();
    const made = client(port);
    // Before SUBACK there is no route: what comes with CONNACK is for a kept session's handler.
    const granted = made.subscribe("t", {}, inbox.put);
    granted.catch(() => {});
    await made.connect();
    const texts = (await inbox.take(3)).map(({ payload }) => Buffer.from(payload).toString());
    expect(texts).toEqual(["1", "2", "3"]);
    expect(await pongs.take(2)).toEqual(["one", "two"]);
  });

  it("gets binary frames, and a close with 1000 after DISCONNECT", async () => {
    const kinds = new Set<boolean>();
    let received = Buffer.alloc(0);
    let closing: (code: number) => void;
    const closed = new Promise<number>((resolve) => (closing = resolve));
    const port = await wsServer((socket) => {
      socket.on("message", (data, isBinary) => {
        kinds.add(isBinary);
        received = Buffer.concat([received, data as Buffer]);
        if (received.length === (data as Buffer).length) socket.send(CONNACK);
      });
      socket.on("close", (code) => closing(code));
    });
    const made = client(port);
    await made.connect();
    await made.publish("t", Buffer.alloc(200_000));
    await made.close();
    expect(await closed).toBe(1000);
    expect([...kinds]).toEqual([true]);
    expect(received.subarray(-2)).toEqual(bytes(0xe0, 0));
  });

  it.each([
    [1001, "going away"],
    [1008, ""],
    [4999, "application"],
  ])("closes with %i: lost, with code and reason, and connected anew", async (code, reason) => {
    let visits = 0;
    const port = await wsServer((socket) => {
      const first = ++visits === 1;
      socket.once("message", () => {
        socket.send(CONNACK);
        if (first) setImmediate(() => socket.close(code, reason));
      });
    });
    const made = client(port);
    const lost = once(made, "disconnect");
    await made.connect();
    const [error] = (await lost) as [Error];
    expect(error).toMatchObject({ code: "ERR_CONNECTION_LOST" });
    expect(error.message).toContain(`${code}${reason && `: ${reason}`}`);
    await once(made, "connect");
    expect(visits).toBe(2);
  });

  it("sends text: a violation, told to it with 1003", async () => {
    let closing: (code: number) => void;
    const closed = new Promise<number>((resolve) => (closing = resolve));
    const port = await wsServer((socket) => {
      socket.once("message", () => {
        socket.send(CONNACK);
        socket.send("text");
      });
      socket.on("close", (code) => closing(code));
    });
    const made = client(port, { reconnect: false });
    const lost = once(made, "disconnect");
    await made.connect();
    expect((await lost)[0]).toMatchObject({ code: "ERR_PROTOCOL_VIOLATION", statement: "MQTT-6.0.0-1" });
    expect(await closed).toBe(1003);
  });

  it("knows no mqtt", async () => {
    const https = createHttpsServer({ cert: identity.chain, key: identity.key });
    const server = new WebSocketServer({ server: https, handleProtocols: () => false });
    https.listen(0, "127.0.0.1");
    await once(https, "listening");
    cleanup.push(() => {
      for (const socket of server.clients) socket.terminate();
      https.close();
    });
    const made = client((https.address() as AddressInfo).port);
    await expect(made.connect()).rejects.toMatchObject({ code: "ERR_WEBSOCKET", statement: "MQTT-6.0.0-4" });
  });
});

describe("the emulator over wss", () => {
  async function start(): Promise<HubEmulator> {
    const hub = await HubEmulator.start();
    cleanup.push(() => hub.close());
    return hub;
  }

  it("serves MQTT.js", async () => {
    const hub = await start();
    const { hostName, sharedAccessKey: key = "" } = parseConnectionString(hub.createDevice("js").connectionString);
    const telemetry = once(hub, "telemetry");
    const options: IClientOptions = {
      ca: hub.caCertificate,
      protocolVersion: 4,
      reconnectPeriod: 0,
      clientId: "js",
      username: `${hostName}/js/?api-version=2021-04-12`,
      password: createSasToken({ hostName, deviceId: "js", key, expiry: Math.floor(Date.now() / 1000) + 600 }),
    };
    const js = mqttConnect(`wss://localhost:${hub.port}/$iothub/websocket`, options);
    cleanup.push(() => js.endAsync(true));
    await new Promise<void>((resolve, reject) => js.once("connect", () => resolve()).once("error", reject));
    await js.subscribeAsync("devices/js/messages/devicebound/#", { qos: 1 });
    const arrived = new Promise<string>((resolve) => js.once("message", (_topic, payload) => resolve(String(payload))));
    await js.publishAsync("devices/js/messages/events/", Buffer.alloc(100_000, "x"), { qos: 1 });
    expect(((await telemetry)[0] as { payload: Uint8Array }).payload).toHaveLength(100_000);
    const { completion } = await hub.sendToDevice("js", "down");
    expect(await arrived).toBe("down");
    expect(await completion).toBe("Success");
  });

  it("serves Microsoft's MqttWs", async () => {
    const hub = await start();
    const { connectionString } = hub.createDevice("ms");
    const agent = new Agent({ port: hub.port, ca: hub.caCertificate });
    cleanup.push(() => agent.destroy());
    const device = await sdkWebSocketDevice(connectionString, hub.caCertificate, agent);
    cleanup.push(() => device.close());
    await device.open();
    const telemetry = once(hub, "telemetry");
    await device.sendEvent(new SdkMessage("up"));
    expect(Buffer.from(((await telemetry)[0] as { payload: Uint8Array }).payload).toString()).toBe("up");
    const arrived = once(device, "message");
    // Its listener subscribes.
    await once(hub, "subscribed");
    await hub.sendToDevice("ms", "down");
    const [message] = (await arrived) as [InstanceType<typeof SdkMessage>];
    expect(message.getBytes().toString()).toBe("down");
    await device.complete(message);
    const twin = await device.getTwin();
    expect(twin.properties.desired["$version"]).toBe(1);
  });

  it("serves our own device beside one over MQTT", async () => {
    const hub = await start();
    const options = { port: hub.port, tls: { ca: hub.caCertificate } };
    for (const [deviceId, protocol] of [
      ["a", "wss"],
      ["b", "mqtts"],
    ] as const) {
      const device = new DeviceClient(hub.createDevice(deviceId).connectionString, { ...options, protocol });
      cleanup.push(() => device.close());
      await device.connect();
      await device.onMethod("echo", ({ payload }) => ({ status: 200, payload }));
      expect(await hub.invokeMethod(deviceId, "echo", { a: 1 })).toMatchObject({ status: 200, payload: { a: 1 } });
    }
  });
});
