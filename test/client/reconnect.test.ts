/** Losing and regaining the connection: when, how often, and what is said about it. */
import { describe, expect, test } from "vitest";
import { Backoff } from "../../src/client/backoff.js";
import { type HubwireError, MqttClient, type MqttClientOptions } from "../../src/client/index.js";
import { FakeClock } from "../support/clock.js";
import { Peer, soon, utf8 } from "../support/peer.js";
import { cleanups, connectedScene } from "./scene.js";

/** `ok`, or the error's code. */
const outcomeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "ok",
    (error: HubwireError) => error.code,
  );

async function scene(options: Partial<MqttClientOptions> = {}) {
  const events: string[] = [];
  const watch = (client: MqttClient) => {
    client.on("connect", ({ sessionPresent }) => events.push(`connect ${sessionPresent}`));
    client.on("disconnect", (error) => events.push(`disconnect ${error?.code}`));
    client.on("reconnecting", ({ attempt, delay }) => events.push(`reconnecting ${attempt} ${delay}`));
    client.on("error", (error) => events.push(`error ${error.code}`));
  };
  const defaults = { reconnect: { minDelay: 1_000, maxDelay: 60_000 }, random: () => 0.5 };
  const ends = await connectedScene({ ...defaults, ...options }, { watch });
  const { client } = ends;
  const reconnecting = () =>
    soon(new Promise<void>((resolve) => client.once("reconnecting", () => resolve())), "reconnecting");
  return { ...ends, events, reconnecting };
}

describe("backoff", () => {
  test("is full jitter below a ceiling that doubles up to its bound", () => {
    const highest = new Backoff(1_000, 60_000, () => 1 - 2 ** -53);
    const delays = Array.from({ length: 8 }, () => Math.round(highest.next()));
    expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    const lowest = new Backoff(1_000, 60_000, () => 0);
    expect([lowest.next(), lowest.next()]).toEqual([0, 0]);
  });

  test("starts anew after a connection that outlived the ceiling, and only then", () => {
    const backoff = new Backoff(1_000, 60_000, () => 0.5);
    expect([backoff.next(), backoff.next()]).toEqual([500, 1_000]);
    backoff.ended(3_999, true);
    expect(backoff.next()).toBe(2_000);
    backoff.ended(8_000, true);
    expect(backoff.next()).toBe(500);
  });

  test("three connections in a row that the peer ends at once are a takeover", () => {
    const backoff = new Backoff(1_000, 60_000, () => 0);
    const ends = [1, 2, 3, 4].map(() => {
      const takeover = backoff.ended(10, true);
      return [takeover, backoff.next(takeover)];
    });
    expect(ends).toEqual([
      [false, 0],
      [false, 0],
      [true, 30_000],
      [true, 30_000],
    ]);
  });
});

test("events tell the story, the first delay is jittered too, and one attempt is made at a time", async () => {
  const { peer, connection, clock, events, reconnecting } = await scene();
  clock.advance(5_000);
  let next = reconnecting();
  connection.destroy();
  await next;
  expect(peer.connections.length).toBe(1);
  clock.advance(499);
  await new Promise(setImmediate);
  expect(peer.connections.length).toBe(1);
  clock.advance(1);
  const second = await peer.next();
  next = reconnecting();
  second.destroy();
  await next;
  clock.advance(1_000);
  const third = await peer.next();
  await third.accept();
  await third.settle();
  expect(events).toEqual([
    "connect false",
    "disconnect ERR_CONNECTION_LOST",
    "reconnecting 1 500",
    "reconnecting 2 1000",
    "connect false",
  ]);
  expect(peer.connections.length).toBe(3);
});

test("subscriptions are restored unless the session was present [MQTT-3.2.2-3 +] [MQTT-3.2.2-2 +]", async () => {
  const { client, peer, connection, clock, reconnecting } = await scene({ cleanSession: false });
  const subscribed = client.subscribe("t", { qos: 1 }, () => {});
  await connection.packet();
  connection.send("90 03 00 01 01");
  await subscribed;
  let next = reconnecting();
  connection.destroy();
  await next;
  clock.advance(500);
  const present = await peer.next();
  await present.accept(true);
  expect(await present.settle()).toEqual([]);
  next = reconnecting();
  present.destroy();
  await next;
  clock.advance(1_000);
  const gone = await peer.next();
  await gone.accept(false);
  const packet = await gone.packet();
  expect(packet.toString("hex", 4)).toBe(utf8("t") + "01");
  expect(packet[0]).toBe(0x82);
});

