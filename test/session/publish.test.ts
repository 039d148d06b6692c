import { describe, expect, test } from "vitest";
import type { PacketInit } from "../../src/codec/types.js";
import { HubwireError } from "../../src/errors.js";
import { messageMemory } from "../../src/session/memory.js";
import { Harness } from "./harness.js";

const aborted = new HubwireError("ERR_ABORTED", "aborted");

describe("outgoing messages", () => {
  test("[MQTT-4.3.1-1 +] [MQTT-2.3.1-5 +] [MQTT-3.3.1-2 +] QoS 0: no id, DUP 0, settled when written", () => {
    const h = new Harness().connect();
    h.publish("a", 0);
    expect(h.sentBytes()).toEqual([0x30, 4, 0, 1, 0x74, 0x61]);
    expect(h.results()).toEqual(["a:ok"]);
  });

  test("[MQTT-4.3.1-1 -] [MQTT-3.3.1-2 -] QoS 0 is never sent again", () => {
    const h = new Harness().connect();
    h.publish("a", 0).sent();
    h.reconnect(true);
    expect(h.sentLines()).toEqual([]);
    h.reconnect(false);
    expect(h.sentLines()).toEqual([]);
  });

  test("[MQTT-4.3.2-1 +] QoS 1: a new id, DUP 0, unacknowledged until PUBACK", () => {
    const h = new Harness().connect();
    h.publish("a");
    expect(h.sentBytes()).toEqual([0x32, 6, 0, 1, 0x74, 0, 1, 0x61]);
    expect(h.results()).toEqual([]);
    expect(h.session.metrics.inflight).toBe(1);
    h.feedBytes([0x40, 2, 0, 1]);
    expect(h.results()).toEqual(["a:ok"]);
    expect(h.session.metrics.inflight).toBe(0);
  });

  test("[MQTT-4.3.2-1 -] no other acknowledgement completes QoS 1", () => {
    const h = new Harness().connect();
    h.publish("a").sent();
    h.feed({ type: "puback", packetId: 2 });
    expect(h.results()).toEqual([]);
    expect(h.failures).toEqual([]);
    h.feed({ type: "puback", packetId: 1 }, { type: "puback", packetId: 1 });
    expect(h.results()).toEqual(["a:ok"]);
  });

  test.each<PacketInit>([
    { type: "pubcomp", packetId: 1 },
    { type: "pubrec", packetId: 1 },
    { type: "unsuback", packetId: 1 },
    { type: "suback", packetId: 1, returnCodes: [0] },
  ])("what the flow of QoS 1 never has is a violation: $type", (packet) => {
    const h = new Harness().connect().publish("a");
    h.feed(packet);
    expect(h.results()).toEqual([]);
    expect(h.failures.map(({ code }) => code)).toEqual(["ERR_PROTOCOL_VIOLATION"]);
  });

  test("[MQTT-4.3.3-1 +] QoS 2: PUBLISH, PUBREC, PUBREL, PUBCOMP", () => {
    const h = new Harness().connect();
    h.publish("a", 2);
    expect(h.sentBytes()).toEqual([0x34, 6, 0, 1, 0x74, 0, 1, 0x61]);
    h.feedBytes([0x50, 2, 0, 1]);
    expect(h.sentBytes()).toEqual([0x62, 2, 0, 1]);
    expect(h.results()).toEqual([]);
    h.feedBytes([0x70, 2, 0, 1]);
    expect(h.results()).toEqual(["a:ok"]);
  });

  test("[MQTT-4.3.3-1 -] QoS 2: nothing but PUBREC releases, nothing but PUBCOMP completes, no PUBLISH after PUBREL", () => {
    const h = new Harness().connect();
    h.publish("a", 2).sent();
    h.feed({ type: "pubcomp", packetId: 1 });
    expect(h.results()).toEqual([]);
    h.feed({ type: "pubrec", packetId: 1 }, { type: "pubrec", packetId: 1 });
    expect(h.sentLines()).toEqual(["pubrel#1", "pubrel#1"]);
    h.reconnect(true);
    expect(h.sentLines()).toEqual(["pubrel#1"]);
    expect(h.results()).toEqual([]);
    h.feed({ type: "pubcomp", packetId: 1 });
    expect(h.results()).toEqual(["a:ok"]);
  });

  test("a server that acknowledges QoS 2 with PUBACK has taken it as QoS 1, which is told once a connection", () => {
    const h = new Harness().connect().publish("a", 2).publish("b", 2);
    h.feed({ type: "puback", packetId: 1 }, { type: "puback", packetId: 2 });
    expect(h.results()).toEqual(["a:ok", "b:ok"]);
    expect(h.downgraded).toEqual(["ERR_PROTOCOL_VIOLATION"]);
    h.reconnect(true).publish("c", 2).feed({ type: "puback", packetId: 3 });
    expect(h.downgraded).toHaveLength(2);
    expect(h.failures).toEqual([]);
  });

  test("PUBACK after PUBREC is a violation", () => {
    const h = new Harness().connect().publish("a", 2);
    h.feed({ type: "pubrec", packetId: 1 }, { type: "puback", packetId: 1 });
    expect(h.failures.map(({ code }) => code)).toEqual(["ERR_PROTOCOL_VIOLATION"]);
  });

  test("a PUBREC for an unknown identifier is answered with PUBREL, so that the server can forget it", () => {
    const h = new Harness().connect();
    h.feed({ type: "pubrec", packetId: 77 });
    expect(h.sentBytes()).toEqual([0x62, 2, 0, 77]);
  });

  test("[MQTT-2.3.1-6 +] [MQTT-4.6.0-4 +] PUBREL repeats the identifiers of PUBREC, in its order", () => {
    const h = new Harness().connect();
    h.publish("a", 2).publish("b", 2).publish("c", 2).sent();
    h.feed({ type: "pubrec", packetId: 2 }, { type: "pubrec", packetId: 1 }, { type: "pubrec", packetId: 3 });
    expect(h.sentLines()).toEqual(["pubrel#2", "pubrel#1", "pubrel#3"]);
  });

  test("[MQTT-4.6.0-4 -] the order of PUBREC, not of PUBLISH, also after a reconnect", () => {
    const h = new Harness().connect();
    h.publish("a", 2).publish("b", 2).publish("c", 2).sent();
    h.feed({ type: "pubrec", packetId: 3 }, { type: "pubrec", packetId: 1 }).sent();
    h.reconnect(true);
    expect(h.sentLines()).toEqual(["pubrel#3", "pubrel#1", "publish#2 dup q2 b"]);
  });

  test("[MQTT-4.4.0-1 +] [MQTT-4.6.0-1 +] [MQTT-3.3.1-1 +] [MQTT-2.3.1-3 +] [MQTT-3.3.1-3 +] re-sent in order, with DUP and id", () => {
    const h = new Harness({ maxInflight: 4 }).connect();
    for (const name of ["a", "b", "c", "d", "e"]) h.publish(name, name === "c" ? 2 : 1);
    expect(h.sentLines()).toEqual(["publish#1 q1 a", "publish#2 q1 b", "publish#3 q2 c", "publish#4 q1 d"]);
    h.feed({ type: "puback", packetId: 2 });
    expect(h.sentLines()).toEqual(["publish#5 q1 e"]);
    h.lose().publish("f").connect(true);
    expect(h.sentLines()).toEqual([
      "publish#1 dup q1 a",
      "publish#3 dup q2 c",
      "publish#4 dup q1 d",
      "publish#5 dup q1 e",
    ]);
    expect(h.session.metrics).toMatchObject({ resends: 4, inflight: 4, queued: 1 });
    h.feed({ type: "puback", packetId: 1 });
    expect(h.sentLines()).toEqual(["publish#6 q1 f"]);
  });

  test("[MQTT-4.4.0-1 -] [MQTT-3.3.1-1 -] [MQTT-3.3.1-3 -] nothing is re-sent on a connection, nor DUP set on a first sending", () => {
    const h = new Harness().connect();
    h.publish("a").sent();
    h.advance(29_000);
    expect(h.sentLines()).toEqual([]);
    h.reconnect(false);
    expect(h.sentLines(), "a new message of a new session").toEqual(["publish#2 q1 a"]);
  });

  test("[MQTT-4.6.0-1 -] what is sent again in a new session stays before what waited", () => {
    const h = new Harness({ maxInflight: 2 }).connect();
    for (const name of ["a", "b", "c"]) h.publish(name);
    h.sent();
    h.lose().publish("d").connect(false);
    expect(h.sentLines()).toEqual(["publish#3 q1 a", "publish#4 q1 b"]);
    h.feed({ type: "puback", packetId: 3 }, { type: "puback", packetId: 4 });
    expect(h.sentLines()).toEqual(["publish#5 q1 c", "publish#6 q1 d"]);
  });

  test("QoS 2 that was never sent survives the loss of the session", () => {
    const h = new Harness().connect();
    h.publish("a", 2).sent();
    h.lose().publish("b", 2).connect(false);
    expect(h.results()).toEqual(["a:ERR_SESSION_LOST"]);
    expect(h.sentLines()).toEqual(["publish#2 q2 b"]);
  });

  test("illegal messages throw at once, sent or queued, and change nothing", () => {
    for (const h of [new Harness().connect(), new Harness()]) {
      const before = h.session.metrics.queued;
      for (const [topic, payload, qos] of [
        ["", "x", 1],
        ["a/+", "x", 1],
        ["t", 7, 1],
        ["t", "x", 3],
        ["t", "\ud800", 0],
        ["\0", "x", 0],
        ["x".repeat(70_000), "x", 2],
      ] as [string, string, 1][]) {
        expect(() => h.session.send(topic, payload, qos, false, "r", h.now)).toThrow(
          expect.objectContaining({ code: "ERR_INVALID_PACKET" }),
        );
      }
      expect(h.sentLines()).toEqual([]);
      expect(h.session.metrics).toMatchObject({ queued: before, inflight: 0 });
      expect(h.results()).toEqual([]);
    }
  });
});

