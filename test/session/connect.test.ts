import { describe, expect, test } from "vitest";
import { encode } from "../../src/codec/index.js";
import type { PacketInit } from "../../src/codec/types.js";
import { Harness } from "./harness.js";

const publish: PacketInit = { type: "publish", topic: "t", payload: "x", qos: 1, packetId: 9 };

describe("CONNECT", () => {
  test("[MQTT-3.1.0-1 +] [MQTT-3.1.0-2 +] is the first packet and sent once", () => {
    const h = new Harness();
    h.publish("early");
    h.session.subscribe([{ topicFilter: "f", qos: 1 }], "s", h.now);
    h.open();
    expect(h.sentBytes()).toEqual([0x10, 13, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0, 0, 0, 0, 1, 0x63]);
    h.feed({ type: "connack", returnCode: 0 });
    expect(h.sentLines()).toEqual(["subscribe#1", "publish#2 q1 early"]);
  });

  test("[MQTT-3.1.0-1 -] [MQTT-3.1.0-2 -] nothing is written without or before it, and no second one", () => {
    const h = new Harness();
    h.publish("early");
    expect(h.sentBytes()).toEqual([]);
    h.open();
    h.sent();
    h.session.acknowledge(1, h.now);
    h.events();
    h.publish("later", 0);
    h.session.unsubscribe(["f"], "u", h.now);
    h.session.writable(true, h.now);
    h.events();
    expect(h.sentLines()).toEqual([]);
    h.session.open(h.connectOptions, h.now);
    expect(h.sentLines()).toEqual(["connect"]);
  });

  test("an illegal one throws and leaves no connection", () => {
    const h = new Harness();
    expect(() => h.open({ clientId: "" })).toThrow(expect.objectContaining({ code: "ERR_INVALID_PACKET" }));
    expect(h.session.state).toBe("closed");
    expect(h.sentBytes()).toEqual([]);
  });

  test("[MQTT-3.1.3-2 +] [MQTT-3.1.2-4 +] [MQTT-4.1.0-1 +] the session outlives its connection", () => {
    const h = new Harness().connect();
    h.publish("a", 1).publish("b", 2);
    h.sent();
    h.feed({ type: "pubrec", packetId: 2 }).sent();
    h.reconnect(true);
    expect(h.sentLines()).toEqual(["pubrel#2", "publish#1 dup q1 a"]);
    h.feed({ type: "puback", packetId: 1 }, { type: "pubcomp", packetId: 2 });
    expect(h.results()).toEqual(["a:ok", "b:ok"]);
  });

  test("[MQTT-3.1.3-2 -] [MQTT-3.1.2-4 -] [MQTT-4.1.0-1 -] state that the server does not have is not resumed", () => {
    const h = new Harness().connect();
    h.publish("a", 1).publish("b", 2);
    h.sent();
    h.reconnect(false);
    expect(h.sentLines()).toEqual(["publish#3 q1 a"]);
    expect(h.results()).toEqual(["b:ERR_SESSION_LOST"]);
  });

  test("[MQTT-3.1.2-6 +] CleanSession 1: what was known of inbound messages is discarded", () => {
    const h = new Harness().connect(false, { cleanSession: true });
    const second: PacketInit = { ...publish, qos: 2, packetId: 1 };
    h.feed(second);
    expect(h.sentLines()).toEqual(["pubrec#1"]);
    h.reconnect(false, { cleanSession: true }).feed(second);
    expect(h.deliveries).toHaveLength(2);
    expect(h.sentLines()).toEqual(["pubrec#1"]);
  });

  test("[MQTT-3.1.2-6 -] CleanSession 1: nothing is re-sent with DUP or an old identifier's meaning", () => {
    const h = new Harness().connect(false, { cleanSession: true });
    h.publish("a", 1).publish("b", 2).publish("c", 2);
    h.sent();
    h.feed({ type: "pubrec", packetId: 2 }).sent();
    h.reconnect(false, { cleanSession: true });
    expect(h.sentLines()).toEqual(["publish#4 q1 a"]);
    expect(h.results()).toEqual(["b:ERR_SESSION_LOST", "c:ERR_SESSION_LOST"]);
  });

  test("[MQTT-4.1.0-2 +] state is kept while connected", () => {
    const h = new Harness().connect(false, { cleanSession: true });
    h.autoAcknowledge = false;
    h.feed({ ...publish, qos: 2 }, { ...publish, qos: 2, dup: true });
    expect(h.deliveries).toHaveLength(1);
  });

  test("[MQTT-4.1.0-2 -] an idle connection does not make it expire", () => {
    const h = new Harness().connect();
    h.feed({ ...publish, qos: 2 }).sent();
    h.advance(86_400_000);
    h.feed({ ...publish, qos: 2, dup: true });
    expect(h.deliveries).toHaveLength(1);
    expect(h.sentLines()).toEqual(["pubrec#9"]);
  });
});

