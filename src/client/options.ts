/**
 * The options of a client: what they are called, what they may be, what they are when left out.
 *
 * Invariant: what leaves `resolveOptions` is complete and legal, so nothing after it checks an option again.
 * An unknown name is an error, because a misspelt option that is silently ignored is found out in production.
 */
import type { ConnectionOptions } from "node:tls";
import { encode } from "../codec/index.js";
import type { WillInit } from "../codec/types.js";
import { HubwireError } from "../errors.js";
import type { ConnectOptions, SessionOptions, SessionStore } from "../session/types.js";
import type { ReconnectOptions } from "./backoff.js";
import { type Clock, systemClock } from "../clock.js";
import type { Endpoint } from "../transport/connection.js";
import { type Address, resolveAddress } from "./address.js";

/** What authenticates one connection attempt. */
export interface Credentials {
  username?: string | undefined;
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
  /** Topic and payload bytes. Default 16 MiB. */
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
  /** Bounds `connect()` in all, and each later attempt. Default 10,000. */
  connectTimeout?: number | undefined;
  /** From sending a message or request to its acknowledgement; also bounds `close()`. Default 30,000. */
  operationTimeout?: number | undefined;
  /** Keeps QoS 1 and 2 messages beyond the life of the process. */
  store?: SessionStore | undefined;
  clock?: Clock | undefined;
  /** 0 <= value < 1, for the backoff. Default Math.random. */
  random?: (() => number) | undefined;
}

export interface ResolvedOptions {
  endpoint: Endpoint;
  connect: ConnectOptions;
  session: SessionOptions;
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

type Checks = Record<string, RegExp | readonly [least: number, most: number]>;

/** A type's name, or the bounds of a number. Whole numbers where the upper bound is finite. */
const CHECKS: Checks = {
  host: /string/,
  port: [1, 65_535],
  protocol: /string/,
  path: /string/,
  proxy: /string|object/,
  clientId: /string/,
  username: /string/,
  password: /string|object/,
  will: /object/,
  cleanSession: /boolean/,
  keepAlive: [0, 65_535],
  tls: /object/,
  createConnection: /function/,
  credentials: /function/,
  reconnect: /boolean|object/,
  offlineQueue: /boolean|object/,
  maxPacketSize: [4, 268_435_460],
  maxInflight: [1, 65_535],
  connectTimeout: [1, Infinity],
  operationTimeout: [1, Infinity],
  store: /object/,
  clock: /object/,
  random: /function/,
};
const RECONNECT: Checks = { minDelay: [1, Infinity], maxDelay: [1, Infinity] };
const QUEUE: Checks = {
  maxCount: [0, Infinity],
  maxBytes: [0, Infinity],
  maxAge: [1, Infinity],
  overflow: /string/,
  qos0: /boolean/,
};

/** Never quotes a value: it may be a secret. */
const invalid = (text: string): HubwireError => new HubwireError("ERR_INVALID_ARGUMENT", text);

function check(options: object, checks: Checks, prefix: string): void {
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    const rule = Object.hasOwn(checks, name) ? checks[name] : undefined;
    if (rule === undefined) {
      throw invalid(`unknown option ${prefix}${name}; there are: ${Object.keys(checks).join(", ")}`);
    }
    if (value === undefined) continue;
    if (rule instanceof RegExp) {
      if (!rule.test(value === null ? "null" : typeof value)) {
        throw invalid(`option ${prefix}${name} must be a ${rule.source.replace("|", " or ")}`);
      }
    } else {
      const [least, most] = rule;
      const fine = typeof value === "number" && value >= least && value <= most;
      if (!fine || (most < Infinity && !Number.isInteger(value))) {
        throw invalid(`option ${prefix}${name} must be a number from ${least} to ${most}`);
      }
    }
  }
}

/** Checks and completes the options. @throws HubwireError ERR_INVALID_ARGUMENT, which says what is wrong. */
export function resolveOptions(options: MqttClientOptions): ResolvedOptions {
  if (typeof options !== "object" || options === null) throw invalid("options must be an object");
  check(options, CHECKS, "");
  const endpoint = { ...resolveAddress(options), tls: options.tls };
  const { reconnect = true, offlineQueue = true, clientId = "", cleanSession = true, keepAlive = 60 } = options;
  const backoff = typeof reconnect === "object" ? reconnect : {};
  check(backoff, RECONNECT, "reconnect.");
  const queue = typeof offlineQueue === "object" ? offlineQueue : {};
  check(queue, QUEUE, "offlineQueue.");
  const { minDelay = 1_000, maxDelay = 60_000 } = backoff;
  const { overflow = "reject" } = queue;
  if (overflow !== "reject" && overflow !== "drop-oldest") {
    throw invalid('option offlineQueue.overflow must be "reject" or "drop-oldest"');
  }
  const { username, password, will } = options;
  const connect = { clientId, cleanSession, keepAlive, username, password, will };
  // The encoder knows every other rule of CONNECT (MQTT-3.1.2-22, ...); break it here, not at connect.
  encode({ type: "connect", ...connect });
  return {
    endpoint,
    connect,
    session: {
      maxPacketSize: options.maxPacketSize ?? 268_435_460,
      maxInflight: options.maxInflight ?? 1_000,
      maxInflightQos2: options.maxInflight ?? MAX_INFLIGHT_QOS2,
      connectTimeout: options.connectTimeout ?? 10_000,
      operationTimeout: options.operationTimeout ?? 30_000,
      queue: {
        maxCount: offlineQueue === false ? 0 : (queue.maxCount ?? 100_000),
        maxBytes: queue.maxBytes ?? 16 * 1024 * 1024,
        maxAge: queue.maxAge ?? 600_000,
        overflow,
        qos0: queue.qos0 ?? true,
      },
      store: options.store,
    },
    reconnect: reconnect ? { minDelay, maxDelay: Math.max(minDelay, maxDelay) } : undefined,
    credentials: options.credentials,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  };
}
