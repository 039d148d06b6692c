/**
 * X.509 v3 certificates (RFC 5280) for development and tests: ECDSA P-256, made in memory at need.
 *
 * Invariants: keys never leave the process unless the caller writes them; serial numbers are random and
 * positive; what a caller asks for is made even when no peer should trust it (expired, wrong host, no subject
 * alternative name), because tests need exactly that.
 */
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
  type KeyObject,
} from "node:crypto";
import { checkOptions, invalid, type Rules } from "../check.js";
import { HubwireError } from "../errors.js";
import * as der from "./der.js";

const DAY = 86_400_000;

/** What a certificate says. Times are milliseconds since the epoch or a Date, in whole seconds. */
export interface CertificateOptions {
  /** The subject's common name. Default: "localhost", or "hubwire development CA" for an authority. */
  commonName?: string | undefined;
  /** DNS names of the subject alternative name; with no name and no address the extension is left out. */
  dnsNames?: readonly string[] | undefined;
  /** IPv4 and IPv6 addresses of the subject alternative name. */
  ipAddresses?: readonly string[] | undefined;
  /** Default: a day ago, so that clocks may differ. */
  notBefore?: Date | number | undefined;
  /** Default: in a year; ten years for an authority. */
  notAfter?: Date | number | undefined;
  /** For TLS clients (extended key usage clientAuth) instead of servers (serverAuth). */
  client?: boolean | undefined;
  /** Encrypts the private key's PEM. */
  passphrase?: string | undefined;
}

/** A certificate with its private key, both PEM (the key as PKCS #8). */
export interface IssuedCertificate {
  /** The certificate alone, PEM. */
  certificate: string;
  /** Its private key, PEM (PKCS #8), encrypted where a `passphrase` was given. Secret. */
  key: string;
  /** The certificate, then the intermediate authorities up to but without the root: what a TLS peer sends. */
  chain: string;
  /** SHA-256 of the DER form, 64 upper-case hexadecimal digits: what IoT Hub registers for a device. */
  thumbprint: string;
}

/** A certificate authority that lives in memory. */
export interface Authority {
  /** PEM: what peers are told to trust. */
  certificate: string;
  /** PEM, PKCS #8. */
  privateKey: string;
  /** Makes a certificate for a server, or a client with `client: true`. */
  issue(options?: CertificateOptions): IssuedCertificate;
  /** Makes an intermediate authority below this one. */
  issueAuthority(options?: CertificateOptions): Authority;
}

interface Issuer {
  name: Uint8Array;
  key: KeyObject;
  keyIdentifier: Uint8Array;
  /** PEM of the intermediates below the root, nearest first. */
  intermediates: string;
}

const OID_ECDSA_SHA256 = "1.2.840.10045.4.3.2";
const OID_COMMON_NAME = "2.5.4.3";
const OID_SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
const OID_KEY_USAGE = "2.5.29.15";
const OID_SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";
const OID_BASIC_CONSTRAINTS = "2.5.29.19";
const OID_AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
const OID_EXTENDED_KEY_USAGE = "2.5.29.37";
const OID_SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const OID_CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

const RULES: Rules = {
  commonName: "string",
  dnsNames: "object",
  ipAddresses: "object",
  notBefore: "number|object",
  notAfter: "number|object",
  client: "boolean",
  passphrase: "string",
} satisfies Record<keyof CertificateOptions, string>;

function checked(given: CertificateOptions): CertificateOptions {
  const options = checkOptions(given, RULES, "a certificate");
  checkTexts(options.dnsNames, "dnsNames of a certificate");
  checkTexts(options.ipAddresses, "ipAddresses of a certificate");
  return options;
}

/** Throws ERR_INVALID_ARGUMENT for what is no array of strings. */
export function checkTexts(texts: unknown, what: string): void {
  if (texts === undefined) return;
  if (!Array.isArray(texts) || !texts.every((text) => typeof text === "string")) {
    throw invalid(`option ${what} must be an array of strings`);
  }
}

/** A new root authority. Throws ERR_INVALID_ARGUMENT, as all that makes certificates. */
export function createAuthority(options: CertificateOptions = {}): Authority {
  return makeAuthority(options, undefined);
}

