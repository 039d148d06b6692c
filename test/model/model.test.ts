/**
 * The model check: every order of steps in small worlds, and the proof that the checker sees faults.
 * `MODEL_STATES` sets the number of states to explore at most; `npm run model` asks for over a million.
 */
import { expect, test } from "vitest";
import { explore } from "./explore.js";
import { openSession } from "./open-session.js";
import type { Mutation } from "./open-session.js";
import type { Scenario } from "./world.js";

const base: Scenario = {
  publishes: [],
  sends: [],
  cleanSession: false,
  maxInflight: 10,
  cuts: 2,
  forgets: 1,
  cancels: 0,
};

const scenarios: Record<string, Scenario> = {
  "QoS 1 and 2 out": { ...base, publishes: [1, 2, 1] },
  "three QoS 2 out, one cancelled": { ...base, publishes: [2, 2, 2], cancels: 1, cuts: 1 },
  "all QoS, window of one": { ...base, publishes: [1, 2, 0, 1], maxInflight: 1, cancels: 1, cuts: 1 },
  "window of one for QoS 2": { ...base, publishes: [2, 2, 1], maxInflightQos2: 1, cuts: 1 },
  "killed with a store, inbound": { ...base, publishes: [2], sends: [2, 2], store: true, kills: 2, cuts: 0 },
  "stalled transport": { ...base, publishes: [2, 0, 1], stalls: 2, cuts: 1 },
  subscribing: { ...base, publishes: [1], sends: [2], subscribe: true },
  "both ways": { ...base, publishes: [2, 1], sends: [2, 1], cuts: 1 },
  "QoS 1 and 2 in": { ...base, sends: [1, 2, 2], refusals: 1 },
  "killed with a store": { ...base, publishes: [1, 2, 1], store: true, kills: 1, cuts: 1, cancels: 1 },
  "clean session": { ...base, publishes: [1, 2, 1], sends: [1], cleanSession: true, cancels: 1 },
};

/** Too large for every run. */
const large: Record<string, Scenario> = {
  "five out, window of two": { ...base, publishes: [1, 2, 0, 2, 1], maxInflight: 2, cuts: 3, cancels: 1, stalls: 1 },
  "killed twice, both ways": { ...base, publishes: [2, 1], sends: [2, 1], store: true, kills: 2, cancels: 1 },
  everything: { ...base, publishes: [2, 1, 2], sends: [2, 1], subscribe: true, refusals: 1, cancels: 1 },
};

const limit = Number(process.env["MODEL_STATES"] ?? 120_000);

test("no order of steps loses, doubles, reorders or forgets anything", { timeout: 3_600_000 }, async () => {
  const opened = await openSession();
  const all = Object.entries(limit > 500_000 ? { ...scenarios, ...large } : scenarios);
  let states = 0;
  for (const [index, [name, scenario]] of all.entries()) {
    const result = explore(opened, scenario, Math.ceil((limit - states) / (all.length - index)));
    states += result.states;
    console.log(`${name}: ${result.states} states, ${result.steps} steps, ${result.complete ? "all" : "limited"}`);
    expect(result.fault, `${name}: ${JSON.stringify(result.fault)}`).toBeUndefined();
  }
  console.log(`${states} states in all`);
  expect(states).toBeGreaterThan(limit * 0.8);
});

