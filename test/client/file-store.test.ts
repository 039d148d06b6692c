import { spawn } from "node:child_process";
import { once } from "node:events";
import fs, {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FileStore } from "../../src/client/file-store.js";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hubwire-store-"));
  path = join(folder, "session");
});
afterEach(() => rmSync(folder, { recursive: true }));

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const storeError = expect.objectContaining({ code: "ERR_STORE" });

/** The live records of the file, as the next process finds them. */
function contents(): [number, number[]][] {
  const store = new FileStore(path);
  const all = Array.from(store.load(), ([key, record]): [number, number[]] => [key, [...record]]);
  store.close();
  return all;
}

/** Changes one after the other, and what is live after each. */
const history: (readonly [key: number, record: Uint8Array | undefined])[] = [
  [1, bytes(1, 2, 3)],
  [65_540, bytes()],
  [2, bytes(9, 9)],
  [1, bytes(4)],
  [2, undefined],
  [2 ** 47, bytes(0, 0, 0, 0)],
  [65_540, undefined],
  [2, bytes(7, 8)],
];

function write(store: FileStore, count = history.length): void {
  for (const [key, record] of history.slice(0, count)) record ? store.put(key, record) : store.remove(key);
}

function expected(count: number): [number, number[]][] {
  const live = new Map<number, number[]>();
  for (const [key, record] of history.slice(0, count)) record ? live.set(key, [...record]) : live.delete(key);
  return [...live];
}

