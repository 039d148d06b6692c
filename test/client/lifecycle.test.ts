/** What a client is made from, what it tells while it lives, and that nothing of it is left afterwards. */
import { channel } from "node:diagnostics_channel";
import { spawn } from "node:child_process";
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { HubwireError, MqttClient, type MqttClientOptions, systemClock } from "../../src/client/index.js";
import { FakeClock } from "../support/clock.js";
import { Peer, soon, utf8 } from "../support/peer.js";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const base = { host: "localhost", clientId: "c" };

describe("options", () => {
  test.each<[string, object, RegExp]>([
    ["an unknown name", { keepalive: 5 }, /unknown option "keepalive" of MqttClient; is keepAlive meant/],
    ["a name of Object's", { toString: 1 }, /unknown option "toString"/],
    [
      "an unknown name further in",
      { reconnect: { delay: 5 } },
      /unknown option "delay" of reconnect; there are: minDelay/,
    ],
    ["no host", { host: undefined }, /host is missing/],
    ["an empty host", { host: "" }, /host is missing/],
    ["a port of no number", { port: "8883" }, /port of MqttClient must be a whole number from 1 to 65535/],
    ["port 0", { port: 0 }, /port of MqttClient must be/],
    ["a fraction of a second", { keepAlive: 1.5 }, /keepAlive of MqttClient must be a whole number from 0 to 65535/],
    ["too long a keep alive", { keepAlive: 65_536 }, /keepAlive of MqttClient must be/],
    ["another protocol", { protocol: "http" }, /protocol must be one of mqtts, mqtt, wss, ws/],
    ["null for an object", { tls: null }, /tls of MqttClient must be a object/],
    ["no number at all", { operationTimeout: Number.NaN }, /operationTimeout of MqttClient must be/],
    ["a window of nothing", { maxInflight: 0 }, /maxInflight of MqttClient must be a whole number from 1 to 65535/],
    ["an overflow policy nobody knows", { offlineQueue: { overflow: "drop" } }, /overflow of offlineQueue must be/],
    ["a wrong boolean", { cleanSession: 1 }, /cleanSession of MqttClient must be a boolean/],
    ["a password without a user name [MQTT-3.1.2-22 -]", { password: "p" }, /MQTT-3\.1\.2-22/],
    ["no client id with CleanSession 0 [MQTT-3.1.3-7 -]", { clientId: "", cleanSession: false }, /MQTT-3\.1\.3-7/],
    ["a will with a wildcard", { will: { topic: "a/#", payload: "" } }, /wildcard|topic/i],
    ["a will of QoS 3 [MQTT-3.1.2-14 -]", { will: { topic: "a", payload: "", qos: 3 } }, /QoS/i],
  ])("refuses %s", (_what, options, message) => {
    const make = () => new MqttClient({ ...base, ...options } as MqttClientOptions);
    expect(make).toThrow(HubwireError);
    expect(make).toThrow(message);
  });

  test("never quotes a value", () => {
    expect(() => new MqttClient({ ...base, password: 12345 as never })).toThrow(
      /^option password of MqttClient must be a string or object, not number$/,
    );
  });

  test("takes what is undefined for left out", () => {
    const options = { ...base, port: undefined, will: undefined, tls: undefined, reconnect: undefined };
    expect(new MqttClient(options).connected).toBe(false);
  });

  test("CONNECT says what the options say [MQTT-3.1.0-1 +] [MQTT-3.1.0-2 +]", async () => {
    const peer = await Peer.listen();
    cleanups.push(() => peer.close());
    const client = new MqttClient({
      host: "127.0.0.1",
      port: peer.port,
      protocol: "mqtt",
      clientId: "me",
      username: "u",
      password: new Uint8Array([1, 2]),
      keepAlive: 300,
      cleanSession: false,
      will: { topic: "w", payload: "gone", qos: 1, retain: true },
    });
    cleanups.push(() => client.close({ force: true }));
    client.connect().catch(() => {});
    const connect = await (await peer.next()).packet();
    expect(connect.toString("hex")).toBe(
      `101e${utf8("MQTT")}04ec012c${utf8("me")}${utf8("w")}${utf8("gone")}${utf8("u")}00020102`,
    );
  });
});

