/** Who gets a received message, when it is finished with, and what is counted meanwhile. */
import { describe, expect, test } from "vitest";
import { Deliveries, type MessageHandler, MessageRoute } from "../../src/client/deliveries.js";
import { Mailbox, Reader } from "../../src/client/mailbox.js";
import type { HubwireError, Message } from "../../src/client/index.js";

const TIMEOUT = 1_000;

/** Deliveries, and what they tell. */
function scene() {
  const log: string[] = [];
  const errors: HubwireError[] = [];
  const time = { now: 0 };
  const deliveries = new Deliveries(
    {
      now: () => time.now,
      finished: (id, failed) => log.push(`${failed ? "refused" : "taken"} ${id}`),
      failed: (error) => errors.push(error),
      pressure: () => log.push(`pressure ${deliveries.count}`),
      deadlineChanged: () => log.push(`deadline ${deliveries.nextDeadline}`),
    },
    TIMEOUT,
  );
  return { deliveries, errors, time, took: () => log.splice(0) };
}

const message = (payload: Uint8Array = new Uint8Array(1)): Message => ({
  topic: "t",
  payload,
  qos: 1,
  retain: false,
  dup: false,
});
const to = (handler: MessageHandler): MessageRoute => new MessageRoute("t", 1, handler, undefined);
const into = (mailbox: Mailbox): MessageRoute => new MessageRoute("t", 1, undefined, mailbox);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A handler that is done when it is told to be. */
function slow() {
  const calls: { resolve(): void; reject(error: unknown): void }[] = [];
  const route = to(() => new Promise<void>((resolve, reject) => calls.push({ resolve, reject })));
  return { route, calls };
}

describe("finished", () => {
  test("at once where all handlers return, and nothing is in hand then", () => {
    const { deliveries, took } = scene();
    deliveries.deliver(message(), 1, [to(() => {}), to(() => 5 as never)]);
    deliveries.deliver(message(), 2, []);
    deliveries.deliver(message(), 0, [to(() => {})]);
    expect(took()).toEqual(["taken 1", "taken 2"]);
    expect(deliveries).toMatchObject({ count: 0, bytes: 0, nextDeadline: Infinity });
  });

  test("when the last of several is done, refused where any failed", async () => {
    for (const [failing, outcome] of [
      [false, "taken 7"],
      [true, "refused 7"],
    ] as const) {
      const { deliveries, took, errors } = scene();
      const [one, other] = [slow(), slow()];
      const sync = to(() => {
        if (failing) throw new Error("sync");
      });
      deliveries.deliver(message(), 7, [one.route, sync, other.route]);
      expect(took()).toContain("pressure 1");
      one.calls[0]?.resolve();
      await turn();
      expect(took()).toEqual(["pressure 1"]);
      other.calls[0]?.resolve();
      await turn();
      expect(took()).toEqual(["pressure 0", outcome]);
      expect(errors).toHaveLength(failing ? 1 : 0);
    }
  });

  test("a promise that rejects, a handler that throws, and a thenable that does, refuse", async () => {
    const { deliveries, took, errors } = scene();
    const cause = new Error("mine");
    const thenable = {
      get then(): never {
        throw cause;
      },
    };
    deliveries.deliver(message(), 1, [to(() => Promise.reject(cause))]);
    deliveries.deliver(message(), 2, [
      to(() => {
        throw cause;
      }),
    ]);
    deliveries.deliver(message(), 3, [to(() => thenable as never)]);
    await turn();
    const ends = took().filter((line) => !/pressure|deadline/.test(line));
    expect(ends.sort()).toEqual(["refused 1", "refused 2", "refused 3"]);
    expect(errors.map((error) => [error.code, error.cause])).toEqual(Array(3).fill(["ERR_HANDLER", cause]));
    expect(deliveries).toMatchObject({ count: 0, bytes: 0, nextDeadline: Infinity });
  });

  test("a promise of a kind of its own, whose `then` throws only when it is listened to", async () => {
    const { deliveries, took, errors } = scene();
    let looks = 0;
    const odd = Object.defineProperty(Promise.resolve(), "constructor", {
      get: () => {
        if (looks++ === 0) throw new RangeError("odd");
        return Promise;
      },
    });
    deliveries.deliver(message(), 4, [to(() => odd)]);
    await turn();
    expect(took()).toContain("refused 4");
    expect(errors).toHaveLength(1);
  });

  test("with QoS 0 nobody is told, but it counts while it is in hand", async () => {
    const { deliveries, took } = scene();
    const { route, calls } = slow();
    deliveries.deliver(message(), 0, [route]);
    expect(deliveries.count).toBe(1);
    calls[0]?.resolve();
    await turn();
    expect(deliveries.count).toBe(0);
    expect(took().filter((line) => line.startsWith("taken"))).toEqual([]);
  });

  test("by a reader once, whatever it says later", async () => {
    const { deliveries, took } = scene();
    const mailbox = new Mailbox();
    deliveries.deliver(message(), 1, [into(mailbox)]);
    deliveries.deliver(message(), 2, [into(mailbox)]);
    const reader = new Reader(mailbox);
    await reader.next();
    took();
    await reader.next();
    await reader.return();
    await reader.return();
    expect(took()).toEqual(["pressure 1", "taken 1", "pressure 0", "taken 2"]);
  });
});

