/** A device's side of its twin by itself: what it asks the hub for, when, and what becomes of each answer. */
import { describe, expect, test } from "vitest";
import { HubwireError } from "../../src/errors.js";
import { Busy } from "../../src/hub/busy.js";
import { hubStatusError } from "../../src/hub/twin-requests.js";
import { TwinClient } from "../../src/hub/twin.js";
import { DESIRED_FILTER, TWIN_RESPONSES_FILTER } from "../../src/wire/topics.js";
import { FakeClock } from "../support/clock.js";

const bytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const EMPTY = { desired: { $version: 1 }, reported: { $version: 1 } };

function scene() {
  const clock = new FakeClock();
  const sent: string[] = [];
  const errors: HubwireError[] = [];
  const state = {
    isUp: true,
    subscribed: Promise.resolve(),
    publish: (): Promise<void> => Promise.resolve(),
  };
  const twin = new TwinClient({
    clock,
    random: () => 0.5,
    timeout: 5_000,
    handlerTimeout: 1_000,
    connected: () => state.isUp,
    publish: (topic, payload) => {
      sent.push(`${topic.replace("$iothub/twin/", "")} ${String(payload)}`.trim());
      return state.publish();
    },
    subscribed: () => state.subscribed,
    report: (error) => errors.push(error),
    busy: new Busy(),
  });
  const answer = (id: number, value: unknown, status = 200): void =>
    twin.answered(String(id), status, undefined, bytes(value));
  const outcome = (promise: Promise<unknown>): unknown[] => {
    const ends: unknown[] = [];
    promise.then(
      (value) => ends.push(value),
      ({ code }: HubwireError) => ends.push(code),
    );
    return ends;
  };
  return { twin, clock, state, errors, answer, outcome, took: () => sent.splice(0) };
}

/** With a handler that was told of nothing yet, in step with version 1. */
async function listening() {
  const all = scene();
  const told: string[] = [];
  all.twin.onDesired((patch, version) => void told.push(`${version} ${JSON.stringify(patch)}`));
  all.twin.connected();
  await turn();
  all.answer(1, EMPTY);
  await turn();
  all.took();
  return { ...all, told };
}