const mutants: Record<string, Mutation> = {
  "a re-send without DUP": [
    "session.ts",
    "exchange.retain, true, exchange.packetId",
    "exchange.retain, false, exchange.packetId",
  ],
  "re-sends in the wrong order": [
    "session.ts",
    "of members<Exchange<R>>(this.#sent)) {\n      this.metrics",
    "of members<Exchange<R>>(this.#sent).reverse()) {\n      this.metrics",
  ],
  "a release that is not sent again": ["session.ts", "this.#release(exchange.packetId, exchange);", ""],
  "an identifier that is free as soon as the user gives up": [
    "session.ts",
    "if (!exchange.packetId) return this.#drop",
    "return this.#drop",
  ],
  "an identifier that is free before PUBCOMP": [
    "session.ts",
    "exchange.awaits = PUBCOMP;",
    "exchange.awaits = PUBCOMP; this.#ids.release(packetId);",
  ],
  "QoS 2 sent again in a new session": ["session.ts", "exchange.settled || exchange.qos > 1", "exchange.settled"],
  "QoS 1 forgotten with the session": ["session.ts", "exchange.settled || exchange.qos > 1", "true"],
  "old messages behind new ones after a lost session": [
    "session.ts",
    "insert(exchange, oldest);",
    "insert(exchange, this.#queue);",
  ],
  "a message that overtakes the queue": ["session.ts", "if (this.#queue.next === this.#queue && this", "if (this"],
  "a cancelled message that is sent all the same": [
    "session.ts",
    "unlink(exchange);\n    this.#settle(exchange, error, codes);",
    "if (exchange.awaits) unlink(exchange);\n    this.#settle(exchange, error, codes);",
  ],
  "a given-up message that becomes a new one": [
    "session.ts",
    "if (exchange.settled || exchange.qos > 1)",
    "if (exchange.qos > 1)",
  ],
  "a request settled twice": ["session.ts", "exchange.request = undefined;\n    exchange.settled = true;", ""],
  "a request never settled": [
    "session.ts",
    "if (!settled && request !== undefined) this",
    "if (error && request !== undefined) this",
  ],
  "subscriptions not restored": [
    "session.ts",
    "    this.#restoreSubscriptions();\n  }\n\n  #restoreSubscriptions",
    "  }\n\n  #restoreSubscriptions",
  ],
  "subscriptions not restored in doubt": [
    "session.ts",
    "this.#inbound?.doubt();\n      this.#restoreSubscriptions();",
    "",
  ],
  "an inbound duplicate delivered": [
    "inbound.ts",
    "if (known !== undefined && (dup || known !== DOUBTFUL))",
    "if (false)",
  ],
  "an inbound identifier never forgotten": [
    "inbound.ts",
    "return this.#known.delete(packetId);",
    "return this.#known.has(packetId);",
  ],
  "acknowledgements as they come": [
    "inbound.ts",
    ": !(slot & DONE)) break;",
    ": !(slot & DONE)) { this.#head++; continue; }",
  ],
  "acknowledgements on the next connection": ["session.ts", "this.#inbound?.lost();", ""],
  "a refusal that holds up the others": ["inbound.ts", "(refused ? SKIP : DONE)", "(refused ? 0 : DONE)"],
  "PUBREC not recorded": ["session.ts", "this.#journal?.released(exchange);", ""],
  "a message that is not recorded": ["session.ts", "if (qos) this.#journal?.accepted(exchange, 0);", ""],
  "a message removed before its release is recorded": [
    "journal.ts",
    "this.#lastKey += 2;\n    this.put(this.#lastKey, Uint8Array.of(RELEASE",
    "this.#lastKey += 2; this.remove(exchange.key);\n    this.put(this.#lastKey, Uint8Array.of(RELEASE",
  ],
  "a release that does not win over its message": [
    "journal.ts",
    "if (message.packetId && ids.has(message.packetId)) this.done(message);\n      else {",
    "{",
  ],
  "an inbound message not recorded": [
    "journal.ts",
    "if (known) this.put(packetId, Uint8Array.of(INBOUND, packetId >> 8, packetId));\n    else",
    "",
  ],
  "a stalled transport that stays stalled": ["session.ts", "this.#guard(now, () => this.#pump());", "this.#now = now;"],
};

test.each(Object.entries(mutants))("the checker finds %s", async (_, mutation) => {
  const opened = await openSession(mutation);
  const found = Object.values(scenarios).some((scenario) => explore(opened, scenario, 6_000).fault);
  expect(found).toBe(true);
});
