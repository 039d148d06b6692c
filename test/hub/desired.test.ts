/**
 * What a handler of desired properties is told, merged, is the hub's document: single scenarios, then random ones. The
 * random ones run the real TwinClient against a hub of a few lines, under one clock and one seed: changes, replaced
 * sections, notifications lost, doubled and overtaken, connections cut at any moment, reads throttled, failed and
 * unanswered, devices made anew, slow handlers. DESIRED_SEEDS sets how many.
 */
import { describe, expect, test } from "vitest";
import type { HubAccess } from "../../src/hub/access.js";
import { Busy } from "../../src/hub/busy.js";
import { DesiredProperties } from "../../src/hub/desired.js";
import type { JsonObject } from "../../src/hub/json.js";
import { mergePatch, patchBetween } from "../../src/hub/merge-patch.js";
import { TwinClient } from "../../src/hub/twin.js";
import { HubwireError } from "../../src/errors.js";
import { FakeClock } from "../support/clock.js";
import { type Random, seeded } from "../support/random.js";

/** The state by itself; `log` is what it asked for. */
function machine() {
  const log: string[] = [];
  const told: JsonObject[] = [];
  const desired = new DesiredProperties(
    {
      tell: (patch, version) => (told.push(patch), log.push(`tell ${version} ${JSON.stringify(patch)}`)),
      read: () => log.push("read"),
      wake: (delay) => log.push(delay === Infinity ? "never" : `wait ${delay}`),
    },
    () => 0.5,
  );
  const took = () => log.splice(0);
  return { desired, took, told };
}

/** Connected, listening, and in step with version 2, `{"a":1}`. */
function inStep() {
  const all = machine();
  all.desired.listen();
  all.desired.connected();
  all.desired.readDone(2, { a: 1 });
  all.desired.taken();
  all.took();
  return all;
}

describe("what is asked for", () => {
  test("nothing without a handler, whatever comes", () => {
    const { desired, took } = machine();
    desired.connected();
    desired.notified(1, { a: 1 });
    expect(took()).toEqual([]);
  });

  test("nothing without a connection, whatever is amiss", () => {
    const { desired, took } = inStep();
    desired.doubt();
    desired.lost();
    desired.readFailed();
    desired.notified(9, { b: 1 });
    desired.doubt();
    desired.due();
    expect(took()).toEqual(["read"]);
  });

  test("a doubt at once, unless the doubts before it were in vain", () => {
    const { desired, took } = inStep();
    // On a new connection the document is read without a doubt.
    desired.lost();
    desired.connected();
    desired.readDone(2, { a: 1 });
    desired.doubt();
    expect(took()).toEqual(["read", "read"]);
    // A version that moved is not in vain, and neither is what a new handler asks for.
    desired.readDone(4, { a: 1 });
    desired.doubt();
    expect(took()).toEqual(["read"]);
    desired.readDone(5, { a: 2 });
    desired.listen();
    desired.readDone(5, { a: 2 });
    took();
    desired.doubt();
    expect(took()).toEqual(["read"]);
    desired.readDone(5, { a: 2 });
    desired.doubt();
    expect(took()).toEqual(["wait 750"]);
  });

  test("once more what came with a version that was not read, or in greater number than is kept", () => {
    for (const [count, reads] of [
      [256, 1],
      [257, 2],
    ] as const) {
      const { desired, took } = inStep();
      desired.lost();
      desired.connected();
      for (let version = 4; version < 4 + count; version++) desired.notified(version, { n: version });
      desired.readDone(3 + count, { n: 3 + count });
      expect(took().filter((line) => line === "read")).toHaveLength(reads);
    }
  });

  test("once more where the device was made anew while its document was read", () => {
    const { desired, took } = inStep();
    desired.notified(10, {});
    desired.readDone(10, { a: 1 });
    desired.notified(12, {});
    desired.notified(3, { b: 1 });
    took();
    desired.readDone(5, { a: 1 });
    expect(took()).toEqual(["read"]);
    // A version that was told, and that the document does not have yet.
    const other = inStep();
    other.desired.lost();
    other.desired.connected();
    other.desired.notified(3, { a: 3 });
    other.desired.readDone(1, { a: 3 });
    expect(other.took()).toEqual(["read", 'tell 3 {"a":3}', "read"]);
  });
});

