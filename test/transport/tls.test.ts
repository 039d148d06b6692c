/** TLS above any stream, whose options count, and which session may be resumed. */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import {
  checkServerIdentity as nodeCheck,
  type ConnectionOptions,
  createSecureContext,
  type TLSSocket,
} from "node:tls";
import { Duplex } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { createAuthority, createSelfSigned } from "../../src/emulator/certificates.js";
import { TlsSessions, type Endpoint } from "../../src/transport/connection.js";
import { Peer } from "../support/peer.js";
import { cleanups, Recorder } from "./recorder.js";

const authority = createAuthority();
const good = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1", "::1"] });
const trust = { ca: authority.certificate };

type PeerOptions = NonNullable<Parameters<typeof Peer.listen>[0]>;

async function listen({ plain = false, ...options }: PeerOptions & { plain?: boolean } = {}): Promise<Peer> {
  const peer = await Peer.listen({ ...(!plain && { tls: { cert: good.chain, key: good.key } }), ...options });
  cleanups.push(() => peer.close());
  return peer;
}

/** A stream above a socket that is no socket itself; notes what passes in the clear. */
function wrapped(socket: Socket, seen: Buffer[] = []): Duplex {
  const stream: Duplex = new Duplex({
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      seen.push(chunk);
      socket.write(chunk, done);
    },
    final: (done) => socket.end(done),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk) => stream.push(chunk) || socket.pause());
  socket.on("end", () => stream.push(null));
  socket.on("error", (error) => stream.destroy(error));
  return stream;
}

/** Connects, gets a byte from the peer (only then a session is kept), and is cut off; whether TLS was resumed. */
async function round(peer: Peer, endpoint: Partial<Endpoint>, sessions: TlsSessions): Promise<boolean> {
  const owner = new Recorder({ protocol: "mqtts", port: peer.port, tls: trust, ...endpoint }, sessions);
  const opened = owner.open();
  const next = peer.next();
  await opened;
  const { socket } = await next;
  socket.write("x");
  await owner.until(() => owner.chunks.length > 0, "a byte");
  const reused = (socket as TLSSocket).isSessionReused();
  owner.connection.end();
  socket.end();
  await owner.closed();
  return reused;
}

describe("above the caller's connection", () => {
  test.each(["a socket", "another Duplex"])("%s: verified, and nothing passes in the clear", async (kind) => {
    const peer = await listen();
    const seen: Buffer[] = [];
    const createConnection = (): Duplex => {
      const socket = connect(peer.port, "127.0.0.1");
      return kind === "a socket" ? socket : wrapped(socket, seen);
    };
    const owner = new Recorder({ host: "localhost", protocol: "mqtts", port: 1, tls: trust, createConnection });
    const opened = owner.open();
    const { socket } = await peer.next();
    await opened;
    owner.connection.write([Buffer.from("secret")]);
    const said = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    expect(said.toString()).toBe("secret");
    expect((socket as TLSSocket).servername).toBe("localhost");
    expect(Buffer.concat(seen).includes("secret")).toBe(false);
    socket.end("bye");
    expect(await owner.closed()).toMatchObject({ code: "ERR_CONNECTION_LOST" });
    expect(owner.text).toBe("bye");
  });

  test("the certificate must be for the host all the same", async () => {
    const peer = await listen();
    const createConnection = (): Duplex => connect(peer.port, "127.0.0.1");
    const owner = new Recorder({ host: "hub.example", protocol: "mqtts", port: 1, tls: trust, createConnection });
    await expect(owner.open()).rejects.toMatchObject({ code: "ERR_TLS_HOST_NAME" });
  });

  test("a stream that ends in the handshake", async () => {
    const peer = await listen({ plain: true, script: ({ socket }) => socket.end() });
    const createConnection = (): Duplex => wrapped(connect(peer.port, "127.0.0.1"));
    const owner = new Recorder({ host: "localhost", protocol: "mqtts", port: 1, tls: trust, createConnection });
    await expect(owner.open()).rejects.toMatchObject({ code: "ERR_TLS", retryable: true });
  });

  test("destroy in the handshake destroys the caller's stream", async () => {
    const peer = await listen({ plain: true });
    let stream: Duplex | undefined;
    const createConnection = (): Duplex => (stream = wrapped(connect(peer.port, "127.0.0.1")));
    const owner = new Recorder({ host: "localhost", protocol: "mqtts", port: 1, tls: trust, createConnection });
    owner.connection.open();
    const { ended } = await peer.next();
    owner.connection.destroy();
    await ended;
    expect(stream?.destroyed).toBe(true);
    expect(owner.heard).toEqual([]);
  });
});

