import { expect, test } from "vitest";
import { MqttClient } from "../../src/client/index.js";
import { SLICE } from "../../src/client/settlements.js";

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
