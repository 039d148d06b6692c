/**
 * One store at a time has a file: its lock.
 *
 * The lock is a folder, `<path>.lock`, in which one entry stands whose name says who holds it. Invariants: whoever
 * wants it makes a folder of his own with his entry and renames it to the lock's name, which no file system does over
 * a folder that isn't empty: of any number that start at once, one gets it. An entry's name is used once, so
 * removing the entry of a dead holder, by however many at once, never hits a live one. A holder is dead only if that can be
 * told for sure; otherwise the lock is refused with an error that says how to remove it.
 *
 * Who holds it is a thread: its process and thread number, its start (a number is used again), the run of the kernel and
 * the process namespace in which those numbers hold; all from /proc. A holder in a container is seen from another one by
 * the pipe that its entry is: it can be opened for writing only while somebody has it open for reading. Where the
 * system has no /proc (macOS, Windows) a lock holds while a process of that number lives.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { HubwireError } from "../../errors.js";
import { codeOf, failed } from "./disk.js";

/** A thread; the parts of an entry's name, in this order, with a random part behind them. `-`: can't be told. */
type Holder = readonly [pid: string, thread: string, start: string, kernel: string, space: string];

type Verdict = "live" | "dead" | "unknown";

/** The process namespace of a machine's own, in which no container is (PROC_PID_INIT_INO of Linux). */
const MACHINE = "4026531836";
/** File systems that more than one kernel may have mounted: NFS, SMB, 9P, FUSE, Ceph, Lustre, GFS2, OCFS2, AFS, VirtualBox. */
const SHARED = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x65735546, 0x00c36400, 0x0bd00bd0, 0x01161970, 0x7461636f,
  0x5346414f, 0x786f4256,
]);
const TRIES = 100;

/** When a task of /proc started, in ticks; undefined where it has ended and is only waited for. Throws where there is none. */
function startOf(task: string): string | undefined {
  // Behind the name, which may hold spaces and brackets: the state, and the start as field 22 of all.
  const fields = fs
    .readFileSync(`/proc/${task}/stat`, "latin1")
    .replace(/^.*\) /s, "")
    .split(" ");
  return /[ZX]/.test(fields[0] as string) ? undefined : fields[19];
}

/** The thread that runs. */
function self(): Holder {
  try {
    const kernel = fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1").replace(/[^0-9a-f]/g, "");
    const space = fs.readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
    const [pid, , thread] = fs.readlinkSync("/proc/thread-self").split("/");
    const start = startOf(`${pid}/task/${thread}`);
    if (pid && thread && start && kernel && space) return [pid, thread, start, kernel, space];
  } catch {
    // No /proc, or no leave to read it.
  }
  return [String(process.pid), "-", String(processStart()), "-", "-"];
}

/** When this process started, by the clock of `hrtime`, in ms; the same in all its threads but for some rounding. */
function processStart(): number {
  return Math.round(Number(process.hrtime.bigint()) / 1e6 - process.uptime() * 1e3);
}

/** Whether a process of this number lives: also one that we may not signal. */
function processLives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH";
  }
}

function judgeThread([pid, thread, start]: Holder): Verdict {
  try {
    return startOf(`${pid}/task/${thread}`) === start ? "live" : "dead";
  } catch (error) {
    if (codeOf(error) !== "ENOENT" && codeOf(error) !== "ESRCH") return "unknown";
  }
  // The thread is gone, or all of the process, or /proc hides other users' processes.
  return fs.existsSync(`/proc/${pid}`) || !processLives(+pid) ? "dead" : "unknown";
}

/** A holder in another container: its pipe tells. */
function judgePipe(entry: string): Verdict {
  try {
    if (!fs.lstatSync(entry).isFIFO()) return "unknown";
    fs.closeSync(fs.openSync(entry, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK));
    return "live";
  } catch (error) {
    return codeOf(error) === "ENXIO" || codeOf(error) === "ENOENT" ? "dead" : "unknown";
  }
}

/** A holder under another run of a kernel: this machine before it was started anew, unless others can have the files too. */
function judgeKernel(entry: string): Verdict {
  try {
    // Not in Node before 18.15.
    const system = (fs as { statfsSync?: typeof fs.statfsSync }).statfsSync?.(entry);
    return system && SHARED.has(system.type) ? "unknown" : "dead";
  } catch (error) {
    return codeOf(error) === "ENOENT" ? "dead" : "unknown";
  }
}

/** Without /proc. */
function judgeProcess([pid, , start]: Holder): Verdict {
  // There /proc could be read, or containers may give one number twice.
  if (process.platform === "linux") return "unknown";
  if (+pid !== process.pid) return processLives(+pid) ? "unknown" : "dead";
  return Math.abs(+start - processStart()) <= 5 ? "live" : "dead";
}

