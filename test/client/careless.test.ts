/** Callers and peers that do what nobody should: nothing but typed errors leaves, and nothing is stuck afterwards. */
import { getEventListeners } from "node:events";
import { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { HubwireError, MqttClient, SessionStore } from "../../src/client/index.js";
import type { Message } from "../../src/session/types.js";
import { FakeClock } from "../support/clock.js";
import { Peer, utf8 } from "../support/peer.js";
import { cleanups, connectedScene } from "./scene.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A PUBLISH to topic `a`, in hexadecimal. */
function message(qos: number, packetId: number, text = "x"): string {
  const body = utf8("a") + (qos ? packetId.toString(16).padStart(4, "0") : "") + Buffer.from(text).toString("hex");
  return (0x30 | (qos << 1)).toString(16) + (body.length / 2).toString(16).padStart(2, "0") + body;
}

describe("handlers", () => {
  test.each<[string, (message: Message) => unknown]>([
    ["puts something else in the place of the payload", (given) => void ((given as { payload: unknown }).payload = {})],
    ["takes the payload out", (given) => void delete (given as Partial<Message>).payload],
  ])("a handler that %s takes its own message alone", async (_name, change) => {
    const { client, connection } = await connectedScene({});
    const errors: unknown[] = [];
    client.on("error", (error) => void errors.push(error));
    const subscribed = client.subscribe("a", { qos: 1 }, async (given) => void change(given));
    const subscribe = await connection.packetOfType(8);
    connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 01`);
    await subscribed;
    connection.send(message(1, 7));
    expect((await connection.packetOfType(4)).toString("hex")).toBe("40020007");
    expect(errors).toEqual([]);
    expect(client.metrics).toMatchObject({ undelivered: 0, undeliveredBytes: 0 });
  });

  test("a handler that freezes or changes its message does so to its own: another handler and a loop see what came", async () => {
    const { client, connection } = await connectedScene({});
    const errors: unknown[] = [];
    client.on("error", (error) => void errors.push(error));
    const seen: Message[] = [];
    const calls = [
      client.subscribe("a", { qos: 1 }, (given) => void Object.freeze(given)),
      client.subscribe("#", { qos: 1 }, (given) => void Object.assign(given, { topic: "b", qos: 0 })),
      client.subscribe("+", { qos: 1 }, (given) => void seen.push(given)),
      client.subscribe("+/#", { qos: 1 }),
    ];
    for (let count = 0; count < 4; count++) {
      const subscribe = await connection.packetOfType(8);
      connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 01`);
    }
    const subscriptions = await Promise.all(calls);
    connection.send(message(1, 7));
    for await (const given of subscriptions[3]!) {
      seen.push(given);
      break;
    }
    expect((await connection.packetOfType(4)).toString("hex")).toBe("40020007");
    expect(seen).toMatchObject([
      { topic: "a", qos: 1 },
      { topic: "a", qos: 1 },
    ]);
    expect(errors).toEqual([]);
  });

  test("a payload whose memory is given away counts no longer than its handler runs", async () => {
    const { client, connection } = await connectedScene({});
    const subscribed = client.subscribe("a", { qos: 1 }, async ({ payload }) => {
      await turn();
      structuredClone(payload.buffer, { transfer: [payload.buffer as ArrayBuffer] });
    });
    const subscribe = await connection.packetOfType(8);
    connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 01`);
    await subscribed;
    connection.send(message(1, 7));
    await connection.packetOfType(4);
    expect(client.metrics).toMatchObject({ undelivered: 0, undeliveredBytes: 0 });
  });

  test("a promise that cannot be waited for is a handler's failure", async () => {
    const { client, connection } = await connectedScene({});
    const errors: HubwireError[] = [];
    client.on("error", (error) => void errors.push(error));
    const subscribed = client.subscribe("a", { qos: 1 }, () =>
      Object.defineProperty(Promise.resolve(), "constructor", {
        get: () => {
          throw new Error("the handler's");
        },
      }),
    );
    const subscribe = await connection.packetOfType(8);
    connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 01`);
    await subscribed;
    connection.send(message(1, 7));
    await connection.packetOfType(4);
    expect(errors.map(({ code }) => code)).toEqual(["ERR_HANDLER"]);
  });
});

