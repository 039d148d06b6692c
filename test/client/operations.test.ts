/**
 * Every operation settles exactly once, whatever ends it: success, refusal, its deadline, its signal, close with and
 * without waiting, a lost connection, a violation by the peer. Against a scripted peer on a real socket.
 */
import { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { type HubwireError, MqttClient, type MqttClientOptions } from "../../src/client/index.js";
import { FakeClock } from "../support/clock.js";
import { Peer, soon, utf8 } from "../support/peer.js";
import { cleanups, connectedScene, type Scene as ConnectedScene } from "./scene.js";

type Scene = ConnectedScene & { errors: HubwireError[] };

/** A client that is connected to a scripted peer, and its `error` events. */
async function scene(options: Partial<MqttClientOptions> = {}): Promise<Scene> {
  const errors: HubwireError[] = [];
  const watch = (client: MqttClient) => void client.on("error", (error) => errors.push(error));
  return { ...(await connectedScene({ operationTimeout: 1_000, reconnect: false, ...options }, { watch })), errors };
}

/** An operation that waits for the peer: how it is called, what it sends, how the peer answers. */
const operations: Record<
  string,
  {
    call(client: MqttClient, signal?: AbortSignal): Promise<unknown>;
    /** The first packet, with the identifier 0001 that it carries. */
    sends: string;
    answer: string[];
    refusal?: { answer: string; code: string };
  }
> = {
  "publish QoS 1": {
    call: (client, signal) => client.publish("t", "x", { qos: 1, signal }),
    sends: `32 06 ${utf8("t")} 0001 78`,
    answer: ["40020001"],
  },
  "publish QoS 2": {
    call: (client, signal) => client.publish("t", "x", { qos: 2, signal }),
    sends: `34 06 ${utf8("t")} 0001 78`,
    answer: ["50020001", "70020001"],
  },
  subscribe: {
    call: (client, signal) => client.subscribe("t", { qos: 1, signal }, () => {}),
    sends: `82 06 0001 ${utf8("t")} 01`,
    answer: ["9003000101"],
    refusal: { answer: "9003000180", code: "ERR_SUBSCRIBE_REFUSED" },
  },
  unsubscribe: {
    call: (client, signal) => client.unsubscribe("t", { signal }),
    sends: `a2 05 0001 ${utf8("t")}`,
    answer: ["b0020001"],
  },
};

/** Counts how a promise settles; twice cannot be seen on a promise, so the outcome is compared after more events. */
function outcome(promise: Promise<unknown>): { value: string | undefined; settled: Promise<string> } {
  const state: { value: string | undefined; settled: Promise<string> } = {
    value: undefined,
    settled: undefined as never,
  };
  state.settled = promise.then(
    () => (state.value = "ok"),
    (error: HubwireError) => (state.value = error.code),
  );
  return state;
}

describe.each(Object.entries(operations))("%s", (_name, { call, sends, answer, refusal }) => {
  const sent = sends.replaceAll(" ", "");

  test("succeeds when it is answered", async () => {
    const { client, connection } = await scene();
    const result = outcome(call(client));
    expect((await connection.packet()).toString("hex")).toBe(sent);
    for (const packet of answer) connection.send(packet);
    expect(await soon(result.settled, "success")).toBe("ok");
  });

  test("is not over before the last answer", async () => {
    const { client, connection } = await scene();
    const result = outcome(call(client));
    await connection.packet();
    for (const packet of answer.slice(0, -1)) connection.send(packet);
    await connection.settle();
    expect(result.value).toBeUndefined();
    connection.send(answer.at(-1) as string);
    expect(await soon(result.settled, "success")).toBe("ok");
  });

  if (refusal)
    test("fails when it is refused", async () => {
      const { client, connection } = await scene();
      const result = outcome(call(client));
      await connection.packet();
      connection.send(refusal?.answer ?? "");
      expect(await soon(result.settled, "refusal")).toBe(refusal?.code);
    });

  test("an answer with another identifier completes nothing", async () => {
    const { client, connection } = await scene();
    const result = outcome(call(client));
    await connection.packet();
    for (const packet of answer) connection.send(packet.replace("0001", "0007"));
    await connection.settle();
    expect(result.value).toBeUndefined();
  });

  test("ends at its deadline, and a late answer changes nothing", async () => {
    const { client, connection, clock } = await scene();
    const result = outcome(call(client));
    await connection.packet();
    clock.advance(999);
    await connection.settle();
    expect(result.value).toBeUndefined();
    // Others are answered, so that the connection is no reason for a new one.
    const other = client.subscribe("other", {}, () => {});
    const asked = await connection.packet();
    connection.send(`90 03 ${asked.toString("hex", 2, 4)} 00`);
    await other;
    clock.advance(1);
    expect(await soon(result.settled, "the deadline")).toBe("ERR_TIMEOUT");
    for (const packet of answer) connection.send(packet);
    await connection.settle();
    expect(result.value).toBe("ERR_TIMEOUT");
    expect(client.connected).toBe(true);
  });

  test("ends with its signal, whose listener is gone afterwards", async () => {
    const { client, connection } = await scene();
    const controller = new AbortController();
    const result = outcome(call(client, controller.signal));
    await connection.packet();
    controller.abort(new Error("enough"));
    expect(await soon(result.settled, "the signal")).toBe("ERR_ABORTED");
    for (const packet of answer) connection.send(packet);
    await connection.settle();
    expect(client.connected).toBe(true);
  });

  test("a signal that has fired already: nothing is sent", async () => {
    const { client, connection } = await scene();
    const result = outcome(call(client, AbortSignal.abort()));
    expect(await soon(result.settled, "the signal")).toBe("ERR_ABORTED");
    expect(await connection.settle()).toEqual([]);
  });

  test("a signal keeps no listener after success", async () => {
    const { client, connection } = await scene();
    const controller = new AbortController();
    let listeners = 0;
    const { signal } = controller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners--, remove(...args));
    const result = outcome(call(client, signal));
    await connection.packet();
    expect(listeners).toBe(1);
    for (const packet of answer) connection.send(packet);
    await result.settled;
    expect(listeners).toBe(0);
  });

  test("close() waits for it", async () => {
    const { client, connection } = await scene();
    const result = outcome(call(client));
    await connection.packet();
    const closed = client.close();
    await connection.settle();
    expect(result.value).toBeUndefined();
    for (const packet of answer) connection.send(packet);
    expect(await soon(result.settled, "success")).toBe("ok");
    await soon(closed, "close");
    expect((await connection.rest()).at(-1)).toBe("e000");
  });

  test("close() does not wait longer than operationTimeout", async () => {
    const { client, connection, clock } = await scene();
    const result = outcome(call(client));
    await connection.packet();
    const closed = client.close();
    clock.advance(1_000);
    await soon(closed, "close");
    expect(["ERR_CLOSED", "ERR_TIMEOUT"]).toContain(await soon(result.settled, "an end"));
    expect((await connection.rest()).at(-1)).toBe("e000");
    expect(clock.pending).toBe(0);
  });

  test("close({ force }) ends it at once, with DISCONNECT", async () => {
    const { client, connection, clock } = await scene();
    const result = outcome(call(client));
    await connection.packet();
    await soon(client.close({ force: true }), "close");
    expect(await soon(result.settled, "an end")).toBe("ERR_CLOSED");
    expect((await connection.rest()).at(-1)).toBe("e000");
    expect(clock.pending).toBe(0);
  });

  test("a lost connection ends it (reconnect: false)", async () => {
    const { client, connection, clock } = await scene();
    const result = outcome(call(client));
    await connection.packet();
    connection.destroy();
    expect(await soon(result.settled, "an end")).toBe("ERR_CONNECTION_LOST");
    expect(client.connected).toBe(false);
    expect(await outcome(call(client)).settled).toBe("ERR_NOT_CONNECTED");
    expect(clock.pending).toBe(0);
  });

  test("a violation ends it with the violation's code (reconnect: false) [MQTT-4.8.0-1 +]", async () => {
    const { client, connection, errors } = await scene();
    const result = outcome(call(client));
    await connection.packet();
    connection.send("f0 00");
    expect(await soon(result.settled, "an end")).toBe("ERR_MALFORMED_PACKET");
    await soon(connection.ended, "the client to close");
    expect(errors.map(({ code }) => code)).toEqual(["ERR_MALFORMED_PACKET"]);
  });

  test("after close() it is refused", async () => {
    const { client } = await scene();
    await client.close();
    expect(await outcome(call(client)).settled).toBe("ERR_CLOSED");
  });

  test("survives a lost connection with reconnect", async () => {
    const reconnect = { minDelay: 100, maxDelay: 100 };
    const { client, peer, connection, clock } = await scene({ reconnect, cleanSession: false });
    const result = outcome(call(client));
    await connection.packet();
    const down = new Promise((resolve) => client.once("reconnecting", resolve));
    connection.destroy();
    await soon(down, "reconnecting");
    expect(result.value).toBeUndefined();
    clock.advance(100);
    const next = await peer.next();
    await next.accept(true);
    const again = await next.packet();
    const at = sent.startsWith("3") ? 5 : 2;
    const id = again.toString("hex", at, at + 2);
    // The same type and flags but for DUP, which a PUBLISH has now.
    expect((again[0] as number) & 0xf7).toBe(Number.parseInt(sent.slice(0, 2), 16) & 0xf7);
    for (const packet of answer) next.send(packet.replace("0001", id));
    expect(await soon(result.settled, "success")).toBe("ok");
  });
});

