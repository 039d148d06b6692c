/**
 * What a device proves its identity with, made anew for each connection.
 *
 * Invariants: a token is renewed before it expires, by the monotonic clock, so that setting the wall clock neither
 * hastens nor delays it; a token is never signed for an earlier time than one that the hub accepted says it is.
 * No error made here has a cause that comes from a provider of secrets.
 */
import type { ConnectionOptions } from "node:tls";
import { checkOptions, checkValue, defined, invalid, readOptions, type Rule, type Rules } from "../check.js";
import type { Clock } from "../clock.js";
import type { Credentials } from "../client/options.js";
import { HubwireError } from "../errors.js";
import { checkIdentity, parseConnectionString } from "../wire/connection-string.js";
import { isBase64, parseSasToken, sasScope, signSasToken } from "../wire/sas.js";

/** A client certificate, PEM. */
export interface X509 {
  /** The certificate, followed by those between it and its authority. */
  cert: string | Buffer;
  /** Its private key; secret. */
  key: string | Buffer;
  /** Of the server's authority, in place of the system's. */
  ca?: string | Buffer | (string | Buffer)[];
  /** Of an encrypted key; secret. */
  passphrase?: string;
}

/** Who the device is, and how it proves it: with exactly one of a key, a token, a provider and a certificate. */
export interface DeviceOptions {
  /** The hub's name, in the user name and token, and dialled unless there is a gateway. */
  hostName: string;
  /** The device, or the one that a module is of. */
  deviceId: string;
  /** Makes it a module of the device. */
  moduleId?: string | undefined;
  /** Dialled in place of the hub: an IoT Edge or protocol gateway. */
  gatewayHostName?: string | undefined;
  /** base64: the device's key, or with `sharedAccessKeyName` a policy's. */
  sharedAccessKey?: string | undefined;
  /** The policy that `sharedAccessKey` is of, which needs DeviceConnect. */
  sharedAccessKeyName?: string | undefined;
  /** A token; once it expires the client is at its end. */
  sharedAccessSignature?: string | undefined;
  /** Makes a token; asked anew for each connection and ahead of each expiry. */
  sas?: (() => string | Promise<string>) | undefined;
  /** The certificate, or what reads it anew for each connection. */
  x509?: X509 | (() => X509 | Promise<X509>) | true | undefined;
  /** The server's CA where it is found out at run time, e.g. from IoT Edge; PEM. */
  ca?: (() => string | Promise<string>) | undefined;
  /** The id of a DTDL model (IoT Plug and Play). */
  modelId?: string | undefined;
  /** Shown by the hub as the device's type. */
  productInfo?: string | undefined;
  /** Default `2021-04-12`; null sends the user name of 2016, without a query. */
  apiVersion?: string | null | undefined;
  /** ms that a token signed with a key is good for, 5 s to 10 years. Default: one hour. */
  tokenLifetime?: number | undefined;
  /** The part of a token's life after which it is renewed, 0.05 to 0.95, varied by up to 5 % of the life. Default 0.8. */
  renewAt?: number | undefined;
}

/** The options of an identity; all others are the connection's. */
const IDENTITY_RULES = {
  hostName: "string",
  deviceId: "string",
  moduleId: "string",
  gatewayHostName: "string",
  sharedAccessKey: "string",
  sharedAccessKeyName: "string",
  sharedAccessSignature: "string",
  sas: "function",
  x509: "object|function|boolean",
  ca: "function",
  modelId: "string",
  productInfo: "string",
  apiVersion: "string|null",
  tokenLifetime: "number",
  renewAt: "number",
} satisfies { [name in keyof DeviceOptions]-?: Rule };
/** Divides options into those of the identity and those of the connection, wherever they were given. */
export function divideOptions<T extends object>(
  identity: string | DeviceOptions,
  options: T,
): [identity: DeviceOptions, options: T] {
  const first = typeof identity === "object" ? readOptions(identity, "the identity") : parseConnectionString(identity);
  const all = Object.entries({ ...first, ...options });
  const prescribed = all.find(([name]) => /^(clientId|username|password|credentials)$/.test(name))?.[0];
  if (prescribed) throw invalid(`${prescribed} follows from the device's identity and cannot be set`);
  const isIdentity = ([name]: [string, unknown]): boolean => Object.hasOwn(IDENTITY_RULES, name);
  return [
    Object.fromEntries(all.filter(isIdentity)) as unknown as DeviceOptions,
    Object.fromEntries(all.filter((entry) => !isIdentity(entry))) as T,
  ];
}

