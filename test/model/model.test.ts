/**
 * The model check: every order of steps in small worlds. `MODEL_STATES` sets how many states in all
 * (`npm run model` asks for over a million).
 */
import { expect, test } from "vitest";
import { explore } from "./explore.js";
import { openSession } from "./open-session.js";
import type { Scenario } from "./world.js";

const base: Scenario = {
  publishes: [], sends: [], cleanSession: false, maxInflight: 10, cuts: 2, forgets: 1, cancels: 0 };

const scenarios: Record<string, Scenario> = {
  "QoS 1 and 2 out": { ...base, publishes: [1, 2, 1] },
  "three QoS 2 out, cancelled": { ...base, publishes: [2, 2, 2], cancels: 1, cuts: 1 },
  "all QoS, window of one": { ...base, publishes: [1, 0, 2, 1], maxInflight: 1, cancels: 1, cuts: 1 },
  "QoS 1 and 2 in": { ...base, sends: [1, 2, 2], refusals: 1 },
  "both ways": { ...base, publishes: [2, 1], sends: [2, 1], cuts: 1 },
  "clean session": { ...base, publishes: [1, 2, 1], sends: [1], cleanSession: true, cancels: 1 },
  "subscribing": { ...base, publishes: [1], sends: [2], subscribe: true },
  "killed with a store": { ...base, publishes: [1, 2, 1], store: true, kills: 1, cuts: 1, cancels: 1 },
  "killed with a store, inbound": { ...base, publishes: [2], sends: [2, 2], store: true, kills: 2, cuts: 0 },
  "stalled transport": { ...base, publishes: [2, 0, 1], stalls: 2, cuts: 1 },
};

const total = Number(process.env["MODEL_STATES"] ?? 100_000);

test("no order of steps loses, doubles, reorders or forgets anything", { timeout: 3_600_000 }, async () => {
  const { Session } = await openSession();
  const share = Math.ceil(total / Object.keys(scenarios).length);
  let states = 0;
  for (const [name, scenario] of Object.entries(scenarios)) {
    const started = performance.now();
    const result = explore(Session, scenario, share);
    states += result.states;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${name}: ${result.states} states, ${result.steps} steps, ${result.complete ? "all" : "limited"}, ${seconds} s`);
    expect(result.fault, `${name}: ${JSON.stringify(result.fault)}`).toBeUndefined();
  }
  console.log(`${states} states in all`);
});