describe("packet identifiers", () => {
  test("[MQTT-2.3.1-1 +] [MQTT-2.3.1-2 +] all 65,535 are usable, each once, and never 0", () => {
    const h = new Harness({ maxInflight: 65_535 }).connect();
    for (let i = 0; i < 65_535; i++) h.session.send("t", "", 1, false, "", h.now);
    const ids = h.sent().map((packet) => ("packetId" in packet ? packet.packetId! : 0));
    expect(new Set(ids).size).toBe(65_535);
    expect(Math.min(...ids.slice(0, 10_000))).toBe(1);
    expect(h.session.metrics).toMatchObject({ inflight: 65_535, queued: 0 });
  });

  test("[MQTT-2.3.1-1 -] [MQTT-2.3.1-2 -] when all are taken everything waits for one to be free", () => {
    const h = new Harness({ maxInflight: 70_000 }).connect();
    for (let i = 0; i < 65_535; i++) h.session.send("t", "", 1, false, "", h.now);
    h.publish("late");
    h.session.subscribe([{ topicFilter: "f", qos: 0 }], "s", h.now);
    h.sent();
    expect(h.session.metrics).toMatchObject({ inflight: 65_535, queued: 1 });
    h.feed({ type: "puback", packetId: 40_000 }, { type: "puback", packetId: 3 });
    expect(h.sentLines()).toEqual(["publish#40000 q1 late", "subscribe#3"]);
  });

  test("[MQTT-2.3.1-3 -] one is not free before its final acknowledgement, even when nobody waits", () => {
    const h = new Harness().connect();
    for (let i = 1; i <= 255; i++) h.session.send("t", "", i === 1 ? 2 : 1, false, `${i}`, h.now);
    h.session.cancelNamed("1", aborted, h.now);
    h.events();
    for (let i = 2; i <= 255; i++) h.feed({ type: "puback", packetId: i });
    h.feed({ type: "pubrec", packetId: 1 }).sent();
    for (let i = 0; i < 300; i++) {
      h.session.send("t", "", 1, false, "", h.now);
      const [packet] = h.sent();
      expect(packet).not.toMatchObject({ packetId: 1 });
      h.feed({ type: "puback", packetId: (packet as { packetId: number }).packetId });
    }
    h.feed({ type: "pubcomp", packetId: 1 });
    expect(h.session.metrics.inflight).toBe(0);
  });

  test("[MQTT-2.3.1-5 -] QoS 0 takes none", () => {
    const h = new Harness().connect();
    h.publish("a", 0).publish("b", 1);
    expect(h.sentLines()).toEqual(["publish q0 a", "publish#1 q1 b"]);
  });
});

