/** Messages that nobody reads: how many are held, and what becomes of the rest. */
import { expect, test } from "vitest";
import type { HubAccess } from "../../src/hub/access.js";
import { Busy } from "../../src/hub/busy.js";
import { type HubMessage, Inbox } from "../../src/hub/inbox.js";

const inbox = () => new Inbox({ report: () => {}, busy: new Busy() } as unknown as HubAccess);
const message = (name: string): HubMessage => ({
  payload: Buffer.from(name),
  properties: new Map(),
  qos: 1,
  dup: false,
});

test("fifty are held for a reader that may come; more are left to the hub", async () => {
  const box = inbox();
  const held = Array.from({ length: 50 }, (_, index) => box.deliver("*", message(`${index}`)));
  expect(() => box.deliver("*", message("one more"))).toThrow(expect.objectContaining({ code: "ERR_LIMIT" }));
  const seen: string[] = [];
  box.onAll(({ payload }) => void seen.push(Buffer.from(payload).toString()));
  for (const delivered of held) await delivered;
  expect(seen).toEqual(Array.from({ length: 50 }, (_, index) => `${index}`));
  expect(box.deliver("*", message("now"))).toBeUndefined();
});

test("an open iteration bounds nothing here: what it has not read holds back the socket", () => {
  const box = inbox();
  box.iterate();
  for (let index = 0; index < 200; index++) expect(box.deliver("*", message(`${index}`))).toBeInstanceOf(Promise);
});

test("what a handler returns may be a promise of another library", async () => {
  const box = inbox();
  let finish!: () => void;
  box.onAll(() => ({ then: (resolve: () => void) => (finish = resolve) }) as unknown as Promise<void>);
  const delivered = box.deliver("*", message("x"));
  let over = false;
  void Promise.resolve(delivered).then(() => (over = true));
  await new Promise((resolve) => setImmediate(resolve));
  expect(over).toBe(false);
  finish();
  await delivered;
});
