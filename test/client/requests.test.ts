/** Signals of calls that wait, and how their promises end. */
import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { capture, ConnectRequest, settle, Signals } from "../../src/client/requests.js";
import { HubwireError } from "../../src/errors.js";

/** A request, and what becomes of its promise. */
function request() {
  const promise = new Promise<unknown>(capture);
  return { request: new ConnectRequest(5), promise };
}
const listeners = (signal: AbortSignal): number => getEventListeners(signal, "abort").length;

function scene() {
  const told: [ConnectRequest[], string][] = [];
  const signals = new Signals<ConnectRequest>({
    giveUp: (requests, { code }) => void told.push([[...requests], code]),
  });
  return { signals, told };
}

describe("a signal", () => {
  test("has one listener however many calls share it, and none when the last of them is over", () => {
    const { signals, told } = scene();
    const controller = new AbortController();
    const { signal } = controller;
    const [one, two] = [request().request, request().request];
    signals.remove(one);
    signals.add(one, undefined);
    signals.remove(one);
    signals.add(one, signal);
    signals.add(two, signal);
    expect(listeners(signal)).toBe(1);
    signals.remove(one);
    expect(listeners(signal)).toBe(1);
    signals.remove(two);
    signals.remove(two);
    expect(listeners(signal)).toBe(0);
    controller.abort();
    expect(told).toEqual([]);
  });

  test("that is aborted gives up all of its own calls at once, in order, and no other's", () => {
    const { signals, told } = scene();
    const [controller, other] = [new AbortController(), new AbortController()];
    const [one, two, three, over] = [request().request, request().request, request().request, request().request];
    for (const each of [one, over, two]) signals.add(each, controller.signal);
    signals.add(three, other.signal);
    signals.remove(over);
    controller.abort();
    expect(told).toEqual([[[one, two], "ERR_ABORTED"]]);
    // What is over by then is taken off without a word.
    signals.remove(one);
    signals.remove(two);
    expect([listeners(controller.signal), listeners(other.signal)]).toEqual([0, 1]);
    other.abort();
    expect(told).toHaveLength(2);
    expect(told[1]).toEqual([[three], "ERR_ABORTED"]);
  });

  test("that cannot be listened to is refused, and leaves nothing", () => {
    const { signals } = scene();
    const { request: mine } = request();
    const broken = { aborted: false } as AbortSignal;
    expect(() => signals.add(mine, broken)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
    signals.remove(mine);
    const { signal } = new AbortController();
    signals.add(mine, signal);
    expect(listeners(signal)).toBe(1);
    signals.remove(mine);
    expect(listeners(signal)).toBe(0);
  });
});

test("a promise ends with its value, or its error, which may be the error of many", async () => {
  const [one, two, three] = [request(), request(), request()];
  const error = new HubwireError("ERR_CLOSED", "closed");
  settle(one.request, undefined, 7);
  settle(two.request, error);
  settle(three.request, error, 7);
  expect(one.request.deadline).toBe(5);
  expect(await one.promise).toBe(7);
  await expect(two.promise).rejects.toBe(error);
  await expect(three.promise).rejects.toBe(error);
});