describe("what is told", () => {
  test("first what is there, or what is new since the user's own reading", () => {
    const { desired, took } = machine();
    desired.listen();
    expect(took()).toEqual([]);
    desired.connected();
    desired.readDone(5, { a: 1, b: { c: 2 } });
    expect(took()).toEqual(["read", 'tell 5 {"a":1,"b":{"c":2}}']);

    const reader = machine();
    reader.desired.connected();
    reader.desired.known(5, { a: 1, b: { c: 2 } });
    reader.desired.listen();
    reader.desired.readDone(6, { a: 1, b: { d: 3 } });
    expect(reader.took()).toEqual(["read", 'tell 6 {"b":{"d":3,"c":null}}']);
  });

  test("an empty document is nothing to tell, and what comes while it is read is told at once", () => {
    const { desired, took } = machine();
    desired.connected();
    desired.listen();
    for (const version of [2, 3, 4]) desired.notified(version, { n: version });
    desired.readDone(4, { n: 4 });
    expect(took()).toEqual(["read", 'tell 2 {"n":2}', 'tell 3 {"n":3}', 'tell 4 {"n":4}']);
  });

  test("the next version as it came, also where it changes nothing", () => {
    const { desired, took } = inStep();
    desired.notified(3, { a: 1, gone: null });
    expect(took()).toEqual(['tell 3 {"a":1,"gone":null}']);
  });

  test("a gap: the document is read, and the difference told", () => {
    const { desired, took } = inStep();
    desired.notified(4, { b: 2 });
    desired.readDone(4, { a: 2, b: 2 });
    expect(took()).toEqual(["read", 'tell 4 {"a":2,"b":2}']);
  });

  test("overtaken: the later one waits for the reading, and the earlier one finds it done", () => {
    const { desired, took } = inStep();
    desired.notified(4, { b: 2 });
    desired.notified(3, { a: 2 });
    desired.readDone(4, { a: 2, b: 2 });
    expect(took()).toEqual(["read", 'tell 3 {"a":2}', 'tell 4 {"b":2}']);
  });

  test("what came while reading is on top of what was read; a gap there is read again", () => {
    const { desired, took } = inStep();
    desired.notified(4, { b: 2 });
    desired.notified(5, { c: 3 });
    desired.readDone(4, { a: 1, b: 2 });
    expect(took()).toEqual(["read", 'tell 5 {"b":2,"c":3}']);
    desired.notified(7, { d: 4 });
    desired.notified(9, { e: 5 });
    desired.readDone(7, { a: 1, b: 2, c: 3, d: 4 });
    expect(took()).toEqual(["read", 'tell 7 {"d":4}', "read"]);
  });

  test("versions that start again, because the device was made anew", () => {
    const { desired, took } = inStep();
    for (let version = 3; version < 12; version++) desired.notified(version, { a: version });
    took();
    desired.lost();
    desired.connected();
    desired.readDone(2, { b: 1 });
    desired.notified(3, { b: 2 });
    expect(took()).toEqual(["read", 'tell 2 {"b":1,"a":null}', 'tell 3 {"b":2}']);
  });

  test("the same behind a gateway whose connection stays", () => {
    const { desired, took } = inStep();
    desired.notified(3, { a: 3 });
    took();
    desired.notified(2, { b: 1 });
    desired.readDone(2, { b: 1 });
    expect(took()).toEqual(["read", 'tell 2 {"b":1,"a":null}']);
  });

  test("a double is read once; the next doubles have time", () => {
    const { desired, took } = inStep();
    desired.notified(3, { a: 3 });
    took();
    desired.notified(3, { a: 3 });
    desired.readDone(3, { a: 3 });
    expect(took()).toEqual(["read"]);
    desired.notified(3, { a: 3 });
    desired.notified(3, { a: 3 });
    expect(took()).toEqual(["wait 750"]);
    desired.due();
    desired.readDone(3, { a: 3 });
    desired.notified(3, { a: 3 });
    expect(took()).toEqual(["read", "wait 1500"]);
  });

  test("what was on its way while the document was read is nothing odd", () => {
    const { desired, took } = inStep();
    desired.lost();
    desired.connected();
    desired.readDone(4, { a: 4 });
    took();
    desired.notified(3, { a: 3 });
    desired.notified(4, { a: 4 });
    desired.notified(5, { a: 5 });
    expect(took()).toEqual(['tell 5 {"a":5}']);
  });

  test("so it is where nothing was known, or the versions start again", () => {
    const { desired, took } = machine();
    desired.listen();
    desired.connected();
    desired.readDone(5, { a: 5 });
    desired.notified(5, { a: 5 });
    expect(took()).toEqual(["read", 'tell 5 {"a":5}']);
    desired.notified(20, {});
    desired.readDone(3, { a: 5 });
    desired.notified(3, { a: 5 });
    expect(took()).toEqual(["read"]);
  });

  test("what came while reading is told in the order of the versions", () => {
    const { desired, took } = inStep();
    desired.notified(4, {});
    desired.notified(6, { c: 6 });
    desired.notified(5, { b: 5 });
    desired.readDone(4, { a: 1 });
    expect(took()).toEqual(["read", 'tell 6 {"b":5,"c":6}']);
  });

  test("what came while reading on a connection that is gone is not: the read is asked for again", () => {
    const { desired, took } = inStep();
    desired.notified(4, {});
    desired.notified(5, { c: 3 });
    desired.lost();
    desired.connected();
    desired.readDone(4, { a: 1, b: 2 });
    expect(took()).toEqual(["read", 'tell 4 {"b":2}']);
  });

  test("reads that fail are tried again, ever later, until the connection goes", () => {
    const { desired, took } = inStep();
    desired.lost();
    desired.connected();
    const waits = [];
    for (let attempt = 0; attempt < 8; attempt++) {
      expect(took()).toEqual(["read"]);
      desired.readFailed();
      waits.push(...took());
      desired.due();
    }
    expect(waits).toEqual([750, 1500, 3000, 6000, 12_000, 24_000, 45_000, 45_000].map((delay) => `wait ${delay}`));
    desired.readFailed();
    desired.lost();
    expect(took()).toEqual(["read", "wait 45000", "never"]);
    desired.connected();
    expect(took()).toEqual(["read"]);
  });

  test("a read that outlives its connection is not asked for twice", () => {
    const { desired, took } = inStep();
    desired.lost();
    desired.connected();
    desired.lost();
    desired.connected();
    desired.readDone(3, { a: 3 });
    expect(took()).toEqual(["read", 'tell 3 {"a":3}']);
  });

  test("a handler that does not keep up: a hundred patches wait, and the rest is one", () => {
    const { desired, took } = inStep();
    for (let version = 3; version < 1003; version++) desired.notified(version, { [`p${version % 7}`]: version });
    expect(took()).toHaveLength(100);
    for (let count = 0; count < 99; count++) desired.taken();
    expect(took()).toEqual([]);
    desired.taken();
    expect(took()).toEqual([
      `tell 1002 ${JSON.stringify({ p3: 997, p4: 998, p5: 999, p6: 1000, p0: 1001, p1: 1002, p2: 996 })}`,
    ]);
  });

  test("one that is behind hears of nothing that was undone meanwhile, and of all else with the next", () => {
    const { desired, took } = inStep();
    for (let version = 3; version < 103; version++) desired.notified(version, { p: version });
    desired.notified(103, { x: 1 });
    desired.notified(104, { x: null });
    took();
    for (let count = 0; count < 100; count++) desired.taken();
    expect(took()).toEqual([]);
    for (let version = 105; version < 205; version++) desired.notified(version, { p: version });
    desired.notified(205, { x: 2 });
    took();
    desired.taken();
    desired.notified(206, { y: 3 });
    expect(took()).toEqual(['tell 206 {"x":2,"y":3}']);
  });

  test("what a handler does to its patch is not done to the document", () => {
    const { desired, told, took } = inStep();
    desired.notified(3, { list: [1], deep: { x: 1 } });
    (told[1]?.["list"] as number[]).push(2);
    Object.assign(told[1]?.["deep"] as object, { x: 2 });
    took();
    desired.notified(5, {});
    desired.readDone(5, { a: 1, list: [1], deep: { x: 1 } });
    expect(took()).toEqual(["read"]);
  });

  test("nulls, which no document has, are nothing", () => {
    const { desired, took } = inStep();
    desired.notified(9, {});
    desired.readDone(9, { a: 1, b: null, c: { d: null } });
    expect(took()).toEqual(["read", 'tell 9 {"c":{}}']);
  });
});