test.each<[string, (client: MqttClient) => Promise<unknown>]>([
  ["no topic", (client) => client.publish(undefined as never, "x")],
  ["an empty topic [MQTT-4.7.3-1 -]", (client) => client.publish("", "x")],
  ["a topic with a wildcard [MQTT-4.7.1-1 -]", (client) => client.publish("a/+", "x", { qos: 1 })],
  ["no payload", (client) => client.publish("t", undefined as never)],
  ["a number for a payload", (client) => client.publish("t", 5 as never, { qos: 1 })],
  ["an object for a payload", (client) => client.publish("t", { a: 1 } as never, { qos: 2 })],
  ["QoS 3 [MQTT-3.3.1-4 -]", (client) => client.publish("t", "x", { qos: 3 as never })],
  ["a filter of no string", (client) => client.subscribe(7 as never)],
  ["a filter with # inside [MQTT-4.7.1-2 -]", (client) => client.subscribe("a/#/b")],
  ["a subscription of QoS 3 [MQTT-3-8.3-4 -]", (client) => client.subscribe("a", { qos: 3 as never })],
  ["an empty filter to unsubscribe", (client) => client.unsubscribe("")],
])("the caller's mistake is a rejection and sends nothing: %s", async (_what, call) => {
  for (const offline of [false, true]) {
    const { client, connection } = await scene();
    if (offline) {
      const fresh = new MqttClient({ host: "localhost", clientId: "c" });
      cleanups.push(() => fresh.close({ force: true }));
      await expect(soon(call(fresh), "the rejection")).rejects.toMatchObject({ name: "HubwireError", kind: "caller" });
    } else {
      await expect(soon(call(client), "the rejection")).rejects.toMatchObject({ name: "HubwireError", kind: "caller" });
      expect(await connection.settle()).toEqual([]);
    }
  }
});

