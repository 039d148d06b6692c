/** A thousand clients that lose their server at the same time. */
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { MqttClient } from "../../src/client/index.js";
import { FakeClock } from "../support/clock.js";

test("the reconnects of 1,000 clients after a restart spread out: no 100 ms bin above three times the mean", () => {
  // A fixed sequence (mulberry32), so that the outcome is always the same.
  let state = 7;
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const clock = new FakeClock();
  const start = clock.now();
  const attempts: number[] = [];
  const inFlight = new Map<number, number>();
  let up = true;
  const sockets: Duplex[] = [];
  const clients = Array.from({ length: 1_000 }, (_, index) => {
    const createConnection = (): Duplex => {
      if (clock.now() > start) attempts.push(clock.now() - start);
      inFlight.set(index, (inFlight.get(index) ?? 0) + 1);
      expect(inFlight.get(index)).toBe(1);
      const socket = new Duplex({
        read() {},
        write(_chunk, _encoding, done) {
          if (up) this.push(Buffer.from("20020000", "hex"));
          done();
        },
        destroy(_error, done) {
          inFlight.set(index, (inFlight.get(index) ?? 0) - 1);
          done(null);
        },
      });
      sockets.push(socket);
      return socket;
    };
    const client = new MqttClient({
      protocol: "mqtt",
      clientId: `c${index}`,
      createConnection,
      clock,
      random,
      keepAlive: 0,
    });
    void client.connect();
    return client;
  });
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  };
  return (async () => {
    await settle();
    expect(clients.filter((client) => client.connected).length).toBe(1_000);
    up = false;
    clock.advance(120_000);
    const lostAt = clock.now() - start;
    for (const socket of sockets.splice(0)) socket.destroy();
    await settle();
    up = true;
    for (let step = 0; step < 300; step++) {
      clock.advance(10);
      await new Promise(setImmediate);
      await new Promise(setImmediate);
    }
    await settle();
    expect(clients.filter((client) => client.connected).length).toBe(1_000);
    const after = attempts.map((at) => at - lostAt);
    expect(after.length).toBe(1_000);
    const last = Math.max(...after);
    const bins = Array.from({ length: Math.ceil((last + 1) / 100) }, () => 0);
    for (const at of after) bins[Math.floor(at / 100)]!++;
    const mean = after.length / bins.length;
    expect(bins.length).toBeGreaterThanOrEqual(9);
    expect(Math.max(...bins)).toBeLessThanOrEqual(3 * mean);
    await Promise.all(clients.map((client) => client.close({ force: true })));
    expect(clock.pending).toBe(0);
  })();
});
