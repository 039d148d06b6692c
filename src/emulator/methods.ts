/**
 * The direct methods invoked on one device or module.
 *
 * Invariants: every invocation settles exactly once: with the response, at its deadline, or when the hub
 * closes. A lost connection does not settle it, because the device may come back and answer in time.
 */
import { checkTopicName } from "../codec/index.js";
import { HubwireError } from "../errors.js";
import { methodTopic } from "../wire/topics.js";
import type { HubContext } from "./events.js";
import type { Json } from "./twin.js";

export interface InvokeOptions {
  moduleId?: string | undefined;
  /**
   * How long to wait for the device to be connected and subscribed to methods, ms. Default: 2,000 where it is
   * connected now, because its SUBSCRIBE may be on the way, and else 0.
   */
  connectTimeout?: number | undefined;
  /** How long to wait for the response, ms. Default: 30,000. */
  responseTimeout?: number | undefined;
}

/** What the device answered. */
export interface MethodResponse {
  /** The device's own choice, like an HTTP status. */
  status: number;
  /** The JSON value; null for an empty body, the text itself for a body that is not JSON. */
  payload: Json;
  /** The body as it came; not enumerable, so that a response compares as status and payload. */
  readonly body?: Uint8Array;
}

interface Call {
  readonly name: string;
  readonly body: Uint8Array;
  readonly responseTimeout: number;
  readonly resolve: (response: MethodResponse) => void;
  readonly reject: (error: HubwireError) => void;
  timer: unknown;
}

export class MethodCalls {
  readonly #context: HubContext;
  readonly #isConnected: () => boolean;
  readonly #send: (name: string, requestId: string, body: Uint8Array) => boolean;
  /** Not sent yet, because the device is not ready. */
  readonly #waiting = new Set<Call>();
  readonly #pending = new Map<string, Call>();
  #lastRequestId = 0;

  /** `send` returns false where the device is not subscribed, or not even connected. */
  constructor(
    context: HubContext,
    isConnected: () => boolean,
    send: (name: string, requestId: string, body: Uint8Array) => boolean,
  ) {
    this.#context = context;
    this.#isConnected = isConnected;
    this.#send = send;
  }

  /** Rejects with ERR_LIMIT, ERR_DEVICE_OFFLINE, ERR_TIMEOUT or ERR_CLOSED. */
  async invoke(name: string, payload: unknown, options: InvokeOptions): Promise<MethodResponse> {
    if (name === "" || name.includes("/")) {
      throw new HubwireError("ERR_INVALID_ARGUMENT", "a method name has a character or more, and no slash");
    }
    checkTopicName(methodTopic(name, "1".repeat(16)));
    const { limits, clock } = this.#context;
    const body = payload instanceof Uint8Array ? payload : Buffer.from(toJson(payload));
    if (body.length > limits.methodBytes) {
      throw new HubwireError("ERR_LIMIT", `a method payload of ${body.length} bytes is over ${limits.methodBytes}`);
    }
    const connectTimeout = options.connectTimeout ?? (this.#isConnected() ? limits.subscribeGrace : 0);
    const { responseTimeout = limits.methodTimeout } = options;
    return new Promise((resolve, reject) => {
      const call: Call = { name, body, responseTimeout, resolve, reject, timer: undefined };
      if (this.#start(call)) return;
      const offline = (): void => {
        this.#waiting.delete(call);
        reject(new HubwireError("ERR_DEVICE_OFFLINE", "the device is not connected and subscribed to methods"));
      };
      if (connectTimeout <= 0) return offline();
      this.#waiting.add(call);
      call.timer = clock.setTimer(offline, connectTimeout);
    });
  }

  /** The device may have become ready. */
  ready(): void {
    for (const call of this.#waiting) {
      const { timer } = call;
      if (!this.#start(call)) return;
      this.#waiting.delete(call);
      this.#context.clock.clearTimer(timer);
    }
  }

  /** The device's answer; an unknown request (answered before, or too late) is ignored, as the hub does. */
  respond(status: number, requestId: string | undefined, body: Uint8Array): void {
    const call = requestId === undefined ? undefined : this.#pending.get(requestId);
    if (call === undefined || requestId === undefined) return;
    this.#pending.delete(requestId);
    this.#context.clock.clearTimer(call.timer);
    if (body.length > this.#context.limits.methodBytes) {
      call.reject(new HubwireError("ERR_LIMIT", `a method response of ${body.length} bytes is too large`));
    } else {
      const response: MethodResponse = { status, payload: jsonOrText(body) };
      call.resolve(Object.defineProperty(response, "body", { value: body }));
    }
  }

  /** Rejects everything that is not answered. */
  close(error: HubwireError): void {
    for (const call of [...this.#waiting, ...this.#pending.values()]) {
      this.#context.clock.clearTimer(call.timer);
      call.reject(error);
    }
    this.#waiting.clear();
    this.#pending.clear();
  }

  #start(call: Call): boolean {
    const requestId = String(this.#lastRequestId + 1);
    if (!this.#send(call.name, requestId, call.body)) return false;
    this.#lastRequestId++;
    this.#pending.set(requestId, call);
    call.timer = this.#context.clock.setTimer(() => {
      this.#pending.delete(requestId);
      call.reject(new HubwireError("ERR_TIMEOUT", `no response to the method within ${call.responseTimeout} ms`));
    }, call.responseTimeout);
    return true;
  }
}

function toJson(payload: unknown): string {
  let text: string | undefined;
  let cause: unknown;
  try {
    text = JSON.stringify(payload ?? null);
  } catch (error) {
    cause = error;
  }
  if (text === undefined) throw new HubwireError("ERR_INVALID_ARGUMENT", "a method payload must be JSON", { cause });
  return text;
}

function jsonOrText(body: Uint8Array): Json {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8");
  if (text === "") return null;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}
