/** The client's WebSocket against a server of bytes: upgrade, frames both ways, ping and close, breaches, what a server says instead. */
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { createAuthority } from "../../src/emulator/certificates.js";
import { MqttClient } from "../../src/client/index.js";
import type { Endpoint } from "../../src/transport/connection.js";
import { FrameReader } from "../../src/transport/websocket-frames.js";
import { bytes, Peer, soon } from "../support/peer.js";
import { cleanups, Recorder } from "./recorder.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What a server of bytes sees of one client. */
interface Visit {
  socket: Socket;
  request: string;
  /** Payload of the client's binary frames so far. */
  data(): string;
  /** Its control frames, `ping`, `pong` and `close` with their payload. */
  controls: string[];
  frames: { opcode: number; key: string }[];
}

/** Answers the upgrade (with `extra` behind it in the same write), then collects. */
async function serve(socket: Socket, extra: Uint8Array = Buffer.alloc(0)): Promise<Visit> {
  let head = "";
  const request = await new Promise<string>((resolve) => {
    const take = (chunk: Buffer): void => {
      head += chunk.toString("latin1");
      if (!head.endsWith("\r\n\r\n")) return;
      socket.off("data", take);
      resolve(head);
    };
    socket.on("data", take);
  });
  const key = /Sec-WebSocket-Key: (.*)\r\n/.exec(request)?.[1] ?? "";
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  const parts: Buffer[] = [];
  const visit: Visit = {
    socket,
    request,
    data: () => Buffer.concat(parts).toString("latin1"),
    controls: [],
    frames: [],
  };
  const reader = new FrameReader(true, {
    data: (piece) => parts.push(Buffer.from(piece)),
    ping: (payload) => visit.controls.push(`ping ${Buffer.from(payload).toString()}`),
    close: (code) => visit.controls.push(`close ${code}`),
  });
  socket.on("data", (chunk: Buffer) => {
    // Small frames that arrive whole: what the reader does not tell.
    if ((chunk[0] as number) === 0x8a) {
      const length = (chunk[1] as number) & 0x7f;
      const text = chunk.subarray(6, 6 + length).map((byte, at) => byte ^ (chunk[2 + (at & 3)] as number));
      visit.controls.push(`pong ${Buffer.from(text).toString()}`);
    }
    visit.frames.push({ opcode: (chunk[0] as number) & 15, key: chunk.toString("hex", 2, 6) });
    reader.push(chunk);
  });
  const fields = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${accept}`,
    "Sec-WebSocket-Protocol: mqtt",
  ];
  const response = `HTTP/1.1 101 Switching Protocols\r\n${fields.join("\r\n")}\r\n\r\n`;
  socket.write(Buffer.concat([Buffer.from(response), extra]));
  return visit;
}

async function listen(options: Parameters<typeof Peer.listen>[0] = {}): Promise<Peer> {
  const peer = await Peer.listen(options);
  cleanups.push(() => peer.close());
  return peer;
}

/** Both ends of an open WebSocket. */
async function open(endpoint: Partial<Endpoint> = {}, extra?: Uint8Array): Promise<{ owner: Recorder; visit: Visit }> {
  const peer = await listen();
  const owner = new Recorder({ protocol: "ws", port: peer.port, ...endpoint });
  const opened = owner.open();
  const { socket } = await peer.next();
  socket.removeAllListeners("data");
  const visit = await serve(socket, extra);
  await opened;
  return { owner, visit };
}

async function until(satisfied: () => boolean, what: string): Promise<void> {
  await soon(
    (async () => {
      while (!satisfied()) await turn();
    })(),
    what,
  );
}

test("asks for path, host and subprotocol [MQTT-6.0.0-3 +]", async () => {
  const { visit } = await open({ path: "/$iothub/websocket?x=y" });
  expect(visit.request).toMatch(/^GET \/\$iothub\/websocket\?x=y HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/);
  expect(visit.request).toContain("\r\nSec-WebSocket-Protocol: mqtt\r\n");
  expect(visit.request).not.toMatch(/extensions/i);
});

test("sends binary frames, one a call, masked each time with another key [MQTT-6.0.0-1 +]", async () => {
  const { owner, visit } = await open();
  for (let i = 0; i < 20; i++) {
    owner.connection.write([Buffer.from("a"), Buffer.from("b")]);
    await until(() => visit.data().length === 2 * (i + 1), "a frame");
  }
  expect(visit.data()).toBe("ab".repeat(20));
  expect(visit.frames.map(({ opcode }) => opcode)).toEqual(Array(20).fill(2));
  expect(new Set(visit.frames.map(({ key }) => key)).size).toBe(20);
});

test("receives what came with the answer to the upgrade, fragments, pings in between [MQTT-6.0.0-2 +]", async () => {
  const { owner, visit } = await open({}, bytes("02 01 61 89 02 68 69"));
  await until(() => visit.controls.length === 1, "a pong");
  visit.socket.write(bytes("00 01 62 80 01 63 82 01 64"));
  await owner.until(() => owner.text === "abcd", "the message");
  expect(visit.controls).toEqual(["pong hi"]);
});

test("a large output goes out in frames, tells of progress, and stays the caller's memory", async () => {
  const { owner, visit } = await open();
  const payload = Buffer.alloc(3 * 1024 * 1024, "z");
  expect(owner.connection.write([payload])).toBe(false);
  await owner.until(() => owner.heard.includes("writable"), "room");
  await until(() => visit.data().length === payload.length, "all of it");
  expect(owner.count("progress")).toBeGreaterThan(10);
  expect(payload.every((byte) => byte === 0x7a)).toBe(true);
});

test("a flood of pings that nobody reads the answers of is bounded", async () => {
  const { owner, visit } = await open();
  visit.socket.pause();
  // What fills the way back.
  owner.connection.write([Buffer.alloc(32 * 1024 * 1024)]);
  const ping = Buffer.concat([bytes("89 7d"), Buffer.alloc(125, "p")]);
  const many = Buffer.concat(Array.from({ length: 10_000 }, () => ping));
  await new Promise<void>((resolve) => visit.socket.write(many, () => resolve()));
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => visit.socket.write(many, () => resolve()));
  await turn();
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  expect(owner.count("closed")).toBe(0);
});

describe("the end", () => {
  test("end() sends a close with 1000 and is over with the server's own", async () => {
    const { owner, visit } = await open();
    owner.connection.write([Buffer.from("bye")]);
    owner.connection.end();
    await until(() => visit.controls.length === 1, "a close");
    expect(visit.data()).toBe("bye");
    expect(visit.controls).toEqual(["close 1000"]);
    await owner.until(() => owner.heard.includes("flushed"), "the last byte's leaving");
    visit.socket.write(bytes("88 02 03 e8"));
    expect(await owner.closed()).toBeUndefined();
  });

  test("a close of the server's is answered, and its code and reason are told", async () => {
    const { owner, visit } = await open();
    visit.socket.write(bytes("82 01 61 88 0c 03 e9 67 6f 69 6e 67 20 61 77 61 79"));
    expect(await owner.closed()).toMatchObject({
      code: "ERR_CONNECTION_LOST",
      message: expect.stringContaining("1001: going away") as string,
    });
    expect(owner.text).toBe("a");
    await until(() => visit.controls.length === 1, "the answer");
    expect(visit.controls).toEqual(["close 1000"]);
  });

  test("a server that ends without a close", async () => {
    const { owner, visit } = await open();
    visit.socket.end();
    expect(await owner.closed()).toMatchObject({ code: "ERR_CONNECTION_LOST" });
  });

  test("a close is noticed while paused, behind what came before", async () => {
    const { owner, visit } = await open();
    owner.connection.pause();
    visit.socket.write(bytes("82 01 61 88 02 03 e8"));
    await owner.closed();
    expect(owner.heard).toEqual(["opened", "received", "closed"]);
  });

  test("paused, pings are answered and nothing is delivered", async () => {
    const { owner, visit } = await open();
    owner.connection.pause();
    visit.socket.write(bytes("82 01 61 89 01 70"));
    await until(() => visit.controls.length === 1, "a pong");
    expect(owner.heard).toEqual(["opened"]);
    owner.connection.resume();
    expect(owner.text).toBe("a");
  });
});

test.each([
  ["a text frame [MQTT-6.0.0-1 -]", 1003, "82 01 61 81 01 62 82 01 63", "MQTT-6.0.0-1"],
  ["a masked frame", 1002, "82 01 61 82 81 01 02 03 04 63 82 01 63", undefined],
])("%s is a violation: closed with %i, nothing behind it is delivered", async (_what, code, hex, statement) => {
  const { owner, visit } = await open();
  visit.socket.write(bytes(hex));
  const error = await owner.closed();
  expect([error?.code, error?.statement]).toEqual(["ERR_PROTOCOL_VIOLATION", statement]);
  expect(owner.text).toBe("a");
  await until(() => visit.controls.length === 1, "a close");
  expect(visit.controls).toEqual([`close ${code}`]);
});

describe("what is no WebSocket", () => {
  const answering = async (answer: (socket: Socket) => void): Promise<unknown> => {
    const peer = await listen({ script: ({ socket }) => socket.once("data", () => answer(socket)) });
    return new Recorder({ protocol: "ws", port: peer.port }).open().catch((error: unknown) => error);
  };

  test("a page of HTML, byte by byte", async () => {
    const page = "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<html>nothing here</html>";
    const error = await answering(async (socket) => {
      for (const character of page) {
        socket.write(character);
        await turn();
      }
    });
    expect(error).toMatchObject({ code: "ERR_WEBSOCKET", status: 404, retryable: false });
  });

  test.each<[string, (socket: Socket) => void, object]>([
    ["a server that is busy", (socket) => socket.end("HTTP/1.1 503 Busy\r\n\r\n"), { status: 503, retryable: true }],
    [
      "one that is busy after a while",
      (socket) => socket.end("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 503 Busy\r\n\r\n"),
      { status: 503, retryable: true },
    ],
    ["an MQTT server", (socket) => socket.write(bytes("20 02 00 01")), { retryable: false }],
    ["a TLS server", (socket) => socket.write(bytes("15 03 03 00 02 02 46")), { retryable: false }],
    ["one that closes", (socket) => socket.end(), { retryable: true }],
    [
      "one that never ends its head",
      (socket) => socket.write(`HTTP/1.1 101 x\r\nA: ${"b".repeat(20_000)}`),
      { retryable: false },
    ],
  ])("%s", async (_what, answer, expected) => {
    expect(await answering(answer)).toMatchObject({ code: "ERR_WEBSOCKET", ...expected });
  });

  test("one that resets the connection", async () => {
    const error = await answering((socket) => socket.resetAndDestroy());
    expect(error).toMatchObject({ code: "ERR_CONNECTION_LOST", retryable: true });
  });

  test("destroy during the upgrade ends it", async () => {
    const peer = await listen();
    const owner = new Recorder({ protocol: "ws", port: peer.port });
    owner.connection.open();
    const { socket, ended } = await peer.next();
    await new Promise((resolve) => socket.once("data", resolve));
    owner.connection.destroy();
    await soon(ended, "the end of the connection");
    expect(owner.heard).toEqual([]);
  });
});

test("wss: TLS first, verified, and resumed on the next connection", async () => {
  const authority = createAuthority();
  const { chain, key } = authority.issue({ dnsNames: ["localhost"] });
  const peer = await listen({ tls: { cert: chain, key } });
  const client = new MqttClient({
    host: "localhost",
    port: peer.port,
    protocol: "wss",
    clientId: "c",
    tls: { ca: authority.certificate },
    reconnect: { minDelay: 1, maxDelay: 1 },
  });
  cleanups.push(() => client.close({ force: true }));
  const reused: boolean[] = [];
  const connected = client.connect();
  for (let round = 0; round < 2; round++) {
    const { socket } = await peer.next();
    socket.removeAllListeners("data");
    const visit = await serve(socket);
    await until(() => visit.data().startsWith("\x10"), "CONNECT");
    socket.write(bytes("82 04 20 02 00 00"));
    await connected;
    await until(() => client.connected, "the connection");
    reused.push((socket as unknown as { isSessionReused(): boolean }).isSessionReused());
    if (round === 0) socket.destroy();
    await until(() => round === 1 || !client.connected, "the end of the connection");
  }
  expect(reused).toEqual([false, true]);
});