describe("the window and the queue", () => {
  test("maxInflight holds back, in order, QoS 0 behind the others", () => {
    const h = new Harness({ maxInflight: 2 }).connect();
    h.publish("a").publish("b", 2).publish("c").publish("d", 0).publish("e");
    expect(h.sentLines()).toEqual(["publish#1 q1 a", "publish#2 q2 b"]);
    expect(h.session.metrics).toMatchObject({ inflight: 2, queued: 3, queuedBytes: expect.any(Number) });
    h.feed({ type: "puback", packetId: 1 });
    expect(h.sentLines()).toEqual(["publish#3 q1 c", "publish q0 d"]);
    h.feed({ type: "pubrec", packetId: 2 }, { type: "pubcomp", packetId: 2 });
    expect(h.sentLines()).toEqual(["pubrel#2", "publish#4 q1 e"]);
    expect(h.results()).toEqual(["a:ok", "d:ok", "b:ok"]);
    expect(h.session.metrics).toMatchObject({ inflight: 2, queued: 0, queuedBytes: 0 });
  });

  test("QoS 2 may have a window of its own, which holds back what is behind it", () => {
    const h = new Harness({ maxInflightQos2: 1 }).connect();
    h.publish("a", 2).publish("b", 1).publish("c", 2).publish("d", 1);
    expect(h.sentLines()).toEqual(["publish#1 q2 a", "publish#2 q1 b"]);
    h.feed({ type: "pubrec", packetId: 1 }).sent();
    h.reconnect(true);
    expect(h.sentLines(), "one that waits for PUBCOMP still counts").toEqual(["pubrel#1", "publish#2 dup q1 b"]);
    h.feed({ type: "pubcomp", packetId: 1 });
    expect(h.sentLines()).toEqual(["publish#3 q2 c", "publish#4 q1 d"]);
    h.reconnect(false);
    expect(h.results()).toEqual(["a:ok", "c:ERR_SESSION_LOST"]);
    h.publish("e", 2);
    expect(h.sentLines().at(-1)).toBe("publish#7 q2 e");
  });

  test("what is in flight is bounded by maxBytes too, or one message", () => {
    const h = new Harness({ queue: { maxBytes: 4_000 } }).connect();
    const [one, two, three] = ["1", "2", "3"].map((text) => text.repeat(1_400)) as [string, string, string];
    h.publish(one).publish(two).publish(three);
    expect(h.sentLines()).toEqual([`publish#1 q1 ${one}`, `publish#2 q1 ${two}`]);
    h.feed({ type: "puback", packetId: 2 });
    expect(h.sentLines()).toEqual([`publish#3 q1 ${three}`]);
    h.feed({ type: "puback", packetId: 1 }, { type: "puback", packetId: 3 });
    const large = "x".repeat(5_000);
    expect(h.publish(large).publish("small").sentLines()).toEqual([`publish#4 q1 ${large}`]);
    expect(() => h.publish(large), "it never fits into the queue").toThrow(HubwireError);
    h.feed({ type: "puback", packetId: 4 });
    expect(h.sentLines()).toEqual(["publish#5 q1 small"]);
  });

  test("after the end nothing is counted any more", () => {
    const h = new Harness({ maxInflight: 1 }).connect().publish("a", 2).publish("b");
    expect(h.session.metrics).toMatchObject({ inflight: 1, queued: 1 });
    h.session.end(new HubwireError("ERR_CLOSED", "closed"));
    expect(h.session.metrics).toMatchObject({ inflight: 0, queued: 0, queuedBytes: 0 });
  });

  test("offline messages wait in order and are sent after CONNACK", () => {
    const h = new Harness().publish("a", 0).publish("b", 1).publish("c", 2);
    expect(h.results()).toEqual([]);
    h.connect();
    expect(h.sentLines()).toEqual(["publish q0 a", "publish#1 q1 b", "publish#2 q2 c"]);
    expect(h.results()).toEqual(["a:ok"]);
  });

  test.each([[{ maxCount: 2 }], [{ maxBytes: 2 * messageMemory("t", "a", true) }]])(
    "full at %j: the next one is refused",
    (queue) => {
      const h = new Harness({ queue }).publish("a").publish("b");
      expect(() => h.publish("c")).toThrow(expect.objectContaining({ code: "ERR_QUEUE_FULL", retryable: true }));
      h.connect();
      expect(h.sentLines()).toEqual(["publish#1 q1 a", "publish#2 q1 b"]);
    },
  );

  test.each([
    ["ERR_QUEUE_FULL", { maxCount: 1 }],
    ["ERR_NOT_CONNECTED", { maxCount: 0 }],
  ])("%s is one error for all of a millisecond: 100,000 may be refused in a turn", (code, queue) => {
    const h = new Harness({ queue });
    if (queue.maxCount > 0) h.publish("a");
    const refusal = (): unknown => {
      try {
        h.publish("b");
      } catch (error) {
        return error;
      }
      return undefined;
    };
    const first = refusal();
    expect(first).toMatchObject({ code });
    expect(refusal()).toBe(first);
    h.now += 1;
    expect(refusal()).toMatchObject({ code });
    expect(refusal()).not.toBe(first);
  });

  test("drop-oldest makes room and says so", () => {
    const h = new Harness({
      queue: { maxCount: 2, maxBytes: messageMemory("t", "123456", true), overflow: "drop-oldest" },
    });
    h.publish("a").publish("b");
    expect(h.results()).toEqual(["a:ERR_QUEUE_FULL"]);
    h.publish("123456");
    expect(h.results()).toEqual(["a:ERR_QUEUE_FULL", "b:ERR_QUEUE_FULL"]);
    expect(() => h.publish("1234567"), "one that never fits drops nothing").toThrow(HubwireError);
    expect(h.session.metrics).toMatchObject({ queued: 1, queuedBytes: messageMemory("t", "123456", true) });
  });

  test("what waits for the socket is counted as it is kept: the first as they came, all others packed", () => {
    const h = new Harness({ queue: { maxCount: 10_000, maxBytes: 10_000_000 } }).connect();
    h.session.writable(false, h.now);
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    const [asIs, packed] = [messageMemory("t", bytes("12345678"), false), messageMemory("t", "12345678", true)];
    for (let i = 0; i < 2_000; i++) h.session.send("t", bytes(`${10_000_000 + i}`), 0, false, `${i}`, h.now);
    const first = (h.session.metrics.queuedBytes - 2_000 * packed) / (asIs - packed);
    expect(first).toBeGreaterThan(100);
    expect(first).toBeLessThan(2_000);
    h.lose();
    expect(h.session.metrics.queuedBytes, "without a connection they may wait for long").toBe(2_000 * packed);
    h.connect();
    expect(h.sentLines()).toEqual(Array.from({ length: 2_000 }, (_, i) => `publish q0 ${10_000_000 + i}`));
    expect(h.session.metrics).toMatchObject({ queued: 0, queuedBytes: 0 });
  });

  test("what waits for the socket pins no memory that is not counted", () => {
    const h = new Harness().connect();
    h.session.writable(false, h.now);
    const chunk = new Uint8Array(5_000).fill(0x61);
    h.session.send("t", chunk.subarray(100, 110), 0, false, "a", h.now);
    expect(h.session.metrics.queuedBytes).toBe(messageMemory("t", "aaaaaaaaaa", true));
    // Its memory is not what waits.
    chunk.fill(0x62);
    h.session.writable(true, h.now);
    expect(h.sentLines()).toEqual(["publish q0 aaaaaaaaaa"]);
  });

  test("maxCount 0 and QoS 0 with `qos0: false` need a connection", () => {
    const none = new Harness({ queue: { maxCount: 0 } });
    expect(() => none.publish("a")).toThrow(expect.objectContaining({ code: "ERR_NOT_CONNECTED" }));
    const h = new Harness({ queue: { qos0: false }, maxInflight: 1 });
    expect(() => h.publish("a", 0)).toThrow(expect.objectContaining({ code: "ERR_NOT_CONNECTED" }));
    h.connect().publish("b").publish("c").publish("d", 0).sent();
    expect(h.session.metrics.queued, "it waits behind others on a connection").toBe(2);
    h.lose();
    expect(h.results()).toEqual(["d:ERR_CONNECTION_LOST"]);
  });

  test("maxAge: what waits for too long is rejected, sent or not, but not while it is under way", () => {
    const h = new Harness({ maxInflight: 1, operationTimeout: 1e9, queue: { maxAge: 5_000 } }).connect();
    h.publish("a").publish("b").advance(4_000);
    h.publish("c").advance(1_000);
    expect(h.results()).toEqual(["b:ERR_MESSAGE_EXPIRED"]);
    h.lose().advance(0);
    expect(h.results()).toEqual(["b:ERR_MESSAGE_EXPIRED", "a:ERR_MESSAGE_EXPIRED"]);
    h.sent();
    h.connect(true);
    expect(h.sentLines(), "its fate is still settled with the server").toEqual(["publish#1 dup q1 a"]);
    h.feed({ type: "puback", packetId: 1 });
    expect(h.sentLines()).toEqual(["publish#2 q1 c"]);
  });

  test("maxAge without a connection: each by its own age, in whatever order the server released them", () => {
    const h = new Harness({ queue: { maxAge: 5_000 } }).connect().publish("a", 2).advance(1_000).publish("b", 2);
    h.feed({ type: "pubrec", packetId: 2 }, { type: "pubrec", packetId: 1 }).lose().advance(3_999);
    expect(h.results()).toEqual([]);
    h.advance(1);
    expect(h.results()).toEqual(["a:ERR_MESSAGE_EXPIRED"]);
    h.advance(1_000);
    expect(h.results()).toEqual(["a:ERR_MESSAGE_EXPIRED", "b:ERR_MESSAGE_EXPIRED"]);
  });

  test("a transport that takes no more holds PUBLISH back, nothing else", () => {
    const h = new Harness().connect();
    h.session.writable(false, h.now);
    h.events();
    h.publish("a", 0).publish("b", 1);
    h.feed({ type: "publish", topic: "t", qos: 1, packetId: 4 });
    expect(h.sentLines()).toEqual(["puback#4"]);
    h.session.writable(true, h.now);
    h.events();
    expect(h.sentLines()).toEqual(["publish q0 a", "publish#1 q1 b"]);
  });

  test("wantsWrite is said once each time the output becomes non-empty", () => {
    const h = new Harness().connect();
    h.sent();
    h.wantsWrite = 0;
    h.publish("a").publish("b", 0);
    expect(h.wantsWrite).toBe(1);
    h.sent();
    h.publish("c");
    expect(h.wantsWrite).toBe(2);
  });
});

