/**
 * QoS 1 and QoS 2 exchanges with a real broker through a proxy that cuts, tears, resets, stalls, half-closes
 * and delays, at every byte and both ways: nothing lost, no QoS 2 duplicate, order kept, every call settled.
 *
 * `npm run faults -- --seeds N` runs N seeds instead of a few, `--from S` from seed S.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mosquittoAvailable } from "../support/mosquitto.js";
import { everyByte, exchangeLength, Lab, scenarioOf, webSocketLength, type Counting, type Scenario } from "./lab.js";
import { faultKinds } from "./proxy.js";

const seeds = Number(process.env["HUBWIRE_FAULT_SEEDS"] ?? 100);
const firstSeed = Number(process.env["HUBWIRE_FAULT_FROM"] ?? 1);
const timeout = 60_000 + seeds * 200;
/** The faults through a WebSocket are many: all with `npm run faults`, one in so many otherwise. Prime to all that repeats. */
const stride = seeds >= 1_000 ? 1 : 23;

function* seeded(counting: Counting, count: number): Iterable<Scenario> {
  for (let seed = firstSeed; seed < firstSeed + count; seed++) yield scenarioOf(seed, counting);
}

function* every<T>(stride: number, items: Iterable<T>): Iterable<T> {
  let index = 0;
  for (const item of items) if (index++ % stride === 0) yield item;
}

/** One lab a describe block. */
function laboratory(counting: Counting): () => Lab {
  let lab: Lab | undefined;
  beforeAll(async () => {
    lab = await Lab.start(counting);
  });
  afterAll(() => lab?.stop());
  return () => lab as Lab;
}

test("a seed decides its scenario; different seeds give different ones", () => {
  const describeSeed = (seed: number) => JSON.stringify(scenarioOf(seed, "application"));
  const make = () => Array.from({ length: 100 }, (_, seed) => describeSeed(seed));
  const some = make();
  expect(make()).toEqual(some);
  expect(new Set(some).size).toBeGreaterThan(95);
});

describe.skipIf(!mosquittoAvailable())("MQTT bytes: the proxy ends TLS itself", () => {
  const lab = laboratory("application");

  for (const flow of ["out", "in"] as const) {
    for (const qos of [1, 2] as const) {
      const title = `QoS ${qos} ${flow}`;

      test(`${title}, persistent session: each fault at every byte, both ways`, { timeout }, async () => {
        const { count, problems } = await lab().runAll(everyByte(flow, qos, false));
        expect(problems).toEqual([]);
        const { up, down } = exchangeLength(flow, qos, false);
        expect(count).toBe(faultKinds.length * (up + down + 2));
      });

      test(`${title}, clean session: each fault at every seventh byte`, { timeout }, async () => {
        const { count, problems } = await lab().runAll(every(7, everyByte(flow, qos, true)));
        expect(problems).toEqual([]);
        expect(count).toBeGreaterThan(50);
      });
    }
  }

  test(`up to four spoilt connections in a row: ${seeds} seeds from ${firstSeed}`, { timeout }, async () => {
    const { problems } = await lab().runAll(seeded("application", seeds));
    expect(problems).toEqual([]);
  });
});

describe.skipIf(!mosquittoAvailable())("bytes on the wire: TLS from end to end", () => {
  const lab = laboratory("wire");
  const count = Math.ceil(seeds / 2);

  test(`faults in the handshake and in records: ${count} seeds from ${firstSeed}`, { timeout }, async () => {
    const { problems } = await lab().runAll(seeded("wire", count));
    expect(problems).toEqual([]);
  });
});

describe.skipIf(!mosquittoAvailable())("through a WebSocket: the proxy ends TLS itself", () => {
  const lab = laboratory("websocket");

  for (const flow of ["out", "in"] as const) {
    for (const qos of [1, 2] as const) {
      const scenarios = everyByte(flow, qos, false, webSocketLength(flow, qos, false));
      const title = stride === 1 ? "every byte" : `every ${stride}th byte`;
      test(
        `QoS ${qos} ${flow}: each fault at ${title} of the upgrade and the exchange`,
        { timeout: 600_000 },
        async () => {
          const { count, problems } = await lab().runAll(every(stride, scenarios));
          expect(problems).toEqual([]);
          expect(count).toBeGreaterThan(5_000 / stride / 4);
        },
      );
    }
  }
});
