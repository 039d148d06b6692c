/** Where requests meet the session: what comes of a call is taken when the call is over, and each request is handed on once. */
import { describe, expect, test } from "vitest";
import { MessageRoute } from "../../src/client/deliveries.js";
import { Desk } from "../../src/client/desk.js";
import { Flow } from "../../src/client/flow.js";
import { Mailbox } from "../../src/client/mailbox.js";
import { AskRequest, capture, publication } from "../../src/client/requests.js";
import { SLICE } from "../../src/client/settlements.js";
import { HubwireError } from "../../src/errors.js";
import { SessionStore, SUBACK, UNSUBACK } from "../../src/session/index.js";
import type { SessionOptions } from "../../src/session/types.js";
import { FakeClock } from "../support/clock.js";
import { bytes, utf8 } from "../support/peer.js";

const CONNACK = "20 02 00 00";
const KEPT = "20 02 01 00";
const message = (packetId: string): string => `32 06 ${utf8("t")} ${packetId} 78`;
const options: SessionOptions = {
  maxPacketSize: 1e6,
  maxInflight: 10,
  operationTimeout: 1_000,
  poisonDetection: true,
  queue: { maxCount: 10, maxBytes: 1e6, maxAge: 1e6, overflow: "reject", qos0: true },
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** Behind the callbacks of what has been settled, and before the next turn of the event loop. */
const told = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

/** A place for records that does what a user's might: `onPut` runs while the session is at work. */
class Store extends SessionStore {
  onPut = (): void => {};
  readonly #records: [number, Uint8Array][];

  constructor(records: [number, Uint8Array][] = []) {
    super();
    this.#records = records;
  }

  override load(): Iterable<readonly [number, Uint8Array]> {
    return this.#records;
  }

  override put(): void {
    this.onPut();
  }

  override remove(): void {}
  override close(): void {}
}

function scene(changes: Partial<SessionOptions> = {}) {
  const log: string[] = [];
  const clock = new FakeClock();
  const parts = { onDeliver: (_deliveryId: number): void => {}, deadlines: 0, flushes: 0 };
  const owner = {
    flow: undefined as unknown as Flow,
    deliver(_message: object, deliveryId: number) {
      log.push(`deliver ${deliveryId}`);
      parts.onDeliver(deliveryId);
      log.push("delivered");
    },
    deadlineChanged: () => void parts.deadlines++,
    event: ({ type }: { type: string }) => void log.push(type),
  };
  const desk = new Desk({ ...options, ...changes }, clock, owner);
  owner.flow = new Flow(desk.session, clock, { load: () => 0, flush: () => (parts.flushes++, owner.flow.flush()) });
  const took = (): string => Buffer.concat(desk.session.takeOutput()).toString("hex");
  const receive = (hex: string): void => desk.run(() => desk.session.receive(bytes(hex), clock.now()));
  const connect = (connack = CONNACK): void => {
    desk.run(() => desk.session.open({ clientId: "c", cleanSession: connack === CONNACK, keepAlive: 0 }, clock.now()));
    receive(connack);
    took();
    log.length = 0;
  };
  const publish = (qos: 0 | 1 | 2 = 1, signal?: AbortSignal) => {
    const promise = qos ? new Promise<void>(capture) : undefined;
    const begun = desk.begin(publication("t", "x", qos, false), signal);
    return outcome(promise ?? begun!);
  };
  const ask = (awaits: typeof SUBACK | typeof UNSUBACK, route: MessageRoute, signal?: AbortSignal) => {
    const promise = new Promise<unknown>(capture);
    void desk.begin(new AskRequest(awaits, route.topicFilter, 1, [route]), signal);
    return outcome(promise);
  };
  return { desk, log, clock, parts, took, receive, connect, publish, ask };
}

function outcome(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    (value) => (value === undefined ? "ok" : JSON.stringify(value)),
    ({ code }: HubwireError) => code,
  );
}

const failure = new HubwireError("ERR_ABORTED", "given up");

describe("a store", () => {
  test("has one desk at a time, and the next when that has ended", () => {
    const store = new Store();
    const first = scene({ store });
    const inUse = { code: "ERR_INVALID_ARGUMENT", message: expect.stringContaining("in use by another client") };
    expect(() => scene({ store })).toThrow(expect.objectContaining(inUse));
    scene({ store: new Store() });
    scene();
    first.desk.end(failure);
    const second = scene({ store });
    expect(() => scene({ store })).toThrow(expect.objectContaining(inUse));
    second.desk.end(failure);
  });
});

