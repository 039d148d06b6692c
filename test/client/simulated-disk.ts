/**
 * A disk of the tests' own, which loses power, kills its process, fails and writes short at chosen calls.
 *
 * The model: what is read is what was written last. Until a file is synced, the disk has for each of its pages any of
 * the contents that it had since the last time, and for its size any of the sizes, each chosen for itself; so pages come
 * in any order, or never, and a file is shorter or longer than its pages. A name leads, until its folder is synced, to
 * any of the files that it led to.
 */
import type { Disk } from "../../src/client/store/disk.js";
import type { Random } from "../support/random.js";

/** What ends the program in the middle of a call: nothing of the store's catches it for good. */
export class Ended extends Error {}

/** What happens at a call: it fails, having done a part or nothing; or the program ends, having done so. */
export type Fault = "fail" | "end";

type Call = Exclude<keyof Disk, "size" | "exists">;

interface Versions<T> {
  /** What the disk may have, the oldest first; the last is what is read. */
  values: T[];
}

interface Inode {
  readonly pages: Versions<Buffer>[];
  readonly size: Versions<number>;
}

const current = <T>({ values }: Versions<T>): T => values.at(-1) as T;
const settle = (versions: Versions<unknown>): void => void versions.values.splice(0, versions.values.length - 1);

export class SimulatedDisk implements Disk {
  readonly #random: Random;
  readonly #pageSize: number;
  readonly #names = new Map<string, Versions<Inode | undefined>>();
  readonly #open = new Map<number, Inode>();
  #lastFile = 0;
  /** Asked at each call. */
  fault: (call: Call) => Fault | undefined = () => undefined;
  /** Calls that do nothing although they say so. */
  lies = new Set<Call>();
  /** Bytes that all files may have together. */
  room = Infinity;
  /** Bytes that a file may have. */
  limit = Infinity;
  /** Told where a write had no room. */
  onFull = (): void => {};
  /** Whether the program has ended: nothing it does afterwards counts. */
  #ended = false;
  /** How often each call was made. */
  readonly calls = new Map<Call, number>();

  constructor(random: Random, pageSize: number) {
    this.#random = random;
    this.#pageSize = pageSize;
  }

