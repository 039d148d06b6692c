/**
 * Direct methods: the hub asks, a handler answers.
 *
 * Invariants: every request with an id gets exactly one response: the handler's, or 400 (payload is not JSON), 429 (too
 * many handlers run), 500 (the handler failed, or returned what is no response), 501 (there is none), 504 (it took too
 * long). Only where a request of a later connection has the id of one that still runs, the earlier one gets none, which
 * would be given to the other's caller. A response tells the caller nothing about a failure; the `error` event does. What
 * is sent is JSON or empty, as the hub wants it.
 */
import { checkOptions, checkValue, invalid, orInvalid, type Rules } from "../check.js";
import { HubwireError } from "../errors.js";
import { encodeJson } from "../wire/json.js";
import { HUB_LIMITS } from "../wire/limits.js";
import { methodResponseTopic } from "../wire/topics.js";
import { asHubwireError, type HubAccess } from "./access.js";
import { bytesOf, textOf } from "./json.js";

/** A call of a direct method. */
export interface MethodRequest {
  /** As the service calls it. */
  name: string;
  /** The JSON value, null for an empty body; the bytes themselves where the handler was registered as `raw`. */
  payload: unknown;
  /** The hub's, of this call. */
  requestId: string;
}

/** What a handler returns; nothing at all is `{ status: 200 }`, any other property an error. */
export interface MethodResponse {
  /** An integer of 32 bits of the method's own choice; like HTTP's by custom. Default 200. */
  status?: number | undefined;
  /** Bytes are sent as they are and must be JSON or empty; anything else is sent as JSON. Default null. */
  payload?: unknown;
}

/** Answers calls. What it throws is an `error` event (ERR_HANDLER), and 500 for the caller. */
// `any` where the payload goes in: a handler may name the type that it expects.
export type MethodHandler = (
  request: MethodRequest & { payload: any },
) => MethodResponse | void | Promise<MethodResponse | void>;

/** How a method's handler is called. */
export interface MethodOptions {
  /** Hands the request's body over as bytes. */
  raw?: boolean | undefined;
  /** ms for the handler, after which 504 is answered. Default: the client's `operationTimeout`. */
  timeout?: number | undefined;
}

const METHOD_OPTIONS: Rules = { raw: "boolean", timeout: [1, Infinity] };

interface Response {
  status: number;
  payload: string | Uint8Array;
}

const bare = (status: number): Response => ({ status, payload: "null" });

export class Methods {
  readonly #hub: HubAccess;
  readonly #most: number;
  readonly #handlers = new Map<string, { handler: MethodHandler; options: MethodOptions }>();
  /** The handlers at work, and of which of them the next answer with an id is: a call that came later may have its id. */
  readonly #running = new Set<object>();
  readonly #answering = new Map<string, { connection: number }>();
  /** Counts them. */
  #connection = 0;
  /** That calls are turned away was reported, and has not stopped. */
  #overloaded = false;

  /** `most` handlers run at a time. */
  constructor(hub: HubAccess, most: number) {
    this.#hub = hub;
    this.#most = most;
  }

  /** Whether there is any handler. */
  get isUsed(): boolean {
    return this.#handlers.size > 0;
  }

  /** Takes the place of an earlier handler of that name. Throws ERR_INVALID_ARGUMENT. */
  on(name: string, handler: MethodHandler, options?: MethodOptions): void {
    checkValue(name, "string", "the method's name");
    checkValue(handler, "function", "the method's handler");
    if (name === "") throw invalid("a method's name is not empty");
    this.#handlers.set(name, { handler, options: checkOptions(options, METHOD_OPTIONS, "onMethod") });
  }

  /** The hub may use the ids of this connection's calls for others on the next one. */
  lost(): void {
    this.#connection++;
  }

