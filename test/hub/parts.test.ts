/** Parts of a device client that need no hub: waiting for what is the user's, batches, JSON, what is subscribed to. */
import { describe, expect, test } from "vitest";
import { HubwireError } from "../../src/errors.js";
import { asHubwireError } from "../../src/hub/access.js";
import { sendBatch, type TelemetryMessage } from "../../src/hub/batch.js";
import { Busy } from "../../src/hub/busy.js";
import { bytesOf, isJsonObject, parseObject, textOf } from "../../src/hub/json.js";
import { Subscriptions } from "../../src/hub/subscriptions.js";
import { FakeClock } from "../support/clock.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** What became of it so far. */
function ends(promise: Promise<unknown>): unknown[] {
  const seen: unknown[] = [];
  promise.then(
    (value) => seen.push(value),
    (error: HubwireError) => seen.push(error.code ?? error.message),
  );
  return seen;
}
const late = (): HubwireError => new HubwireError("ERR_TIMEOUT", "late");

describe("waiting for what is the user's", () => {
  test("is over with its end, its deadline or the client's, and leaves no timer", async () => {
    const [busy, clock] = [new Busy(), new FakeClock()];
    const wait = (operation: unknown): unknown[] => ends(busy.within(clock, 100, operation, late));
    expect(await busy.within(clock, 100, 5, late)).toBe(5);
    const value = wait(Promise.resolve("value"));
    const failed = wait(Promise.reject(new Error("no")));
    const forever = wait(new Promise(() => {}));
    await turn();
    clock.advance(99);
    await turn();
    expect([value, failed, forever]).toEqual([["value"], ["no"], []]);
    clock.advance(1);
    await turn();
    expect(forever).toEqual(["ERR_TIMEOUT"]);
    const ended = [wait(new Promise(() => {})), wait(new Promise(() => {}))];
    busy.end();
    await turn();
    expect(ended).toEqual([["ERR_CLOSED"], ["ERR_CLOSED"]]);
    busy.end();
    expect(clock.pending).toBe(0);
  });

  test("for handlers at work takes as long as they do, or as there is patience, and not for those that begin later", async () => {
    const [busy, clock] = [new Busy(), new FakeClock()];
    const work = (): { resolve: () => void; reject: () => void } => {
      let end = { resolve: (): void => {}, reject: (): void => {} };
      busy.add(new Promise<void>((resolve, reject) => (end = { resolve, reject: () => reject(new Error("no")) })));
      return end;
    };
    await busy.settled(clock, 1_000);
    const [one, other] = [work(), work()];
    const settled = ends(busy.settled(clock, 1_000));
    const third = work();
    one.resolve();
    await turn();
    expect(settled).toEqual([]);
    other.reject();
    await turn();
    expect(settled).toEqual([undefined]);
    const impatient = ends(busy.settled(clock, 50));
    await turn();
    expect(impatient).toEqual([]);
    clock.advance(50);
    await turn();
    expect(impatient).toEqual([undefined]);
    third.resolve();
    await turn();
    expect(await busy.settled(clock, 1_000)).toBeUndefined();
    expect(clock.pending).toBe(0);
  });
});

describe("a batch", () => {
  test("has a thousand messages on their way, in order, and an outcome for each", async () => {
    const begun: [unknown, object, () => void][] = [];
    const messages = Array.from({ length: 2_500 }, (_, at) => ({ body: at, messageId: `m${at}` }));
    const outcomes = sendBatch(
      messages,
      (body, options) => new Promise<void>((resolve) => begun.push([body, options, resolve])),
    );
    await turn();
    expect(begun).toHaveLength(1_000);
    for (let at = 0; at < 2_500; at++) {
      expect(begun[at]?.slice(0, 2)).toEqual([at, { messageId: `m${at}` }]);
      begun[at]?.[2]();
      if (at % 100 === 0) await turn();
    }
    await turn();
    expect(await outcomes).toEqual(Array(2_500).fill({ status: "fulfilled", value: undefined }));
  });

  test("goes on behind a message that fails, or that is none", async () => {
    const error = new HubwireError("ERR_LIMIT", "large");
    const send = (body: unknown): Promise<void> => (body === 2 ? Promise.reject(error) : Promise.resolve());
    const batch = [{ body: 1 }, { body: 2 }, null, undefined, 5, { body: 3 }] as unknown as TelemetryMessage[];
    expect(
      (await sendBatch(batch, send)).map((outcome) => (outcome.status === "rejected" ? outcome.reason.code : "ok")),
    ).toEqual(["ok", "ERR_LIMIT", "ok", "ok", "ERR_INVALID_ARGUMENT", "ok"]);
    expect(await sendBatch([], send)).toEqual([]);
  });

  test("that can't be iterated, or that throws on the way, is an argument that is wrong", async () => {
    const throwing = {
      *[Symbol.iterator]() {
        yield { body: 1 };
        throw new RangeError("broken");
      },
    };
    for (const wrong of [undefined, null, 5, {}, throwing])
      await expect(sendBatch(wrong as never, () => Promise.resolve())).rejects.toMatchObject({
        code: "ERR_INVALID_ARGUMENT",
        message: expect.stringContaining("a batch is an array"),
      });
  });
});

