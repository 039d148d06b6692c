/** One connection against real sockets: its order of events, its output in slices, pausing, and how it ends. */
import { createHash } from "node:crypto";
import { connect, createServer, type AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { Peer, soon } from "../support/peer.js";
import { cleanups, Recorder } from "./recorder.js";

async function listen(script?: Parameters<typeof Peer.listen>[0] extends infer O ? O : never): Promise<Peer> {
  const peer = await Peer.listen(script);
  cleanups.push(() => peer.close());
  return peer;
}

const bytesOf = (text: string): Uint8Array => Buffer.from(text);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A server that reads only when told; counts what it read. */
async function slowServer() {
  let total = 0;
  let read: () => void = () => {};
  const reading = new Promise<void>((resolve) => (read = resolve));
  const server = createServer({ highWaterMark: 1_024 }, (socket) => {
    socket.on("error", () => {});
    socket.pause();
    void reading.then(() => socket.on("data", (chunk) => (total += chunk.length)).resume());
    cleanups.push(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, read, total: () => total };
}

test("opens, receives, and says once that the peer has closed", async () => {
  const peer = await listen();
  const owner = new Recorder({ port: peer.port });
  const opened = owner.open();
  const { socket } = await peer.next();
  await opened;
  socket.end("hello");
  expect(await owner.closed()).toMatchObject({ code: "ERR_CONNECTION_LOST", retryable: true });
  expect(owner.text).toBe("hello");
  await turn();
  expect(owner.count("opened")).toBe(1);
  expect(owner.count("closed")).toBe(1);
  expect(owner.heard.at(-1)).toBe("closed");
});

test("an owner that destroys it hears nothing more, whenever that is", async () => {
  const peer = await listen();
  const early = new Recorder({ port: peer.port });
  early.connection.open();
  early.connection.destroy();
  const late = await new Recorder({ port: peer.port }).open();
  late.connection.destroy();
  await turn();
  await turn();
  expect(early.heard).toEqual([]);
  expect(late.heard).toEqual(["opened"]);
});

test("small writes of one call leave as one write, and are no sign of life", async () => {
  let writes = 0;
  const createConnection = (): Duplex =>
    new Duplex({
      read() {},
      writev(_chunks, done) {
        writes++;
        done();
      },
      write(_chunk, _encoding, done) {
        writes++;
        done();
      },
    });
  const owner = await new Recorder({ port: 1, createConnection }).open();
  expect(owner.connection.write([bytesOf("a"), bytesOf("b"), bytesOf("c")])).toBe(true);
  await turn();
  expect(writes).toBe(1);
  expect(owner.heard).toEqual(["opened"]);
});

test("a large output tells of progress as the peer reads, then that there is room; not a byte is changed", async () => {
  const server = await slowServer();
  const owner = await new Recorder({ port: server.port }).open();
  const size = 24 * 1024 * 1024;
  const payload = Buffer.alloc(size, 7);
  expect(owner.connection.write([bytesOf("head"), payload, bytesOf("tail")])).toBe(false);
  expect(owner.heard).toEqual(["opened"]);
  server.read();
  await owner.until(() => owner.heard.includes("writable"), "room");
  // Far more often than the owner's patience needs, and never without a part having left.
  expect(owner.count("progress")).toBeGreaterThan(50);
  expect(owner.count("progress")).toBeLessThanOrEqual(size / (64 * 1024) + 2);
  expect(owner.count("writable")).toBe(1);
  owner.connection.end();
  await owner.until(() => owner.heard.includes("flushed"), "the last byte's leaving");
  while (server.total() < size + 8) await turn();
  expect(server.total()).toBe(size + 8);
  expect(payload.every((byte) => byte === 7)).toBe(true);
});

test("a peer that reads nothing makes no progress for ever, and destroy ends it", async () => {
  const server = await slowServer();
  const owner = await new Recorder({ port: server.port }).open();
  expect(owner.connection.write([Buffer.alloc(64 * 1024 * 1024)])).toBe(false);
  for (let before = -1; before !== owner.heard.length;) {
    before = owner.heard.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(owner.count("writable")).toBe(0);
  const heard = owner.heard.length;
  owner.connection.destroy();
  await turn();
  expect(owner.heard.length).toBe(heard);
});

test("many small writes behind a peer that does not read are held back, and all arrive in order", async () => {
  const server = await slowServer();
  const owner = await new Recorder({ port: server.port }).open();
  let sent = 0;
  for (let room = true; room;) {
    room = owner.connection.write(Array.from({ length: 100 }, () => Buffer.alloc(1_000)));
    sent += 100_000;
    if (room) await turn();
  }
  server.read();
  await owner.until(() => owner.heard.includes("writable"), "room");
  while (server.total() < sent) await turn();
  expect(server.total()).toBe(sent);
});

test("a stream with a mark of its own far above ours still tells of room", async () => {
  const pending: (() => void)[] = [];
  const createConnection = (): Duplex =>
    new Duplex({
      writableHighWaterMark: 64 * 1024 * 1024,
      read() {},
      write: (_chunk, _encoding, done) => void pending.push(done),
    });
  const owner = await new Recorder({ port: 1, createConnection }).open();
  expect(owner.connection.write([Buffer.alloc(200_000)])).toBe(true);
  expect(owner.connection.write([Buffer.alloc(200_000)])).toBe(false);
  while (pending.length > 0) {
    pending.shift()?.();
    await turn();
  }
  expect(owner.count("writable")).toBe(1);
});

test("paused, it delivers nothing and keeps what comes; resumed, all of it in order", async () => {
  const peer = await listen();
  const owner = new Recorder({ port: peer.port });
  const opened = owner.open();
  const { socket } = await peer.next();
  await opened;
  owner.onReceived = () => owner.connection.pause();
  socket.write("1");
  await owner.until(() => owner.chunks.length === 1, "the first byte");
  const rest = Buffer.alloc(5 * 1024 * 1024, "x");
  let taken = false;
  socket.write(rest, () => (taken = true));
  for (let i = 0; i < 50; i++) await turn();
  expect(owner.chunks.length).toBe(1);
  owner.onReceived = () => {};
  owner.connection.resume();
  await owner.until(() => owner.text.length === rest.length + 1, "the rest");
  expect(taken).toBe(true);
  expect(owner.text.startsWith("1xxx")).toBe(true);
});

test("a receiver that pauses at every chunk gets them one at a time", async () => {
  const chunks: Duplex[] = [];
  const createConnection = (): Duplex => {
    chunks.push(new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }));
    return chunks[0] as Duplex;
  };
  const owner = await new Recorder({ port: 1, createConnection }).open();
  owner.onReceived = () => owner.connection.pause();
  for (const text of ["1", "2", "3"]) chunks[0]?.push(text);
  await turn();
  await turn();
  expect(owner.text).toBe("1");
  owner.connection.resume();
  expect(owner.text).toBe("12");
  owner.connection.resume();
  expect(owner.text).toBe("123");
});

test("the end of a peer is noticed while paused, and what it sent before is delivered first", async () => {
  const peer = await listen();
  const owner = new Recorder({ port: peer.port });
  const opened = owner.open();
  const { socket } = await peer.next();
  await opened;
  owner.connection.pause();
  socket.end("last words");
  expect(await owner.closed()).toMatchObject({ code: "ERR_CONNECTION_LOST" });
  expect(owner.text).toBe("last words");
  expect(owner.heard).toEqual(["opened", "received", "closed"]);
});

test("end() sends everything first, and closes without an error", async () => {
  const peer = await listen();
  const owner = new Recorder({ port: peer.port });
  const opened = owner.open();
  const { socket } = await peer.next();
  let got = 0;
  socket.on("data", (chunk: Buffer) => (got += chunk.length));
  await opened;
  owner.connection.write([Buffer.alloc(3_000_000)]);
  owner.connection.end();
  expect(await owner.closed()).toBeUndefined();
  expect(got).toBe(3_000_000);
  expect(owner.count("flushed")).toBe(1);
  expect(owner.heard.indexOf("flushed")).toBeLessThan(owner.heard.indexOf("closed"));
});

test("createConnection gets host, port and a signal, which is aborted when the connection is over", async () => {
  const seen: unknown[] = [];
  let stream: Duplex | undefined;
  const createConnection = (options: { host: string; port: number; signal: AbortSignal }): Duplex => {
    seen.push(options.host, options.port, options.signal.aborted, options.signal);
    stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    return stream;
  };
  const owner = await new Recorder({ host: "broker.example", port: 1883, createConnection }).open();
  expect(seen.slice(0, 3)).toEqual(["broker.example", 1883, false]);
  owner.connection.destroy();
  expect((seen[3] as AbortSignal).aborted).toBe(true);
  expect(stream?.destroyed).toBe(true);
});

test("a stream that comes after destroy is destroyed, and its error is nobody's", async () => {
  let give: (stream: Duplex) => void = () => {};
  let signal: AbortSignal | undefined;
  const owner = new Recorder({
    port: 1,
    createConnection: (options) => {
      signal = options.signal;
      return new Promise<Duplex>((resolve) => (give = resolve));
    },
  });
  owner.connection.open();
  owner.connection.destroy();
  expect(signal?.aborted).toBe(true);
  const late = new Duplex({
    read() {},
    destroy: (_error, done) => done(new Error("torn down")),
  });
  give(late);
  for (let i = 0; i < 5; i++) await turn();
  expect(late.destroyed).toBe(true);
  expect(owner.heard).toEqual([]);
});

test.each<[string, () => Duplex | Promise<Duplex>]>([
  [
    "throws",
    () => {
      throw new Error("no");
    },
  ],
  ["rejects", () => Promise.reject(new Error("no"))],
  ["gives nothing", () => undefined as unknown as Duplex],
  ["gives a promise of nothing", () => Promise.resolve(null as unknown as Duplex)],
  ["gives a stream that is destroyed", () => new Duplex().destroy()],
  ["gives a stream that fails", () => new Duplex({ read() {} }).destroy(new Error("no"))],
])("createConnection that %s fails that attempt", async (_what, createConnection) => {
  const owner = new Recorder({ port: 1, createConnection });
  await expect(owner.open()).rejects.toMatchObject({ retryable: true });
  expect(owner.heard).toEqual(["closed"]);
});

test("a socket that is still connecting is waited for, and its failure is told", async () => {
  const closed = await Peer.listen();
  const { port } = closed;
  await closed.close();
  const owner = new Recorder({ port, createConnection: (options) => connect(options.port, "127.0.0.1") });
  await expect(owner.open()).rejects.toMatchObject({ code: "ERR_CONNECTION_REFUSED" });
});

test.each([
  ["a port that refuses", { host: "127.0.0.1" }, "ERR_CONNECTION_REFUSED"],
  ["a name that nobody knows", { host: "no-such-host.invalid" }, "ERR_DNS"],
])("%s", async (_what, endpoint, code) => {
  const closed = await Peer.listen();
  const { port } = closed;
  await closed.close();
  await expect(new Recorder({ port, ...endpoint }).open()).rejects.toMatchObject({ code });
});

test("what the permission model forbids is not tried again", async () => {
  const createConnection = (): Duplex => {
    throw Object.assign(new Error("Access to this API has been restricted"), { code: "ERR_ACCESS_DENIED" });
  };
  const owner = new Recorder({ port: 1, createConnection });
  await expect(soon(owner.open(), "an end")).rejects.toMatchObject({ code: "ERR_UNREACHABLE", retryable: false });
});

describe("a connection over a stream of the caller's", () => {
  /** A stream that is still connecting: the test says when it has. */
  const slow = (): Duplex => Object.assign(silent(), { connecting: true });
  const silent = (): Duplex => new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });

  async function over(stream: Duplex) {
    const owner = await new Recorder({ port: 1, createConnection: () => stream }).open();
    return { owner, connection: owner.connection, stream };
  }

  test("that fails says with what", async () => {
    const { owner, stream } = await over(silent());
    const cause = Object.assign(new Error("gone"), { code: "EPIPE" });
    stream.destroy(cause);
    expect(await owner.closed()).toMatchObject({ code: "ERR_CONNECTION_LOST", cause });
    expect(owner.error?.message).toContain("EPIPE");
  });

  test("that is destroyed without an error or an end is over", async () => {
    const { owner, stream } = await over(silent());
    stream.destroy();
    expect((await owner.closed())?.code).toBe("ERR_CONNECTION_LOST");
    expect(owner.error?.cause).toBeUndefined();
  });

  test("that was paused before is read", async () => {
    const stream = silent();
    stream.pause();
    const { owner } = await over(stream);
    stream.push("x");
    await owner.until(() => owner.text === "x", "what the stream has");
  });

  test("that was read to its end before is over at once", async () => {
    const stream = silent();
    stream.push(null);
    stream.resume();
    await turn();
    await turn();
    expect([stream.readableEnded, stream.destroyed]).toEqual([true, false]);
    await expect(new Recorder({ port: 1, createConnection: () => stream }).open()).rejects.toMatchObject({
      code: "ERR_CONNECTION_LOST",
    });
  });

  test.each([undefined, Object.assign(new Error("gone"), { code: "EPIPE" })])(
    "that ends in the very moment in which it opens was never open (%s)",
    async (cause) => {
      const stream = slow();
      const owner = new Recorder({ port: 1, createConnection: () => stream });
      owner.connection.open();
      for (let i = 0; i < 5; i++) await turn();
      stream.emit("connect");
      stream.destroy(cause);
      expect((await owner.closed())?.code).toBe("ERR_CONNECTION_LOST");
      expect(owner.error?.cause).toBe(cause);
      expect(owner.heard).toEqual(["closed"]);
    },
  );

  test("that opens in the very moment in which its owner gives it up is destroyed", async () => {
    const stream = slow();
    const owner = new Recorder({ port: 1, createConnection: () => stream });
    owner.connection.open();
    for (let i = 0; i < 5; i++) await turn();
    stream.emit("connect");
    owner.connection.destroy();
    for (let i = 0; i < 5; i++) await turn();
    expect([stream.destroyed, owner.heard]).toEqual([true, []]);
  });

  test("may be ended before it is open", async () => {
    const stream = slow();
    const owner = new Recorder({ port: 1, createConnection: () => stream });
    owner.connection.open();
    owner.connection.end();
    stream.destroy();
    expect(await owner.closed()).toBeUndefined();
    expect(owner.heard).toEqual(["closed"]);
  });

  test("tells an owner that has destroyed it nothing, whatever it still says", async () => {
    let flushed = (): void => {};
    const stream = Object.assign(silent(), { end: (done: () => void) => void (flushed = done) });
    const { owner, connection } = await over(stream as unknown as Duplex);
    connection.end();
    connection.destroy();
    for (const said of [
      flushed,
      () => connection.progress(),
      () => connection.writable(),
      () => stream.emit("end"),
      () => stream.emit("close"),
    ]) {
      expect(said).not.toThrow();
    }
    expect(owner.heard).toEqual(["opened"]);
  });

  test.each(["resume", "end"])(
    "an owner that destroys it while it hears what was held hears no more (%s)",
    async (how) => {
      const { owner, connection, stream } = await over(silent());
      connection.pause();
      for (const text of ["1", "2", "3"]) {
        stream.push(text);
        await turn();
      }
      owner.onReceived = () => connection.destroy();
      if (how === "resume") connection.resume();
      else stream.emit("end");
      expect([owner.text, owner.count("closed")]).toEqual(["1", 0]);
    },
  );

  test("is read while paused until 64 KiB are held, and again when they have been taken", async () => {
    const { owner, connection, stream } = await over(silent());
    connection.pause();
    stream.push(Buffer.alloc(64 * 1024 - 1, "a"));
    await turn();
    expect(stream.isPaused()).toBe(false);
    stream.push("b");
    await turn();
    expect(stream.isPaused()).toBe(true);
    connection.resume();
    expect([owner.text.length, stream.isPaused()]).toEqual([64 * 1024, false]);
    connection.pause();
    stream.push(Buffer.alloc(64 * 1024 - 1));
    await turn();
    expect(stream.isPaused(), "what was taken is held no longer").toBe(false);
  });

  test("is not read where a receiver pauses again while as much is held", async () => {
    const { owner, connection, stream } = await over(silent());
    connection.pause();
    for (const size of [1_000, 64 * 1024]) {
      stream.push(Buffer.alloc(size));
      await turn();
    }
    owner.onReceived = () => connection.pause();
    connection.resume();
    expect([owner.text.length, stream.isPaused()]).toEqual([1_000, true]);
  });
});

