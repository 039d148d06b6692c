/** Trust: what the client refuses before the first byte of MQTT, against real TLS servers with certificates made here. */
import { connect as rawConnect } from "node:net";
import { inspect } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { createAuthority, createSelfSigned, type CertificateOptions } from "../../src/emulator/certificates.js";
import { HubwireError, MqttClient, type MqttClientOptions } from "../../src/client/index.js";
import { Peer, type PeerConnection } from "../support/peer.js";

const DAY = 86_400_000;
const authority = createAuthority();
const good = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function peer(options: Parameters<typeof Peer.listen>[0]): Promise<Peer> {
  const made = await Peer.listen(options);
  cleanups.push(() => made.close());
  return made;
}

function client(port: number, options: Partial<MqttClientOptions> = {}): MqttClient {
  const made = new MqttClient({
    host: "127.0.0.1",
    port,
    clientId: "c",
    tls: { ca: authority.certificate },
    connectTimeout: 5_000,
    ...options,
  });
  cleanups.push(() => made.close({ force: true }));
  return made;
}

const accept = (connection: PeerConnection) => connection.accept().catch(() => {});

test("a name with a dot at its end is the name without it, for the server and in its certificate", async () => {
  let asked: string | undefined;
  const tls = {
    key: good.key,
    cert: good.chain,
    SNICallback: (name: string, done: (error: null) => void) => {
      asked = name;
      done(null);
    },
  };
  const { port } = await peer({ tls, script: accept });
  const createConnection = (): ReturnType<typeof rawConnect> => rawConnect({ port, host: "127.0.0.1" });
  await client(port, { host: "localhost.", createConnection }).connect();
  expect(asked).toBe("localhost");
});

/** Connects to a server with this certificate; returns how connect() failed and how often the server was called. */
async function refusal(certificate: CertificateOptions, options: Partial<MqttClientOptions> = {}) {
  const issued = authority.issue(certificate);
  const server = await peer({ tls: { cert: issued.chain, key: issued.key }, script: accept });
  const error = await client(server.port, options)
    .connect()
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(HubwireError);
  return error as HubwireError;
}

describe("a trusted server", () => {
  test.each([
    ["by address", "127.0.0.1"],
    ["by name, which is sent as SNI", "localhost"],
  ])("is accepted %s", async (_how, host) => {
    const names: (string | false)[] = [];
    const server = await peer({
      tls: { cert: good.chain, key: good.key },
      script: (connection) => {
        names.push((connection.socket as unknown as { servername: string | false }).servername);
        return accept(connection);
      },
    });
    const device = client(server.port, { host });
    await device.connect();
    expect(device.connected).toBe(true);
    expect(names).toEqual([host === "localhost" ? "localhost" : false]);
  });

  test("with an intermediate authority in its chain is accepted", async () => {
    const issued = authority.issueAuthority({ commonName: "below" }).issue({ ipAddresses: ["127.0.0.1"] });
    const server = await peer({ tls: { cert: issued.chain, key: issued.key }, script: accept });
    await client(server.port).connect();
  });

  test("resumes the TLS session on reconnect", async () => {
    const server = await peer({ tls: { cert: good.chain, key: good.key } });
    const device = client(server.port, { reconnect: { minDelay: 1, maxDelay: 1 } });
    const reused: boolean[] = [];
    const again = device.connect();
    for (let round = 0; round < 2; round++) {
      const connection = await server.next();
      await connection.accept();
      reused.push((connection.socket as unknown as { isSessionReused(): boolean }).isSessionReused());
      await again;
      await connection.settle();
      if (round === 0) connection.destroy();
    }
    expect(reused).toEqual([false, true]);
  });

  test("a client certificate is shown, and a missing one is refused for good", async () => {
    const mine = authority.issue({ commonName: "device", client: true });
    const tls = { cert: good.chain, key: good.key, ca: authority.certificate, requestCert: true };
    const server = await peer({ tls: { ...tls, rejectUnauthorized: true }, script: accept });
    const trusted = { ca: authority.certificate };
    await client(server.port, { tls: { ...trusted, cert: mine.chain, key: mine.key } }).connect();
    const error = await client(server.port, { tls: trusted })
      .connect()
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_TLS", retryable: false });
  });
});

