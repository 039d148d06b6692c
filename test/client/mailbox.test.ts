/** What iteration promises: order, one reader a message, and acknowledgements that nobody who has gone holds up. */
import { describe, expect, test } from "vitest";
import { Mailbox, Reader, type ReadResult } from "../../src/client/mailbox.js";
import { HubwireError } from "../../src/errors.js";

/** Messages that are kept of a subscription that is ending and that nobody reads. */
const LATE = 1_024;
const lost = new HubwireError("ERR_CONNECTION_LOST", "lost");

/** A mailbox, and the names of the messages whose deliveries are done, each time they are. */
class Box extends Mailbox {
  readonly done: string[] = [];

  add(...names: string[]): this {
    for (const topic of names) {
      const message = { topic, payload: new Uint8Array(0), qos: 1, retain: false, dup: false } as const;
      this.put(message, { done: () => void this.done.push(topic) });
    }
    return this;
  }

  reader(): Reader {
    return new Reader(this);
  }
}

const name = ({ done, value }: ReadResult): string => (done ? "(end)" : value.topic);
const read = async (reader: Reader): Promise<string> => name(await reader.next());
/** What becomes of a `next` that may have to wait. */
function later(reader: Reader): string[] {
  const seen: string[] = [];
  reader.next().then(
    (result) => seen.push(name(result)),
    (error: HubwireError) => seen.push(error.code),
  );
  return seen;
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const names = (count: number, prefix = "m"): string[] => Array.from({ length: count }, (_, at) => `${prefix}${at}`);

async function readAll(reader: Reader): Promise<string[]> {
  const seen: string[] = [];
  for (let next = await read(reader); next !== "(end)"; next = await read(reader)) seen.push(next);
  return seen;
}

describe("a subscription that is open", () => {
  test("a message is done with when the next is asked for, or the loop is left, once", async () => {
    const box = new Box().add("a", "b");
    const reader = box.reader();
    expect(await read(reader)).toBe("a");
    expect(box.done).toEqual([]);
    expect(await read(reader)).toBe("b");
    expect(box.done).toEqual(["a"]);
    expect(name(await reader.return())).toBe("(end)");
    expect(box.done).toEqual(["a", "b"]);
    await reader.return();
    expect(await read(reader)).toBe("(end)");
    expect(box.done).toEqual(["a", "b"]);
  });

  test("messages leave in order, whatever has been read before", async () => {
    const box = new Box();
    const reader = box.reader();
    const [sent, seen]: [string[], string[]] = [[], []];
    for (let round = 0; round < 20; round++) {
      const more = names(round % 7, `${round}.`);
      box.add(...more);
      sent.push(...more);
      for (let count = round % 5; count > 0 && seen.length < sent.length; count--) seen.push(await read(reader));
    }
    while (seen.length < sent.length) seen.push(await read(reader));
    expect(seen).toEqual(sent);
    expect(box.done).toEqual(sent.slice(0, -1));
  });

  test("who asked first gets the first message, and a message goes to one reader", async () => {
    const box = new Box();
    const [one, two] = [box.reader(), box.reader()];
    const waiting = [later(one), later(two), later(one)];
    box.add("a", "b");
    await turn();
    expect(waiting).toEqual([["a"], ["b"], []]);
    expect(box.done).toEqual([]);
    // Who asked for two is done with the first when the second comes.
    box.add("c");
    await turn();
    expect(waiting).toEqual([["a"], ["b"], ["c"]]);
    expect(box.done).toEqual(["a"]);
  });

  test("a reader that leaves while it waits ends, and the message is for who waits behind it", async () => {
    const box = new Box();
    const [leaves, stays] = [box.reader(), box.reader()];
    const gone = [later(leaves), later(leaves)];
    const waits = later(stays);
    await leaves.return();
    await turn();
    expect([...gone, waits]).toEqual([["(end)"], ["(end)"], []]);
    box.add("a");
    await turn();
    expect(waits).toEqual(["a"]);
    expect(box.done).toEqual([]);
  });

  test("what waits is not acknowledged because a reader left: another may come", async () => {
    const box = new Box().add("a", "b");
    const first = box.reader();
    await read(first);
    await first.return();
    expect(box.done).toEqual(["a"]);
    expect(await read(box.reader())).toBe("b");
  });
});

describe("a subscription that is ending", () => {
  test("without a reader, what waits is acknowledged in order, once, and can still be read", async () => {
    const box = new Box().add("a", "b", "c", "d");
    const reader = box.reader();
    await read(reader);
    await reader.return();
    box.ending();
    expect(box.done).toEqual(["a", "b", "c", "d"]);
    box.ending();
    box.end();
    expect(await readAll(box.reader())).toEqual(["b", "c", "d"]);
    expect(box.done).toEqual(["a", "b", "c", "d"]);
  });

  test("what comes when nobody reads is acknowledged at once, and read later", async () => {
    const box = new Box();
    box.ending();
    box.add("a", "b");
    expect(box.done).toEqual(["a", "b"]);
    box.end();
    expect(await readAll(box.reader())).toEqual(["a", "b"]);
    expect(box.done).toEqual(["a", "b"]);
  });

  test("of what nobody reads, 1,024 messages are kept, and all are acknowledged", async () => {
    const box = new Box();
    box.ending();
    box.add(...names(LATE + 2));
    expect(box.done).toEqual(names(LATE + 2));
    box.end();
    expect(await readAll(box.reader())).toEqual(names(LATE));
  });

  test("what was read makes room for as many", async () => {
    const box = new Box();
    box.ending();
    box.add(...names(LATE));
    const reader = box.reader();
    for (let count = 0; count < 3; count++) await read(reader);
    await reader.return();
    box.add(...names(5, "late"));
    box.end();
    expect(await readAll(box.reader())).toEqual([...names(LATE).slice(3), ...names(3, "late")]);
  });

  test("who reads now is waited for, with no bound, until the last has left", async () => {
    const box = new Box().add("a", "b", "c");
    const [one, two] = [box.reader(), box.reader()];
    await read(one);
    await read(two);
    box.ending();
    box.add(...names(LATE));
    expect(box.done).toEqual([]);
    await one.return();
    expect(box.done).toEqual(["a"]);
    await two.return();
    expect(box.done).toEqual(["a", "b", "c", ...names(LATE)]);
    box.end();
    expect(await readAll(box.reader())).toEqual(["c", ...names(LATE)]);
  });

  test("a reader that never read, or left twice, counts for nobody else", async () => {
    const box = new Box().add("a", "b");
    await box.reader().return();
    const left = box.reader();
    await read(left);
    await left.return();
    await left.return();
    const reads = box.reader();
    await read(reads);
    box.ending();
    box.add("c");
    expect(box.done).toEqual(["a"]);
    await reads.return();
    expect(box.done).toEqual(["a", "b", "c"]);
  });

  test("a reader that asks many times is one", async () => {
    const box = new Box().add("a", "b", "c");
    const reader = box.reader();
    await read(reader);
    await read(reader);
    box.ending();
    await reader.return();
    expect(box.done).toEqual(["a", "b", "c"]);
  });

  test("one that does not end after all holds what comes for a reader again", async () => {
    const box = new Box().add("a");
    box.ending();
    expect(box.done).toEqual(["a"]);
    box.reopen();
    box.add(...names(LATE + 1));
    expect(box.done).toEqual(["a"]);
    const reader = box.reader();
    expect(await read(reader)).toBe("a");
    expect(await read(reader)).toBe("m0");
    await reader.return();
    expect(box.done).toEqual(["a", "m0"]);
    // And it can end later.
    box.ending();
    expect(box.done).toEqual(["a", ...names(LATE + 1)]);
    box.end();
    expect(await readAll(box.reader())).toEqual(names(LATE + 1).slice(1));
  });

  test("what was acknowledged before it opened again is not acknowledged twice", async () => {
    const box = new Box();
    box.ending();
    box.add("a");
    box.reopen();
    box.add("b");
    expect(box.done).toEqual(["a"]);
    box.end();
    expect(box.done).toEqual(["a", "b"]);
    expect(await readAll(box.reader())).toEqual(["a", "b"]);
    expect(box.done).toEqual(["a", "b"]);
  });

  test("one that has ended is not opened again", async () => {
    const box = new Box();
    box.end();
    box.reopen();
    box.ending();
    expect(await read(box.reader())).toBe("(end)");
  });
});

describe("a subscription that has ended", () => {
  test("who waits ends, and what waits is read to its end", async () => {
    const box = new Box();
    const [one, two] = [box.reader(), box.reader()];
    const waiting = [later(one), later(two)];
    box.end();
    await turn();
    expect(waiting).toEqual([["(end)"], ["(end)"]]);
    const other = new Box().add("a", "b", "c");
    const reader = other.reader();
    await read(reader);
    other.end();
    expect(other.done).toEqual([]);
    expect(await readAll(reader)).toEqual(["b", "c"]);
    expect(other.done).toEqual(["a", "b", "c"]);
  });

  test("without a reader, what waits is acknowledged at its end", () => {
    const box = new Box().add("a", "b");
    box.end();
    expect(box.done).toEqual(["a", "b"]);
  });

  test("closed, iteration ends at once, and what was not read is let go of, once", async () => {
    const box = new Box().add("a", "b", "c");
    const reader = box.reader();
    await read(reader);
    await read(reader);
    box.close();
    expect(box.done).toEqual(["a", "c"]);
    expect(await read(reader)).toBe("(end)");
    await reader.return();
    expect(await read(box.reader())).toBe("(end)");
    expect(box.done).toEqual(["a", "c", "b"]);
    const waiting = new Box();
    const seen = later(waiting.reader());
    waiting.close();
    await turn();
    expect(seen).toEqual(["(end)"]);
  });
});

describe("a connection that does not come back", () => {
  test("fails who waits, each `next`, and who asks later, behind what had come", async () => {
    const box = new Box();
    const reader = box.reader();
    const waiting = [later(reader), later(reader), later(box.reader())];
    box.fail(lost);
    await turn();
    expect(waiting).toEqual([[lost.code], [lost.code], [lost.code]]);
    box.add("a");
    expect(await read(reader)).toBe("a");
    await expect(reader.next()).rejects.toBe(lost);
    expect(box.done).toEqual(["a"]);
  });

  test("is forgotten with the next connection: a reader can go on", async () => {
    const box = new Box();
    const reader = box.reader();
    const waits = later(reader);
    box.fail(undefined);
    await turn();
    expect(waits).toEqual([]);
    box.fail(lost);
    box.fail(undefined);
    const again = later(reader);
    box.add("a");
    await turn();
    expect([waits, again]).toEqual([[lost.code], ["a"]]);
  });

  test.each([
    ["while it waited", (box: Box, reader: Reader) => (later(reader), later(reader), box.fail(lost))],
    ["when it asked", (box: Box, reader: Reader) => (box.fail(lost), later(reader), later(reader))],
  ])("a reader that failed %s holds up no acknowledgement", async (_when, fail) => {
    const box = new Box();
    const reader = box.reader();
    fail(box, reader);
    box.fail(undefined);
    await turn();
    box.add("a", "b");
    expect(box.done).toEqual([]);
    box.ending();
    expect(box.done).toEqual(["a", "b"]);
  });

  test("a reader whose two calls failed has left once: another is still waited for", async () => {
    const box = new Box();
    const [fails, reads] = [box.reader(), box.reader()];
    const waiting = [later(fails), later(fails)];
    box.fail(lost);
    await turn();
    expect(waiting).toEqual([[lost.code], [lost.code]]);
    box.add("a");
    expect(await read(reads)).toBe("a");
    box.ending();
    box.add("b");
    expect(box.done).toEqual([]);
    await reads.return();
    expect(box.done).toEqual(["a", "b"]);
  });

  test("a reader that failed while the subscription ends lets go of what waits, and only then", async () => {
    const box = new Box().add("a", "b");
    const [fails, reads] = [box.reader(), box.reader()];
    await read(fails);
    await read(reads);
    const waits = later(fails);
    box.ending();
    box.fail(lost);
    await turn();
    expect(waits).toEqual([lost.code]);
    box.add("c");
    // One reader still reads.
    expect(box.done).toEqual(["a"]);
    expect(await read(reads)).toBe("c");
    later(reads);
    await turn();
    box.add("d");
    expect(box.done).toEqual(["a", "b", "c", "d"]);
  });

  test("a reader that failed and asks again reads again, and leaves once", async () => {
    const box = new Box();
    const [again, gone, other] = [box.reader(), box.reader(), box.reader()];
    const waiting = [later(again), later(gone)];
    box.fail(lost);
    box.fail(undefined);
    await turn();
    expect(waiting).toEqual([[lost.code], [lost.code]]);
    box.add("a", "b", "c");
    expect([await read(again), await read(other)]).toEqual(["a", "b"]);
    await gone.return();
    box.ending();
    await other.return();
    expect(box.done).toEqual(["b"]);
    await again.return();
    expect(box.done).toEqual(["b", "a", "c"]);
  });
});
