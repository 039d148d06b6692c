import { describe, expect, test } from "vitest";
import { HubwireError } from "../../src/errors.js";
import { Harness, MemoryStore } from "./harness.js";

/** A session of the next process, with what the store has. */
function next(store: MemoryStore, sessionPresent: boolean): Harness {
  return new Harness({ store }).connect(sessionPresent);
}

const failure = new HubwireError("ERR_STORE", "disk full");

describe("a session with a store", () => {
  test("an accepted message is in the store before publish returns, sent or not, and out of it when it is over", () => {
    const store = new MemoryStore();
    const h = new Harness({ store, maxInflight: 1 });
    h.publish("a", 2).publish("b", 1).publish("zero", 0);
    expect(store.records.size).toBe(2);
    h.connect().publish("c", 1);
    expect(store.records.size).toBe(4);
    h.feed({ type: "pubrec", packetId: 1 });
    expect(store.records.size, "the release replaces the message and its state").toBe(3);
    h.feed({ type: "pubcomp", packetId: 1 });
    h.feed({ type: "puback", packetId: 2 }).feed({ type: "puback", packetId: 3 });
    expect(h.results()).toEqual(["a:ok", "zero:ok", "b:ok", "c:ok"]);
    expect(store.records.size).toBe(0);
  });

  test("killed with messages queued, sent and released: the next process finishes them, in order, with their ids", () => {
    const store = new MemoryStore();
    const h = new Harness({ store, maxInflight: 4 }).connect();
    for (const [name, qos] of [
      ["a", 2],
      ["b", 1],
      ["c", 2],
      ["d", 2],
      ["e", 1],
      ["f", 2],
    ] as const)
      h.publish(name, qos);
    h.feed({ type: "pubrec", packetId: 3 }, { type: "pubrec", packetId: 1 });
    const second = next(store, true);
    expect(second.sentLines()).toEqual([
      "pubrel#3",
      "pubrel#1",
      "publish#2 dup q1 b",
      "publish#4 dup q2 d",
      "publish#5 q1 e",
      "publish#6 q2 f",
    ]);
    second.publish("g");
    expect(second.sentLines()).toEqual(["publish#7 q1 g"]);
    second.feed(
      { type: "pubcomp", packetId: 3 },
      { type: "pubcomp", packetId: 1 },
      { type: "puback", packetId: 2 },
      { type: "pubrec", packetId: 4 },
      { type: "pubcomp", packetId: 4 },
      { type: "puback", packetId: 5 },
      { type: "pubrec", packetId: 6 },
      { type: "pubcomp", packetId: 6 },
      { type: "puback", packetId: 7 },
    );
    expect(second.results(), "nobody in this process asked for the others").toEqual(["g:ok"]);
    expect(store.records.size).toBe(0);
    expect(second.session.metrics).toMatchObject({ inflight: 0, queued: 0, queuedBytes: 0 });
  });

  test("killed, and the server lost the session: QoS 1 again, QoS 2 that was sent is given up, the rest is sent", () => {
    const store = new MemoryStore();
    const h = new Harness({ store, maxInflight: 2 }).connect();
    h.publish("a", 1).publish("b", 2).publish("c", 2);
    const second = next(store, false);
    expect(second.sentLines()).toEqual(["publish#3 q1 a", "publish#4 q2 c"]);
    expect(second.abandoned, "said aloud, because no request waits for it").toEqual(["ERR_SESSION_LOST"]);
    const third = next(store, true);
    expect(third.sentLines()).toEqual(["publish#3 dup q1 a", "publish#4 dup q2 c"]);
  });

  test("topic, payload, QoS and RETAIN come back as they were", () => {
    const store = new MemoryStore();
    const h = new Harness({ store });
    h.session.send("ü/\ufeff", Uint8Array.of(0, 255, 128), 1, true, "a", h.now);
    h.session.send("t", "grün", 2, false, "b", h.now);
    h.session.send("t", "", 1, false, "c", h.now);
    expect(next(store, false).sent()).toMatchObject([
      { topic: "ü/\ufeff", qos: 1, retain: true, payload: Uint8Array.of(0, 255, 128) },
      { topic: "t", qos: 2, retain: false, payload: new TextEncoder().encode("grün") },
      { topic: "t", qos: 1, retain: false, payload: new Uint8Array(0) },
    ]);
  });

  test("an inbound QoS 2 message is known to the next process once it is acknowledged, until PUBREL", () => {
    const store = new MemoryStore();
    const h = new Harness({ store }).connect();
    h.feed({ type: "publish", topic: "t", qos: 2, packetId: 5 });
    h.autoAcknowledge = false;
    h.feed({ type: "publish", topic: "t", qos: 2, packetId: 6 });
    const second = next(store, true);
    second.feed(
      { type: "publish", topic: "t", qos: 2, packetId: 5, dup: true },
      { type: "publish", topic: "t", qos: 2, packetId: 6, dup: true },
    );
    expect(second.deliveries).toHaveLength(1);
    expect(second.sentLines()).toEqual(["pubrec#5", "pubrec#6"]);
    second.feed({ type: "pubrel", packetId: 5 }, { type: "pubrel", packetId: 6 });
    expect(store.records.size).toBe(0);
    expect(next(store, false).feed({ type: "publish", topic: "t", qos: 2, packetId: 5 }).deliveries).toHaveLength(1);
  });

  test("a cancelled message does not come back as a new one; one cancelled in the queue not at all", () => {
    const store = new MemoryStore();
    const h = new Harness({ store, maxInflight: 1 }).connect();
    h.publish("a").publish("b");
    for (const name of ["a", "b"]) h.session.cancelNamed(name, new HubwireError("ERR_ABORTED", "aborted"), h.now);
    h.events();
    expect(next(store, true).sentLines()).toEqual(["publish#1 dup q1 a"]);
    const anew = next(store, false);
    expect(anew.sentLines()).toEqual([]);
    expect(anew.abandoned).toEqual([]);
    expect(store.records.size).toBe(0);
  });

  test("end closes the store and leaves what is unfinished in it", () => {
    const store = new MemoryStore();
    const h = new Harness({ store }).publish("a");
    h.session.end(new HubwireError("ERR_CLOSED", "closed"));
    expect(store.closed).toBe(1);
    expect(h.results()).toEqual(["a:ERR_CLOSED"]);
    expect(next(store, false).sentLines()).toEqual(["publish#1 q1 a"]);
  });

  test("restored messages do not expire, and new ones queue behind them", () => {
    const store = new MemoryStore();
    new Harness({ store }).publish("a");
    const h = new Harness({ store, queue: { maxAge: 1_000 } }).publish("b").advance(1_000);
    expect(h.results()).toEqual(["b:ERR_MESSAGE_EXPIRED"]);
    h.publish("c").connect();
    expect(h.sentLines()).toEqual(["publish#1 q1 a", "publish#2 q1 c"]);
  });

  test("a store that fails at publish: nothing was taken", () => {
    const store = new MemoryStore();
    const offline = new Harness({ store }).publish("a");
    store.failing = failure;
    expect(() => offline.publish("b")).toThrow(failure);
    expect(offline.session.metrics.queued).toBe(1);
    const online = new MemoryStore();
    const live = next(online, false);
    online.failing = failure;
    expect(() => live.publish("b")).toThrow(failure);
    expect(live.sentLines()).toEqual([]);
    online.failing = undefined;
    expect(live.publish("c").sentLines()).toEqual(["publish#2 q1 c"]);
    expect(live.session.metrics.inflight).toBe(1);
  });

  test("a store that fails later ends the connection, and no request is left behind", () => {
    const store = new MemoryStore();
    const h = new Harness({ store }).connect();
    h.publish("a").publish("b", 2).sent();
    store.failing = failure;
    h.feed({ type: "puback", packetId: 1 });
    expect(h.failures).toEqual([failure]);
    expect(h.results()).toEqual(["a:ok"]);
    store.failing = undefined;
    h.connect(true).sent();
    store.failing = failure;
    h.feed({ type: "pubrec", packetId: 2 });
    expect(h.failures).toHaveLength(2);
    expect(h.sentLines(), "no PUBREL without its record").toEqual([]);
    store.failing = undefined;
    h.connect(true);
    expect(h.sentLines()).toEqual(["publish#2 dup q2 b"]);
    h.lose();
    h.publish("c");
    h.sent();
    store.failing = failure;
    h.connect(true);
    expect(h.failures).toHaveLength(3);
    expect(h.sentLines(), "no PUBLISH without its record").toEqual([]);
    store.failing = undefined;
    h.connect(true);
    expect(h.sentLines()).toEqual(["publish#2 dup q2 b", "publish#3 dup q1 c"]);
    store.failing = failure;
    h.autoAcknowledge = false;
    h.feed({ type: "publish", topic: "t", qos: 2, packetId: 9 });
    h.session.acknowledge(h.deliveries[0]!.deliveryId, h.now);
    h.events();
    expect(h.failures).toHaveLength(4);
    expect(h.sentLines(), "no PUBREC without its record").toEqual([]);
  });

  test("a store that fails as a new session begins: the next connection finds that session present, and still begins anew", () => {
    const store = new MemoryStore();
    const h = new Harness({ store }).connect();
    h.session.subscribe([{ topicFilter: "t", qos: 2 }], "t", h.now);
    h.feed({ type: "suback", packetId: 1, returnCodes: [2] });
    h.feed({ type: "publish", topic: "t", qos: 2, packetId: 8 }, { type: "publish", topic: "t", qos: 2, packetId: 9 });
    h.publish("a").publish("b", 2).sent();
    store.failing = failure;
    h.reconnect(false);
    expect(h.failures).toEqual([failure]);
    expect(h.connections).toEqual([false]);
    store.failing = undefined;
    h.connect(true);
    expect(h.connections, "present, but not the one that was remembered").toEqual([false, false]);
    expect(h.sentLines().sort()).toEqual(["publish#5 q1 a", "subscribe#4"]);
    expect(h.results()).toContain("b:ERR_SESSION_LOST");
    expect(store.records.size, "of the messages of before only the one that goes again, and its state").toBe(2);
    h.feed({ type: "publish", topic: "t", qos: 2, packetId: 9, dup: true });
    expect(h.deliveries, "an identifier of the new session").toHaveLength(3);
    h.reconnect(true);
    expect(h.connections.at(-1), "followed meanwhile").toBe(true);
  });

  test("nothing known, nothing to record: neither a new session nor PUBREL asks the store for anything", () => {
    const store = new MemoryStore();
    const h = new Harness({ store });
    store.failing = failure;
    h.connect(false).feed({ type: "pubrel", packetId: 5 }).reconnect(true).feed({ type: "pubrel", packetId: 5 });
    expect(h.failures).toEqual([]);
    expect(h.sentLines()).toEqual(["pubcomp#5"]);
  });

  test("every kill between two writes of an exchange repeats, and never skips or doubles", () => {
    // A store that dies after n writes: what is in it is what the next process finds.
    class DyingStore extends MemoryStore {
      left = Infinity;
      override put(key: number, record: Uint8Array): void {
        if (this.left-- > 0) super.put(key, record);
      }
      override remove(key: number): void {
        if (this.left-- > 0) super.remove(key);
      }
    }
    for (let left = 1; left < 12; left++) {
      const store = new DyingStore();
      store.left = left;
      const h = new Harness({ store }).publish("a", 2);
      h.connect().feed({ type: "pubrec", packetId: 1 }, { type: "pubcomp", packetId: 1 });
      store.left = Infinity;
      const second = next(store, true);
      const lines = second.sentLines();
      expect(["publish#1 q2 a", "publish#1 dup q2 a", "pubrel#1", undefined]).toContain(lines[0]);
      expect(lines.length).toBeLessThan(2);
      second.feed({ type: "pubrec", packetId: 1 }, { type: "pubcomp", packetId: 1 });
      expect([...store.records.keys()]).toEqual([]);
    }
  });

  test("records that are not a session's are refused, not guessed at", () => {
    for (const record of [[], [1, 0], [1, 0, 1, 1, 0], [9, 0, 1], [0, 0, 0]]) {
      const store = new MemoryStore();
      store.records.set(70_000, Uint8Array.from(record));
      expect(() => new Harness({ store }).publish("a")).toThrow(expect.objectContaining({ code: "ERR_STORE" }));
    }
  });
});

