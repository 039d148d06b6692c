/** Where received messages come in: who gets them, what is kept for whom, and how full all is. */
import { describe, expect, test } from "vitest";
import { type Bounds, bounds, boundsFor } from "../../src/client/bounds.js";
import { MessageRoute } from "../../src/client/deliveries.js";
import { Mailbox } from "../../src/client/mailbox.js";
import { Reception } from "../../src/client/reception.js";
import type { Message } from "../../src/client/index.js";

const MIB = 1024 * 1024;

function scene(limits: Partial<Bounds> = {}) {
  const log: string[] = [];
  const reception = new Reception(
    {
      now: () => 0,
      finished: (id, failed) => log.push(`${failed ? "refused" : "taken"} ${id}`),
      failed: ({ code }) => log.push(code),
      pressure: () => log.push("pressure"),
      deadlineChanged: () => {},
    },
    1_000,
    { queue: 0, inbound: 1e9, inboundPatient: 1e9, ...limits },
  );
  const got: string[] = [];
  const route = new MessageRoute(
    "t",
    1,
    ({ topic, payload }) => void got.push(`${topic} ${payload.length}`),
    undefined,
  );
  const waiting = new MessageRoute("t", 1, () => new Promise<void>(() => {}), undefined);
  return { reception, got, route, waiting, took: () => log.splice(0) };
}
const message = (topic = "t", payload = new Uint8Array(1)): Message => ({
  topic,
  payload,
  qos: 1,
  retain: false,
  dup: false,
});

describe("a message", () => {
  test("goes to those who subscribed; one that is late is acknowledged, one that nobody expected is told, once", () => {
    const { reception, got, route, took } = scene();
    reception.opened(false);
    reception.deliver(message(), 1, [route]);
    expect([got, took()]).toEqual([["t 1"], ["taken 1"]]);
    reception.deliver(message(), 2, undefined);
    expect(took()).toEqual(["taken 2"]);
    reception.deliver(message(), 3, []);
    reception.deliver(message(), 4, []);
    reception.deliver(message(), 0, []);
    expect(took()).toEqual(["ERR_UNEXPECTED_MESSAGE", "taken 3", "taken 4"]);
    reception.opened(false);
    reception.deliver(message(), 0, []);
    expect(took(), "of each connection").toEqual(["ERR_UNEXPECTED_MESSAGE"]);
  });

  test("of a resumed session is kept for whoever subscribes, in order, in memory of its own", () => {
    const { reception, got, route, took } = scene({ inbound: 1_000 });
    reception.opened(true);
    const chunk = new Uint8Array(0x10000);
    const kept = message("a", chunk.subarray(0, 200));
    reception.deliver(kept, 1, []);
    reception.deliver(message("b"), 2, []);
    expect(kept.payload.buffer.byteLength).toBe(200);
    expect(took()).toEqual(["pressure", "pressure"]);
    expect(reception.load(false)).toBe((201 + 512) / 1_000);
    reception.subscribed((topic) => (topic === "b" ? [route] : []));
    expect([got, took()]).toEqual([["b 1"], ["pressure", "taken 2"]]);
    expect(reception.load(false)).toBe((200 + 256) / 1_000);
    reception.deliver(message("c"), 0, []);
    expect(took(), "with QoS 0 it is not").toEqual(["ERR_UNEXPECTED_MESSAGE"]);
    reception.endEarly();
    expect(took()).toEqual(["taken 1", "pressure"]);
    expect(reception.load(false)).toBe(0);
    reception.deliver(message("d"), 3, []);
    expect(took(), "nor when its time is over").toEqual(["taken 3"]);
  });

  test("that is kept is told when its time is over, and gone with its connection", () => {
    const { reception, route, got, took } = scene();
    reception.opened(true);
    reception.deliver(message(), 1, []);
    took();
    reception.lost();
    expect(reception.load(false)).toBe(0);
    reception.subscribed(() => [route]);
    expect([got, took()]).toEqual([[], []]);
    reception.deliver(message(), 2, []);
    expect(took(), "those of the next one are kept").toEqual(["pressure"]);
    reception.endEarly();
    expect(took()).toEqual(["ERR_UNEXPECTED_MESSAGE", "taken 2", "pressure"]);
  });

  test("comes to nobody after close()", () => {
    const { reception, got, route, took } = scene();
    reception.opened(true);
    reception.deliver(message(), 1, []);
    took();
    reception.close();
    reception.deliver(message(), 2, [route]);
    reception.deliver(message(), 3, []);
    reception.subscribed(() => [route]);
    expect([got, took()]).toEqual([[], []]);
    expect(reception.load(false)).toBe(0);
  });

  test("whose handler does not settle has a deadline", () => {
    const { reception, waiting, took } = scene();
    expect(reception.nextDeadline).toBe(Infinity);
    reception.deliver(message(), 1, [waiting]);
    expect(reception.nextDeadline).toBe(1_000);
    reception.tick(1_000);
    expect(took()).toContain("refused 1");
  });
});

describe("how full it is", () => {
  test("by count: 1,024, or 65,536 while own requests wait", () => {
    const { reception, waiting } = scene();
    reception.opened(true);
    for (let id = 1; id <= 1_000; id++) reception.deliver(message(), id, [waiting]);
    for (let id = 1_001; id <= 1_024; id++) reception.deliver(message(), id, []);
    expect(reception.load(false)).toBe(1);
    expect(reception.load(true)).toBe(1_024 / 65_536);
  });

  test("by memory, with 256 bytes around each message", () => {
    const { reception, waiting } = scene({ inbound: 10_000, inboundPatient: 40_000 });
    reception.opened(true);
    reception.deliver(message("t", new Uint8Array(4_000)), 1, [waiting]);
    reception.deliver(message("t", new Uint8Array(488)), 2, []);
    expect(reception.load(false)).toBe(0.5);
    expect(reception.load(true)).toBe(0.125);
    const box = new Mailbox();
    reception.deliver(message("t", new Uint8Array(4_744)), 3, [new MessageRoute("t", 1, undefined, box)]);
    expect(reception.load(false)).toBe(1);
  });
});

test("bounds follow from the heap, without what is for young objects", () => {
  const mib = (limit: number): number[] => Object.values(boundsFor(limit * MIB)).map((bytes: number) => bytes / MIB);
  expect(mib(4_096)).toEqual([64, 4, 64]);
  expect(mib(48 + 320)).toEqual([64, 4, 40]);
  expect(mib(48 + 32)).toEqual([6.4, 2, 4]);
  expect(mib(48 + 8)).toEqual([3.2, 1, 2]);
  expect(bounds()).toBe(bounds());
  expect(bounds().inbound).toBeGreaterThanOrEqual(MIB);
});
