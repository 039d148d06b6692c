/**
 * 1,000 clients of one server that is away for a while: their attempts are spread, while it is away and when
 * it is back, and each has one attempt in flight. In simulated time, so that the machine's load has no say.
 * (The restart that takes no time is among the client's own tests.)
 */
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { HubwireError, MqttClient } from "../../src/client/index.js";
import { FakeClock } from "../support/clock.js";
import { seeded } from "../support/random.js";

const CLIENTS = 1_000;
const BIN = 100;

/** Enough turns for connections that are made and packets that are passed in memory. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
}

class Server {
  up = true;
  /** When each attempt began, ms. */
  attempts: number[] = [];
  /** The most attempts and connections that one client has had at a time. */
  most = 0;
  readonly #clock: FakeClock;
  readonly #live = new Set<Duplex>();

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  get connections(): number {
    return this.#live.size;
  }

  /** A client's `createConnection`. */
  dial(): () => Promise<Duplex> {
    let open = 0;
    return async () => {
      this.attempts.push(this.#clock.now());
      this.most = Math.max(this.most, ++open);
      await Promise.resolve();
      if (!this.up) {
        open--;
        throw new HubwireError("ERR_CONNECTION_REFUSED", "down");
      }
      const socket: Duplex = new Duplex({
        read() {},
        write(chunk: Buffer, _encoding, done) {
          if (chunk[0] === 0x10) socket.push(Buffer.from("20020000", "hex"));
          done();
        },
        destroy: (_error, done) => {
          open--;
          this.#live.delete(socket);
          done(null);
        },
      });
      this.#live.add(socket);
      return socket;
    };
  }

  stop(): void {
    this.up = false;
    for (const socket of this.#live) socket.destroy();
  }
}

test.each([
  ["100 ms", 100],
  ["10 s", 10_000],
  ["2 min", 120_000],
])("a server that was away for %s gets its clients back without a stampede", async (_title, away) => {
  const clock = new FakeClock();
  const server = new Server(clock);
  const random = seeded(away).next;
  const clients = Array.from({ length: CLIENTS }, (_, index) => {
    const createConnection = server.dial();
    return new MqttClient({ protocol: "mqtt", clientId: `c${index}`, createConnection, clock, random, keepAlive: 0 });
  });
  try {
    await Promise.all(clients.map((client) => client.connect()));
    expect(server.connections).toBe(CLIENTS);
    clock.advance(300_000);
    await turns();

    server.stop();
    await turns();
    server.attempts = [];
    const stoppedAt = clock.now();
    while (clock.now() < stoppedAt + away) {
      clock.advance(10);
      await turns();
    }
    const duringOutage = server.attempts;
    server.attempts = [];
    server.up = true;
    const backAt = clock.now();
    while (server.connections < CLIENTS) {
      clock.advance(10);
      await turns();
      expect(clock.now() - backAt).toBeLessThan(61_000);
    }
    expect(clients.every((client) => client.connected)).toBe(true);
    expect(server.most).toBe(1);

    const reconnects = server.attempts;
    const bins = new Array<number>(Math.ceil((clock.now() - backAt) / BIN) + 1).fill(0);
    for (const at of reconnects) bins[Math.floor((at - backAt) / BIN)]!++;
    // Never much more than the even spread over the first delay's second, which is what an instant restart
    // gets.
    expect(Math.max(...bins)).toBeLessThan((1.5 * CLIENTS * BIN) / 1_000);
    // One success each: nobody comes twice, but for an attempt that began before the server was back.
    expect(reconnects.length).toBe(CLIENTS);
    // Meanwhile the server is left alone more and more: about the logarithm of its absence, not its length.
    expect(duringOutage.length / CLIENTS).toBeLessThan(2 + Math.log2(1 + away / 1_000));
  } finally {
    await Promise.all(clients.map((client) => client.close({ force: true })));
  }
  expect(clock.pending).toBe(0);
});