describe("diagnostics", () => {
  test("packets, states and reconnects are published, without secrets; nothing once nobody listens", async () => {
    const heard: Record<string, unknown>[] = [];
    const names = ["hubwire:packet", "hubwire:state", "hubwire:reconnect"];
    const listener = (message: unknown, name: string | symbol) =>
      void heard.push({ channel: String(name), ...(message as object) });
    for (const name of names) channel(name).subscribe(listener);
    const peer = await Peer.listen();
    cleanups.push(() => peer.close());
    const clock = new FakeClock();
    const client = new MqttClient({
      host: "127.0.0.1",
      port: peer.port,
      protocol: "mqtt",
      clientId: "watched",
      username: "u",
      password: "hush-hush",
      reconnect: { minDelay: 100, maxDelay: 100 },
      random: () => 0.5,
      clock,
    });
    cleanups.push(() => client.close({ force: true }));
    const connected = client.connect();
    const connection = await peer.next();
    await connection.accept();
    await connected;
    const published = client.publish("secret-topic", "secret-payload", { qos: 1 });
    await connection.packet();
    connection.send("40 02 00 01");
    await published;
    const next = new Promise((done) => client.once("reconnecting", done));
    connection.destroy();
    await next;
    for (const name of names) channel(name).unsubscribe(listener);
    const of = (name: string) => heard.filter((message) => message["channel"] === name);
    expect(of("hubwire:packet").map((message) => [message["direction"], message["type"], message["packetId"]])).toEqual(
      [
        ["out", "connect", 0],
        ["in", "connack", 0],
        ["out", "publish", 1],
        ["in", "puback", 1],
      ],
    );
    expect(of("hubwire:packet").at(2)).toMatchObject({ clientId: "watched", byteLength: 32 });
    expect(of("hubwire:state").map((message) => message["state"])).toEqual(["connecting", "connected", "waiting"]);
    expect(of("hubwire:reconnect")).toMatchObject([{ attempt: 1, delay: 50, error: { code: "ERR_CONNECTION_LOST" } }]);
    expect(JSON.stringify(heard)).not.toMatch(/hush-hush|secret/);
    const count = heard.length;
    clock.advance(50);
    await (await peer.next()).accept();
    expect(heard.length).toBe(count);
  });

  test("metrics count bytes, packets and connections", async () => {
    const peer = await Peer.listen({ script: (connection) => connection.accept().catch(() => {}) });
    cleanups.push(() => peer.close());
    const client = new MqttClient({ ...base, host: "127.0.0.1", port: peer.port, protocol: "mqtt" });
    await client.connect();
    await client.publish("t", "x");
    await client.close();
    expect(client.metrics).toMatchObject({
      bytesReceived: 4,
      bytesSent: 15 + 6 + 2,
      packetsSent: 3,
      packetsReceived: 1,
      messagesSent: 1,
      connects: 1,
      reconnects: 0,
      inflight: 0,
      queued: 0,
    });
  });
});

test("all packets of one tick leave as one write", async () => {
  const peer = await Peer.listen();
  cleanups.push(() => peer.close());
  const { connect } = await import("node:net");
  let writes = 0;
  const client = new MqttClient({
    protocol: "mqtt",
    clientId: "c",
    createConnection: () => {
      const socket = connect(peer.port, "127.0.0.1");
      // What the stream hands to the operating system, after corking.
      for (const name of ["_write", "_writev"] as const) {
        const original = socket[name] as (...all: unknown[]) => void;
        socket[name] = (...args: unknown[]) => (writes++, original.apply(socket, args));
      }
      return socket;
    },
  });
  cleanups.push(() => client.close({ force: true }));
  const connected = client.connect();
  const connection = await peer.next();
  await connection.accept();
  await connected;
  writes = 0;
  for (let n = 0; n < 50; n++) void client.publish("t", "x").catch(() => {});
  await Promise.resolve();
  for (let n = 0; n < 50; n++) void client.publish("t", "x").catch(() => {});
  for (let n = 0; n < 100; n++) await connection.packet();
  expect(writes).toBe(1);
});

test("the system clock is monotonic and never hands a timer more than it can take", async () => {
  const before = systemClock.now();
  const timer = systemClock.setTimer(() => {
    throw new Error("it fired at once");
  }, 2 ** 40);
  await new Promise((done) => setTimeout(done, 5));
  systemClock.clearTimer(timer);
  expect(systemClock.now()).toBeGreaterThan(before);
  expect(Math.abs(systemClock.wallTime() - Date.now())).toBeLessThan(1_000);
});

describe("the process", () => {
  /** Runs a program that uses the compiled client against a peer; resolves with its status and output. */
  async function run(program: string): Promise<{ status: number | null; output: string }> {
    const peer = await Peer.listen({
      script: async (connection) => {
        await connection.accept().catch(() => {});
        for (;;) {
          const packet = await connection.packet().catch(() => undefined);
          if (!packet) return;
          if (packet[0] === 0x82) connection.send(`90 03 ${packet.toString("hex", 2, 4)} 01`);
          if (packet[0] === 0x32) connection.send(`40 02 ${packet.toString("hex", 5, 7)}`);
        }
      },
    });
    cleanups.push(() => peer.close());
    const folder = mkdtempSync(join(tmpdir(), "hubwire-exit-"));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const dist = resolve(import.meta.dirname, "../../dist/client/index.js");
    const file = join(folder, "program.mjs");
    writeFileSync(
      file,
      `import { MqttClient } from ${JSON.stringify(dist)};
      const client = new MqttClient({ host: "127.0.0.1", port: ${peer.port}, protocol: "mqtt", clientId: "c" });
      ${program}`,
    );
    const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const status = await soon(
      new Promise<number | null>((done) => child.on("close", done)),
      "the process to exit",
      20_000,
    );
    return { status, output };
  }

  test.each([
    [
      "close()",
      "await client.connect(); await client.publish('t', 'x', { qos: 1 }); await client.close(); console.log('end');",
    ],
    [
      "close({ force })",
      "await client.connect(); client.publish('u', 'x', { qos: 2 }).catch(() => {}); await client.close({ force: true }); console.log('end');",
    ],
    [
      "close() with a loop over messages",
      "await client.connect(); const s = await client.subscribe('t', { qos: 1 }); setImmediate(() => client.close()); for await (const m of s) ; console.log('end');",
    ],
    ["close() while connecting", "client.connect().catch(() => console.log('end')); await client.close();"],
    ["never connecting", "console.log('end');"],
  ])("exits by itself after %s", async (_what, program) => {
    expect(await run(program)).toEqual({ status: 0, output: "end\n" });
  });
});