describe("FileStore", () => {
  test("gives back what was put and not removed, in the order of first putting", () => {
    const store = new FileStore(path);
    write(store);
    expect([...store.load()].map(([key]) => key)).toEqual([1, 2 ** 47, 2]);
    store.close();
    expect(contents()).toEqual([
      [1, [4]],
      [2 ** 47, [0, 0, 0, 0]],
      [2, [7, 8]],
    ]);
  });

  test("clear forgets everything, and the store goes on", () => {
    const store = new FileStore(path, { fsync: true });
    write(store);
    store.clear();
    expect([...store.load()]).toEqual([]);
    store.put(5, bytes(5));
    store.remove(99);
    store.close();
    expect(contents()).toEqual([[5, [5]]]);
  });

  test.each([
    ["all", 0],
    ["most", 3],
    ["few", 990],
    ["a handful", 1_000 - 5],
  ])(
    "removeAll forgets %s of them, in whatever order they are named, and keeps the others in theirs",
    (_which, left) => {
      const store = new FileStore(path);
      const keys = Array.from({ length: 1_000 }, (_, at) => 65_536 + 2 * at);
      for (const key of keys) store.put(key, bytes(key & 255));
      store.put(7, bytes(7));
      store.put(2 ** 47, bytes(8));
      store.removeAll(keys.slice(left).reverse().concat(99));
      store.put(keys[0]! + 1, bytes(9));
      const kept = keys.slice(0, left).map((key) => [key, [key & 255]]);
      const all = [...kept, [7, [7]], [2 ** 47, [8]], [keys[0]! + 1, [9]]];
      expect(Array.from(store.load(), ([key, record]) => [key, [...record]])).toEqual(all);
      store.close();
      expect(contents()).toEqual(all);
    },
  );

  test("removeAll takes keys that are far apart", () => {
    const store = new FileStore(path);
    const keys = Array.from({ length: 20 }, (_, at) => 1 + at * 2 ** 42);
    for (const key of keys) store.put(key, bytes(1));
    store.put(2, bytes(2));
    store.removeAll(keys);
    expect([...store.load()].map(([key]) => key)).toEqual([2]);
    store.close();
  });

  test("removeAll refuses what is no key, and has removed nothing then", () => {
    const store = new FileStore(path);
    store.put(1, bytes(1));
    for (const key of [0, 1.5, 2 ** 48, NaN, "1"] as number[]) {
      expect(() => store.removeAll([1, key])).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
    }
    store.close();
    expect(contents()).toEqual([[1, [1]]]);
  });

  test("cut at every byte: every record that was whole is there, and the store goes on", () => {
    const store = new FileStore(path);
    const ends = [statSync(path).size];
    for (let i = 1; i <= history.length; i++) {
      const [key, record] = history[i - 1]!;
      record ? store.put(key, record) : store.remove(key);
      ends.push(statSync(path).size);
    }
    store.close();
    const whole = readFileSync(path);
    expect(ends.at(-1)).toBe(whole.length);
    for (let size = 0; size <= whole.length; size++) {
      writeFileSync(path, whole.subarray(0, size));
      const survived = Math.max(0, ends.filter((end) => end <= size).length - 1);
      expect(contents(), `cut at ${size}`).toEqual(expected(survived));
      const again = new FileStore(path);
      again.put(3, bytes(3));
      again.close();
      expect(contents(), `cut at ${size}`).toEqual([...expected(survived), [3, [3]]]);
    }
  });

  test("every flipped bit of every byte is found: refused, or the last record alone is cut", () => {
    const store = new FileStore(path);
    write(store);
    const last = statSync(path).size - 14 - 2 - 4;
    store.close();
    const whole = readFileSync(path);
    for (let at = 0; at < whole.length; at++) {
      for (const bit of [1, 16, 128]) {
        const damaged = Buffer.from(whole);
        damaged[at]! ^= bit;
        writeFileSync(path, damaged);
        // Only the last record can have been torn by a loss of power.
        if (at < last) expect(contents, `byte ${at}`).toThrow(storeError);
        else expect(contents(), `byte ${at}`).toEqual(expected(history.length - 1));
      }
    }
  });

  test("a tail of zeros, as a loss of power leaves it, is cut", () => {
    const store = new FileStore(path);
    write(store);
    store.close();
    const { size } = statSync(path);
    truncateSync(path, size + 5_000);
    expect(contents()).toEqual(expected(history.length));
    expect(statSync(path).size).toBe(size);
  });

  test("a file that is not a store is refused and left as it is", () => {
    writeFileSync(path, "somebody's precious notes");
    expect(() => new FileStore(path)).toThrow(storeError);
    expect(readFileSync(path, "utf8")).toBe("somebody's precious notes");
    expect(existsSync(`${path}.lock`)).toBe(false);
    expect(() => new FileStore(join(folder, "none", "here"))).toThrow(storeError);
  });

  test("garbage is compacted away: a long life in a small file", () => {
    const store = new FileStore(path);
    const payload = new Uint8Array(1_000).fill(7);
    store.put(1, payload);
    let largest = 0;
    for (let key = 2; key < 3_000; key++) {
      store.put(key, payload);
      if (key > 20) store.remove(key - 10);
      largest = Math.max(largest, statSync(path).size);
    }
    expect(largest).toBeLessThan(600_000);
    const before = [...store.load()].map(([key]) => key);
    expect(before.slice(0, 3)).toEqual([1, 2, 3]);
    expect(before.length).toBe(1 + 9 + 10);
    store.close();
    expect(contents().map(([key]) => key)).toEqual(before);
    expect(readdirSync(folder)).toEqual(["session", "session.spare"]);
  });

  test("an emptied file shrinks at once", () => {
    const store = new FileStore(path);
    for (let key = 1; key < 400; key++) store.put(key, new Uint8Array(1_000));
    for (let key = 1; key < 400; key++) store.remove(key);
    expect(statSync(path).size).toBeLessThan(100);
    store.close();
    expect(contents()).toEqual([]);
  });

  test("a torn last record that crosses pages is cut, whatever its payload looks like", () => {
    const store = new FileStore(path, { fsync: true });
    for (const key of [70_001, 70_003, 70_005]) store.put(key, new Uint8Array(1_300).fill(65));
    const durable = readFileSync(path);
    // A payload that holds a whole store, from this file's own places on: its records are not ours.
    store.put(70_007, Buffer.concat([durable, durable, durable]));
    store.close();
    const whole = readFileSync(path);
    for (let page = 1; page * 4096 <= whole.length; page++) {
      // Of the pages that the last record reaches one did not get to the disk.
      const torn = Buffer.from(whole).fill(0, Math.max(durable.length, (page - 1) * 4096), page * 4096);
      writeFileSync(path, torn);
      expect(
        contents().map(([key]) => key),
        `page ${page}`,
      ).toEqual([70_001, 70_003, 70_005]);
      expect(readFileSync(path).equals(durable)).toBe(true);
    }
    expect(readdirSync(folder)).toEqual(["session", "session.spare"]);
  });

  test("a payload that holds the records of another store, each at its own place, is no store", () => {
    const head = 16 + 14;
    const other = new FileStore(`${path}-other`);
    other.put(1, new Uint8Array(10));
    other.put(2, bytes(1));
    other.close();
    const payload = readFileSync(`${path}-other`).subarray(head);
    const store = new FileStore(path);
    store.put(1, payload);
    store.close();
    const torn = readFileSync(path);
    expect(torn.subarray(head, head + payload.length).equals(payload)).toBe(true);
    writeFileSync(path, torn.fill(0, 16, head));
    expect(contents()).toEqual([]);
  });

  test("a damaged file is set aside, untouched, by a name that the error tells", () => {
    const store = new FileStore(path);
    write(store);
    store.close();
    const damaged = readFileSync(path);
    damaged[40]! ^= 1;
    writeFileSync(path, damaged);
    expect(() => new FileStore(path)).toThrow(
      expect.objectContaining({ code: "ERR_STORE", message: expect.stringContaining(`${path}.damaged-1`) }),
    );
    expect(readFileSync(`${path}.damaged-1`).equals(damaged)).toBe(true);
    expect(contents()).toEqual([]);
  });

  test("with fsync each change and each new name is made durable, without it none", () => {
    const synced: string[] = [];
    const real = { fsyncSync: fs.fsyncSync, fdatasyncSync: fs.fdatasyncSync };
    const watched = (name: keyof typeof real) => (file: number) => {
      synced.push(fs.fstatSync(file).isDirectory() ? "folder" : "file");
      real[name](file);
    };
    Object.assign(fs, { fsyncSync: watched("fsyncSync"), fdatasyncSync: watched("fdatasyncSync") });
    syncBuiltinESMExports();
    try {
      const store = new FileStore(path, { fsync: true });
      expect(synced.splice(0)).toEqual(["file", "folder"]);
      store.put(1, bytes(1));
      store.remove(1);
      expect(synced.splice(0)).toEqual(["file", "file"]);
      store.clear();
      expect(synced.splice(0)).toEqual(["file", "folder"]);
      store.close();
      const quick = new FileStore(path);
      write(quick);
      quick.clear();
      quick.close();
      expect(synced).toEqual([]);
    } finally {
      Object.assign(fs, real);
      syncBuiltinESMExports();
    }
  });

  test("wrong arguments are told before anything is touched; a path that can't be used is ERR_STORE", () => {
    const invalid = expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" });
    for (const wrong of [undefined, null, 5, {}, Buffer.from(path), new URL("file:///x")]) {
      expect(() => new FileStore(wrong as never)).toThrow(invalid);
    }
    const throws = Object.defineProperty({}, "fsync", { enumerable: true, get: () => path.repeat(-1) });
    for (const wrong of [
      null,
      5,
      "fsync",
      [],
      { fsync: 1 },
      { fsync: null },
      { fSync: true },
      { sync: true },
      throws,
    ]) {
      expect(() => new FileStore(path, wrong as never)).toThrow(invalid);
    }
    expect(readdirSync(folder)).toEqual([]);
    for (const wrong of [folder, "", "a\0b", join(folder, "x".repeat(300)), join(folder, "none", "x"), "/dev/null"]) {
      expect(() => new FileStore(wrong), wrong).toThrow(storeError);
    }
    new FileStore(path, {}).close();
    const store = new FileStore(path, { fsync: undefined });
    for (const wrong of [undefined, null, "1", 0, -1, 1.5, NaN, Infinity, 2 ** 47 + 1, 1n]) {
      expect(() => store.put(wrong as never, bytes(1))).toThrow(invalid);
      expect(() => store.remove(wrong as never)).toThrow(invalid);
    }
    for (const wrong of [undefined, null, "text", 5, [1], new ArrayBuffer(1), { length: 1 }]) {
      expect(() => store.put(1, wrong as never)).toThrow(invalid);
    }
    expect([...store.load()]).toEqual([]);
    store.close();
    expect(readdirSync(folder)).toEqual(["session"]);
  });

  test("a compaction that was killed leaves a whole file", () => {
    const store = new FileStore(path);
    write(store);
    store.close();
    writeFileSync(`${path}.new`, "half of a new fi");
    expect(contents()).toEqual(expected(history.length));
  });

  test("one store at a time: the file is locked against this process and others, and given back", () => {
    const store = new FileStore(path);
    expect(() => new FileStore(path)).toThrow(storeError);
    store.close();
    store.close();
    expect(() => store.put(1, bytes(1))).toThrow(storeError);
    expect(() => store.clear()).toThrow(storeError);
    new FileStore(path).close();
    expect(readdirSync(folder)).toEqual(["session"]);
  });

  test("the lock of a live process holds, that of a dead one does not", async () => {
    const other = spawn(process.execPath, ["-e", "process.stdin.resume()"], { stdio: ["pipe", "ignore", "ignore"] });
    await once(other, "spawn");
    const identity = existsSync(`/proc/${other.pid}/stat`)
      ? readFileSync(`/proc/${other.pid}/stat`, "latin1")
          .replace(/^.*\) /s, "")
          .split(" ")[19]
      : "running";
    writeFileSync(`${path}.lock`, `${other.pid} ${identity}`);
    expect(() => new FileStore(path)).toThrow(storeError);
    other.kill("SIGKILL");
    await once(other, "exit");
    new FileStore(path).close();
    // A process of the same number, but another one.
    writeFileSync(`${path}.lock`, `${process.ppid} 1`);
    if (existsSync("/proc/self/stat")) new FileStore(path).close();
    // This process, which has no such store open: it had the number of the one that was killed.
    writeFileSync(`${path}.lock`, `${process.pid} 1`);
    new FileStore(path).close();
  });
});
