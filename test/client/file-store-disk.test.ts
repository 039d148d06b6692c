/** The promises of a store's file, on a disk that loses power, kills, fails and writes short at any call. */
import { describe, expect, test } from "vitest";
import { MANY, RecordFile } from "../../src/client/store/record-file.js";
import { Spare } from "../../src/client/store/spare.js";
import { type Random, seeded } from "../support/random.js";
import { Ended, type Fault, SimulatedDisk } from "./simulated-disk.js";

const PATH = "/data/session";
const SPARE = "/data/session.spare";
type State = ReadonlyMap<number, Uint8Array>;
/** A change of the state. */
type Change = (state: State) => Map<number, Uint8Array>;

/** How a program ends, and what else is wrong. */
interface Trouble {
  durable: boolean;
  power: boolean;
  faults?: boolean;
  lies?: "sync" | "syncFolder" | "truncate";
  /** Bytes of the disk; the store keeps a spare. */
  room?: number;
}

const show = (state: Iterable<readonly [number, Uint8Array]>): string =>
  Array.from(state, ([key, body]) => `${key}:${body.length}:${body[0]}:${body.at(-1)}`).join(" ");

class Life {
  readonly #random: Random;
  readonly #trouble: Trouble;
  readonly #disk: SimulatedDisk;
  /** Whether records are so large that compaction takes many steps. */
  readonly #large: boolean;
  /** What was accepted. */
  #state: State = new Map();
  /** What may be there instead: with a change that was under way at the end, or refused and could not be cut off. */
  #others: State[] = [];
  #lastKey = 0;
  #endIn = 0;
  #failed = 0;

  constructor(seed: number, trouble: Trouble) {
    this.#random = seeded(seed);
    this.#trouble = trouble;
    // Small pages under small records, so that both are cut by each other everywhere.
    this.#large = trouble.room !== undefined || this.#random.below(4) === 0;
    this.#disk = new SimulatedDisk(this.#random, this.#large ? 4096 : this.#random.pick([64, 512]));
    if (trouble.lies) this.#disk.lies.add(trouble.lies);
    this.#disk.room = trouble.room ?? Infinity;
    this.#disk.onFull = () => void this.#failed++;
  }