describe("a stored message that may not be sent", () => {
  const record = (topic: string, flags = 1, length = topic.length / 2): Uint8Array =>
    Buffer.from(`01 0000 0${flags} ${length.toString(16).padStart(4, "0")} ${topic} 78`.replace(/ /g, ""), "hex");

  test.each([
    ["has a wildcard in its topic", record("612f23")],
    ["has no topic", record("")],
    ["has U+0000 in its topic", record("6100")],
    ["has a topic that is no UTF-8", record("c328")],
    ["has QoS 3", record("61", 3)],
    ["is shorter than its topic", record("61", 1, 9)],
  ])("one that %s is set aside and told, and the others go", (_name, bad) => {
    const store = new MemoryStore();
    new Harness({ store }).publish("before", 1);
    const [key = 0] = [...store.records.keys()];
    store.records.set(key + 2, bad);
    store.records.set(key + 4, record("62"));
    const h = next(store, false).events();
    expect(h.abandoned).toEqual(["ERR_STORE"]);
    expect(h.failures).toEqual([]);
    expect(h.sentLines()).toEqual(["publish#1 q1 before", "publish#2 q1 x"]);
    h.feed({ type: "puback", packetId: 1 }, { type: "puback", packetId: 2 });
    expect([...store.records]).toEqual([[key + 2, bad]]);
  });
});

