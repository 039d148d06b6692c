/**
 * What the next connection may use again: the TLS session and the context of certificates and keys, each with the terms it
 * was made under.
 *
 * Invariants: resuming skips the check of the certificate, so a session is only ever offered under the very terms (by
 * value: host, name, authorities, certificate, key, checks, ...) that it was made under. It is offered once: only a
 * connection that went on to work brings it, or a newer one, back, so what a server refuses is not offered again.
 */
import type { ConnectionOptions, SecureContext } from "node:tls";
import { builtin } from "../builtin.js";
import { attempt } from "../check.js";

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

/** Of a value of the options, what `JSON.stringify` writes of it: all strings begin with what they stand for. */
function comparable(this: Record<string, unknown>, name: string): unknown {
  // Not the second argument, which a method `toJSON` may have made.
  const value = this[name];
  if (ArrayBuffer.isView(value)) {
    return `b${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1")}`;
  }
  if (typeof value === "object" && value !== null && isPlain(value)) return value;
  if (typeof value === "function" || (typeof value === "object" && value !== null)) return `i${identityOf(value)}`;
  return `${typeof value} ${String(value)}`;
}

/** Stands for all that decides whether a server is trusted, and what it is shown. Holds no secret. */
export function termsOf(options: ConnectionOptions): string {
  // The one global switch that turns verification off.
  const all = [options, process.env["NODE_TLS_REJECT_UNAUTHORIZED"]];
  // What goes in a circle is never the same.
  const text = attempt(() => JSON.stringify(all, comparable), `${++lastIdentity}`);
  return builtin("crypto").createHash("sha256").update(text).digest("base64");
}
