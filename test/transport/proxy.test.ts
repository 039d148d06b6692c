/** Tunnels through HTTP proxies: what they are asked, whatever they answer, and which one the environment names. */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createAuthority } from "../../src/emulator/certificates.js";
import { MqttClient } from "../../src/client/index.js";
import type { Endpoint } from "../../src/transport/connection.js";
import { parseProxy, proxyOfEnvironment } from "../../src/transport/proxy-url.js";
import { bytes, Peer, soon } from "../support/peer.js";
import { cleanups, Recorder } from "./recorder.js";

const authority = createAuthority();
const good = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });

interface Proxy {
  port: number;
  /** The heads of the requests. */
  requests: string[];
}

/** A proxy that answers as `answer` does; with `tunnel` it connects to that port on the loopback interface. */
async function proxy(
  answer: (socket: Socket, tunnel: (port: number) => void) => unknown,
  secured = false,
): Promise<Proxy> {
  const requests: string[] = [];
  const serve = (socket: Socket): void => {
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
    let head = "";
    const take = (chunk: Buffer): void => {
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      socket.off("data", take).pause();
      requests.push(head);
      answer(socket, (port) => {
        const upstream = connect(port, "127.0.0.1");
        upstream.on("error", () => socket.destroy());
        socket.on("close", () => upstream.destroy());
        socket.pipe(upstream).pipe(socket);
      });
    };
    socket.on("data", take);
  };
  const server = secured ? createTlsServer({ cert: good.chain, key: good.key }, serve) : createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, requests };
}

async function broker(options: Parameters<typeof Peer.listen>[0] = {}): Promise<Peer> {
  const peer = await Peer.listen(options);
  cleanups.push(() => peer.close());
  return peer;
}

const OK = "HTTP/1.1 200 Connection established\r\n\r\n";
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** How an attempt through a proxy that answers so ends. */
async function failure(answer: (socket: Socket) => unknown, endpoint: Partial<Endpoint> = {}): Promise<unknown> {
  const { port } = await proxy(answer);
  const owner = new Recorder({ host: "hub.example", port: 8883, proxy: `http://127.0.0.1:${port}`, ...endpoint });
  return owner.open().catch((error: unknown) => error);
}

describe("a tunnel", () => {
  test.each(["mqtt", "mqtts"] as const)("for %s", async (protocol) => {
    const peer = await broker(protocol === "mqtts" ? { tls: { cert: good.chain, key: good.key } } : {});
    const { port, requests } = await proxy((socket, tunnel) => (socket.write(OK), tunnel(peer.port)));
    const tls = { ca: authority.certificate };
    const owner = new Recorder({
      host: "localhost",
      port: peer.port,
      protocol,
      tls,
      proxy: `http://127.0.0.1:${port}`,
    });
    const opened = owner.open();
    const { socket } = await peer.next();
    await opened;
    owner.connection.write([Buffer.from("up")]);
    expect(await new Promise((resolve) => socket.once("data", (chunk) => resolve(String(chunk))))).toBe("up");
    socket.end("down");
    await owner.closed();
    expect(owner.text).toBe("down");
    expect(requests).toEqual([`CONNECT localhost:${peer.port} HTTP/1.1\r\nHost: localhost:${peer.port}\r\n\r\n`]);
  });

  test("whose 200 comes byte by byte, with fields, and with the server's first bytes behind it", async () => {
    const { port } = await proxy(async (socket) => {
      for (const character of `HTTP/1.0 200 OK\r\nVia: a\r\nX-Long: ${"y".repeat(500)}\r\n\r`) {
        socket.write(character);
        await turn();
      }
      socket.write("\nfirst");
    });
    const owner = await new Recorder({ host: "h", port: 1883, proxy: `http://127.0.0.1:${port}` }).open();
    await owner.until(() => owner.text === "first", "what came behind the answer");
  });

  test("whose 200 comes behind other answers, in one write or byte by byte", async () => {
    const answers =
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nfirst";
    for (const size of [1, answers.length]) {
      const { port } = await proxy(async (socket) => {
        for (let at = 0; at < answers.length; at += size) {
          socket.write(answers.slice(at, at + size));
          await turn();
        }
      });
      const owner = await new Recorder({ host: "h", port: 1883, proxy: `http://127.0.0.1:${port}` }).open();
      await owner.until(() => owner.text === "first", "what came behind the answer");
    }
  });

  test("to an IPv6 address, with credentials", async () => {
    const { port, requests } = await proxy((socket) => socket.write(OK));
    await new Recorder({ host: "2001:db8::1", port: 8883, proxy: `http://me:p%40ss%3A@127.0.0.1:${port}` }).open();
    const credentials = Buffer.from("me:p@ss:").toString("base64");
    expect(requests[0]).toBe(
      `CONNECT [2001:db8::1]:8883 HTTP/1.1\r\nHost: [2001:db8::1]:8883\r\nProxy-Authorization: Basic ${credentials}\r\n\r\n`,
    );
  });

  test("through a proxy that is spoken to in TLS, which is shown no client certificate", async () => {
    const peer = await broker({ tls: { cert: good.chain, key: good.key } });
    const { port } = await proxy((socket, tunnel) => (socket.write(OK), tunnel(peer.port)), true);
    const mine = authority.issue({ commonName: "device", client: true });
    const tls = { ca: authority.certificate, cert: mine.chain, key: mine.key };
    const proxied = { proxy: new URL(`https://localhost:${port}`) };
    await new Recorder({ host: "localhost", port: peer.port, protocol: "mqtts", tls, ...proxied }).open();
    const distrusted = new Recorder({ host: "localhost", port: peer.port, ...proxied });
    await expect(distrusted.open()).rejects.toMatchObject({
      code: "ERR_TLS_UNTRUSTED",
      message: expect.stringContaining(`the proxy localhost:${port}`) as string,
    });
  });

  test("carries a client from CONNECT to DISCONNECT", async () => {
    const peer = await broker();
    const { port } = await proxy((socket, tunnel) => (socket.write(OK), tunnel(peer.port)));
    const client = new MqttClient({
      host: "localhost",
      port: peer.port,
      protocol: "mqtt",
      proxy: `http://127.0.0.1:${port}`,
      clientId: "c",
    });
    const connected = client.connect();
    const connection = await peer.next();
    await connection.accept();
    await connected;
    await client.close();
    expect(await connection.rest()).toEqual(["e000"]);
  });
});