describe("connect", () => {
  async function attempt(
    options: Partial<MqttClientOptions> = {},
    { signal, timeout = 10_000 }: { signal?: AbortSignal; timeout?: number } = {},
  ) {
    const peer = await Peer.listen();
    cleanups.push(() => peer.close());
    const clock = new FakeClock();
    const client = new MqttClient({
      host: "127.0.0.1",
      port: peer.port,
      protocol: "mqtt",
      clientId: "c",
      reconnect: false,
      clock,
      ...options,
    });
    cleanups.push(() => client.close({ force: true }));
    const result = outcome(client.connect({ signal, timeout }));
    return { client, peer, clock, result };
  }

  test.each([
    [1, "ERR_PROTOCOL_VERSION", "[MQTT-3.1.2-2 -]"],
    [2, "ERR_IDENTIFIER_REJECTED", "[MQTT-3.1.3-9 +]"],
    [3, "ERR_SERVER_UNAVAILABLE", "which may pass"],
    [4, "ERR_BAD_CREDENTIALS", ""],
    [5, "ERR_NOT_AUTHORIZED", ""],
  ])("CONNACK %i is %s %s", async (code, expected) => {
    const { peer, result } = await attempt();
    const connection = await peer.next();
    await connection.packet();
    connection.send(`20 02 00 0${code}`);
    expect(await soon(result.settled, "the refusal")).toBe(expected);
    await soon(connection.ended, "the client to close by itself");
  });

  test("a refused identity is not tried again [MQTT-3.1.3-9 -]", async () => {
    const { client, peer, clock, result } = await attempt({ reconnect: { minDelay: 1, maxDelay: 1 } });
    const connection = await peer.next();
    await connection.packet();
    connection.send("20 02 00 02");
    expect(await soon(result.settled, "the refusal")).toBe("ERR_IDENTIFIER_REJECTED");
    clock.advance(3_600_000);
    await client.close();
    expect(peer.connections.length).toBe(1);
  });

  test("the server closes before CONNACK: the error lists what is likely [MQTT-3.1.4-1 +]", async () => {
    const { client, peer, result } = await attempt();
    const error = new Promise<unknown>((resolve) => client.connect().catch(resolve));
    (await peer.next()).destroy();
    expect(await soon(result.settled, "an end")).toBe("ERR_CONNECTION_LOST");
    expect(((await error) as Error).message).toMatch(/before CONNACK: wrong credentials or client id/);
  });

  test("no CONNACK: ends at connectTimeout [MQTT-3.1.4-4 -] [MQTT-3.2.2-6 -]", async () => {
    const { peer, clock, result } = await attempt({ connectTimeout: 500 });
    const connection = await peer.next();
    await connection.packet();
    clock.advance(499);
    expect(result.value).toBeUndefined();
    clock.advance(1);
    expect(await soon(result.settled, "the deadline")).toBe("ERR_CONNECT_TIMEOUT");
    await soon(connection.ended, "the client to close");
    expect(clock.pending).toBe(0);
  });

  test("the transport itself takes too long", async () => {
    const { clock, result } = await attempt({ connectTimeout: 500, createConnection: () => new Promise(() => {}) });
    clock.advance(500);
    expect(await soon(result.settled, "the deadline")).toBe("ERR_CONNECT_TIMEOUT");
  });

  test("CONNACK in time connects, and the deadline is gone [MQTT-3.1.4-4 +]", async () => {
    const { client, peer, clock, result } = await attempt({ connectTimeout: 500, keepAlive: 0 });
    await (await peer.next()).accept();
    expect(await soon(result.settled, "CONNACK")).toBe("ok");
    clock.advance(10_000);
    expect(client.connected).toBe(true);
  });

  test("a signal ends it and closes the attempt; connect() may be called again", async () => {
    const controller = new AbortController();
    const { client, peer, clock, result } = await attempt({}, { signal: controller.signal });
    const connection = await peer.next();
    await connection.packet();
    controller.abort();
    expect(await soon(result.settled, "the signal")).toBe("ERR_ABORTED");
    await soon(connection.ended, "the client to close");
    expect(clock.pending).toBe(0);
    const again = outcome(client.connect());
    await (await peer.next()).accept();
    expect(await soon(again.settled, "CONNACK")).toBe("ok");
  });

  test("a signal that has fired already: no attempt", async () => {
    const { client, peer, result } = await attempt({}, { signal: AbortSignal.abort() });
    expect(await soon(result.settled, "the signal")).toBe("ERR_ABORTED");
    await client.close();
    expect(peer.connections.length).toBe(0);
  });

  test("two callers share one attempt, and one signal does not end it for the other", async () => {
    const controller = new AbortController();
    const { client, peer, result } = await attempt({}, { signal: controller.signal });
    const other = outcome(client.connect());
    const connection = await peer.next();
    controller.abort();
    await connection.accept();
    expect(await soon(result.settled, "the signal")).toBe("ERR_ABORTED");
    expect(await soon(other.settled, "CONNACK")).toBe("ok");
    expect(peer.connections.length).toBe(1);
  });

  test.each([false, true])("close({ force: %s }) ends it", async (force) => {
    const { client, peer, clock, result } = await attempt();
    const connection = await peer.next();
    await connection.packet();
    await soon(client.close({ force }), "close");
    expect(await soon(result.settled, "an end")).toBe("ERR_CLOSED");
    await soon(connection.ended, "the client to close");
    expect(clock.pending).toBe(0);
  });

  test("retries what may pass until its timeout, then rejects with the last real failure", async () => {
    const { client, peer, clock, result } = await attempt({
      reconnect: { minDelay: 100, maxDelay: 400 },
      random: () => 0.99,
    });
    const attempts: number[] = [];
    let wait = 0;
    client.on("reconnecting", ({ attempt: n, delay }) => {
      attempts.push(n);
      wait = delay;
    });
    for (let round = 0; result.value === undefined; round++) {
      const connection = await peer.next();
      await connection.packet();
      const next = new Promise((resolve) => client.once("reconnecting", resolve));
      connection.send("20 02 00 03");
      await soon(Promise.race([next, result.settled]), "the next attempt");
      clock.advance(wait);
      if (round > 60) throw new Error("it never ends");
    }
    expect(result.value).toBe("ERR_SERVER_UNAVAILABLE");
    // 99 + 198 + 396 + 396 + ... ms fit 25 times and more into the ten seconds.
    expect(attempts.length).toBeGreaterThan(20);
    expect(attempts).toEqual(attempts.map((_, index) => index + 1));
  });

  test("a delay over the rest of the timeout is cut to it, so that chance does not end connect() early", async () => {
    let turns = 0;
    // 900 of 1,000 ms do not fit into the 500; 0.5 of the 500 does.
    const random = () => [0.9, 0.5][turns++] ?? 0;
    const { client, peer, clock } = await attempt({ reconnect: true, random }, { timeout: 500 });
    const delays: number[] = [];
    client.on("reconnecting", ({ delay }) => delays.push(delay));
    const connection = await peer.next();
    await connection.packet();
    const next = new Promise((resolve) => client.once("reconnecting", resolve));
    connection.send("20 02 00 03");
    await soon(next, "the next attempt");
    clock.advance(250);
    await (await soon(peer.next(), "the second connection")).accept();
    await soon(new Promise((resolve) => client.once("connect", resolve)), "CONNACK");
    expect(delays).toEqual([250]);
  });

  test("a signal that is none is a typed error", async () => {
    const { client } = await attempt();
    const signal = {} as AbortSignal;
    for (const call of [
      client.connect({ signal }),
      client.publish("t", "x", { signal }),
      client.subscribe("t", { signal }),
      client.unsubscribe("t", { signal }),
    ]) {
      await expect(call).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    }
  });

  test("a host that cannot be resolved, a closed port", async () => {
    const closed = await Peer.listen();
    const { port } = closed;
    await closed.close();
    const refused = await attempt({ port });
    expect(await soon(refused.result.settled, "an end")).toBe("ERR_CONNECTION_REFUSED");
    const unknown = await attempt({ host: "no-such-host.invalid" });
    expect(await soon(unknown.result.settled, "an end")).toBe("ERR_DNS");
  });

  test.each<[string, object]>([
    [
      "createConnection throws",
      {
        createConnection: () => {
          throw new Error("no");
        },
      },
    ],
    ["createConnection rejects", { createConnection: () => Promise.reject(new Error("no")) }],
    ["createConnection gives nothing", { createConnection: () => undefined }],
    ["createConnection resolves with nothing", { createConnection: () => Promise.resolve() }],
    [
      "credentials throws",
      {
        credentials: () => {
          throw new Error("no");
        },
      },
    ],
    ["credentials gives half of them", { credentials: () => ({ password: "p" }) }],
  ])("the caller's callbacks may do what they like: %s", async (_what, options) => {
    const { result } = await attempt(options);
    expect(await soon(result.settled, "an end")).toMatch(/^ERR_(UNREACHABLE|HANDLER|INVALID_PACKET)$/);
  });

  test.each<[string, unknown, string]>([
    ["an unknown name", { user: "u" }, 'unknown option "user" of credentials; there are: username, password, tls'],
    ["one in other letters", { userName: "u" }, "is username meant?"],
    ["a name that is none", { username: 5 }, "username of credentials must be a string"],
    ["TLS options that are none", { tls: "PEM" }, "tls of credentials must be a object"],
    ["no object", "u:p", "the options of credentials must be an object"],
  ])("credentials with %s let nobody in, and end connect() at once", async (_what, given, text) => {
    const { client } = await attempt({ credentials: (() => given) as never });
    const error = await soon(
      client.connect().catch((cause: unknown) => cause),
      "an end",
    );
    expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT", message: expect.stringContaining(text) as string });
  });

  test("the time of a call is over before that of an attempt: the error does not name the attempt's", async () => {
    const { client, peer, clock } = await attempt({ connectTimeout: 5_000 });
    const error = new Promise((resolve) => client.connect({ timeout: 300 }).catch(resolve));
    await peer.next();
    clock.advance(300);
    const message = "no connection within the timeout of the call: check host, port and network";
    expect(await soon(error, "an end")).toMatchObject({ code: "ERR_CONNECT_TIMEOUT", message });
  });

  test("a queued message is rejected when the first connect() fails for good", async () => {
    const { client, peer, result } = await attempt();
    const message = outcome(client.publish("t", "x", { qos: 1 }));
    const connection = await peer.next();
    await connection.packet();
    connection.send("20 02 00 05");
    expect(await soon(result.settled, "an end")).toBe("ERR_NOT_AUTHORIZED");
    expect(await soon(message.settled, "an end")).toBe("ERR_NOT_AUTHORIZED");
  });

  test("credentials are asked anew for each attempt; a failing callback is retried", async () => {
    let asked = 0;
    const credentials = async () => {
      if (++asked === 1) throw new Error("vault is down");
      return { username: `user${asked}`, password: "p" };
    };
    let retry: (() => void) | undefined;
    const retried = new Promise<void>((resolve) => (retry = resolve));
    const random = () => (retry?.(), 0.5);
    const { client, peer, clock } = await attempt({ credentials, random, reconnect: { minDelay: 10, maxDelay: 10 } });
    await soon(retried, "the second attempt");
    clock.advance(10);
    const first = await peer.next();
    expect((await first.accept()).toString()).toContain("user2");
    await first.settle();
    first.destroy();
    await soon(new Promise((resolve) => client.once("reconnecting", resolve)), "the third attempt");
    clock.advance(10);
    expect((await (await peer.next()).accept()).toString()).toContain("user3");
  });
});

