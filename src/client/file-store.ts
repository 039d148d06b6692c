/**
 * `hubwire/file-store`: a session store in one file. A sub-path of its own, so that a device without one does not
 * load it.
 *
 * Invariants: a file has one store at a time (store/lock.ts); what it holds is as store/record-file.ts says; every
 * argument is checked before the disk is touched; nothing but a `HubwireError` leaves.
 */
import { readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { checkOptions, checkValue } from "../check.js";
import { isBytes } from "../codec/values.js";
import { SessionStore } from "../session/journal.js";
import { failed, systemDisk } from "./store/disk.js";
import { Lock } from "./store/lock.js";
import { RecordFile } from "./store/record-file.js";
import { MAX_KEY } from "./store/records.js";
import { Spare } from "./store/spare.js";

/** How a `FileStore` keeps its file. */
export interface FileStoreOptions {
  /** Wait for the disk at each change, so that records survive a loss of power too. Default false. */
  fsync?: boolean | undefined;
}

const RULES = { fsync: "boolean" };

/**
 * A `SessionStore` in the file at `path`, which is made where there is none.
 *
 * What `put` and `remove` returned from survives the kill of the process, and with `fsync` the loss of power too. What
 * they threw for (ERR_STORE, e.g. because the disk is full) is not stored at all, and the store can be used on.
 * A record that is read back is checked; a damaged file is renamed to `<path>.damaged-<n>`, which the ERR_STORE
 * names, and the next `FileStore` of the path begins anew.
 *
 * One store at a time has a file, whatever names, threads, processes and containers lead to it; another is refused with
 * ERR_STORE. What a killed process left is taken over. Whether the holder in another container lives is told by a pipe
 * that the `mkfifo` program makes; without it, and on a file system that several machines share, the error says which folder to
 * remove. Containers must share the file's folder, not the file alone, and a file with hard links is refused.
 *
 * On a full disk a message is refused, and those that were accepted still go through and give their room back: `<path>.spare`,
 * some 64 KiB and more with many messages, keeps room for what is to be written then.
 *
 * Beside the file come and go `<path>.lock` (a folder), `<path>.lock-<random>`, `<path>.new` and `<path>.spare`. Under Node's permission
 * model the store needs `--allow-fs-read` and `--allow-fs-write` of the folder's files (`/folder/*`), and
 * `--allow-fs-read=/proc/*` to tell that a lock is left over (without that, a left-over lock is refused). Node has no fsync
 * there: with `fsync` the store is refused, without it a compaction is no longer safe from a loss of power.
 */
export class FileStore extends SessionStore {
  readonly #records: RecordFile;
  #lock: Lock | undefined;

  /** Takes the lock and opens the file. Throws ERR_INVALID_ARGUMENT, and ERR_STORE where the path can't be used. */
  constructor(path: string, options?: FileStoreOptions) {
    super();
    checkValue(path, "string", "the path of FileStore");
    const { fsync = false } = checkOptions(options, RULES, "FileStore");
    const file = truePath(path);
    this.#lock = new Lock(file);
    try {
      this.#records = new RecordFile(systemDisk, file, fsync, new Spare(systemDisk, `${file}.spare`));
    } catch (error) {
      this.#lock.release();
      throw error;
    }
  }

  override load(): Iterable<readonly [key: number, record: Uint8Array]> {
    return this.#records.load();
  }

  override put(key: number, record: Uint8Array): void {
    checkValue(key, [1, MAX_KEY], "the key of a record");
    if (!isBytes(record)) checkValue(record, "Uint8Array", "a record");
    this.#records.put(key, record);
  }

  override remove(key: number): void {
    checkValue(key, [1, MAX_KEY], "the key of a record");
    this.#records.remove(key);
  }

  override removeAll(keys: readonly number[]): void {
    // A look first: there may be many.
    for (const key of keys) {
      if (!(Number.isInteger(key) && key > 0 && key <= MAX_KEY)) checkValue(key, [1, MAX_KEY], "the key of a record");
    }
    this.#records.removeAll(keys);
  }

  /** Forgets everything. */
  clear(): void {
    this.#records.clear();
  }

  /** Gives the file and its lock back; calling it again does nothing. */
  override close(): void {
    const lock = this.#lock;
    this.#lock = undefined;
    try {
      this.#records.close();
    } finally {
      lock?.release();
    }
  }
}

/** The one path of a file that several may lead to; it need not be there yet. */
function truePath(path: string): string {
  try {
    let name = resolve(path);
    // A link that leads to nothing yet is followed to where the file will be.
    for (let links = 0; links < 40; links++) {
      try {
        return realpathSync.native(name);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
      const folder = realpathSync.native(dirname(name));
      name = join(folder, basename(name));
      try {
        name = resolve(folder, readlinkSync(name));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "ENOENT") return name;
        // It came to be in this moment.
        if (code !== "EINVAL") throw error;
      }
    }
  } catch (error) {
    throw failed("the store's path can't be used", error);
  }
  throw failed("the store's path is a ring of links");
}