describe("requests that are pending", () => {
  test("are counted until they are over, however they end", async () => {
    const { desk, publish, ask, connect, receive } = scene();
    connect();
    const route = new MessageRoute("t", 1, () => {}, undefined);
    const { signal } = new AbortController();
    const ends = [publish(1), publish(2, signal), ask(SUBACK, route)];
    expect(desk.pending).toBe(3);
    expect(await publish(0)).toBe("ok");
    expect(desk.pending, "QoS 0 is over at once").toBe(3);
    receive("40 02 00 01");
    expect(desk.pending).toBe(2);
    receive("90 03 00 03 01");
    expect(desk.pending).toBe(1);
    desk.giveUp([], failure);
    expect(desk.pending).toBe(1);
    desk.end(new HubwireError("ERR_CLOSED", "closed"));
    expect(desk.pending).toBe(0);
    expect(await Promise.all(ends)).toEqual(["ok", "ERR_CLOSED", "[1]"]);
  });

  test("of QoS 0 too, where they wait for a connection", async () => {
    const { desk, publish, connect } = scene();
    const end = publish(0);
    expect(desk.pending).toBe(1);
    connect();
    expect(await end).toBe("ok");
    expect(desk.pending).toBe(0);
  });

  test("what is refused is none, and its signal is not listened to", () => {
    const { desk } = scene({ queue: { ...options.queue, maxCount: 0 } });
    const { signal } = new AbortController();
    void new Promise(capture);
    expect(() => desk.begin(publication("t", "x", 1, false), signal)).toThrow(/./);
    expect(desk.pending).toBe(0);
  });

  test("the flow hears of output", async () => {
    const { parts, connect, publish } = scene();
    connect();
    await turn();
    parts.flushes = 0;
    await publish(0);
    await turn();
    expect(parts.flushes).toBe(1);
  });

  test("the owner hears of an earlier deadline", () => {
    const { parts, publish, desk, clock } = scene();
    void publish();
    expect(parts.deadlines).toBeGreaterThan(0);
    expect(desk.session.nextDeadline()).toBeLessThanOrEqual(clock.now() + options.queue.maxAge);
  });

  test("an error that a message ends with is explained, one of another request and a success are not", async () => {
    const { desk, publish, ask, connect, receive } = scene();
    connect();
    desk.explain = () => new HubwireError("ERR_SERVER_UNAVAILABLE", "explained");
    const first = publish();
    receive("40 02 00 01");
    expect(await first).toBe("ok");
    const ends = [ask(SUBACK, new MessageRoute("t", 1, () => {}, undefined)), publish()];
    desk.run(() => desk.session.cancelAll(failure, 0));
    expect(await Promise.all(ends)).toEqual(["ERR_ABORTED", "ERR_SERVER_UNAVAILABLE"]);
  });
});

describe("what comes of a call", () => {
  test.each<[string, (all: ReturnType<typeof scene>, deliveryId: number) => void]>([
    ["another call", ({ desk }) => desk.run(() => {})],
    ["a message", (all) => void all.publish()],
    ["an acknowledgement", ({ desk }, deliveryId) => desk.finished(deliveryId, false)],
    ["a refusal", ({ desk }, deliveryId) => desk.finished(deliveryId, true)],
  ])("is taken when it is over, not by %s from inside it", (_what, inside) => {
    const all = scene();
    all.connect();
    all.parts.onDeliver = (deliveryId) => inside(all, deliveryId);
    all.desk.run(() => all.desk.session.open({ clientId: "c", cleanSession: true, keepAlive: 0 }, 0));
    all.receive(`${CONNACK} ${message("0007")}`);
    expect(all.log).toEqual([expect.stringMatching(/^deliver \d+$/), "delivered", "accepted"]);
  });

  test.each(["run", "begin"])("is taken behind a store that calls the client (%s)", async (how) => {
    // A message to "#", which may not be sent: it is set aside, which is an event of the first call.
    const store = new Store([[65_540, bytes(`01 0000 01 ${utf8("#")} 78`)]]);
    const all = scene({ store });
    const puts: string[] = [];
    store.onPut = () => {
      all.desk.run(() => {});
      puts.push(...all.log);
    };
    let end: Promise<string> | undefined;
    const begin = (): void => void (end = all.publish());
    if (how === "run") all.desk.run(begin);
    else begin();
    expect([puts, all.log]).toEqual([[], ["abandoned"]]);
    all.desk.end(failure);
    expect(await end).toBe("ERR_ABORTED");
  });

  test("a failure of the store in an acknowledgement is told at once", () => {
    const store = new Store();
    const { desk, connect, receive, log, parts } = scene({ store });
    connect(KEPT);
    let delivery = 0;
    parts.onDeliver = (deliveryId) => (delivery = deliveryId);
    receive(`34 06 ${utf8("t")} 0007 78`);
    store.onPut = () => {
      throw new Error("the disk is full");
    };
    log.length = 0;
    desk.finished(delivery, false);
    expect(log).toEqual(["failed"]);
  });

  test("a delivery is acknowledged, or refused and never acknowledged", () => {
    const { desk, connect, receive, parts, took } = scene();
    connect(KEPT);
    const deliveries: number[] = [];
    parts.onDeliver = (deliveryId) => deliveries.push(deliveryId);
    receive(message("0007") + message("0008"));
    desk.finished(deliveries[0]!, true);
    expect(took()).toBe("");
    desk.finished(deliveries[1]!, false);
    expect(took()).toBe("40020008");
  });
});

