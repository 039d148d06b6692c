/**
 * Random calls, packets, bytes and pauses, from a seed: whatever comes, in whatever order, the session throws
 * nothing but HubwireError, writes nothing that the strict codec would refuse, and settles each request
 * exactly once, by its deadlines alone.
 */
import { expect, test } from "vitest";
import { HubwireError } from "../../src/errors.js";
import type { PacketInit, QoS } from "../../src/codec/types.js";
import { Harness, MemoryStore } from "./harness.js";

function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Plays one seed; how many requests it made. */
function play(seed: number): number {
  const random = generator(seed);
  const h = new Harness({
    maxInflight: 1 + random(4),
    operationTimeout: 2_000,

    queue: {
      maxCount: random(6),
      maxBytes: 20,
      maxAge: 5_000,
      qos0: random(2) > 0,
      overflow: random(2) ? "reject" : "drop-oldest",
    },
    store: random(3) ? undefined : new MemoryStore(),
  });
  h.autoAcknowledge = random(2) > 0;
  const asked: string[] = [];
  const id = (): number => 1 + random(6);
  const packets: (() => PacketInit)[] = [
    () => ({ type: "connack", returnCode: random(8) ? 0 : 1 + random(5), sessionPresent: false }),
    () => ({ type: "connack", returnCode: 0, sessionPresent: random(2) > 0 }),
    () => ({ type: "publish", topic: "t", payload: "p", qos: 0 }),
    () => ({ type: "publish", topic: "t", payload: "p", qos: 1, packetId: id(), dup: random(2) > 0 }),
    () => ({ type: "publish", topic: "t", payload: "p", qos: 2, packetId: id(), dup: random(2) > 0 }),
    () => ({ type: "puback", packetId: id() }),
    () => ({ type: "pubrec", packetId: id() }),
    () => ({ type: "pubrel", packetId: id() }),
    () => ({ type: "pubcomp", packetId: id() }),
    () => ({ type: "suback", packetId: id(), returnCodes: [random(3)] }),
    () => ({ type: "unsuback", packetId: id() }),
    () => ({ type: "pingresp" }),
  ];
  const ask = (call: (request: string) => void): void => {
    const request = `r${asked.length}`;
    try {
      call(request);
      asked.push(request);
    } catch (error) {
      expect(error).toBeInstanceOf(HubwireError);
    }
  };
  for (let step = 0; step < 60; step++) {
    const { session } = h;
    switch (random(16)) {
      case 0:
        h.open({ cleanSession: random(3) === 0, keepAlive: random(3) });
        if (random(4)) h.feed({ type: "connack", returnCode: 0 });
        break;
      case 1:
        if (random(3) === 0) h.lose();
        break;
      case 2:
      case 3:
      case 4:
        ask((request) => h.publish(request, random(3) as QoS));
        break;
      case 5:
        ask((request) => session.subscribe([{ topicFilter: `f${random(3)}`, qos: 1 }], request, h.now));
        break;
      case 6:
        ask((request) => session.unsubscribe([`f${random(3)}`], request, h.now));
        break;
      case 7:
        if (asked.length)
          session.cancelNamed(asked[random(asked.length)]!, new HubwireError("ERR_ABORTED", "aborted"), h.now);
        break;
      case 8: {
        const delivery = h.deliveries[random(h.deliveries.length || 1)];
        if (delivery && random(4)) session.acknowledge(delivery.deliveryId, h.now);
        else if (delivery) session.refuse(delivery.deliveryId, h.now);
        break;
      }
      case 9:
        h.advance(random(1_500));
        break;
      case 10:
        session.writable(random(2) > 0, h.now);
        break;
      case 11:
        session.reading(random(3) > 0, h.now);
        break;
      case 12:
        if (random(4) === 0) session.drain(random(2) > 0, h.now);
        else if (random(6) === 0) session.disconnect(h.now);
        break;
      case 13:
        if (random(8) === 0) h.feedBytes(Array.from({ length: random(9) }, () => random(256)));
        break;
      default:
        h.feed(packets[random(packets.length)]!());
    }
    h.sent();
  }
  // Nobody comes back: the deadlines alone must settle all.
  h.lose().advance(10_000);
  const settled = h.settled.map(({ request }) => request);
  expect(new Set(settled).size, `seed ${seed}: settled twice`).toBe(settled.length);
  expect([...settled].sort(), `seed ${seed}`).toEqual([...asked].sort());
  expect(h.session.metrics).toMatchObject({ queued: 0, queuedBytes: 0 });
  expect(h.session.nextDeadline()).toBe(Infinity);
  h.session.end(new HubwireError("ERR_CLOSED", "closed"));
  expect(h.settled.length).toBe(asked.length);
  return asked.length;
}

test("whatever comes, each request is settled exactly once", () => {
  let requests = 0;
  for (let seed = 1; seed <= 800; seed++) requests += play(seed);
  expect(requests).toBeGreaterThan(5_000);
});