/**
 * An authority that was made before, from its certificate and key (both PEM). Throws ERR_INVALID_ARGUMENT where they are
 * none, or do not belong together.
 */
export function restoreAuthority(certificate: string, privateKey: string): Authority {
  let key: KeyObject;
  let read: X509Certificate;
  try {
    key = createPrivateKey(privateKey);
    read = new X509Certificate(certificate);
  } catch (cause) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "not an authority's certificate and key", { cause });
  }
  if (!read.ca || !read.checkPrivateKey(key)) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "the authority's key is not that of its certificate");
  }
  // `makeAuthority` writes a common name and nothing else; the text form would be escaped.
  const { CN: commonName = "" } = read.toLegacyObject().subject as { CN?: string };
  const publicKeyInfo = read.publicKey.export({ type: "spki", format: "der" });
  return authorityOf(certificate, privateKey, {
    name: distinguishedName(commonName),
    key,
    keyIdentifier: keyIdentifierOf(publicKeyInfo),
    intermediates: "",
  });
}

/** A certificate that vouches for itself alone: a server's, or a device's with `client: true`. */
export function createSelfSigned(options: CertificateOptions = {}): IssuedCertificate {
  return makeCertificate(options, false, undefined).issued;
}

function makeAuthority(options: CertificateOptions, parent: Issuer | undefined): Authority {
  const { issued, issuer } = makeCertificate(
    { commonName: "hubwire development CA", ...checked(options) },
    true,
    parent,
  );
  return authorityOf(issued.certificate, issued.key, issuer);
}

function authorityOf(certificate: string, privateKey: string, issuer: Issuer): Authority {
  return {
    certificate,
    privateKey,
    issue: (leaf = {}) => makeCertificate(leaf, false, issuer).issued,
    issueAuthority: (child = {}) => makeAuthority(child, issuer),
  };
}

/** The uncompressed point, 65 bytes, ends the SubjectPublicKeyInfo; its SHA-1 is RFC 5280's method (1). */
const keyIdentifierOf = (publicKeyInfo: Uint8Array): Uint8Array =>
  createHash("sha1").update(publicKeyInfo.subarray(-65)).digest();

/** Makes a key pair and its certificate, signed by `parent` or by itself. */
function makeCertificate(
  given: CertificateOptions,
  authority: boolean,
  parent: Issuer | undefined,
): { issued: IssuedCertificate; issuer: Issuer } {
  const options = checked(given);
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeyInfo = publicKey.export({ type: "spki", format: "der" });
  const name = distinguishedName(options.commonName ?? "localhost");
  const keyIdentifier = keyIdentifierOf(publicKeyInfo);
  const signer: Issuer = parent ?? { name, key: privateKey, keyIdentifier, intermediates: "" };
  const now = Date.now();
  const notBefore = Number(options.notBefore ?? now - DAY);
  const notAfter = Number(options.notAfter ?? now + (authority ? 3650 : 365) * DAY);
  if (!isFourDigitYear(notBefore) || !isFourDigitYear(notAfter)) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "notBefore and notAfter must be times before the year 10000");
  }
  const algorithm = der.sequence(der.objectIdentifier(OID_ECDSA_SHA256));
  const toBeSigned = der.sequence(
    der.context(0, true, der.integer(Uint8Array.of(2))),
    der.integer(serialNumber()),
    algorithm,
    signer.name,
    der.sequence(der.time(notBefore), der.time(notAfter)),
    name,
    publicKeyInfo,
    der.context(3, true, der.sequence(...extensions(options, authority, keyIdentifier, signer.keyIdentifier))),
  );
  const bytes = der.sequence(toBeSigned, algorithm, der.bitString(sign("sha256", toBeSigned, signer.key)));
  const certificate = pem("CERTIFICATE", bytes);
  return {
    issued: {
      certificate,
      key: exportKey(privateKey, options.passphrase),
      chain: certificate + signer.intermediates,
      thumbprint: createHash("sha256").update(bytes).digest("hex").toUpperCase(),
    },
    issuer: {
      name,
      key: privateKey,
      keyIdentifier,
      intermediates: parent === undefined ? "" : certificate + parent.intermediates,
    },
  };
}

