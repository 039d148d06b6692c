/** A new file for what is live in an old one: what is copied when, and in which order it is found there. */
import { describe, expect, test } from "vitest";
import { Compaction } from "../../src/client/store/compaction.js";
import { RecordFile } from "../../src/client/store/record-file.js";
import { FILE_HEAD, type Place, RecordReader } from "../../src/client/store/records.js";
import { seeded } from "../support/random.js";
import { SimulatedDisk } from "./simulated-disk.js";

const PATH = "/d/new";
const SALT = 77;

function scene(durable = false) {
  const disk = new SimulatedDisk(seeded(3), 4096);
  const source = new Map<number, Place>();
  const bodies = new Map<Place, Uint8Array>();
  let at = 0;
  const copy = new Compaction(disk, PATH, durable, SALT, source);
  const write = (key: number, length: number): void => {
    const place = { at: at++, length };
    bodies.set(place, new Uint8Array(length).fill(key));
    source.set(key, place);
  };
  return {
    disk,
    copy,
    write,
    put(key: number, length = 30): void {
      write(key, length);
      copy.changed(key);
    },
    remove(key: number): void {
      source.delete(key);
      copy.changed(key);
    },
    step: (budget: number) => copy.step(budget, (_key, place) => bodies.get(place)!),
    /** The records of the new file: `key:length`, or `-key` for a removal. */
    records(): string[] {
      const reader = new RecordReader(disk, copy.file, SALT);
      const found: string[] = [];
      let from = FILE_HEAD;
      for (let next = reader.find(from, copy.size); next; next = reader.find(from, copy.size)) {
        found.push(next.removal ? `-${next.key}` : `${next.key}:${next.length - 18}`);
        from += next.length;
      }
      return found;
    },
    live: () => [...copy.places.keys()],
    source,
  };
}

describe("a step", () => {
  test("copies its budget, or one record if that is longer, in the order of the index", () => {
    const { write, copy, step, records, live } = scene();
    for (let key = 5; key > 0; key--) write(key, 30);
    write(9, 500);
    expect(copy.size).toBe(16);
    expect(step(96)).toBe(false);
    expect(copy.size).toBe(16 + 96);
    expect(step(97)).toBe(false);
    expect(copy.size).toBe(16 + 240);
    expect(step(1)).toBe(false);
    expect(copy.size).toBe(16 + 240 + 518);
    expect(step(1)).toBe(true);
    expect(step(1)).toBe(true);
    expect(copy.size).toBe(16 + 240 + 518);
    expect(records()).toEqual(["5:30", "4:30", "3:30", "2:30", "1:30", "9:500"]);
    expect(live()).toEqual([5, 4, 3, 2, 1, 9]);
    expect(copy.places.get(9)).toEqual({ at: 256, length: 518 });
  });

  test("of nothing is over at once, with a file that is an empty store", () => {
    const { copy, step, records, disk } = scene();
    expect(step(100)).toBe(true);
    expect([copy.size, disk.sizeOf(PATH), records()]).toEqual([16, 16, []]);
  });
});

describe("what changes meanwhile", () => {
  test("is copied again where it was copied, once, and not where it was not", () => {
    const { write, put, step, records, live } = scene();
    for (const key of [1, 2, 3]) write(key, 10);
    step(28);
    put(1, 11);
    put(1, 12);
    put(3, 13);
    put(4, 14);
    expect(step(1_000)).toBe(true);
    expect(records()).toEqual(["1:10", "2:10", "3:13", "4:14", "1:12"]);
    expect(live()).toEqual([1, 2, 3, 4]);
  });

  test("is removed where it was copied, and never copied where it was not", () => {
    const { write, remove, step, records, live } = scene();
    for (const key of [1, 2, 3]) write(key, 10);
    step(28);
    remove(1);
    remove(2);
    expect(step(1_000)).toBe(true);
    expect(records()).toEqual(["1:10", "-1", "3:10"]);
    expect(live()).toEqual([3]);
  });

  test("goes and comes again as the last", () => {
    const { write, put, remove, step, records, live, source } = scene();
    for (const key of [1, 2]) write(key, 10);
    step(28);
    remove(1);
    put(1, 20);
    put(2, 30);
    expect(step(1_000)).toBe(true);
    expect(records()).toEqual(["1:10", "-1", "2:30", "1:20"]);
    expect(live()).toEqual([...source.keys()]);
  });

  test("is copied behind the end too, until nothing is left", () => {
    const { write, put, remove, step, records, live } = scene();
    write(1, 10);
    expect(step(1_000)).toBe(true);
    put(2, 20);
    put(3, 30);
    remove(2);
    put(1, 11);
    expect(step(1_000)).toBe(true);
    expect(records()).toEqual(["1:10", "3:30", "1:11"]);
    remove(3);
    expect(step(1_000)).toBe(true);
    expect(records()).toEqual(["1:10", "3:30", "1:11", "-3"]);
    expect(live()).toEqual([1]);
  });
});

