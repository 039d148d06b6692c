/**
 * Records in one file of a disk: what `FileStore` is, without arguments to check and without a lock.
 *
 * Invariants: changes are only ever appended. What `put` or `remove` returned from is in the file; with `durable` it is
 * on the disk, and so are the file's name and all that stands before. What they threw for is not: it is cut off at
 * once or, where that fails too, before anything else is written. So behind the last change that was accepted stands
 * at most one that was not, which is cut when the file is opened; a damaged record with a good one behind it was
 * accepted, and a file with such a one is set aside. A file gets shorter only at its end; everything else that
 * is to go goes by a new file (compaction.ts), because a power loss may keep any pages of a shortened one.
 */
import { randomBytes } from "node:crypto";
import { HubwireError } from "../../errors.js";
import { Compaction } from "./compaction.js";
import { type Disk, failed, readAll, writeAll } from "./disk.js";
import { encodeRecord, fileHead, FILE_HEAD, type Place, readFileHead, RecordReader } from "./records.js";
import { EACH, isFull, isTooLarge, type Spare } from "./spare.js";

/** Bytes below which compaction is not worth a new file. */
const COMPACT_FROM = 0x40000;
/** A file in which nothing is live is emptied from this size on, so that it isn't at each single message. */
const EMPTY_FROM = 0x4000;
/** Keys from which on their removal may be worth a new file. */
export const MANY = 8;
/** How many times as many numbers as keys there may be between the least and the greatest, for a byte each. */
const DENSE = 64;
/** Bytes copied beside each change while a compaction goes on: some 0.2 ms. */
const STEP = 0x10000;
/** Bytes beyond what is needed for which it is found out whether the file may become so large. */
const AHEAD = 0x100000;
/** Bytes of a record of which more may follow: less is what becomes of a message, for which room was kept. */
const MESSAGE = 8;
/** Bytes of live records of which a new file may be made on a full disk, of the room that was kept. */
const LITTLE = 0x4000;

export class RecordFile {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #durable: boolean;
  #file: number;
  #salt = 0;
  #reader: RecordReader;
  /** Bytes up to the end of the last accepted change. */
  #size = FILE_HEAD;
  /** Bytes of live records. */
  #live = 0;
  /** Live keys, in the order in which they were first put. */
  #index = new Map<number, Place>();
  /** Something that was not accepted may stand behind `#size`. */
  #torn = false;
  /** The file's name may not be durable yet. */
  #unnamed: boolean;
  #compaction: Compaction | undefined;
  /** No compaction below this size, unless no more than so many bytes are live: one failed. */
  #compactFrom = 0;
  #compactUpTo = 0;
  readonly #spare: Spare | undefined;
  /** The file may become so large, bytes. */
  #reach = 0;
  /** Why nothing works any more. */
  #broken: HubwireError | undefined;