  /** The hub calls. */
  called(name: string, requestId: string | undefined, body: Uint8Array): void {
    if (requestId === undefined || this.#answering.get(requestId)?.connection === this.#connection) {
      const fault = requestId === undefined ? "without $rid" : "with the $rid of one that is still running";
      const text = `a request for method ${JSON.stringify(name)} ${fault} was ignored`;
      return this.#hub.report(new HubwireError("ERR_PROTOCOL_VIOLATION", text));
    }
    if (this.#running.size >= this.#most) {
      this.#turnAway(requestId);
      return;
    }
    this.#overloaded = false;
    const call = { connection: this.#connection };
    this.#running.add(call);
    this.#answering.set(requestId, call);
    const answered = this.#run(name, requestId, body)
      .then((response) => (this.#answering.get(requestId) === call ? this.#respond(requestId, response) : undefined))
      .finally(() => {
        this.#running.delete(call);
        if (this.#answering.get(requestId) === call) this.#answering.delete(requestId);
      });
    this.#hub.busy.add(answered);
  }

  #turnAway(requestId: string): void {
    if (!this.#overloaded) {
      const text = `${this.#most} method handlers run already: calls are answered with status 429`;
      this.#hub.report(new HubwireError("ERR_LIMIT", text));
    }
    this.#overloaded = true;
    void this.#respond(requestId, bare(429));
  }

  async #respond(requestId: string, { status, payload }: Response): Promise<void> {
    try {
      await this.#hub.publish(methodResponseTopic(status, requestId), payload);
    } catch (error) {
      this.#hub.report(asHubwireError(error, "a method's response could not be sent"));
    }
  }

  async #run(name: string, requestId: string, body: Uint8Array): Promise<Response> {
    const found = this.#handlers.get(name) ?? this.#handlers.get("*");
    if (!found) return bare(501);
    let payload: unknown = body;
    if (!found.options.raw) {
      try {
        payload = body.length === 0 ? null : JSON.parse(textOf(body));
      } catch {
        return bare(400);
      }
    }
    const timeout = found.options.timeout ?? this.#hub.timeout;
    let isLate = false;
    const late = (): HubwireError => {
      isLate = true;
      return new HubwireError("ERR_TIMEOUT", `the handler took over ${timeout} ms; 504 was answered`);
    };
    try {
      const { busy, clock } = this.#hub;
      const response = found.handler({ name, payload, requestId });
      return encodeResponse(await busy.within(clock, timeout, response, late));
    } catch (error) {
      this.#hub.report(asHubwireError(error, `the handler of method ${JSON.stringify(name)} failed`));
      return bare(isLate ? 504 : 500);
    }
  }
}

/** Throws ERR_INVALID_ARGUMENT for what is no response, ERR_LIMIT for one that is too large. */
function encodeResponse(response: MethodResponse | void): Response {
  if (response === undefined || response === null) return bare(200);
  if (typeof response !== "object" || Array.isArray(response)) {
    throw invalid(`a method's handler returns { status, payload }, not ${describe(response)}; 500 was answered`);
  }
  const unknown = Object.keys(response).find((name) => name !== "status" && name !== "payload");
  if (unknown !== undefined) {
    const text = `{ status, payload }; what is there under ${JSON.stringify(unknown)} belongs into payload`;
    throw invalid(`a method's handler returns ${text}; 500 was answered`);
  }
  const { status = 200, payload } = response;
  if ((status | 0) !== status) throw invalid("a method's status is an integer of 32 bits; 500 was answered");
  const body = encodeBody(payload);
  if (Buffer.byteLength(body) > HUB_LIMITS.method) {
    throw new HubwireError("ERR_LIMIT", `a method's response is at most ${HUB_LIMITS.method} bytes; 500 was answered`);
  }
  return { status, payload: body };
}

function encodeBody(payload: unknown): string | Uint8Array {
  if (payload === undefined) return "null";
  const bytes = bytesOf(payload);
  if (bytes === undefined) return encodeJson(payload, "a method's payload");
  if (bytes.length > 0 && bytes.length <= HUB_LIMITS.method) {
    orInvalid(
      (): unknown => JSON.parse(textOf(bytes)),
      "the bytes of a method's response are JSON or empty; 500 was answered",
    );
  }
  return bytes;
}

const describe = (value: unknown): string => (Array.isArray(value) ? "an array" : `a ${typeof value}`);
