/**
 * Shared access signatures: the only file that signs.
 *
 * Invariants: a token is signed over the percent-encoded resource exactly as it is sent; comparing signatures
 * takes the same time wherever they differ; no key, signature or token is in an error.
 */
import { builtin } from "../builtin.js";
import { checkOptions, checkValue, invalid, type Rules } from "../check.js";
import { HubwireError } from "../errors.js";
import { percentDecode, percentEncode } from "./property-bag.js";
import { identityPath } from "./topics.js";

/** Whether `text` is base64 as RFC 4648 section 4 writes it: padded, without line breaks, not empty. */
export const isBase64 = (text: string): boolean => text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text);

/** base64 of HMAC-SHA256 of `text` (UTF-8) under a base64 key. Throws ERR_SAS_TOKEN if the key is not base64. */
export function hmac(key: string, text: string): string {
  if (typeof key !== "string" || !isBase64(key)) throw new HubwireError("ERR_SAS_TOKEN", "the key is not base64");
  return builtin("crypto").createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
}

/** Whom a token speaks for. */
export interface SasIdentity {
  /** The hub's name. */
  hostName: string;
  /** The device, or the one that a module is of. */
  deviceId: string;
  /** Makes it a module's. */
  moduleId?: string | undefined;
}

/** What a device's or module's token gives access to, not percent-encoded. */
export const sasScope = ({ hostName, deviceId, moduleId }: SasIdentity): string =>
  `${hostName}/${identityPath(deviceId, moduleId)}`;

/** The text to sign for `scope`, and how to make the token of its signature (base64). `expiry` as in `createSasToken`. */
export function sasRequest(
  scope: string,
  expiry: number,
  keyName?: string,
): { text: string; token: (signature: string) => string } {
  const se = Math.floor(expiry);
  // A year beyond 5138 is a time in milliseconds by mistake.
  if (!(se >= 0 && se < 1e11)) {
    throw invalid("expiry must be a time in seconds since 1970");
  }
  const sr = percentEncode(scope, "the resource");
  const skn = keyName === undefined ? "" : "&skn=" + percentEncode(keyName, "the key name");
  return {
    text: `${sr}\n${se}`,
    token: (signature) => `SharedAccessSignature sr=${sr}&sig=${percentEncode(signature)}&se=${se}${skn}`,
  };
}

/** Signs a token for any scope (not percent-encoded), as `createSasToken` does for an identity. */
export function signSasToken(scope: string, key: string, expiry: number, keyName?: string): string {
  const { text, token } = sasRequest(scope, expiry, keyName);
  return token(hmac(key, text));
}

const TOKEN_OPTIONS: Rules = {
  hostName: "string",
  deviceId: "string",
  moduleId: "string",
  key: "string",
  expiry: "number",
  keyName: "string",
  // Of a connection string, which may be spread in; `key` is what signs.
  gatewayHostName: "string",
  sharedAccessKey: "string",
  sharedAccessKeyName: "string",
  sharedAccessSignature: "string",
  x509: "any",
};

/**
 * Makes the SAS token of a device or module. `key` is base64, `expiry` in seconds since 1970 UTC (a fraction is
 * cut off), `keyName` the policy's name where `key` is a policy's and not the device's own. What
 * `parseConnectionString` returns may be spread in beside them.
 * Throws ERR_SAS_TOKEN for a key that is not base64, ERR_INVALID_ARGUMENT for an expiry that is no such time, for an
 * unknown option, and for a name that is missing or empty.
 */
export function createSasToken(
  options: SasIdentity & { key: string; expiry: number; keyName?: string | undefined },
): string {
  const { hostName, deviceId, moduleId, key, expiry, keyName } = checkOptions(options, TOKEN_OPTIONS, "createSasToken");
  if (!hostName || !deviceId) throw invalid("hostName and deviceId must be strings, and not empty");
  if (moduleId === "" || keyName === "") throw invalid("moduleId and keyName must not be empty where they are given");
  return signSasToken(sasScope({ hostName, deviceId, moduleId }), key, expiry, keyName);
}

/**
 * The key of a device in an enrolment group: base64 of HMAC-SHA256 of its registration id under the group's key.
 * Throws ERR_SAS_TOKEN for a key that is not base64, ERR_INVALID_ARGUMENT for a registration id that is no text or empty.
 */
export function deriveGroupKey(groupKey: string, registrationId: string): string {
  checkValue(registrationId, "string", "the registration id");
  if (!/^[^\ud800-\udfff]+$/u.test(registrationId))
    throw invalid("the registration id is empty, or has a lone surrogate");
  return hmac(groupKey, registrationId);
}