type Message =
  | { topic: "notification"; version: number; patch: JsonObject }
  | { topic: "answer"; id: string; status: number; text: string };

/** A hub, a network and a device's program; each step is one thing that happens. */
class World {
  readonly clock = new FakeClock();
  readonly random: Random;
  readonly twin: TwinClient;
  version = 1;
  document: JsonObject = {};
  up = false;
  calm = false;
  /** What the program knows; undefined: it has not asked yet. */
  known: JsonObject | undefined;
  #toDevice: Message[] = [];
  #toHub: string[] = [];
  #handlers: (() => void)[] = [];
  #listening = false;

  constructor(seed: number) {
    this.random = seeded(seed);
    const hub: HubAccess = {
      clock: this.clock,
      random: this.random.next,
      timeout: 5_000,
      connected: () => this.up,
      publish: async (topic) => {
        // What is written into a connection that is dying is gone without a word.
        if (!this.up) throw new HubwireError("ERR_CONNECTION_LOST", "lost");
        this.#toHub.push(topic.slice(topic.indexOf("=") + 1));
      },
      subscribed: async () => {},
      report: () => {},
      handlerTimeout: 300_000,
      busy: new Busy(),
    };
    this.twin = new TwinClient(hub);
  }

  #likely(percent: number): boolean {
    return !this.calm && this.random.below(100) < percent;
  }

  #value(depth: number): unknown {
    const { below } = this.random;
    if (depth > 0 && below(3) === 0) {
      return Object.fromEntries(
        Array.from({ length: below(3) }, () => [this.random.pick(["a", "b", "c"]), this.#value(depth - 1)]),
      );
    }
    return this.random.pick([below(3), "x", true, [below(2)], [{ z: 1 }]]);
  }

  #patch(depth: number): JsonObject {
    const { below, pick } = this.random;
    const member = (): unknown =>
      below(4) === 0 ? null : depth > 0 && below(2) === 0 ? this.#patch(depth - 1) : this.#value(1);
    return Object.fromEntries(
      Array.from({ length: 1 + below(2) }, () => [pick(["a", "b", "c", "__proto__"]), member()]),
    );
  }

  change(): void {
    let patch = this.#patch(2);
    if (this.random.below(8) === 0) {
      // The section is replaced: what is gone is null in the notification.
      patch = patchBetween(this.document, mergePatch({}, patch)) ?? {};
    }
    this.document = mergePatch(this.document, patch);
    this.version++;
    if (!this.up || this.#likely(15)) return;
    const notification: Message = { topic: "notification", version: this.version, patch };
    this.#toDevice.push(notification);
    if (this.#likely(10)) this.#toDevice.push(notification);
  }

  cut(): void {
    this.up = false;
    this.#toDevice = [];
    this.#toHub = [];
    this.twin.lost();
  }

  connect(): void {
    this.up = true;
    this.twin.connected();
  }

  recreate(): void {
    if (this.up) this.cut();
    this.version = 1;
    this.document = {};
    for (let count = this.random.below(4); count > 0; count--) this.change();
  }

  serve(): void {
    const id = this.#toHub.shift();
    if (id === undefined || this.#likely(15)) return;
    const status = this.#likely(15) ? 429 : this.#likely(10) ? 500 : 200;
    const { document, version } = this;
    const desired = Object.defineProperty({ ...document, $version: version }, "__proto__", {
      value: document["__proto__"],
      enumerable: Object.hasOwn(document, "__proto__"),
    });
    this.#toDevice.push({ topic: "answer", id, status, text: JSON.stringify({ desired, reported: { $version: 1 } }) });
  }

  deliver(): void {
    const index = this.#likely(20) ? this.random.below(this.#toDevice.length) : 0;
    const [message] = this.#toDevice.splice(index, 1);
    if (!message) return;
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    if (message.topic === "answer")
      return this.twin.answered(message.id, message.status, undefined, bytes(message.text));
    this.twin.changed(message.version, bytes(JSON.stringify(message.patch)));
  }

  /** The program reads the twin, or begins to listen. */
  program(): void {
    if (this.#listening) return;
    if (this.random.below(2) === 0) {
      void this.twin.get().then(
        ({ desired }) => this.#listening || (this.known = mergePatch(desired, { $version: null })),
        () => {},
      );
      return;
    }
    this.#listening = true;
    this.known ??= {};
    this.twin.onDesired((patch) => {
      this.known = mergePatch(this.known ?? {}, patch);
      if (this.#likely(5)) throw new Error("the handler's own");
      return this.#likely(20) ? new Promise((resolve) => this.#handlers.push(resolve)) : undefined;
    });
  }

  finishHandlers(): void {
    for (const finish of this.#handlers.splice(0)) finish();
  }

  step(): void {
    const steps: [weight: number, step: () => void][] = [
      [20, () => this.change()],
      [25, () => this.deliver()],
      [20, () => this.serve()],
      [6, () => (this.up ? this.cut() : this.connect())],
      [4, () => this.up || this.connect()],
      [1, () => this.recreate()],
      [8, () => this.clock.advance(this.random.below(4_000))],
      [5, () => this.program()],
      [5, () => this.finishHandlers()],
    ];
    let at = this.random.below(steps.reduce((sum, [weight]) => sum + weight, 0));
    steps.find(([weight]) => (at -= weight) < 0)?.[1]();
  }

  /** No more faults; a last change, or a last connection, shows what was missed. */
  async settle(): Promise<void> {
    this.calm = true;
    while (!this.#listening) this.program();
    if (!this.up) this.connect();
    else if (this.random.below(2) === 0) this.change();
    else {
      this.cut();
      // A new connection takes longer than a promise.
      await turn();
      this.connect();
    }
    // The longest pause between two reads is a minute.
    for (let round = 0; round < 20; round++) {
      await turn();
      while (this.#toHub.length > 0 || this.#toDevice.length > 0) {
        this.serve();
        this.deliver();
        this.finishHandlers();
        await turn();
      }
      this.finishHandlers();
      this.clock.advance(4_900);
    }
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("random programs", () => {
  const seeds = Number(process.env["DESIRED_SEEDS"] ?? 300);
  test(`${seeds} of them converge`, { timeout: 600_000 }, async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const world = new World(seed);
      world.connect();
      for (let step = 0; step < 120; step++) {
        world.step();
        if (step % 3 === 0 || !world.up) await turn();
      }
      await world.settle();
      expect(world.known, `seed ${seed}`).toEqual(world.document);
    }
  });
});
