/** Policy 12: a message that kills its connections is found and given up, and no other ever is. */
import { describe, expect, test } from "vitest";
import { type ErrorCode, HubwireError } from "../../src/errors.js";
import { Harness, MemoryStore } from "./harness.js";

/** ms that a connection lives which the message ends, and ms until the first connection without it is asked whether it lives. */
const LIFE = 200;
const PROBE = LIFE + 50;

/** A connection on which everything was sent again, and that the other end ended. */
function die(h: Harness, life = LIFE): Harness {
  h.connect(true).sent();
  return h.advance(life).lose();
}

/** "poison" and "b" are under way, and `times` connections in a row ended with them. */
function after(times: number, overrides: ConstructorParameters<typeof Harness>[0] = {}): Harness {
  const h = new Harness(overrides).connect().publish("poison").publish("b");
  h.sent();
  h.advance(LIFE).lose();
  for (let round = 1; round < times; round++) die(h);
  return h;
}

/** The connection without it has thrived: it has gone alone. */
function alone(overrides = {}): Harness {
  const h = after(5, overrides).connect(true).advance(PROBE);
  expect(h.sentLines()).toEqual(["pingreq"]);
  h.feed({ type: "pingresp" });
  expect(h.sentLines()).toEqual(["publish#1 dup q1 poison"]);
  return h;
}

function end(h: Harness, code: ErrorCode | undefined): void {
  h.session.lost(code && new HubwireError(code, "over"), h.now);
  h.events();
}

const everything = ["publish#1 dup q1 poison", "publish#2 dup q1 b"];

describe("accused", () => {
  test("after five connections that ended with the same oldest message, and not after four", () => {
    expect(after(4).connect(true).sentLines()).toEqual(everything);
    expect(after(5).connect(true).sentLines()).toEqual([]);
  });

  test("not where anything was acknowledged on one of them", () => {
    const h = after(4).connect(true).publish("c").feed({ type: "puback", packetId: 3 }).advance(LIFE).lose();
    for (let round = 0; round < 4; round++) die(h);
    h.connect(true);
    expect(h.sentLines()).toEqual(everything);
    h.advance(LIFE).lose();
    expect(h.connect(true).sentLines()).toEqual([]);
  });

  test.each([["ERR_KEEP_ALIVE_TIMEOUT"], ["ERR_TIMEOUT"], ["ERR_PROTOCOL_VIOLATION"], [undefined]] as const)(
    "not where this end gave one of them up: %s",
    (code) => {
      const h = after(4).connect(true);
      end(h, code);
      for (let round = 0; round < 4; round++) die(h);
      expect(h.connect(true).sentLines()).toEqual(everything);
    },
  );

  test("not where nothing was under way on one of them", () => {
    const h = new Harness();
    for (let round = 0; round < 5; round++) die(h);
    expect(h.connect(true).publish("a").sentLines()).toEqual(["publish#1 q1 a"]);
  });

  test("never with `poisonDetection: false`", () => {
    expect(after(5, { poisonDetection: false }).connect(true).sentLines()).toEqual(everything);
  });

  test("connections that were never accepted say nothing", () => {
    const h = after(1);
    for (let round = 1; round < 5; round++) h.open().advance(LIFE).lose();
    expect(h.connect(true).sentLines()).toEqual(everything);
  });
});

