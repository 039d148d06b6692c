/**
 * Scenes: a few steps in an order that chance alone would hardly make, with the options that they need. One comes in every
 * fourth program, among all its other steps, so that what surrounds a scene is never the same.
 */
import type { Draft } from "./kinds.js";
import type { Op, ProgramOptions, Step } from "./program.js";

export interface Scene {
  /** How often compared with the others. */
  weight: number;
  /** The world disturbs nothing in it. */
  isCalm?: boolean;
  options?(draft: Draft): Partial<ProgramOptions>;
  make(draft: Draft): (Op | Step)[];
}

const rest = (after: number): Step => ({ after, op: { do: "rest" } });
const soon = { reconnect: { minDelay: 10, maxDelay: 100 } };
const patient = { maxCount: 100_000, maxBytes: 16_777_216, maxAge: 600_000, overflow: "reject", qos0: true } as const;

export const SCENES: Record<string, Scene> = {
  /** A subscription that nobody reads, and one whose messages come in the same chunks. */
  hoard: {
    weight: 0.8,
    isCalm: true,
    make: (draft) => {
      const id = draft.newSub();
      return [
        { do: "subscribe", id, filter: "hoard/small", qos: 0 },
        { do: "subscribe", id: draft.newSub(), filter: "hoard/large", qos: 0, handler: { style: "return" } },
        { do: "hoard", times: 130 },
        rest(200),
        { do: "loop", sub: id, take: 200, ms: 0, leave: "break" },
      ];
    },
  },
  /** The server ends every connection on which it is asked for something. */
  "forbidden request": {
    weight: 1,
    options: () => ({ ...soon, queue: patient }),
    make: (draft) => {
      const type = draft.random.pick(["subscribe", "unsubscribe"] as const);
      const id = draft.newSub();
      const subscribe = { do: "subscribe", id, filter: "forbidden", qos: 1 } as const;
      const closes = { do: "close on", type, times: 100 } as const;
      const wanted = { do: "publish", topic: "up/0", qos: draft.qos(), size: 10, times: 2 } as const;
      if (type === "subscribe") return [closes, subscribe, wanted, rest(60_000)];
      return [subscribe, rest(1_000), closes, { do: "end", sub: id }, wanted, rest(60_000)];
    },
  },
  siege: { weight: 0.7, make: () => [{ do: "siege", times: 500_000 }] },
  /** One message that takes longer than a keep alive, over a line that takes a little at a time. */
  "slow upload": {
    weight: 2,
    options: ({ random }) => ({ ...soon, keepAlive: random.pick([1, 5, 5]), operationTimeout: 30_000, queue: patient }),
    make: (draft) => [
      { do: "line", latency: 20, rate: draft.random.pick([20, 50]), capacity: 0, pieces: [] },
      { do: "publish", topic: "up/large", qos: draft.qos(), size: 400_000, times: 1 },
      rest(30_000),
    ],
  },
  /** Nobody reads, until the client does not either; then the peer is gone. */
  unread: {
    weight: 2,
    options: ({ random }) => ({ ...soon, keepAlive: random.pick([1, 5]), operationTimeout: 10_000 }),
    make: (draft) => [
      { do: "subscribe", id: draft.newSub(), filter: "unread", qos: 0 },
      rest(draft.random.pick([0, 1_000])),
      { do: "send", topic: "unread", qos: 0, size: 10, times: 1_300 },
      rest(draft.random.pick([0, 1_000, 12_000])),
      { do: "cut", how: "vanish" },
      rest(60_000),
    ],
  },
  /** A server in trouble closes each connection at once, while one message is on its way that is like all others. */
  trouble: {
    weight: 2,
    options: () => ({ ...soon, operationTimeout: 30_000, queue: patient }),
    make: (draft) => [
      { do: "answer", how: "lose", type: "puback", times: 1, ms: 0 },
      { do: "answer", how: "lose", type: "pubrec", times: 1, ms: 0 },
      { do: "publish", topic: "up/0", qos: draft.random.pick([1, 1, 2]), size: 10, times: 1 },
      { do: "takeover", times: draft.random.pick([6, 7, 9, 12]), ms: draft.random.pick([0, 20]) },
      { do: "cut", how: "reset" },
      rest(60_000),
    ],
  },
  /** More to send than a line takes that has come to a halt. */
  "full line": {
    weight: 2,
    options: () => ({ queue: patient }),
    make: ({ random }) => [
      { do: "line", latency: 1, rate: 100, capacity: 0, pieces: [] },
      { do: "stall", way: "up", ms: 5_000 },
      { do: "publish", topic: "up/0", qos: 0, size: 20_000, times: random.pick([100, 200]) },
      { do: "publish", topic: "up/1", qos: 0, size: 60_000, times: 30 },
    ],
  },
  /** Many messages wait, and something happens that concerns few of them. */
  pile: {
    weight: 2.5,
    options: ({ random }) => ({ queue: patient, reconnect: random.pick([false, { minDelay: 100, maxDelay: 2_000 }]) }),
    make: ({ random }) => [
      { do: "cut", how: "reset" },
      { do: "dial", how: "refuse", times: 1 },
      { do: "pile", times: 2_000, qos: random.pick([0, 1, 2]), signal: 9 },
      random.pick<Op>([{ do: "connect" }, { do: "rest" }]),
      { do: "abort", signal: 9 },
      { do: "cut", how: "reset" },
    ],
  },
  /** More is in flight than one step sends again, and the connection goes once more in the middle of that. */
  again: {
    weight: 1.5,
    options: () => ({ ...soon, cleanSession: false, maxInflight: 1_000, operationTimeout: 30_000, queue: patient }),
    make: (draft) => {
      const qos = draft.random.pick([1, 2] as const);
      const line = (capacity: number): Op => ({ do: "line", latency: 100, rate: 10_000, capacity, pieces: [] });
      return [
        line(10_000_000),
        { do: "publish", topic: "up/0", qos, size: 10_000, times: 300 },
        rest(draft.random.pick([20, 150])),
        line(draft.random.pick([0, 10_000_000])),
        { do: "listen", event: "connect", nth: 1, op: { do: "publish", topic: "up/1", qos, size: 10, times: 5 } },
        { do: "cut", how: "reset" },
        rest(draft.random.pick([250, 350])),
        { do: "cut after", way: "up", bytes: draft.random.pick([300_000, 900_000]) },
        rest(30_000),
      ];
    },
  },
  /** The server has lost the session, and the store fails as the client follows. */
  "lost session": {
    weight: 1.5,
    options: () => ({ ...soon, cleanSession: false, store: true }),
    make: (draft) => [
      { do: "subscribe", id: draft.newSub(), filter: "lost", qos: 2, handler: { style: "return" } },
      rest(100),
      { do: "answer", how: "lose", type: draft.random.pick(["puback", "pubrec"]), times: 1, ms: 0 },
      { do: "publish", topic: "up/0", qos: draft.qos(), size: 10, times: 3 },
      { do: "send", topic: "lost", qos: 2, size: 10, times: 2 },
      rest(draft.random.pick([2, 50])),
      { do: "forget" },
      { do: "store", times: draft.random.pick([1, 1, 2]) },
      rest(2_000),
    ],
  },
  /** Many filters are subscribed to. */
  crowd: {
    weight: 0.7,
    make: () => [
      { do: "crowd", times: 600, end: false },
      rest(1_000),
      { do: "crowd", times: 600, end: true },
      rest(1_000),
      { do: "cut", how: "reset" },
    ],
  },
};

/** One of them, with its share. `isCalm`: of those that disturb nothing. */
export function pickScene(draft: Draft, isCalm: boolean): Scene {
  const scenes = Object.values(SCENES).filter((scene) => !isCalm || scene.isCalm);
  let at = draft.random.next() * scenes.reduce((sum, { weight }) => sum + weight, 0);
  return scenes.find(({ weight }) => (at -= weight) < 0) ?? scenes[0]!;
}
