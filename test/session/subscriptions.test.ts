/** SUBSCRIBE and UNSUBSCRIBE where they meet: given up, refused, lost with a connection, ended by some of many. */
import { describe, expect, test } from "vitest";
import { HubwireError } from "../../src/errors.js";
import { Asking, Route, SUBACK, UNSUBACK } from "../../src/session/index.js";
import { Harness } from "./harness.js";

const aborted = new HubwireError("ERR_ABORTED", "aborted");
const f = [{ topicFilter: "f", qos: 1 as const }];

function subscribe(h: Harness, name: string, topicFilter = "f"): Harness {
  h.session.subscribe([{ topicFilter, qos: 1 }], name, h.now);
  return h.events();
}
function unsubscribe(h: Harness, name: string, topicFilter = "f"): Harness {
  h.session.unsubscribe([topicFilter], name, h.now);
  return h.events();
}
function cancel(h: Harness, name: string): Harness {
  h.session.cancelNamed(name, aborted, h.now);
  return h.events();
}
const granted = (packetId: number) => ({ type: "suback", packetId, returnCodes: [1] }) as const;
const ended = (packetId: number) => ({ type: "unsuback", packetId }) as const;

/** A session with "f" granted. */
function subscribed(overrides: ConstructorParameters<typeof Harness>[0] = {}): Harness {
  const h = subscribe(new Harness(overrides).connect(), "s").feed(granted(1));
  h.sent();
  return h;
}

describe("given up", () => {
  test("a SUBSCRIBE that the server has: what it may grant is ended, and nobody waits for that", () => {
    const h = subscribe(new Harness().connect(), "s");
    cancel(h, "s");
    expect(h.sentLines()).toEqual(["subscribe#1", "unsubscribe#2"]);
    h.session.drain(false, h.now);
    expect(h.events().drained, "nobody waits for it").toBe(1);
    h.feed(granted(1), ended(2));
    expect(h.sentLines()).toEqual([]);
    expect(h.results()).toEqual(["s:ERR_ABORTED"]);
  });

  test("one of two for the same filter: the other keeps it", () => {
    const h = subscribe(subscribe(new Harness().connect(), "one"), "two");
    h.sent();
    cancel(h, "one").feed(granted(1), granted(2));
    expect(h.sentLines()).toEqual([]);
    expect(h.results()).toEqual(["one:ERR_ABORTED", "two:ok"]);
    expect(h.reconnect(false).sentLines()).toEqual(["subscribe#3"]);
  });

  test("a SUBSCRIBE that was never sent: the server hears nothing of it", () => {
    const h = cancel(subscribe(new Harness(), "s"), "s").connect();
    expect(h.sentLines()).toEqual([]);
    expect(h.reconnect(false).sentLines()).toEqual([]);
  });

  test("an UNSUBSCRIBE that was never sent: the subscription stays", () => {
    const h = subscribed().lose();
    cancel(unsubscribe(h, "u"), "u").connect(false);
    expect(h.sentLines()).toEqual(["subscribe#2"]);
    expect(h.results()).toEqual(["s:ok", "u:ERR_ABORTED"]);
  });

  test("one of two UNSUBSCRIBEs that were never sent: the other still ends it", () => {
    const h = subscribed().lose();
    cancel(unsubscribe(unsubscribe(h, "u"), "v"), "u").connect(true);
    expect(h.sentLines()).toEqual(["unsubscribe#2"]);
    h.feed(ended(2));
    expect(h.results()).toEqual(["s:ok", "u:ERR_ABORTED", "v:ok"]);
    expect(h.reconnect(false).sentLines()).toEqual([]);
  });

  test("the same twice: the filter is still to end, and is not restored", () => {
    const h = subscribed().lose();
    unsubscribe(unsubscribe(h, "u"), "v");
    cancel(cancel(h, "u"), "u").connect(false);
    expect(h.sentLines()).toEqual(["unsubscribe#2"]);
  });

  test("a SUBSCRIBE that was sent on an earlier connection: a session that was kept is to end it", () => {
    const h = subscribe(new Harness().connect(), "s").lose();
    h.sent();
    cancel(h, "s").session.cancelAll(aborted, h.now);
    expect(h.connect(true).sentLines(), "also where all is given up").toEqual(["unsubscribe#2"]);
  });

  test("an UNSUBSCRIBE that was sent: it is asked again where the server kept the session, and over where not", () => {
    for (const [sessionPresent, expected] of [
      [true, ["unsubscribe#3"]],
      [false, []],
    ] as const) {
      const h = unsubscribe(subscribed(), "u");
      expect(h.sentLines()).toEqual(["unsubscribe#2"]);
      cancel(h, "u").reconnect(sessionPresent);
      expect(h.sentLines()).toEqual(expected);
      expect(h.results()).toEqual(["s:ok", "u:ERR_ABORTED"]);
    }
  });

  test("while it waits for the next connection: it is still asked again", () => {
    const h = unsubscribe(subscribed(), "u").lose();
    cancel(h, "u").sent();
    expect(h.connect(true).sentLines()).toEqual(["unsubscribe#3"]);
  });
});

