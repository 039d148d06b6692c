/**
 * A broker that is ended and started again under load, ten times: every message arrives, those with QoS 2
 * once.
 *
 * mosquitto keeps its state in memory and saves it when it is asked to end, so it is ended with SIGTERM: what
 * a SIGKILL makes it forget it had acknowledged, and no client can know of that. After a restart mosquitto
 * 2.0.11 sends PUBLISH again, with DUP, for a QoS 2 message that it had released with PUBREL already, so the
 * standard makes it a new message. Only exactly that is excused here: the same message, under the same
 * identifier, with DUP, after its PUBREL.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { expect, test } from "vitest";
import { type HubwireError, MqttClient } from "../../src/client/index.js";
import { inOrder, Mosquitto, mosquittoAvailable } from "../support/mosquitto.js";
import { soon } from "../support/peer.js";
import { wrong } from "./lab.js";

const RESTARTS = 10;
/** Messages of each QoS between two restarts. */
const BURST = 300;

const here = test.skipIf(!mosquittoAvailable());

here("ten restarts under load lose and double nothing", { timeout: 60_000 }, async () => {
  const config = [...inOrder, "autosave_interval 1000000"];
  const broker = await Mosquitto.start({ persistence: true, config });
  const errors: string[] = [];
  const sessions: boolean[] = [];
  const open = (clientId: string): MqttClient => {
    const client = new MqttClient({
      host: "127.0.0.1",
      port: broker.port,
      protocol: "mqtt",
      clientId,
      cleanSession: false,
      connectTimeout: 20_000,
      reconnect: { minDelay: 5, maxDelay: 100 },
    });
    client.on("error", (error) => errors.push(error.code));
    client.on("connect", ({ sessionPresent }) => sessions.push(sessionPresent));
    return client;
  };
  const wire = new Wire("subscriber");
  const publisher = open("publisher");
  const subscriber = open("subscriber");
  try {
    const arrived: Record<string, string[]> = { "load/1": [], "load/2": [] };
    await Promise.all([publisher.connect(), subscriber.connect()]);
    let noticed = (): void => {};
    await subscriber.subscribe("load/+", { qos: 2 }, ({ topic, payload, qos, dup }) => {
      const text = Buffer.from(payload).toString();
      if (qos < 2 || !dup || !wire.excuses(text)) arrived[topic]?.push(text);
      if (qos === 2) wire.took(text);
      noticed();
    });
    const settled: Promise<void>[] = [];
    const rejected: string[] = [];
    for (let restart = 0, number = 0; restart < RESTARTS; restart++) {
      let acknowledged = 0;
      const enough = new Promise<void>((resolve) => {
        for (const end = number + BURST; number < end; number++) {
          for (const qos of [1, 2] as const) {
            const promise = publisher.publish(`load/${qos}`, String(number), { qos }).then(
              // In the middle of the burst, so that messages of every kind of progress are on their way.
              () => void (++acknowledged === BURST && resolve()),
              (error: HubwireError) => void rejected.push(error.code),
            );
            settled.push(promise);
          }
        }
      });
      await soon(enough, `half of burst ${restart}`);
      await broker.restart("SIGTERM");
    }
    await soon(Promise.all(settled), "every publish to settle", 30_000);
    expect(rejected).toEqual([]);
    const total = RESTARTS * BURST;
    const complete = new Promise<void>((resolve) => {
      noticed = () => {
        if (Object.values(arrived).every((payloads) => new Set(payloads).size === total)) resolve();
      };
      noticed();
    });
    await soon(complete, "every message to arrive", 20_000).catch(() => {});
    const missing = Object.entries(arrived).flatMap(([topic, payloads]) => {
      const seen = new Set(payloads);
      const all = Array.from({ length: total }, (_, n) => String(n));
      return all.filter((n) => !seen.has(n)).map((n) => `${topic} ${n}`);
    });
    expect(missing).toEqual([]);
    expect(wrong(arrived["load/2"] as string[], 2)).toEqual([]);
    expect(wire.violations).toEqual([]);
    expect(new Set(arrived["load/1"])).toHaveProperty("size", total);
    expect(errors.filter((code) => code !== "ERR_TAKEOVER")).toEqual([]);
    // The two first connections have none; the broker kept every other one.
    expect(sessions.filter((present) => !present)).toHaveLength(2);
    expect(publisher.metrics.connects).toBeGreaterThanOrEqual(RESTARTS);
  } finally {
    wire.close();
    await publisher.close({ force: true });
    await subscriber.close({ force: true });
    await broker.stop();
  }
});

/** The QoS 2 identifiers of what a client receives, by its diagnostics. */
class Wire {
  /** Messages delivered although their identifier had not been released since. */
  readonly violations: string[] = [];
  readonly #clientId: string;
  /** Packet identifier to the message that was last delivered under it, and whether PUBREL came since. */
  readonly #messages = new Map<number, { text: string; released: boolean }>();
  #packetId = 0;

  constructor(clientId: string) {
    this.#clientId = clientId;
    subscribe("hubwire:packet", this.#see);
  }

  /** Whether the message in hand came before under the identifier that it has now, and was released. */
  excuses(text: string): boolean {
    const last = this.#messages.get(this.#packetId);
    return last !== undefined && last.released && last.text === text;
  }

  took(text: string): void {
    const last = this.#messages.get(this.#packetId);
    if (last && !last.released) this.violations.push(`${text} as ${this.#packetId}, which was ${last.text}`);
    this.#messages.set(this.#packetId, { text, released: false });
  }

  close(): void {
    unsubscribe("hubwire:packet", this.#see);
  }

  readonly #see = (event: unknown): void => {
    const { clientId, direction, type, packetId } = event as Record<string, string> & { packetId: number };
    if (clientId !== this.#clientId || direction !== "in") return;
    if (type === "publish") this.#packetId = packetId;
    const last = type === "pubrel" ? this.#messages.get(packetId) : undefined;
    if (last) last.released = true;
  };
}