describe("a connection without it", () => {
  test("carries no message, and is asked whether it lives once it is older than the others became", () => {
    const h = after(4);
    die(h, 3 * LIFE)
      .connect(true)
      .publish("c")
      .advance(3 * LIFE + 49);
    expect(h.sentLines()).toEqual([]);
    h.advance(1);
    expect(h.sentLines()).toEqual(["pingreq"]);
    h.advance(10_000);
    expect(h.sentLines(), "once").toEqual([]);
  });

  test("PINGRESP before that proves nothing", () => {
    const h = after(5).connect(true).advance(LIFE).feed({ type: "pingresp" });
    expect(h.sentLines()).toEqual([]);
    h.advance(1).feed({ type: "pingresp" });
    expect(h.sentLines()).toEqual(["publish#1 dup q1 poison"]);
  });

  test("that ends as well clears it: everything goes, in order, as ever", () => {
    const h = after(5).connect(true).publish("c").advance(LIFE).lose();
    expect(h.results()).toEqual([]);
    expect(h.connect(true).sentLines()).toEqual([...everything, "publish#3 q1 c"]);
  });

  test("that does not answer in time clears it", () => {
    const h = new Harness().connect().publish("poison");
    h.sent();
    h.advance(LIFE).lose();
    for (let round = 1; round < 5; round++) die(h);
    h.connect(true).publish("c").advance(PROBE);
    expect(h.sentLines()).toEqual(["pingreq"]);
    h.advance(29_999);
    expect(h.sentLines()).toEqual([]);
    h.advance(1);
    expect(h.sentLines()).toEqual(["publish#1 dup q1 poison", "publish#2 q1 c"]);
    h.advance(100).lose();
    expect(h.results()).toEqual([]);
  });

  test("the time of what it holds up runs from its start", () => {
    const h = after(5, { operationTimeout: 1_000 }).connect(true).advance(900);
    expect(h.results()).toEqual([]);
  });

  test("PUBREL goes out on it, and has to be answered before the accused goes", () => {
    const h = new Harness().connect().publish("two", 2).publish("poison").publish("b");
    h.feed({ type: "pubrec", packetId: 1 });
    h.sent();
    h.advance(LIFE).lose();
    for (let round = 0; round < 5; round++) die(h);
    h.connect(true);
    expect(h.sentLines()).toEqual(["pubrel#1"]);
    h.advance(PROBE).sent();
    h.feed({ type: "pingresp" });
    expect(h.sentLines()).toEqual([]);
    h.feed({ type: "pubcomp", packetId: 1 });
    expect(h.sentLines()).toEqual(["publish#2 dup q1 poison"]);
  });

  test("without a session the accused goes as a new message, alone", () => {
    const h = after(5).connect(false).advance(PROBE);
    expect(h.sentLines()).toEqual(["pingreq"]);
    h.feed({ type: "pingresp" });
    expect(h.sentLines()).toEqual(["publish#3 q1 poison"]);
    h.feed({ type: "puback", packetId: 3 });
    expect(h.sentLines()).toEqual(["publish#4 q1 b"]);
    h.feed({ type: "puback", packetId: 4 });
    expect(h.results()).toEqual(["poison:ok", "b:ok"]);
    expect(h.session.metrics).toMatchObject({ inflight: 0, queued: 0, queuedBytes: 0 });
  });
});

