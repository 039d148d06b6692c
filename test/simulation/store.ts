/** A store in memory that fails when it is told to. */
import { SessionStore } from "../../src/client/index.js";
import { HubwireError } from "../../src/errors.js";
import type { Facts } from "./calls.js";

export class MemoryStore extends SessionStore {
  readonly records = new Map<number, Uint8Array>();
  /** Operations still to fail; `close` too. */
  failures = 0;
  readonly #facts: Facts;

  constructor(facts: Facts) {
    super();
    this.#facts = facts;
  }

  override load(): Iterable<readonly [number, Uint8Array]> {
    return [...this.records];
  }

  override put(key: number, record: Uint8Array): void {
    this.#mayFail();
    this.records.set(key, record);
  }

  override remove(key: number): void {
    this.#mayFail();
    this.records.delete(key);
  }

  override close(): void {
    this.#mayFail();
  }

  #mayFail(): void {
    if (this.failures === 0) return;
    this.failures--;
    this.#facts.storeFailed = true;
    throw new HubwireError("ERR_STORE", "the simulated disk is full");
  }
}
