/**
 * Programs in which something was wrong once, as small as they became. `npm test` runs them all: a seed alone would make
 * another program as soon as a kind of step is added.
 */
import { type Op, PLAIN, type Program, type ProgramOptions, type Step } from "./program.js";

const queue = PLAIN.queue as Exclude<ProgramOptions["queue"], false>;
const kept = { cleanSession: false };

const connect: Step = { after: 0, op: { do: "connect" } };
const poison: Step = { after: 0, op: { do: "publish", topic: "up/0", qos: 1, size: 10, times: 1, poison: true } };
const publish = (after: number, qos: 0 | 1 | 2 = 1, times = 1, size = 10): Step => ({
  after,
  op: { do: "publish", topic: "up/0", qos, size, times },
});
const unsubscribe = (after: number, filter: string): Step => ({ after, op: { do: "unsubscribe", filter } });
const send = (after: number, topic: string, qos: 0 | 1 | 2): Step => ({
  after,
  op: { do: "send", topic, qos, size: 10, times: 1 },
});
const lose = (type: "connack" | "puback" | "unsuback"): Step => ({
  after: 0,
  op: { do: "answer", how: "lose", type, times: 1, ms: 0 },
});

/** A message that the server refuses, and that nobody waits for: the third error tells of it, while the connection ends. */
const refusedUnawaited = (inside: Op): Program =>
  program(
    [
      connect,
      { after: 100, op: { do: "publish", topic: "up/0", qos: 1, size: 10, times: 1, poison: true, signal: 1 } },
      { after: 0, op: { do: "abort", signal: 1 } },
      { after: 0, op: { do: "listen", event: "error", nth: 3, op: inside } },
      { after: 60_000, op: { do: "rest" } },
    ],
    kept,
  );

const program = (steps: Step[], options: Partial<ProgramOptions> = {}): Program => ({
  seed: 0,
  options: { ...PLAIN, ...options },
  steps,
});