test("a restored subscription that is refused is reported and ends", async () => {
  const { client, peer, connection, clock, events, reconnecting } = await scene();
  const subscribed = client.subscribe("t");
  await connection.packet();
  connection.send("90 03 00 01 00");
  const iterator = (await subscribed)[Symbol.asyncIterator]();
  const waiting = iterator.next();
  const next = reconnecting();
  connection.destroy();
  await next;
  clock.advance(500);
  const again = await peer.next();
  await again.accept();
  again.send(`90 03 ${(await again.packet()).toString("hex", 2, 4)} 80`);
  await expect(soon(waiting, "the end")).rejects.toMatchObject({ code: "ERR_SUBSCRIBE_REFUSED" });
  await again.settle();
  expect(events.at(-1)).toBe("error ERR_SUBSCRIBE_REFUSED");
});

test("an identity that was accepted before is tried again, aloud, with what waits [MQTT-3.2.2-5 +]", async () => {
  const { client, peer, connection, clock, events, reconnecting } = await scene({
    reconnect: { minDelay: 1_000, maxDelay: 60_000 },
  });
  const message = outcomeOf(client.publish("t", "x", { qos: 1 }));
  await connection.packet();
  let next = reconnecting();
  connection.destroy();
  await next;
  clock.advance(500);
  const again = await peer.next();
  await again.packet();
  next = reconnecting();
  again.send("20 02 00 05");
  await next;
  // Half of the longest delay, and half of the other half by chance.
  expect(events.slice(-2)).toEqual(["error ERR_NOT_AUTHORIZED", "reconnecting 2 45000"]);
  expect(client.state).toBe("waiting");
  clock.advance(45_000);
  const third = await peer.next();
  await third.accept();
  third.send(`4002${(await third.packet()).toString("hex", 5, 7)}`);
  expect(await message).toBe("ok");
});

test("a refusal before the first acceptance stops at once, and connect() starts again", async () => {
  const peer = await Peer.listen();
  cleanups.push(() => peer.close());
  const clock = new FakeClock();
  const client = new MqttClient({ host: "127.0.0.1", port: peer.port, protocol: "mqtt", clientId: "c", clock });
  cleanups.push(() => client.close({ force: true }));
  const message = outcomeOf(client.publish("t", "x", { qos: 1 }));
  const connecting = outcomeOf(client.connect());
  const connection = await peer.next();
  await connection.packet();
  connection.send("20 02 00 05");
  expect(await connecting).toBe("ERR_NOT_AUTHORIZED");
  expect(await message).toBe("ERR_NOT_AUTHORIZED");
  expect(clock.pending).toBe(0);
  await expect(client.publish("t", "x")).rejects.toMatchObject({ code: "ERR_NOT_CONNECTED" });
  const revived = client.connect();
  await (await peer.next()).accept();
  await soon(revived, "the new connection");
});

test("a takeover that repeats is surfaced and slows the client down [MQTT-3.1.4-2 +] [MQTT-3.1.4-2 -]", async () => {
  const { peer, connection, clock, events, reconnecting } = await scene({
    reconnect: { minDelay: 1_000, maxDelay: 8_000 },
  });
  let current = connection;
  for (let round = 0; round < 3; round++) {
    const next = reconnecting();
    current.close();
    await next;
    if (round === 2) break;
    clock.advance(8_000);
    current = await peer.next();
    await current.accept();
    await current.settle();
  }
  expect(events.filter((event) => /^(error|reconnecting)/.test(event))).toEqual([
    "reconnecting 1 500",
    "reconnecting 1 1000",
    "error ERR_TAKEOVER",
    "reconnecting 1 6000",
  ]);
});