/** The fields of a token. */
export interface SasToken {
  /** What the token gives access to, decoded: `{hostName}/devices/{deviceId}…`. */
  resource: string;
  /** The same, as it was signed and sent. */
  encodedResource: string;
  /** base64; secret. */
  signature: string;
  /** Seconds since 1970 UTC. */
  expiry: number;
  /** The policy whose key signed. */
  keyName?: string;
}

/**
 * Reads a token: fields in any order, escapes in either case, `+` is itself. Throws ERR_SAS_TOKEN for a field that
 * is missing, unknown, empty or there twice, and for an expiry that is no integer; never echoes the token. An empty
 * `skn` is none.
 */
export function parseSasToken(token: string): SasToken {
  const refuse = (what: string): HubwireError => new HubwireError("ERR_SAS_TOKEN", `the SAS token ${what}`);
  const prefix = "SharedAccessSignature ";
  if (typeof token !== "string" || !token.startsWith(prefix)) throw refuse(`does not start with "${prefix}"`);
  const fields = new Map<string, string>();
  for (const field of token.slice(prefix.length).split("&")) {
    const equals = field.indexOf("=");
    const name = field.slice(0, equals);
    // The name is not echoed: in a mangled token it may be a piece of the signature.
    if (!/^(sr|sig|se|skn)$/.test(name)) throw refuse("has an unknown field; sr, sig, se and skn are known");
    if (fields.has(name)) throw refuse(`has two ${name} fields`);
    // Microsoft's C SDK ends a token of a device's own key with an empty skn.
    if (equals === field.length - 1 && name !== "skn") throw refuse(`has an empty ${name}`);
    fields.set(name, field.slice(equals + 1));
  }
  const required = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined) throw refuse(`has no ${name} field`);
    return value;
  };
  const encodedResource = required("sr");
  const signature = percentDecode(required("sig"));
  const expiry = required("se");
  if (!/^\d{1,12}$/.test(expiry)) throw refuse("has an se (expiry) that is no integer of seconds");
  const keyName = fields.get("skn");
  return {
    resource: percentDecode(encodedResource),
    encodedResource,
    signature,
    expiry: Number(expiry),
    ...(keyName ? { keyName: percentDecode(keyName) } : {}),
  };
}

/** Why a token is refused, first reason first; undefined is accepted. */
export type SasRefusal = "malformed" | "scope" | "signature" | "expired";

/** What some tools append to the resource, as the page on MQTT shows: `/api-version=2016-11-14`, or with a question mark. */
const API_VERSION = /\/\??api-version=[\w-]+$/;

/**
 * The hub's check. `scope` is what is asked for (`sasScope`); `now` in milliseconds since 1970; `keys` are the
 * base64 keys that may have signed, or a function that names those of a policy (undefined: the identity's own).
 * A token signed by a policy may be for a parent of the scope; one signed by the identity is for it alone. An
 * api-version at the end of the token's resource does not count.
 */
export function verifySasToken(
  token: string,
  check: {
    keys: readonly string[] | ((keyName: string | undefined) => readonly string[]);
    scope: string;
    now: number;
    /** The case of the whole scope does not count, as with the provisioning service. */
    ignoreCase?: boolean;
  },
): SasRefusal | undefined {
  let fields: SasToken;
  try {
    fields = parseSasToken(token);
  } catch {
    return "malformed";
  }
  // Host names know no case, ids do.
  // Stryker disable Regex,MethodExpression: the first match is always at the start; either case will do on both sides.
  const normal = (scope: string): string =>
    check.ignoreCase ? scope.toLowerCase() : scope.replace(/^[^/]*/, (host) => host.toLowerCase());
  // Stryker restore Regex,MethodExpression
  const scope = normal(check.scope);
  const resource = normal(fields.resource.replace(API_VERSION, ""));
  if (scope !== resource && !(fields.keyName !== undefined && scope.startsWith(resource + "/"))) return "scope";
  const keys = typeof check.keys === "function" ? check.keys(fields.keyName) : check.keys;
  const given = Buffer.from(fields.signature);
  const signed = keys.some((key) => {
    const right = Buffer.from(hmac(key, `${fields.encodedResource}\n${fields.expiry}`));
    return right.length === given.length && builtin("crypto").timingSafeEqual(right, given);
  });
  if (!signed) return "signature";
  return fields.expiry * 1000 <= check.now ? "expired" : undefined;
}
