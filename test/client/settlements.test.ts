import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { MqttClient } from "../../src/client/index.js";
import { capture, publication, type SessionRequest } from "../../src/client/requests.js";
import { Settlements, SLICE } from "../../src/client/settlements.js";
import { HubwireError } from "../../src/errors.js";

const MANY = 3 * SLICE + 7;

/** An offline client whose messages wait, and what became of them, in order. */
class Waiting {
  readonly client: MqttClient;
  readonly ends: string[] = [];
  readonly all: Promise<void>[] = [];

  constructor() {
    const offlineQueue = { maxCount: 10 * MANY, maxBytes: 1e9 };
    const target = { host: "127.0.0.1", port: 1, protocol: "mqtt", clientId: "c" } as const;
    this.client = new MqttClient({ ...target, reconnect: false, offlineQueue });
  }

  publish(name: string, count: number, signal?: AbortSignal): this {
    for (let at = 0; at < count; at++) {
      const end = (code: string): void => void this.ends.push(`${name} ${at} ${code}`);
      this.all.push(
        this.client.publish("t", "p", { qos: 1, ...(signal && { signal }) }).then(
          () => end("ok"),
          ({ code }: { code: string }) => end(code),
        ),
      );
    }
    return this;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const expected = (name: string, code: string, from = 0, to = MANY): string[] =>
  Array.from({ length: to - from }, (_, at) => `${name} ${from + at} ${code}`);

test("many that one signal aborts leave the queue at once, and hear of it in slices, in order", async () => {
  const controller = new AbortController();
  const waiting = new Waiting().publish("a", MANY, controller.signal).publish("b", 1);
  controller.abort();
  expect(waiting.client.metrics).toMatchObject({ queued: 1 });
  for (let slice = 1; slice <= 3; slice++) {
    await new Promise((resolve) => process.nextTick(resolve));
    expect(waiting.ends.length).toBeLessThanOrEqual(slice * SLICE);
    await turn();
  }
  await waiting.client.close();
  expect(waiting.ends).toEqual([...expected("a", "ERR_ABORTED"), "b 0 ERR_CLOSED"]);
});

test("close() resolves behind all that it ended, whatever slices there are", async () => {
  const waiting = new Waiting().publish("a", MANY);
  await waiting.client.close({ force: true });
  expect(waiting.ends).toEqual(expected("a", "ERR_CLOSED"));
  expect(waiting.client.metrics).toMatchObject({ queued: 0, queuedBytes: 0 });
});

test("what ends while earlier ends are still to be told comes behind them, once", async () => {
  const [first, second] = [new AbortController(), new AbortController()];
  const waiting = new Waiting().publish("a", MANY, first.signal).publish("b", MANY, second.signal);
  waiting.publish("c", MANY);
  first.abort();
  await turn();
  second.abort();
  expect(waiting.client.metrics).toMatchObject({ queued: MANY });
  await turn();
  const closing = waiting.client.close();
  const forced = waiting.client.close({ force: true });
  // It is over, and nothing that comes too late changes that.
  first.abort();
  await Promise.all([closing, forced]);
  expect(waiting.ends).toEqual([
    ...expected("a", "ERR_ABORTED"),
    ...expected("b", "ERR_ABORTED"),
    ...expected("c", "ERR_CLOSED"),
  ]);
  await Promise.all(waiting.all);
  expect(waiting.ends).toHaveLength(3 * MANY);
});

test("a signal that is aborted while close() tells of the end changes nothing", async () => {
  const controller = new AbortController();
  const waiting = new Waiting().publish("a", MANY).publish("b", MANY, controller.signal);
  const closing = waiting.client.close();
  await turn();
  controller.abort();
  await closing;
  expect(waiting.ends).toEqual([...expected("a", "ERR_CLOSED"), ...expected("b", "ERR_CLOSED")]);
  expect(waiting.client.metrics).toMatchObject({ queued: 0, queuedBytes: 0 });
});

test("a client that gave up and is used again while it tells of the ends keeps what is new", async () => {
  const waiting = new Waiting().publish("a", MANY);
  await expect(waiting.client.connect()).rejects.toMatchObject({ code: "ERR_CONNECTION_REFUSED" });
  expect(waiting.client.state).toBe("stopped");
  const again = waiting.client.connect();
  waiting.publish("b", MANY);
  expect(waiting.client.metrics).toMatchObject({ queued: MANY });
  const refused = expect(again).rejects.toMatchObject({ code: "ERR_CLOSED" });
  await waiting.client.close();
  await refused;
  expect(waiting.ends).toEqual([...expected("a", "ERR_CONNECTION_REFUSED"), ...expected("b", "ERR_CLOSED")]);
});

describe("what is over", () => {
  const [closed, late] = [new HubwireError("ERR_CLOSED", "closed"), new HubwireError("ERR_TIMEOUT", "late")];

  function scene() {
    const ends: string[] = [];
    const settlements: Settlements = new Settlements({
      giveUp: (requests, error) => {
        for (const request of requests) settlements.over(request, error, undefined);
      },
    });
    let made = 0;
    const request = (): SessionRequest => {
      const promise = new Promise<unknown>(capture);
      const name = made++;
      promise.then(
        (value) => ends.push(`${name} ${String(value)}`),
        ({ code }: HubwireError) => ends.push(`${name} ${code}`),
      );
      return publication("t", "", 1, false);
    };
    const many = (count: number): SessionRequest[] => Array.from({ length: count }, request);
    const told = async (): Promise<number> => {
      await new Promise((resolve) => process.nextTick(resolve));
      return ends.length;
    };
    return { settlements, ends, request, many, told };
  }

  test("is told at once, a slice a step; the rest in turns of its own, a slice each", async () => {
    const { settlements, many, told, ends } = scene();
    for (const one of many(SLICE)) settlements.over(one, undefined, 7);
    expect(await told()).toBe(SLICE);
    settlements.step();
    for (const one of many(SLICE)) settlements.over(one, undefined, 7);
    expect(await told()).toBe(2 * SLICE);
    for (const one of many(2 * SLICE + 1)) settlements.over(one, undefined, 7);
    expect(await told()).toBe(2 * SLICE);
    for (const all of [3 * SLICE, 4 * SLICE, 4 * SLICE + 1]) {
      await turn();
      expect(await told()).toBe(all);
    }
    expect(ends).toEqual(Array.from({ length: 4 * SLICE + 1 }, (_, at) => `${at} 7`));
  });

  test("comes behind what waits, however it ended and whatever step it is", async () => {
    const { settlements, request, many, told, ends } = scene();
    settlements.allOver(many(SLICE + 1), closed);
    settlements.step();
    settlements.over(request(), late, undefined);
    settlements.over(request(), closed, undefined);
    settlements.over(request(), closed, undefined);
    settlements.over(request(), late, undefined);
    settlements.allOver(many(1), late);
    expect(await told()).toBe(SLICE);
    await turn();
    expect(await told()).toBe(SLICE + 6);
    expect(ends.slice(SLICE)).toEqual(
      ["ERR_CLOSED", "ERR_TIMEOUT", "ERR_CLOSED", "ERR_CLOSED", "ERR_TIMEOUT", "ERR_TIMEOUT"].map(
        (end, at) => `${SLICE + at} ${end}`,
      ),
    );
  });

  test("each has a value of its own", async () => {
    const { settlements, request, many, ends } = scene();
    settlements.allOver(many(SLICE + 1), closed);
    for (const value of [1, 1, 2, 1]) settlements.over(request(), undefined, value);
    await turn();
    await turn();
    expect(ends.filter((end) => !end.includes("ERR"))).toEqual(
      [1, 1, 2, 1].map((value, at) => `${SLICE + 1 + at} ${value}`),
    );
  });

  test("all together is asked for when its turn has come", async () => {
    const { settlements, request, told } = scene();
    let asked = 0;
    const requests = (function* () {
      for (; asked < SLICE + 5; asked++) yield request();
    })();
    settlements.allOver(requests, closed);
    expect(asked).toBeLessThanOrEqual(SLICE);
    expect(await told()).toBe(SLICE);
    await turn();
    expect(await told()).toBe(SLICE + 5);
    const { settlements: other } = scene();
    other.allOver([], closed);
    let isDone = false;
    other.whenDone(() => (isDone = true));
    expect(isDone, "nothing was").toBe(true);
  });

  test("calls back at once where nothing waits, else a turn behind the last of it, whoever asked", async () => {
    const { settlements, many, told } = scene();
    const done: number[] = [];
    settlements.whenDone(() => done.push(0));
    expect(done).toEqual([0]);
    settlements.allOver(many(SLICE + 1), closed);
    settlements.whenDone(() => done.push(1));
    settlements.whenDone(() => done.push(2));
    await turn();
    expect(await told()).toBe(SLICE + 1);
    expect(done).toEqual([0]);
    await turn();
    expect(done).toEqual([0, 1, 2]);
    settlements.whenDone(() => done.push(3));
    settlements.step();
    settlements.allOver(many(SLICE + 1), closed);
    await turn();
    await turn();
    expect(done).toEqual([0, 1, 2, 3]);
  });

  test("listens to its signal no more, nor does what does not wait after all", async () => {
    const { settlements, request, many, told, ends } = scene();
    const { signal } = new AbortController();
    const heard = (): number => getEventListeners(signal, "abort").length;
    const [one, two] = [request(), request()];
    settlements.begun(one, signal);
    settlements.over(one, undefined, 1);
    expect(heard()).toBe(0);
    settlements.begun(two, signal);
    expect(heard()).toBe(1);
    settlements.forget(two);
    expect(heard()).toBe(0);
    settlements.step();
    const controller = new AbortController();
    const [three, ...rest] = many(SLICE + 1);
    settlements.begun(three!, controller.signal);
    settlements.allOver([three!, ...rest], closed);
    controller.abort();
    await turn();
    expect(await told()).toBe(SLICE + 2);
    expect(ends.slice(0, 2)).toEqual(["0 1", "2 ERR_CLOSED"]);
  });
});
