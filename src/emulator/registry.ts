/**
 * The identities of the hub: devices, modules, and the shared access policies that may speak for them.
 *
 * Invariants: an identity's id is unique and of the characters that IoT Hub allows; keys and certificates
 * stay in here, `toString` and events never show them.
 */
import { randomBytes, X509Certificate } from "node:crypto";
import { checkValue } from "../check.js";
import { HubwireError } from "../errors.js";
import { isBase64 } from "../wire/sas.js";

/** How a device or module proves who it is. */
export type Authentication =
  | { readonly type: "symmetric"; readonly primaryKey: string; readonly secondaryKey: string }
  /** Certificates known by the SHA-256 or SHA-1 thumbprint, in upper-case hexadecimal digits. */
  | { readonly type: "thumbprint"; readonly thumbprints: readonly string[] }
  /** Certificates of these authorities whose common name is the device id. */
  | { readonly type: "authority"; readonly authorities: readonly X509Certificate[] };

/** What createDevice and createModule take. All optional: without, random keys are made. */
export interface IdentityOptions {
  /** Base64. */
  primaryKey?: string | undefined;
  /** Base64. */
  secondaryKey?: string | undefined;
  /**
   * X.509, self-signed: the thumbprint of the certificate, SHA-256 or SHA-1, with or without colons; at most
   * two.
   */
  thumbprint?: string | readonly string[] | undefined;
  /**
   * X.509, signed by an authority (PEM, one or several): the certificate's common name must be the device id.
   */
  certificateAuthority?: string | readonly string[] | undefined;
  /** false: the identity exists but may not connect. */
  enabled?: boolean | undefined;
}

/** The certificate and key (PEM) that the hub made for a device. */
export interface OwnCertificate {
  /** PEM. */
  readonly certificate: string;
  /** PEM (PKCS #8). Secret. */
  readonly key: string;
}

export interface IdentityRecord {
  readonly deviceId: string;
  readonly moduleId: string | undefined;
  authentication: Authentication;
  enabled: boolean;
}

/** A shared access policy. */
export interface Policy {
  readonly keyName: string;
  readonly primaryKey: string;
  /** Whether tokens of this policy may speak for devices. */
  readonly deviceConnect: boolean;
}