test("a half-open connection is noticed within 1.5 keep alive, also while publishing [MQTT-3.12.4-1 -]", async () => {
  const { client, connection, clock, events } = await scene({ keepAlive: 10, operationTimeout: 600_000 });
  const message = client.publish("t", "x", { qos: 1 }).catch(() => {});
  await connection.packet();
  for (let second = 0; second < 15; second++) {
    clock.advance(1_000);
    client.publish("t", "more").catch(() => {});
    await new Promise(setImmediate);
  }
  expect(events).toContain("disconnect ERR_KEEP_ALIVE_TIMEOUT");
  await client.close();
  await message;
});

test("PINGREQ goes out when idle, and PINGRESP keeps the connection [MQTT-3.12.4-1 +] [MQTT-3.1.2-23 +]", async () => {
  const { client, connection, clock } = await scene({ keepAlive: 10 });
  for (let round = 0; round < 5; round++) {
    clock.advance(9_500);
    expect((await connection.packetOfType(12)).toString("hex")).toBe("c000");
    connection.send("d0 00");
    await connection.settle();
  }
  expect(client.connected).toBe(true);
});

test("a violation closes at once, is reported, nothing that follows is delivered, and the client reconnects", async () => {
  const { client, peer, connection, clock, events, reconnecting } = await scene();
  const seen: string[] = [];
  const subscribed = client.subscribe("t", {}, ({ payload }) => void seen.push(Buffer.from(payload).toString()));
  await connection.packet();
  connection.send("90 03 00 01 00");
  await subscribed;
  const next = reconnecting();
  connection.send(`30 04 ${utf8("t")} 61 36 04 ${utf8("t")} 62 30 04 ${utf8("t")} 63`);
  await next;
  await soon(connection.ended, "the client to close");
  expect(seen).toEqual(["a"]);
  expect(events).toContain("error ERR_MALFORMED_PACKET");
  clock.advance(1_000);
  await (await peer.next()).accept();
});

test("what is published while offline is sent in order after reconnecting; QoS 0 too", async () => {
  const { client, peer, connection, clock, reconnecting } = await scene();
  const next = reconnecting();
  connection.destroy();
  await next;
  const all = [client.publish("t", "1", { qos: 1 }), client.publish("t", "2"), client.publish("t", "3", { qos: 1 })];
  clock.advance(500);
  const again = await peer.next();
  await again.accept();
  const packets = [await again.packet(), await again.packet(), await again.packet()];
  expect(packets.map((packet) => packet.toString("latin1").at(-1))).toEqual(["1", "2", "3"]);
  again.send(`40 02 ${packets[0]!.toString("hex", 5, 7)} 40 02 ${packets[2]!.toString("hex", 5, 7)}`);
  await soon(Promise.all(all), "acknowledgement");
});

test("the offline queue is bounded by count, bytes and age; QoS 0 may be left out of it", async () => {
  const { client, connection, clock, reconnecting } = await scene({
    offlineQueue: { maxCount: 2, maxBytes: 1_000, maxAge: 5_000, qos0: false },
    reconnect: { minDelay: 60_000, maxDelay: 60_000 },
  });
  const next = reconnecting();
  connection.destroy();
  await next;
  const code = (promise: Promise<void>) =>
    promise.then(
      () => "ok",
      (error: HubwireError) => error.code,
    );
  const first = code(client.publish("t", "1", { qos: 1 }));
  expect(await code(client.publish("t", Buffer.alloc(1_000), { qos: 1 }))).toBe("ERR_QUEUE_FULL");
  expect(await code(client.publish("t", "x"))).toBe("ERR_NOT_CONNECTED");
  const second = code(client.publish("t", "2", { qos: 2 }));
  expect(await code(client.publish("t", "3", { qos: 1 }))).toBe("ERR_QUEUE_FULL");
  clock.advance(5_000);
  expect(await Promise.all([first, second])).toEqual(["ERR_MESSAGE_EXPIRED", "ERR_MESSAGE_EXPIRED"]);
});

test("a full queue drops the oldest if chosen, never silently", async () => {
  const client = new MqttClient({ host: "localhost", offlineQueue: { maxCount: 1, overflow: "drop-oldest" } });
  const code = (promise: Promise<void>) =>
    promise.then(
      () => "ok",
      (error: HubwireError) => error.code,
    );
  const first = code(client.publish("t", "1"));
  const second = code(client.publish("t", "2"));
  expect(await first).toBe("ERR_QUEUE_FULL");
  await client.close();
  expect(await second).toBe("ERR_CLOSED");
});
