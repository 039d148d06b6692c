import { describe, expect, test } from "vitest";
import type { PacketInit, QoS } from "../../src/codec/types.js";
import { Inbound } from "../../src/session/inbound.js";
import { Harness } from "./harness.js";

function message(packetId: number, qos: QoS, text = `m${packetId}`, dup = false): PacketInit {
  return { type: "publish", topic: "t", payload: text, qos, dup, packetId: qos ? packetId : undefined };
}

function manual(): Harness {
  const h = new Harness();
  h.autoAcknowledge = false;
  return h.connect();
}

describe("incoming messages", () => {
  test("[MQTT-3.3.4-1 +] [MQTT-2.3.1-6 +] answered by QoS: nothing, PUBACK, PUBREC, with the id of the PUBLISH", () => {
    const h = new Harness().connect();
    h.feed(message(0, 0, "zero"), message(0x1234, 1, "one"), message(7, 2, "two"));
    expect(h.deliveries.map(({ text, qos, topic, retain, dup }) => [text, qos, topic, retain, dup])).toEqual([
      ["zero", 0, "t", false, false],
      ["one", 1, "t", false, false],
      ["two", 2, "t", false, false],
    ]);
    expect(h.sentBytes()).toEqual([0x40, 2, 0x12, 0x34, 0x50, 2, 0, 7]);
  });

  test("[MQTT-3.3.4-1 -] [MQTT-2.3.1-6 -] no answer before acknowledge, and none to QoS 0", () => {
    const h = manual();
    h.feed(message(0, 0), message(1, 1), message(2, 2));
    h.session.acknowledge(0, h.now);
    h.events();
    h.session.acknowledge(99, h.now);
    h.events();
    expect(h.sentLines()).toEqual([]);
    expect(h.deliveries.map(({ deliveryId }) => deliveryId > 0)).toEqual([false, true, true]);
  });

  test("[MQTT-4.3.2-2 +] QoS 1: PUBACK once taken; the same id afterwards is a new message", () => {
    const h = new Harness().connect();
    h.feed(message(5, 1, "a"), message(5, 1, "b", true));
    expect(h.deliveries.map(({ text }) => text)).toEqual(["a", "b"]);
    expect(h.sentLines()).toEqual(["puback#5", "puback#5"]);
  });

  test("[MQTT-4.3.2-2 -] QoS 1: a delivery is acknowledged once", () => {
    const h = manual().feed(message(5, 1));
    for (let i = 0; i < 3; i++) h.session.acknowledge(h.deliveries[0]!.deliveryId, h.now);
    h.events();
    expect(h.sentLines()).toEqual(["puback#5"]);
  });

  test("[MQTT-4.3.3-2 +] QoS 2: PUBREC for every repeat, PUBCOMP for every PUBREL, then the id is new", () => {
    const h = new Harness().connect();
    h.feed(message(5, 2, "a"), message(5, 2, "a", true), message(5, 2, "a"));
    expect(h.sentLines()).toEqual(["pubrec#5", "pubrec#5", "pubrec#5"]);
    h.feed({ type: "pubrel", packetId: 5 }, { type: "pubrel", packetId: 5 });
    expect(h.sentLines()).toEqual(["pubcomp#5", "pubcomp#5"]);
    h.feed(message(5, 2, "b"));
    expect(h.deliveries.map(({ text }) => text)).toEqual(["a", "b"]);
    expect(h.session.metrics.duplicatesSuppressed).toBe(2);
  });

  test("[MQTT-4.3.3-2 -] QoS 2: no second delivery on the next connection of the session", () => {
    const h = new Harness().connect().feed(message(5, 2, "a"));
    h.sent();
    h.reconnect(true).feed(message(5, 2, "a", true));
    expect(h.deliveries).toHaveLength(1);
    expect(h.sentLines()).toEqual(["pubrec#5"]);
  });

  test("[MQTT-4.6.0-2 +] [MQTT-4.6.0-3 +] PUBACK and PUBREC in order of arrival", () => {
    const h = new Harness().connect();
    h.feed(...[3, 1, 2].map((id) => message(id, id === 1 ? 2 : 1)));
    expect(h.sentLines()).toEqual(["puback#3", "pubrec#1", "puback#2"]);
  });

  test("[MQTT-4.6.0-2 -] [MQTT-4.6.0-3 -] whatever the order of acknowledge", () => {
    const h = manual();
    h.feed(...[11, 12, 13, 14, 15].map((id) => message(id, id % 2 ? 1 : 2)));
    const ids = h.deliveries.map(({ deliveryId }) => deliveryId);
    h.session.acknowledge(ids[3]!, h.now);
    h.events();
    h.session.acknowledge(ids[1]!, h.now);
    h.events();
    expect(h.sentLines()).toEqual([]);
    h.session.acknowledge(ids[0]!, h.now);
    h.events();
    expect(h.sentLines()).toEqual(["puback#11", "pubrec#12"]);
    h.session.acknowledge(ids[4]!, h.now);
    h.events();
    h.session.acknowledge(ids[2]!, h.now);
    h.events();
    expect(h.sentLines()).toEqual(["puback#13", "pubrec#14", "puback#15"]);
  });

  test("thousands of deliveries acknowledged in reverse, with new ones in between, keep their order", () => {
    const h = manual();
    for (let round = 0; round < 3; round++) {
      const first = h.deliveries.length;
      for (let id = 1; id <= 3_000; id++) h.feed(message(id, 1));
      for (let i = h.deliveries.length - 1; i >= first; i--) h.session.acknowledge(h.deliveries[i]!.deliveryId, h.now);
      h.events();
      expect(h.sentLines()).toEqual(Array.from({ length: 3_000 }, (_, i) => `puback#${i + 1}`));
    }
    h.feed(message(1, 1), message(2, 1));
    for (let id = 3; id < 5_000; id++) {
      h.feed(message(id, 1));
      h.session.acknowledge(h.deliveries.at(-3)!.deliveryId, h.now);
      h.events();
      expect(h.sentLines()).toEqual([`puback#${id - 2}`]);
    }
  });

  test("a delivery of an earlier connection is not acknowledged on the next one", () => {
    const h = manual().feed(message(5, 1, "a"));
    h.reconnect(true);
    h.session.acknowledge(h.deliveries[0]!.deliveryId, h.now);
    h.events();
    expect(h.sentLines()).toEqual([]);
    h.feed(message(5, 1, "a", true));
    expect(h.sentLines()).toEqual([]);
    h.session.acknowledge(h.deliveries[1]!.deliveryId, h.now);
    h.events();
    expect(h.sentLines()).toEqual(["puback#5"]);
  });

  test("QoS 2: acknowledged on the connection on which it came again, however late", () => {
    const h = manual().feed(message(5, 2, "a"));
    h.reconnect(true).feed(message(5, 2, "a", true), message(6, 1, "b"));
    expect(h.deliveries.map(({ text }) => text)).toEqual(["a", "b"]);
    h.session.acknowledge(h.deliveries[1]!.deliveryId, h.now);
    h.events();
    expect(h.sentLines()).toEqual([]);
    h.session.acknowledge(h.deliveries[0]!.deliveryId, h.now);
    h.events();
    expect(h.sentLines()).toEqual(["pubrec#5", "puback#6"]);
  });

  test("a refused delivery holds up no other and is delivered again when it comes again", () => {
    const h = manual().feed(message(1, 1, "a"), message(2, 2, "b"), message(3, 1, "c"), message(2, 2, "b", true));
    const [a, b, c] = h.deliveries.map(({ deliveryId }) => deliveryId);
    h.session.acknowledge(c!, h.now);
    h.events();
    h.session.refuse(a!, h.now);
    h.events();
    expect(h.sentLines()).toEqual([]);
    h.session.refuse(b!, h.now);
    h.events();
    expect(h.sentLines()).toEqual(["puback#3"]);
    h.session.acknowledge(a!, h.now);
    h.events();
    h.session.acknowledge(b!, h.now);
    h.events();
    expect(h.sentLines()).toEqual([]);
    h.reconnect(true).feed(message(1, 1, "a", true), message(2, 2, "b", true));
    expect(h.deliveries.slice(3).map(({ text, dup }) => [text, dup])).toEqual([
      ["a", true],
      ["b", true],
    ]);
  });

  test("[MQTT-4.5.0-2 +] [MQTT-3.3.2-3 +] a message that no subscription asked for is acknowledged all the same", () => {
    const h = new Harness().connect();
    h.feed({ type: "publish", topic: "never/asked/for", qos: 1, packetId: 1 });
    expect(h.sentLines()).toEqual(["puback#1"]);
  });

  test("[MQTT-4.5.0-2 -] [MQTT-3.3.2-3 -] and is no violation", () => {
    const h = new Harness().connect();
    h.feed({ type: "publish", topic: "never/asked/for", qos: 0 });
    expect(h.failures).toEqual([]);
    expect(h.deliveries).toHaveLength(1);
  });

  test("[MQTT-3.10.4-3 +] messages in flight while unsubscribing, and after it, are acknowledged", () => {
    const h = new Harness().connect();
    h.session.unsubscribe(["t"], "u", h.now);
    h.feed(message(1, 1), { type: "unsuback", packetId: 1 }, message(2, 2));
    expect(h.sentLines()).toEqual(["unsubscribe#1", "puback#1", "pubrec#2"]);
  });

  test("[MQTT-3.10.4-3 -] QoS 2 in flight is finished after UNSUBACK, without a second delivery", () => {
    const h = new Harness().connect().feed(message(2, 2));
    h.session.unsubscribe(["t"], "u", h.now);
    h.feed({ type: "unsuback", packetId: 1 }, message(2, 2, "m2", true), { type: "pubrel", packetId: 2 });
    expect(h.deliveries).toHaveLength(1);
    expect(h.sentLines()).toEqual(["pubrec#2", "unsubscribe#1", "pubrec#2", "pubcomp#2"]);
  });

  test("after a CONNECT whose CONNACK was lost, DUP 0 with a known identifier is a new message", () => {
    const h = new Harness().connect().feed(message(5, 2, "a"));
    h.lose().open().lose().connect(true).sent();
    h.feed(message(5, 2, "b"));
    expect(h.deliveries.map(({ text }) => text)).toEqual(["a", "b"]);
    expect(h.sentLines()).toEqual(["pubrec#5"]);
    h.reconnect(true).feed(message(5, 2, "b", true));
    expect(h.deliveries).toHaveLength(2);
  });

  test("after a CONNECT whose CONNACK was lost, a message that nobody took yet is not answered before it is taken", () => {
    const h = manual().feed(message(5, 2, "a"));
    h.lose().open().lose().connect(true).sent();
    h.feed(message(5, 2, "a", true));
    expect(h.deliveries).toHaveLength(1);
    expect(h.sentLines()).toEqual([]);
    h.session.acknowledge(h.deliveries[0]!.deliveryId, h.now);
    expect(h.sentLines()).toEqual(["pubrec#5"]);
  });

  test("what arrived after such a CONNECT is doubted no more", () => {
    const h = manual().feed(message(5, 2, "a"));
    h.lose().open().lose().connect(true).sent();
    h.feed(message(6, 2, "b"), message(6, 2, "b"));
    expect(h.deliveries.map(({ text }) => text)).toEqual(["a", "b"]);
    h.session.acknowledge(h.deliveries[1]!.deliveryId, h.now);
    h.feed(message(6, 2, "b"));
    expect(h.deliveries).toHaveLength(2);
    expect(h.sentLines()).toEqual(["pubrec#6", "pubrec#6", "pubrec#6"]);
  });

  test("a refused message that comes again on the same connection is answered when it is taken", () => {
    const h = manual().feed(message(2, 2, "a"));
    h.session.refuse(h.deliveries[0]!.deliveryId, h.now);
    h.feed(message(2, 2, "a", true));
    h.session.acknowledge(h.deliveries[1]!.deliveryId, h.now);
    expect(h.sentLines()).toEqual(["pubrec#2"]);
  });

  test("as many may wait as there are identifiers, not counting those that are answered", () => {
    const h = manual();
    const feed = (from: number, to: number): void =>
      void h.feed(...Array.from({ length: to - from + 1 }, (_, at) => message(from + at, 1)));
    feed(1, 60_000);
    for (const { deliveryId } of h.deliveries.slice(0, 10_000)) h.session.acknowledge(deliveryId, h.now);
    feed(1, 10_000);
    feed(60_001, 65_535);
    expect(h.events().failures).toEqual([]);
    feed(10_001, 10_001);
    expect(h.failures).toMatchObject([{ code: "ERR_PROTOCOL_VIOLATION" }]);
  });

  test.each(["before", "between", "after"])(
    "after a CONNECT whose CONNACK was lost, DUP 0 is a new message also where the old one was not taken yet, but %s",
    (when) => {
      const h = manual().feed(message(5, 2, "a"));
      const takeOld = (): void => void h.session.acknowledge(h.deliveries[0]!.deliveryId, h.now);
      h.lose().open().lose();
      if (when === "before") takeOld();
      h.connect(true).sent();
      if (when === "between") takeOld();
      h.feed(message(5, 2, "b"));
      if (when === "after") takeOld();
      expect(h.deliveries.map(({ text }) => text)).toEqual(["a", "b"]);
      expect(h.sentLines(), "nobody took it yet").toEqual([]);
      h.session.acknowledge(h.deliveries[1]!.deliveryId, h.now);
      expect(h.sentLines()).toEqual(["pubrec#5"]);
      h.feed(message(5, 2, "b", true));
      expect(h.deliveries).toHaveLength(2);
      expect(h.sentLines()).toEqual(["pubrec#5"]);
    },
  );

  test("a QoS 2 message is recorded when it is taken, and again with each repeat: the first record may have failed", () => {
    const told: string[] = [];
    const inbound = new Inbound({
      answer: (_, packetId) => void told.push(`pubrec ${packetId}`),
      taken: (packetId) => void told.push(`taken ${packetId}`),
    });
    const delivery = inbound.arrived(true, 5, false);
    expect(inbound.arrived(true, 5, true)).toBe(0);
    expect(told, "nobody took it yet").toEqual([]);
    inbound.settle(delivery, false);
    expect(told.splice(0)).toEqual(["taken 5", "pubrec 5", "pubrec 5"]);
    inbound.arrived(true, 5, true);
    expect(told).toEqual(["taken 5", "pubrec 5"]);
    expect(inbound.waiting).toBe(0);
  });

  test("[MQTT-7.1.2-1 +] a stream split anywhere gives the same session", () => {
    const bytes = [0x20, 2, 0, 0, 0x34, 6, 0, 1, 0x74, 0, 9, 0x61, 0x62, 2, 0, 9, 0x32, 6, 0, 1, 0x74, 0, 8, 0x62];
    for (let split = 0; split <= bytes.length; split++) {
      const h = new Harness().open();
      h.sent();
      h.feedBytes(bytes.slice(0, split)).feedBytes(bytes.slice(split));
      expect(h.deliveries.map(({ text }) => text)).toEqual(["a", "b"]);
      expect(h.sentLines()).toEqual(["pubrec#9", "pubcomp#9", "puback#8"]);
    }
  });

  test("[MQTT-7.1.2-1 -] a stream cut anywhere loses only what was not complete", () => {
    const bytes = [0x20, 2, 0, 0, 0x34, 6, 0, 1, 0x74, 0, 9, 0x61];
    for (let cut = 0; cut < bytes.length; cut++) {
      const h = new Harness().open();
      h.feedBytes(bytes.slice(0, cut)).lose();
      expect(h.deliveries).toEqual([]);
      h.connect(cut >= 4).feed(message(9, 2, "a", true));
      expect(h.deliveries).toHaveLength(1);
    }
  });
});

test("trace and metrics tell of every packet and its size", () => {
  const h = new Harness();
  const lines: string[] = [];
  h.session.trace = (direction, type, packetId, size) => lines.push(`${direction} ${type} ${packetId} ${size}`);
  h.connect().publish("a").publish("b", 0);
  h.session.subscribe([{ topicFilter: "f", qos: 0 }], "s", h.now);
  h.feed(message(300, 1, "xyz"), { type: "puback", packetId: 1 }, { type: "suback", packetId: 2, returnCodes: [0] });
  expect(lines).toEqual([
    "out connect 0 15",
    "in connack 0 4",
    "out publish 1 8",
    "out publish 0 6",
    "out subscribe 2 8",
    "in publish 300 10",
    "out puback 300 4",
    "in puback 1 4",
    "in suback 2 5",
  ]);
  expect(h.session.metrics).toEqual({
    packetsReceived: 4,
    packetsSent: 5,
    messagesReceived: 1,
    messagesSent: 2,
    resends: 0,
    duplicatesSuppressed: 0,
    inflight: 0,
    queued: 0,
    queuedBytes: 0,
  });
});
