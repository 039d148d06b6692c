import { createPrivateKey, X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import * as tls from "node:tls";
import { describe, expect, it } from "vitest";
import { addressBytes, createAuthority, createSelfSigned } from "../../src/emulator/certificates.js";

const DAY = 86_400_000;

/** One TLS handshake on loopback: "ok", or the code of the error that the client saw. */
async function handshake(server: tls.TlsOptions, client: tls.ConnectionOptions): Promise<string> {
  const listener = tls.createServer(server, (socket) => socket.on("error", () => {}).resume());
  listener.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  const outcome = await new Promise<string>((resolve) => {
    const socket = tls.connect({ host: "127.0.0.1", port, ...client }, () => resolve("ok"));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once("secureConnect", () => socket.destroy());
  });
  await new Promise((resolve) => listener.close(resolve));
  return outcome;
}

describe("server certificates", () => {
  const authority = createAuthority();
  const good = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1", "::1"] });
  const pair = (issued: { chain: string; key: string }): tls.TlsOptions => ({
    cert: issued.chain,
    key: issued.key,
  });

  it("are trusted for their DNS name and addresses, by TLS 1.2 and 1.3", async () => {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const options = { ca: authority.certificate, maxVersion };
      expect(await handshake(pair(good), { ...options, servername: "localhost" })).toBe("ok");
      expect(await handshake(pair(good), options)).toBe("ok");
    }
  });

  it("are refused without the authority, or under another one of the same name", async () => {
    expect(await handshake(pair(good), { servername: "localhost" })).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
    const other = createAuthority();
    expect(await handshake(pair(good), { servername: "localhost", ca: other.certificate })).toBe(
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    );
  });

  it.each([
    ["another host", { dnsNames: ["example.test"] }, "ERR_TLS_CERT_ALTNAME_INVALID"],
    [
      "expired",
      { dnsNames: ["localhost"], notBefore: Date.now() - 2 * DAY, notAfter: new Date(Date.now() - DAY) },
      "CERT_HAS_EXPIRED",
    ],
    ["not yet valid", { dnsNames: ["localhost"], notBefore: Date.now() + DAY }, "CERT_NOT_YET_VALID"],
    ["a client's", { dnsNames: ["localhost"], client: true }, "INVALID_PURPOSE"],
  ])("%s: refused", async (_name, options, code) => {
    const outcome = await handshake(pair(authority.issue(options)), {
      ca: authority.certificate,
      servername: "localhost",
    });
    expect(outcome).toBe(code);
  });

  it("may be self-signed", async () => {
    const self = createSelfSigned({ dnsNames: ["localhost"] });
    expect(await handshake(pair(self), { servername: "localhost" })).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
    expect(await handshake(pair(self), { servername: "localhost", ca: self.certificate })).toBe("ok");
  });

  it("may have no subject alternative name", () => {
    const certificate = new X509Certificate(authority.issue({ commonName: "localhost" }).certificate);
    expect(certificate.subject).toBe("CN=localhost");
    expect(certificate.subjectAltName).toBeUndefined();
  });

  it("verify through intermediates sent in the chain", async () => {
    const leaf = authority.issueAuthority({ commonName: "middle" }).issue({ dnsNames: ["localhost"] });
    expect(leaf.chain.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    const trust = { ca: authority.certificate, servername: "localhost" };
    expect(await handshake(pair(leaf), trust)).toBe("ok");
    expect(await handshake({ cert: leaf.certificate, key: leaf.key }, trust)).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  });
});

describe("fields", () => {
  it("name the authority, limit it to signing, and the leaf to one purpose", () => {
    const authority = createAuthority({ commonName: "Root" });
    const root = new X509Certificate(authority.certificate);
    const leaf = new X509Certificate(authority.issue({ commonName: "d1", client: true }).certificate);
    expect(root.ca).toBe(true);
    expect(leaf.ca).toBe(false);
    expect(leaf.checkIssued(root)).toBe(true);
    expect(leaf.verify(root.publicKey)).toBe(true);
    expect(leaf.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
    expect(leaf.issuer).toBe("CN=Root");
  });

  it("have random positive serial numbers of sixteen bytes", () => {
    const authority = createAuthority();
    const serials = Array.from({ length: 20 }, () => new X509Certificate(authority.issue().certificate).serialNumber);
    expect(new Set(serials).size).toBe(20);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  it("state validity to the second, beyond 2050 too", () => {
    const certificate = new X509Certificate(
      createSelfSigned({
        notBefore: new Date("2049-12-31T23:59:59Z"),
        notAfter: new Date("2055-01-02T03:04:05Z"),
      }).certificate,
    );
    expect(certificate.validFrom).toBe("Dec 31 23:59:59 2049 GMT");
    expect(certificate.validTo).toBe("Jan  2 03:04:05 2055 GMT");
  });

  it("give the SHA-256 thumbprint that openssl prints without the colons", () => {
    const { certificate, thumbprint } = createSelfSigned();
    expect(thumbprint).toBe(new X509Certificate(certificate).fingerprint256.replaceAll(":", ""));
  });

  it("cannot state what X.509 has no form for", () => {
    for (const options of [
      { notBefore: new Date(NaN) },
      { notAfter: 253_402_300_800_000 },
      { dnsNames: ["bücher.example"] },
      { dnsNames: [""] },
      { ipAddresses: ["localhost"] },
    ]) {
      expect(() => createSelfSigned(options)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
    }
    createSelfSigned({ notAfter: 253_402_300_799_999 });
  });

  it("encrypt the key where a passphrase is given", () => {
    const { certificate, key } = createSelfSigned({ passphrase: "open sesame" });
    expect(key).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
    const opened = createPrivateKey({ key, passphrase: "open sesame" });
    expect(new X509Certificate(certificate).checkPrivateKey(opened)).toBe(true);
  });
});

describe("IP addresses", () => {
  const hex = (address: string): string => Buffer.from(addressBytes(address)).toString("hex");

  it("become 4 or 16 bytes", () => {
    expect(hex("127.0.0.1")).toBe("7f000001");
    expect(hex("::1")).toBe("00000000000000000000000000000001");
    expect(hex("::")).toBe("00000000000000000000000000000000");
    expect(hex("fe80::1:2")).toBe("fe800000000000000000000000010002");
    expect(hex("2001:db8:1:2:3:4:5:6")).toBe("20010db8000100020003000400050006");
  });

  it.each(["", "1.2.3", "1.2.3.256", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "g::1", "1:2:3:4::5:6:7:8"])(
    "refuses %j",
    (address) => {
      expect(() => addressBytes(address)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
    },
  );
});