describe("close", () => {
  test("is idempotent, and connect() afterwards is refused", async () => {
    const { client, connection } = await scene();
    const both = [client.close(), client.close(), client.close({ force: true })];
    await soon(Promise.all(both), "close");
    expect(await outcome(client.connect()).settled).toBe("ERR_CLOSED");
    expect(await connection.rest()).toEqual(["e000"]);
  });

  test("works before connect() and rejects what is queued", async () => {
    const client = new MqttClient({ host: "localhost", clientId: "c" });
    const message = outcome(client.publish("t", "x"));
    await client.close();
    expect(await message.settled).toBe("ERR_CLOSED");
  });

  test("while waiting for the next attempt ends the waiting", async () => {
    const { client, connection, clock } = await scene({ reconnect: { minDelay: 1_000, maxDelay: 1_000 } });
    const down = new Promise((resolve) => client.once("reconnecting", resolve));
    connection.destroy();
    await soon(down, "reconnecting");
    await soon(client.close(), "close");
    expect(clock.pending).toBe(0);
  });

  test("Symbol.asyncDispose closes", async () => {
    const { client, connection } = await scene();
    const dispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
    await (client as unknown as Record<symbol, () => Promise<void>>)[dispose]?.();
    expect(await connection.rest()).toEqual(["e000"]);
  });

  test("a peer that never closes its side does not hold it up", async () => {
    const { client, connection, clock } = await scene();
    connection.socket.allowHalfOpen = true;
    const closed = client.close();
    await soon(connection.ended, "the client's end");
    clock.advance(250);
    await soon(closed, "close");
    expect(client.connected).toBe(false);
  });

  test("resolves when the peer has read everything and closed", async () => {
    const { client, connection } = await scene();
    let read = false;
    connection.socket.once("end", () => (read = true));
    const message = outcome(client.publish("t", "x"));
    await soon(client.close(), "close");
    expect([read, await message.settled]).toEqual([true, "ok"]);
  });

  test("the connection breaks while close() waits: what is pending ends", async () => {
    const { client, connection } = await scene({ reconnect: { minDelay: 1, maxDelay: 1 } });
    const message = outcome(client.publish("t", "x", { qos: 1 }));
    await connection.packet();
    const closed = client.close();
    connection.destroy();
    await soon(closed, "close");
    expect(await message.settled).toBe("ERR_CLOSED");
  });
});