describe("a request", () => {
  test("is sent when its answer can arrive, and asked again on each connection until it came", async () => {
    const { twin, state, took, outcome, answer } = scene();
    let subscribed = (): void => {};
    state.subscribed = new Promise((resolve) => (subscribed = resolve));
    const ends = outcome(twin.update({ a: 1 }));
    twin.connected();
    expect(took()).toEqual([]);
    subscribed();
    await turn();
    expect(took()).toEqual(['PATCH/properties/reported/?$rid=1 {"a":1}']);
    twin.connected();
    await turn();
    expect(took(), "under another id").toEqual(['PATCH/properties/reported/?$rid=2 {"a":1}']);
    state.isUp = false;
    twin.connected();
    expect(took()).toEqual([]);
    answer(1, "");
    await turn();
    expect(ends, "a late answer tells of an earlier state").toEqual([]);
    answer(2, "");
    await turn();
    expect(ends).toEqual([{ version: undefined }]);
    state.isUp = true;
    twin.connected();
    expect(took(), "it is over").toEqual([]);
  });

  test("that waits for its way out is not sent twice, and one that is lost there is asked again", async () => {
    const { twin, state, took, outcome } = scene();
    let leave: ((error: HubwireError) => void)[] = [];
    state.publish = () => new Promise((_, reject) => leave.push(reject));
    const ends = outcome(twin.update({}));
    await turn();
    twin.connected();
    expect(took()).toHaveLength(1);
    leave.forEach((end) => end(new HubwireError("ERR_CONNECTION_LOST", "lost")));
    leave = [];
    await turn();
    twin.connected();
    expect(took()).toHaveLength(1);
    expect(ends).toEqual([]);
    leave.forEach((end) => end(new HubwireError("ERR_CLOSED", "closed")));
    await turn();
    expect(ends).toEqual(["ERR_CLOSED"]);
  });

  test("ends at its deadline, at its signal, with the client, or with the subscription, and leaves no timer", async () => {
    const { twin, clock, state, outcome, answer } = scene();
    const late = outcome(twin.update({}));
    clock.advance(4_999);
    await turn();
    expect(late).toEqual([]);
    clock.advance(1);
    await turn();
    expect(late).toEqual(["ERR_TIMEOUT"]);
    await expect(twin.update({}, AbortSignal.abort())).rejects.toMatchObject({ code: "ERR_ABORTED" });
    const abort = new AbortController();
    const aborted = outcome(twin.update({}, abort.signal));
    abort.abort();
    const stopped = outcome(twin.update({}));
    await turn();
    twin.stop(new HubwireError("ERR_NOT_CONNECTED", "stopped"));
    state.subscribed = Promise.reject(new HubwireError("ERR_SUBSCRIBE_REFUSED", "no"));
    const refused = outcome(twin.get());
    await turn();
    state.subscribed = Promise.resolve();
    const answered = outcome(twin.update({}));
    await turn();
    answer(5, "");
    await turn();
    expect([aborted, stopped, refused, answered]).toEqual([
      ["ERR_ABORTED"],
      ["ERR_NOT_CONNECTED"],
      ["ERR_SUBSCRIBE_REFUSED"],
      [{ version: undefined }],
    ]);
    expect(clock.pending).toBe(0);
  });

  test("has the hub's status: 200 to 299 is well", async () => {
    const { twin, outcome } = scene();
    const all = [199, 200, 299, 300].map((status, at) => {
      const ends = outcome(twin.update({}));
      twin.answered((at + 1).toString(36), status, 7, bytes("no"));
      return ends;
    });
    for (const status of [200, 500]) twin.answered(undefined, status, 1, bytes(""));
    await turn();
    expect(all).toEqual([["ERR_HUB_STATUS"], [{ version: 7 }], [{ version: 7 }], ["ERR_HUB_STATUS"]]);
  });

  test("that fails says what the hub said, as a part of a line", () => {
    const said = (body: string, status = 400): string => hubStatusError(status, "a twin read", bytes(body)).message;
    expect(said("")).toBe("the hub answered a twin read with status 400");
    expect(said("a\nb")).toBe('the hub answered a twin read with status 400: "a\\nb"');
    expect(said("x".repeat(301))).toBe(`the hub answered a twin read with status 400: "${"x".repeat(300)}"`);
    expect(said("", 429)).toBe("the hub answered a twin read with status 429 (throttled; try later)");
    expect(hubStatusError(499, "x", bytes("")).retryable).toBe(false);
    expect(hubStatusError(500, "x", bytes("")).retryable).toBe(true);
  });
});

describe("the document", () => {
  test.each(["", "text", "[]", "{}", '{"desired":{}}', '{"desired":[],"reported":{}}', '{"desired":{},"reported":1}'])(
    "%j is none",
    async (text) => {
      const { twin, answer, outcome } = scene();
      const ends = outcome(twin.get());
      await turn();
      answer(1, text);
      await turn();
      expect(ends).toEqual(["ERR_PROTOCOL_VIOLATION"]);
    },
  );

  test("as it was read is where a handler begins", async () => {
    const { twin, answer, outcome, took } = scene();
    const read = { desired: { a: 1, $version: 4, $metadata: { a: {} } }, reported: { $version: 1 } };
    const ends = outcome(twin.get());
    await turn();
    answer(1, read);
    await turn();
    expect(ends).toEqual([read]);
    const told: unknown[] = [];
    twin.onDesired((...all) => void told.push(all));
    twin.connected();
    await turn();
    expect(took()).toEqual(["GET/?$rid=1", "GET/?$rid=2"]);
    answer(2, { ...read, desired: { a: 1, b: 2, $version: 5, $metadata: { b: {} } } });
    await turn();
    expect(told).toEqual([[{ b: 2 }, 5]]);
  });

  test("that a handler waits for and that can't be read is told while there is a connection, and read later", async () => {
    for (const isUp of [true, false]) {
      const { twin, clock, state, answer, errors, took } = scene();
      twin.onDesired(() => {});
      twin.connected();
      await turn();
      state.isUp = isUp;
      answer(1, "no", 500);
      await turn();
      expect(errors.map(({ code }) => code)).toEqual(isUp ? ["ERR_HUB_STATUS"] : []);
      took();
      clock.advance(749);
      await turn();
      expect(took()).toEqual([]);
      clock.advance(1);
      await turn();
      expect(took()).toEqual(isUp ? ["GET/?$rid=2"] : []);
    }
  });
});