describe("iteration", () => {
  test("a loop that an error ended holds up nothing later", async () => {
    const { client, peer, connection } = await connectedScene({ reconnect: false, clientId: "c" });
    const subscribed = client.subscribe("a", { qos: 1 });
    const subscribe = await connection.packetOfType(8);
    connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 01`);
    const subscription = await subscribed;
    const loop = (async () => {
      for await (const _message of subscription) continue;
    })();
    connection.destroy();
    await expect(loop).rejects.toMatchObject({ code: "ERR_CONNECTION_LOST" });

    const connected = client.connect();
    const second = await peer.next();
    await second.accept();
    await connected;
    const restored = await second.packetOfType(8);
    second.send(`90 03 ${restored.toString("hex", 2, 4)} 01`);
    second.send(message(1, 7));
    await second.settle();
    const unsubscribed = subscription.unsubscribe();
    const unsubscribe = await second.packetOfType(10);
    expect((await second.packetOfType(4)).toString("hex")).toBe("40020007");
    second.send(`b0 02 ${unsubscribe.toString("hex", 2, 4)}`);
    await unsubscribed;
  });

  test("an unsubscribe that is refused while the client is stopped changes nothing", async () => {
    const { client, peer, connection } = await connectedScene({ reconnect: false });
    const subscribed = client.subscribe("a", { qos: 1 });
    const subscribe = await connection.packetOfType(8);
    connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 01`);
    const subscription = await subscribed;
    const lost = new Promise((resolve) => client.once("disconnect", resolve));
    connection.destroy();
    await lost;
    await expect(subscription.unsubscribe()).rejects.toMatchObject({ code: "ERR_NOT_CONNECTED" });
    await expect(client.unsubscribe("a")).rejects.toMatchObject({ code: "ERR_NOT_CONNECTED" });

    const connected = client.connect();
    const second = await peer.next();
    await second.accept();
    await connected;
    const restored = await second.packetOfType(8);
    second.send(`90 03 ${restored.toString("hex", 2, 4)} 01`);
    second.send(message(1, 7));
    // Nobody has read it: it is not acknowledged.
    expect(await second.settle()).toEqual([]);
  });
});

/** A store that throws what a program's own would, in the calls that are told it. */
class FailingStore extends SessionStore {
  readonly records = new Map<number, Uint8Array>();
  fails: readonly string[] = [];

  #call(name: string): void {
    if (this.fails.includes(name)) throw new RangeError(`the store's own: ${name}`);
  }
  override load(): Iterable<readonly [number, Uint8Array]> {
    this.#call("load");
    return this.records;
  }
  override put(key: number, record: Uint8Array): void {
    this.#call("put");
    this.records.set(key, record);
  }
  override remove(key: number): void {
    this.#call("remove");
    this.records.delete(key);
  }
  override close(): void {
    this.#call("close");
  }
}

test("one signal for the calls of all clients has one listener, which ends them all and is gone then", async () => {
  const ending = new AbortController();
  const { signal } = ending;
  const clients = [1, 2, 3].map(() => new MqttClient({ host: "h.example", clock: new FakeClock() }));
  const call = (client: MqttClient): Promise<void>[] => [
    client.publish("a", "x", { signal }),
    client.publish("a", "x", { qos: 1, signal }),
  ];
  const calls = clients.flatMap(call);
  const ended = Promise.allSettled(calls);
  expect(getEventListeners(signal, "abort")).toHaveLength(1);
  await clients[0]!.close();
  expect(getEventListeners(signal, "abort")).toHaveLength(1);
  ending.abort();
  const codes = (await ended).map((outcome) => (outcome as { reason: HubwireError }).reason.code);
  expect(codes).toEqual(["ERR_CLOSED", "ERR_CLOSED", "ERR_ABORTED", "ERR_ABORTED", "ERR_ABORTED", "ERR_ABORTED"]);
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
  await Promise.all(clients.map((client) => client.close()));
});

test("a store is one client's: another is refused it until the first has ended", async () => {
  const store = new FailingStore();
  const options = { host: "h.example", clientId: "c", store, clock: new FakeClock() };
  const first = new MqttClient(options);
  expect(() => new MqttClient(options)).toThrow(
    expect.objectContaining({ code: "ERR_INVALID_ARGUMENT", message: expect.stringContaining("store") as string }),
  );
  await first.close();
  await new MqttClient(options).close();
});