describe("CONNACK", () => {
  test("[MQTT-3.1.4-4 +] code 0: connected", () => {
    const h = new Harness().open();
    expect(h.session.state).toBe("connecting");
    h.feedBytes([0x20, 2, 0, 0]);
    expect(h.connections).toEqual([false]);
    expect(h.session.state).toBe("connected");
  });

  test("[MQTT-3.1.4-1 +] [MQTT-3.2.2-6 +] the server may close without it: everything waits for the next connection", () => {
    const h = new Harness().publish("a").open();
    h.lose();
    expect(h.session.state).toBe("closed");
    expect(h.results()).toEqual([]);
    h.connect();
    expect(h.sentLines()).toEqual(["publish#1 q1 a"]);
  });

  test("[MQTT-3.1.4-1 -] a close without CONNACK does not count as a connection", () => {
    const h = new Harness().open().lose();
    expect(h.connections).toEqual([]);
    expect(h.failures).toEqual([]);
  });

  test.each([
    [1, "ERR_PROTOCOL_VERSION", false],
    [2, "ERR_IDENTIFIER_REJECTED", false],
    [3, "ERR_SERVER_UNAVAILABLE", true],
    [4, "ERR_BAD_CREDENTIALS", false],
    [5, "ERR_NOT_AUTHORIZED", false],
  ])(
    "[MQTT-3.1.2-2 +] [MQTT-3.1.3-8 +] [MQTT-3.1.3-9 +] [MQTT-3.2.2-5 +] code %i is %s",
    (returnCode, code, retryable) => {
      const h = new Harness().open();
      h.feedBytes([0x20, 2, 0, returnCode]);
      expect(h.failures).toMatchObject([{ code, retryable }]);
      expect(h.session.state).toBe("closed");
      expect(h.connections).toEqual([]);
    },
  );

  test("[MQTT-3.1.2-2 -] [MQTT-3.1.3-8 -] [MQTT-3.1.3-9 -] other codes are not taken for those", () => {
    const h = new Harness().open();
    h.feedBytes([0x20, 2, 0, 6]);
    expect(h.failures).toMatchObject([{ code: "ERR_MALFORMED_PACKET" }]);
  });

  test("[MQTT-3.1.4-5 +] [MQTT-3.2.2-5 -] nothing after a refusal is taken or written", () => {
    const h = new Harness().open();
    h.sent();
    h.feedBytes([0x20, 2, 0, 5, ...encode(publish), 0x20, 2, 0, 0]);
    h.feed(publish);
    h.publish("a");
    expect(h.failures).toHaveLength(1);
    expect(h.deliveries).toEqual([]);
    expect(h.sentLines()).toEqual([]);
    expect(h.connections).toEqual([]);
  });

  test("[MQTT-3.1.4-5 -] a message that was queued for a refused connection does not count as delivered", () => {
    const h = new Harness().publish("a", 0).publish("b", 1).open();
    h.feed({ type: "connack", returnCode: 5 });
    expect(h.results()).toEqual([]);
    h.connect();
    expect(h.sentLines()).toEqual(["publish q0 a", "publish#1 q1 b"]);
  });

  test("[MQTT-3.2.2-4 -] a refusal with session present is a violation", () => {
    const h = new Harness().open();
    h.feedBytes([0x20, 2, 1, 5]);
    expect(h.failures).toMatchObject([{ statement: "MQTT-3.2.2-4" }]);
  });

  test("[MQTT-3.2.2-4 +] a refusal without it is the refusal", () => {
    const h = new Harness().open();
    h.feedBytes([0x20, 2, 0, 5]);
    expect(h.failures).toMatchObject([{ code: "ERR_NOT_AUTHORIZED" }]);
  });

  test("[MQTT-3.2.0-1 +] comes first, and packets may follow in the same chunk", () => {
    const h = new Harness().open();
    h.feed({ type: "connack", returnCode: 0 }, publish);
    expect(h.failures).toEqual([]);
    expect(h.deliveries).toHaveLength(1);
  });

  test.each<PacketInit>([
    publish,
    { type: "puback", packetId: 1 },
    { type: "pubrec", packetId: 1 },
    { type: "pubrel", packetId: 1 },
    { type: "pubcomp", packetId: 1 },
    { type: "suback", packetId: 1, returnCodes: [0] },
    { type: "unsuback", packetId: 1 },
    { type: "pingresp" },
  ])("[MQTT-3.2.0-1 -] $type before it is a violation", (packet) => {
    const h = new Harness().open();
    h.feed(packet, { type: "connack", returnCode: 0 });
    expect(h.failures).toMatchObject([{ code: "ERR_PROTOCOL_VIOLATION", statement: "MQTT-3.2.0-1" }]);
    expect(h.deliveries).toEqual([]);
    expect(h.connections).toEqual([]);
  });

  test("[MQTT-3.2.0-1 -] a second one is a violation", () => {
    const h = new Harness().connect().feed({ type: "connack", returnCode: 0 });
    expect(h.failures).toMatchObject([{ code: "ERR_PROTOCOL_VIOLATION" }]);
    expect(h.connections).toEqual([false]);
  });

  test("[MQTT-3.2.2-1 +] CleanSession 1 with session present 0", () => {
    expect(new Harness().connect(false, { cleanSession: true }).connections).toEqual([false]);
  });

  test("[MQTT-3.2.2-1 -] CleanSession 1 with session present 1 is a violation", () => {
    const h = new Harness().connect(true, { cleanSession: true });
    expect(h.failures).toMatchObject([{ code: "ERR_PROTOCOL_VIOLATION", statement: "MQTT-3.2.2-1" }]);
    expect(h.connections).toEqual([]);
  });

  test("[MQTT-3.2.2-2 +] session present 1: resumed, no subscription is asked for again", () => {
    const h = new Harness().connect();
    h.session.subscribe([{ topicFilter: "f", qos: 1 }], "s", h.now);
    h.feed({ type: "suback", packetId: 1, returnCodes: [1] })
      .publish("a")
      .sent();
    h.reconnect(true);
    expect(h.connections).toEqual([false, true]);
    expect(h.sentLines()).toEqual(["publish#2 dup q1 a"]);
  });

  test("[MQTT-3.2.2-2 -] session present 1 after a CONNECT without CONNACK may be a new session: subscribed again", () => {
    const h = new Harness().connect();
    h.session.subscribe([{ topicFilter: "f", qos: 1 }], "s", h.now);
    h.feed({ type: "suback", packetId: 1, returnCodes: [1] });
    h.lose().open().lose().connect(true);
    expect(h.sentLines()).toEqual(["subscribe#2"]);
    h.feed({ type: "suback", packetId: 2, returnCodes: [1] });
    h.lose().open().feed({ type: "connack", returnCode: 3 }).lose().connect(true);
    expect(h.sentLines(), "a refused CONNECT makes no session").toEqual([]);
  });

  test("[MQTT-3.2.2-3 +] session present 0: subscriptions first, then what has to be sent again, then what waited", () => {
    const h = new Harness().connect();
    for (const [index, topicFilter] of ["f", "g", "h"].entries()) {
      h.session.subscribe([{ topicFilter, qos: 2 }], topicFilter, h.now);
      h.feed({ type: "suback", packetId: index + 1, returnCodes: [index === 2 ? 0x80 : 1] });
    }
    h.session.unsubscribe(["g"], "u", h.now);
    h.feed({ type: "unsuback", packetId: 4 }).publish("a").sent();
    h.lose().publish("b", 0).connect(false);
    const packets = h.sent();
    expect(packets.map(({ type }) => type)).toEqual(["subscribe", "publish", "publish"]);
    expect(packets[0]).toMatchObject({ subscriptions: [{ topicFilter: "f", qos: 2 }] });
    expect(packets.slice(1)).toMatchObject([{ qos: 1, dup: false }, { qos: 0 }]);
  });

  test("[MQTT-3.2.2-3 -] a SUBSCRIBE that the lost session took with it is not forgotten", () => {
    const h = new Harness().connect();
    h.session.subscribe([{ topicFilter: "f", qos: 1 }], "s", h.now);
    h.feed({ type: "suback", packetId: 1, returnCodes: [1] }).sent();
    h.reconnect(false);
    expect(h.sentLines()).toEqual(["subscribe#2"]);
    // The connection goes before the SUBACK, and the server now has a session, without the subscription.
    h.reconnect(true);
    expect(h.sentLines()).toEqual(["subscribe#3"]);
    h.feed({ type: "suback", packetId: 3, returnCodes: [1] });
    h.reconnect(true);
    expect(h.sentLines()).toEqual([]);
  });

  test("more filters than a SUBSCRIBE should hold are restored in several", () => {
    const h = new Harness().connect();
    const subscriptions = Array.from({ length: 20 }, (_, index) => ({ topicFilter: `f${index}`, qos: 0 as const }));
    h.session.subscribe(subscriptions, "s", h.now);
    h.feed({ type: "suback", packetId: 1, returnCodes: subscriptions.map(() => 0) }).sent();
    h.reconnect(false);
    const packets = h.sent() as { subscriptions: { topicFilter: string }[] }[];
    expect(packets.map((packet) => packet.subscriptions.length)).toEqual([8, 8, 4]);
    expect(packets.flatMap((packet) => packet.subscriptions)).toEqual(subscriptions);
  });

  test("a restored subscription that is refused is reported and forgotten", () => {
    const h = new Harness().connect();
    h.session.subscribe(
      [
        { topicFilter: "f", qos: 0 },
        { topicFilter: "g", qos: 0 },
      ],
      "s",
      h.now,
    );
    h.feed({ type: "suback", packetId: 1, returnCodes: [0, 0] });
    h.reconnect(false).sent();
    h.feed({ type: "suback", packetId: 2, returnCodes: [0x80, 0] });
    expect(h.refused).toEqual(["f"]);
    h.reconnect(false);
    expect(h.sent()).toMatchObject([{ subscriptions: [{ topicFilter: "g" }] }]);
  });

  test("a restored subscription that is not answered ends the connection", () => {
    const h = new Harness().connect();
    h.session.subscribe([{ topicFilter: "f", qos: 0 }], "s", h.now);
    h.feed({ type: "suback", packetId: 1, returnCodes: [0] });
    h.reconnect(false).advance(30_000);
    expect(h.failures).toMatchObject([{ code: "ERR_TIMEOUT" }]);
    h.now += 100_000;
    h.connect(true);
    expect(h.failures, "its deadline begins anew").toHaveLength(1);
  });
});