describe("given up, seen by the server", () => {
  test("a SUBSCRIBE of which it says that it was granted after UNSUBACK is ended once more", () => {
    const h = cancel(subscribe(new Harness().connect(), "s"), "s");
    expect(h.sentLines()).toEqual(["subscribe#1", "unsubscribe#2"]);
    expect(h.feed(ended(2), granted(1)).sentLines()).toEqual(["unsubscribe#3"]);
  });

  test("a SUBSCRIBE that was never sent: a session that was kept hears nothing of it either", () => {
    expect(cancel(subscribe(new Harness(), "s"), "s").connect(true).sentLines()).toEqual([]);
  });

  test("an UNSUBSCRIBE that was sent is not sent twice on one connection", () => {
    const h = subscribe(subscribed(), "g", "g").feed(granted(2));
    unsubscribe(unsubscribe(h, "u"), "v", "g").sent();
    expect(cancel(h, "u").sentLines()).toEqual([]);
  });

  test("one that waits for the 512 before it makes no room for another", () => {
    const h = new Harness().connect();
    for (let n = 0; n < 513; n++) subscribe(h, `s${n}`, `f/${n}`);
    expect(h.sent()).toHaveLength(512);
    subscribe(cancel(h, "s512"), "next");
    expect(h.sentLines()).toEqual([]);
    expect(h.feed(granted(1)).sentLines()).toHaveLength(1);
  });

  test("an UNSUBSCRIBE of what ended meanwhile brings it not back", () => {
    const h = new Harness().connect();
    const route = new Route("f", 1);
    h.session.ask(Object.assign(new Asking(SUBACK, ["f"], [1], [route]), { name: "s" }), h.now);
    h.feed(granted(1)).lose();
    const ending = Object.assign(new Asking(UNSUBACK, ["f"], [], [route]), { name: "u" });
    h.session.ask(ending, h.now);
    h.session.endRoute(route);
    h.session.cancel([ending], aborted, h.now);
    expect(route.state).toBe("ended");
    const late = Object.assign(new Asking(UNSUBACK, ["f"], [], [route]), { name: "late" });
    h.session.ask(late, h.now);
    h.session.cancel([late], aborted, h.now);
    expect(route.state).toBe("ended");
  });
});

describe("the deadline", () => {
  test("of one that waits is its own, whenever the clock is looked at", () => {
    const h = subscribe(new Harness({ queue: { maxAge: 5_000 } }), "one").advance(3_000);
    subscribe(h, "two", "g").advance(2_000);
    expect(h.results()).toEqual(["one:ERR_TIMEOUT"]);
    h.advance(3_000);
    expect(h.results()).toEqual(["one:ERR_TIMEOUT", "two:ERR_TIMEOUT"]);
  });

  test("a server that answers no SUBSCRIBE has the connection made anew", () => {
    const h = subscribe(new Harness({ operationTimeout: 1_000 }).connect(), "s").advance(1_000);
    expect(h.results()).toEqual(["s:ERR_TIMEOUT"]);
    expect(h.failures.map(({ code }) => code)).toEqual(["ERR_TIMEOUT"]);
  });

  test("of restored subscriptions is not moved by other answers, but an UNSUBSCRIBE of nobody's ends no connection then", () => {
    const h = subscribed({ operationTimeout: 1_000 }).reconnect(false).advance(500);
    subscribe(h, "g", "g").feed(granted(3)).advance(499);
    expect(h.failures).toEqual([]);
    h.advance(1);
    expect(h.failures.map(({ code }) => code)).toEqual(["ERR_TIMEOUT"]);
    const other = cancel(subscribe(new Harness({ operationTimeout: 1_000 }).connect(), "s"), "s").advance(1);
    expect(other.feed(granted(1)).advance(1_500).failures).toEqual([]);
  });

  test("of what was sent runs from the sending, of what was not from the asking", () => {
    const h = subscribe(new Harness({ operationTimeout: 1_000, queue: { maxAge: 5_000 } }), "s").advance(4_000);
    h.connect().advance(999);
    expect(h.results()).toEqual([]);
    h.advance(1);
    expect(h.results()).toEqual(["s:ERR_TIMEOUT"]);
    const waiting = subscribe(new Harness({ queue: { maxAge: 5_000 } }), "w").advance(4_999);
    expect(waiting.results()).toEqual([]);
    waiting.advance(1);
    expect(waiting.results()).toEqual(["w:ERR_TIMEOUT"]);
    expect(waiting.connect().sentLines()).toEqual([]);
  });

  test("one that was given up holds up no other's", () => {
    const h = new Harness({ operationTimeout: 1_000 }).connect();
    cancel(subscribe(h, "gone", "g"), "gone");
    subscribe(h, "late").advance(1_000);
    expect(h.results()).toEqual(["gone:ERR_ABORTED", "late:ERR_TIMEOUT"]);
  });

  test("restored subscriptions that are not answered end the connection, in time and not before", () => {
    const h = subscribed({ operationTimeout: 1_000 }).reconnect(false);
    expect(h.sentLines()).toEqual(["subscribe#2"]);
    h.advance(999);
    expect(h.failures).toEqual([]);
    h.advance(1);
    expect(h.failures.map(({ code }) => code)).toEqual(["ERR_TIMEOUT"]);
    const answered = subscribed({ operationTimeout: 1_000 }).reconnect(false).feed(granted(2)).advance(10_000);
    expect(answered.failures).toEqual([]);
  });
});