describe("deadlines and giving up", () => {
  test("PUBLISH without acknowledgement is rejected in time; its identifier stays taken", () => {
    const h = new Harness({ operationTimeout: 1_000 }).connect();
    h.publish("a").advance(600);
    h.publish("b", 2).advance(399);
    expect(h.results()).toEqual([]);
    h.advance(1);
    expect(h.results()).toEqual(["a:ERR_TIMEOUT"]);
    expect(
      h.failures.map(({ code }) => code),
      "nothing was acknowledged meanwhile",
    ).toEqual(["ERR_TIMEOUT"]);
    h.sent();
    h.connect(true);
    expect(h.sentLines()).toEqual(["publish#1 dup q1 a", "publish#2 dup q2 b"]);
    h.advance(1).feed({ type: "pubrec", packetId: 2 }).advance(998);
    expect(h.results(), "the deadline runs from the last packet sent").toEqual(["a:ERR_TIMEOUT"]);
    h.advance(2);
    expect(h.results()).toEqual(["a:ERR_TIMEOUT", "b:ERR_TIMEOUT"]);
    expect(h.session.metrics.inflight).toBe(2);
    h.feed({ type: "puback", packetId: 1 }, { type: "pubcomp", packetId: 2 });
    expect(h.session.metrics.inflight).toBe(0);
    expect(h.results()).toHaveLength(2);
  });

  test("a connection is sick when no acknowledgement comes, or when the oldest waits three times as long", () => {
    const h = new Harness({ operationTimeout: 1_000 }).connect();
    h.publish("a").advance(100).publish("b");
    h.feed({ type: "puback", packetId: 2 }).advance(2_899);
    expect(h.failures, "others are acknowledged").toEqual([]);
    h.advance(1);
    expect(h.failures.map(({ code }) => code)).toEqual(["ERR_TIMEOUT"]);
  });

  test("each sick connection doubles the patience, until an acknowledgement comes", () => {
    const h = new Harness({ operationTimeout: 1_000 }).connect().publish("a");
    const lives: number[] = [];
    for (let round = 0; round < 4; round++) {
      const from = h.now;
      const before = h.failures.length;
      while (h.failures.length === before) h.advance(100);
      lives.push(h.now - from);
      h.sent();
      h.connect(true);
    }
    expect(lives).toEqual([1_000, 2_000, 4_000, 8_000]);
    h.feed({ type: "puback", packetId: 1 }).publish("b").advance(1_000);
    expect(h.failures).toHaveLength(5);
  });

  test("time without a connection does not count", () => {
    const h = new Harness({ operationTimeout: 1_000 }).connect();
    h.publish("a").advance(900);
    h.lose().advance(60_000);
    h.connect(true).advance(999);
    expect(h.results()).toEqual([]);
    h.advance(1);
    expect(h.results()).toEqual(["a:ERR_TIMEOUT"]);
  });

  test("a cancelled message in the queue is never sent", () => {
    const h = new Harness().publish("a").publish("b").publish("c");
    h.session.cancelNamed("b", aborted, h.now);
    h.events();
    h.session.cancelNamed("b", aborted, h.now);
    h.events();
    expect(h.results()).toEqual(["b:ERR_ABORTED"]);
    h.connect();
    expect(h.sentLines()).toEqual(["publish#1 q1 a", "publish#2 q1 c"]);
    expect(h.session.metrics).toMatchObject({ queued: 0, queuedBytes: 0 });
  });

  test("when all give up at once, what was sent is finished with the server, and what was not is forgotten", () => {
    const h = new Harness({ maxInflight: 2 })
      .connect()
      .publish("a")
      .publish("b", 2)
      .feed({ type: "pubrec", packetId: 2 });
    h.publish("c");
    h.session.subscribe([{ topicFilter: "f", qos: 0 }], "s", h.now);
    h.sent();
    h.session.cancelAll(aborted, h.now);
    h.events();
    expect(h.results().sort()).toEqual(["a", "b", "c", "s"].map((name) => `${name}:ERR_ABORTED`));
    expect(h.session.metrics).toMatchObject({ inflight: 2, queued: 0, queuedBytes: 0 });
    expect(h.reconnect(true).sentLines()).toEqual(["pubrel#2", "publish#1 dup q1 a", "unsubscribe#5"]);
    h.feed({ type: "puback", packetId: 1 }, { type: "pubcomp", packetId: 2 });
    expect(h.session.metrics.inflight).toBe(0);
    expect(h.results()).toHaveLength(4);
  });

  test("a cancelled message in flight is finished with the server, and not made a new one", () => {
    const h = new Harness().connect();
    h.publish("a").publish("b", 2).sent();
    h.session.cancelNamed("a", aborted, h.now);
    h.events();
    h.session.cancelNamed("b", aborted, h.now);
    h.events();
    expect(h.results()).toEqual(["a:ERR_ABORTED", "b:ERR_ABORTED"]);
    h.reconnect(true);
    expect(h.sentLines()).toEqual(["publish#1 dup q1 a", "publish#2 dup q2 b"]);
    h.reconnect(false);
    expect(h.sentLines()).toEqual([]);
    expect(h.session.metrics.inflight).toBe(0);
    expect(h.results()).toHaveLength(2);
  });

  test("cancelling what is over, or unknown, does nothing", () => {
    const h = new Harness().connect();
    h.publish("a", 0);
    h.session.cancelNamed("a", aborted, h.now);
    h.events();
    h.session.cancelNamed("zzz", aborted, h.now);
    h.events();
    expect(h.results()).toEqual(["a:ok"]);
  });

  test("end settles everything once and refuses everything after", () => {
    const h = new Harness({ maxInflight: 2 }).connect();
    h.publish("a").publish("b", 2).publish("c");
    h.session.subscribe([{ topicFilter: "f", qos: 0 }], "s", h.now);
    h.session.cancelNamed("a", aborted, h.now);
    h.events();
    h.session.end(new HubwireError("ERR_CLOSED", "closed"));
    expect(h.results()).toEqual(["a:ERR_ABORTED", "b:ERR_CLOSED", "c:ERR_CLOSED", "s:ERR_CLOSED"]);
    expect(h.session.nextDeadline()).toBe(Infinity);
    expect(h.session.state).toBe("closed");
    for (const call of [() => h.publish("d"), () => h.open(), () => h.session.unsubscribe(["f"], "u", h.now)]) {
      expect(call).toThrow(expect.objectContaining({ code: "ERR_CLOSED" }));
    }
    h.session.end(new HubwireError("ERR_CLOSED", "closed"));
    h.session.lost(undefined, h.now);
    expect(h.results()).toHaveLength(4);
  });

  test("end after disconnect leaves DISCONNECT to be fetched", () => {
    const h = new Harness().connect();
    h.session.disconnect(h.now);
    h.session.end(new HubwireError("ERR_CLOSED", "closed"));
    expect(h.sentBytes()).toEqual([0xe0, 0]);
  });
});