describe("violations", () => {
  test.each([
    ["CONNECT", [...encode({ type: "connect", clientId: "x" })]],
    ["SUBSCRIBE", [0x82, 6, 0, 1, 0, 1, 0x74, 0]],
    ["UNSUBSCRIBE", [0xa2, 5, 0, 1, 0, 1, 0x74]],
    ["PINGREQ", [0xc0, 0]],
    ["DISCONNECT", [0xe0, 0]],
    ["SUBACK with too few codes", [0x90, 3, 0, 1, 0]],
    ["reserved flags", [0x41, 2, 0, 1]],
  ])("[MQTT-4.8.0-1 +] %s: fails once, delivers and writes nothing after it", (_, bytes) => {
    const h = new Harness().connect();
    h.session.subscribe(
      [
        { topicFilter: "a", qos: 0 },
        { topicFilter: "b", qos: 0 },
      ],
      "s",
      h.now,
    );
    h.sent();
    h.feedBytes([...encode(publish), ...bytes, ...encode({ ...publish, packetId: 10 })]);
    h.feed({ ...publish, packetId: 11 });
    h.session.lost(undefined, h.now);
    expect(h.deliveries).toHaveLength(1);
    expect(h.failures).toHaveLength(1);
    expect(h.failures[0]!.kind).toBe("peer");
    expect(h.sentLines()).toEqual([]);
    expect(h.session.state).toBe("closed");
  });

  test("[MQTT-4.8.0-1 -] unexpected but legal packets are none", () => {
    const h = new Harness().connect();
    h.feed(
      { type: "puback", packetId: 7 },
      { type: "pubcomp", packetId: 7 },
      { type: "suback", packetId: 7, returnCodes: [0] },
      { type: "unsuback", packetId: 7 },
      { type: "pingresp" },
      { type: "pubrec", packetId: 7 },
      { type: "pubrel", packetId: 8 },
    );
    expect(h.failures).toEqual([]);
    expect(h.sentLines()).toEqual(["pubrel#7", "pubcomp#8"]);
  });

  test("[MQTT-4.8.0-2 +] an owner that throws while a packet is processed ends the connection", () => {
    const h = new Harness().connect();
    h.onDeliver = () => {
      throw new TypeError("broken owner");
    };
    h.feed(publish, { ...publish, packetId: 10 });
    expect(h.failures).toMatchObject([{ code: "ERR_HANDLER", cause: new TypeError("broken owner") }]);
    expect(h.deliveries).toHaveLength(1);
    expect(h.sentLines()).toEqual([]);
  });

  test("[MQTT-4.8.0-2 -] the session goes on with the next connection", () => {
    const h = new Harness().connect();
    h.onDeliver = () => {
      throw new TypeError("broken owner");
    };
    h.feed(publish);
    h.onDeliver = undefined;
    h.connect(true).feed({ ...publish, dup: true });
    expect(h.sentLines()).toEqual(["puback#9"]);
  });

  test("an owner that ends the connection from inside `deliver` gets nothing more", () => {
    for (const end of ["lost", "disconnect"] as const) {
      const h = new Harness().connect();
      h.autoAcknowledge = false;
      h.onDeliver = () => (end === "lost" ? h.lose() : h.session.disconnect(h.now));
      h.feed(publish, { ...publish, packetId: 10 });
      expect(h.deliveries).toHaveLength(1);
      expect(h.failures).toEqual([]);
    }
  });
});