/** Whether one is accepted where the other is: nothing is gained by connecting anew. */
export const isSameIdentity = (one: DeviceOptions, other: DeviceOptions): boolean =>
  Object.keys(IDENTITY_RULES).every((name) => {
    const [value, old] = [one, other].map((identity) => (identity as unknown as Record<string, unknown>)[name]);
    return value === old || (typeof value === "object" && JSON.stringify(value) === JSON.stringify(old));
  });

const TEN_YEARS = 3652.5 * 86_400_000;

const X509_RULES: Rules = { cert: "string|object", key: "string|object", ca: "string|object", passphrase: "string" };

/** Completes and checks what a `DeviceClient` is made of. `tls` may hold the certificate of `x509=true`. */
export function resolveIdentity(given: DeviceOptions, tls: ConnectionOptions | undefined): DeviceOptions {
  const identity = checkOptions(given, IDENTITY_RULES, "the identity");
  const { hostName, deviceId, moduleId, gatewayHostName, sharedAccessKey, sharedAccessSignature, sas } = identity;
  if (hostName === undefined || deviceId === undefined) throw invalid("a device needs a hostName and a deviceId");
  checkIdentity([hostName, gatewayHostName], [deviceId, moduleId]);
  const x509 = resolveX509(identity.x509, tls);
  const ways = [sharedAccessKey, sharedAccessSignature, sas, x509].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    throw invalid("a device needs exactly one of sharedAccessKey, sharedAccessSignature, sas and x509 ({ cert, key })");
  }
  if (sharedAccessKey !== undefined && !isBase64(sharedAccessKey)) throw invalid("sharedAccessKey is not base64");
  if (identity.sharedAccessKeyName !== undefined && sharedAccessKey === undefined) {
    throw invalid("sharedAccessKeyName needs a sharedAccessKey");
  }
  if (sharedAccessSignature !== undefined) parseSasToken(sharedAccessSignature);
  const { tokenLifetime = 3_600_000, renewAt = 0.8 } = identity;
  if (!(tokenLifetime >= 5_000 && tokenLifetime <= TEN_YEARS)) throw invalid("tokenLifetime is 5,000 ms to 10 years");
  if (!(renewAt >= 0.05 && renewAt <= 0.95)) throw invalid("renewAt is 0.05 to 0.95");
  return { ...identity, x509, tokenLifetime, renewAt };
}

function resolveX509(given: DeviceOptions["x509"] | false, tls: ConnectionOptions | undefined): DeviceOptions["x509"] {
  if (given === undefined || given === false || typeof given === "function") return given || undefined;
  if (given !== true) return checkX509(given);
  // The certificate is in `tls` already.
  return tls?.cert || tls?.pfx ? (TLS_HAS_IT as X509) : undefined;
}

/** Stands for a certificate that `tls` holds. */
const TLS_HAS_IT: object = {};

/** A copy of what can be used. Throws ERR_INVALID_ARGUMENT; that the PEM itself is good only TLS can say. */
export function checkX509(given: X509): X509 {
  if (typeof given !== "object" || given === null) throw invalid("x509 must be an object { cert, key } of PEM text");
  const x509 = checkOptions(given, X509_RULES, "x509");
  for (const name of ["cert", "key"] as const) {
    const value: unknown = x509[name];
    checkValue(value, "string|object", `x509.${name}`);
    const text = value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : String(value);
    const kind = name === "cert" ? /-----BEGIN (TRUSTED )?CERTIFICATE-----/ : /-----BEGIN [A-Z ]*PRIVATE KEY-----/;
    if (!kind.test(text)) {
      const what = name === "cert" ? "a certificate" : "a private key";
      throw invalid(`x509.${name} is not ${what} in PEM form; give the file's content, not its name`);
    }
  }
  return x509;
}

export class CredentialSource {
  readonly #identity: DeviceOptions;
  readonly #tls: ConnectionOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #username: string;
  /** The last `tls`, kept while nothing in it changes: a TLS session can be resumed only under the same terms. */
  #lastTls: ConnectionOptions;
  /** Made ahead of a planned reconnect. */
  #ready: Credentials | undefined;
  /** Wall time minus monotonic time of the latest that the hub accepted, ms. */
  #offset = -Infinity;
  // Stryker disable next-line UnaryOperator: with a key, none is accepted before one is signed.
  #signedOffset = -Infinity;
  /** The hub took what was made here at least once. */
  #wasAccepted = false;
  /** Monotonic ms; Infinity where nothing expires. */
  expiresAt = Infinity;
  /** Monotonic ms; Infinity where nothing can be renewed. */
  renewAt = Infinity;

