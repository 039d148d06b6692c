/**
 * What the next connection may use again: the TLS session and the context of certificates and keys, each with the terms it
 * was made under.
 *
 * Invariants: resuming skips the check of the certificate, so a session is only ever offered under the very terms (by
 * value: host, name, authorities, certificate, key, checks, ...) that it was made under. It is offered once: only a
 * connection that went on to work brings it, or a newer one, back, so what a server refuses is not offered again.
 */
import type { Hash } from "node:crypto";
import type { ConnectionOptions, SecureContext } from "node:tls";
import { builtin } from "../builtin.js";

/** One for each client. */
export class TlsSessions {
  #terms: string | undefined;
  #session: Buffer | undefined;
  #context: { terms: string; made: SecureContext } | undefined;

  /** The context under these terms. To make one parses certificates and keys, a quarter of what connecting again costs. */
  context(terms: string, make: () => SecureContext): SecureContext {
    if (this.#context?.terms !== terms) this.#context = { terms, made: make() };
    return this.#context.made;
  }

  /** The session to offer under these terms, if there is one; it is not kept here any longer. */
  take(terms: string): Buffer | undefined {
    const session = terms === this.#terms ? this.#session : undefined;
    this.#session = undefined;
    return session;
  }

  /** Keeps the session of a connection that works. */
  put(terms: string, session: Buffer): void {
    this.#terms = terms;
    this.#session = session;
  }
}

/** What has no value to compare, such as a function: the same only as itself. */
const identities = new WeakMap<object, number>();
let lastIdentity = 0;

function identityOf(value: object): number {
  const known = identities.get(value) ?? ++lastIdentity;
  identities.set(value, known);
  return known;
}

const isPlain = (value: object): boolean =>
  [Object.prototype, Array.prototype, null].includes(Object.getPrototypeOf(value) as object | null);

function digest(hash: Hash, value: unknown, above: readonly object[]): void {
  if (typeof value === "string") {
    hash.update(`s${Buffer.byteLength(value)}:`).update(value);
  } else if (ArrayBuffer.isView(value)) {
    hash.update(`b${value.byteLength}:`).update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  } else if (typeof value === "object" && value !== null && isPlain(value) && !above.includes(value)) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    hash.update(`${Array.isArray(value) ? "a" : "o"}${entries.length}:`);
    for (const entry of entries) for (const part of entry) digest(hash, part, [...above, value]);
  } else if (typeof value === "function" || (typeof value === "object" && value !== null)) {
    hash.update(`i${identityOf(value)};`);
  } else hash.update(`${typeof value} ${String(value)};`);
}

/** Stands for all that decides whether a server is trusted, and what it is shown. Holds no secret. */
export function termsOf(options: ConnectionOptions): string {
  const hash = builtin("crypto").createHash("sha256");
  // The one global switch that turns verification off.
  digest(hash, [options, process.env["NODE_TLS_REJECT_UNAUTHORIZED"]], []);
  return hash.digest("base64");
}
