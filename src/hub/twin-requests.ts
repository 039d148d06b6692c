/**
 * Requests to the hub about the twin, and its answers.
 *
 * Invariants: every request settles once: by the hub's answer, its deadline, its signal or the end of the client. One
 * that had no answer when the connection went is sent again on the next, which is safe because both kinds may be
 * repeated; under another id, for a late answer to the first tells of an earlier state.
 */
import { abortable, throwIfAborted } from "../abort.js";
import { setAlarm } from "../clock.js";
import { HubwireError } from "../errors.js";
import { TWIN_RESPONSES_FILTER } from "../wire/topics.js";
import type { HubAccess } from "./access.js";
import { textOf } from "./json.js";

/** What the hub answered with a status from 200 to 299. */
export interface Answer {
  version: number | undefined;
  body: Uint8Array;
}

interface Request {
  what: string;
  topicOf(requestId: string): string;
  /** Under which it waits, and is asked. */
  id: string;
  wasSent: boolean;
  payload: string;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
  /** The answer can arrive: its topic is subscribed to. */
  ready: boolean;
  /** Of it as it is on its way out: it may wait there for the next connection by itself. */
  leaving: object | undefined;
}

export class TwinRequests {
  readonly #hub: HubAccess;
  readonly #waiting = new Map<string, Request>();
  #lastId = 0;

  constructor(hub: HubAccess) {
    this.#hub = hub;
  }

  /** `what` it is, for errors; `topicOf` makes the topic of its id. */
  async ask(
    what: string,
    topicOf: (requestId: string) => string,
    payload: string,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    throwIfAborted(signal);
    const { clock, timeout } = this.#hub;
    let request: Request;
    let cancel: () => void;
    const answer = new Promise<Answer>((resolve, reject) => {
      const state = { id: "", wasSent: false, ready: false, leaving: undefined };
      request = { what, topicOf, payload, resolve, reject, ...state };
      this.#name(request);
      cancel = setAlarm(clock, timeout, () =>
        reject(new HubwireError("ERR_TIMEOUT", `the hub did not answer ${what} within ${timeout} ms`)),
      );
      this.#begin(request);
    });
    return abortable(signal, answer).finally(() => {
      cancel();
      this.#waiting.delete(request.id);
    });
  }

  #name(request: Request): void {
    this.#waiting.delete(request.id);
    request.id = (++this.#lastId).toString(36);
    this.#waiting.set(request.id, request);
  }

  /** A connection is up: asks again for what had no answer. */
  connected(): void {
    for (const request of [...this.#waiting.values()]) this.#send(request);
  }

  /** Another hub, which knows of no request and no subscription. */
  moved(): void {
    for (const request of this.#waiting.values()) this.#begin(request);
  }

  /** There will be no answers. */
  close(error: HubwireError): void {
    for (const request of [...this.#waiting.values()]) request.reject(error);
  }

  /** An answer; one that nobody waits for any more is passed over. */
  answered(requestId: string | undefined, status: number, version: number | undefined, body: Uint8Array): void {
    const request = this.#waiting.get(requestId ?? "");
    if (status >= 200 && status < 300) request?.resolve({ version, body });
    else request?.reject(hubStatusError(status, request.what, body));
  }

  #begin(request: Request): void {
    request.ready = false;
    request.leaving = undefined;
    this.#hub.subscribed(TWIN_RESPONSES_FILTER).then(() => {
      request.ready = true;
      this.#send(request);
    }, request.reject);
  }

  #send(request: Request): void {
    if (!request.ready || request.leaving || !this.#hub.connected()) return;
    if (request.wasSent) this.#name(request);
    request.wasSent = true;
    const leaving = (request.leaving = {});
    // What was on its way to another hub has been begun anew.
    const left = (error?: HubwireError): void => {
      if (request.leaving !== leaving) return;
      request.leaving = undefined;
      // A lost connection is no answer: the next one asks again.
      if (error?.retryable === false) request.reject(error);
    };
    this.#hub.publish(request.topicOf(request.id), request.payload).then(() => left(), left);
  }
}

/** An answer with a status outside 200 to 299, as an error. */
export function hubStatusError(status: number, what: string, body: Uint8Array): HubwireError {
  const throttled = status === 429;
  // The hub's own words, within bounds, quoted so that they cannot forge a line of a log.
  const said = body.length > 0 ? `: ${JSON.stringify(textOf(body.subarray(0, 300)))}` : "";
  return new HubwireError(
    throttled ? "ERR_THROTTLED" : "ERR_HUB_STATUS",
    `the hub answered ${what} with status ${status}${throttled ? " (throttled; try later)" : ""}${said}`,
    { status, retryable: throttled || status >= 500 },
  );
}
