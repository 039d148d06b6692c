/** The kinds of steps that a program is made of, each with what makes one of them, and how often it comes. */
import type { QoS } from "../../src/codec/types.js";
import type { Random } from "../support/random.js";
import type { Answer, Handler, Op } from "./program.js";

const TOPICS = ["a", "a/b", "a/c", "b", "b/c"];
const FILTERS = ["a", "a", "a/b", "a/+", "a/#", "b", "b/#", "#", "+/c", "$share/g/a", "$share/g/a/#"];
const ANSWERS: readonly Answer[] = [
  "puback",
  "pubrec",
  "pubcomp",
  "suback",
  "unsuback",
  "pingresp",
  "connack",
  "pubrel",
];
const SIZES = [0, 10, 10, 10, 10, 100, 1_000, 20_000];
const PIECES: readonly number[][] = [[], [], [1], [2, 3], [1, 7, 30], [100]];

/** Makes one operation of its kind. */
export type Maker = (draft: Draft) => Op;

/** A program in the making. */
export class Draft {
  readonly random: Random;
  readonly subs: number[] = [];
  readonly filters: string[] = [];
  /** Operations called from inside others may not go deeper. */
  nested = false;
  #signals = 0;

  constructor(random: Random) {
    this.random = random;
  }

  chance(of: number): boolean {
    return this.random.next() < of;
  }

  qos(): QoS {
    return this.random.pick<QoS>([0, 1, 1, 2]);
  }