describe("alone", () => {
  test("it ends the connection again: it is given up, and the others go", () => {
    const h = alone().publish("c").advance(LIFE).lose();
    expect(h.results()).toEqual(["poison:ERR_MESSAGE_REFUSED"]);
    expect(h.connect(true).sentLines()).toEqual(["publish#2 dup q1 b", "publish#3 q1 c"]);
    expect(h.session.metrics).toMatchObject({ inflight: 2, queued: 0 });
  });

  test("an end in the same millisecond counts too", () => {
    expect(alone().lose().results()).toEqual(["poison:ERR_MESSAGE_REFUSED"]);
  });

  test("a verdict allows for twice the life of the others, and no more", () => {
    expect(
      alone()
        .advance(2 * LIFE + 50)
        .lose()
        .results(),
    ).toEqual(["poison:ERR_MESSAGE_REFUSED"]);
    const late = alone()
      .advance(2 * LIFE + 51)
      .lose();
    expect(late.results()).toEqual([]);
    expect(late.connect(true).sentLines()).toEqual(everything);
  });

  test.each([["ERR_TIMEOUT"], [undefined]] as const)("an end of this end's own doing (%s) clears it", (code) => {
    const h = alone();
    end(h, code);
    expect(h.results()).toEqual([]);
    expect(h.connect(true).sentLines()).toEqual(everything);
  });

  test("acknowledged: it was not the one, and the others go", () => {
    const h = alone().feed({ type: "puback", packetId: 1 });
    expect(h.results()).toEqual(["poison:ok"]);
    expect(h.sentLines()).toEqual(["publish#2 dup q1 b"]);
    for (let round = 0; round < 4; round++) die(h.lose());
    expect(h.connect(true).sentLines(), "and is forgotten").toEqual(["publish#2 dup q1 b"]);
  });

  test("a connection that lives on with it clears it: the others go, and it is not sent twice", () => {
    const h = alone().advance(PROBE);
    expect(h.sentLines()).toEqual(["pingreq"]);
    h.feed({ type: "pingresp" });
    expect(h.sentLines()).toEqual(["publish#2 dup q1 b"]);
    h.publish("c");
    expect(h.sentLines()).toEqual(["publish#3 q1 c"]);
  });

  test("PINGRESP to an earlier PINGREQ clears nothing", () => {
    const h = alone().advance(LIFE).feed({ type: "pingresp" });
    expect(h.sentLines()).toEqual([]);
    h.advance(1).feed({ type: "pingresp" });
    expect(h.sentLines()).toEqual(["publish#2 dup q1 b"]);
  });

  test("of a message that its caller had given up, the end is told all the same", () => {
    const h = after(5);
    h.session.cancelNamed("poison", new HubwireError("ERR_ABORTED", "aborted"), h.now);
    h.connect(true).advance(PROBE).feed({ type: "pingresp" }).advance(LIFE).lose();
    expect(h.abandoned).toEqual(["ERR_MESSAGE_REFUSED"]);
    expect(h.results()).toEqual(["poison:ERR_ABORTED"]);
  });

  test("the next one of its kind is found in the same way", () => {
    const h = alone().advance(LIFE).lose();
    for (let round = 0; round < 5; round++) die(h);
    h.connect(true).advance(PROBE).feed({ type: "pingresp" }).advance(LIFE).lose();
    expect(h.results()).toEqual(["poison:ERR_MESSAGE_REFUSED", "b:ERR_MESSAGE_REFUSED"]);
  });

  describe("[MQTT-2.3.1-3 +] [MQTT-4.3.3-1 +] the identifier of a QoS 2 message that is given up", () => {
    /** The identifiers of the next messages, each of which is acknowledged at once. */
    function used(h: Harness, count: number): number[] {
      const ids: number[] = [];
      for (let at = 0; at < count; at++) {
        h.publish(`m${at}`);
        for (const packet of h.sent()) {
          if (packet.type !== "publish") continue;
          ids.push(packet.packetId!);
          h.feed({ type: "puback", packetId: packet.packetId! });
        }
      }
      return ids;
    }

    function givenUp(overrides: ConstructorParameters<typeof Harness>[0] = {}): Harness {
      const h = new Harness(overrides).connect().publish("poison", 2);
      h.sent();
      h.advance(LIFE).lose();
      for (let round = 1; round < 5; round++) die(h);
      h.connect(true).advance(PROBE).feed({ type: "pingresp" });
      expect(h.sentLines()).toEqual(["pingreq", "publish#1 dup q2 poison"]);
      h.advance(LIFE).lose();
      expect(h.results()).toEqual(["poison:ERR_MESSAGE_REFUSED"]);
      return h;
    }

    test("is nobody's while the server may have its session, and free with the next one", () => {
      const h = givenUp().connect(true);
      expect(used(h, 1_000)).not.toContain(1);
      expect(used(h.reconnect(true), 1_000)).not.toContain(1);
      expect(used(h.reconnect(false), 1_000)).toContain(1);
    });

    test("a PUBREC that comes after all is answered", () => {
      const h = givenUp().connect(true).feed({ type: "pubrec", packetId: 1 });
      expect(h.sentLines()).toEqual(["pubrel#1"]);
      h.feed({ type: "pubcomp", packetId: 1 });
      expect(h.failures).toEqual([]);
    });

    test("stays so in the next process, where there is a store", () => {
      const store = new MemoryStore();
      givenUp({ store });
      const second = new Harness({ store }).connect(true);
      expect(used(second, 1_000)).not.toContain(1);
      const third = new Harness({ store }).connect(false);
      expect(used(third, 1_000)).toContain(1);
      expect(store.records.size).toBe(0);
    });

    test("a process that is killed between the two records of it does not send it again", () => {
      const store = new MemoryStore();
      const copies: Map<number, Uint8Array>[] = [];
      const remove = store.remove.bind(store);
      store.remove = (key) => {
        copies.push(new Map(store.records));
        remove(key);
      };
      givenUp({ store });
      expect(copies.length).toBeGreaterThan(0);
      for (const records of copies) {
        const left = new MemoryStore();
        for (const [key, record] of records) left.records.set(key, record);
        const next = new Harness({ store: left }).connect(true);
        expect(next.sentLines()).toEqual([]);
        expect(used(next, 300)).not.toContain(1);
      }
    });

    test("a store that fails at the next session ends the connection, and it is free when the store knows", () => {
      const store = new MemoryStore();
      const h = givenUp({ store });
      store.failing = new HubwireError("ERR_STORE", "disk full");
      h.connect(false);
      expect(h.failures.map(({ code }) => code)).toEqual(["ERR_STORE"]);
      store.failing = undefined;
      expect(used(h.connect(true), 300)).toContain(1);
      expect(store.records.size).toBe(0);
    });
  });
});