function judge(entry: string, name: string): Verdict {
  const holder = name.split(".") as unknown as Holder;
  const [, , , kernel, space] = self();
  if (holder.length < 6 || !/^\d+$/.test(holder[0])) return "unknown";
  if (kernel === "-" && holder[3] === "-") return judgeProcess(holder);
  if (kernel === "-" || holder[3] === "-") return "unknown";
  if (holder[3] !== kernel) return judgeKernel(entry);
  return holder[4] === space ? judgeThread(holder) : judgePipe(entry);
}

/** The lock of the store at a path, held from its making to `release`. */
export class Lock {
  readonly #folder: string;
  readonly #name: string;
  #pipe = -1;

  /** `path` must be the file's one true path. Throws ERR_STORE. */
  constructor(path: string) {
    const token = randomBytes(8).toString("hex");
    const me = self();
    this.#folder = `${path}.lock`;
    this.#name = [...me, token].join(".");
    const own = `${this.#folder}-${token}`;
    try {
      fs.mkdirSync(own, 0o700);
      this.#announce(join(own, this.#name), me);
      this.#enter(own);
    } catch (error) {
      this.#drop(own);
      throw error instanceof HubwireError ? error : failed("the store's lock can't be made", error);
    }
  }

  /** Gives the lock back. */
  release(): void {
    try {
      fs.rmSync(join(this.#folder, this.#name), { force: true });
      removeEmpty(this.#folder);
    } catch (error) {
      throw failed("the store's lock can't be given back", error);
    } finally {
      this.#closePipe();
    }
  }

  /** Removes what was made for a lock that wasn't got. */
  #drop(own: string): void {
    try {
      this.#closePipe();
      fs.rmSync(own, { recursive: true });
    } catch {
      // The error that led here is told; an entry outside of the lock's folder excludes nobody.
    }
  }

  /** Makes the entry: a pipe, held open, where others may not see our process. */
  #announce(entry: string, [, , , , space]: Holder): void {
    if (space !== "-" && space !== MACHINE && makePipe(entry)) {
      this.#pipe = fs.openSync(entry, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    } else fs.closeSync(fs.openSync(entry, "wx", 0o600));
  }

  #enter(own: string): void {
    let refused: unknown;
    for (let tries = 0; tries < TRIES; tries++) {
      try {
        return fs.renameSync(own, this.#folder);
      } catch (error) {
        // Over NFS it may have been done all the same.
        if (fs.existsSync(join(this.#folder, this.#name))) return;
        refused = error;
      }
      this.#clear();
    }
    throw refused;
  }

  /** Removes what dead holders left; throws where a live one has the lock. */
  #clear(): void {
    let names: string[];
    try {
      names = fs.readdirSync(this.#folder);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return;
      if (codeOf(error) === "ENOTDIR") return this.#clearFile();
      throw error;
    }
    for (const name of names) {
      const entry = join(this.#folder, name);
      this.#check(judge(entry, name), name.split(".")[0] as string);
      fs.rmSync(entry, { force: true });
    }
    removeEmpty(this.#folder);
  }

  /** The lock of version 0.1.0 was a file, "<pid> <start>". That is never made again, so it can't be a live one's later. */
  #clearFile(): void {
    try {
      const [pid = "", start = ""] = fs.readFileSync(this.#folder, "latin1").split(" ");
      // Stryker disable next-line Regex: of what is no number nothing can be told either.
      this.#check(/^\d+$/.test(pid) ? judgeThread([pid, pid, start, "", ""]) : "unknown", pid);
      fs.unlinkSync(this.#folder);
    } catch (error) {
      // Otherwise another starter removed it, and may have the lock by now.
      if (fs.lstatSync(this.#folder, { throwIfNoEntry: false })?.isFile()) throw error;
    }
  }

  #check(verdict: Verdict, pid: string): void {
    if (verdict === "live") throw failed(`the store is in use by process ${pid}`);
    if (verdict === "unknown") {
      throw failed(
        `the store may be in use by process ${pid} (of another container, machine or user; whether it lives can't be ` +
          `told from here): if it does not, remove ${this.#folder}`,
      );
    }
  }

  #closePipe(): void {
    if (this.#pipe >= 0) fs.closeSync(this.#pipe);
    this.#pipe = -1;
  }
}

/** Removes a folder, unless something is in it or it is gone. */
function removeEmpty(folder: string): void {
  try {
    fs.rmdirSync(folder);
  } catch (error) {
    if (!["ENOENT", "ENOTEMPTY", "EEXIST"].includes(codeOf(error) ?? "")) throw error;
  }
}

/** Node can't make a named pipe, the program of the system can; false where there is none, or no leave to start it. */
function makePipe(path: string): boolean {
  try {
    return spawnSync("mkfifo", ["-m", "600", path], { stdio: "ignore" }).status === 0;
  } catch {
    return false;
  }
}