  /** Few signals, which many calls share. */
  signal(): { signal: number } | undefined {
    return this.chance(0.15) ? { signal: this.random.below(++this.#signals > 3 ? 3 : 2) } : undefined;
  }

  /** A subscription of the draft's, that no other step made. */
  newSub(): number {
    return this.subs.push(this.subs.length + 1);
  }

  sub(): number {
    return this.subs.length > 0 ? this.random.pick(this.subs) : 0;
  }

  filter(): string {
    return this.filters.length > 0 && this.chance(0.7) ? this.random.pick(this.filters) : this.random.pick(FILTERS);
  }
}

const nested = (draft: Draft, kinds: readonly string[]): Op => {
  draft.nested = true;
  const op = MAKERS[draft.random.pick(kinds)]!.make(draft);
  draft.nested = false;
  return op;
};

/** What a handler does, as often as it does. */
export const HANDLER_STYLES: readonly Handler["style"][] = [
  "return",
  "return",
  "return",
  "wait",
  "wait",
  "never",
  "fail",
  "reject",
];

function handler(draft: Draft): Handler {
  const { random } = draft;
  const style = random.pick(HANDLER_STYLES);
  const made: Handler = { style };
  if (style === "wait" || style === "reject") made.ms = random.pick([0, 1, 20, 500, 5_000]);
  if (style === "fail" || style === "reject") made.every = random.pick([1, 2, 3]);
  if (!draft.nested && draft.chance(0.25)) {
    const op = nested(draft, ["publish", "publish", "subscribe", "unsubscribe", "end", "close", "abort", "reconnect"]);
    made.inside = { nth: 1 + random.below(3), op };
  }
  return made;
}

export function subscribe(draft: Draft): Op {
  const { random } = draft;
  const id = draft.subs.length + 1;
  const filter = draft.filter();
  draft.subs.push(id);
  draft.filters.push(filter);
  const own = draft.chance(0.65) ? { handler: handler(draft) } : undefined;
  return { do: "subscribe", id, filter, qos: random.pick<QoS>([0, 1, 2, 2]), ...own, ...draft.signal() };
}

/** `weight`: how often compared with the others; `rare`: the part of the programs in which it comes at all. */
export const MAKERS: Record<string, { weight: number; rare: number; make: Maker }> = {
  publish: {
    weight: 8,
    rare: 0.9,
    make: (draft) => ({
      do: "publish",
      topic: `up/${draft.random.below(2)}`,
      qos: draft.qos(),
      size: draft.random.pick(SIZES),
      times: draft.random.pick([1, 1, 1, 2, 5, 20]),
      ...draft.signal(),
    }),
  },
  upload: {
    weight: 1,
    rare: 0.06,
    make: (draft) => ({
      do: "publish",
      topic: "up/large",
      qos: draft.qos(),
      size: draft.random.pick([100_000, 300_000, 400_000]),
      times: 1,
    }),
  },
  poison: {
    weight: 1,
    rare: 0.1,
    make: (draft) => ({
      do: "publish",
      topic: "up/0",
      qos: draft.random.pick<QoS>([1, 2]),
      size: 10,
      times: 1,
      poison: true,
    }),
  },
  forbidden: {
    weight: 1,
    rare: 0.1,
    make: (draft) => ({ do: "publish", topic: "up/\u0001", qos: draft.qos(), size: 10, times: 1 }),
  },
  subscribe: { weight: 6, rare: 0.9, make: subscribe },
  unsubscribe: {
    weight: 3,
    rare: 0.5,
    make: (draft) => ({ do: "unsubscribe", filter: draft.filter(), ...draft.signal() }),
  },
  end: { weight: 2, rare: 0.4, make: (draft) => ({ do: "end", sub: draft.sub() }) },
  loop: {
    weight: 4,
    rare: 0.6,
    make: (draft) => ({
      do: "loop",
      sub: draft.sub(),
      take: draft.random.pick([1, 1, 2, 3, 10]),
      ms: draft.random.pick([0, 0, 10, 1_000]),
      leave: draft.random.pick(["break", "break", "throw"] as const),
    }),
  },
  next: {
    weight: 2,
    rare: 0.4,
    make: (draft) => ({ do: "next", sub: draft.sub(), times: draft.random.pick([1, 1, 2, 3]) }),
  },
  return: { weight: 2, rare: 0.4, make: (draft) => ({ do: "return", sub: draft.sub() }) },
  abort: { weight: 1, rare: 0.4, make: (draft) => ({ do: "abort", signal: draft.random.below(3) }) },
  reconnect: {
    weight: 1,
    rare: 0.3,
    make: (draft) => ({
      do: "reconnect",
      ...(draft.chance(0.5) && { drainTimeout: draft.random.pick([0, 1, 100, 5_000]) }),
    }),
  },
  connect: {
    weight: 1,
    rare: 0.4,
    make: (draft) => ({
      do: "connect",
      ...(draft.chance(0.5) && { timeout: draft.random.pick([1, 500, 5_000, 60_000, Infinity]) }),
      ...draft.signal(),
    }),
  },
  close: { weight: 0.6, rare: 0.25, make: (draft) => ({ do: "close", force: draft.chance(0.3) }) },
  listen: {
    weight: 1,
    rare: 0.3,
    make: (draft) => ({
      do: "listen",
      event: draft.random.pick(["connect", "disconnect", "reconnecting", "error"] as const),
      nth: 1 + draft.random.below(2),
      op: nested(draft, ["publish", "subscribe", "unsubscribe", "close", "close", "reconnect", "connect", "abort"]),
    }),
  },
  send: {
    weight: 8,
    rare: 0.85,
    make: (draft) => ({
      do: "send",
      topic: draft.random.pick(TOPICS),
      qos: draft.qos(),
      size: draft.random.pick([10, 10, 10, 100, 5_000]),
      times: draft.random.pick([1, 1, 1, 3, 10]),
    }),
  },
  flood: {
    weight: 1,
    rare: 0.04,
    make: (draft) => ({
      do: "send",
      topic: draft.random.pick(TOPICS),
      qos: draft.qos(),
      size: 10,
      times: draft.random.pick([1_100, 1_300]),
    }),
  },
  cut: {
    weight: 3,
    rare: 0.6,
    make: (draft) => ({ do: "cut", how: draft.random.pick(["reset", "reset", "end", "vanish"] as const) }),
  },
  "cut after": {
    weight: 3,
    rare: 0.4,
    make: (draft) => ({
      do: "cut after",
      way: draft.random.pick(["up", "down"] as const),
      bytes: 1 + draft.random.below(60),
    }),
  },
  stall: {
    weight: 2,
    rare: 0.35,
    make: (draft) => ({
      do: "stall",
      way: draft.random.pick(["up", "down", "both"] as const),
      ms: draft.random.pick([50, 1_000, 5_000, 40_000]),
    }),
  },
  line: {
    weight: 1,
    rare: 0.4,
    make: (draft) => ({
      do: "line",
      latency: draft.random.pick([0, 1, 20, 300]),
      rate: draft.random.pick([Infinity, Infinity, 100, 20]),
      capacity: draft.random.pick([1e6, 1e6, 65_536, 1_000, 0]),
      pieces: draft.random.pick(PIECES),
    }),
  },
  dial: {
    weight: 2,
    rare: 0.3,
    make: (draft) => ({
      do: "dial",
      how: draft.random.pick(["refuse", "refuse", "never", "late", "throw"] as const),
      times: draft.random.pick([1, 1, 2, 5]),
    }),
  },
  down: { weight: 1, rare: 0.25, make: (draft) => ({ do: "down", ms: draft.random.pick([100, 2_000, 30_000]) }) },
  answer: {
    weight: 5,
    rare: 0.5,
    make: (draft) => ({
      do: "answer",
      how: draft.random.pick(["lose", "lose", "repeat", "delay"] as const),
      type: draft.random.pick(ANSWERS),
      times: draft.random.pick([1, 1, 2, 5]),
      ms: draft.random.pick([1, 50, 2_000, 20_000]),
    }),
  },
  "close on": {
    weight: 2,
    rare: 0.25,
    make: (draft) => ({
      do: "close on",
      type: draft.random.pick([
        "publish",
        "puback",
        "pubrec",
        "pubrel",
        "subscribe",
        "unsubscribe",
        "pingreq",
        "connect",
      ] as const),
      times: draft.random.pick([1, 1, 2, 7]),
    }),
  },
  connack: {
    weight: 1,
    rare: 0.2,
    make: (draft) => ({
      do: "connack",
      code: draft.random.pick([1, 2, 3, 3, 4, 5, 5]),
      times: draft.random.pick([1, 1, 3]),
    }),
  },
  refuse: { weight: 1, rare: 0.2, make: (draft) => ({ do: "refuse", times: draft.random.pick([1, 2]) }) },
  downgrade: { weight: 1, rare: 0.08, make: () => ({ do: "downgrade" }) },
  pubrec: { weight: 1, rare: 0.08, make: () => ({ do: "pubrec" }) },
  forget: { weight: 1.5, rare: 0.3, make: () => ({ do: "forget" }) },
  unknown: {
    weight: 1,
    rare: 0.2,
    make: (draft) => ({ do: "unknown", type: draft.random.pick(ANSWERS), times: 1 }),
  },
  garbage: { weight: 1, rare: 0.15, make: (draft) => ({ do: "garbage", which: draft.random.below(8) }) },
  takeover: {
    weight: 1,
    rare: 0.15,
    make: (draft) => ({ do: "takeover", times: draft.random.pick([1, 3, 6, 12]), ms: draft.random.pick([0, 20]) }),
  },
  limit: { weight: 1, rare: 0.1, make: (draft) => ({ do: "limit", size: draft.random.pick([50, 500]) }) },
  stray: { weight: 1, rare: 0.1, make: () => ({ do: "stray" }) },
  store: { weight: 1, rare: 0.3, make: (draft) => ({ do: "store", times: draft.random.pick([1, 2, 5]) }) },
};