describe("drain", () => {
  test("without the queue: new PUBLISH wait, drained when everything is acknowledged, resumed on the next connection", () => {
    const h = new Harness().connect();
    h.publish("a").publish("b", 2);
    h.session.subscribe([{ topicFilter: "f", qos: 0 }], "s", h.now);
    h.session.drain(false, h.now);
    h.events();
    h.publish("c").publish("d", 0).sent();
    h.feed({ type: "puback", packetId: 1 }, { type: "pubrec", packetId: 2 }, { type: "pubcomp", packetId: 2 });
    expect(h.drained).toBe(0);
    h.feed({ type: "suback", packetId: 3, returnCodes: [0] });
    expect(h.drained).toBe(1);
    expect(h.sentLines()).toEqual(["pubrel#2"]);
    h.session.disconnect(h.now);
    h.lose().connect(true);
    expect(h.drained).toBe(1);
    expect(h.sentLines()).toEqual(["publish#4 q1 c", "publish q0 d"]);
  });

  test("with the queue: empties it first", () => {
    const h = new Harness({ maxInflight: 1 }).connect();
    h.publish("a").publish("b").publish("c", 0);
    h.session.drain(true, h.now);
    h.events();
    h.feed({ type: "puback", packetId: 1 });
    expect(h.drained).toBe(0);
    h.feed({ type: "puback", packetId: 2 });
    expect(h.drained).toBe(1);
    expect(h.results()).toEqual(["a:ok", "c:ok", "b:ok"]);
  });

  test("waits for nobody who has given up, nor without a connection", () => {
    const h = new Harness({ operationTimeout: 1_000 }).connect();
    h.publish("a").publish("b");
    h.session.drain(true, h.now);
    h.events();
    h.session.cancelNamed("a", aborted, h.now);
    h.events();
    expect(h.drained).toBe(0);
    h.advance(1_000);
    expect(h.drained).toBe(1);
    const offline = new Harness().publish("a");
    offline.session.drain(true, offline.now);
    offline.events();
    expect(offline.drained).toBe(1);
    const cut = new Harness().connect().publish("a");
    cut.session.drain(true, cut.now);
    cut.events();
    cut.lose();
    expect(cut.drained).toBe(1);
  });

  test("a message that became a new one is waited for once", () => {
    const h = new Harness().connect().publish("a").publish("b", 2).feed({ type: "pubrec", packetId: 2 });
    h.sent();
    h.reconnect(true);
    expect(h.session.metrics.resends).toBe(2);
    h.reconnect(false).sent();
    h.session.drain(false, h.now);
    expect(h.events().drained).toBe(0);
    h.feed({ type: "puback", packetId: 3 });
    expect(h.drained).toBe(1);
    expect(h.results()).toEqual(["b:ERR_SESSION_LOST", "a:ok"]);
  });

  test("with the queue: not before the transport takes what is queued", () => {
    const h = new Harness().connect();
    h.session.writable(false, h.now);
    h.publish("a");
    h.session.drain(true, h.now);
    expect(h.events().drained).toBe(0);
    h.session.writable(true, h.now);
    expect(h.events().drained).toBe(0);
    h.feed({ type: "puback", packetId: 1 });
    expect(h.drained).toBe(1);
    h.publish("b").feed({ type: "puback", packetId: 2 });
    expect(h.drained, "once").toBe(1);
  });

  test("is over at once where nothing is in flight", () => {
    const h = new Harness().connect();
    h.session.drain(false, h.now);
    h.events();
    expect(h.drained).toBe(1);
  });
});