  /** The names of all files. */
  get files(): string[] {
    return [...this.#names].filter(([, file]) => current(file)).map(([name]) => name);
  }

  get openFiles(): number {
    return this.#open.size;
  }

  /** Changes a byte of a file, here and on the disk. */
  damage(path: string, at: number, bits: number): void {
    const page = this.#inode(path).pages[Math.floor(at / this.#pageSize)] as Versions<Buffer>;
    settle(page);
    const bytes = current(page);
    bytes[at % this.#pageSize]! ^= bits;
  }

  sizeOf(path: string): number {
    return current(this.#inode(path).size);
  }

  /** The system has written everything to the disk. */
  settle(): void {
    if (this.#ended) return;
    for (const name of this.#names.values()) {
      for (const inode of name.values) if (inode) this.#settleFile(inode);
      settle(name);
    }
  }

  /** The program is gone; its files are closed, and what it wrote is where it was. */
  restart(): void {
    this.#ended = false;
    this.#open.clear();
  }

  /** The machine is gone: what is read from now on is what the disk happens to have. */
  losePower(): void {
    this.restart();
    const choose = <T>(versions: Versions<T>): void => void (versions.values = [this.#random.pick(versions.values)]);
    for (const name of this.#names.values()) {
      choose(name);
      const inode = current(name);
      if (!inode) continue;
      choose(inode.size);
      inode.pages.forEach((page, index) => {
        choose(page);
        // What stands behind the end of a file is not its content.
        const kept = Math.max(0, current(inode.size) - index * this.#pageSize);
        page.values = [Buffer.from(current(page)).fill(0, Math.min(kept, this.#pageSize))];
      });
    }
  }

  open(path: string, fresh = false): number {
    this.#call("open");
    const name = this.#names.get(path);
    let inode = name && current(name);
    if (inode && fresh) throw new Error("EEXIST");
    if (!inode) {
      inode = { pages: [], size: { values: [0] } };
      this.#point(path, inode);
    }
    this.#open.set(++this.#lastFile, inode);
    return this.#lastFile;
  }

  size(file: number): number {
    return current(this.#file(file).size);
  }

  read(file: number, bytes: Uint8Array, position: number): number {
    const inode = this.#file(file);
    this.#call("read");
    const most = Math.max(0, Math.min(bytes.length, current(inode.size) - position));
    const count = most > 1 && this.#random.below(8) === 0 ? 1 + this.#random.below(most) : most;
    this.#eachPage(position, count, (page, from, length, done) => {
      bytes.set(current(inode.pages[page]!).subarray(from, from + length), done);
    });
    return count;
  }

  write(file: number, bytes: Uint8Array, position: number): number {
    const inode = this.#file(file);
    const part = (): void => void this.#write(inode, bytes.subarray(0, this.#random.below(bytes.length + 1)), position);
    this.#call("write", part);
    const short = bytes.length > 1 && this.#random.below(8) === 0;
    if (bytes.length > 0 && position >= this.limit) throw Object.assign(new Error("file too large"), { code: "EFBIG" });
    const most = Math.min(bytes.length, this.limit - position, this.#roomAt(current(inode.size) - position));
    if (most <= 0 && bytes.length > 0) {
      this.onFull();
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    }
    const count = short ? 1 + this.#random.below(most) : most;
    this.#write(inode, bytes.subarray(0, count), position);
    return count;
  }

  truncate(file: number, size: number): void {
    const inode = this.#file(file);
    const shorten = (): void => {
      inode.pages.forEach((page, index) => {
        const kept = size - index * this.#pageSize;
        if (kept < this.#pageSize) page.values.push(Buffer.from(current(page)).fill(0, Math.max(0, kept)));
      });
      inode.size.values.push(size);
    };
    if (this.#call("truncate", this.#random.below(2) ? shorten : undefined)) shorten();
  }

  sync(file: number): void {
    const inode = this.#file(file);
    if (this.#call("sync")) this.#settleFile(inode);
  }

  syncFolder(): void {
    if (this.#call("syncFolder")) for (const name of this.#names.values()) settle(name);
  }

  rename(from: string, to: string): void {
    const rename = (): void => {
      this.#point(to, this.#inode(from));
      this.#point(from, undefined);
    };
    this.#call("rename", this.#random.below(2) ? rename : undefined);
    rename();
  }

  remove(path: string): void {
    this.#call("remove");
    if (this.exists(path)) this.#point(path, undefined);
  }

  exists(path: string): boolean {
    const name = this.#names.get(path);
    return !!name && current(name) !== undefined;
  }

  close(file: number): void {
    this.#file(file);
    // A file that can't be closed in order is closed all the same.
    this.#call("close", () => this.#open.delete(file));
    this.#open.delete(file);
  }

  /** How much may be written where there are so many bytes already. */
  #roomAt(already: number): number {
    if (this.room === Infinity) return Infinity;
    const files = new Set([...this.#open.values(), ...[...this.#names.values()].map(current)]);
    let taken = 0;
    for (const file of files) if (file) taken += current(file.size);
    return Math.max(0, already) + this.room - taken;
  }

  #inode(path: string): Inode {
    const name = this.#names.get(path);
    const inode = name && current(name);
    if (!inode) throw new Error(`ENOENT ${path}`);
    return inode;
  }

  #file(file: number): Inode {
    const inode = this.#open.get(file);
    if (!inode && !this.#ended) throw new Error(`EBADF ${file}`);
    return inode ?? { pages: [], size: { values: [0] } };
  }

  #point(path: string, inode: Inode | undefined): void {
    const name = this.#names.get(path);
    if (name) name.values.push(inode);
    else this.#names.set(path, { values: [undefined, inode] });
  }

  #settleFile(inode: Inode): void {
    settle(inode.size);
    for (const page of inode.pages) settle(page);
  }

  /** False where the call is to do nothing; `part` is what it does before it fails. */
  #call(call: Call, part?: () => void): boolean {
    this.calls.set(call, (this.calls.get(call) ?? 0) + 1);
    if (this.#ended) throw new Ended();
    const fault = this.fault(call);
    if (fault) {
      part?.();
      if (fault === "fail") throw Object.assign(new Error(`${call} fails`), { code: "EIO" });
      this.#ended = true;
      throw new Ended();
    }
    return !this.lies.has(call);
  }

  #write(inode: Inode, bytes: Uint8Array, position: number): void {
    this.#eachPage(position, bytes.length, (page, from, length, done) => {
      while (inode.pages.length <= page) inode.pages.push({ values: [Buffer.alloc(this.#pageSize)] });
      const versions = inode.pages[page]!;
      const next = Buffer.from(current(versions));
      next.set(bytes.subarray(done, done + length), from);
      versions.values.push(next);
    });
    const end = position + bytes.length;
    if (bytes.length > 0 && end > current(inode.size)) inode.size.values.push(end);
  }

  #eachPage(
    position: number,
    length: number,
    visit: (page: number, from: number, length: number, done: number) => void,
  ): void {
    for (let done = 0; done < length;) {
      const from = (position + done) % this.#pageSize;
      const count = Math.min(this.#pageSize - from, length - done);
      visit(Math.floor((position + done) / this.#pageSize), from, count, done);
      done += count;
    }
  }
}