describe("a lost connection", () => {
  test("an UNSUBSCRIBE behind which a SUBSCRIBE was granted is not asked again: the server came to it", () => {
    const h = subscribe(unsubscribe(subscribed(), "u"), "again");
    expect(h.sentLines()).toEqual(["unsubscribe#2", "subscribe#3"]);
    h.feed(granted(3)).reconnect(true);
    expect(h.sentLines()).toEqual([]);
    expect(h.results()).toEqual(["s:ok", "again:ok", "u:ok"]);
    expect(h.reconnect(false).sentLines(), "the new one lives on").toHaveLength(1);
  });

  test("one of two filters granted again: the other still has to end", () => {
    const h = subscribe(subscribed(), "g", "g").feed(granted(2));
    h.session.unsubscribe(["f", "g"], "u", h.now);
    subscribe(h, "again").sent();
    h.feed(granted(4)).reconnect(true);
    expect(h.sentLines()).toEqual(["unsubscribe#5"]);
  });

  test("requests are asked again in the order of the calls, those of that time behind them", () => {
    const h = unsubscribe(subscribe(new Harness().connect(), "s"), "u", "g").lose();
    subscribe(h, "later", "h").sent();
    expect(h.connect(true).sentLines()).toEqual(["subscribe#3", "unsubscribe#4", "subscribe#5"]);
  });

  test("subscriptions are restored before what was asked meanwhile, eight a packet, and not what is to end", () => {
    const h = new Harness().connect();
    for (let i = 1; i <= 9; i++) subscribe(h, `s${i}`, `f/${i}`).feed(granted(i));
    subscribe(h, "ending").feed(granted(10)).sent();
    unsubscribe(h, "u").lose();
    subscribe(h, "new", "n").sent();
    h.connect(false);
    const packets = h.sent();
    expect(packets.map((packet) => ("subscriptions" in packet ? packet.subscriptions.length : packet.type))).toEqual([
      8,
      1,
      "unsubscribe",
      1,
    ]);
  });

  test("with a session that was kept nothing is restored", () => {
    expect(subscribed().reconnect(true).sentLines()).toEqual([]);
  });

  test("restored subscriptions that were not answered are restored anew, each once", () => {
    const h = subscribed().reconnect(false);
    expect(h.sentLines()).toEqual(["subscribe#2"]);
    expect(h.reconnect(false).sentLines()).toEqual(["subscribe#3"]);
    h.feed(granted(3));
    expect(h.reconnect(true).sentLines()).toEqual([]);
  });
});

describe("refused", () => {
  test("a new one is no reason to end the one of before", () => {
    const h = subscribe(subscribed(), "second");
    h.feed({ type: "suback", packetId: 2, returnCodes: [0x80] });
    expect(h.refused).toEqual([]);
    expect(h.reconnect(false).sentLines()).toEqual(["subscribe#3"]);
  });

  test("on restoring, what was granted ends and is told, what was asked anew goes on", () => {
    const h = subscribed().reconnect(false);
    subscribe(h, "new").feed({ type: "suback", packetId: 2, returnCodes: [0x80] });
    expect(h.refused).toEqual(["f"]);
    h.sent();
    h.feed(granted(3));
    expect(h.results()).toEqual(["s:ok", "new:ok"]);
    expect(h.reconnect(false).sentLines()).toEqual(["subscribe#4"]);
  });
});