describe("a store that throws errors of its own", () => {
  test.each(["load", "put"])("publish rejects with ERR_STORE where %s does", async (name) => {
    const store = new FailingStore();
    store.fails = [name];
    const client = new MqttClient({ host: "h.example", clientId: "c", store, clock: new FakeClock() });
    cleanups.push(() => client.close({ force: true }));
    const failure = client.publish("a", "x", { qos: 1 });
    await expect(failure).rejects.toMatchObject({ name: "HubwireError", code: "ERR_STORE" });
    if (name === "load") {
      const asked = [client.subscribe("a"), client.unsubscribe("a")];
      for (const ask of asked) await expect(ask).rejects.toMatchObject({ name: "HubwireError", code: "ERR_STORE" });
    }
  });

  test("connect rejects, and may be called again", async () => {
    const store = new FailingStore();
    store.fails = ["load"];
    const peer = await Peer.listen({ script: (connection) => connection.accept().catch(() => undefined) });
    cleanups.push(() => peer.close());
    const client = new MqttClient({ host: "127.0.0.1", port: peer.port, protocol: "mqtt", clientId: "c", store });
    cleanups.push(() => client.close({ force: true }));
    await expect(client.connect()).rejects.toMatchObject({ name: "HubwireError", code: "ERR_STORE" });
    store.fails = [];
    await client.connect();
  });

  test.each(["put", "remove"])(
    "a connection ends with ERR_STORE where %s does, and the client goes on",
    async (name) => {
      const store = new FailingStore();
      const scene = await connectedScene({ store, cleanSession: false });
      const { client, connection } = scene;
      client.on("error", () => {});
      const published = client.publish("a", "x", { qos: 2 });
      const publish = await connection.packetOfType(3);
      store.fails = [name];
      const reason = new Promise<HubwireError>((resolve) => client.once("reconnecting", ({ error }) => resolve(error)));
      connection.send(`50 02 ${publish.toString("hex", 5, 7)}`);
      expect(await reason).toMatchObject({ name: "HubwireError", code: "ERR_STORE" });
      store.fails = [];
      await client.close({ force: true });
      await expect(published).rejects.toMatchObject({ code: "ERR_CLOSED" });
    },
  );
});

describe("peers", () => {
  test("one that repeats a message without end is found out before it fills the memory", async () => {
    const { client, connection } = await connectedScene({ cleanSession: false });
    const subscribed = client.subscribe("a", { qos: 2 }, () => new Promise<void>(() => {}));
    const subscribe = await connection.packetOfType(8);
    connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 02`);
    await subscribed;
    const reason = new Promise((resolve) => client.once("disconnect", resolve));
    connection.send(Buffer.from(message(2, 7).replaceAll(" ", "").repeat(65_536), "hex"));
    expect(await reason).toMatchObject({ code: "ERR_PROTOCOL_VIOLATION" });
    expect(client.metrics.messagesReceived).toBe(1);
  });

  test("messages that wait for a subscription do not keep alive what came with them", async () => {
    const { client, connection } = await connectedScene({ cleanSession: false }, { sessionPresent: true });
    const payloads: Uint8Array[] = [];
    connection.send(message(1, 7) + "30 82 04" + utf8("b") + "00".repeat(511) + message(1, 8));
    await connection.settle();
    const subscribed = client.subscribe("a", { qos: 1 }, ({ payload }) => void payloads.push(payload));
    const subscribe = await connection.packetOfType(8);
    connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 01`);
    await subscribed;
    expect(payloads.map(({ buffer }) => buffer.byteLength)).toEqual([1, 1]);
  });
});

describe("connections", () => {
  test("a stream whose write throws is a lost connection", async () => {
    const clock = new FakeClock();
    class Broken extends Duplex {
      override _read(): void {}
      override _write(): void {
        throw new RangeError("the stream's own");
      }
    }
    const client = new MqttClient({
      protocol: "mqtt",
      clientId: "c",
      clock,
      createConnection: () => new Broken(),
      reconnect: false,
    });
    cleanups.push(() => client.close({ force: true }));
    await expect(client.connect()).rejects.toMatchObject({ name: "HubwireError", code: "ERR_CONNECTION_LOST" });
  });
});

describe("signals", () => {
  const broken = {
    aborted: false,
    addEventListener: () => {
      throw new Error("the caller's");
    },
    removeEventListener: () => {},
  } as unknown as AbortSignal;

  test.each<[string, (client: MqttClient) => Promise<unknown>]>([
    ["publish", (client) => client.publish("t", "x", { qos: 1, signal: broken })],
    ["publish with QoS 0", (client) => client.publish("t", "x", { signal: broken })],
    ["subscribe", (client) => client.subscribe("t", { signal: broken }, () => {})],
    ["unsubscribe", (client) => client.unsubscribe("t", { signal: broken })],
    ["reconnect", (client) => client.reconnect({ signal: broken })],
  ])("%s with a signal that cannot be listened to is refused before anything is sent", async (_name, call) => {
    const { client } = await connectedScene({});
    const { packetsSent } = client.metrics;
    await expect(call(client)).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    expect(client.metrics).toMatchObject({ packetsSent, inflight: 0, queued: 0 });
  });

  test("connect with a signal that cannot be listened to is refused, and nothing is dialled", async () => {
    const client = new MqttClient({ host: "localhost", port: 1, protocol: "mqtt" });
    cleanups.push(() => client.close());
    await expect(client.connect({ signal: broken })).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    expect(client.state).toBe("idle");
  });

  test("a signal that keeps its listener does not keep a call from its end", async () => {
    const { client, connection } = await connectedScene({});
    const signal = {
      ...broken,
      addEventListener: () => {},
      removeEventListener: () => {
        throw new Error("the caller's");
      },
    } as unknown as AbortSignal;
    const published = client.publish("t", "x", { qos: 1, signal });
    const publish = await connection.packetOfType(3);
    connection.send(`40 02 ${publish.toString("hex", 5, 7)}`);
    await published;
    expect(client.metrics.inflight).toBe(0);
  });
});

