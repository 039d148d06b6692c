/**
 * What callers hand over, checked: wrong types, unknown options and getters that throw are ERR_INVALID_ARGUMENT.
 *
 * Invariant: a good publish is checked without an allocation, and a topic that comes again not at all.
 */
import { throwIfAborted } from "../abort.js";
import { checkOptions, invalid, type Rules } from "../check.js";
import { checkTopicFilter, checkTopicName } from "../codec/index.js";
import { checkSendable } from "../codec/sendable.js";
import { trustName } from "../codec/topics.js";
import { isBytes } from "../codec/values.js";
import type {
  CloseOptions,
  ConnectCallOptions,
  PublishOptions,
  RenewOptions,
  SignalOptions,
  SubscribeOptions,
} from "./api.js";
import type { MessageHandler } from "./deliveries.js";

const PUBLISH: Rules = { qos: [0, 2], retain: "boolean", signal: "object" };
const SUBSCRIBE: Rules = { qos: [0, 2], signal: "object" };
const SIGNAL: Rules = { signal: "object" };
const CONNECT: Rules = { timeout: [0, Infinity], signal: "object" };
const RENEW: Rules = { ...CONNECT, drainTimeout: [0, Infinity] };
const CLOSE: Rules = { force: "boolean" };

/** Copies, checks, and looks at the signal: throws ERR_ABORTED where it is aborted. */
function read<T extends SignalOptions>(options: T | undefined, rules: Rules, what: string): T {
  const copy = checkOptions(options, rules, what);
  throwIfAborted(copy.signal);
  return copy;
}

export const connectOptions = (options: ConnectCallOptions | undefined): ConnectCallOptions =>
  read(options, CONNECT, "connect");

export const renewOptions = (options: RenewOptions | undefined): RenewOptions => read(options, RENEW, "reconnect");

export const closeOptions = (options: CloseOptions | undefined): CloseOptions => checkOptions(options, CLOSE, "close");

let lastTopic: unknown = "";

/** The next message goes to `topic`, and whoever made it knows that it passes: a good name, all of it printable ASCII. */
export function trustTopic(topic: string): void {
  trustName(topic);
  lastTopic = topic;
}

/** Throws ERR_INVALID_ARGUMENT. */
export function checkMessage(topic: unknown, payload: unknown): void {
  if (topic !== lastTopic || topic === "") {
    checkTopicName(topic as string);
    checkSendable(topic as string, "topic");
    lastTopic = topic;
  }
  if (typeof payload === "string" || isBytes(payload)) return;
  throw invalid("the payload must be a string or a Uint8Array");
}

/** The options of `publish` that are neither a signal nor wrong, all of them. */
const USUAL: readonly PublishOptions[] = [false, true].flatMap((retain) =>
  ([0, 1, 2] as const).map((qos) => ({ qos, retain, signal: undefined })),
);

/** The options of `publish`, checked. Throws ERR_INVALID_ARGUMENT, ERR_ABORTED. */
export function publishOptions(options: PublishOptions | undefined): PublishOptions {
  return usualOptions(options) ?? read(options, PUBLISH, "publish");
}

let lastOptions: unknown;

/** The same without a copy; undefined where there is more to look at. The names in an object are looked at once. */
function usualOptions(options: PublishOptions | undefined): PublishOptions | undefined {
  if (options === undefined) return USUAL[0];
  if (typeof options !== "object" || options === null) return undefined;
  try {
    const { qos = 0, retain = false, signal } = options;
    if (signal !== undefined) return undefined;
    // Stryker disable next-line ConditionalExpression: speed only.
    if (options !== lastOptions) {
      if (Array.isArray(options)) return undefined;
      for (const name in options) if (name !== "qos" && name !== "retain") return undefined;
    }
    lastOptions = options;
    if ((qos !== 0 && qos !== 1 && qos !== 2) || typeof retain !== "boolean") return undefined;
    return USUAL[retain ? qos + 3 : qos];
  } catch {
    // Told by whoever reads them next.
    return undefined;
  }
}

/** Throws ERR_INVALID_ARGUMENT, ERR_ABORTED. */
export function subscribeArguments(
  topicFilter: string,
  options: SubscribeOptions | undefined,
  handler: MessageHandler | undefined,
): SubscribeOptions {
  checkFilter(topicFilter);
  if (typeof options === "function" || (handler !== undefined && typeof handler !== "function")) {
    throw invalid("subscribe(topicFilter, options, handler): the handler is a function and comes third");
  }
  return read(options, SUBSCRIBE, "subscribe");
}

/** Throws ERR_INVALID_ARGUMENT, ERR_ABORTED. */
export function unsubscribeArguments(topicFilter: string, options: SignalOptions | undefined): SignalOptions {
  checkFilter(topicFilter);
  return read(options, SIGNAL, "unsubscribe");
}

function checkFilter(topicFilter: string): void {
  checkTopicFilter(topicFilter);
  checkSendable(topicFilter, "topicFilter");
}
