/**
 * One connection, or attempt at one, at a time: fresh credentials for each.
 *
 * Invariant: what an older attempt reports is not heard.
 */
import { checkOptions } from "../check.js";
import type { HubwireError } from "../errors.js";
import { Connection, type ConnectionSink, TlsSessions } from "../transport/connection.js";
import { credentialsError } from "./failures.js";
import type { Credentials, ResolvedOptions } from "./options.js";

/** What credentials may hold: a misspelt name would let the client in as nobody. */
const CREDENTIALS = { username: "string", password: "string|object", tls: "object" };

export class Dialer {
  /** Of the attempt that is under way, or of its connection. */
  credentials: Credentials = {};
  connection: Connection | undefined;
  readonly #options: ResolvedOptions;
  readonly #sink: ConnectionSink;
  readonly #tlsSessions = new TlsSessions();
  #attempt = 0;

  /** `sink` hears of the connection; a failure of the credentials is its `closed`. */
  constructor(options: ResolvedOptions, sink: ConnectionSink) {
    this.#options = options;
    this.#sink = sink;
  }

  /** Begins an attempt, in place of what there is. */
  dial(): void {
    this.hangUp();
    const attempt = this.#attempt;
    void this.#credentials().then(
      (credentials) => {
        if (attempt === this.#attempt) this.#connect(credentials);
      },
      (error: HubwireError) => {
        if (attempt === this.#attempt) this.#sink.closed(error);
      },
    );
  }

  /** What authenticates this attempt. Throws what the callback does, as a HubwireError. */
  async #credentials(): Promise<Credentials> {
    const { endpoint, connect, credentials } = this.#options;
    if (!credentials) return { username: connect.username, password: connect.password, tls: endpoint.tls };
    try {
      return checkOptions(await credentials(), CREDENTIALS, "credentials");
    } catch (cause) {
      throw credentialsError(cause);
    }
  }

  #connect(credentials: Credentials): void {
    this.credentials = credentials;
    const endpoint = { ...this.#options.endpoint, tls: credentials.tls };
    this.connection = new Connection(endpoint, this.#sink, this.#tlsSessions);
    this.connection.open();
  }

  /** Ends the attempt or connection at once; nothing more is heard of it. */
  hangUp(): void {
    // Stryker disable next-line UpdateOperator: any other number will do.
    this.#attempt++;
    this.connection?.destroy();
    this.connection = undefined;
  }
}
