/** Who gets the messages of a topic, while subscriptions come and go. */
import { describe, expect, test } from "vitest";
import type { QoS } from "../../src/codec/types.js";
import { Filters, isWanted, wantedQos } from "../../src/session/filters.js";
import { Route } from "../../src/session/index.js";

function added(filters: Filters<Route>, topicFilter: string, qos: QoS = 0): Route {
  const route = new Route(topicFilter, qos);
  filters.add(route);
  return route;
}

describe("the routes of a topic", () => {
  test("are those of every filter that matches, in the order of their subscribing", () => {
    const filters = new Filters<Route>();
    const routes = ["a/b", "#", "a/+", "a/b", "c", "#", "a/b"].map((filter) => added(filters, filter));
    const [first, all, any, again, , more, last] = routes;
    expect(filters.match("a/b")).toEqual([first, all, any, again, more, last]);
    expect(filters.match("x")).toEqual([all, more]);
    expect(filters.match("$SYS/x")).toEqual([]);
    expect([...filters.routes()]).toHaveLength(7);
  });

  test("change with each that comes and goes, also for the topic that came last", () => {
    const filters = new Filters<Route>();
    expect(filters.match("a")).toEqual([]);
    const one = added(filters, "a");
    expect(filters.match("a")).toEqual([one]);
    expect(filters.match("b"), "another topic").toEqual([]);
    const two = added(filters, "a");
    const plus = added(filters, "+");
    expect(filters.match("a")).toEqual([one, two, plus]);
    filters.remove(one);
    expect(one.state).toBe("ended");
    expect(filters.match("a")).toEqual([two, plus]);
    expect(filters.get("a")?.routes).toEqual([two]);
    filters.remove(one);
    filters.remove(two);
    expect(filters.match("a")).toEqual([plus]);
    expect(filters.get("a")).toBeUndefined();
    filters.remove(plus);
    expect(filters.match("a")).toEqual([]);
    expect([...filters.routes()]).toEqual([]);
    filters.remove(added(new Filters(), "never here"));
  });

  test("of a list that is walked do not change under the walker", () => {
    const filters = new Filters<Route>();
    const [one, two] = [added(filters, "a"), added(filters, "a")];
    const walked = filters.match("a");
    filters.remove(one);
    added(filters, "a");
    expect(walked).toEqual([one, two]);
  });

  test("a shared subscription gets the topics behind its prefix, beside a plain one of the same filter", () => {
    const filters = new Filters<Route>();
    const shared = added(filters, "$share/group/a/+");
    const plain = added(filters, "a/+");
    const queue = added(filters, "$queue/a/+");
    expect(filters.match("a/b")).toEqual([shared, plain, queue]);
    filters.remove(plain);
    expect(filters.match("a/b")).toEqual([shared, queue]);
    filters.remove(shared);
    expect(filters.match("a/b")).toEqual([queue]);
    filters.remove(queue);
    expect(filters.match("a/b")).toEqual([]);
    expect(filters.wasSubscribed("a/b")).toBe(true);
    expect(added(filters, "$share/group"), "no filter behind the group").toEqual(filters.match("$share/group")[0]);
  });
});

describe("late messages of what has ended", () => {
  test("are expected of the last 64 filters, until one is subscribed again or all are forgotten", () => {
    const filters = new Filters<Route>();
    const routes = Array.from({ length: 65 }, (_, i) => added(filters, `old/${i}/#`));
    expect(filters.wasSubscribed("old/0/x")).toBe(false);
    for (const route of routes.slice(0, 64)) filters.remove(route);
    expect([0, 63].map((i) => filters.wasSubscribed(`old/${i}/x`))).toEqual([true, true]);
    filters.remove(routes[64]!);
    expect([0, 1, 64].map((i) => filters.wasSubscribed(`old/${i}/x`))).toEqual([false, true, true]);
    expect(filters.wasSubscribed("other")).toBe(false);
    added(filters, "old/1/#");
    expect(filters.wasSubscribed("old/1/x")).toBe(false);
    filters.forgetFormer();
    expect(filters.wasSubscribed("old/64/x")).toBe(false);
  });

  test("a filter that others still have has not ended", () => {
    const filters = new Filters<Route>();
    const [one] = [added(filters, "a"), added(filters, "a")];
    filters.remove(one);
    expect(filters.wasSubscribed("a")).toBe(false);
  });
});

describe("what the server has to keep", () => {
  test("a filter that it granted and somebody does not want to end, in order", () => {
    const filters = new Filters<Route>();
    const [a, b, c] = ["a", "b", "c"].map((filter) => added(filters, filter)) as [Route, Route, Route];
    expect([...filters.wanted()]).toEqual([]);
    for (const { topicFilter } of [c, a, b]) filters.get(topicFilter)!.granted = true;
    filters.ending(b);
    expect([...filters.wanted()].map(({ topicFilter }) => topicFilter)).toEqual(["a", "c"]);
    added(filters, "b");
    expect([...filters.wanted()].map(({ topicFilter }) => topicFilter)).toEqual(["a", "b", "c"]);
    expect(isWanted(filters.get("b"))).toBe(true);
    expect(isWanted(undefined)).toBe(false);
  });

  test("with the highest QoS that anybody asked for, but for those who want to end", () => {
    const filters = new Filters<Route>();
    added(filters, "a", 1);
    const two = added(filters, "a", 2);
    expect(wantedQos(filters.get("a"), 0)).toBe(2);
    filters.ending(two);
    expect(wantedQos(filters.get("a"), 0)).toBe(1);
    expect(wantedQos(filters.get("a"), 2)).toBe(2);
    expect(wantedQos(undefined, 1)).toBe(1);
  });
});

/** Tells how often anybody looked at a route. */
class WatchedRoute extends Route {
  static looks = 0;

  constructor(topicFilter: string, qos: QoS) {
    super(topicFilter, qos);
    for (const name of ["state", "qos"] as const) {
      let value: unknown = this[name];
      Object.defineProperty(this, name, {
        get: () => (WatchedRoute.looks++, value),
        set: (next: unknown) => void (value = next),
      });
    }
  }
}

test("of many subscribers of one filter, one that comes or goes costs no look at the others", () => {
  const filters = new Filters<WatchedRoute>();
  const routes = Array.from({ length: 1_000 }, (_, at) => new WatchedRoute("a", at % 500 === 0 ? 1 : 0));
  for (const route of routes) {
    filters.add(route);
    expect(wantedQos(filters.get("a"), 0)).toBe(1);
  }
  for (const route of routes.slice(1, 999)) {
    filters.ending(route);
    expect(isWanted(filters.get("a"), routes[0])).toBe(true);
    filters.remove(route);
  }
  expect(wantedQos(filters.get("a"), 0)).toBe(1);
  filters.ending(routes[0]!);
  expect(wantedQos(filters.get("a"), 0)).toBe(0);
  expect(isWanted(filters.get("a"), routes[0])).toBe(true);
  expect(isWanted(filters.get("a"), routes[999])).toBe(false);
  filters.notEnding(routes[0]!);
  expect(wantedQos(filters.get("a"), 0)).toBe(1);
  expect(WatchedRoute.looks).toBeLessThan(20 * routes.length);
});
