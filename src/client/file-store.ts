/**
 * `hubwire/file-store`: a session store in one file. A sub-path of its own, so that a device without one does not
 * load it.
 *
 * Invariants: the file is a mark and then records that are only ever appended, each with its own check sums.
 * What `put` or `remove` returned from has been handed to the operating system in one write, so it survives
 * the kill of the process; it survives a loss of power only with `fsync: true`. A last record that was not
 * written completely is cut at `load`; damage anywhere else is reported as ERR_STORE and never read as a
 * record or passed over. Compaction writes a new file, makes it durable and renames it over the old one, so
 * at every moment one whole file exists. One store at a time has the file: `<path>.lock` names its process.
 *
 * Record: body length (4 bytes), key (6), CRC-32 of these ten (4), body, CRC-32 of the body (4); integers
 * little endian. The length all ones, with no body, is the removal of the key.
 */
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { HubwireError } from "../errors.js";
import { SessionStore } from "../session/journal.js";

export interface FileStoreOptions {
  /** Wait for the disk at each change, so that records survive a loss of power too. Default false. */
  fsync?: boolean | undefined;
}

const MARK = Buffer.from("hubwire1");
const HEAD = 14;
const REMOVAL = 0xffffffff;
/** Bytes below which compaction is not worth a new file. */
const COMPACT_FROM = 0x40000;
/** A file in which nothing is live is emptied from this size on, so that it isn't at each single message. */
const TRUNCATE_FROM = 0x1000;

/** Files open in this process, by absolute path. */
const open = new Set<string>();

let table: Int32Array | undefined;

/** CRC-32 as in IEEE 802.3. */
function crc32(bytes: Uint8Array): number {
  table ??= Int32Array.from({ length: 256 }, (_, byte) => {
    for (let bit = 0; bit < 8; bit++) byte = (byte >>> 1) ^ (byte & 1 ? 0xedb88320 : 0);
    return byte;
  });
  let crc = -1;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

function failed(message: string, cause?: unknown): HubwireError {
  return new HubwireError("ERR_STORE", message, cause === undefined ? {} : { cause });
}

/** What tells a live process from another one of the same number; undefined where there is none. */
function processIdentity(pid: number): string | undefined {
  try {
    // The start time, field 22; the name before it may hold spaces and brackets.
    return readFileSync(`/proc/${pid}/stat`, "latin1")
      .replace(/^.*\) /s, "")
      .split(" ")[19];
  } catch {
    try {
      process.kill(pid, 0);
      return "running";
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "EPERM" ? "running" : undefined;
    }
  }
}

function record(key: number, body: Uint8Array | undefined): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD + (body ? body.length + 4 : 0));
  bytes.writeUInt32LE(body ? body.length : REMOVAL, 0);
  bytes.writeUIntLE(key, 4, 6);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 10)), 10);
  if (body) {
    bytes.set(body, HEAD);
    bytes.writeUInt32LE(crc32(body), HEAD + body.length);
  }
  return bytes;
}

/** A `SessionStore` in the file at `path`, which is made where there is none. */
export class FileStore extends SessionStore {
  readonly #path: string;
  readonly #fsync: boolean;
  #file = -1;
  #size = 0;
  /** Bytes of live records. */
  #liveBytes = 0;
  /** Key to the place of its record in the file, in the order in which the keys were first put. */
  readonly #index = new Map<number, { at: number; length: number }>();
  #broken: HubwireError | undefined;

  /** Takes the lock and opens the file. Throws ERR_STORE. */
  constructor(path: string, options: FileStoreOptions = {}) {
    super();
    this.#path = resolve(path);
    this.#fsync = options.fsync ?? false;
    this.#lock();
    try {
      this.#file = openSync(this.#path, "a+", 0o600);
      this.#read();
    } catch (error) {
      this.close();
      throw error instanceof HubwireError ? error : failed("the store's file can't be opened", error);
    }
  }

