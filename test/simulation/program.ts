/**
 * A program: what the user does, what the network and the server do to him, and when. Plain data, so that it can be
 * printed, repeated and made smaller.
 *
 * Invariant: a step means the same whatever other steps are there. What it refers to is named by the identifier of the
 * step that made it; where that is gone, the step does nothing.
 */
import type { PacketType, QoS } from "../../src/codec/types.js";

export interface Handler {
  /** What the handler does with a message; `wait` resolves after `ms`, `fail` throws and `reject` rejects. */
  style: "return" | "wait" | "never" | "fail" | "reject";
  ms?: number;
  /** `fail` and `reject`: only each so many-th message, the others are taken. */
  every?: number;
  /** What is called from inside the handler, at the `nth` message. */
  inside?: { nth: number; op: Op };
}

export type UserOp =
  | { do: "connect"; timeout?: number; signal?: number }
  | { do: "publish"; topic: string; qos: QoS; size: number; times: number; signal?: number; poison?: boolean }
  | { do: "subscribe"; id: number; filter: string; qos: QoS; handler?: Handler; signal?: number }
  | { do: "unsubscribe"; filter: string; signal?: number }
  /** `subscription.unsubscribe()` */
  | { do: "end"; sub: number }
  /** `for await`, up to `take` messages with a pause of `ms` after each, then left in the way of `leave`. */
  | { do: "loop"; sub: number; take: number; ms: number; leave: "break" | "throw" }
  /** `next()` so many times, without waiting for any. */
  | { do: "next"; sub: number; times: number }
  /** `return()` of the iterator that `next` uses. */
  | { do: "return"; sub: number }
  | { do: "abort"; signal: number }
  | { do: "reconnect"; drainTimeout?: number }
  | { do: "close"; force: boolean }
  /** Nothing: time passes. */
  | { do: "rest" }
  /** So many messages, one signal for all of the first half. */
  | { do: "pile"; times: number; qos: QoS; signal: number }
  /** So many subscriptions, each to a filter of its own, and the end of all. */
  | { do: "crowd"; times: number; end: boolean }
  /** Calls `op` from the listener of the `nth` such event from now on. */
  | { do: "listen"; event: ClientEvent; nth: number; op: Op };

export type ClientEvent = "connect" | "disconnect" | "reconnecting" | "error";

/** Packets that the server answers with. */
export type Answer = "connack" | "puback" | "pubrec" | "pubrel" | "pubcomp" | "suback" | "unsuback" | "pingresp";

export type WorldOp =
  | { do: "cut"; how: "reset" | "end" | "vanish" }
  | { do: "cut after"; way: "up" | "down"; bytes: number }
  | { do: "stall"; way: "up" | "down" | "both"; ms: number }
  /** This line, and those to come. */
  | { do: "line"; latency: number; rate: number; capacity: number; pieces: number[] }
  /** What happens to the next attempts. */
  | { do: "dial"; how: "refuse" | "never" | "late" | "throw"; times: number }
  /** The server is gone for so long. */
  | { do: "down"; ms: number }
  /** What the server does to the next answers of a kind. */
  | { do: "answer"; how: "lose" | "repeat" | "delay"; type: Answer; times: number; ms: number }
  /** Closes on the next packets of a kind, unanswered. */
  | { do: "close on"; type: PacketType; times: number }
  | { do: "connack"; code: number; times: number }
  /** SUBACK 0x80. */
  | { do: "refuse"; times: number }
  /** Answers QoS 2 with PUBACK from now on. */
  | { do: "downgrade" }
  /** Answers QoS 1 with PUBREC, once. */
  | { do: "pubrec" }
  | { do: "forget" }
  | { do: "send"; topic: string; qos: QoS; size: number; times: number }
  /** An acknowledgement that nobody waits for; many of them with `times`. */
  | { do: "unknown"; type: Answer; times: number }
  | { do: "garbage"; which: number }
  /** Closes each of the next connections `ms` after it accepted it, or at once. */
  | { do: "takeover"; times: number; ms: number }
  /** Closes on packets with more payload than that. */
  | { do: "limit"; size: number }
  /** A message that the client never asked for. */
  | { do: "stray" }
  /** Reads nothing for a while and sends so many PUBREL, each of which wants an answer. */
  | { do: "siege"; times: number }
  /** So many small messages on `hoard/small`, each in a chunk with a large one on `hoard/large`. */
  | { do: "hoard"; times: number }
  /** The next operations of the store fail. */
  | { do: "store"; times: number };

export type Op = UserOp | WorldOp;

export interface Step {
  /** ms since the step before. */
  after: number;
  op: Op;
}

export interface ProgramOptions {
  cleanSession: boolean;
  keepAlive: number;
  maxInflight: number;
  connectTimeout: number;
  operationTimeout: number;
  handlerTimeout: number;
  reconnect: false | { minDelay: number; maxDelay: number };
  queue:
    false | { maxCount: number; maxBytes: number; maxAge: number; overflow: "reject" | "drop-oldest"; qos0: boolean };
  store: boolean;
}

/** The simplest options, to which those of a failing program are brought back. */
export const PLAIN: ProgramOptions = {
  cleanSession: true,
  keepAlive: 0,
  maxInflight: 1_000,
  connectTimeout: 10_000,
  operationTimeout: 10_000,
  handlerTimeout: 300_000,
  reconnect: { minDelay: 10, maxDelay: 100 },
  queue: { maxCount: 100_000, maxBytes: 16_777_216, maxAge: 600_000, overflow: "reject", qos0: true },
  store: false,
};

export interface Program {
  seed: number;
  options: ProgramOptions;
  steps: Step[];
}

/** A program for a client of any kind. */
export interface AnyProgram {
  seed: number;
  options: ProgramOptions;
  steps: { after: number; op: { do: string } }[];
}

const brief = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (part === Infinity ? "Infinity" : part)).replaceAll(
    /"(\w+)":/g,
    "$1: ",
  );

/** The program as text, one step a line with its time. */
export function describe({ seed, options, steps }: AnyProgram): string {
  let at = 0;
  const lines = steps.map(({ after, op }) => {
    at += after;
    const { do: name, ...rest } = op;
    return `${String(at).padStart(8)} ms  ${name} ${brief(rest)}`;
  });
  return [`seed ${seed}`, `options ${brief(options)}`, ...lines].join("\n");
}
