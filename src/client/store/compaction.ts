/**
 * A new file for the live records of one that is mostly garbage, made a little at a time beside the changes that go on.
 *
 * Invariants: the file grows by about one budget a step, however much is live. Keys are copied in the order of the
 * index that is copied, and what changed behind the copying is written again, so that at the end `places` is that
 * index, in its order. The name changes hands only when all is there and durable, so at every moment the path names
 * one whole file.
 */
import { type Disk, writeAll } from "./disk.js";
import { encodeRecord, fileHead, FILE_HEAD, type Place } from "./records.js";

/** Bytes after which what was written is made durable, so that the end has little left to do. */
const SYNC_EACH = 0x40000;

export class Compaction {
  readonly file: number;
  readonly salt: number;
  /** The new index. */
  readonly places = new Map<number, Place>();
  size = FILE_HEAD;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #durable: boolean;
  readonly #source: ReadonlyMap<number, Place>;
  readonly #copied: Iterator<[number, Place]>;
  #allCopied = false;
  /** Keys put after they, or all, were copied; in order. */
  readonly #changed = new Set<number>();
  /** Keys that went after they were copied. */
  readonly #removed: number[] = [];
  #unsynced = 0;

  /** `path` is the new file's, `source` the live index of the old one. */
  constructor(disk: Disk, path: string, durable: boolean, salt: number, source: ReadonlyMap<number, Place>) {
    this.#disk = disk;
    this.#path = path;
    this.#durable = durable;
    this.salt = salt;
    this.#source = source;
    this.#copied = source.entries();
    disk.remove(path);
    this.file = disk.open(path, true);
    try {
      writeAll(disk, this.file, fileHead(salt), 0);
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  /** To be called after each change of the source. */
  changed(key: number): void {
    if (this.#source.has(key)) {
      if (this.#allCopied || this.places.has(key)) this.#changed.add(key);
    } else {
      this.#changed.delete(key);
      if (this.places.delete(key)) this.#removed.push(key);
    }
  }

  /**
   * Copies `budget` bytes, or one record if that is longer; true when nothing is left. `read` returns the body of a
   * record of the source.
   */
  step(budget: number, read: (key: number, place: Place) => Uint8Array): boolean {
    const pieces: Uint8Array[] = [];
    let { size } = this;
    let done = false;
    while (!done && size - this.size < budget) {
      const removed = this.#removed.pop();
      const key = removed ?? this.#next();
      if (key === undefined) done = true;
      else {
        const place = removed === undefined ? (this.#source.get(key) as Place) : undefined;
        const bytes = encodeRecord(this.salt, size, key, place && read(key, place));
        if (place) this.places.set(key, { at: size, length: bytes.length });
        pieces.push(bytes);
        size += bytes.length;
      }
    }
    writeAll(this.#disk, this.file, pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces), this.size);
    this.#unsynced += size - this.size;
    this.size = size;
    if (this.#unsynced >= SYNC_EACH) this.sync();
    return done;
  }

  /** Makes what was copied durable. */
  sync(): void {
    try {
      this.#disk.sync(this.file);
    } catch (error) {
      // Node's permission model has no fsync; who did not ask for it is not to have a file that only grows.
      if (this.#durable || (error as NodeJS.ErrnoException).code !== "ERR_ACCESS_DENIED") throw error;
    }
    this.#unsynced = 0;
  }

  /** Gives the new file up. */
  abandon(): void {
    try {
      this.#disk.close(this.file);
    } finally {
      this.#disk.remove(this.#path);
    }
  }

  /** The next key to copy. */
  #next(): number | undefined {
    if (!this.#allCopied) {
      const { value, done } = this.#copied.next();
      if (!done) return value[0];
      this.#allCopied = true;
    }
    for (const key of this.#changed) {
      this.#changed.delete(key);
      return key;
    }
    return undefined;
  }
}