describe("what is over", () => {
  const dropping = { queue: { ...options.queue, maxCount: 1, overflow: "drop-oldest" } } as const;

  test("is told at once where each call ends one: each is a step of its own", async () => {
    const { publish } = scene(dropping);
    const ends: string[] = [];
    for (let i = 0; i < SLICE + 3; i++) void publish().then((end) => ends.push(end));
    await told();
    expect(ends).toEqual(Array.from({ length: SLICE + 2 }, () => "ERR_QUEUE_FULL"));
  });

  test("a step of the owner's that makes many calls is one", async () => {
    const { desk, publish } = scene(dropping);
    let count = 0;
    desk.run(() => {
      for (let i = 0; i < SLICE + 3; i++) void publish().then(() => count++);
    });
    let isSettled = false;
    desk.whenSettled(() => (isSettled = true));
    await told();
    expect([count, isSettled]).toEqual([SLICE, false]);
    await turn();
    await told();
    expect(count).toBe(SLICE + 2);
    await turn();
    expect(isSettled).toBe(true);
  });

  test("a step renews the bound, also one that asks for nothing of the queue", async () => {
    const { desk, publish } = scene(dropping);
    let count = 0;
    for (let step = 1; step <= 2; step++) {
      desk.run(() => {
        for (let i = 0; i < SLICE; i++) void publish().then(() => count++);
      });
    }
    await told();
    expect(count).toBe(2 * SLICE - 1);
  });
});

describe("a subscription that is iterated", () => {
  function subscribed() {
    const all = scene();
    all.connect();
    const mailbox = new Mailbox();
    const route = new MessageRoute("t", 1, undefined, mailbox);
    /** Whether a message is let go of at once, because nobody will read it. */
    const isEnding = (): boolean => {
      let isDone = false;
      const payload = new Uint8Array(1);
      mailbox.put({ topic: "t", payload, qos: 1, retain: false, dup: false }, { done: () => (isDone = true) });
      return isDone;
    };
    return { ...all, mailbox, route, isEnding };
  }

  test.each([
    ["was refused", "90 03 00 01 80"],
    ["was granted and ended with UNSUBACK", "90 03 00 01 01"],
  ])("ends when it %s", async (what, suback) => {
    const { ask, receive, route, isEnding } = subscribed();
    const end = ask(SUBACK, route);
    receive(suback);
    expect(await end).toMatch(/^\[/);
    if (what.includes("granted")) {
      expect(isEnding()).toBe(false);
      const ended = ask(UNSUBACK, route);
      receive("b0 02 00 02");
      expect(await ended).toBe("ok");
    }
    expect(isEnding()).toBe(true);
  });

  test("goes on when the call that was to end it is given up before it was sent, with a handler too", async () => {
    const { desk, ask, receive, route, mailbox, isEnding } = subscribed();
    const handled = new MessageRoute("h", 1, () => {}, undefined);
    void ask(SUBACK, route);
    void ask(SUBACK, handled);
    receive("90 03 00 01 01 90 03 00 02 01");
    desk.run(() => desk.session.lost(undefined, 0));
    const stop = new AbortController();
    const ends = [ask(UNSUBACK, handled, stop.signal), ask(UNSUBACK, route, stop.signal)];
    mailbox.ending();
    expect(isEnding()).toBe(true);
    stop.abort();
    expect(await Promise.all(ends)).toEqual(["ERR_ABORTED", "ERR_ABORTED"]);
    expect(isEnding()).toBe(false);
    expect([...desk.session.routes()]).toEqual([route, handled]);
  });

  test("that ends before it was granted stays ending with SUBACK", () => {
    const { ask, receive, route, mailbox, isEnding } = subscribed();
    void ask(SUBACK, route);
    void ask(UNSUBACK, route);
    mailbox.ending();
    receive("90 03 00 01 01");
    expect(isEnding()).toBe(true);
  });
});
