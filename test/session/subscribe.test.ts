import { describe, expect, test } from "vitest";
import type { PacketInit, SubscribePacket } from "../../src/codec/types.js";
import { HubwireError } from "../../src/errors.js";
import type { SubscriptionRequest } from "../../src/codec/types.js";
import { Harness } from "./harness.js";

const f: SubscriptionRequest[] = [{ topicFilter: "f", qos: 1 }];
const aborted = new HubwireError("ERR_ABORTED", "aborted");

describe("SUBSCRIBE and UNSUBSCRIBE", () => {
  test("[MQTT-2.3.1-7 +] [MQTT-3.8.4-2 +] [MQTT-3.10.4-4 +] answers are matched by identifier, in any order", () => {
    const h = new Harness().connect();
    h.session.subscribe(f, "s1", h.now);
    h.session.subscribe([{ topicFilter: "g", qos: 2 }], "s2", h.now);
    h.session.unsubscribe(["f"], "u1", h.now);
    expect(h.sentLines()).toEqual(["subscribe#1", "subscribe#2", "unsubscribe#3"]);
    h.feed(
      { type: "unsuback", packetId: 3 },
      { type: "suback", packetId: 2, returnCodes: [2] },
      { type: "suback", packetId: 1, returnCodes: [0] },
    );
    expect(h.settled).toEqual([
      { request: "u1", code: undefined, returnCodes: undefined },
      { request: "s2", code: undefined, returnCodes: [2] },
      { request: "s1", code: undefined, returnCodes: [0] },
    ]);
  });

  test("[MQTT-2.3.1-7 -] [MQTT-3.8.4-2 -] [MQTT-3.10.4-4 -] another identifier, or type, completes nothing", () => {
    const h = new Harness().connect();
    h.session.subscribe(f, "s", h.now);
    h.session.unsubscribe(["f"], "u", h.now);
    h.publish("p");
    h.feed({ type: "suback", packetId: 9, returnCodes: [0, 0] }, { type: "unsuback", packetId: 9 });
    expect(h.settled).toEqual([]);
    expect(h.failures).toEqual([]);
  });

  test("512 requests are out at most, in order, and each answer lets the next go; restored subscriptions too", () => {
    const h = new Harness({ queue: { maxBytes: 4_000_000 } }).connect();
    const numbers = Array.from({ length: 1_000 }, (_, at) => at);
    for (const at of numbers) h.session.subscribe([{ topicFilter: `f/${at}`, qos: 0 }], `s${at}`, h.now);
    expect(h.sentLines()).toHaveLength(512);
    h.feed({ type: "suback", packetId: 2, returnCodes: [0] }, { type: "suback", packetId: 1, returnCodes: [0] });
    expect(h.sentLines()).toHaveLength(2);
    // One that was given up is still out, until its answer comes.
    h.session.cancelNamed("s3", aborted, h.now);
    expect(h.sentLines()).toEqual([]);
    h.reconnect(true);
    let packets = h.sent();
    expect(packets).toHaveLength(512);
    for (; packets.length > 0; packets = h.sent()) {
      for (const packet of packets) {
        if (packet.type === "subscribe") h.feed({ type: "suback", packetId: packet.packetId!, returnCodes: [0] });
        else if (packet.type === "unsubscribe") h.feed({ type: "unsuback", packetId: packet.packetId! });
      }
    }
    expect(h.results().filter((result) => result !== "s3:ERR_ABORTED")).toEqual([
      ...["s1:ok", "s0:ok"],
      ...numbers.filter((at) => at > 1 && at !== 3).map((at) => `s${at}:ok`),
    ]);
  });

  test("subscriptions that are restored go out with 512 filters at one time, whatever a SUBSCRIBE holds", () => {
    const h = new Harness({ queue: { maxBytes: 4_000_000 } }).connect();
    const names = Array.from({ length: 1_000 }, (_, at) => `f/${at}`);
    const subscribes = (): SubscribePacket[] => h.sent().filter((packet) => packet.type === "subscribe");
    const grant = ({ packetId, subscriptions }: SubscribePacket): void => {
      h.feed({ type: "suback", packetId, returnCodes: subscriptions.map(() => 0) });
    };
    for (const topicFilter of names) {
      h.session.subscribe([{ topicFilter, qos: 0 }], topicFilter, h.now);
      subscribes().forEach(grant);
    }
    h.reconnect(false);
    const restored: string[] = [];
    let out = 0;
    for (const waiting = subscribes(); waiting.length > 0; waiting.push(...subscribes())) {
      out = Math.max(out, waiting.flatMap(({ subscriptions }) => subscriptions).length);
      const packet = waiting.shift()!;
      restored.push(...packet.subscriptions.map(({ topicFilter }) => topicFilter));
      grant(packet);
    }
    expect(out).toBe(512);
    expect(restored).toEqual(names);
  });

  test("requests that wait are bounded by the memory that they take, and those that are over make room", () => {
    const h = new Harness();
    const ask = (at: number): void =>
      h.session.subscribe([{ topicFilter: "f".repeat(10_000), qos: 0 }], `s${at}`, h.now);
    const most = Math.floor((1024 * 1024) / 21_500);
    for (let at = 0; at < most; at++) ask(at);
    const full = expect.objectContaining({ code: "ERR_QUEUE_FULL", retryable: true });
    expect(() => ask(most)).toThrow(full);
    expect(() => h.session.unsubscribe(["f".repeat(10_000)], "u", h.now)).toThrow(full);
    h.session.cancelNamed("s0", aborted, h.now);
    ask(most);
    expect(() => ask(most + 1)).toThrow(full);
    expect(h.results()).toEqual(["s0:ERR_ABORTED"]);
  });

  test("a filter that several want is asked for with the highest QoS of theirs, also when it is restored", () => {
    const h = new Harness().connect();
    const ask = (qos: 0 | 1 | 2): void => h.session.subscribe([{ topicFilter: "f", qos }], `s${qos}`, h.now);
    const asked = (): unknown =>
      h.sent().map((packet) => (packet.type === "subscribe" ? packet.subscriptions : packet));
    ask(1);
    h.feed({ type: "suback", packetId: 1, returnCodes: [1] });
    ask(0);
    ask(2);
    expect(asked()).toEqual([
      [{ topicFilter: "f", qos: 1 }],
      // One of 0 would take from the first what it was granted.
      [{ topicFilter: "f", qos: 1 }],
      [{ topicFilter: "f", qos: 2 }],
    ]);
    h.feed({ type: "suback", packetId: 2, returnCodes: [1] }, { type: "suback", packetId: 3, returnCodes: [2] });
    h.reconnect(false);
    expect(asked()).toEqual([[{ topicFilter: "f", qos: 2 }]]);
  });

  test.each<PacketInit>([
    { type: "unsuback", packetId: 1 },
    { type: "puback", packetId: 1 },
    { type: "suback", packetId: 2, returnCodes: [0] },
    { type: "pubcomp", packetId: 2 },
  ])("what answers another request is a violation: $type", (packet) => {
    const h = new Harness().connect();
    h.session.subscribe(f, "s", h.now);
    h.session.unsubscribe(["f"], "u", h.now);
    h.feed(packet);
    expect(h.settled).toEqual([]);
    expect(h.failures.map(({ code }) => code)).toEqual(["ERR_PROTOCOL_VIOLATION"]);
  });

  test("[MQTT-3.9.3-1 +] [MQTT-3.8.4-5 +] [MQTT-3.9.3-2 +] one code a filter, in their order", () => {
    const h = new Harness().connect();
    const subscriptions = ["a", "b", "c", "d"].map((topicFilter) => ({ topicFilter, qos: 2 as const }));
    h.session.subscribe(subscriptions, "s", h.now);
    h.feed({ type: "suback", packetId: 1, returnCodes: [2, 0x80, 0, 1] });
    expect(h.settled).toEqual([{ request: "s", code: undefined, returnCodes: [2, 0x80, 0, 1] }]);
    h.sent();
    h.reconnect(false);
    expect(h.sent()).toMatchObject([
      { subscriptions: [{ topicFilter: "a" }, { topicFilter: "c" }, { topicFilter: "d" }] },
    ]);
  });

  test.each([[[0x90, 3, 0, 1, 0]], [[0x90, 5, 0, 1, 0, 0, 0]]])(
    "[MQTT-3.8.4-5 -] [MQTT-3.9.3-1 -] %j: another number is a violation",
    (bytes) => {
      const h = new Harness().connect();
      h.session.subscribe([...f, { topicFilter: "g", qos: 0 }], "s", h.now);
      h.feedBytes(bytes);
      expect(h.failures).toMatchObject([{ code: "ERR_PROTOCOL_VIOLATION", statement: "MQTT-3.8.4-5" }]);
      expect(h.settled).toEqual([]);
      h.sent();
      h.connect(true);
      expect(h.sentLines(), "asked again on the next connection").toEqual(["subscribe#2"]);
    },
  );

  test("[MQTT-3.9.3-2 -] codes that do not exist are a violation", () => {
    const h = new Harness().connect();
    h.session.subscribe(f, "s", h.now);
    h.feedBytes([0x90, 3, 0, 1, 3]);
    expect(h.failures).toMatchObject([{ statement: "MQTT-3.9.3-2" }]);
    expect(h.settled).toEqual([]);
  });

  test("[MQTT-3.10.4-5 +] [MQTT-3.10.4-6 +] one UNSUBACK for several filters, none of which was subscribed", () => {
    const h = new Harness().connect();
    h.session.unsubscribe(["a", "b"], "u", h.now);
    expect(h.sent()).toMatchObject([{ topicFilters: ["a", "b"] }]);
    h.feed({ type: "unsuback", packetId: 1 });
    expect(h.results()).toEqual(["u:ok"]);
  });

  test("[MQTT-3.10.4-5 -] [MQTT-3.10.4-6 -] a second UNSUBACK completes nothing else", () => {
    const h = new Harness().connect();
    h.session.unsubscribe(["a", "b"], "u1", h.now);
    h.session.unsubscribe(["c"], "u2", h.now);
    h.feed({ type: "unsuback", packetId: 1 }, { type: "unsuback", packetId: 1 });
    expect(h.results()).toEqual(["u1:ok"]);
  });

  test("[MQTT-3.8.4-1 +] [MQTT-3.8.4-1 -] a missing answer is noticed at the deadline, which counts connected time", () => {
    const h = new Harness({ operationTimeout: 1_000 });
    h.session.subscribe(f, "s", h.now);
    h.session.unsubscribe(["g"], "u", h.now);
    h.advance(5_000).connect();
    expect(h.sentLines()).toEqual(["subscribe#1", "unsubscribe#2"]);
    h.advance(1).feed({ type: "unsuback", packetId: 2 }).advance(998);
    expect(h.results()).toEqual(["u:ok"]);
    h.advance(1);
    expect(h.results()).toEqual(["u:ok", "s:ERR_TIMEOUT"]);
    expect(h.sentLines(), "the server may have it, and nobody wants it").toEqual(["unsubscribe#3"]);
    h.feed({ type: "suback", packetId: 1, returnCodes: [0] });
    expect(h.results(), "the late answer is ignored").toHaveLength(2);
    expect(h.failures).toEqual([]);
  });

  test("[MQTT-3.10.4-4 -] UNSUBACK that never comes is noticed; without a connection the request waits as a message does", () => {
    const h = new Harness({ operationTimeout: 1_000, queue: { maxAge: 5_000 } });
    h.session.unsubscribe(["g"], "u", h.now);
    h.advance(4_999);
    expect(h.results()).toEqual([]);
    h.advance(1);
    expect(h.results()).toEqual(["u:ERR_TIMEOUT"]);
    h.connect();
    expect(h.sentLines()).toEqual([]);
    h.session.unsubscribe(["g"], "v", h.now);
    h.advance(1_000);
    expect(h.results()).toEqual(["u:ERR_TIMEOUT", "v:ERR_TIMEOUT"]);
  });

  test("asked again after a lost connection, in order, until the deadline", () => {
    const h = new Harness().connect();
    h.session.subscribe(f, "s", h.now);
    h.session.unsubscribe(["g"], "u", h.now);
    h.sent();
    h.reconnect(true);
    const lines = h.sentLines();
    expect(lines.map((line) => line.split("#")[0])).toEqual(["subscribe", "unsubscribe"]);
    h.feed({ type: "suback", packetId: Number(lines[0]!.split("#")[1]), returnCodes: [1] });
    expect(h.results()).toEqual(["s:ok"]);
  });

  test("cancelled: not asked again; on the connection the identifier waits for its answer", () => {
    const h = new Harness();
    h.session.subscribe(f, "s1", h.now);
    h.session.cancelNamed("s1", aborted, h.now);
    h.events();
    h.connect();
    expect(h.sentLines()).toEqual([]);
    h.session.subscribe(f, "s2", h.now);
    h.session.cancelNamed("s2", aborted, h.now);
    h.events();
    h.feed({ type: "suback", packetId: 1, returnCodes: [0] }).sent();
    expect(h.results()).toEqual(["s1:ERR_ABORTED", "s2:ERR_ABORTED"]);
    h.reconnect(false);
    expect(h.sentLines(), "nobody wants that subscription").toEqual([]);
  });

  test("the caller's array may change afterwards", () => {
    const h = new Harness();
    const own = [{ topicFilter: "f", qos: 1 as const }];
    h.session.subscribe(own, "s", h.now);
    own[0]!.topicFilter = "#illegal";
    h.connect();
    expect(h.sent()).toMatchObject([{ subscriptions: [{ topicFilter: "f", qos: 1 }] }]);
  });
});
