/** The few calls that a store makes of a file system: what they do of the system's, and what writes and reads all. */
import { execFileSync } from "node:child_process";
import {
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Disk, failed, readAll, systemDisk, writeAll } from "../../src/client/store/disk.js";

const folder = mkdtempSync(join(tmpdir(), "hubwire-disk-"));
afterAll(() => rmSync(folder, { recursive: true }));
let last = 0;
const fresh = (): string => join(folder, `file-${++last}`);

/** A disk that takes and gives so many bytes at a time. */
const slow = (most: number): Disk => ({
  ...systemDisk,
  read: (file, bytes, position) => systemDisk.read(file, bytes.subarray(0, most), position),
  write: (file, bytes, position) => systemDisk.write(file, bytes.subarray(0, most), position),
});

test("a failure has its cause, where there is one", () => {
  const cause = new Error("why");
  expect(failed("no", cause)).toMatchObject({ code: "ERR_STORE", message: "no", cause });
  expect(failed("no")).not.toHaveProperty("cause");
});

describe("all of it", () => {
  test("is written and read, however little the disk does at a time, where it belongs", () => {
    const path = fresh();
    const file = systemDisk.open(path);
    writeAll(slow(3), file, Buffer.from("0123456789"), 0);
    writeAll(slow(3), file, Buffer.from("abcd"), 5);
    writeAll(slow(3), file, Buffer.alloc(0), 50);
    expect(readFileSync(path, "utf8")).toBe("01234abcd9");
    expect(readAll(slow(3), file, 4, 5).toString()).toBe("4abcd");
    expect(readAll(slow(3), file, 10, 0)).toHaveLength(0);
    systemDisk.close(file);
  });

  test("or an error, where the disk takes no more, or has no more", () => {
    const path = fresh();
    const file = systemDisk.open(path);
    expect(() => writeAll(slow(0), file, Buffer.from("x"), 0)).toThrow(
      expect.objectContaining({ code: "ERR_STORE", message: "the disk takes no more" }),
    );
    writeAll(systemDisk, file, Buffer.from("abc"), 0);
    expect(() => readAll(systemDisk, file, 1, 3)).toThrow(
      expect.objectContaining({ code: "ERR_STORE", message: "the store's file was cut by somebody else" }),
    );
    systemDisk.close(file);
  });
});

describe("the system's disk", () => {
  test("opens what is there or makes it, for its owner alone; fresh, only what is not there", () => {
    const path = fresh();
    const file = systemDisk.open(path, true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    writeAll(systemDisk, file, Buffer.from("abc"), 0);
    systemDisk.close(file);
    const again = systemDisk.open(path);
    expect(systemDisk.size(again)).toBe(3);
    systemDisk.truncate(again, 1);
    systemDisk.sync(again);
    expect(systemDisk.size(again)).toBe(1);
    systemDisk.close(again);
    expect(() => systemDisk.open(path, true)).toThrow(/EEXIST/);
  });

  test.skipIf(process.platform === "win32")("refuses what is no file of one name, and keeps nothing open", () => {
    const [path, other, pipe] = [fresh(), fresh(), fresh()];
    writeFileSync(path, "");
    linkSync(path, other);
    execFileSync("mkfifo", [pipe]);
    const isOpen = (): boolean =>
      process.platform === "linux" &&
      readdirSync("/proc/self/fd").some((fd) => {
        try {
          return [path, other, pipe].includes(readlinkSync(`/proc/self/fd/${fd}`));
        } catch {
          // The folder's own, which is closed by now.
          return false;
        }
      });
    expect(() => systemDisk.open(path)).toThrow(
      expect.objectContaining({ code: "ERR_STORE", message: expect.stringContaining("2 names") as string }),
    );
    expect(() => systemDisk.open(pipe)).toThrow(
      expect.objectContaining({ code: "ERR_STORE", message: "the path is not a file" }),
    );
    expect(isOpen()).toBe(false);
  });

  test("renames, removes what may not be there, and makes names durable", () => {
    const [from, to] = [fresh(), fresh()];
    systemDisk.close(systemDisk.open(from));
    systemDisk.rename(from, to);
    expect([systemDisk.exists(from), systemDisk.exists(to)]).toEqual([false, true]);
    systemDisk.syncFolder(to);
    systemDisk.remove(to);
    systemDisk.remove(to);
    expect(systemDisk.exists(to)).toBe(false);
    if (process.platform !== "win32") expect(() => systemDisk.syncFolder(join(to, "x"))).toThrow(/ENOENT/);
  });
});