describe("a connection in WebSocket frames", () => {
  /** The server's end of a line: it answers the upgrade, with `behind` in the same chunk, and keeps what else is written. */
  function server(behind: Uint8Array = Buffer.alloc(0)) {
    const frames: Buffer[] = [];
    const stream: Duplex = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        const [, key] = /Sec-WebSocket-Key: (\S+)/i.exec(chunk.toString("latin1")) ?? [];
        if (key) {
          const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
          const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`;
          stream.push(Buffer.concat([Buffer.from(head), behind]));
        } else frames.push(chunk);
        done();
      },
    });
    return { stream, frames };
  }
  const frame = (type: number, payload: Uint8Array): Buffer => {
    const { length } = payload;
    const head = length < 126 ? [length] : length < 65_536 ? [126, length >> 8, length] : [127, 0, 0, 0, 0, 0, 1, 0, 0];
    return Buffer.concat([Buffer.from([0x80 | type, ...head]), payload]);
  };
  const [BINARY, CLOSE, PING, PONG] = [2, 8, 9, 10];
  const bye = frame(CLOSE, Buffer.from([0x03, 0xe8]));

  async function opened(behind?: Uint8Array, onOpened?: (owner: Recorder) => void) {
    const { stream, frames } = server(behind);
    const owner = new Recorder({ port: 1, protocol: "ws", createConnection: () => stream });
    owner.onOpened = () => onOpened?.(owner);
    await owner.open();
    await turn();
    return { owner, stream, frames, types: () => frames.map(([first]) => first! & 15) };
  }

  test("delivers what came behind the answer to the upgrade, then what comes; a ping is answered", async () => {
    const { owner, stream, types } = await opened(frame(BINARY, bytesOf("early ")));
    expect(owner.text).toBe("early ");
    stream.push(frame(BINARY, bytesOf("late")));
    stream.push(frame(PING, bytesOf("?")));
    await turn();
    expect([owner.text, types()]).toEqual(["early late", [PONG]]);
  });

  test("is not read on where its owner pauses as it opens, and 64 KiB came behind the answer", async () => {
    const pause = ({ connection }: Recorder): void => connection.pause();
    const much = await opened(frame(BINARY, Buffer.alloc(64 * 1024)), pause);
    expect([much.owner.text, much.stream.isPaused()]).toEqual(["", true]);
    const little = await opened(frame(BINARY, Buffer.alloc(100)), pause);
    expect([little.owner.text, little.stream.isPaused()]).toEqual(["", false]);
  });

  test("that the server closes is answered by a close, behind what was held", async () => {
    const { owner, stream, types } = await opened();
    owner.connection.pause();
    stream.push(frame(BINARY, bytesOf("held")));
    stream.push(bye);
    expect(await owner.closed()).toMatchObject({ code: "ERR_CONNECTION_LOST" });
    expect([owner.text, types()]).toEqual(["held", [CLOSE]]);
  });

  test("says goodbye once at its end, and is closed without an error when the server answers that", async () => {
    const { owner, stream, types } = await opened();
    owner.connection.end();
    await owner.until(() => owner.heard.includes("flushed"), "the goodbye");
    stream.push(bye);
    expect(await owner.closed()).toBeUndefined();
    expect(types()).toEqual([CLOSE]);
  });

  test("that its owner has destroyed answers nothing", async () => {
    const { owner, stream, frames } = await opened();
    owner.onReceived = () => owner.connection.destroy();
    // As a stream of the caller's may where it is destroyed.
    stream.write = () => {
      throw new Error("no");
    };
    expect(() => stream.emit("data", Buffer.concat([frame(BINARY, bytesOf("x")), bye]))).not.toThrow();
    expect([owner.heard, frames]).toEqual([["opened", "received"], []]);
  });
});