describe("changes", () => {
  test("have the version of their topic, or of their text, and nothing that the hub keeps beside them", async () => {
    const { twin, told, errors } = await listening();
    twin.changed(2, bytes({ a: 1, $version: 9, $metadata: {} }));
    twin.changed(undefined, bytes({ b: 2, $version: 3 }));
    await turn();
    expect(told).toEqual(['2 {"a":1}', '3 {"b":2}']);
    expect(errors).toEqual([]);
  });

  test.each<[number | undefined, string]>([
    [2, "text"],
    [2, "[1]"],
    [undefined, "text"],
    [undefined, "{}"],
    [undefined, '{"$version":"2"}'],
  ])("%j %s is a violation that is told, and the document is read instead", async (version, text) => {
    const { twin, told, errors, took } = await listening();
    twin.changed(version, bytes(text));
    await turn();
    expect(errors.map(({ code }) => code)).toEqual(["ERR_PROTOCOL_VIOLATION"]);
    expect([told, took()]).toEqual([[], ["GET/?$rid=2"]]);
  });

  test("are subscribed to where there is a handler, and go to the newest one", async () => {
    const { twin, told } = await listening();
    expect(scene().twin.filters).toEqual([]);
    expect(twin.filters).toEqual([DESIRED_FILTER, TWIN_RESPONSES_FILTER]);
    const newer: unknown[] = [];
    twin.onDesired((patch) => void newer.push(patch));
    twin.changed(2, bytes({ a: 1 }));
    await turn();
    expect([told, newer]).toEqual([[], [{ a: 1 }]]);
  });

  test("come one after the other; a handler that fails or never settles holds up none", async () => {
    const { twin, clock, errors } = await listening();
    const calls: number[] = [];
    let done = (): void => {};
    twin.onDesired((_, version) => {
      calls.push(version);
      if (version === 2) return new Promise((resolve) => (done = resolve));
      if (version === 3) throw new Error("no");
      return version === 4 ? new Promise(() => {}) : undefined;
    });
    for (const version of [2, 3, 4, 5]) twin.changed(version, bytes({ version }));
    await turn();
    expect(calls).toEqual([2]);
    done();
    await turn();
    expect(calls).toEqual([2, 3, 4]);
    clock.advance(1_000);
    await turn();
    expect(calls).toEqual([2, 3, 4, 5]);
    expect(errors.map(({ code, message }) => `${code} ${message}`)).toEqual([
      "ERR_HANDLER the handler of desired properties failed",
      expect.stringMatching(/not settled within 1000 ms/),
    ]);
  });

  test("are told to nobody after close()", async () => {
    const { twin, told, errors, took } = await listening();
    twin.changed(2, bytes({ a: 1 }));
    twin.close(new HubwireError("ERR_CLOSED", "closed"));
    await turn();
    twin.changed(9, bytes({ a: 1 }));
    await turn();
    expect([told, errors, took()]).toEqual([[], [], []]);
  });

  test("that were missed without a connection are not asked for before the next one", async () => {
    const { twin, state, took } = await listening();
    state.isUp = false;
    twin.lost();
    twin.changed(7, bytes({ a: 1 }));
    await turn();
    expect(took()).toEqual([]);
    state.isUp = true;
    twin.connected();
    await turn();
    expect(took()).toEqual(["GET/?$rid=2"]);
  });
});