  constructor(
    identity: DeviceOptions,
    clientId: string,
    tls: ConnectionOptions | undefined,
    clock: Clock,
    random: () => number,
  ) {
    const { hostName, apiVersion = "2021-04-12", modelId, productInfo } = identity;
    this.#identity = identity;
    this.#lastTls = this.#tls = tls ?? {};
    this.#clock = clock;
    this.#random = random;
    const query = defined({ "api-version": apiVersion, "model-id": modelId, DeviceClientType: productInfo });
    const pairs = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value as string)}`);
    this.#username = `${hostName}/${clientId}${apiVersion === null ? "" : `/?${pairs.join("&")}`}`;
  }

  /** Whether a provider of the user's is asked. */
  get isProvided(): boolean {
    const { sas, x509, ca } = this.#identity;
    return typeof (sas ?? ca ?? x509) === "function";
  }

  /** For the next connection. Throws ERR_SAS_EXPIRED, ERR_SAS_TOKEN, ERR_SIGNING. */
  async next(): Promise<Credentials> {
    const ready = this.#ready;
    this.#ready = undefined;
    // What was made ahead may have expired while the connection was on its way.
    return ready && this.expiresAt > this.#clock.now() ? ready : this.#make();
  }

  /** Makes the next ones ahead, while the old connection still serves. */
  async prepare(): Promise<void> {
    this.#ready = undefined;
    this.#ready = await this.#make();
  }

  /** The hub took them: by now the time that they were signed for is known to be right enough. */
  accepted(): void {
    this.#wasAccepted = true;
    this.#offset = Math.max(this.#offset, this.#signedOffset);
  }

  async #make(): Promise<Credentials> {
    const { x509, ca } = this.#identity;
    const password = await this.#token();
    const certificate = typeof x509 === "function" ? checkX509(await provide("x509", x509)) : x509;
    const tls: ConnectionOptions = {
      ...this.#tls,
      ...(ca && { ca: await provide("ca", ca) }),
      ...(certificate as X509 | undefined),
    };
    const names = new Set([...Object.keys(tls), ...Object.keys(this.#lastTls)]) as Set<keyof ConnectionOptions>;
    if ([...names].some((name) => tls[name] !== this.#lastTls[name])) this.#lastTls = tls;
    return { username: this.#username, password, tls: this.#lastTls };
  }

  async #token(): Promise<string | undefined> {
    const { sharedAccessKey, sharedAccessKeyName, sharedAccessSignature, sas, tokenLifetime, renewAt } = this.#identity;
    const now = this.#clock.now();
    const wall = this.#clock.wallTime();
    if (sharedAccessKey !== undefined) {
      // A wall clock that was set back since the hub accepted a token would make one that has expired already.
      const time = Math.max(wall, this.#offset + now);
      const expiry = Math.ceil((time + (tokenLifetime as number)) / 1000);
      this.#signedOffset = time - now;
      this.#expires(now, expiry * 1000 - time, renewAt as number);
      return signSasToken(sasScope(this.#identity), sharedAccessKey, expiry, sharedAccessKeyName);
    }
    const token = sas ? await provide("sas", sas) : sharedAccessSignature;
    if (token === undefined) return undefined;
    const left = parseSasToken(token).expiry * 1000 - this.#clock.wallTime();
    if (left <= 0) {
      const what = sas ? "the sas provider returned a token that" : "the SAS token";
      throw new HubwireError(
        "ERR_SAS_EXPIRED",
        `${what} expired ${Math.ceil(-left / 1000)} s ago by this machine's clock` +
          (sas ? "" : "; a token given as text cannot be renewed: give a key, or a sas provider"),
        // Before the hub took any, it is the provider that has to be mended.
        { retryable: sas !== undefined && this.#wasAccepted },
      );
    }
    this.#expires(this.#clock.now(), left, sas ? (renewAt as number) : Infinity);
    return token;
  }

  /** Many devices that were started together must not renew together. */
  #expires(now: number, left: number, part: number): void {
    this.expiresAt = now + left;
    this.renewAt = now + Math.max(1_000, left * Math.min(0.98, part + (this.#random() - 0.5) / 10));
    if (part === Infinity) this.renewAt = Infinity;
  }
}

/** Asks the user's provider. What it throws may hold what it was about, so only its name goes on. */
async function provide<T>(name: string, provider: () => T | Promise<T>): Promise<T> {
  try {
    return await provider();
  } catch (error) {
    if (error instanceof HubwireError) throw error;
    const kind = error instanceof Error ? ((error as { code?: unknown }).code ?? error.name) : typeof error;
    throw new HubwireError("ERR_SIGNING", `the ${name} provider failed (${String(kind).slice(0, 64)})`);
  }
}