describe("a long queue", () => {
  const queued = (count: number): Harness => {
    const h = new Harness({ queue: { maxCount: 100_000, maxBytes: 1e9 } });
    for (let at = 0; at < count; at++) h.session.send(`t/${at}`, "x".repeat(1_000), 0, false, `${at}`, h.now);
    return h;
  };

  test("leaves in steps of 256 KiB, each when the output before it has been taken, in order", () => {
    const h = queued(1_000);
    h.open().sent();
    h.session.receive(Uint8Array.of(0x20, 2, 0, 0), h.now);
    const sent: string[] = [];
    for (let step = 0; step < 4; step++) {
      expect(h.session.outputBytes).toBeLessThan(257 * 1024);
      expect(h.session.hasMore).toBe(step < 3);
      h.session.writable(true, h.now);
      expect(h.session.outputBytes, "nothing more before it is taken").toBeLessThan(257 * 1024);
      sent.push(...h.sent().map((packet) => (packet.type === "publish" ? packet.topic : packet.type)));
      h.session.writable(true, h.now);
    }
    expect(sent).toEqual(Array.from({ length: 1_000 }, (_, at) => `t/${at}`));
    expect(h.session.metrics.queued).toBe(0);
  });

  test("is emptied by a drain that includes it, step by step", () => {
    const h = queued(600).connect();
    h.session.drain(true, h.now);
    expect(h.events().drained).toBe(0);
    h.sent();
    h.session.writable(true, h.now);
    expect(h.events().drained).toBe(0);
    h.sent();
    h.session.writable(true, h.now);
    expect(h.events().drained).toBe(1);
  });

  test("has nothing more to send on a connection that was left or lost", () => {
    const h = queued(600).connect();
    expect(h.session.hasMore).toBe(true);
    h.session.disconnect(h.now);
    expect(h.session.hasMore).toBe(false);
    const other = queued(600).connect().lose();
    expect(other.session.hasMore).toBe(false);
  });
});