describe("giving up all that waits", () => {
  /** Three of an earlier process wait, two are sent, and the others are queued. */
  function queued(store: MemoryStore, count: number): Harness {
    const earlier = new Harness({ store });
    for (const name of ["x", "y", "z"]) earlier.publish(name);
    const h = new Harness({ store, maxInflight: 0 }).connect(true);
    for (let at = 0; at < count; at++) h.publish(`m${at}`, at % 2 ? 1 : 2);
    return h;
  }

  test("what is queued leaves the store at once, and what an earlier process left stays, and is sent", () => {
    const store = new MemoryStore();
    const h = queued(store, 300);
    const calls: number[] = [];
    store.removeAll = (keys) => {
      calls.push(keys.length);
      for (const key of keys) store.records.delete(key);
    };
    expect(store.records.size).toBe(303);
    h.session.cancelAll(failure, h.now);
    expect(calls).toEqual([300]);
    expect(store.records.size).toBe(3);
    expect(h.results()).toEqual(Array.from({ length: 300 }, (_, at) => `m${at}:ERR_STORE`));
    expect(h.session.metrics).toMatchObject({ queued: 3, inflight: 0 });
    expect(new Harness({ store }).connect(true).sentLines()).toHaveLength(3);
  });

  test("with what was sent and requeued: every record of it goes, and a sent one's stays as given up", () => {
    const store = new MemoryStore();
    const h = new Harness({ store, maxInflight: 2 }).connect();
    for (const name of ["a", "b", "c"]) h.publish(name);
    h.reconnect(false).publish("d");
    h.session.cancelAll(failure, h.now);
    expect(h.results().sort()).toEqual(["a", "b", "c", "d"].map((name) => `${name}:ERR_STORE`));
    expect(store.records.size, "a message and its state, each").toBe(4);
    expect(next(store, true).sentLines()).toEqual(["publish#3 dup q1 a", "publish#4 dup q1 b"]);
  });

  test("a store without removeAll of its own is asked one by one; one that fails keeps nobody from the news", () => {
    const store = new MemoryStore();
    const h = queued(store, 10);
    store.failing = failure;
    h.session.cancelAll(failure, h.now);
    expect(h.results()).toHaveLength(10);
    expect(h.session.metrics).toMatchObject({ queued: 3 });
    expect(store.records.size).toBe(13);
    store.failing = undefined;
    h.events();
    const other = queued(new MemoryStore(), 10);
    other.session.cancelAll(failure, other.now);
    expect(other.results()).toHaveLength(10);
  });
});
