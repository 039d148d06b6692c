/**
 * A publishing process with a file store that is killed with SIGKILL again and again: everything that
 * `publish` had accepted arrives, those with QoS 2 once, in order.
 *
 * When it is killed is decided by how much it has said: at a line that the seed chooses.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { MqttClient } from "../../src/client/index.js";
import { inOrder, Mosquitto, mosquittoAvailable } from "../support/mosquitto.js";
import { soon } from "../support/peer.js";
import { seeded } from "../support/random.js";

const program = resolve(import.meta.dirname, "publisher.mjs");
const KILLS = 15;
const COUNT = 400;

/** Runs the publisher until it has said `lines` lines, or to its end; returns all that it said. */
async function publish(port: number, store: string, run: number, count: number, lines: number): Promise<string[]> {
  const child = spawn(process.execPath, [program, String(port), store, String(run), String(count)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const said: string[] = [];
    // A line that the kill tore was not reported.
    for await (const line of createInterface({ input: child.stdout })) {
      if (said.push(line) === lines) child.kill("SIGKILL");
    }
    return said;
  } finally {
    child.kill("SIGKILL");
  }
}

const here = test.skipIf(!mosquittoAvailable());

here("what publish() accepted survives SIGKILL", { timeout: 60_000 }, async () => {
  const { below } = seeded(Number(process.env["HUBWIRE_FAULT_FROM"] ?? 7));
  const broker = await Mosquitto.start({ config: inOrder });
  const folder = mkdtempSync(join(tmpdir(), "hubwire-kill-"));
  const store = join(folder, "store");
  const { port } = broker;
  const subscriber = new MqttClient({ host: "127.0.0.1", port, protocol: "mqtt", clientId: "subscriber" });
  try {
    const arrived: Record<string, string[]> = { "kept/1": [], "kept/2": [] };
    let noticed = (): void => {};
    await subscriber.connect();
    await subscriber.subscribe("kept/+", { qos: 2 }, ({ topic, payload }) => {
      arrived[topic]?.push(Buffer.from(payload).toString());
      noticed();
    });
    const accepted: Record<string, string[]> = { "kept/1": [], "kept/2": [] };
    const errors: string[] = [];
    let killed = 0;
    let settled = 0;
    for (let run = 0; run <= KILLS; run++) {
      const last = run === KILLS;
      const lines = last ? Infinity : 1 + below(COUNT * 1.5);
      const work = publish(broker.port, store, run, last ? 10 : COUNT, lines);
      const said = await soon(work, `run ${run}`, 20_000);
      if (said.length >= lines) killed++;
      for (const line of said) {
        const [what, topic = "", payload = ""] = line.split(" ");
        if (what === "accepted") accepted[topic]?.push(payload);
        if (what === "settled") settled++;
        if (what === "error") errors.push(line);
      }
      if (last) expect(said.at(-1)).toBe("end");
    }
    expect(killed).toBe(KILLS);
    expect(errors.filter((line) => !line.includes("ERR_TAKEOVER"))).toEqual([]);
    const lost = (): string[] =>
      Object.entries(accepted).flatMap(([topic, payloads]) => {
        const seen = new Set(arrived[topic]);
        return payloads.filter((payload) => !seen.has(payload)).map((payload) => `${topic} ${payload}`);
      });
    const complete = new Promise<void>((done) => {
      noticed = () => void (lost().length === 0 && done());
      noticed();
    });
    await soon(complete, "every accepted message to arrive").catch(() => {});
    expect(lost()).toEqual([]);
    // More may have arrived than was reported: the kill can come between the store and the report.
    const twice = arrived["kept/2"] as string[];
    expect(twice.filter((payload, index) => twice.indexOf(payload) !== index)).toEqual([]);
    for (const payloads of Object.values(arrived)) {
      const firsts = [...new Set(payloads)];
      expect(firsts).toEqual([...firsts].sort((one, other) => order(one) - order(other)));
    }
    // The kills came before, between and behind the acknowledgements.
    expect(settled).toBeGreaterThan(100);
    expect(Object.values(accepted).flat().length - settled).toBeGreaterThan(100);
  } finally {
    await subscriber.close({ force: true });
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

const order = (payload: string): number => {
  const [run = 0, number = 0] = payload.split(".").map(Number);
  return run * COUNT + number;
};