describe("the new file", () => {
  test("is made durable each 256 KiB", () => {
    const { write, step, disk } = scene();
    for (let key = 1; key <= 6; key++) write(key, 100_000);
    const syncs = [1, 2, 3, 4, 5, 6].map(() => (step(1), disk.calls.get("sync") ?? 0));
    expect(syncs).toEqual([0, 0, 1, 1, 1, 2]);
  });

  test("takes the place of what a killed process left, and is gone when it is given up", () => {
    const disk = new SimulatedDisk(seeded(3), 4096);
    const old = disk.open(PATH);
    disk.write(old, Uint8Array.of(1), 0);
    disk.close(old);
    const copy = new Compaction(disk, PATH, false, SALT, new Map());
    expect(disk.sizeOf(PATH)).toBe(16);
    copy.abandon();
    expect([disk.openFiles, disk.files]).toEqual([0, []]);
    disk.fault = (call) => (call === "write" ? "fail" : undefined);
    expect(() => new Compaction(disk, PATH, false, SALT, new Map())).toThrow("write fails");
    expect([disk.openFiles, disk.files]).toEqual([0, []]);
    disk.fault = () => undefined;
    const other = new Compaction(disk, PATH, false, SALT, new Map());
    disk.fault = (call) => (call === "close" ? "fail" : undefined);
    expect(() => other.abandon()).toThrow("close fails");
    expect(disk.files).toEqual([]);
  });

  test("that can't be made durable will do where nobody asked for it and Node has no way", () => {
    for (const [durable, code, isFatal] of [
      [false, "ERR_ACCESS_DENIED", false],
      [true, "ERR_ACCESS_DENIED", true],
      [false, "EIO", true],
    ] as const) {
      const { copy, disk } = scene(durable);
      disk.sync = () => {
        throw Object.assign(new Error("no"), { code });
      };
      if (isFatal) expect(() => copy.sync()).toThrow("no");
      else copy.sync();
    }
  });
});

describe("a store's file", () => {
  const filled = (count: number, length: number): { disk: SimulatedDisk; store: RecordFile } => {
    const disk = new SimulatedDisk(seeded(count), 4096);
    const store = new RecordFile(disk, "/d/s", false);
    for (let key = 1; key <= count; key++) store.put(key, new Uint8Array(length));
    return { disk, store };
  };

  test("in which nothing is live is emptied from 16 KiB on", () => {
    const { disk, store } = filled(0, 0);
    let most = 0;
    for (let key = 1; key <= 100; key++) {
      store.put(key, new Uint8Array(982));
      most = Math.max(most, disk.sizeOf("/d/s"));
      store.remove(key);
    }
    // 1,014 bytes a message with its removal, and the head.
    expect(most).toBe(16 + 16 * 1_014 + 1_000);
    expect(disk.calls.get("rename")).toBe(5);
  });

  test("is made anew from 256 KiB on, when half of it is garbage", () => {
    const small = filled(100, 1_000);
    for (let key = 1; key <= 95; key++) small.store.remove(key);
    expect(small.disk.calls.get("rename")).toBeUndefined();
    const { disk, store } = filled(600, 982);
    let removed = 0;
    while (!disk.exists("/d/s.new")) store.remove(++removed);
    // Of 600,016 bytes and 14 for each removal half are live with 302,000.
    expect(removed).toBe(298);
    expect(disk.calls.get("rename")).toBeUndefined();
    while (disk.exists("/d/s.new")) store.remove(++removed);
    expect(disk.sizeOf("/d/s")).toBeLessThan(310_000);
    expect(Array.from(store.load(), ([key]) => key)).toEqual(
      Array.from({ length: 600 - removed }, (_, at) => removed + at + 1),
    );
  });
});