describe("what is handed over", () => {
  test("the message itself to the only one; to each of several one of its own", () => {
    const { deliveries } = scene();
    const given = message();
    const seen: Message[] = [];
    deliveries.deliver(given, 1, [to((got) => void seen.push(got))]);
    expect(seen[0]).toBe(given);
    const change = to((got) => void Object.assign(got, { topic: "changed" }));
    deliveries.deliver(given, 2, [change, to((got) => void seen.push(got))]);
    expect(seen[1]).toEqual(message());
  });

  test("what waits in a mailbox keeps no large chunk alive, what a handler gets is not copied", async () => {
    const { deliveries } = scene();
    const chunk = new Uint8Array(0x10000);
    const mailbox = new Mailbox();
    deliveries.deliver(message(chunk.subarray(5, 6)), 1, [into(mailbox)]);
    expect(deliveries.bytes).toBe(1);
    expect((await new Reader(mailbox).next()).value?.payload.buffer.byteLength).toBe(1);
    const payloads: Uint8Array[] = [];
    const { route } = slow();
    deliveries.deliver(message(chunk.subarray(5, 6)), 2, [to(({ payload }) => void payloads.push(payload)), route]);
    expect(payloads[0]?.buffer).toBe(chunk.buffer);
    expect(deliveries.bytes).toBe(1 + 0x10000);
  });

  test("a chunk counts once, as long as any of its messages is in hand", async () => {
    const { deliveries, took } = scene();
    const [chunk, other] = [new Uint8Array(1_000), new Uint8Array(10)];
    const { route, calls } = slow();
    const sizes = [chunk.subarray(0, 9), chunk.subarray(9), other].map((payload, at) => {
      deliveries.deliver(message(payload), at + 1, [route]);
      return [deliveries.count, deliveries.bytes];
    });
    expect(sizes).toEqual([
      [1, 1_000],
      [2, 1_000],
      [3, 1_010],
    ]);
    took();
    for (const { resolve } of calls) {
      resolve();
      await turn();
      sizes.push([deliveries.count, deliveries.bytes]);
    }
    expect(sizes.slice(3)).toEqual([
      [2, 1_010],
      [1, 10],
      [0, 0],
    ]);
    expect(took()).toEqual(["pressure 2", "taken 1", "pressure 1", "taken 2", "pressure 0", "taken 3"]);
  });
});

describe("a handler that does not settle", () => {
  test("is given up at its deadline, the next one at its own, and what it does later is nobody's", async () => {
    const { deliveries, time, took, errors } = scene();
    const { route, calls } = slow();
    deliveries.deliver(message(), 1, [route]);
    time.now = 400;
    deliveries.deliver(message(), 2, [route]);
    expect(took().filter((line) => line.startsWith("deadline"))).toEqual(["deadline 1000"]);
    deliveries.tick(999);
    expect(took()).toEqual([]);
    deliveries.tick(1_000);
    expect(took()).toEqual(["pressure 1", "refused 1"]);
    expect(deliveries.nextDeadline).toBe(1_400);
    expect(errors.map(({ code, message }) => `${code} ${message}`)).toEqual([
      expect.stringMatching(/^ERR_HANDLER .* within 1000 ms/),
    ]);
    calls[0]?.reject(new Error("late"));
    calls[1]?.resolve();
    await turn();
    expect(took()).toEqual(["pressure 0", "taken 2"]);
    expect(errors).toHaveLength(1);
    expect(deliveries).toMatchObject({ count: 0, bytes: 0, nextDeadline: Infinity });
  });

  test("all whose time has come are given up in one look", () => {
    const { deliveries, took } = scene();
    const { route } = slow();
    for (const id of [1, 2, 3]) deliveries.deliver(message(), id, [route]);
    took();
    deliveries.tick(5_000);
    expect(took().filter((line) => line.startsWith("refused"))).toEqual(["refused 1", "refused 2", "refused 3"]);
  });

  test("a new deadline is told of when there was none", async () => {
    const { deliveries, time, took } = scene();
    const { route, calls } = slow();
    deliveries.deliver(message(), 1, [route]);
    calls[0]?.resolve();
    await turn();
    time.now = 10;
    took();
    deliveries.deliver(message(), 2, [route]);
    expect(took()).toEqual(["deadline 1010", "pressure 1"]);
  });
});
