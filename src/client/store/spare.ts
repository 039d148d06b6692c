/**
 * Room on the disk that a store keeps for itself: `<path>.spare`. On a full disk it is given back bit by bit, so that what
 * ends the messages that were accepted can still be written, and the store gets smaller again.
 *
 * Invariants: what is in the file means nothing; before a message is accepted there is room for what its end takes; it gets
 * smaller only where the disk is full. A disk on which it can't be made for another reason is done without.
 */
import { randomBytes } from "node:crypto";
import { codeOf, type Disk, writeAll } from "./disk.js";

/** Bytes by which it grows and shrinks; so many more than the live records need are there, for a new file of a few. */
const STEP = 0x8000;
/** Bytes that may follow one message: its state, its release, and their three removals. */
export const EACH = 128;

/** The disk's own, also where it is the cause of an ERR_STORE. */
const reasonOf = (error: unknown): string | undefined =>
  codeOf((error as { cause?: unknown } | undefined)?.cause ?? error);

/** Whether the disk, or the user's part of it, has no more room. */
export const isFull = (error: unknown): boolean => /^(ENOSPC|EDQUOT)$/.test(reasonOf(error) ?? "");

/** Whether the file may not become so large, on this file system or by the process's limit. */
export const isTooLarge = (error: unknown): boolean => reasonOf(error) === "EFBIG";

export class Spare {
  readonly #disk: Disk;
  readonly #path: string;
  #file = -1;
  #size = 0;
  #isGivenUp = false;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /** Makes it large enough for so many messages. Throws where the disk has no room for that. */
  keep(messages: number): void {
    const wanted = STEP * (1 + Math.ceil((messages * EACH) / STEP));
    if (this.#size >= wanted || this.#isGivenUp) return;
    try {
      this.#open();
      // None that a file system could make smaller.
      for (; this.#size < wanted; this.#size += STEP) writeAll(this.#disk, this.#file, randomBytes(STEP), this.#size);
    } catch (error) {
      const isRoom = isFull(error);
      this.#isGivenUp = !isRoom;
      this.#truncate();
      if (isRoom) throw error;
    }
  }

  /** Gives a part of it back. False where there is none, or that did not work. */
  spend(): boolean {
    try {
      if (this.#file < 0 && this.#disk.exists(this.#path)) this.#open();
    } catch {
      return false;
    }
    if (this.#size === 0) return false;
    this.#size = Math.max(0, this.#size - STEP);
    return this.#truncate();
  }

  /** `isOver`: nothing needs it any more. */
  close(isOver: boolean): void {
    try {
      if (this.#file >= 0) this.#disk.close(this.#file);
      if (isOver && this.#disk.exists(this.#path)) this.#disk.remove(this.#path);
    } catch {
      // It is found and used by the next store.
    }
  }

  #open(): void {
    if (this.#file >= 0) return;
    this.#file = this.#disk.open(this.#path);
    this.#size = this.#disk.size(this.#file);
  }

  /** Cuts the file to what counts as its size. */
  #truncate(): boolean {
    try {
      this.#disk.truncate(this.#file, this.#size);
      return true;
    } catch {
      return false;
    }
  }
}