export const known: Record<string, Program> = {
  "a message is refused that never went alone": program(
    [
      connect,
      { after: 0, op: { do: "close on", type: "pubrel", times: 7 } },
      publish(0, 2),
      publish(0, 1, 3),
      publish(63_000),
    ],
    { ...kept, maxInflight: 3 },
  ),
  "two messages that the server refuses clear each other": program([poison, poison]),
  "what waits for a suspicion is late": program([connect, poison, publish(0)], {
    ...kept,
    operationTimeout: 500,
    reconnect: { minDelay: 1_000, maxDelay: 60_000 },
  }),
  "a server that breaks the rules makes a message suspect": program([
    connect,
    { after: 0, op: { do: "answer", how: "repeat", type: "connack", times: 5, ms: 0 } },
    { after: 0, op: { do: "close on", type: "publish", times: 1 } },
    publish(0),
    publish(76_000),
  ]),
  "a message that is held back counts as one that can be dropped": program(
    [
      connect,
      { after: 0, op: { do: "limit", size: 10 } },
      publish(15_205, 1, 1, 20_000),
      { after: 15_080, op: { do: "publish", topic: "up/1", qos: 1, size: 10, times: 1 } },
    ],
    { queue: { ...queue, maxBytes: 2_000, maxAge: 20_000, overflow: "drop-oldest" } },
  ),
  "close() in a handler whose message came with CONNACK": program(
    [
      connect,
      {
        after: 0,
        op: {
          do: "subscribe",
          id: 1,
          filter: "a",
          qos: 1,
          handler: { style: "return", inside: { nth: 1, op: { do: "close", force: false } } },
        },
      },
      { after: 100, op: { do: "cut", how: "reset" } },
      send(0, "a", 1),
      publish(100),
    ],
    kept,
  ),
  "an UNSUBSCRIBE that is sent again ends a subscription of later": program([
    connect,
    lose("unsuback"),
    unsubscribe(0, "a/#"),
    { after: 0, op: { do: "subscribe", id: 1, filter: "a/#", qos: 1 } },
    { after: 100, op: { do: "forget" } },
  ]),
  "a subscription that ended comes back": program(
    [
      connect,
      { after: 0, op: { do: "subscribe", id: 1, filter: "a", qos: 1, handler: { style: "return" } } },
      lose("unsuback"),
      unsubscribe(0, "a"),
      { after: 100, op: { do: "reconnect" } },
      unsubscribe(0, "a"),
      { after: 0, op: { do: "subscribe", id: 2, filter: "a", qos: 1, handler: { style: "return" } } },
    ],
    { ...kept, queue: { ...queue, maxAge: 3_000 } },
  ),
  "a store that fails once stops all deadlines": program(
    [
      publish(0),
      { after: 0, op: { do: "subscribe", id: 1, filter: "a", qos: 1, handler: { style: "return" } } },
      { after: 0, op: { do: "store", times: 1 } },
      { after: 16_000, op: { do: "connect" } },
    ],
    { operationTimeout: 3_000, queue: { ...queue, maxAge: 3_000 }, store: true },
  ),
  "a store that fails once keeps a QoS 2 message unacknowledged": program(
    [
      connect,
      { after: 0, op: { do: "subscribe", id: 1, filter: "+/c", qos: 2 } },
      { after: 0, op: { do: "store", times: 1 } },
      send(100, "b/c", 2),
      unsubscribe(100, "+/c"),
    ],
    { ...kept, store: true },
  ),
  "a store that fails keeps others waiting for ever": program(
    [
      publish(0, 1, 20),
      { after: 0, op: { do: "store", times: 5 } },
      { after: 0, op: { do: "reconnect", drainTimeout: 0 } },
      publish(61_000),
    ],
    { ...kept, queue: { ...queue, maxAge: 3_000, overflow: "drop-oldest" }, store: true },
  ),
  "a loop that an error ended holds up all acknowledgements": program(
    [
      connect,
      { after: 0, op: { do: "subscribe", id: 1, filter: "#", qos: 1, handler: { style: "fail", every: 1 } } },
      { after: 0, op: { do: "subscribe", id: 2, filter: "#", qos: 1 } },
      { after: 100, op: { do: "loop", sub: 2, take: 1, ms: 1_000, leave: "throw" } },
      { after: 0, op: { do: "forget" } },
      { after: 100, op: { do: "connect" } },
      { after: 0, op: { do: "listen", event: "error", nth: 1, op: { do: "unsubscribe", filter: "#" } } },
      send(100, "a/b", 1),
      { after: 100, op: { do: "connect" } },
    ],
    { reconnect: false },
  ),
  "a takeover is one of the ends that make a message suspect": program([
    connect,
    { after: 0, op: { do: "close on", type: "publish", times: 7 } },
    publish(0),
    { after: 0, op: { do: "takeover", times: 1, ms: 0 } },
    publish(65_000),
  ]),
  "a message that is refused after the server took it leaves the window": program(
    [connect, lose("puback"), publish(0, 1, 1, 100), { after: 100, op: { do: "limit", size: 10 } }, publish(79_000)],
    { ...kept, maxInflight: 1 },
  ),
  "a new QoS 2 message passes for one of a lost session that nobody had read yet": program(
    [
      { after: 0, op: { do: "subscribe", id: 1, filter: "a/#", qos: 2 } },
      connect,
      send(100, "a/b", 1),
      send(0, "a/c", 2),
      lose("connack"),
      { after: 0, op: { do: "forget" } },
      send(60_205, "a/b", 0),
    ],
    kept,
  ),
  // Two in which the judges were wrong.
  "a QoS 2 message is sent again in a session that began unnoticed": program(
    [
      connect,
      lose("connack"),
      publish(100, 2),
      { after: 0, op: { do: "stall", way: "down", ms: 40_000 } },
      { after: 100, op: { do: "forget" } },
      { after: 15_000, op: { do: "rest" } },
    ],
    kept,
  ),
  "a line widens while the server reads nothing": program([
    connect,
    { after: 50, op: { do: "siege", times: 500_000 } },
    { after: 0, op: { do: "line", latency: 1, rate: Infinity, capacity: 1_000_000, pieces: [1] } },
    { after: 100, op: { do: "line", latency: 1, rate: Infinity, capacity: 0, pieces: [1] } },
  ]),
  "a store that fails while the accused goes alone": program(
    [
      connect,
      { ...poison, after: 33_000 },
      { after: 1_000, op: { do: "store", times: 1 } },
      { after: 60_000, op: { do: "limit", size: 10 } },
    ],
    { store: true },
  ),
  "a store that fails as a new session begins": program(
    [
      connect,
      { after: 0, op: { do: "subscribe", id: 2, filter: "#", qos: 2 } },
      send(100, "a", 2),
      { after: 0, op: { do: "forget" } },
      { after: 0, op: { do: "store", times: 1 } },
      { after: 100, op: { do: "stall", way: "up", ms: 50 } },
    ],
    { ...kept, store: true },
  ),
  "a handler is late with what came again meanwhile": program(
    [
      connect,
      { after: 0, op: { do: "line", latency: 20, rate: 20, capacity: 1_000, pieces: [1, 7, 30] } },
      { after: 0, op: { do: "subscribe", id: 2, filter: "b/#", qos: 2, handler: { style: "wait", ms: 5_000 } } },
      send(100, "b", 2),
      publish(0, 1, 20, 20_000),
      { after: 15_000, op: { do: "dial", how: "throw", times: 1 } },
    ],
    { ...kept, operationTimeout: 500, handlerTimeout: 1_000, reconnect: { minDelay: 10, maxDelay: 100 } },
  ),
  "reconnect() in a listener of what the end of a connection tells": refusedUnawaited({ do: "reconnect" }),
  "close() in a listener of what the end of a connection tells": refusedUnawaited({ do: "close", force: false }),
};