function extensions(
  options: CertificateOptions,
  authority: boolean,
  keyIdentifier: Uint8Array,
  issuerKeyIdentifier: Uint8Array,
): Uint8Array[] {
  // KeyUsage bits from the top: digitalSignature is bit 0, keyCertSign bit 5, cRLSign bit 6.
  const keyUsage = authority ? der.bitString(Uint8Array.of(0x06), 1) : der.bitString(Uint8Array.of(0x80), 7);
  const list = [
    extension(OID_BASIC_CONSTRAINTS, true, authority ? der.sequence(der.boolean(true)) : der.sequence()),
    extension(OID_KEY_USAGE, true, keyUsage),
    extension(OID_SUBJECT_KEY_IDENTIFIER, false, der.octetString(keyIdentifier)),
    extension(OID_AUTHORITY_KEY_IDENTIFIER, false, der.sequence(der.context(0, false, issuerKeyIdentifier))),
  ];
  if (!authority) {
    const purpose = options.client === true ? OID_CLIENT_AUTH : OID_SERVER_AUTH;
    list.push(extension(OID_EXTENDED_KEY_USAGE, false, der.sequence(der.objectIdentifier(purpose))));
  }
  const alternatives = [
    ...(options.dnsNames ?? []).map((name) => der.context(2, false, dnsNameBytes(name))),
    ...(options.ipAddresses ?? []).map((address) => der.context(7, false, addressBytes(address))),
  ];
  if (alternatives.length > 0) {
    list.push(extension(OID_SUBJECT_ALTERNATIVE_NAME, false, der.sequence(...alternatives)));
  }
  return list;
}

function extension(oid: string, critical: boolean, value: Uint8Array): Uint8Array {
  return der.sequence(
    der.objectIdentifier(oid),
    // FALSE is the default, which DER leaves out.
    ...(critical ? [der.boolean(true)] : []),
    der.octetString(value),
  );
}

function distinguishedName(commonName: string): Uint8Array {
  const attribute = der.sequence(der.objectIdentifier(OID_COMMON_NAME), der.utf8String(commonName));
  return der.sequence(der.set(attribute));
}

/** Sixteen bytes; the first between 0x40 and 0x7F makes the number positive and always equally long. */
function serialNumber(): Uint8Array {
  const bytes = randomBytes(16);
  bytes[0] = 0x40 | ((bytes[0] ?? 0) & 0x3f);
  return bytes;
}

/** A Time has four digits for the year. */
const isFourDigitYear = (time: number): boolean => time >= -62_167_219_200_000 && time < 253_402_300_800_000;

/** An IA5String: ASCII alone; an internationalised name goes in its `xn--` form. */
function dnsNameBytes(name: string): Uint8Array {
  if (!/^[\x21-\x7e]+$/.test(name)) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", `not a DNS name: ${JSON.stringify(name)}`);
  }
  return Buffer.from(name, "latin1");
}

/** The 4 or 16 bytes of an IP address. */
export function addressBytes(address: string): Uint8Array {
  const bytes = address.includes(":") ? ipv6Bytes(address) : ipv4Bytes(address);
  if (bytes === undefined) throw new HubwireError("ERR_INVALID_ARGUMENT", `not an IP address: ${address}`);
  return Uint8Array.from(bytes);
}

function ipv4Bytes(text: string): number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) return undefined;
  return parts.map(Number);
}

function ipv6Bytes(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = [ipv6Groups(halves[0] ?? ""), ipv6Groups(halves[1] ?? "")];
  if (head === undefined || tail === undefined) return undefined;
  const gap = 16 - head.length - tail.length;
  if (halves.length === 1 ? gap !== 0 : gap < 2) return undefined;
  return [...head, ...new Array<number>(gap).fill(0), ...tail];
}

function ipv6Groups(text: string): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  for (const group of text.split(":")) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
    const value = Number.parseInt(group, 16);
    bytes.push(value >> 8, value & 0xff);
  }
  return bytes;
}

function exportKey(key: KeyObject, passphrase: string | undefined): string {
  const form = { type: "pkcs8", format: "pem" } as const;
  const text = key.export(passphrase === undefined ? form : { ...form, cipher: "aes-256-cbc", passphrase });
  return text.toString();
}

function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