describe("options", () => {
  test.each(["servername", "ca", "checkServerIdentity", "minVersion", "rejectUnauthorized"])(
    "%s: undefined and null are as if not given",
    async (name) => {
      const other = createAuthority().issue({ dnsNames: ["elsewhere.example"] });
      for (const nothing of [undefined, null]) {
        const peer = await listen();
        const fine = new Recorder({
          host: "localhost",
          protocol: "mqtts",
          port: peer.port,
          tls: { ...(name !== "ca" && trust), [name]: nothing } as never,
        });
        if (name === "ca") await expect(fine.open()).rejects.toMatchObject({ code: "ERR_TLS_UNTRUSTED" });
        else await fine.open();
        const evil = await listen({ tls: { cert: other.chain, key: other.key } });
        const bad = new Recorder({
          host: "localhost",
          protocol: "mqtts",
          port: evil.port,
          tls: { ...trust, [name]: nothing } as never,
        });
        await expect(bad.open()).rejects.toMatchObject({ code: "ERR_TLS_UNTRUSTED" });
      }
    },
  );

  test.each(["host", "port", "path", "socket"])("%s belongs elsewhere", async (name) => {
    const owner = new Recorder({ protocol: "mqtts", port: 1, tls: { [name]: "x" } });
    await expect(owner.open()).rejects.toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
      message: expect.stringContaining(`tls.${name}`) as string,
    });
  });

  test.each<[string, unknown]>([
    [
      "throws",
      () => {
        throw new Error("no");
      },
    ],
    [
      "throws a string",
      () => {
        throw "no";
      },
    ],
    [
      "throws nothing",
      () => {
        throw undefined;
      },
    ],
    ["returns an error", () => new Error("no")],
    ["returns what is no error", () => "no"],
  ])("a check of the caller's that %s refuses the server", async (_what, checkServerIdentity) => {
    const peer = await listen();
    const owner = new Recorder({ protocol: "mqtts", port: peer.port, tls: { ...trust, checkServerIdentity } as never });
    // None of the network's, which would be tried again.
    await expect(owner.open()).rejects.toMatchObject({
      ...{ code: "ERR_TLS_UNTRUSTED", retryable: false },
      message: "tls.checkServerIdentity refused the certificate",
    });
  });

  test("a check of the caller's that returns what Node's own does is told as that", async () => {
    const peer = await listen();
    const checkServerIdentity: ConnectionOptions["checkServerIdentity"] = (_host, certificate) =>
      nodeCheck("other.example", certificate);
    const owner = new Recorder({ protocol: "mqtts", port: peer.port, tls: { ...trust, checkServerIdentity } });
    await expect(owner.open()).rejects.toMatchObject({ code: "ERR_TLS_HOST_NAME" });
  });

  test("a check that is none is the caller's mistake", async () => {
    const owner = new Recorder({ protocol: "mqtts", port: 1, tls: { checkServerIdentity: true } as never });
    await expect(owner.open()).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  });
});

describe("a name", () => {
  const over = (peer: Peer, host: string, tls: Endpoint["tls"] = trust): Recorder =>
    new Recorder({ host, protocol: "mqtts", port: 1, tls, createConnection: () => connect(peer.port, "127.0.0.1") });
  const shown = async (host: string): Promise<unknown> => {
    const issued = authority.issue({ dnsNames: ["localhost", "hub.example"], ipAddresses: ["127.0.0.1"] });
    const peer = await listen({ tls: { cert: issued.chain, key: issued.key } });
    const opened = over(peer, host).open();
    const { socket } = await peer.next();
    await opened;
    return (socket as TLSSocket).servername;
  };

  test("is sent without a dot at its end, an address is not sent at all", async () => {
    expect(await shown("localhost.")).toBe("localhost");
    expect(await shown("hub.example")).toBe("hub.example");
    expect(await shown("127.0.0.1")).toBe(false);
  });

  test.each<[string, Parameters<typeof authority.issue>[0], string?]>([
    ["only in the common name", { commonName: "localhost" }],
    ["only in the common name, beside a name of another kind", { commonName: "localhost", ipAddresses: ["127.0.0.1"] }],
    ["another", { dnsNames: ["elsewhere.example"] }],
  ])("is not that of a certificate that has it %s", async (_what, subject) => {
    const issued = authority.issue(subject);
    const peer = await listen({ tls: { cert: issued.chain, key: issued.key } });
    await expect(over(peer, "localhost").open()).rejects.toMatchObject({ code: "ERR_TLS_HOST_NAME" });
  });

  test("an address is one of the certificate's addresses, not of its names", async () => {
    const issued = authority.issue({ dnsNames: ["127.0.0.1"] });
    const peer = await listen({ tls: { cert: issued.chain, key: issued.key } });
    await expect(over(peer, "127.0.0.1").open()).rejects.toMatchObject({ code: "ERR_TLS_HOST_NAME" });
  });

  test("of whom to trust may come in a context of the caller's own", async () => {
    const secureContext = createSecureContext({ ca: authority.certificate });
    await over(await listen(), "localhost", { secureContext }).open();
    await expect(over(await listen(), "localhost", {}).open()).rejects.toMatchObject({ code: "ERR_TLS_UNTRUSTED" });
  });
});