  override *load(): Iterable<readonly [key: number, record: Uint8Array]> {
    for (const [key, { at, length }] of this.#index) yield [key, this.#readAt(at + HEAD, length - HEAD - 4)];
  }

  override put(key: number, body: Uint8Array): void {
    const at = this.#append(record(key, body));
    this.#forget(key, false);
    this.#index.set(key, { at, length: this.#size - at });
    this.#liveBytes += this.#size - at;
    this.#compact();
  }

  override remove(key: number): void {
    if (!this.#index.has(key)) return;
    this.#append(record(key, undefined));
    this.#forget(key, true);
    this.#compact();
  }

  /** Forgets everything. */
  clear(): void {
    this.#check();
    this.#index.clear();
    this.#liveBytes = 0;
    this.#truncate(MARK.length);
  }

  /** Gives the file and its lock back; calling it again does nothing. */
  override close(): void {
    if (!open.delete(this.#path)) return;
    this.#broken ??= failed("the store is closed");
    if (this.#file >= 0) closeSync(this.#file);
    rmSync(`${this.#path}.lock`, { force: true });
  }

  #lock(): void {
    const lock = `${this.#path}.lock`;
    for (let attempt = 0; ; attempt++) {
      try {
        writeFileSync(lock, `${process.pid} ${processIdentity(process.pid)}`, { flag: "wx", mode: 0o600 });
        open.add(this.#path);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
          throw failed("the store's lock can't be made", error);
        }
        let holder = "";
        try {
          holder = readFileSync(lock, "latin1");
        } catch {
          // Given back in this moment.
        }
        const [pid = "", identity] = holder.split(" ");
        const mine = +pid === process.pid;
        const live = mine ? open.has(this.#path) : pid !== "" && processIdentity(+pid) === identity;
        if (live || attempt > 2) throw failed(`the store is in use by process ${pid}`);
        // Left behind by a process that was killed.
        rmSync(lock, { force: true });
      }
    }
  }

  /** Reads the whole file into the index and cuts a torn tail. */
  #read(): void {
    const bytes = readFileSync(this.#path);
    const { length } = bytes;
    if (!MARK.subarray(0, length).equals(bytes.subarray(0, MARK.length))) {
      throw failed("the file is not a store of this version");
    }
    if (length < MARK.length) {
      ftruncateSync(this.#file, 0);
      this.#append(MARK);
      if (this.#fsync) this.#syncFolder();
      return;
    }
    let at = MARK.length;
    while (at < length) {
      const rest = length - at;
      const head = bytes.subarray(at, at + HEAD);
      if (rest < HEAD) break;
      if (crc32(head.subarray(0, 10)) !== head.readUInt32LE(10)) {
        // A loss of power can leave the file longer than what was written to it.
        if (bytes.subarray(at).every((byte) => byte === 0)) break;
        throw failed(`the store is damaged at byte ${at}`);
      }
      const bodyLength = head.readUInt32LE(0);
      const key = head.readUIntLE(4, 6);
      if (bodyLength === REMOVAL) {
        this.#forget(key, true);
        at += HEAD;
        continue;
      }
      const end = at + HEAD + bodyLength + 4;
      if (end > length) break;
      if (crc32(bytes.subarray(at + HEAD, end - 4)) !== bytes.readUInt32LE(end - 4)) {
        if (end === length) break;
        throw failed(`the store is damaged at byte ${at}`);
      }
      this.#forget(key, false);
      this.#index.set(key, { at, length: end - at });
      this.#liveBytes += end - at;
      at = end;
    }
    this.#size = length;
    if (at < length) this.#truncate(at);
  }

  /** Stops counting a key's record; keeps the key's place in the order where it is put again. */
  #forget(key: number, removed: boolean): void {
    this.#liveBytes -= this.#index.get(key)?.length ?? 0;
    if (removed) this.#index.delete(key);
  }

  #check(): void {
    if (this.#broken) throw this.#broken;
  }

  /** Writes at the end of the file and returns where that was. */
  #append(bytes: Uint8Array): number {
    this.#check();
    const at = this.#size;
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(this.#file, bytes, done);
      if (this.#fsync) fdatasyncSync(this.#file);
    } catch (error) {
      // A part of a record must not stay in front of the next one.
      this.#truncate(at);
      throw failed("the store can't be written", error);
    }
    this.#size += bytes.length;
    return at;
  }

  #truncate(size: number): void {
    try {
      ftruncateSync(this.#file, size);
      if (this.#fsync) fdatasyncSync(this.#file);
      this.#size = size;
    } catch (error) {
      throw (this.#broken = failed("the store can't be written", error));
    }
  }

  #readAt(at: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length;) {
      const count = readSync(this.#file, bytes, done, length - done, at + done);
      if (!count) throw failed("the store's file was cut");
      done += count;
    }
    return bytes;
  }

  /** Writes the live records to a new file where more than half of this one is garbage. */
  #compact(): void {
    if (this.#index.size === 0 && this.#size > TRUNCATE_FROM) return this.#truncate(MARK.length);
    if (this.#size < COMPACT_FROM || this.#liveBytes * 2 > this.#size) return;
    const next = `${this.#path}.new`;
    let file = -1;
    try {
      file = openSync(next, "w+", 0o600);
      const places = new Map<number, { at: number; length: number }>();
      let size = writeSync(file, MARK);
      for (const [key, { at, length }] of this.#index) {
        const bytes = this.#readAt(at, length);
        for (let done = 0; done < length;) done += writeSync(file, bytes, done);
        places.set(key, { at: size, length });
        size += length;
      }
      fsyncSync(file);
      renameSync(next, this.#path);
      closeSync(this.#file);
      // Reopened to append whatever happens to the position.
      this.#file = openSync(this.#path, "a+");
      for (const [key, place] of places) this.#index.set(key, place);
      this.#size = size;
      this.#liveBytes = size - MARK.length;
      if (this.#fsync) this.#syncFolder();
    } catch (error) {
      throw (this.#broken = failed("the store can't be compacted", error));
    } finally {
      if (file >= 0) closeSync(file);
    }
  }

  /**
   * Makes the renaming durable. Not every platform lets a folder be opened; there the renaming is as good as
   * it gets.
   */
  #syncFolder(): void {
    let folder = -1;
    try {
      folder = openSync(dirname(this.#path), "r");
      fsyncSync(folder);
    } catch {
      // The old file and the new one hold the same records.
    } finally {
      if (folder >= 0) closeSync(folder);
    }
  }
}
