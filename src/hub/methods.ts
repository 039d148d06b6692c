/**
 * Direct methods: the hub asks, a handler answers.
 *
 * Invariants: every request with an id gets exactly one response: the handler's, or 400 (payload is not JSON), 500
 * (the handler failed), 501 (there is none), 504 (it took too long). A response tells the caller nothing about a
 * failure; the `error` event does.
 */
import { HubwireError } from "../errors.js";
import { setAlarm } from "../clock.js";
import { asHubwireError, type Link, textOf, track } from "./link.js";
import { HUB_LIMITS } from "../wire/limits.js";
import { methodResponseTopic, METHODS_FILTER } from "../wire/topics.js";

export interface MethodRequest {
  name: string;
  /** The JSON value, null for an empty body; the bytes themselves where the handler was registered as `raw`. */
  payload: unknown;
  requestId: string;
}

export interface MethodResponse {
  /** An integer of the method's own choice; like HTTP's by custom. Default 200. */
  status?: number | undefined;
  /** Bytes are sent as they are, anything else as JSON. */
  payload?: unknown;
}

// `any` where the payload goes in: a handler may name the type that it expects.
export type MethodHandler = (
  request: MethodRequest & { payload: any },
) => MethodResponse | void | Promise<MethodResponse | void>;

export interface MethodOptions {
  /** Hands the request's body over as bytes. */
  raw?: boolean | undefined;
  /** ms for the handler, after which 504 is answered. Default: the client's `operationTimeout`. */
  timeout?: number | undefined;
}

export class Methods {
  readonly #link: Link;
  readonly #handlers = new Map<string, { handler: MethodHandler; options: MethodOptions }>();
  readonly #running = new Set<string>();

  constructor(link: Link) {
    this.#link = link;
  }

  on(name: string, handler: MethodHandler, options: MethodOptions): Promise<void> {
    this.#handlers.set(name, { handler, options });
    return this.#link.subscribe(METHODS_FILTER, 0);
  }

  called(name: string, requestId: string | undefined, body: Uint8Array): void {
    if (requestId === undefined || this.#running.has(requestId)) {
      const fault = requestId === undefined ? "without $rid" : "with the $rid of one that is still running";
      this.#link.report(
        new HubwireError("ERR_PROTOCOL_VIOLATION", `a request for method ${JSON.stringify(name)} ${fault} was ignored`),
      );
      return;
    }
    this.#running.add(requestId);
    const answered = this.#answer(name, requestId, body)
      .catch((error: unknown) => this.#link.report(asHubwireError(error, "a method's response could not be sent")))
      .finally(() => this.#running.delete(requestId));
    track(this.#link.busy, answered);
  }

  async #answer(name: string, requestId: string, body: Uint8Array): Promise<void> {
    const { status, payload } = await this.#run(name, requestId, body);
    await this.#link.publish(methodResponseTopic(status, requestId), payload);
  }

  async #run(
    name: string,
    requestId: string,
    body: Uint8Array,
  ): Promise<{ status: number; payload: string | Uint8Array }> {
    const found = this.#handlers.get(name) ?? this.#handlers.get("*");
    if (!found) return { status: 501, payload: "null" };
    let payload: unknown = body;
    if (!found.options.raw) {
      try {
        payload = body.length === 0 ? null : JSON.parse(textOf(body));
      } catch {
        return { status: 400, payload: "null" };
      }
    }
    const timeout = found.options.timeout ?? this.#link.timeout;
    let cancel = (): void => {};
    try {
      const late = new Promise<never>((_resolve, reject) => {
        cancel = setAlarm(this.#link.clock, timeout, () =>
          reject(new HubwireError("ERR_TIMEOUT", `the handler took over ${timeout} ms; 504 was answered`)),
        );
      });
      return encodeResponse(await Promise.race([found.handler({ name, payload, requestId }), late]));
    } catch (error) {
      this.#link.report(asHubwireError(error, `the handler of method ${JSON.stringify(name)} failed`));
      return { status: (error as HubwireError)?.code === "ERR_TIMEOUT" ? 504 : 500, payload: "null" };
    } finally {
      cancel();
    }
  }
}

function encodeResponse(response: MethodResponse | void): { status: number; payload: string | Uint8Array } {
  const { status = 200, payload } = response ?? {};
  const body = payload instanceof Uint8Array ? payload : (JSON.stringify(payload) ?? "null");
  if (!Number.isSafeInteger(status)) throw new HubwireError("ERR_INVALID_ARGUMENT", "a method's status is an integer");
  if (Buffer.byteLength(body) > HUB_LIMITS.method) {
    throw new HubwireError("ERR_LIMIT", `a method's response is at most ${HUB_LIMITS.method} bytes`);
  }
  return { status, payload: body };
}
