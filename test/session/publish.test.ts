import { describe, expect, test } from "vitest";
import { Harness } from "./harness.js";

describe("outgoing messages", () => {
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
});