describe("DISCONNECT", () => {
  test("[MQTT-3.14.4-2 +] [MQTT-3.14.4-1 +] is the last packet, and the connection is over", () => {
    const h = new Harness({ maxInflight: 1 }).connect();
    h.publish("a").publish("b").sent();
    h.session.disconnect(h.now);
    expect(h.session.state).toBe("closing");
    expect(h.sentBytes()).toEqual([0xe0, 0]);
  });

  test("[MQTT-3.14.4-2 -] [MQTT-3.14.4-1 -] nothing is written or taken after it", () => {
    const h = new Harness({ maxInflight: 1 }).connect(false, { keepAlive: 1 });
    h.autoAcknowledge = false;
    h.publish("a").publish("b").feed(publish);
    h.session.disconnect(h.now);
    h.sent();
    h.feed({ type: "puback", packetId: 1 }, { type: "pubrec", packetId: 5 }, { ...publish, packetId: 10 });
    h.session.acknowledge(h.deliveries[0]!.deliveryId, h.now);
    h.events();
    h.publish("c", 0);
    h.session.subscribe([{ topicFilter: "f", qos: 0 }], "s", h.now);
    h.session.disconnect(h.now);
    h.session.writable(true, h.now);
    h.events();
    h.session.drain(true, h.now);
    h.events();
    h.advance(10_000);
    expect(h.sentLines()).toEqual([]);
    expect(h.deliveries).toHaveLength(1);
    expect(h.results()).toEqual([]);
  });
});

