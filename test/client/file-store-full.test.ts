/** A full disk: messages are refused, those that were accepted go through to their end, and give their room back. */
import { describe, expect, test } from "vitest";
import { RecordFile } from "../../src/client/store/record-file.js";
import { Spare } from "../../src/client/store/spare.js";
import { seeded } from "../support/random.js";
import { SimulatedDisk } from "./simulated-disk.js";

const PATH = "/data/session";
const refused = expect.objectContaining({ code: "ERR_STORE" });
const message = (): Uint8Array => new Uint8Array(300).fill(7);
const state = Uint8Array.of(2, 0, 1, 0);
const release = Uint8Array.of(3, 0, 1);

const open = (disk: SimulatedDisk): RecordFile => new RecordFile(disk, PATH, false, new Spare(disk, `${PATH}.spare`));

/** As many messages as the disk takes: their keys. */
function fill(store: RecordFile, from = 1): number[] {
  const keys: number[] = [];
  try {
    for (let key = from; ; key += 4) {
      store.put(key, message());
      keys.push(key);
    }
  } catch (error) {
    expect(error).toEqual(refused);
  }
  return keys;
}

/** What becomes of a message with QoS 2. */
function finish(store: RecordFile, key: number): void {
  store.put(key + 1, state);
  store.put(key + 2, release);
  for (const gone of [key, key + 1, key + 2]) store.remove(gone);
}

describe.each([120_000, 500_000])("a disk of %i bytes that the store has filled", (room) => {
  function full(): { disk: SimulatedDisk; store: RecordFile; keys: number[] } {
    const disk = new SimulatedDisk(seeded(room), 4096);
    disk.room = room;
    const store = open(disk);
    const keys = fill(store);
    expect(keys.length).toBeGreaterThan(50);
    return { disk, store, keys };
  }

  test("lets all of them go through, and takes as many again", () => {
    const { disk, store, keys } = full();
    for (const key of keys) finish(store, key);
    expect([...store.load()]).toEqual([]);
    expect(disk.sizeOf(PATH)).toBeLessThan(0x5000);
    expect(fill(store, 1_000_001).length).toBeGreaterThan(keys.length - 50);
  });

  test("does so in the next process too, which removes what it kept for that", () => {
    const { disk, store, keys } = full();
    store.close();
    expect(disk.files).toEqual([PATH, `${PATH}.spare`]);
    const next = open(disk);
    expect([...next.load()].map(([key]) => key)).toEqual(keys);
    for (const key of keys) finish(next, key);
    next.close();
    expect(disk.files).toEqual([PATH]);
    expect(disk.openFiles).toBe(0);
  });

  test("lets them be given up together", () => {
    const { store, keys } = full();
    store.removeAll(keys.slice(1));
    expect([...store.load()].map(([key]) => key)).toEqual([1]);
    store.put(1_000_001, message());
  });

  test("and that something else fills to the last byte", () => {
    const { disk, store, keys } = full();
    disk.room = disk.sizeOf(PATH) + disk.sizeOf(`${PATH}.spare`);
    for (const key of keys) finish(store, key);
    expect([...store.load()]).toEqual([]);
    store.put(1_000_001, message());
  });
});

test("a file that may not become larger lets all of them go through, and takes as many again", () => {
  const disk = new SimulatedDisk(seeded(3), 4096);
  disk.limit = 200_000;
  const store = open(disk);
  const keys = fill(store);
  expect(keys.length).toBeGreaterThan(300);
  for (const key of keys) finish(store, key);
  expect([...store.load()]).toEqual([]);
  expect(fill(store, 1_000_001).length).toBe(keys.length);
});

test("how large the file may become is found out now and then, and leaves nothing", () => {
  const disk = new SimulatedDisk(seeded(4), 4096);
  const store = open(disk);
  for (let key = 1; key < 100; key++) store.put(key, message());
  expect(disk.calls.get("truncate")).toBe(1);
  expect(disk.sizeOf(PATH)).toBeLessThan(40_000);
  // What could not be cut off at once is before the change is written.
  let fails = 1;
  disk.fault = (call) => (call === "truncate" && fails-- > 0 ? "fail" : undefined);
  for (let key = 100; key < 10_000; key++) store.put(key, message());
  expect(disk.calls.get("truncate")).toBeGreaterThan(1);
  disk.fault = () => undefined;
  store.close();
  const next = open(disk);
  expect([...next.load()].length).toBe(9_999);
});

test("where no room can be kept for another reason than its lack, the store does without", () => {
  const disk = new SimulatedDisk(seeded(1), 4096);
  disk.fault = (call) => (call === "open" ? "fail" : undefined);
  const broken = new Spare(disk, `${PATH}.spare`);
  expect(() => broken.keep(1)).not.toThrow();
  expect([broken.spend(), disk.calls.get("open")]).toEqual([false, 1]);
  broken.keep(1_000);
  expect(disk.calls.get("open")).toBe(1);
});

test("room is kept in proportion to the messages, and what had none is cut off at once", () => {
  const disk = new SimulatedDisk(seeded(2), 4096);
  const spare = new Spare(disk, "/s");
  spare.keep(1);
  expect(disk.sizeOf("/s")).toBe(0x10000);
  spare.keep(1_000);
  expect(disk.sizeOf("/s")).toBe(0x28000);
  disk.room = 0x28000 + 1_000;
  expect(() => spare.keep(10_000)).toThrow("no space left");
  expect(disk.sizeOf("/s")).toBe(0x28000);
  expect(spare.spend()).toBe(true);
  expect(disk.sizeOf("/s")).toBe(0x20000);
  spare.close(false);
  const again = new Spare(disk, "/s");
  for (let left = 4; left > 0; left--) expect(again.spend()).toBe(true);
  expect([again.spend(), disk.sizeOf("/s")]).toEqual([false, 0]);
  again.close(true);
  expect(disk.exists("/s")).toBe(false);
});
