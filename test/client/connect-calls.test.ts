/** Several calls of connect() wait for one connection, each with a deadline and a signal of its own. */
import { expect, test } from "vitest";
import { ConnectCalls } from "../../src/client/connect-calls.js";
import { HubwireError } from "../../src/errors.js";

const late = () => new HubwireError("ERR_TIMEOUT", "late");

function waiting(deadlines: readonly number[]) {
  const told: string[] = [];
  const calls = new ConnectCalls({ connectCallsEnded: ({ code }) => void told.push(code) });
  const results: string[] = [];
  const stop = new AbortController();
  deadlines.forEach((deadline, index) => {
    calls.add(index === 0 ? stop.signal : undefined, deadline).then(
      () => results.push(`${deadline} connected`),
      (error: HubwireError) => results.push(`${deadline} ${error.code}`),
    );
  });
  return { calls, told, results, stop };
}
const settled = () => new Promise((done) => setImmediate(done));

test("nobody waits: there is no deadline, and no time that comes for anybody", () => {
  const { calls } = waiting([]);
  expect([calls.some, calls.nextDeadline, calls.lastDeadline]).toEqual([false, Infinity, -Infinity]);
  expect(calls.expire(1e9, late)).toBe(false);
});

test("each ends at its own deadline, not before, and the others go on", async () => {
  const { calls, results } = waiting([300, 100, 200]);
  expect([calls.some, calls.nextDeadline, calls.lastDeadline]).toEqual([true, 100, 300]);
  expect(calls.expire(99, late)).toBe(false);
  expect(calls.expire(100, late)).toBe(true);
  expect([calls.nextDeadline, calls.lastDeadline]).toEqual([200, 300]);
  expect(calls.expire(100, late)).toBe(false);
  await settled();
  expect(results).toEqual(["100 ERR_TIMEOUT"]);
  expect(calls.expire(1_000, late)).toBe(true);
  await settled();
  expect(results.sort()).toEqual(["100 ERR_TIMEOUT", "200 ERR_TIMEOUT", "300 ERR_TIMEOUT"]);
  expect(calls.some).toBe(false);
});

test("a signal ends its own call alone, and the owner is told", async () => {
  const { calls, told, results, stop } = waiting([300, 100]);
  stop.abort();
  await settled();
  expect(results).toEqual(["300 ERR_ABORTED"]);
  expect(told).toEqual(["ERR_ABORTED"]);
  expect([calls.some, calls.lastDeadline]).toEqual([true, 100]);
});

test("a connection, or what ends all attempts, settles all that wait, once", async () => {
  for (const [error, expected] of [
    [undefined, ["100 connected", "300 connected"]],
    [late(), ["100 ERR_TIMEOUT", "300 ERR_TIMEOUT"]],
  ] as const) {
    const { calls, told, results, stop } = waiting([300, 100]);
    calls.settleAll(error);
    expect(calls.some).toBe(false);
    calls.settleAll(late());
    stop.abort();
    await settled();
    expect(results.sort()).toEqual(expected);
    expect(told).toEqual([]);
  }
});