describe("much that goes again", () => {
  const lost = (count = 1_000): Harness => {
    const h = new Harness({ maxInflight: 1_000, queue: { maxBytes: 1e9 } }).connect();
    for (let at = 0; at < count; at++) h.session.send(`t/${at}`, "x".repeat(1_000), 1, false, `${at}`, h.now);
    // As many bytes as one step takes of the queue.
    while (h.session.hasMore) {
      h.sent();
      h.session.writable(true, h.now);
    }
    h.sent();
    expect(h.session.metrics.inflight).toBe(count);
    return h.lose();
  };
  const resume = (h: Harness): Harness => {
    h.open().sent();
    h.session.receive(Uint8Array.of(0x20, 2, 1, 0), h.now);
    return h;
  };
  const topics = (h: Harness): string[] =>
    h
      .sent()
      .map((packet) => (packet.type === "publish" ? `${packet.dup ? "again " : ""}${packet.topic}` : packet.type));
  const again = (from: number, to: number): string[] =>
    Array.from({ length: to - from }, (_, at) => `again t/${from + at}`);

  test("[MQTT-4.4.0-1] leaves in steps of 256 KiB, in order, and what is new behind it", () => {
    const h = resume(lost());
    h.session.send("new", "", 0, false, "new", h.now);
    const sent: string[] = [];
    for (let step = 0; step < 4; step++) {
      expect(h.session.outputBytes).toBeLessThan(257 * 1024);
      expect(h.session.hasMore).toBe(step < 3);
      sent.push(...topics(h));
      h.session.writable(true, h.now);
    }
    expect(sent).toEqual([...again(0, 1_000), "new"]);
    expect(h.session.metrics.resends).toBe(1_000);
  });

  test("waits for a transport that takes no more", () => {
    const h = resume(lost());
    const first = topics(h).length;
    h.session.writable(false, h.now);
    expect(topics(h)).toEqual([]);
    h.session.writable(true, h.now);
    expect(topics(h)[0]).toBe(`again t/${first}`);
  });

  test("is in order after a second cut in the middle of it", () => {
    const h = resume(lost());
    const first = topics(h).length;
    h.feed({ type: "puback", packetId: 1 });
    const second = topics(h);
    expect(second).toEqual(again(first, first + second.length));
    resume(h.lose());
    const sent: string[] = [];
    for (let step = 0; step < 4; step++) {
      sent.push(...topics(h));
      h.session.writable(true, h.now);
    }
    expect(sent).toEqual(again(1, 1_000));
    expect(h.results()).toEqual(["0:ok"]);
  });

  test("is acknowledged, given up or late before it was sent again", () => {
    const h = resume(lost());
    h.feed({ type: "puback", packetId: 1_000 });
    h.session.cancelNamed("998", aborted, h.now);
    h.session.writable(false, h.now);
    h.now += 30_001;
    h.session.tick(h.now);
    const results = h.results();
    expect(results.slice(0, 2)).toEqual(["999:ok", "998:ERR_ABORTED"]);
    expect(new Set(results.slice(2))).toEqual(new Set(Array.from({ length: 998 }, (_, at) => `${at}:ERR_TIMEOUT`)));
  });

  test("is not sent behind a DISCONNECT, and becomes new in a new session", () => {
    const h = resume(lost(600));
    topics(h);
    h.session.disconnect(h.now);
    h.session.writable(true, h.now);
    expect(topics(h)).toEqual(["disconnect"]);
    h.lose().open().sent();
    h.session.receive(Uint8Array.of(0x20, 2, 0, 0), h.now);
    const sent: string[] = [];
    for (let step = 0; step < 3; step++) {
      sent.push(...topics(h));
      h.session.writable(true, h.now);
    }
    expect(sent).toEqual(Array.from({ length: 600 }, (_, at) => `t/${at}`));
  });

  test("is over with the client", () => {
    const h = resume(lost(600));
    h.session.end(aborted);
    expect(h.results()).toHaveLength(600);
  });
});