describe("nothing but the standard", () => {
  test("[MQTT-7.0.0-2 +] a server that knows the standard alone is enough for everything", () => {
    const h = new Harness().open();
    expect(h.sentBytes().slice(0, 10)).toEqual([0x10, 13, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 0]);
    h.feedBytes([0x20, 2, 0, 0]);
    h.session.subscribe([{ topicFilter: "t", qos: 2 }], "s", h.now);
    expect(h.sentBytes()).toEqual([0x82, 6, 0, 1, 0, 1, 0x74, 2]);
    h.feedBytes([0x90, 3, 0, 1, 2]).publish("a", 2);
    expect(h.sentBytes()).toEqual([0x34, 6, 0, 1, 0x74, 0, 2, 0x61]);
    h.feedBytes([0x50, 2, 0, 2, 0x34, 6, 0, 1, 0x74, 0, 1, 0x61]);
    expect(h.sentBytes()).toEqual([0x62, 2, 0, 2, 0x50, 2, 0, 1]);
    h.feedBytes([0x70, 2, 0, 2, 0x62, 2, 0, 1]);
    expect(h.sentBytes()).toEqual([0x70, 2, 0, 1]);
    h.session.unsubscribe(["t"], "u", h.now);
    expect(h.sentBytes()).toEqual([0xa2, 5, 0, 3, 0, 1, 0x74]);
    h.feedBytes([0xb0, 2, 0, 3]);
    expect(h.results()).toEqual(["s:ok", "a:ok", "u:ok"]);
  });

  test.each([
    ["a reason code after the identifier", [0x40, 3, 0, 1, 0]],
    ["an AUTH packet", [0xf0, 0]],
    ["a DISCONNECT by the server", [0xe0, 2, 0x8b, 0]],
    ["properties in CONNACK", [0x20, 3, 0, 0, 0]],
  ])("[MQTT-7.0.0-2 -] %s, of MQTT 5, is refused", (_, bytes) => {
    const h = new Harness().connect().publish("a");
    h.feedBytes(bytes);
    expect(h.failures).toMatchObject([{ kind: "peer" }]);
    expect(h.results()).toEqual([]);
  });
});
