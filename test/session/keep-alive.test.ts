import { describe, expect, test } from "vitest";
import type { PacketInit } from "../../src/codec/types.js";
import { Harness } from "./harness.js";

const K = 10_000;
const message: PacketInit = { type: "publish", topic: "t", qos: 0 };

function connected(): Harness {
  const h = new Harness({ operationTimeout: 1e9 }).connect(false, { keepAlive: K / 1000 });
  h.sent();
  return h;
}

/**
 * Runs for `ms` in steps, doing `each` at every step; returns when PINGREQ left and when the session failed,
 * from the start.
 */
function run(h: Harness, ms: number, step: number, each: () => void): { pings: number[]; failed: number } {
  const start = h.now;
  const pings: number[] = [];
  for (let at = step; at <= ms && !h.failures.length; at += step) {
    h.advance(step);
    if (h.sentLines().includes("pingreq")) pings.push(h.now - start);
    if (!h.failures.length) each();
  }
  return { pings, failed: h.failures.length ? h.now - start : 0 };
}

describe("keep alive", () => {
  test("[MQTT-3.1.2-23 +] PINGREQ when nothing was sent for nearly the interval", () => {
    const h = connected();
    h.advance(K * 0.9 - 1);
    expect(h.sentBytes()).toEqual([]);
    h.advance(1);
    expect(h.sentBytes()).toEqual([0xc0, 0]);
    h.feed({ type: "pingresp" }).advance(K * 0.9);
    expect(h.sentLines()).toEqual(["pingreq"]);
    expect(h.failures).toEqual([]);
  });

  test("[MQTT-3.1.2-23 -] inbound traffic delays no PINGREQ", () => {
    const h = connected();
    const { pings, failed } = run(h, 5 * K, K / 100, () => h.feed(message, { type: "pingresp" }));
    expect(failed).toBe(0);
    expect(pings.length).toBeGreaterThanOrEqual(5);
    expect(Math.max(...pings.map((at, index) => at - (pings[index - 1] ?? 0)))).toBeLessThan(K);
  });

  test("sending counts as activity, so no PINGREQ is wasted", () => {
    const h = connected();
    const { pings } = run(h, 3 * K, K / 4, () => h.publish("x", 0).feed(message));
    expect(pings).toEqual([]);
  });

  test("[MQTT-3.12.4-1 +] PINGRESP keeps the connection", () => {
    const h = connected().advance(K * 0.9);
    for (let i = 0; i < 10; i++) {
      expect(h.sentLines()).toEqual(["pingreq"]);
      h.advance(K * 0.4)
        .feed({ type: "pingresp" })
        .advance(K * 0.5);
    }
    expect(h.failures).toEqual([]);
  });

  test("[MQTT-3.12.4-1 -] without PINGRESP the connection is given up within 1.5 intervals of the last byte", () => {
    const h = connected();
    const { failed } = run(h, 5 * K, K / 1000, () => {});
    expect(failed).toBeGreaterThan(K * 1.3);
    expect(failed).toBeLessThanOrEqual(K * 1.5);
    expect(h.failures).toMatchObject([{ code: "ERR_KEEP_ALIVE_TIMEOUT", statement: "MQTT-3.12.4-1", retryable: true }]);
    expect(h.session.state).toBe("closed");
  });

  test.each([0, 1, 2] as const)(
    "[MQTT-3.12.4-1 -] a dead path is noticed in time while publishing with QoS %i",
    (qos) => {
      const h = connected();
      const { failed } = run(h, 5 * K, K / 100, () => h.publish("x", qos));
      expect(failed).toBeGreaterThan(K * 1.3);
      expect(failed).toBeLessThanOrEqual(K * 1.5);
    },
  );

  test("a path that dies at any time after a byte came is noticed within 1.5 intervals of that byte", () => {
    for (let alive = 0; alive < 3 * K; alive += K / 7) {
      const h = connected();
      run(h, alive, K / 50, () => h.feed({ type: "pingresp" }));
      const last = h.now;
      run(h, 3 * K, K / 100, () => h.publish("x", 0));
      expect(h.failures).toHaveLength(1);
      expect(h.now - last).toBeLessThanOrEqual(K * 1.5);
    }
  });

  test("bytes that come are life, PINGRESP or not", () => {
    const h = connected();
    const { pings, failed } = run(h, 5 * K, K / 100, () => h.feed(message));
    expect(pings[0]).toBe(K * 0.9);
    expect(failed).toBe(0);
  });

  test("output that the network takes after it had to wait is life, and PINGRESP may be behind what was sent", () => {
    const h = connected();
    const taken = run(h, 5 * K, K / 100, () => h.session.progressed(h.now));
    expect(taken.failed).toBe(0);
    const slow = connected();
    slow.session.wrote(1024 * 1024);
    // 16 s at 64 KiB a second.
    expect(run(slow, 5 * K, K / 100, () => {}).failed).toBeGreaterThan(K * 1.4 + 16_000 - K / 10);
  });

  test("PINGREQ goes on every 0.9 intervals while one that was sent may still be on its way", () => {
    const h = connected();
    h.session.wrote(1024 * 1024);
    expect(run(h, 2 * K, K / 100, () => {}).pings).toEqual([K * 0.9, K * 1.8]);
  });

  test("a large packet that is still arriving is life", () => {
    const h = connected();
    // PUBLISH of 100,000 bytes, a few at a time.
    h.feedBytes([0x30, 0xa0, 0x8d, 0x06, 0, 1, 0x74]);
    const { failed } = run(h, 5 * K, K / 10, () => h.feedBytes([1, 2, 3]));
    expect(failed).toBe(0);
  });

  test("an event loop that was blocked gets to read before it gives up", () => {
    const h = connected();
    h.advance(K * 0.9);
    h.now += 20 * K;
    h.session.tick(h.now);
    expect(h.failures).toEqual([]);
    h.feed({ type: "pingresp" }).advance(K * 0.9);
    expect(h.failures).toEqual([]);
    h.now += 20 * K;
    h.session.tick(h.now);
    h.advance(K / 20);
    expect(h.failures, "but not for long").toHaveLength(1);
  });

  test("an owner that has paused reading is asked for a look; a peer of which nothing is there is gone", () => {
    const h = connected();
    h.session.reading(false, h.now);
    const alive = run(h, 5 * K, K / 100, () => {
      if (h.looks === 0) return;
      h.looks = 0;
      h.feed(message);
    });
    expect(alive.failed).toBe(0);
    expect(alive.pings.length).toBeGreaterThanOrEqual(3);
    const { failed } = run(h, 5 * K, K / 100, () => {});
    expect(failed).toBeGreaterThan(0);
    expect(failed).toBeLessThanOrEqual(2.5 * K);
  });

  test("an owner that has paused reading has half an interval for its look", () => {
    const h = connected();
    h.session.reading(false, h.now);
    let lookedAt = Infinity;
    run(h, 5 * K, K / 100, () => {
      if (h.looks > 0 && lookedAt === Infinity) lookedAt = h.now;
    });
    expect(h.failures.map(({ code }) => code)).toEqual(["ERR_KEEP_ALIVE_TIMEOUT"]);
    expect(h.looks, "one look is asked for").toBe(1);
    expect(h.now - lookedAt).toBeGreaterThanOrEqual(K / 2);
    expect(h.now - lookedAt).toBeLessThanOrEqual(0.6 * K);
  });

  test("the half interval is over in time also where no PINGREQ is due then", () => {
    const h = connected();
    h.session.reading(false, h.now);
    // 4.5 s at 64 KiB a second: the look is asked for at 18.5 s, PINGREQ is due at 18 and 27.
    h.session.wrote(294_912);
    const { failed } = run(h, 5 * K, K / 100, () => {});
    expect(failed).toBeGreaterThanOrEqual(K * 2.35);
    expect(failed).toBeLessThanOrEqual(K * 2.45);
  });

  test("0 turns it off", () => {
    const h = new Harness().connect(false, { keepAlive: 0 });
    h.sent();
    h.advance(1e9);
    expect(h.sentLines()).toEqual([]);
    expect(h.session.nextDeadline()).toBe(Infinity);
  });

  test("a new connection begins anew", () => {
    const h = connected();
    h.advance(K * 0.9)
      .lose()
      .advance(10 * K);
    h.connect(true, { keepAlive: K / 1000 }).sent();
    h.advance(K * 0.9 - 1);
    expect(h.failures).toEqual([]);
    expect(h.sentLines()).toEqual([]);
  });

  test("a deadline that moves forward is announced, and never missed", () => {
    const h = new Harness({ operationTimeout: 2_000, queue: { maxAge: 7_000 } });
    const due: number[] = [];
    const note = (): void => void due.push(h.session.nextDeadline() - h.now);
    note();
    h.publish("a");
    note();
    h.open();
    note();
    h.feed({ type: "connack", returnCode: 0 });
    note();
    h.feed({ type: "puback", packetId: 1 }).advance(2_000);
    note();
    expect(due).toEqual([Infinity, 7_000, 7_000, 0, Infinity]);
    expect(h.deadlineChanges).toBe(3);
  });
});
