/**
 * The direct methods invoked on one device or module.
 *
 * "Understand and invoke direct methods from IoT Hub" and "Use MQTT to communicate with IoT Hub": both bodies are valid
 * JSON or empty, of at most 128 KB; no answer in time, or none that is JSON, is an error for the caller.
 *
 * Invariants: every invocation settles exactly once: with the response, at its deadline, or when the hub
 * closes. A lost connection does not settle it, because the device may come back and answer in time.
 */
import { checkTopicName } from "../codec/index.js";
import { checkValue } from "../check.js";
import { HubwireError } from "../errors.js";
import { encodeJson } from "../wire/json.js";
import { methodTopic } from "../wire/topics.js";
import type { HubContext } from "./events.js";
import type { Json } from "./twin.js";

/** How a direct method is invoked. */
export interface InvokeOptions {
  /** Invokes it on this module of the device. */
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
  /** The JSON value; null for an empty body. */
  payload: Json;
  /** The body as it came; not enumerable, so that a response compares as status and payload. */
  readonly body?: Uint8Array;
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

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
  #closed: HubwireError | undefined;

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

  /** Rejects with ERR_LIMIT, ERR_DEVICE_OFFLINE, ERR_TIMEOUT, ERR_HUB_STATUS, ERR_THROTTLED or ERR_CLOSED. */
  async invoke(name: string, payload: unknown, options: InvokeOptions): Promise<MethodResponse> {
    checkValue(name, "string", "a method's name");
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
    const turn = this.#context.throttles.method(body.length);
    if (turn !== undefined) await turn;
    if (this.#closed !== undefined) throw this.#closed;
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
      return;
    }
    try {
      const text = strictUtf8.decode(body);
      const response: MethodResponse = { status, payload: text === "" ? null : (JSON.parse(text) as Json) };
      call.resolve(Object.defineProperty(response, "body", { value: body }));
    } catch {
      call.reject(new HubwireError("ERR_HUB_STATUS", "the device's answer is not JSON", { status: 502 }));
    }
  }

  /** Rejects everything that is not answered. */
  close(error: HubwireError): void {
    this.#closed = error;
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

/** A call without a payload has an empty body. */
function toJson(payload: unknown): string {
  if (payload === undefined) return "";
  return encodeJson(payload, "a method's payload");
}