describe("listeners", () => {
  const takers = [
    "on",
    "once",
    "off",
    "addListener",
    "removeListener",
    "prependListener",
    "prependOnceListener",
  ] as const;

  test.each(takers)("%s refuses what is no function", (name) => {
    const client = new MqttClient({ host: "localhost" });
    const call = client[name] as (event: string, listener: unknown) => unknown;
    for (const listener of [5, undefined, null, {}]) {
      expect(() => call.call(client, "connect", listener)).toThrow(
        expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }) as Error,
      );
    }
    expect(client.listenerCount("connect")).toBe(0);
  });

  test.each(["message", "offline", "toString"])("the event %s does not exist", (name) => {
    const client = new MqttClient({ host: "localhost" });
    const refused = expect.objectContaining({
      code: "ERR_INVALID_ARGUMENT",
      message: expect.stringContaining(`MqttClient has no event "${name}"`),
    });
    expect(() => client.on(name as "connect", () => {})).toThrow(refused);
    expect(() => client.once(name as "connect", () => {})).toThrow(refused);
    if (name === "message") expect(() => client.on(name as "connect", () => {})).toThrow(/call subscribe\(\)/);
  });

  test("good ones come and go as ever, once for once", () => {
    const client = new MqttClient({ host: "localhost" });
    const calls: string[] = [];
    const error = new HubwireError("ERR_CLOSED", "x");
    const listener = (): void => void calls.push("on");
    client.on("error", listener);
    client.once("error", () => void calls.push("once"));
    client.prependListener("error", () => void calls.push("first"));
    client.emit("error", error);
    client.off("error", listener);
    client.emit("error", error);
    expect(calls).toEqual(["first", "on", "once", "first"]);
  });
});

describe("a random that is none", () => {
  test.each<[string, () => number]>([
    ["gives NaN", () => NaN],
    ["gives more than there is", () => 7],
    ["gives less than nothing", () => -1],
    [
      "throws",
      () => {
        throw new Error("the caller's");
      },
    ],
  ])("a function that %s ends no attempts", async (_name, random) => {
    const delays: number[] = [];
    let attempts = 0;
    const clock = new FakeClock();
    const createConnection = (): Duplex => {
      attempts++;
      throw new Error("no way");
    };
    const client = new MqttClient({ protocol: "mqtt", clientId: "c", clock, random, createConnection });
    cleanups.push(() => client.close({ force: true }));
    client.on("reconnecting", ({ delay }) => void delays.push(delay));
    const connecting = client.connect({ timeout: 10_000 }).catch(() => {});
    for (let i = 0; i < 3; i++) {
      await turn();
      clock.advance(1_000 * 2 ** i);
    }
    await turn();
    expect(attempts).toBeGreaterThan(2);
    for (const delay of delays) expect(delay).toBeGreaterThanOrEqual(0);
    await client.close({ force: true });
    await connecting;
  });
});

test("a handler that never settles keeps no timer of a client that gave up, or was closed", async () => {
  for (const end of ["gives up", "is closed"]) {
    const { client, connection, peer, clock } = await connectedScene({ reconnect: false });
    const subscribed = client.subscribe("a", { qos: 1 }, () => new Promise<void>(() => {}));
    const subscribe = await connection.packetOfType(8);
    connection.send(`90 03 ${subscribe.toString("hex", 2, 4)} 01`);
    await subscribed;
    connection.send(message(1, 7));
    while (client.metrics.undelivered === 0) await turn();
    if (end === "is closed") await client.close({ force: true });
    else {
      const lost = new Promise((resolve) => client.once("disconnect", resolve));
      await peer.close();
      await lost;
      expect(client.state).toBe("stopped");
    }
    expect(clock.pending, end).toBe(0);
  }
});