describe("a proxy that", () => {
  const secret = "hush-hush";
  const withSecret = (port: number): string => `http://user:${secret}@127.0.0.1:${port}`;

  test.each<[string, string, object, RegExp]>([
    [
      "wants credentials",
      "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
      { status: 407, retryable: false },
      /wants credentials/,
    ],
    [
      "has no way to the host",
      "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\nsome body",
      { status: 502, retryable: true },
      /502 Bad Gateway/,
    ],
    ["forbids it", "HTTP/1.1 403 Forbidden\r\n\r\n", { status: 403, retryable: false }, /does not allow/],
    [
      "knows no CONNECT",
      "HTTP/1.1 405 Method Not Allowed\r\n\r\n",
      { status: 405, retryable: false },
      /does not allow/,
    ],
    ["is slow today", "HTTP/1.1 504 Gateway Timeout\r\n\r\n", { status: 504, retryable: true }, /504/],
    ["is a SOCKS proxy", "\x05\x00", { retryable: false }, /is none/],
    ["is an SSH server", "SSH-2.0-OpenSSH\r\n", { retryable: false }, /is none/],
    ["never ends its head", `HTTP/1.1 200 OK\r\nA: ${"b".repeat(30_000)}`, { retryable: false }, /too long/],
  ])("%s", async (_what, answer, expected, text) => {
    const error = await failure((socket) => socket.write(Buffer.from(answer, "latin1")));
    expect(error).toMatchObject({ code: "ERR_PROXY", ...expected });
    expect((error as Error).message).toMatch(text);
    expect((error as Error).message).toMatch(/the proxy 127\.0\.0\.1:\d+/);
  });

  test("refuses the credentials: they are not in the error", async () => {
    const { port } = await proxy((socket) => socket.write("HTTP/1.1 407 No\r\n\r\n"));
    const error: unknown = await new Recorder({ port: 1, proxy: withSecret(port) })
      .open()
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_PROXY", status: 407, retryable: false });
    expect(inspect(error, { depth: 9 })).not.toContain(secret);
    expect(inspect(error, { depth: 9 })).not.toContain(Buffer.from(`user:${secret}`).toString("base64"));
  });

  test("closes", async () => {
    expect(await failure((socket) => socket.end())).toMatchObject({ code: "ERR_PROXY", retryable: true });
  });

  test("resets", async () => {
    expect(await failure((socket) => socket.resetAndDestroy())).toMatchObject({ retryable: true });
  });

  test("never answers ends with the owner's patience", async () => {
    let asked: (socket: Socket) => void = () => {};
    const request = new Promise<Socket>((resolve) => (asked = resolve));
    const { port } = await proxy((socket) => asked(socket.resume()));
    const owner = new Recorder({ host: "h", port: 1, proxy: `http://127.0.0.1:${port}` });
    owner.connection.open();
    const socket = await request;
    owner.connection.destroy();
    await soon(new Promise((resolve) => socket.once("close", resolve)), "the end of the connection");
    expect(owner.heard).toEqual([]);
  });

  test("is not there", async () => {
    const closed = await Peer.listen();
    const { port } = closed;
    await closed.close();
    const error: unknown = await new Recorder({ port: 1, proxy: withSecret(port) })
      .open()
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_CONNECTION_REFUSED" });
    expect((error as Error).message).toContain(`the proxy 127.0.0.1:${port}`);
    expect(inspect(error, { depth: 9 })).not.toContain(secret);
  });
});