/** Without `+`, `#` and `;`, which IoT Hub allows too: they cannot go into a topic or a connection string. */
const ID = /^[A-Za-z0-9\-.%_*?!(),:=@$']{1,128}$/;

/** 256 random bits in base64, as the hub makes them. */
export const randomKey = (): string => randomBytes(32).toString("base64");

/** The map key of an identity; `/` is in no id. */
export const identityKey = (deviceId: string, moduleId?: string): string =>
  moduleId === undefined ? deviceId : `${deviceId}/${moduleId}`;

/** All identities of a hub, `I` being what the hub keeps for each. */
export class Registry<I extends IdentityRecord> {
  readonly #identities = new Map<string, I>();

  /** Throws ERR_INVALID_ARGUMENT for a bad or taken id. */
  add(identity: I): void {
    for (const id of [identity.deviceId ?? "", identity.moduleId]) {
      if (id !== undefined && (typeof id !== "string" || !ID.test(id))) {
        throw new HubwireError(
          "ERR_INVALID_ARGUMENT",
          "a device or module id is 1 to 128 of A-Z a-z 0-9 -.%_*?!(),:=@$'",
        );
      }
    }
    const key = identityKey(identity.deviceId, identity.moduleId);
    if (this.#identities.has(key)) throw new HubwireError("ERR_INVALID_ARGUMENT", `${key} exists already`);
    this.#identities.set(key, identity);
  }

  find(deviceId: string, moduleId?: string): I | undefined {
    return this.#identities.get(identityKey(deviceId, moduleId));
  }

  /** Throws ERR_DEVICE_NOT_FOUND. */
  get(deviceId: string, moduleId?: string): I {
    checkValue(deviceId, "string", "the device id");
    const identity = this.find(deviceId, moduleId);
    if (identity === undefined) {
      throw new HubwireError("ERR_DEVICE_NOT_FOUND", `there is no ${identityKey(deviceId, moduleId)}`, {
        status: 404,
      });
    }
    return identity;
  }

  remove(identity: I): void {
    this.#identities.delete(identityKey(identity.deviceId, identity.moduleId));
  }

  values(): Iterable<I> {
    return this.#identities.values();
  }

  modulesOf(deviceId: string): I[] {
    return [...this.#identities.values()].filter((each) => each.deviceId === deviceId && each.moduleId !== undefined);
  }
}

/** An identity's authentication as JSON: what `authenticationOf` reads again. */
export function authenticationOptions(authentication: Authentication): IdentityOptions {
  switch (authentication.type) {
    case "symmetric":
      return { primaryKey: authentication.primaryKey, secondaryKey: authentication.secondaryKey };
    case "thumbprint":
      return { thumbprint: authentication.thumbprints };
    case "authority":
      return { certificateAuthority: authentication.authorities.map(String) };
  }
}

/** Reads the options' authentication; throws ERR_INVALID_ARGUMENT where they name more than one kind. */
export function authenticationOf(options: IdentityOptions): Authentication {
  const { primaryKey, secondaryKey, thumbprint, certificateAuthority } = options;
  const kinds = [primaryKey ?? secondaryKey, thumbprint, certificateAuthority].filter((each) => each !== undefined);
  if (kinds.length > 1) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "give keys, thumbprints or an authority, not two of them");
  }
  if (thumbprint !== undefined) return { type: "thumbprint", thumbprints: [thumbprint].flat().map(plainThumbprint) };
  if (certificateAuthority !== undefined) {
    return { type: "authority", authorities: [certificateAuthority].flat().map(readCertificate) };
  }
  return {
    type: "symmetric",
    primaryKey: checkedKey(primaryKey ?? randomKey()),
    secondaryKey: checkedKey(secondaryKey ?? randomKey()),
  };
}

/** Throws ERR_INVALID_ARGUMENT, without the key, unless it is base64. */
export function checkedKey(key: string): string {
  if (!isBase64(key)) throw new HubwireError("ERR_INVALID_ARGUMENT", "a key must be base64");
  return key;
}

function plainThumbprint(text: string): string {
  checkValue(text, "string", "a thumbprint");
  const digits = text.replaceAll(":", "").toUpperCase();
  if (!/^([0-9A-F]{40}|[0-9A-F]{64})$/.test(digits)) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "a thumbprint is 40 or 64 hexadecimal digits");
  }
  return digits;
}

export function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "not a PEM certificate", { cause });
  }
}

/** Why `certificate` does not prove `commonName` at `wallTime`, or undefined when it does. */
export function certificateObjection(
  certificate: X509Certificate,
  authentication: Authentication,
  commonName: string,
  wallTime: number,
): string | undefined {
  if (wallTime < Date.parse(certificate.validFrom) || wallTime > Date.parse(certificate.validTo)) {
    return "the client certificate is not valid now";
  }
  if (authentication.type === "thumbprint") {
    const known = [certificate.fingerprint256, certificate.fingerprint].map((print) => print.replaceAll(":", ""));
    return known.some((print) => authentication.thumbprints.includes(print))
      ? undefined
      : "the client certificate's thumbprint is not the registered one";
  }
  if (authentication.type !== "authority") return "the identity has keys, not a certificate";
  if (!commonNames(certificate).includes(commonName)) {
    return "the client certificate's common name is not the device id";
  }
  return leadsTo(certificate, authentication.authorities)
    ? undefined
    : "no registered authority signed the client certificate";
}

/** The subject's common names, unescaped: the text form writes a comma in one as `\,`. */
function commonNames(certificate: X509Certificate): string[] {
  // Node's types leave out that an attribute which is there twice is an array.
  const subject = certificate.toLegacyObject().subject as { CN?: string | string[] } | undefined;
  return [subject?.CN ?? []].flat();
}

/** Follows the chain that the peer sent up to one of `authorities`. */
function leadsTo(certificate: X509Certificate, authorities: readonly X509Certificate[]): boolean {
  // Chains are short; the bound ends a circle.
  for (let link: X509Certificate | undefined = certificate, depth = 0; link !== undefined && depth < 8; depth++) {
    const child: X509Certificate = link;
    const issuedBy = (issuer: X509Certificate): boolean => child.checkIssued(issuer) && child.verify(issuer.publicKey);
    if (authorities.some(issuedBy)) return true;
    const issuer: X509Certificate | undefined = child.issuerCertificate;
    link = issuer !== undefined && issuer.ca && issuedBy(issuer) ? issuer : undefined;
  }
  return false;
}
