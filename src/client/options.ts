/**
 * The options of a client: what they are called, what they may be, what they are when left out.
 *
 * Invariant: what leaves `resolveOptions` is complete and legal, so nothing after it checks an option again.
 * An unknown name is an error, because a misspelt option that is silently ignored is found out in production.
 */
import type { ConnectionOptions } from "node:tls";
import { attempt, checkOptions, invalid, type Rules } from "../check.js";
import { checkPacket, MAX_PACKET_SIZE } from "../codec/index.js";
import type { WillInit } from "../codec/types.js";
import type { HubwireError } from "../errors.js";
import type { ConnectOptions, SessionOptions, SessionStore } from "../session/types.js";
import type { ReconnectOptions } from "./backoff.js";
import { type Clock, systemClock } from "../clock.js";
import type { Endpoint } from "../transport/connection.js";
import { type Address, resolveAddress } from "./address.js";
import { bounds } from "./bounds.js";
import { withUrl } from "./url.js";

/** What authenticates one connection attempt. */
export interface Credentials {
  /** Goes into CONNECT (section 3.1.3.4). Default: none. */
  username?: string | undefined;
  /** Goes into CONNECT (section 3.1.3.5), text as UTF-8; only with a user name (MQTT-3.1.2-22). Default: none. */
  password?: Uint8Array | string | undefined;
  /** Passed on to `node:tls`: `ca`, `cert`, `key`, `servername`, ... */
  tls?: ConnectionOptions | undefined;
}

/**
 * The bounds of what waits unsent: without a connection, or behind `maxInflight`, or behind a full socket.
 */
export interface OfflineQueueOptions {
  /** Messages. Default 100,000. */
  maxCount?: number | undefined;
  /**
   * Bytes of memory that the messages take, some 300 each besides topic and payload. As many may be in flight. Default: a
   * fifth of the heap that the process may have, 64 MiB at most.
   */
  maxBytes?: number | undefined;
  /** ms; an older message is rejected with ERR_MESSAGE_EXPIRED. Default 600,000. */
  maxAge?: number | undefined;
  /** What a full queue does: reject the new message with ERR_QUEUE_FULL (default), or the oldest one. */
  overflow?: "reject" | "drop-oldest" | undefined;
  /** Whether QoS 0 messages wait for a connection too (default); otherwise ERR_NOT_CONNECTED rejects them. */
  qos0?: boolean | undefined;
}

/** Durations in ms, except `keepAlive`. */
export interface MqttClientOptions extends Credentials, Address {
  /** Default: none, and the server chooses (only with `cleanSession`). */
  clientId?: string | undefined;
  /** What the server publishes when the connection ends without DISCONNECT (section 3.1.2.5). Default: nothing. */
  will?: WillInit | undefined;
  /** Default true. False keeps the session, and what is unacknowledged in it, on both sides. */
  cleanSession?: boolean | undefined;
  /** Seconds, 0 to 65,535; 0 turns it off. Default 60. */
  keepAlive?: number | undefined;
  /** Asked anew for each connection attempt; what it returns replaces `username`, `password` and `tls`. */
  credentials?: (() => Credentials | Promise<Credentials>) | undefined;
  /** False: one attempt a `connect()`, and a lost connection rejects all that is pending. */
  reconnect?: boolean | ReconnectOptions | undefined;
  /** False: nothing waits unsent. */
  offlineQueue?: boolean | OfflineQueueOptions | undefined;
  /** Bytes of the largest packet accepted. Default: the largest that MQTT has, 268,435,460. */
  maxPacketSize?: number | undefined;
  /** QoS 1 and 2 messages sent and not acknowledged, at most. Default 1,000, of which 16 with QoS 2. */
  maxInflight?: number | undefined;
  /** Bounds one attempt, from the look-up of the name to CONNACK. Default 10,000. */
  connectTimeout?: number | undefined;
  /** From sending a message or request to its acknowledgement; also bounds `close()`. Default 30,000. */
  operationTimeout?: number | undefined;
  /**
   * For a handler's promise; a message whose handler takes longer is reported as ERR_HANDLER and given up. Default
   * 300,000.
   */
  handlerTimeout?: number | undefined;
  /**
   * Whether a message on which the server ends every connection is given up with ERR_MESSAGE_REFUSED, a SUBSCRIBE or
   * UNSUBSCRIBE with ERR_SUBSCRIBE_REFUSED, so that it does not hold up all others for ever (a knowing breach of
   * MQTT-4.4.0-1). Default true.
   */
  poisonDetection?: boolean | undefined;
  /** Keeps QoS 1 and 2 messages beyond the life of the process; one client's at a time. */
  store?: SessionStore | undefined;
  /** Where the time and all timers come from. Default: `systemClock`. */
  clock?: Clock | undefined;
  /** 0 <= value < 1, for the backoff; Math.random where it throws or gives anything else. Default Math.random. */
  random?: (() => number) | undefined;
}

export interface ResolvedOptions {
  endpoint: Endpoint;
  connect: ConnectOptions;
  session: SessionOptions;
  /** ms, as all of these. */
  connectTimeout: number;
  operationTimeout: number;
  handlerTimeout: number;
  reconnect: { minDelay: number; maxDelay: number } | undefined;
  credentials: MqttClientOptions["credentials"];
  clock: Clock;
  random: () => number;
}

/**
 * While 20 QoS 2 messages are on their way, mosquitto 2.0 acknowledges more of them, and QoS 1 too, and drops
 * them.
 */
