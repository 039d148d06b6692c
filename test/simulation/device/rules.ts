/** What is right for the calls of a DeviceClient. */
import type { Call, CallRules, Facts } from "../calls.js";
import type { Scheduler } from "../scheduler.js";
import type { Hub } from "./hub.js";
import type { DeviceProgramOptions } from "./program.js";

const SLACK = 1_000;
const LEAVING = 5_250;
const DEFAULT_CONNECT = 30_000;
/** What a call may end with where the client has given up, or may not wait for a connection. */
const CONNECTION =
  /^ERR_(CONNECTION_|UNREACHABLE|CONNECT_TIMEOUT|NOT_CONNECTED|KEEP_ALIVE|SERVER_UNAVAILABLE|BAD_CRED|NOT_AUTH|IDENTIFIER|PROTOCOL|TAKEOVER|TIMEOUT|DNS|SIGNING|SAS)/;

export class DeviceRules implements CallRules {
  readonly #scheduler: Scheduler;
  readonly #options: DeviceProgramOptions;
  readonly #facts: Facts;
  readonly #hub: Hub;

  constructor(scheduler: Scheduler, options: DeviceProgramOptions, facts: Facts, hub: Hub) {
    this.#scheduler = scheduler;
    this.#options = options;
    this.#facts = facts;
    this.#hub = hub;
  }

  get #maxAge(): number {
    return this.#options.queue ? this.#options.queue.maxAge : 0;
  }

  bound({ name, timeout, force }: Call): number {
    const { operationTimeout, connectTimeout } = this.#options;
    const asked = this.#maxAge + 2 * operationTimeout + SLACK;
    switch (name) {
      case "connect":
        return Math.max(timeout ?? DEFAULT_CONNECT, connectTimeout) + asked;
      case "close":
        return force ? SLACK : operationTimeout + LEAVING + SLACK;
      case "next":
        return Infinity;
      case "twin":
      case "report":
        return operationTimeout + SLACK;
      default:
        return asked;
    }
  }

  untrue(call: Call, text: string): string {
    const { queue, operationTimeout, reconnect } = this.#options;
    const facts = this.#facts;
    const { name } = call;
    const lasted = this.#scheduler.now() - call.at;
    const gaveUp = !reconnect || facts.connects === 0 || facts.refusedIdentity;
    const isTwin = name === "twin" || name === "report";
    if (text === "ERR_ABORTED") return call.signal?.aborted ? "" : "nobody aborted it";
    if (text === "ERR_CLOSED") return facts.closeAsked ? "" : "nobody closed the client";
    if (text === "ERR_INVALID_ARGUMENT") return call.wrong ? "" : "the arguments are right";
    if (text === "ERR_SUBSCRIBE_REFUSED") return facts.refusedFilters.size > 0 ? "" : "the hub refused none";
    // What a narrow window holds up may be late.
    const isNarrow = this.#options.maxInflight < 1_000;
    if (facts.isCalm && !isNarrow && call.connects > 0 && /TIMEOUT|EXPIRED|LOST|STATUS|THROTTLED/.test(text)) {
      return "nothing was wrong with the network and the hub";
    }
    if (text === "ERR_THROTTLED") return isTwin && this.#hub.statuses.has(429) ? "" : "the hub did not say so";
    if (text === "ERR_HUB_STATUS") return isTwin && this.#hub.statuses.size > 0 ? "" : "the hub did not say so";
    if (text === "ERR_PROTOCOL_VIOLATION" && isTwin && this.#hub.malformed) return "";
    if (text === "ERR_QUEUE_FULL") return queue && queue.maxCount >= 1_000 ? "the queue has room" : "";
    if (text === "ERR_MESSAGE_EXPIRED") return lasted >= this.#maxAge - 1 ? "" : `only ${lasted} ms had passed`;
    if (name === "connect" || name === "listen") return CONNECTION.test(text) ? "" : "that is no reason for it";
    // The answers' subscription may have been asked for by an earlier call, and is late for all that wait for it.
    if (text === "ERR_TIMEOUT" && isTwin && !facts.isCalm) return "";
    if (text === "ERR_TIMEOUT" && lasted >= Math.min(operationTimeout, this.#maxAge || Infinity) - 1) return "";
    if (isTwin && text === "ERR_NOT_CONNECTED") return gaveUp || !queue || queue.maxCount < 1_000 ? "" : "it may wait";
    const mayNotWait = !queue || queue.maxCount < 1_000 || (call.qos === 0 && !queue.qos0);
    return (gaveUp || mayNotWait) && CONNECTION.test(text) ? "" : "that is no reason for it";
  }
}
