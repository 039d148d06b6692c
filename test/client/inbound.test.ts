/** Messages in: who gets them, when they are acknowledged, and what a slow or failing consumer does to the rest. */
import { createServer, type Server, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { type HubwireError, type Message, MqttClient, type MqttClientOptions } from "../../src/client/index.js";
import { FakeClock } from "../support/clock.js";
import { type PeerConnection, soon, utf8 } from "../support/peer.js";
import { cleanups, connectedScene } from "./scene.js";

async function scene(options: Partial<MqttClientOptions> = {}, sessionPresent = false) {
  const errors: HubwireError[] = [];
  const watch = (client: MqttClient) => void client.on("error", (error) => errors.push(error));
  const defaults = { reconnect: { minDelay: 10, maxDelay: 10 } };
  return { ...(await connectedScene({ ...defaults, ...options }, { sessionPresent, watch })), errors };
}

/** Subscribes and answers with SUBACK of the QoS that was asked for. */
async function subscribe(
  { client, connection }: { client: MqttClient; connection: PeerConnection },
  topicFilter: string,
  handler?: (message: Message) => void | Promise<void>,
) {
  const subscribed = client.subscribe(topicFilter, { qos: 2 }, handler);
  const packet = await connection.packet();
  connection.send(`90 03 ${packet.toString("hex", 2, 4)} 02`);
  return subscribed;
}

const publish = (id: number, topic = "t", payload = "x") => {
  const body = `${utf8(topic)} ${id.toString(16).padStart(4, "0")} ${Buffer.from(payload).toString("hex")}`;
  return `32 ${(body.replaceAll(" ", "").length / 2).toString(16).padStart(2, "0")} ${body}`;
};
const text = (message: Message) => Buffer.from(message.payload).toString();

describe("dispatch", () => {
  test("each subscription that matches gets the message, and no other [MQTT-4.7.1-2 +] [MQTT-4.7.1-3 +]", async () => {
    const at = await scene();
    const seen: string[] = [];
    for (const filter of ["a/+", "a/#", "a/b", "b"])
      await subscribe(at, filter, ({ topic }) => void seen.push(`${filter} ${topic}`));
    at.connection.send(publish(1, "a/b"));
    at.connection.send(publish(2, "a/b/c"));
    await at.connection.settle();
    expect(seen).toEqual(["a/+ a/b", "a/# a/b", "a/b a/b", "a/# a/b/c"]);
  });

  test("a message that no subscription matches is acknowledged all the same [MQTT-3.3.2-3 +] [MQTT-4.5.0-2 +]", async () => {
    const at = await scene();
    at.connection.send(publish(7, "nobody"));
    expect((await at.connection.packet()).toString("hex")).toBe("40020007");
  });

  test("after UNSUBSCRIBE was answered the handler hears nothing; before, it does [MQTT-3.10.4-3 +]", async () => {
    const at = await scene();
    const seen: string[] = [];
    const subscription = await subscribe(at, "t", (message) => void seen.push(text(message)));
    const gone = subscription.unsubscribe();
    const packet = await at.connection.packet();
    at.connection.send(publish(1, "t", "before"));
    at.connection.send(`b0 02 ${packet.toString("hex", 2, 4)}`);
    await gone;
    at.connection.send(publish(2, "t", "after"));
    expect(await at.connection.settle()).toEqual(["40020001", "40020002"]);
    expect(seen).toEqual(["before"]);
  });

  test("UNSUBSCRIBE goes out only with the last subscription of a filter", async () => {
    const at = await scene();
    const first = await subscribe(at, "t", () => {});
    const second = await subscribe(at, "t", () => {});
    await first.unsubscribe();
    await first.unsubscribe();
    const gone = second.unsubscribe();
    const packet = await at.connection.packet();
    expect(packet[0]).toBe(0xa2);
    at.connection.send(`b0 02 ${packet.toString("hex", 2, 4)}`);
    await gone;
    expect(await at.connection.settle()).toEqual([]);
  });
});

describe("acknowledgement", () => {
  test("leaves after the handler's promise, in the order of arrival [MQTT-4.6.0-2 +] [MQTT-4.3.2-2 +]", async () => {
    const at = await scene();
    const release = new Map<string, () => void>();
    await subscribe(at, "t", (message) => new Promise((resolve) => release.set(text(message), resolve)));
    at.connection.send(publish(1, "t", "1") + publish(2, "t", "2"));
    at.connection.send(publish(3, "u", "3"));
    at.connection.send("d0 00");
    while (release.size < 2) await new Promise(setImmediate);
    release.get("2")?.();
    await new Promise(setImmediate);
    expect(at.connection.arrived()).toEqual([]);
    release.get("1")?.();
    const ids = [await at.connection.packet(), await at.connection.packet(), await at.connection.packet()];
    expect(ids.map((packet) => packet.toString("hex"))).toEqual(["40020001", "40020002", "40020003"]);
  });

  test("a handler that throws is reported; a clean session acknowledges, and goes on", async () => {
    const at = await scene();
    await subscribe(at, "t", () => {
      throw new Error("no luck");
    });
    at.connection.send(publish(1));
    expect((await at.connection.packet()).toString("hex")).toBe("40020001");
    expect(at.errors.map(({ code, cause }) => [code, (cause as Error).message])).toEqual([["ERR_HANDLER", "no luck"]]);
    expect(at.client.connected).toBe(true);
  });

  test.each(["throws", "rejects"])(
    "a handler that %s leaves the message unacknowledged in a persistent session",
    async (how) => {
      const at = await scene({ cleanSession: false });
      await subscribe(at, "t", () => {
        if (how === "throws") throw new Error("no luck");
        return Promise.reject(new Error("no luck"));
      });
      await subscribe(at, "u", () => {});
      at.connection.send(publish(1));
      at.connection.send(publish(2, "u"));
      expect((await at.connection.packet()).toString("hex")).toBe("40020002");
      expect(await at.connection.settle()).toEqual([]);
      expect(at.errors.map(({ code }) => code)).toEqual(["ERR_HANDLER"]);
    },
  );

  test("two handlers: acknowledged when both are done", async () => {
    const at = await scene();
    let finish: (() => void) | undefined;
    await subscribe(at, "t", () => new Promise((resolve) => (finish = resolve)));
    await subscribe(at, "t", () => {});
    at.connection.send(publish(1));
    while (!finish) await new Promise(setImmediate);
    expect(at.connection.arrived()).toEqual([]);
    finish();
    expect((await at.connection.packet()).toString("hex")).toBe("40020001");
  });

  test("an error without a listener is a warning, not the end of the process", async () => {
    const at = await scene();
    at.client.removeAllListeners("error");
    const warned = new Promise<Error>((resolve) => process.once("warning", resolve));
    await subscribe(at, "t", () => {
      throw new Error("no luck");
    });
    at.connection.send(publish(1));
    expect(await soon(warned, "the warning")).toMatchObject({ code: "ERR_HANDLER" });
  });

  test("a listener that throws does not reach the session", async () => {
    const at = await scene();
    at.client.on("disconnect", () => {
      throw new Error("listener");
    });
    at.connection.destroy();
    while (at.errors.length === 0) await new Promise(setImmediate);
    expect(at.errors.map(({ code }) => code)).toEqual(["ERR_HANDLER"]);
    at.clock.advance(10);
    await (await at.peer.next()).accept();
  });
});

describe("iteration", () => {
  test("delivers in order and acknowledges when the next message is asked for", async () => {
    const at = await scene();
    const iterator = (await subscribe(at, "t"))[Symbol.asyncIterator]();
    at.connection.send(publish(1, "t", "one") + publish(2, "t", "two"));
    expect(text((await iterator.next()).value as Message)).toBe("one");
    await new Promise(setImmediate);
    expect(at.connection.arrived()).toEqual([]);
    expect(text((await iterator.next()).value as Message)).toBe("two");
    expect((await at.connection.packet()).toString("hex")).toBe("40020001");
    const third = iterator.next();
    expect((await at.connection.packet()).toString("hex")).toBe("40020002");
    at.connection.send(publish(3, "t", "three"));
    expect(text((await third).value as Message)).toBe("three");
  });

  test("asking twice ahead of the messages gets both, and acknowledges both", async () => {
    const at = await scene();
    const iterator = (await subscribe(at, "t"))[Symbol.asyncIterator]();
    const both = [iterator.next(), iterator.next()];
    at.connection.send(publish(1, "t", "one") + publish(2, "t", "two"));
    expect((await Promise.all(both)).map(({ value }) => text(value as Message))).toEqual(["one", "two"]);
    void iterator.next();
    expect((await at.connection.packet()).toString("hex")).toBe("40020001");
    expect((await at.connection.packet()).toString("hex")).toBe("40020002");
  });

  test("leaving the loop leaves the message in hand unacknowledged; the next loop goes on", async () => {
    const at = await scene();
    const subscription = await subscribe(at, "t");
    at.connection.send(publish(1, "t", "one") + publish(2, "t", "two"));
    const seen: string[] = [];
    for await (const message of subscription) {
      seen.push(text(message));
      break;
    }
    await new Promise(setImmediate);
    expect(at.connection.arrived()).toEqual([]);
    for await (const message of subscription) {
      seen.push(text(message));
      break;
    }
    expect((await at.connection.packet()).toString("hex")).toBe("40020001");
    expect(seen).toEqual(["one", "two"]);
  });

  test("ends after unsubscribe, with what had arrived", async () => {
    const at = await scene();
    const subscription = await subscribe(at, "t");
    at.connection.send(publish(1, "t", "one"));
    const gone = subscription.unsubscribe();
    at.connection.send(`b0 02 ${(await at.connection.packet()).toString("hex", 2, 4)}`);
    await gone;
    const seen: string[] = [];
    for await (const message of subscription) seen.push(text(message));
    expect(seen).toEqual(["one"]);
    expect((await at.connection.packet()).toString("hex")).toBe("40020001");
  });

  test("ends with close(), and rejects when the client gives up", async () => {
    const closed = await scene();
    const first = (await subscribe(closed, "t"))[Symbol.asyncIterator]().next();
    await closed.client.close();
    expect(await soon(first, "the end")).toEqual({ done: true, value: undefined });
    const stopped = await scene({ reconnect: false });
    const iterator = (await subscribe(stopped, "t"))[Symbol.asyncIterator]();
    const second = iterator.next();
    stopped.connection.destroy();
    await expect(soon(second, "the end")).rejects.toMatchObject({ code: "ERR_CONNECTION_LOST" });
    await expect(iterator.next()).rejects.toMatchObject({ code: "ERR_CONNECTION_LOST" });
  });

  test("a handler in the wrong place is refused, not ignored", async () => {
    const at = await scene();
    const wrong = [at.client.subscribe("t", (() => {}) as never), at.client.subscribe("t", {}, {} as never)];
    for (const call of wrong) await expect(call).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
    expect(await at.connection.settle()).toEqual([]);
  });

  test("what waits for a loop when the client closes is not acknowledged, and kept and counted no longer", async () => {
    const at = await scene({ cleanSession: false });
    await subscribe(at, "t");
    at.connection.send(publish(1, "t", "a"));
    at.connection.send(publish(2, "t", "b"));
    while (at.client.metrics.messagesReceived < 2) await new Promise(setImmediate);
    expect(at.client.metrics.undelivered).toBe(2);
    await at.client.close({ force: true });
    expect(at.client.metrics).toMatchObject({ undelivered: 0, undeliveredBytes: 0 });
    expect((await at.connection.packet()).toString("hex")).toBe("e000");
  });

  test("a subscription with a handler cannot be iterated", async () => {
    const at = await scene();
    const subscription = await subscribe(at, "t", () => {});
    expect(() => subscription[Symbol.asyncIterator]()).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
  });
});

describe("a resumed session", () => {
  test("messages that come before the program subscribed are kept for it", async () => {
    const at = await scene({ cleanSession: false }, true);
    at.connection.send(publish(1, "t", "early"));
    await new Promise(setImmediate);
    const seen: string[] = [];
    await subscribe(at, "t", (message) => void seen.push(text(message)));
    expect((await at.connection.packet()).toString("hex")).toBe("40020001");
    expect(seen).toEqual(["early"]);
  });

  test("but not for ever [MQTT-4.5.0-2 -]", async () => {
    const at = await scene({ cleanSession: false, operationTimeout: 500, keepAlive: 0 }, true);
    at.connection.send(publish(1, "t", "early"));
    while (at.client.metrics.messagesReceived < 1) await new Promise(setImmediate);
    expect(at.connection.arrived()).toEqual([]);
    at.clock.advance(500);
    expect((await at.connection.packet()).toString("hex")).toBe("40020001");
  });
});

describe("backpressure", () => {
  /** A server that accepts and then sends PUBLISH packets as fast as the client reads. */
  async function flood(packet: Buffer, count: number, last = "") {
    let sent = 0;
    const server: Server = createServer((socket: Socket) => {
      const batch = Buffer.concat(Array<Buffer>(100).fill(packet));
      const pump = () => {
        while (sent < count) {
          sent += 100;
          if (!socket.write(batch)) return;
        }
        if (sent === count) socket.write(Buffer.from(last, "hex"));
        sent++;
      };
      let phase = 0;
      socket.on("data", (chunk) => {
        if (phase++ === 0) socket.write(Buffer.from("20020000", "hex"));
        else if (chunk[0] === 0x82) {
          socket.write(Buffer.from([0x90, 3, chunk[2] as number, chunk[3] as number, 0]));
          pump();
        }
      });
      socket.on("drain", pump);
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    return { port: (server.address() as { port: number }).port, sent: () => sent };
  }

  /** Resolves when nothing has moved for a while: both ends wait for the other. */
  async function standstill(value: () => number): Promise<number> {
    for (let before = -1, still = 0; still < 20; before = value()) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      still = value() === before ? still + 1 : 0;
    }
    return value();
  }

  test.each([
    ["an iterator that nobody reads", undefined],
    ["handlers that never finish", () => new Promise<void>(() => {})],
  ])("10^6 messages against %s stay under 64 MiB", async (_what, handler) => {
    const total = 1_000_000;
    const packet = Buffer.concat([Buffer.from([0x30, 103, 0, 1, 0x74]), Buffer.alloc(100, "x")]);
    const source = await flood(packet, total);
    const clock = new FakeClock();
    const client = new MqttClient({ host: "127.0.0.1", port: source.port, protocol: "mqtt", clientId: "c", clock });
    cleanups.push(() => client.close({ force: true }));
    await client.connect();
    const before = process.memoryUsage().rss;
    await client.subscribe("t", {}, handler);
    await standstill(() => client.metrics.messagesReceived);
    const grown = (process.memoryUsage().rss - before) / 2 ** 20;
    expect(client.metrics.messagesReceived).toBeGreaterThan(1_000);
    expect(client.metrics.messagesReceived).toBeLessThan(50_000);
    expect(source.sent()).toBeLessThan(total);
    expect(grown).toBeLessThan(64);
    // Forty intervals of keep alive: the client reads nothing on purpose, and must not mistake that for a dead peer; nor
    // may the looks that it takes at what is there add up.
    let most = 0;
    for (let step = 0; step < 400; step++) {
      clock.advance(6_000);
      most = Math.max(most, client.metrics.undelivered);
      // A look at what is there takes a turn of the event loop and may take a few.
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    }
    expect(client.connected).toBe(true);
    expect(most).toBeLessThan(5_000);
  });

  test("reading goes on when the consumer does, and nothing is lost", async () => {
    const total = 20_000;
    const packet = Buffer.from([0x30, 4, 0, 1, 0x74, 0x78]);
    const source = await flood(packet, total);
    const client = new MqttClient({ host: "127.0.0.1", port: source.port, protocol: "mqtt", clientId: "c" });
    cleanups.push(() => client.close({ force: true }));
    await client.connect();
    const subscription = await client.subscribe("t");
    await standstill(() => client.metrics.messagesReceived);
    let seen = 0;
    for await (const _message of subscription) if (++seen === total) break;
    expect(seen).toBe(total);
  });

  test("a handler may wait for its own publish, though PUBACK comes behind thousands of messages", async () => {
    const total = 20_000;
    const source = await flood(Buffer.from([0x30, 4, 0, 1, 0x74, 0x78]), total, "40020002");
    const client = new MqttClient({ host: "127.0.0.1", port: source.port, protocol: "mqtt", clientId: "c" });
    cleanups.push(() => client.close({ force: true }));
    await client.connect();
    let first: Promise<void> | undefined;
    let finished = 0;
    let done: (() => void) | undefined;
    const all = new Promise<void>((resolve) => (done = resolve));
    await client.subscribe("t", {}, async () => {
      await (first ??= client.publish("out", "x", { qos: 1 }));
      if (++finished === total) done?.();
    });
    await soon(all, "all handlers");
  });

  test("close() does not wait for a consumer that has stalled: it reads on for what is in flight", async () => {
    const packet = Buffer.from([0x30, 4, 0, 1, 0x74, 0x78]);
    const source = await flood(packet, 80_000, "40020002");
    const client = new MqttClient({ host: "127.0.0.1", port: source.port, protocol: "mqtt", clientId: "c" });
    cleanups.push(() => client.close({ force: true }));
    await client.connect();
    await client.subscribe("t");
    await standstill(() => client.metrics.messagesReceived);
    const message = client.publish("t", "x", { qos: 1 });
    await soon(client.close(), "close");
    await soon(message, "PUBACK");
  });

  test("a QoS 0 flood against a server that does not read is bounded and refused, not buffered", async () => {
    const server = createServer((socket) => {
      socket.once("data", () => {
        socket.write(Buffer.from("20020000", "hex"));
        socket.pause();
      });
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const client = new MqttClient({
      host: "127.0.0.1",
      port: (server.address() as { port: number }).port,
      protocol: "mqtt",
      clientId: "c",
      offlineQueue: { maxBytes: 1024 * 1024 },
    });
    cleanups.push(() => client.close({ force: true }));
    await client.connect();
    const payload = Buffer.alloc(10_000);
    const refused: string[] = [];
    const count = (error: HubwireError) => void refused.push(error.code);
    for (let n = 0; n < 5_000; n++) client.publish("t", payload).catch(count);
    await new Promise(setImmediate);
    expect(refused.length).toBeGreaterThan(3_000);
    expect(new Set(refused)).toEqual(new Set(["ERR_QUEUE_FULL"]));
    expect(client.metrics.queuedBytes).toBeLessThanOrEqual(1024 * 1024);
  });

  test("await in a loop is slowed down to what the server takes", async () => {
    const server = createServer((socket) => {
      socket.once("data", () => {
        socket.write(Buffer.from("20020000", "hex"));
        socket.pause();
      });
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const port = (server.address() as { port: number }).port;
    const client = new MqttClient({ host: "127.0.0.1", port, protocol: "mqtt", clientId: "c" });
    await client.connect();
    const payload = Buffer.alloc(100_000);
    let sent = 0;
    const loop = (async () => {
      for (;;) {
        await client.publish("t", payload);
        sent++;
      }
    })().catch((error: HubwireError) => error.code);
    const before = await standstill(() => sent);
    expect(before).toBeGreaterThan(1);
    await client.close({ force: true });
    expect(await soon(loop, "the loop")).toBe("ERR_CLOSED");
    expect(sent).toBe(before);
  });
});
