/**
 * A device's requests for its twin, and their answers ("Use MQTT to communicate with IoT Hub": 200, 204, 400, 429, 5xx).
 *
 * Invariant: every request of a subscribed device is answered once, or by the fault "silent" never.
 */
import { randomUUID } from "node:crypto";
import { HubwireError } from "../errors.js";
import { twinResponseTopic } from "../wire/topics.js";
import type { HubContext, Source } from "./events.js";
import type { Faults } from "./faults.js";
import type { AcceptedPatch, TwinDocument } from "./twin.js";

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class TwinRequests {
  readonly #context: HubContext;
  readonly #faults: Faults;
  readonly #source: Source;
  readonly #twin: TwinDocument;
  readonly #send: (topic: string, body: string) => void;

  constructor(
    context: HubContext,
    faults: Faults,
    source: Source,
    twin: TwinDocument,
    send: (topic: string, body: string) => void,
  ) {
    this.#context = context;
    this.#faults = faults;
    this.#source = source;
    this.#twin = twin;
    this.#send = send;
  }

  get(requestId: string | undefined): void {
    if (this.#struck(requestId)) return;
    if (requestId === undefined) this.#fail(400, 400_004, requestId, "the request has no $rid");
    else this.#send(twinResponseTopic(200, requestId), this.#twin.toDevice());
  }

  patchReported(requestId: string | undefined, payload: Uint8Array): void {
    if (this.#struck(requestId)) return;
    if (requestId === undefined) return this.#fail(400, 400_004, requestId, "the request has no $rid");
    let text: string;
    let patch: unknown;
    try {
      text = strictUtf8.decode(payload);
      patch = JSON.parse(text);
    } catch {
      return this.#fail(400, 400_006, requestId, "the body is not JSON");
    }
    let accepted: AcceptedPatch;
    try {
      accepted = this.#twin.patchReported(patch, text);
    } catch (error) {
      if (!(error instanceof HubwireError)) throw error;
      return this.#fail(400, 400_004, requestId, error.message);
    }
    this.#send(twinResponseTopic(204, requestId, accepted.version), "");
    this.#context.events.emit("reportedProperties", { ...this.#source, ...accepted });
  }

  /** Answers 429: too many requests. */
  throttled(requestId: string | undefined): void {
    this.#fail(429, 429_001, requestId, "too many twin requests");
  }

  /** Answers as the fault `twin` asks; returns whether it struck. */
  #struck(requestId: string | undefined): boolean {
    const status = this.#faults.strike("twin");
    if (typeof status === "number") this.#fail(status, status * 1000, requestId, "the fault `twin` is set");
    return status !== undefined;
  }

  #fail(status: number, errorCode: number, requestId: string | undefined, message: string): void {
    const timestampUtc = new Date(this.#context.clock.wallTime()).toISOString();
    const body = { errorCode, trackingId: randomUUID(), message, timestampUtc };
    this.#send(twinResponseTopic(status, requestId ?? ""), JSON.stringify(body));
    this.#context.events.emit("twinRefused", { ...this.#source, status, reason: message });
  }
}