describe("a server that cannot be trusted is refused at once", () => {
  test("wrong host", async () => {
    expect(await refusal({ dnsNames: ["elsewhere.example"] }, { host: "localhost" })).toMatchObject({
      code: "ERR_TLS_HOST_NAME",
      retryable: false,
    });
  });

  test("wrong address", async () => {
    expect((await refusal({ ipAddresses: ["127.0.0.2"], dnsNames: ["localhost"] })).code).toBe("ERR_TLS_HOST_NAME");
  });

  test("the name only in the common name", async () => {
    expect((await refusal({ commonName: "localhost" }, { host: "localhost" })).code).toBe("ERR_TLS_HOST_NAME");
  });

  test("wrong authority", async () => {
    const other = createAuthority({ commonName: "another CA" });
    const error = await refusal({ ipAddresses: ["127.0.0.1"] }, { tls: { ca: other.certificate } });
    expect(error.code).toBe("ERR_TLS_UNTRUSTED");
    expect(error.message).toContain("tls.ca");
  });

  test("an authority that nobody named", async () => {
    expect((await refusal({ ipAddresses: ["127.0.0.1"] }, { tls: {} })).code).toBe("ERR_TLS_UNTRUSTED");
  });

  test("its authority comes in the chain", async () => {
    const other = createAuthority({ commonName: "brought along" });
    const issued = other.issue({ ipAddresses: ["127.0.0.1"] });
    const server = await peer({ tls: { cert: issued.chain + other.certificate, key: issued.key }, script: accept });
    await expect(client(server.port).connect()).rejects.toMatchObject({ code: "ERR_TLS_UNTRUSTED" });
  });

  test("self-signed", async () => {
    const own = createSelfSigned({ ipAddresses: ["127.0.0.1"] });
    const server = await peer({ tls: { cert: own.certificate, key: own.key }, script: accept });
    await expect(client(server.port).connect()).rejects.toMatchObject({
      code: "ERR_TLS_SELF_SIGNED",
      retryable: false,
    });
  });

  test("expired, and not yet valid", async () => {
    const now = Date.now();
    const expired = { ipAddresses: ["127.0.0.1"], notBefore: now - 9 * DAY, notAfter: now - DAY };
    const early = { ipAddresses: ["127.0.0.1"], notBefore: now + DAY, notAfter: now + 9 * DAY };
    expect((await refusal(expired)).code).toBe("ERR_TLS_EXPIRED");
    expect((await refusal(early)).code).toBe("ERR_TLS_EXPIRED");
  });

  test("TLS below 1.2", async () => {
    const tls = { cert: good.chain, key: good.key, minVersion: "TLSv1", maxVersion: "TLSv1.1" } as const;
    const server = await peer({ tls: { ...tls, ciphers: "DEFAULT:@SECLEVEL=0" }, script: accept });
    await expect(client(server.port).connect()).rejects.toMatchObject({ code: "ERR_TLS_VERSION", retryable: false });
  });

  test("cleartext on the TLS port", async () => {
    const server = await peer({ script: (connection) => connection.send("20 02 00 00 48 54 54 50") });
    await expect(client(server.port).connect()).rejects.toMatchObject({ code: "ERR_TLS_NOT_TLS", retryable: false });
  });

  test("a port that closes instead of a handshake may be a passing trouble", async () => {
    const server = await peer({ script: (connection) => connection.destroy() });
    const error = await client(server.port, { reconnect: false })
      .connect()
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_TLS", retryable: true });
  });
});

test("TLS on a cleartext port: a TLS alert in place of CONNACK", async () => {
  const server = await peer({ script: (connection) => connection.send("15 03 01 00 02 02 46") });
  const device = client(server.port, { protocol: "mqtt" });
  await expect(device.connect()).rejects.toMatchObject({ code: "ERR_TLS_NOT_TLS", retryable: false });
});

test("TLS on a cleartext port: a real TLS server that closes", async () => {
  const server = await peer({ tls: { cert: good.chain, key: good.key } });
  const device = client(server.port, { protocol: "mqtt", reconnect: false });
  const error = (await device.connect().catch((reason: unknown) => reason)) as HubwireError;
  expect(["ERR_CONNECTION_LOST", "ERR_TLS_NOT_TLS"]).toContain(error.code);
  expect(error.message).toMatch(/before CONNACK|speaks TLS/);
});

test("options that TLS refuses are the caller's mistake, and the key is not quoted", async () => {
  const server = await peer({ tls: { cert: good.chain, key: good.key } });
  const secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
  const error = await client(server.port, { tls: { key: secret } })
    .connect()
    .catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
  expect(inspect(error, { depth: 9 })).not.toContain("c2VjcmV0");
});

test("inspecting a client shows no password and no key", async () => {
  const server = await peer({ tls: { cert: good.chain, key: good.key }, script: accept });
  const tls = { ca: authority.certificate, key: good.key, cert: good.chain };
  const device = client(server.port, { tls, username: "me", password: "hush-hush" });
  await device.connect();
  const text = inspect(device, { depth: 20, showHidden: true });
  expect(text).not.toContain("hush-hush");
  expect(text).not.toContain("PRIVATE KEY");
});

test("a socket that the caller made is used as it is with protocol mqtt", async () => {
  const server = await peer({ script: accept });
  const made = () => rawConnect(server.port, "127.0.0.1");
  const plain = client(1, { protocol: "mqtt", createConnection: made });
  const later = client(1, { protocol: "mqtt", createConnection: async () => made() });
  await plain.connect();
  await later.connect();
  expect([plain.connected, later.connected]).toEqual([true, true]);
});