  /** Opens the file at `path`, and makes it where there is none; closes `spare` with it. Throws ERR_STORE. */
  constructor(disk: Disk, path: string, durable: boolean, spare?: Spare) {
    this.#disk = disk;
    this.#path = path;
    this.#durable = this.#unnamed = durable;
    this.#spare = spare;
    try {
      this.#file = disk.open(path);
    } catch (error) {
      throw error instanceof HubwireError ? error : failed("the store's file can't be opened", error);
    }
    this.#reader = new RecordReader(disk, this.#file, 0);
    try {
      disk.remove(this.#newPath);
      this.#read();
      // What a killed process was about to make durable is read as if it were.
      if (durable) disk.sync(this.#file);
      this.#settle();
    } catch (error) {
      closeQuietly(disk, this.#file);
      throw error instanceof HubwireError ? error : failed("the store's file can't be read", error);
    }
  }

  /** All live records, in the order in which their keys were first put. */
  *load(): Iterable<readonly [key: number, body: Uint8Array]> {
    for (const key of [...this.#index.keys()]) {
      this.#check();
      const place = this.#index.get(key);
      if (place) yield [key, this.#body(key, place)];
    }
  }

  put(key: number, body: Uint8Array): void {
    const place = this.#append(key, body);
    this.#live += place.length - (this.#index.get(key)?.length ?? 0);
    this.#index.set(key, place);
    this.#compact(key, place.length);
  }

  remove(key: number): void {
    const place = this.#index.get(key);
    if (!place) return this.#check();
    this.#append(key, undefined);
    this.#live -= place.length;
    this.#index.delete(key);
    this.#compact(key, 0);
  }

  /** Removes these. Where it throws some may be left. */
  removeAll(keys: readonly number[]): void {
    if (keys.length < MANY) return keys.forEach((key) => this.remove(key));
    const isGone = isOneOf(keys);
    const kept = new Map<number, Place>();
    for (const [key, place] of this.#index) if (!isGone(key)) kept.set(key, place);
    // A new file of what is left, unless that is the greater work.
    if (kept.size * 2 <= this.#index.size) this.clear(kept);
    else keys.forEach((key) => this.remove(key));
  }

  /** Removes every record but these. Where it throws they are all there, or those and no others. */
  clear(kept: ReadonlyMap<number, Place> = new Map()): void {
    this.#check();
    try {
      this.#abandon();
      const compaction = new Compaction(this.#disk, this.#newPath, this.#durable, newSalt(), kept);
      this.#compaction = compaction;
      const read = (key: number, place: Place): Uint8Array => this.#body(key, place);
      while (!compaction.step(STEP, read)) continue;
      this.#replace(compaction);
      this.#live = compaction.size - FILE_HEAD;
    } catch (error) {
      this.#abandonQuietly();
      if (isFull(error) && bytesOf(kept) <= LITTLE && this.#spare?.spend()) return this.clear(kept);
      throw error instanceof HubwireError ? error : failed("the store can't be cleared", error);
    }
  }

  /** Gives the file back; nothing works after it. Calling it again does nothing. */
  close(): void {
    if (this.#file < 0) return;
    const file = this.#file;
    this.#file = -1;
    this.#spare?.close(this.#index.size === 0);
    try {
      this.#abandonQuietly();
      this.#settle(file);
    } catch (error) {
      closeQuietly(this.#disk, file);
      throw failed("the store may hold what was refused", error);
    } finally {
      this.#broken ??= failed("the store is closed");
    }
    try {
      this.#disk.close(file);
    } catch (error) {
      throw failed("the store can't be closed in order", error);
    }
  }

  get #newPath(): string {
    return `${this.#path}.new`;
  }

  #check(): void {
    if (this.#broken) throw this.#broken;
  }

  /** Reads the whole file into the index; sets it aside if it is damaged. */
  #read(): void {
    const size = this.#disk.size(this.#file);
    const head = readFileHead(readAll(this.#disk, this.#file, 0, Math.min(size, FILE_HEAD)), size);
    if (head === "foreign") throw failed("the file is not a store, or not one of this version");
    if (head === "damaged") throw this.#setAside(0);
    if (head === "new") return this.#begin();
    this.#salt = head.salt;
    const reader = new RecordReader(this.#disk, this.#file, head.salt);
    let at = FILE_HEAD;
    for (let found; (found = reader.find(at, size)); at += found.length) {
      this.#live -= this.#index.get(found.key)?.length ?? 0;
      if (found.removal) this.#index.delete(found.key);
      else {
        this.#live += found.length;
        this.#index.set(found.key, { at, length: found.length });
      }
    }
    this.#size = at;
    this.#torn = at < size;
    if (this.#torn && reader.anyBehind(at, size)) throw this.#setAside(at);
    this.#reader = new RecordReader(this.#disk, this.#file, head.salt);
  }

  /** Makes the file an empty store. */
  #begin(): void {
    this.#salt = newSalt();
    // Longer than anything that can be there.
    writeAll(this.#disk, this.#file, fileHead(this.#salt), 0);
    this.#reader = new RecordReader(this.#disk, this.#file, this.#salt);
  }

  /** Renames the damaged file, so that the path is free, and returns the error that says so. */
  #setAside(at: number): HubwireError {
    let number = 1;
    while (this.#disk.exists(`${this.#path}.damaged-${number}`)) number++;
    const name = `${this.#path}.damaged-${number}`;
    try {
      this.#disk.rename(this.#path, name);
    } catch (error) {
      return failed(`the store is damaged at byte ${at} and can't be set aside`, error);
    }
    return failed(`the store is damaged at byte ${at}; its file was set aside as ${name}`);
  }

  #body(key: number, place: Place): Uint8Array {
    let body;
    try {
      body = this.#reader.body(key, place, this.#size);
    } catch (error) {
      throw error instanceof HubwireError ? error : failed("the store can't be read", error);
    }
    if (!body) throw (this.#broken = this.#setAside(place.at));
    return body;
  }

  /** Finishes what earlier failures left to do before anything is accepted. */
  #settle(file = this.#file): void {
    this.#cut(file);
    if (this.#unnamed) this.#disk.syncFolder(this.#path);
    this.#unnamed = false;
  }

  /** Cuts what was not accepted. */
  #cut(file: number): void {
    if (!this.#torn) return;
    this.#disk.truncate(file, this.#size);
    if (this.#durable) this.#disk.sync(file);
    this.#torn = false;
  }

  /** Writes a change behind the last one. */
  #append(key: number, body: Uint8Array | undefined): Place {
    this.#check();
    const at = this.#size;
    const bytes = encodeRecord(this.#salt, at, key, body);
    const isMessage = !!body && body.length > MESSAGE;
    try {
      if (isMessage) this.#keepRoom(at + bytes.length, this.#index.size + 1);
      for (let isDone = false; !isDone;) isDone = this.#attempt(bytes, at, !isMessage);
    } catch (error) {
      throw failed("the store can't be written", error);
    }
    this.#size += bytes.length;
    return { at, length: bytes.length };
  }

  /** For what ends so many messages, of which the last one stands before `end`. Throws where there is no room. */
  #keepRoom(end: number, messages: number): void {
    this.#spare?.keep(messages);
    const needed = end + EACH * messages;
    if (!this.#spare || needed <= this.#reach) return;
    // A limit on the size of files is to be met by a message, and not by its end.
    for (const size of [needed + AHEAD, needed]) {
      try {
        this.#settle();
        this.#torn = true;
        writeAll(this.#disk, this.#file, Uint8Array.of(0), size - 1);
        this.#disk.truncate(this.#file, this.#size);
        this.#torn = false;
        this.#reach = size;
        return;
      } catch (error) {
        // Whatever else it is, the change itself will meet it.
        if (!isTooLarge(error)) return;
        if (size === needed) throw error;
      }
    }
  }

  /** Writes a record. False: there was no room, and is some now, for `mayMakeRoom`. */
  #attempt(bytes: Uint8Array, at: number, mayMakeRoom: boolean): boolean {
    try {
      this.#settle();
      this.#torn = true;
      writeAll(this.#disk, this.#file, bytes, at);
      if (this.#durable) this.#disk.sync(this.#file);
      this.#torn = false;
      return true;
    } catch (error) {
      try {
        this.#cut(this.#file);
      } catch {
        // It stays torn, and is cut before the next change or at the end.
      }
      if (mayMakeRoom && isFull(error) && this.#spare?.spend()) return false;
      throw error;
    }
  }

  /** After the change of a key: begins, goes on with or finishes a compaction where it is worth it. */
  #compact(key: number, appended: number): void {
    try {
      if (this.#compaction) this.#compaction.changed(key);
      else if (this.#worthIt()) {
        this.#compaction = new Compaction(this.#disk, this.#newPath, this.#durable, newSalt(), this.#index);
      } else return;
      // Faster than the file grows, so that there is an end.
      const step = Math.max(STEP, 2 * appended);
      if (this.#compaction.step(step, (copied, place) => this.#body(copied, place))) this.#replace(this.#compaction);
    } catch (error) {
      this.#abandonQuietly();
      if (isFull(error) && this.#live <= LITTLE && this.#spare?.spend()) return this.#compact(key, appended);
      // The change itself was accepted. Damage that was found is told by the next call; and what the disk
      // refused the new file costs nothing but room in the old one, which holds everything, until it is tried again.
      this.#compactFrom = this.#size + COMPACT_FROM;
      this.#compactUpTo = isFull(error) ? this.#live / 2 : -1;
    }
  }

  #worthIt(): boolean {
    if (this.#size < this.#compactFrom && this.#live > this.#compactUpTo) return false;
    return this.#index.size === 0
      ? this.#size > EMPTY_FROM
      : this.#size >= COMPACT_FROM && this.#live * 2 <= this.#size;
  }

  /** Puts a finished compaction's file in the place of this one. */
  #replace(compaction: Compaction): void {
    // Without `durable` too: what the old file had on the disk must not be lost with a new one that isn't there yet.
    if (this.#durable || compaction.places.size > 0) compaction.sync();
    try {
      this.#disk.rename(this.#newPath, this.#path);
    } catch (error) {
      // Over NFS it may have been done all the same.
      if (this.#disk.exists(this.#newPath)) throw error;
    }
    const old = this.#file;
    this.#compaction = undefined;
    this.#file = compaction.file;
    this.#salt = compaction.salt;
    this.#size = compaction.size;
    this.#index = compaction.places;
    this.#reader = new RecordReader(this.#disk, this.#file, this.#salt);
    if (this.#index.size === 0) this.#live = 0;
    this.#compactFrom = 0;
    this.#torn = false;
    this.#unnamed = this.#durable;
    closeQuietly(this.#disk, old);
    if (this.#unnamed) this.#settle();
  }

  /** Gives a compaction up. */
  #abandon(): void {
    const compaction = this.#compaction;
    this.#compaction = undefined;
    compaction?.abandon();
  }

  #abandonQuietly(): void {
    try {
      this.#abandon();
    } catch {
      // A left-over file is removed by the next compaction, or when the store is opened.
    }
  }
}

/** Of the records of an index. */
function bytesOf(index: ReadonlyMap<number, Place>): number {
  let bytes = 0;
  for (const { length } of index.values()) bytes += length;
  return bytes;
}

/** Whether a key is one of these, which mostly follow each other: a set of 200,000 takes ten times as long to be made. */
function isOneOf(keys: readonly number[]): (key: number) => boolean {
  let [least, most] = [Infinity, 0];
  for (const key of keys) {
    least = Math.min(least, key);
    most = Math.max(most, key);
  }
  if (most - least > DENSE * keys.length) {
    const all = new Set(keys);
    return (key) => all.has(key);
  }
  const flags = new Uint8Array(most - least + 1);
  for (const key of keys) flags[key - least] = 1;
  return (key) => flags[key - least] === 1;
}

/** Closes a file that nothing depends on any more: an error was told already, or another file has taken its place. */
function closeQuietly(disk: Disk, file: number): void {
  try {
    disk.close(file);
  } catch {
    // The system has let go of it all the same.
  }
}

const newSalt = (): number => randomBytes(4).readUInt32LE();
