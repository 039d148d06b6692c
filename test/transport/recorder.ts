/** An owner of a connection that writes down what it hears; whatever waits gives up after a few seconds. */
import { afterEach } from "vitest";
import type { HubwireError } from "../../src/errors.js";
import { Connection, type ConnectionSink, type Endpoint, TlsSessions } from "../../src/transport/connection.js";
import { soon } from "../support/peer.js";

export const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export class Recorder {
  readonly connection: Connection;
  /** What was heard, in order; chunks as `received`. */
  readonly heard: string[] = [];
  readonly chunks: Uint8Array[] = [];
  error: HubwireError | undefined;
  onOpened: () => void = () => {};
  onReceived: (chunk: Uint8Array) => void = () => {};
  #wake: (() => void)[] = [];

  constructor(endpoint: Partial<Endpoint> & { port: number }, sessions = new TlsSessions()) {
    const full: Endpoint = { host: "127.0.0.1", protocol: "mqtt", ...endpoint };
    this.connection = new Connection(full, this.#sink(), sessions);
    cleanups.push(() => this.connection.destroy());
  }

  /** Opens and resolves when it is open; rejects with the error where it closes instead. */
  async open(): Promise<this> {
    this.connection.open();
    await this.until(() => this.heard.length > 0, "an end of connecting");
    if (this.heard[0] !== "opened") throw this.error;
    return this;
  }

  async closed(): Promise<HubwireError | undefined> {
    await this.until(() => this.heard.includes("closed"), "the end of the connection");
    return this.error;
  }

  async until(satisfied: () => boolean, what: string): Promise<void> {
    while (!satisfied()) await soon(new Promise<void>((resolve) => this.#wake.push(resolve)), what);
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }

  count(event: string): number {
    return this.heard.filter((other) => other === event).length;
  }

  #sink(): ConnectionSink {
    return {
      opened: () => {
        this.onOpened();
        this.#note("opened");
      },
      received: (chunk) => {
        this.chunks.push(chunk);
        this.onReceived(chunk);
        this.#note("received");
      },
      writable: () => this.#note("writable"),
      progress: () => this.#note("progress"),
      flushed: () => this.#note("flushed"),
      closed: (error) => {
        this.error = error;
        this.#note("closed");
      },
    };
  }

  #note(event: string): void {
    this.heard.push(event);
    for (const wake of this.#wake.splice(0)) wake();
  }
}