test("TLS below 1.2 is refused", async () => {
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT:@SECLEVEL=0" } as const;
  const peer = await listen({ tls: { cert: good.chain, key: good.key, ...old } });
  const ciphers = "DEFAULT:@SECLEVEL=0";
  const owner = new Recorder({ protocol: "mqtts", port: peer.port, tls: { ...trust, ciphers } });
  await expect(owner.open()).rejects.toMatchObject({ code: "ERR_TLS_VERSION" });
});

describe("a stream below TLS", () => {
  const line = async () => {
    const peer = await listen();
    let stream: Duplex | undefined;
    const createConnection = (): Duplex => (stream = wrapped(connect(peer.port, "127.0.0.1")));
    const owner = await new Recorder({
      host: "localhost",
      protocol: "mqtts",
      port: 1,
      tls: trust,
      createConnection,
    }).open();
    return { owner, stream: stream! };
  };

  test("that fails ends the connection with what it failed with", async () => {
    const { owner, stream } = await line();
    const cause = Object.assign(new Error("gone"), { code: "EPIPE" });
    stream.destroy(cause);
    expect(await owner.closed()).toMatchObject({ code: "ERR_CONNECTION_LOST", cause });
  });

  test("that is destroyed ends it too, and is destroyed when TLS is over", async () => {
    const first = await line();
    first.stream.destroy();
    expect((await first.owner.closed())?.code).toBe("ERR_CONNECTION_LOST");
    const second = await line();
    second.owner.connection.destroy();
    await new Promise((resolve) => second.stream.once("close", resolve));
    expect(second.stream.destroyed).toBe(true);
  });
});

describe("an IPv6 address", () => {
  test("that the certificate names is accepted", async () => {
    const peer = await listen({ host: "::1" });
    await new Recorder({ host: "::1", protocol: "mqtts", port: peer.port, tls: trust }).open();
    await new Recorder({ host: "0:0:0:0:0:0:0:1", protocol: "mqtts", port: peer.port, tls: trust }).open();
  });

  test("that it does not name is refused", async () => {
    const other = authority.issue({ dnsNames: ["::1", "localhost"], ipAddresses: ["127.0.0.1", "::2"] });
    const peer = await listen({ host: "::1", tls: { cert: other.chain, key: other.key } });
    const owner = new Recorder({ host: "::1", protocol: "mqtts", port: peer.port, tls: trust });
    await expect(owner.open()).rejects.toMatchObject({ code: "ERR_TLS_HOST_NAME" });
  });
});