describe("a request on which the server ends every connection", () => {
  const ask = (h: Harness, name: string): void => h.session.subscribe([{ topicFilter: name, qos: 1 }], name, h.now);
  /** The server answers messages, and ends each connection on SUBSCRIBE. */
  function dying(times: number, overrides: ConstructorParameters<typeof Harness>[0] = {}): Harness {
    const h = new Harness(overrides).connect();
    ask(h, "bad");
    ask(h, "good");
    for (let round = 0; round < times; round++) {
      h.publish(`m${round}`);
      const [id] = h.sent().flatMap((packet) => (packet.type === "publish" ? [packet.packetId!] : []));
      h.feed({ type: "puback", packetId: id! }).advance(LIFE).lose();
      if (round + 1 < times) h.connect(true);
    }
    h.settled = [];
    return h;
  }
  /** The connection without them thrived: the first has gone by itself. */
  function suspected(): Harness {
    const h = dying(5).connect(true).publish("c");
    expect(h.sentLines()).toEqual([]);
    h.advance(PROBE);
    expect(h.sentLines()).toEqual(["pingreq"]);
    h.feed({ type: "pingresp" });
    expect(h.sent()).toMatchObject([{ type: "subscribe", subscriptions: [{ topicFilter: "bad" }] }]);
    return h;
  }
  const both = [expect.stringContaining("subscribe"), expect.stringContaining("subscribe")];

  test("is given up; what was asked for beside it and all messages go on, and the server hears no more of it", () => {
    const h = suspected().advance(LIFE).lose();
    expect(h.results()).toEqual(["bad:ERR_SUBSCRIBE_REFUSED"]);
    h.connect(true);
    expect(h.sent()).toMatchObject([
      { type: "subscribe", subscriptions: [{ topicFilter: "good" }] },
      { type: "publish", qos: 1 },
    ]);
    expect(h.session.match("bad")).toEqual([]);
  });

  test("is told from the messages beside it, whichever of them are acknowledged", () => {
    const h = new Harness().connect();
    ask(h, "bad");
    for (let round = 0; round < 5; round++) {
      h.publish(`m${round}`);
      const ids = h.sent().flatMap((packet) => (packet.type === "publish" ? [packet.packetId!] : []));
      if (round % 2 === 0) for (const packetId of ids) h.feed({ type: "puback", packetId });
      h.advance(LIFE).lose().connect(true);
    }
    expect(h.sentLines(), "with neither").toEqual([]);
  });

  test("that is answered when it goes alone is cleared, and all go on at once", () => {
    const h = dying(5).connect(true).publish("c").advance(PROBE);
    h.feed({ type: "pingresp" });
    const [, subscribe] = h.sent();
    h.feed({ type: "suback", packetId: (subscribe as { packetId: number }).packetId, returnCodes: [1] });
    expect(h.results()).toEqual(["bad:ok"]);
    expect(h.sent().map(({ type }) => type)).toEqual(["subscribe", "publish"]);
  });

  test.each([
    ["four connections", () => dying(4)],
    ["a connection without it that ended as well", () => dying(5).connect(true).advance(LIFE).lose()],
    [
      "a connection with it alone that this end gave up",
      () => {
        const h = suspected();
        end(h, "ERR_KEEP_ALIVE_TIMEOUT");
        return h;
      },
    ],
    ["any number, with `poisonDetection: false`", () => dying(20, { poisonDetection: false })],
  ])("%s: it is asked for again", (_what, make) => {
    const h = make();
    h.connect(true);
    expect(h.sentLines().filter((line) => !line.startsWith("publish"))).toEqual(both);
    expect(h.results()).toEqual([]);
  });

  test("whose caller gives it up meanwhile holds up nothing", () => {
    const h = dying(5).connect(true).publish("c");
    h.session.cancelNamed("bad", new HubwireError("ERR_ABORTED", "mine"), h.now);
    // The server may have heard of it.
    expect(h.sent().map(({ type }) => type)).toEqual(["subscribe", "unsubscribe", "publish"]);
  });

  test("an UNSUBSCRIBE leaves the subscription as it was", () => {
    const h = new Harness().connect();
    ask(h, "s");
    const [subscribe] = h.sent();
    h.feed({ type: "suback", packetId: (subscribe as { packetId: number }).packetId, returnCodes: [1] });
    h.session.unsubscribe(["s"], "u", h.now);
    for (let round = 0; round < 5; round++) h.advance(LIFE).lose().connect(true).sent();
    h.advance(PROBE).feed({ type: "pingresp" });
    expect(h.sent().map(({ type }) => type)).toEqual(["pingreq", "unsubscribe"]);
    h.advance(LIFE).lose();
    expect(h.results()).toEqual(["s:ok", "u:ERR_SUBSCRIBE_REFUSED"]);
    expect(h.connect(true).sentLines()).toEqual([]);
    expect(h.session.match("s")).toHaveLength(1);
  });

  test("a message under suspicion goes without any request beside it", () => {
    const h = after(5);
    ask(h, "s");
    h.connect(true).advance(PROBE).feed({ type: "pingresp" });
    expect(h.sentLines()).toEqual(["pingreq", "publish#1 dup q1 poison"]);
    h.feed({ type: "puback", packetId: 1 });
    expect(h.sent().map(({ type }) => type)).toEqual(["publish", "subscribe"]);
  });
});