const MAX_INFLIGHT_QOS2 = 16;
/** ms of the longest delay: one without an end would be the end of the client. */
const DAY = 86_400_000;

const OPTIONS: Rules = {
  host: "string",
  port: [1, 65_535],
  protocol: "string",
  path: "string",
  proxy: "string|object",
  clientId: "string",
  username: "string",
  password: "string|object",
  will: "object",
  cleanSession: "boolean",
  keepAlive: [0, 65_535],
  tls: "object",
  createConnection: "function",
  credentials: "function",
  reconnect: "boolean|object",
  offlineQueue: "boolean|object",
  maxPacketSize: [4, MAX_PACKET_SIZE],
  maxInflight: [1, 65_535],
  connectTimeout: [1, Infinity],
  operationTimeout: [1, Infinity],
  handlerTimeout: [1, Infinity],
  poisonDetection: "boolean",
  store: "object",
  clock: "object",
  random: "function",
};
const RECONNECT: Rules = { minDelay: [1, Infinity], maxDelay: [1, Infinity] };
const QUEUE: Rules = {
  maxCount: [0, Infinity],
  maxBytes: [0, Infinity],
  maxAge: [1, Infinity],
  overflow: "string",
  qos0: "boolean",
};

/** Checks and completes the options. @throws HubwireError ERR_INVALID_ARGUMENT, which says what is wrong. */
export function resolveOptions(
  target: MqttClientOptions | string | URL,
  beside: MqttClientOptions | undefined,
): ResolvedOptions {
  if (target === undefined) throw invalid("options are missing: give at least a host");
  const isUrl = isUrlLike(target);
  if (!isUrl && beside !== undefined) throw invalid("the second argument of MqttClient goes with a URL as the first");
  const options = checkOptions(isUrl ? withUrl(target, beside ?? {}) : target, OPTIONS, "MqttClient");
  const { reconnect = true, operationTimeout = 30_000, maxInflight } = options;
  const backoff = checkOptions(typeof reconnect === "object" ? reconnect : {}, RECONNECT, "reconnect");
  const minDelay = Math.min(DAY, backoff.minDelay ?? 1_000);
  const maxDelay = Math.min(DAY, Math.max(minDelay, backoff.maxDelay ?? 60_000));
  return {
    endpoint: { ...resolveAddress(options), tls: options.tls },
    connect: resolveConnect(options),
    session: {
      maxPacketSize: options.maxPacketSize ?? MAX_PACKET_SIZE,
      maxInflight: maxInflight ?? 1_000,
      maxInflightQos2: maxInflight ?? MAX_INFLIGHT_QOS2,
      operationTimeout,
      poisonDetection: options.poisonDetection ?? true,
      queue: resolveQueue(options.offlineQueue ?? true),
      store: checkMethods(options.store, ["load", "put", "remove", "close", "restore"], "store"),
    },
    connectTimeout: options.connectTimeout ?? 10_000,
    operationTimeout,
    handlerTimeout: options.handlerTimeout ?? 300_000,
    reconnect: reconnect ? { minDelay, maxDelay } : undefined,
    credentials: options.credentials,
    clock: checkMethods(options.clock, ["now", "wallTime", "setTimer", "clearTimer"], "clock") ?? systemClock,
    random: options.random ? fraction(options.random) : Math.random,
  };
}

/** What the caller's function says, or chance where that is nothing to compute a delay from: attempts go on whatever it does. */
function fraction(random: () => number): () => number {
  return () => {
    const value = attempt(random, NaN);
    return typeof value === "number" && value >= 0 && value < 1 ? value : Math.random();
  };
}

function resolveConnect({
  clientId = "",
  cleanSession = true,
  keepAlive = 60,
  username,
  password,
  will,
}: MqttClientOptions): ConnectOptions {
  const connect = { clientId, cleanSession, keepAlive, username, password, will };
  try {
    // The codec knows every other rule of CONNECT (MQTT-3.1.2-22, ...); break it here, not at connect.
    checkPacket({ type: "connect", ...connect });
  } catch (error) {
    const { message, statement } = error as HubwireError;
    throw invalid(`the options make no CONNECT: ${message}`, { statement });
  }
  return connect;
}

function resolveQueue(offlineQueue: boolean | OfflineQueueOptions): SessionOptions["queue"] {
  const queue = checkOptions(typeof offlineQueue === "object" ? offlineQueue : {}, QUEUE, "offlineQueue");
  const { overflow = "reject" } = queue;
  if (overflow !== "reject" && overflow !== "drop-oldest") {
    throw invalid('option overflow of offlineQueue must be "reject" or "drop-oldest"');
  }
  return {
    maxCount: offlineQueue === false ? 0 : (queue.maxCount ?? 100_000),
    maxBytes: queue.maxBytes ?? bounds().queue,
    maxAge: queue.maxAge ?? 600_000,
    overflow,
    qos0: queue.qos0 ?? true,
  };
}

const isUrlLike = (target: unknown): target is string | URL =>
  typeof target === "string" || attempt(() => target instanceof URL, false);

/** Throws where an object has not the methods that are called later. */
function checkMethods<T extends object>(value: T | undefined, methods: (keyof T)[], name: string): T | undefined {
  for (const method of value ? methods : []) {
    if (!attempt(() => typeof value?.[method] === "function", false)) {
      throw invalid(`option ${name} of MqttClient needs a method ${String(method)}`);
    }
  }
  return value;
}
