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
  "stalled, and cut twice": { ...base, publishes: [1, 2], stalls: 1 },
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
    "outbound.ts",
    "output.publish(publication, true, time.now);",
    "output.publish(publication, false, time.now);",
  ],
  "re-sends in the wrong order": [
    "outbound.ts",
    "const publication = this.#again.next as Publication;",
    "const publication = this.#again.prev as Publication;",
  ],
  "what was not sent again in time forgotten with the connection": [
    "outbound.ts",
    "append(this.#sent, this.#again);",
    "",
  ],
  "a release that is not sent again": ["outbound.ts", "resends++;\n      this.release(publication);", "resends++;"],
  "an identifier that is free as soon as the user gives up": [
    "outbound.ts",
    "if (!publication.packetId) return this.#drop(publication, error);",
    "return this.#drop(publication, error);",
  ],
  "an identifier that is free before PUBCOMP": [
    "outbound.ts",
    "publication.awaits = PUBCOMP;",
    "publication.awaits = PUBCOMP; const held = publication.packetId; this.#parts.ids.release(publication); publication.packetId = held;",
  ],
  "QoS 2 sent again in a new session": [
    "outbound.ts",
    "publication.settled || publication.qos > 1",
    "publication.settled",
  ],
  "QoS 1 forgotten with the session": ["outbound.ts", "publication.settled || publication.qos > 1", "true"],
  "old messages behind new ones after a lost session": [
    "outbound.ts",
    "list === this.#held ? list : oldest",
    "this.#queue",
  ],
  "a message that overtakes the queue": ["outbound.ts", "if (this.isQueueEmpty && this", "if (this"],
  "a cancelled message that is sent all the same": [
    "outbound.ts",
    "unlink(publication);\n    this.#settle(publication, error);\n    this.#window",
    "if (publication.awaits) unlink(publication);\n    this.#settle(publication, error);\n    this.#window",
  ],
  "a given-up message that becomes a new one": [
    "outbound.ts",
    "if (publication.settled || publication.qos > 1)",
    "if (publication.qos > 1)",
  ],
  "a request settled twice": ["outbound.ts", "if (publication.settled) return;\n    publication.settle();", ""],
  "a request never settled": [
    "outbound.ts",
    "this.#parts.settle(publication, error);",
    "if (error) this.#parts.settle(publication, error);",
  ],
  "subscriptions not restored": ["subscriptions.ts", "if (!isKept) this.#restore();", ""],
  "subscriptions not restored in doubt": [
    "session.ts",
    "sessionPresent && !this.#handshake.isDoubtful",
    "sessionPresent",
  ],
  "an inbound duplicate delivered": [
    "inbound.ts",
    "if (known !== undefined && (dup || !this.#isDoubtful(known)))",
    "if (false)",
  ],
  "an inbound identifier never forgotten": [
    "inbound.ts",
    "return this.#known?.delete(packetId) ?? false;",
    "return this.#known?.has(packetId) ?? false;",
  ],
  "acknowledgements as they come": [
    "inbound.ts",
    ": !(slot & DONE))) break;",
    ": !(slot & DONE))) { this.#head++; continue; }",
  ],
  "acknowledgements on the next connection": ["arrivals.ts", "this.#inbound.lost();", ""],
  "a refusal that holds up the others": ["inbound.ts", "(refused ? SKIP : DONE)", "(refused ? 0 : DONE)"],
  "PUBREC not recorded": ["outbound.ts", "this.#journal?.released(publication);", ""],
  "a message that is not recorded": ["outbound.ts", "if (qos) this.#journal?.accepted(publication, 0);", ""],
  "a message removed before its release is recorded": [
    "journal.ts",
    "this.#lastKey += 2;\n    this.#put(this.#lastKey, Uint8Array.of(RELEASE",
    "this.#lastKey += 2; this.#remove(this.#keys.get(exchange)!.message);\n    this.#put(this.#lastKey, Uint8Array.of(RELEASE",
  ],
  "a release that does not win over its message": [
    "journal.ts",
    "if (message.packetId && ids.has(message.packetId)) this.done(message);\n      else {",
    "{",
  ],
  "an inbound message not recorded": [
    "journal.ts",
    "if (known) this.#put(packetId, Uint8Array.of(INBOUND, packetId >> 8, packetId));\n    else",
    "",
  ],
  "a stalled transport that stays stalled": [
    "session.ts",
    "this.#outbound.isWritable = ready;\n    this.#guard(now, () => this.#goOn());",
    "this.#outbound.isWritable = ready;",
  ],
};

// Thousands of states in each scenario, for which a busy machine may take its time.
test.each(Object.entries(mutants))("the checker finds %s", { timeout: 600_000 }, async (_, mutation) => {
  const opened = await openSession(mutation);
  const found = Object.values(scenarios).some((scenario) => explore(opened, scenario, 6_000).fault);
  expect(found).toBe(true);
});
