/**
 * The few calls that a store makes of a file system. The tests put another in their place: one that fails, writes
 * short, or loses power between any two calls.
 *
 * Invariant: nothing here tries again or looks away; what a failure means is the caller's to know.
 */
import * as fs from "node:fs";
import { dirname } from "node:path";
import { HubwireError } from "../../errors.js";

export interface Disk {
  /** Opens a file to read and write, and makes it where there is none; with `fresh` there must be none. */
  open(path: string, fresh?: boolean): number;
  /** Bytes. */
  size(file: number): number;
  /** Reads to fill `bytes`; returns how many came, fewer before the end of the file, 0 at it. */
  read(file: number, bytes: Uint8Array, position: number): number;
  /** Returns how many were written, perhaps fewer than there are. */
  write(file: number, bytes: Uint8Array, position: number): number;
  truncate(file: number, size: number): void;
  /** Makes the file's content and size durable, its name not. */
  sync(file: number): void;
  /** Makes the names in the folder of `path` durable. */
  syncFolder(path: string): void;
  rename(from: string, to: string): void;
  /** Removes the file, if there is one. */
  remove(path: string): void;
  exists(path: string): boolean;
  close(file: number): void;
}

/** The error of everything that a store can't do. */
export function failed(message: string, cause?: unknown): HubwireError {
  return new HubwireError("ERR_STORE", message, cause === undefined ? {} : { cause });
}

/** Of what a call of the file system threw. */
export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;

/** Opens a regular file that has one name: under another one a second store would look for another lock. */
function open(path: string, fresh = false): number {
  const { O_CREAT, O_EXCL, O_NONBLOCK = 0, O_RDWR } = fs.constants;
  const file = fs.openSync(path, O_RDWR | O_CREAT | O_NONBLOCK | (fresh ? O_EXCL : 0), 0o600);
  const stat = fs.fstatSync(file);
  if (stat.isFile() && stat.nlink <= 1) return file;
  fs.closeSync(file);
  throw failed(
    stat.isFile()
      ? `the store's file has ${stat.nlink} names (hard links): remove all but one`
      : "the path is not a file",
  );
}

function syncFolder(path: string): void {
  // There a folder can't be opened, and names are made durable by the system.
  if (process.platform === "win32") return;
  const folder = fs.openSync(dirname(path), "r");
  try {
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
}

/** The system's own. */
export const systemDisk: Disk = {
  open,
  size: (file) => fs.fstatSync(file).size,
  read: (file, bytes, position) => fs.readSync(file, bytes, 0, bytes.length, position),
  write: (file, bytes, position) => fs.writeSync(file, bytes, 0, bytes.length, position),
  truncate: (file, size) => fs.ftruncateSync(file, size),
  sync: (file) => fs.fdatasyncSync(file),
  syncFolder,
  rename: (from, to) => fs.renameSync(from, to),
  remove: (path) => fs.rmSync(path, { force: true }),
  exists: (path) => fs.existsSync(path),
  close: (file) => fs.closeSync(file),
};

/** Writes all of `bytes`. */
export function writeAll(disk: Disk, file: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) {
    const count = disk.write(file, bytes.subarray(done), position + done);
    if (count === 0) throw failed("the disk takes no more");
    done += count;
  }
}

/** Reads exactly `length` bytes. */
export function readAll(disk: Disk, file: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const count = disk.read(file, bytes.subarray(done), position + done);
    if (count === 0) throw failed("the store's file was cut by somebody else");
    done += count;
  }
  return bytes;
}