describe("JSON", () => {
  test("bytes are what is one, or a view of them, in its bounds", () => {
    const all = Uint8Array.of(1, 2, 3, 4);
    expect(bytesOf(all)).toBe(all);
    expect(bytesOf(all.buffer)).toEqual(all);
    expect(bytesOf(new DataView(all.buffer, 1, 2))).toEqual(Uint8Array.of(2, 3));
    expect(bytesOf(new Uint16Array(all.buffer, 2, 1))).toEqual(Uint8Array.of(3, 4));
    for (const other of ["text", [1], undefined, null, { buffer: all.buffer }]) expect(bytesOf(other)).toBeUndefined();
    expect(textOf(Buffer.from("xäy").subarray(1, 3))).toBe("ä");
    expect(textOf(Uint8Array.of(0x61, 0xff))).toBe("a\ufffd");
  });

  test("objects are those with members, and no deeper than a hundred levels", () => {
    for (const [text, is] of [
      ["{}", true],
      ['{"a":[1,null,"x"]}', true],
      ["[]", false],
      ["null", false],
      ['"a"', false],
      ["5", false],
      ["", false],
      ["{", false],
    ] as const)
      expect(parseObject(Buffer.from(text)) !== undefined, text).toBe(is);
    const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
    expect(parseObject(Buffer.from(nested(100)))).toBeDefined();
    expect(parseObject(Buffer.from(nested(101)))).toBeUndefined();
    const lists = (levels: number): string => `{"x":1,"a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
    expect(parseObject(Buffer.from(lists(100)))).toBeDefined();
    expect(parseObject(Buffer.from(lists(101)))).toBeUndefined();
    expect([isJsonObject({}), isJsonObject([]), isJsonObject(null), isJsonObject("")]).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});

test("what a handler throws becomes the cause of an error, an error of ours stays", () => {
  const ours = late();
  expect(asHubwireError(ours, "other")).toBe(ours);
  expect(asHubwireError("x", "it failed")).toMatchObject({ code: "ERR_HANDLER", message: "it failed", cause: "x" });
});

describe("subscriptions", () => {
  function scene() {
    const asked: { filter: string; grant: () => void; refuse: (code?: string) => void }[] = [];
    const reported: string[] = [];
    const state = {
      filters: ["a"],
      ended: false,
      recover: (error: unknown): Promise<void> => Promise.reject(error),
    };
    const subscriptions = new Subscriptions({
      filters: () => state.filters,
      isSubscribing: () => !state.ended,
      subscribe: (filter) =>
        new Promise<void>((resolve, reject) => {
          const refuse = (code = "ERR_SUBSCRIBE_REFUSED"): void =>
            reject(new HubwireError(code as "ERR_TIMEOUT", "no"));
          asked.push({ filter, grant: resolve, refuse });
        }),
      recover: (error) => state.recover(error),
      report: ({ code }) => reported.push(code),
    });
    return { subscriptions, asked, reported, state };
  }

  test("are asked for once, however many wait for them", async () => {
    const { subscriptions, asked, state } = scene();
    state.filters = ["a", "b"];
    const waiting = [ends(subscriptions.granted("a")), ends(subscriptions.all())];
    expect(asked.map(({ filter }) => filter)).toEqual(["a", "b"]);
    asked[0]?.grant();
    await turn();
    expect(waiting).toEqual([[undefined], []]);
    asked[1]?.grant();
    await turn();
    expect(waiting[1]).toEqual([undefined]);
    await subscriptions.all();
    expect(asked).toHaveLength(2);
    subscriptions.moved();
    void subscriptions.all();
    expect(asked, "another client knows of none").toHaveLength(4);
  });

  test("that the hub refused to restore are asked for again", async () => {
    const { subscriptions, asked, state } = scene();
    void subscriptions.all();
    asked[0]?.grant();
    await turn();
    state.ended = true;
    const again = ends(subscriptions.all());
    expect(asked).toHaveLength(2);
    state.ended = false;
    asked[1]?.grant();
    await turn();
    expect(again).toEqual([undefined]);
    await subscriptions.all();
    expect(asked).toHaveLength(2);
  });

  test("that are refused are told once, and asked for again by the next who needs them", async () => {
    for (const [code, told] of [
      ["ERR_SUBSCRIBE_REFUSED", true],
      ["ERR_TIMEOUT", true],
      ["ERR_CONNECTION_LOST", false],
    ] as const) {
      const { subscriptions, asked, reported } = scene();
      const waiting = [ends(subscriptions.granted("a")), ends(subscriptions.granted("a"))];
      asked[0]?.refuse(code);
      await turn();
      expect(waiting).toEqual([[code], [code]]);
      expect(reported).toEqual(told ? [code] : []);
      const again = ends(subscriptions.granted("a"));
      asked[1]?.grant();
      await turn();
      expect(again).toEqual([undefined]);
    }
  });

  test("are asked for again where the identity was replaced, by whoever waited", async () => {
    const { subscriptions, asked, state, reported } = scene();
    state.recover = () => Promise.resolve();
    const waiting = ends(subscriptions.granted("a"));
    asked[0]?.refuse();
    await turn();
    expect(asked).toHaveLength(2);
    // The client that was asked is gone: what becomes of it there is nothing to anybody.
    subscriptions.moved();
    reported.length = 0;
    state.recover = () => Promise.reject(new Error("not asked"));
    asked[1]?.refuse();
    await turn();
    expect([asked.length, reported, waiting]).toEqual([3, [], []]);
    asked[2]?.grant();
    await turn();
    expect(waiting).toEqual([undefined]);
  });
});