  /** Several programs after one another; throws where a promise was broken. */
  run(): void {
    for (let program = 0; program < 6; program++) {
      this.#endIn = this.#random.below(this.#random.pick([10, 40, 400]));
      this.#disk.fault = () => this.#fault();
      let store: RecordFile | undefined;
      try {
        store = this.#opened();
        if (store) this.#program(store);
      } catch (error) {
        if (!(error instanceof Ended) && !(error as Error & { cause?: unknown }).cause) throw error;
        if (!(error instanceof Ended) && !((error as Error).cause instanceof Ended)) throw error;
      }
      this.#disk.fault = () => undefined;
      if (this.#trouble.power && this.#random.below(3) > 0) this.#disk.losePower();
      else this.#disk.restart();
      this.#inspect();
    }
  }

  #fault(): Fault | undefined {
    if (this.#endIn-- === 0) return "end";
    if (!this.#trouble.faults || this.#random.below(12) > 0) return undefined;
    this.#failed++;
    return "fail";
  }

  /** Undefined where faults, and they alone, kept it from opening. */
  #opened(): RecordFile | undefined {
    this.#failed = 0;
    try {
      const spare = this.#trouble.room === undefined ? undefined : new Spare(this.#disk, SPARE);
      return new RecordFile(this.#disk, PATH, this.#trouble.durable, spare);
    } catch (error) {
      if (this.#failed === 0 || (error as Error).cause instanceof Ended) throw error;
      expect(error).toMatchObject({ code: "ERR_STORE" });
      expect(this.#disk.openFiles).toBe(0);
      return undefined;
    }
  }

  #program(store: RecordFile): void {
    const steps = this.#random.below(60);
    for (let step = 0; step < steps; step++) this.#step(store, this.#large ? 30_000 : 600);
    this.#failed = 0;
    try {
      store.close();
      this.#others = [];
    } catch (error) {
      if (this.#failed === 0) throw error;
    }
    expect(() => store.remove(1)).toThrow(expect.objectContaining({ code: "ERR_STORE" }));
  }

  #step(store: RecordFile, most: number): void {
    const keys = [...this.#state.keys()];
    const choice = this.#random.below(20);
    let call: () => void;
    let change: Change;
    const gone = keys.filter(() => this.#random.below(4) > 0);
    // By a new file, so that all of them go or none.
    const areMany = gone.length >= MANY && gone.length * 2 >= keys.length;
    const isWhole = choice === 0 || (choice < 3 && areMany);
    if (choice === 0) {
      call = () => store.clear();
      change = () => new Map();
    } else if (isWhole) {
      call = () => store.removeAll(gone);
      change = (state) => new Map([...state].filter(([key]) => !gone.includes(key)));
    } else if (choice < 9 && keys.length > 0) {
      // Sometimes the last one, sometimes one that isn't there.
      const key = this.#random.below(9) ? this.#random.pick(keys) : this.#lastKey;
      call = () => store.remove(key);
      change = (state) => new Map([...state].filter(([other]) => other !== key));
    } else {
      const key = keys.length > 0 && this.#random.below(3) === 0 ? this.#random.pick(keys) : ++this.#lastKey;
      const body = new Uint8Array(this.#random.below(most)).fill(this.#random.below(256));
      call = () => store.put(key, body);
      change = (state) => new Map(state).set(key, body);
    }
    this.#failed = 0;
    const before = this.#others;
    this.#others = [...before, change(this.#state)];
    let mayBeDone = false;
    try {
      call();
      this.#state = change(this.#state);
      this.#others = [];
    } catch (error) {
      if (this.#failed === 0 || (error as Error).cause instanceof Ended) throw error;
      expect(error).toMatchObject({ code: "ERR_STORE" });
      mayBeDone = isWhole;
      // One failure is made good at once; where that failed too, or the program ended, what was refused may still be there.
      if (this.#failed === 1 && this.#endIn >= 0 && !mayBeDone) this.#others = before;
    }
    const { fault } = this.#disk;
    this.#disk.fault = () => undefined;
    if (mayBeDone && show(store.load()) === show(change(this.#state))) {
      this.#others.push(this.#state);
      this.#state = change(this.#state);
    }
    expect(show(store.load())).toBe(show(this.#state));
    this.#disk.fault = fault;
    // Without a loss of power nothing asks for what the disk had before.
    if (!this.#trouble.power) this.#disk.settle();
  }

  /** What the next program finds. */
  #inspect(): void {
    const store = new RecordFile(this.#disk, PATH, this.#trouble.durable);
    const found = new Map(store.load());
    const allowed = [this.#state, ...this.#others].map(show);
    expect(allowed, allowed.join(" OR ")).toContain(show(found));
    store.close();
    expect(this.#disk.openFiles).toBe(0);
    expect(this.#disk.files.filter((name) => name !== SPARE)).toEqual([PATH]);
    this.#state = found;
    this.#others = [];
  }
}

/** STORE_SEEDS multiplies how many are lived. */
function live(seeds: number, trouble: Trouble): void {
  const most = seeds * Number(process.env["STORE_SEEDS"] ?? 1);
  for (let seed = 1; seed <= most; seed++) {
    try {
      new Life(seed, trouble).run();
    } catch (cause) {
      throw new Error(`seed ${seed}: ${(cause as Error).message}`, { cause });
    }
  }
}

describe("whatever happens at any call, what was accepted is there, in order, and nothing else", () => {
  test("the program is killed", () => live(30, { durable: false, power: false }));
  test("with fsync: the power is lost", () => live(100, { durable: true, power: true }));
  test("the disk fails and takes less than it is given", () =>
    live(30, { durable: false, power: false, faults: true }));
  test("the disk is small", () => live(30, { durable: false, power: false, room: 300_000 }));
  test("with fsync: the disk is small and fails, and the power is lost", () =>
    live(30, { durable: true, power: true, faults: true, room: 300_000 }));
  test("with fsync: all at once", () => live(100, { durable: true, power: true, faults: true }));

  test.each(["sync", "syncFolder", "truncate"] as const)("a %s that does nothing is found out", (lies) => {
    expect(() => live(1_000, { durable: true, power: true, faults: true, lies })).toThrow();
  });
});

/** A disk with a store of `count` records of a thousand bytes. */
function filled(count: number, durable = false): { disk: SimulatedDisk; store: RecordFile } {
  const disk = new SimulatedDisk(seeded(count), 4096);
  const store = new RecordFile(disk, PATH, durable);
  for (let key = 1; key <= count; key++) store.put(key, new Uint8Array(1_000).fill(key));
  return { disk, store };
}

const keysOf = (store: RecordFile): number[] => Array.from(store.load(), ([key]) => key);
const damagedAt = (name: string): unknown =>
  expect.objectContaining({
    code: "ERR_STORE",
    message: expect.stringMatching(new RegExp(`damaged at byte .* ${name}$`)),
  });

describe("compaction", () => {
  test("without fsync too, a loss of power during it costs nothing that the disk had", () => {
    // Everything is on the disk before each change; the power is lost at each call of each change in turn.
    for (let at = 0, over = false; !over; at++) {
      for (let chance = 0; chance < 3; chance++) {
        const { disk, store } = filled(600);
        for (let key = 1; key <= 297; key++) store.remove(key);
        let calls = 0;
        disk.fault = () => (calls++ === at ? "end" : undefined);
        let removed = 297;
        try {
          for (over = true; removed < 312; removed++) {
            disk.settle();
            store.remove(removed + 1);
          }
        } catch {
          over = false;
        }
        disk.fault = () => undefined;
        disk.losePower();
        const found = keysOf(new RecordFile(disk, PATH, false));
        expect(found.at(-1)).toBe(600);
        expect([removed, removed + 1, removed + 2], `call ${at}`).toContain(found[0]);
        expect(found.length).toBe(601 - found[0]!);
        if (over) expect(disk.calls.get("rename")).toBe(1);
      }
    }
  });

  test("goes on beside the changes: none copies more than a few pages, however much is live", () => {
    const { disk, store } = filled(4_000);
    let written = 0;
    let most = 0;
    let unsynced = 0;
    let mostUnsynced = 0;
    const { write, sync } = SimulatedDisk.prototype;
    disk.write = (...arguments_) => {
      const count = write.apply(disk, arguments_);
      written += count;
      mostUnsynced = Math.max(mostUnsynced, (unsynced += count));
      return count;
    };
    disk.sync = (file) => {
      unsynced = 0;
      sync.call(disk, file);
    };
    const before = disk.sizeOf(PATH);
    for (let key = 1; key <= 3_000; key++) {
      written = 0;
      if (!disk.exists(`${PATH}.new`)) unsynced = 0;
      if (key % 3 === 0) store.put(key, new Uint8Array(10));
      else store.remove(key);
      most = Math.max(most, written);
      disk.settle();
    }
    expect(disk.calls.get("rename")).toBeGreaterThan(0);
    expect(disk.sizeOf(PATH)).toBeLessThan(before * 0.6);
    expect(most).toBeGreaterThan(60_000);
    expect(most).toBeLessThan(70_000);
    // Nor leaves more to the disk than it takes at once.
    expect(mostUnsynced).toBeLessThan(400_000);
    const keys = keysOf(store);
    expect(keys.length).toBe(2_000);
    expect(keys.slice(0, 2)).toEqual([3, 6]);
    store.close();
    expect(keysOf(new RecordFile(disk, PATH, false))).toEqual(keys);
  });

  test("keeps what is put while it catches up with what changed behind it, in order", () => {
    const { disk, store } = filled(4_000);
    const wanted = new Map(Array.from({ length: 4_000 }, (_, at) => [at + 1, 1_000]));
    const put = (key: number, length: number): void => {
      store.put(key, new Uint8Array(length));
      wanted.set(key, length);
      disk.settle();
    };
    const remove = (key: number): void => {
      store.remove(key);
      wanted.delete(key);
      disk.settle();
    };
    const going = (): boolean => disk.exists(`${PATH}.new`);
    let first = 1;
    while (!going()) remove(first++);
    // Those that were copied first are put again, large; so at the end of the copying much is left to do again.
    for (let key = first; key < first + 14; key++) put(key, 60_000);
    let last = 4_000;
    for (; going(); last += 2) {
      put(last + 1, 10);
      put(last + 2, 20);
      // One that goes and comes again is the last.
      remove(last + 1);
      put(last + 1, 30);
      remove(first++);
    }
    expect(last).toBeGreaterThan(4_004);
    const shown = (from: RecordFile): [number, number][] =>
      Array.from(from.load(), ([key, { length }]) => [key, length]);
    expect(shown(store)).toEqual([...wanted]);
    store.close();
    expect(shown(new RecordFile(disk, PATH, false))).toEqual([...wanted]);
  });

  test("goes on where Node's permission model refuses to sync, unless that was asked for", () => {
    for (const durable of [false, true]) {
      const { disk, store } = filled(600, durable);
      const before = disk.sizeOf(PATH);
      disk.sync = () => {
        throw Object.assign(new Error("fdatasync API is disabled"), { code: "ERR_ACCESS_DENIED" });
      };
      const remove = (): void => {
        for (let key = 1; key <= 400; key++) store.remove(key);
      };
      if (durable) expect(remove).toThrow(expect.objectContaining({ code: "ERR_STORE" }));
      else remove();
      expect(disk.sizeOf(PATH) < before).toBe(!durable);
      expect(keysOf(store).length).toBe(durable ? 600 : 200);
    }
  });

  test("that the disk refuses costs nothing, and is tried again when the file has grown", () => {
    const { disk, store } = filled(600);
    disk.fault = (call) => (call === "rename" ? "fail" : undefined);
    for (let key = 1; key <= 500; key++) store.remove(key);
    expect(disk.calls.get("rename")).toBe(1);
    expect(disk.files).toEqual([PATH]);
    for (let key = 601; key <= 900; key++) store.put(key, new Uint8Array(1_000));
    for (let key = 601; key <= 900; key++) store.remove(key);
    expect(disk.calls.get("rename")).toBeGreaterThan(1);
    disk.fault = () => undefined;
    for (let key = 901; key <= 1_400; key++) store.put(key, new Uint8Array(1_000));
    for (let key = 901; key <= 1_400; key++) store.remove(key);
    expect(disk.sizeOf(PATH)).toBeLessThan(600_000);
    expect(keysOf(store)).toEqual(Array.from({ length: 100 }, (_, at) => 501 + at));
  });
});

describe("a change that was refused", () => {
  /** A store with one record, and a second that was refused because the calls named failed at it, one after the other. */
  function refused(seed: number, durable: boolean, ...failing: string[]): { disk: SimulatedDisk; store: RecordFile } {
    const disk = new SimulatedDisk(seeded(seed), 64);
    const store = new RecordFile(disk, PATH, durable);
    store.put(1, new Uint8Array(100));
    disk.settle();
    disk.fault = (call) => (call === failing[0] ? (failing.shift(), "fail") : undefined);
    expect(() => store.put(2, new Uint8Array(30))).toThrow(expect.objectContaining({ code: "ERR_STORE" }));
    expect(failing).toEqual([]);
    return { disk, store };
  }

  test("is cut off at once: it is not there after a kill", () => {
    const { disk } = refused(1, true, "sync");
    disk.restart();
    expect(keysOf(new RecordFile(disk, PATH, true))).toEqual([1]);
  });

  test("with fsync is cut off on the disk too: it is not there after a loss of power", () => {
    for (let seed = 1; seed < 50; seed++) {
      const { disk } = refused(seed, true, "sync");
      disk.losePower();
      expect(keysOf(new RecordFile(disk, PATH, true)), `seed ${seed}`).toEqual([1]);
    }
  });

  test("and could not be cut off, is cut off before the next change, or at the end", () => {
    const one = refused(1, true, "sync", "truncate");
    expect(keysOf(one.store)).toEqual([1]);
    one.store.close();
    expect(keysOf(new RecordFile(one.disk, PATH, true))).toEqual([1]);

    const two = refused(1, true, "sync", "truncate");
    // Shorter than what was refused.
    two.store.put(3, new Uint8Array(1));
    two.disk.restart();
    expect(keysOf(new RecordFile(two.disk, PATH, true))).toEqual([1, 3]);

    const three = refused(1, true, "sync", "truncate");
    three.disk.fault = (call) => (call === "truncate" ? "fail" : undefined);
    expect(() => three.store.put(3, new Uint8Array(1))).toThrow(expect.objectContaining({ code: "ERR_STORE" }));
    expect(() => three.store.close()).toThrow(expect.objectContaining({ code: "ERR_STORE" }));
    three.store.close();
    expect(three.disk.openFiles).toBe(0);
  });
});

describe("damage", () => {
  test("found at opening: the file is set aside under a name of its own, and the next store begins anew", () => {
    const { disk, store } = filled(10);
    store.close();
    disk.damage(PATH, 5_000, 4);
    expect(() => new RecordFile(disk, PATH, true)).toThrow(damagedAt(`${PATH}.damaged-1`));
    const second = new RecordFile(disk, PATH, true);
    expect(keysOf(second)).toEqual([]);
    second.put(1, Uint8Array.of(1));
    second.put(2, Uint8Array.of(1));
    second.close();
    disk.damage(PATH, 0, 1);
    expect(() => new RecordFile(disk, PATH, true)).toThrow(damagedAt(`${PATH}.damaged-2`));
    expect(disk.files).toEqual([`${PATH}.damaged-1`, `${PATH}.damaged-2`]);
    expect(disk.openFiles).toBe(0);
  });

  test("that can't be set aside is told too", () => {
    const { disk, store } = filled(10);
    store.close();
    disk.damage(PATH, 5_000, 4);
    disk.fault = (call) => (call === "rename" ? "fail" : undefined);
    expect(() => new RecordFile(disk, PATH, true)).toThrow(damagedAt("can't be set aside"));
  });

  test("of a record that is read back: it is never given out, the file is set aside, nothing is written any more", () => {
    const { disk, store } = filled(200);
    disk.damage(PATH, 150_000, 128);
    const read: number[] = [];
    expect(() => {
      for (const [key] of store.load()) read.push(key);
    }).toThrow(damagedAt(`${PATH}.damaged-1`));
    expect(read.length).toBeLessThan(150);
    expect(() => store.put(1, Uint8Array.of(1))).toThrow(damagedAt(`${PATH}.damaged-1`));
    expect(() => store.clear()).toThrow(damagedAt(`${PATH}.damaged-1`));
    store.close();
    expect(disk.files).toEqual([`${PATH}.damaged-1`]);
  });

  test("met by a compaction: the change that it ran beside was accepted, the next call tells", () => {
    const { disk, store } = filled(600);
    disk.damage(PATH, 550_000, 128);
    let last = 0;
    expect(() => {
      for (let key = 1; key <= 500; key++) {
        store.remove(key);
        last = key;
      }
    }).toThrow(damagedAt(`${PATH}.damaged-1`));
    expect(last).toBeGreaterThan(290);
    expect(last).toBeLessThan(310);
    store.close();
    expect(disk.openFiles).toBe(0);
  });
});