describe("the URL of a proxy", () => {
  test.each([
    ["http://proxy", { host: "proxy", port: 80, secured: false, authorization: undefined }],
    ["http://proxy:3128/", { host: "proxy", port: 3128, secured: false, authorization: undefined }],
    ["https://proxy", { host: "proxy", port: 443, secured: true, authorization: undefined }],
    ["http://[::1]:8080", { host: "::1", port: 8080, secured: false, authorization: undefined }],
    ["http://u@proxy", { host: "proxy", port: 80, secured: false, authorization: "Basic dTo=" }],
  ])("%s", (url, expected) => {
    expect(parseProxy(url)).toEqual(expected);
    expect(parseProxy(new URL(url))).toEqual(expected);
  });

  test.each([
    "proxy:3128",
    "socks5://u:hush@proxy",
    "http://u:hush%@proxy",
    "http://u:hush@proxy/path",
    "http://u:hush@proxy?q",
    "http://",
  ])("%s is the caller's mistake, and is not quoted", (url) => {
    let error: unknown;
    try {
      parseProxy(url);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    expect(inspect(error, { depth: 9 })).not.toContain("hush");
  });
});

describe("the environment", () => {
  const names = (host: string, port: number, environment: Record<string, string>): boolean =>
    proxyOfEnvironment(host, port, environment) !== undefined;

  test("names a proxy, with or without a scheme, in large letters or small", () => {
    expect(proxyOfEnvironment("h", 1, { HTTPS_PROXY: "http://u:p@proxy:3128" })).toMatchObject({
      host: "proxy",
      port: 3128,
    });
    expect(proxyOfEnvironment("h", 1, { https_proxy: "proxy:3128" })).toMatchObject({ host: "proxy", port: 3128 });
    expect(proxyOfEnvironment("h", 1, { HTTP_PROXY: "http://proxy" })).toBeUndefined();
    expect(proxyOfEnvironment("h", 1, { HTTPS_PROXY: "" })).toBeUndefined();
  });

  test.each<[string, string, number, boolean]>([
    ["*", "any.example", 1, false],
    ["localhost, .example.com", "hub.example.com", 1, false],
    ["example.com", "example.com", 1, false],
    ["example.com", "hub.example.com", 1, false],
    ["*.example.com", "hub.example.com", 1, false],
    ["Example.COM", "HUB.example.com", 1, false],
    ["example.com", "notexample.com", 1, true],
    ["example.com:8883", "example.com", 8883, false],
    ["example.com:8883", "example.com", 443, true],
    ["127.0.0.1", "127.0.0.1", 1, false],
    ["::1", "::1", 1, false],
    ["[::1]:443", "::1", 443, false],
    ["[::1]:443", "::1", 444, true],
    ["", "h", 1, true],
    [" , ,", "h", 1, true],
  ])("NO_PROXY=%s for %s:%i: through the proxy %s", (list, host, port, expected) => {
    expect(names(host, port, { HTTPS_PROXY: "http://proxy", NO_PROXY: list })).toBe(expected);
  });

  const saved = { ...process.env };
  beforeEach(() => {
    for (const name of ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"]) delete process.env[name];
  });
  afterEach(() => {
    process.env = { ...saved };
  });

  test("is read only where the caller says so", async () => {
    const { port, requests } = await proxy((socket) => socket.write(OK));
    process.env["HTTPS_PROXY"] = `http://127.0.0.1:${port}`;
    const peer = await broker();
    await new Recorder({ port: peer.port }).open();
    expect(requests).toHaveLength(0);
    await new Recorder({ port: peer.port, proxy: "environment" }).open();
    expect(requests).toHaveLength(1);
    process.env["NO_PROXY"] = "127.0.0.1";
    await new Recorder({ port: peer.port, proxy: "environment" }).open();
    expect(requests).toHaveLength(1);
  });
});

test("wss through a proxy: both handshakes, in order", async () => {
  const peer = await broker({ tls: { cert: good.chain, key: good.key } });
  const { port, requests } = await proxy((socket, tunnel) => (socket.write(OK), tunnel(peer.port)));
  const endpoint = { host: "localhost", port: peer.port, protocol: "wss", tls: { ca: authority.certificate } } as const;
  const owner = new Recorder({ ...endpoint, proxy: `http://127.0.0.1:${port}` });
  const ended = owner.open().catch((error: unknown) => error);
  const { socket } = await peer.next();
  const request = await new Promise<string>((resolve) => socket.once("data", (chunk) => resolve(String(chunk))));
  expect(request).toMatch(/^GET \/mqtt HTTP\/1\.1\r\nHost: localhost:\d+\r\nUpgrade: websocket\r\n/);
  socket.end(bytes("00"));
  expect(await ended).toMatchObject({ code: "ERR_WEBSOCKET" });
  expect(requests).toHaveLength(1);
});