describe("reconnect()", () => {
  test("drains, disconnects, connects with new credentials, loses nothing and reports no error", async () => {
    let asked = 0;
    const credentials = () => ({ username: `user${++asked}`, password: "p" });
    const { client, peer, connection, errors } = await scene({ credentials, reconnect: { minDelay: 1, maxDelay: 1 } });
    const events: string[] = [];
    client.on("disconnect", (error) => events.push(`disconnect ${error?.code}`));
    client.on("connect", () => events.push("connect"));
    const first = outcome(client.publish("t", "1", { qos: 1 }));
    await connection.packet();
    const renewed = outcome(client.reconnect());
    const second = outcome(client.publish("t", "2", { qos: 1 }));
    expect(await connection.settle()).toEqual([]);
    connection.send("40 02 00 01");
    expect(await connection.rest()).toEqual(["e000"]);
    expect(await first.settled).toBe("ok");
    const next = await peer.next();
    expect((await next.accept()).toString()).toContain("user2");
    expect(await soon(renewed.settled, "the new connection")).toBe("ok");
    const publish = await next.packet();
    expect(publish.toString("hex").slice(0, 10)).toBe("3206000174");
    next.send(`4002${publish.toString("hex", 5, 7)}`);
    expect(await soon(second.settled, "PUBACK")).toBe("ok");
    expect(events).toEqual(["disconnect undefined", "connect"]);
    expect(errors).toEqual([]);
  });

  test("a connection that takes no more bytes does not hold it up", async () => {
    const clock = new FakeClock();
    let made = 0;
    const createConnection = () => {
      const first = ++made === 1;
      return new Duplex({
        read() {},
        write(chunk: Buffer, _encoding, done) {
          if (chunk[0] === 0x10) this.push(Buffer.from("20020000", "hex"));
          if (!first || chunk[0] === 0x10) done();
        },
      });
    };
    const client = new MqttClient({ protocol: "mqtt", clientId: "c", createConnection, clock });
    cleanups.push(() => client.close({ force: true }));
    await client.connect();
    const renewed = outcome(client.reconnect());
    await new Promise(setImmediate);
    clock.advance(5_000);
    expect(await soon(renewed.settled, "the new connection")).toBe("ok");
    expect(made).toBe(2);
  });

  test("does not wait for acknowledgements for ever: they are asked for again", async () => {
    const { client, peer, connection, clock } = await scene({ cleanSession: false });
    const message = outcome(client.publish("t", "1", { qos: 1 }));
    await connection.packet();
    const renewed = outcome(client.reconnect({ drainTimeout: 200 }));
    clock.advance(200);
    expect(await connection.rest()).toEqual(["e000"]);
    const next = await peer.next();
    await next.accept(true);
    expect(await soon(renewed.settled, "the new connection")).toBe("ok");
    expect((await next.packet()).toString("hex")).toBe("3a0600017400" + "01" + "31");
    next.send("40 02 00 01");
    expect(await soon(message.settled, "PUBACK")).toBe("ok");
  });
});

test.each([1, true, "qos"])("options that are no object are refused, not taken for none: %j", async (options) => {
  const client = new MqttClient({ host: "localhost", protocol: "mqtt" });
  const refused = { code: "ERR_INVALID_ARGUMENT", message: expect.stringContaining("must be an object") };
  await expect(client.publish("t", "x", options as unknown as object)).rejects.toMatchObject(refused);
  await expect(client.subscribe("t", options as unknown as object)).rejects.toMatchObject(refused);
  await client.close();
});