describe("a TLS session", () => {
  const environment = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  afterEach(() => {
    if (environment === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)("of %s is resumed, again and again", async (maxVersion) => {
    const peer = await listen({ tls: { cert: good.chain, key: good.key, maxVersion } });
    const sessions = new TlsSessions();
    const reused = [];
    for (let i = 0; i < 4; i++) reused.push(await round(peer, {}, sessions));
    expect(reused).toEqual([false, true, true, true]);
  });

  test("is resumed above the caller's connection too", async () => {
    const peer = await listen();
    const sessions = new TlsSessions();
    const endpoint = { host: "localhost", createConnection: (): Duplex => wrapped(connect(peer.port, "127.0.0.1")) };
    expect([await round(peer, endpoint, sessions), await round(peer, endpoint, sessions)]).toEqual([false, true]);
  });

  test("survives options that are equal in value", async () => {
    const peer = await listen();
    const sessions = new TlsSessions();
    const tls = () => ({ ca: [Buffer.from(authority.certificate)], servername: "localhost", ALPNProtocols: ["a"] });
    expect([await round(peer, { tls: tls() }, sessions), await round(peer, { tls: tls() }, sessions)]).toEqual([
      false,
      true,
    ]);
  });

  const mine = authority.issue({ commonName: "device", client: true });
  const other = createAuthority();
  test.each<[string, Partial<Endpoint>, Partial<Endpoint>]>([
    ["an authority more", {}, { tls: { ca: [authority.certificate, other.certificate] } }],
    ["a client certificate", {}, { tls: { ...trust, cert: mine.chain, key: mine.key } }],
    ["another name", { host: "localhost" }, { host: "127.0.0.1" }],
    ["a server name", {}, { tls: { ...trust, servername: "localhost" } }],
    ["no verification before", { tls: { ...trust, rejectUnauthorized: false } }, {}],
    [
      "another check",
      { tls: { ...trust, checkServerIdentity: () => undefined } },
      { tls: { ...trust, checkServerIdentity: () => undefined } },
    ],
    ["a cipher list", {}, { tls: { ...trust, ciphers: "DEFAULT" } }],
  ])("is not resumed under other terms: %s", async (_what, before, after) => {
    const peer = await listen();
    const sessions = new TlsSessions();
    await round(peer, before, sessions);
    expect(await round(peer, after, sessions)).toBe(false);
    expect(await round(peer, after, sessions)).toBe(true);
  });

  test("is not resumed when the authority was replaced in place, by property or by byte", async () => {
    const peer = await listen();
    for (const replace of ["property", "bytes", "list"]) {
      const pem = Buffer.from(authority.certificate);
      const tls: { ca: Buffer | (Buffer | string)[] } = { ca: replace === "list" ? [pem] : pem };
      const sessions = new TlsSessions();
      await round(peer, { tls }, sessions);
      const next = Buffer.from(other.certificate);
      if (replace === "property") tls.ca = next;
      else if (replace === "list") (tls.ca as Buffer[])[0] = next;
      else {
        // Another authority in the same memory.
        pem.fill("\n");
        next.copy(pem);
      }
      const owner = new Recorder({ protocol: "mqtts", port: peer.port, tls }, sessions);
      await expect(owner.open()).rejects.toMatchObject({ retryable: false });
    }
  });

  test("made while NODE_TLS_REJECT_UNAUTHORIZED was 0 is not resumed after that", async () => {
    const own = createSelfSigned({ ipAddresses: ["127.0.0.1"] });
    const peer = await listen({ tls: { cert: own.certificate, key: own.key } });
    const sessions = new TlsSessions();
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    await round(peer, { tls: {} }, sessions);
    delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    const owner = new Recorder({ protocol: "mqtts", port: peer.port, tls: {} }, sessions);
    await expect(owner.open()).rejects.toMatchObject({ code: "ERR_TLS_SELF_SIGNED" });
  });

  test("that the server refuses is offered once", async () => {
    const peer = await listen();
    let refused = 0;
    // Refuses a ClientHello that offers a session, as servers without a session id context do.
    const front = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (hello: Buffer) => {
        if (offersSession(hello)) {
          refused++;
          socket.end(Buffer.from("15030300020250", "hex"));
          return;
        }
        const upstream = connect(peer.port, "127.0.0.1");
        upstream.on("error", () => {});
        upstream.write(hello);
        socket.pipe(upstream).pipe(socket);
      });
    });
    await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => front.close());
    const { port } = front.address() as AddressInfo;
    const sessions = new TlsSessions();
    expect(await round(peer, { port }, sessions)).toBe(false);
    await expect(new Recorder({ protocol: "mqtts", port, tls: trust }, sessions).open()).rejects.toMatchObject({
      code: "ERR_TLS",
    });
    expect(await round(peer, { port }, sessions)).toBe(false);
    expect(refused).toBe(1);
  });

  test("of a server that never said anything is not kept", async () => {
    const peer = await listen();
    const sessions = new TlsSessions();
    const owner = new Recorder({ protocol: "mqtts", port: peer.port, tls: trust }, sessions);
    const opened = owner.open();
    const { socket } = await peer.next();
    await opened;
    socket.destroy();
    await owner.closed();
    expect(await round(peer, {}, sessions)).toBe(false);
  });
});

/** Whether a ClientHello holds pre_shared_key, or a session ticket that is not empty. */
function offersSession(hello: Buffer): boolean {
  let at = 5 + 4 + 2 + 32;
  at += 1 + (hello[at] as number);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + (hello[at] as number) + 2;
  while (at + 4 <= hello.length) {
    const type = hello.readUInt16BE(at);
    const length = hello.readUInt16BE(at + 2);
    if (type === 41 || (type === 35 && length > 0)) return true;
    at += 4 + length;
  }
  return false;
}