describe("what the server has", () => {
  test("a filter that was asked for behind UNSUBACK, or behind a refusal, is asked for once on the next connection", () => {
    const behind = subscribe(unsubscribe(subscribed(), "u"), "again").feed(ended(2));
    behind.sent();
    expect(behind.reconnect(false).sentLines()).toEqual(["subscribe#4"]);
    const refused = subscribe(subscribed().reconnect(false), "new");
    refused.feed({ type: "suback", packetId: 2, returnCodes: [0x80] }).sent();
    expect(refused.reconnect(false).sentLines()).toEqual(["subscribe#4"]);
  });

  test("a refusal on restoring is told of no subscription that is to end, or has ended", () => {
    for (const isGivenUp of [false, true]) {
      const h = unsubscribe(subscribed().reconnect(false), "u");
      if (isGivenUp) cancel(h, "u");
      h.feed({ type: "suback", packetId: 2, returnCodes: [0x80] });
      expect(h.refused).toEqual([]);
      expect(h.failures).toEqual([]);
    }
  });

  test("where a CONNACK was lost, all is restored, once, and what nobody wants is still ended", () => {
    const lostConnack = (h: Harness): Harness => h.lose().open().lose().connect(true);
    expect(lostConnack(subscribed().reconnect(false)).sentLines()).toEqual(["subscribe#3"]);
    const given = cancel(subscribe(new Harness().connect(), "s"), "s");
    given.sent();
    expect(lostConnack(given).sentLines()).toEqual(["unsubscribe#3"]);
  });
});

describe("what ends", () => {
  test("was there as long as the server has the session: its messages are late, not unexpected", () => {
    const message = { type: "publish", topic: "f", qos: 0 } as const;
    const h = unsubscribe(subscribed(), "u").feed(ended(2), message).reconnect(true).feed(message);
    expect(h.late).toEqual(["f", "f"]);
    expect(h.reconnect(false).feed(message).late).toHaveLength(2);
  });

  test("with UNSUBACK gets no message any more, and until then all", () => {
    const h = unsubscribe(subscribed(), "u");
    expect(h.session.match("f")).toHaveLength(1);
    h.feed(ended(2));
    expect(h.session.match("f")).toEqual([]);
    expect([...h.session.routes()]).toEqual([]);
  });

  test("one of two that share a filter ends without the server; the last needs it", () => {
    const h = new Harness().connect();
    const routes = [new Route("f", 1), new Route("f", 0)] as const;
    const asking = (type: typeof SUBACK | typeof UNSUBACK, some: readonly Route[]) =>
      Object.assign(
        new Asking(
          type,
          some.map(({ topicFilter }) => topicFilter),
          some.map(({ qos }) => qos),
          some,
        ),
        { name: "x" },
      );
    for (const route of routes) h.session.ask(asking(SUBACK, [route]), h.now);
    h.feed(granted(1), granted(2)).sent();
    expect(h.session.routesToEnd("f", routes[0]), "the other wants it").toBeUndefined();
    expect(h.session.routesToEnd("f")).toEqual(routes);
    expect(h.session.routesToEnd("none")).toEqual([]);
    expect(h.session.routesToEnd("none", routes[0])).toEqual([routes[0]]);
    h.session.ask(asking(UNSUBACK, [routes[1]]), h.now);
    expect(routes[1].state).toBe("ending");
    expect(h.session.routesToEnd("f", routes[0]), "the other is to end").toEqual([routes[0]]);
  });

  test("whoever subscribes behind an UNSUBSCRIBE is not ended by its UNSUBACK", () => {
    const h = subscribe(unsubscribe(subscribed(), "u"), "again").feed(ended(2), granted(3));
    h.sent();
    expect(h.results()).toEqual(["s:ok", "u:ok", "again:ok"]);
    expect(h.reconnect(false).sentLines()).toEqual(["subscribe#4"]);
  });

  test("after UNSUBACK nothing is restored", () => {
    const h = unsubscribe(subscribed(), "u").feed(ended(2));
    h.sent();
    expect(h.reconnect(false).sentLines()).toEqual([]);
  });

  test("at the end of the session everything that was asked is settled, once", () => {
    const h = unsubscribe(subscribe(subscribed(), "sent", "g"), "also", "h").lose();
    h.session.subscribe(f, "unsent", h.now);
    h.session.end(new HubwireError("ERR_CLOSED", "closed"));
    expect(h.results().slice(1).sort()).toEqual(["also:ERR_CLOSED", "sent:ERR_CLOSED", "unsent:ERR_CLOSED"]);
  });
});
