/** Who has a store's lock, by what is written in it: told for sure, or refused with how to go on. */
import childProcess, { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Lock } from "../../src/client/store/lock.js";

let home: string;
let path: string;
let folder: string;
const undo: (() => void)[] = [];

beforeEach(() => {
  home = fs.mkdtempSync(join(tmpdir(), "hubwire-lock-"));
  path = join(home, "session");
  folder = `${path}.lock`;
});
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step();
  fs.rmSync(home, { recursive: true });
});

/** Another file system, until the test is over. */
function change<Name extends keyof typeof fs>(name: Name, to: (real: (typeof fs)[Name]) => unknown): void {
  const real = fs[name];
  Object.assign(fs, { [name]: to(real) });
  syncBuiltinESMExports();
  undo.push(() => {
    Object.assign(fs, { [name]: real });
    syncBuiltinESMExports();
  });
}

const failing = (code: string): never => {
  throw Object.assign(new Error(code), { code });
};

/** /proc as its text says, or none. */
function proc(answer: (file: string) => string | undefined): void {
  for (const name of ["readFileSync", "readlinkSync"] as const) {
    change(name, (real) => (file: string, ...rest: unknown[]): unknown => {
      const text = String(file).startsWith("/proc") ? answer(file) : undefined;
      return text ?? (real as (...all: unknown[]) => unknown)(file, ...rest);
    });
  }
}

function onPlatform(name: string): void {
  const real = process.platform;
  Object.defineProperty(process, "platform", { value: name });
  undo.push(() => Object.defineProperty(process, "platform", { value: real }));
}

/** The parts of the name by which this thread holds a lock. */
function mine(): string[] {
  const lock = new Lock(path);
  const [name] = fs.readdirSync(folder);
  lock.release();
  return name!.split(".");
}

/** Leaves an entry in the lock. */
function left(...parts: (string | undefined)[]): string {
  const entry = join(folder, parts.join("."));
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(entry, "");
  return entry;
}

const inUse = (pid: unknown): unknown =>
  expect.objectContaining({ code: "ERR_STORE", message: `the store is in use by process ${pid}` });
const perhaps = (pid: unknown): unknown =>
  expect.objectContaining({
    code: "ERR_STORE",
    message: expect.stringMatching(new RegExp(`may be in use by process ${pid} .* remove .*\\.lock$`)),
  });
const lockedBy = (): string => {
  try {
    return (new Lock(path).release(), "nobody");
  } catch (error) {
    const { message } = error as Error;
    return message.includes("may be in use") ? "perhaps" : message.includes("is in use") ? "somebody" : message;
  }
};

/** The number of a process that has ended. */
async function ended(): Promise<string> {
  const child = spawn(process.execPath, ["-e", ""], { stdio: "ignore" });
  await once(child, "exit");
  return String(child.pid);
}

test("is a folder with one entry while it is held, and nothing after it", () => {
  const lock = new Lock(path);
  expect(fs.readdirSync(home)).toEqual(["session.lock"]);
  expect(fs.readdirSync(folder)).toHaveLength(1);
  expect(() => new Lock(path)).toThrow(inUse(process.pid));
  expect(fs.readdirSync(home), "who was refused leaves nothing").toEqual(["session.lock"]);
  lock.release();
  expect(fs.readdirSync(home)).toEqual([]);
  lock.release();
});

test("of a folder that is not there can't be made, nor given back where the disk refuses", () => {
  expect(() => new Lock(join(home, "none", "x"))).toThrow(
    expect.objectContaining({ code: "ERR_STORE", message: "the store's lock can't be made" }),
  );
  const lock = new Lock(path);
  change("rmdirSync", () => () => failing("EIO"));
  expect(() => lock.release()).toThrow(
    expect.objectContaining({ code: "ERR_STORE", message: "the store's lock can't be given back" }),
  );
});

test("what another starter puts into it meanwhile is not removed by who gives it back", () => {
  const lock = new Lock(path);
  const other = left("other");
  lock.release();
  expect(fs.readdirSync(folder)).toEqual([other.slice(folder.length + 1)]);
});

test("a rename that was done although it failed, as over NFS, is a lock that was got", () => {
  change("renameSync", (real) => (from: fs.PathLike, to: fs.PathLike): void => {
    real(from, to);
    failing("EIO");
  });
  new Lock(path).release();
  expect(fs.readdirSync(home)).toEqual([]);
});

test("a folder that is always taken by the time it was emptied is given up, with the reason", () => {
  change("renameSync", () => () => failing("ENOTEMPTY"));
  expect(() => new Lock(path)).toThrow(
    expect.objectContaining({
      message: "the store's lock can't be made",
      cause: expect.objectContaining({ code: "ENOTEMPTY" }),
    }),
  );
  expect(fs.readdirSync(home)).toEqual([]);
});

test("a folder that can't be read keeps the store shut", () => {
  left("x");
  change("readdirSync", () => () => failing("EACCES"));
  expect(() => new Lock(path)).toThrow(
    expect.objectContaining({
      message: "the store's lock can't be made",
      cause: expect.objectContaining({ code: "EACCES" }),
    }),
  );
});

test("a name that no store writes is nobody's that can be told", () => {
  for (const name of ["x", "12", "12.12.5.a", "x.1.1.a.b.c", "1x.1.1.a.b.c", "x1.1.1.a.b.c"]) {
    const entry = left(name);
    expect(lockedBy(), name).toBe("perhaps");
    fs.rmSync(entry);
  }
});

describe.skipIf(process.platform !== "linux")("by /proc", () => {
  test("a thread of this run of the kernel holds it while it lives, and under its own start only", async () => {
    const [pid, thread, start, kernel, space] = mine();
    left(pid, thread, start, kernel, space, "t");
    expect(() => new Lock(path)).toThrow(inUse(pid));
    fs.rmSync(folder, { recursive: true });
    for (const [somebody, task, since] of [
      [pid, thread, "1"],
      [pid, "1", start],
      [await ended(), "1", start],
    ]) {
      left(somebody, task, since, kernel, space, "t");
      new Lock(path).release();
      expect(fs.readdirSync(home)).toEqual([]);
    }
  });

  test("a task that has ended and is only waited for holds nothing, whatever its name is", () => {
    const [pid, thread, start, kernel, space] = mine();
    const stat = fs
      .readFileSync(`/proc/${pid}/task/${thread}/stat`, "latin1")
      .replace(/^.*\) /s, "")
      .slice(2);
    for (const [state, outcome] of [
      ["R", "somebody"],
      ["Z", "nobody"],
      ["X", "nobody"],
    ]) {
      left("77", "77", start, kernel, space, "t");
      proc((file) => (file === "/proc/77/task/77/stat" ? `77 (a) Z (b) ${state} ${stat}` : undefined));
      expect(lockedBy(), state).toBe(outcome);
    }
  });

  test("a process that /proc hides is perhaps there", () => {
    const [, , start, kernel, space] = mine();
    left("77", "77", start, kernel, space, "t");
    const hide = (code: string): void => proc((file) => (file.startsWith("/proc/77") ? failing(code) : undefined));
    hide("EACCES");
    expect(() => new Lock(path)).toThrow(perhaps(77));
    for (const code of ["ENOENT", "ESRCH"]) {
      hide(code);
      change("existsSync", (real) => (file: fs.PathLike) => file !== "/proc/77" && real(file));
      const { kill } = process;
      undo.push(() => (process.kill = kill));
      process.kill = () => failing("EPERM");
      expect(() => new Lock(path)).toThrow(perhaps(77));
      process.kill = () => true;
      expect(() => new Lock(path)).toThrow(perhaps(77));
      process.kill = (pid) => pid !== 77 || failing("ESRCH");
      new Lock(path).release();
      left("77", "77", start, kernel, space, "t");
      process.kill = () => true;
      change("existsSync", (real) => (file: fs.PathLike) => file === "/proc/77" || real(file));
      new Lock(path).release();
      left("77", "77", start, kernel, space, "t");
    }
  });

  test("one of another run of the kernel is gone, unless machines share the files", () => {
    const [pid, thread, start, , space] = mine();
    const other = (): string => left(pid, thread, start, "0ab", space, "t");
    const statfs = (answer: () => unknown): void => change("statfsSync", () => answer);
    for (const [type, outcome] of [
      [0xef53, "nobody"],
      [0x6969, "perhaps"],
      [0x65735546, "perhaps"],
    ]) {
      other();
      statfs(() => ({ type }));
      expect(lockedBy(), String(type)).toBe(outcome);
    }
    other();
    statfs(() => failing("EACCES"));
    expect(lockedBy()).toBe("perhaps");
    statfs(() => failing("ENOENT"));
    expect(lockedBy()).toBe("nobody");
    other();
    change("statfsSync", () => undefined);
    expect(lockedBy(), "Node before 18.15").toBe("nobody");
  });

  test("one of another container is told by the pipe that it holds open", () => {
    const [pid, thread, start, kernel] = mine();
    const entry = left(pid, thread, start, kernel, "1", "t");
    expect(lockedBy(), "no pipe").toBe("perhaps");
    fs.rmSync(entry);
    spawnSync("mkfifo", [entry]);
    const reader = fs.openSync(entry, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
    expect(lockedBy()).toBe("somebody");
    change(
      "openSync",
      (real) =>
        (file: fs.PathLike, ...rest: [fs.OpenMode]) =>
          file === entry ? failing("EACCES") : real(file, ...rest),
    );
    expect(lockedBy(), "not ours to open").toBe("perhaps");
    undo.pop()?.();
    fs.closeSync(reader);
    expect(lockedBy()).toBe("nobody");
    left(pid, thread, start, kernel, "1", "t");
    change("lstatSync", (real) => (file: fs.PathLike, ...rest: []) => {
      if (file === entry && fs.existsSync(entry)) fs.unlinkSync(entry);
      return real(file, ...rest);
    });
    expect(lockedBy(), "gone meanwhile").toBe("nobody");
  });

  test("in a container the entry is a pipe, held open until the lock is given back", () => {
    const kindOf = (space: string): string => {
      proc((file) => (file === "/proc/self/ns/pid" ? `pid:[${space}]` : undefined));
      const lock = new Lock(path);
      const entry = join(folder, fs.readdirSync(folder)[0]!);
      const isPipe = fs.lstatSync(entry).isFIFO();
      const write = (): void => fs.closeSync(fs.openSync(entry, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK));
      if (isPipe) write();
      const copy = join(home, "copy");
      fs.linkSync(entry, copy);
      lock.release();
      const outcome = isPipe ? codeOf(() => fs.openSync(copy, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK)) : "";
      fs.rmSync(copy);
      return `${isPipe ? "pipe" : "file"} ${outcome}`;
    };
    expect(kindOf("4026531836")).toBe("file ");
    expect(kindOf("4026532000")).toBe("pipe ENXIO");
  });

  test.each<[string, () => unknown]>([
    ["for want of leave", () => failing("ERR_ACCESS_DENIED")],
    ["for want of the program", () => ({ status: null })],
  ])("in a container where no pipe can be made it is a file (%s)", (_what, start) => {
    proc((file) => (file === "/proc/self/ns/pid" ? "pid:[4026532000]" : undefined));
    const real = childProcess.spawnSync;
    Object.assign(childProcess, { spawnSync: start });
    syncBuiltinESMExports();
    undo.push(() => {
      Object.assign(childProcess, { spawnSync: real });
      syncBuiltinESMExports();
    });
    const lock = new Lock(path);
    expect(fs.lstatSync(join(folder, fs.readdirSync(folder)[0]!)).isFile()).toBe(true);
    lock.release();
  });

  test("what a thread is known by is the kernel's, all of it or nothing", () => {
    const [pid, thread, start, kernel, space] = mine();
    expect(kernel).toBe(fs.readFileSync("/proc/sys/kernel/random/boot_id", "latin1").replaceAll(/[-\n]/g, ""));
    expect(`pid:[${space}]`).toBe(fs.readlinkSync("/proc/self/ns/pid"));
    expect(`${pid}/task/${thread}`).toBe(fs.readlinkSync("/proc/thread-self"));
    expect(start).toMatch(/^\d+$/);
    for (const [name, text] of [
      ["/proc/sys/kernel/random/boot_id", "\n"],
      ["/proc/self/ns/pid", "pid:[]"],
      ["/proc/thread-self", "12"],
      [`/proc/${pid}/task/${thread}/stat`, "1 (a) Z 1"],
    ] as const) {
      proc((file) => (file === name ? text : undefined));
      expect(mine().slice(3, 5), name).toEqual(["-", "-"]);
      for (const step of undo.splice(0).reverse()) step();
    }
  });

  test("one that could not read /proc is perhaps there, for one that can", () => {
    left(String(process.pid), "-", "1", "-", "-", "t");
    expect(lockedBy()).toBe("perhaps");
    onPlatform("darwin");
    expect(lockedBy()).toBe("perhaps");
  });

  test("a program without leave to read /proc, or without one, takes no lock of a program that could", () => {
    const holder = mine();
    left(...holder);
    proc(() => failing("EACCES"));
    expect(() => new Lock(path)).toThrow(perhaps(holder[0]));
  });
});

describe("without /proc", () => {
  beforeEach(() => {
    proc(() => failing("ENOENT"));
    onPlatform("darwin");
  });

  test("this process holds it by its start, another one while its number is used", async () => {
    const [pid, thread, start, kernel, space] = mine();
    expect([pid, thread, kernel, space]).toEqual([String(process.pid), "-", "-", "-"]);
    const lock = new Lock(path);
    expect(fs.lstatSync(join(folder, fs.readdirSync(folder)[0]!)).isFile()).toBe(true);
    lock.release();
    const about = (by: number): string => String(Number(start) + by);
    for (const [somebody, since, outcome] of [
      [pid, about(0), "somebody"],
      [pid, about(3), "somebody"],
      [pid, about(-3), "somebody"],
      [pid, about(50), "nobody"],
      [pid, about(-50), "nobody"],
      [String(process.ppid), start, "perhaps"],
      [await ended(), start, "nobody"],
    ] as const) {
      const entry = left(somebody, "-", since, "-", "-", "t");
      expect(lockedBy(), entry).toBe(outcome);
      fs.rmSync(folder, { recursive: true, force: true });
    }
    left(pid, "-", start, "0ab", "1", "t");
    expect(lockedBy(), "who could read /proc").toBe("perhaps");
  });

  test("on Linux, nothing is told for sure", () => {
    onPlatform("linux");
    left(String(process.pid), "-", "1", "-", "-", "t");
    expect(lockedBy()).toBe("perhaps");
  });
});

describe("the file that version 0.1.0 made", () => {
  test("of nobody that can be told, it holds", () => {
    fs.writeFileSync(folder, "garbage");
    expect(() => new Lock(path)).toThrow(perhaps("garbage"));
    fs.writeFileSync(folder, "12x 1");
    expect(() => new Lock(path)).toThrow(perhaps("12x"));
  });

  test.skipIf(process.platform !== "linux")("of a process that is gone, it is removed", async () => {
    fs.writeFileSync(folder, `${await ended()} 1`);
    new Lock(path).release();
    expect(fs.readdirSync(home)).toEqual([]);
  });

  test("that another starter removed meanwhile is no trouble", () => {
    fs.writeFileSync(folder, "garbage");
    change("readFileSync", (real) => (file: fs.PathOrFileDescriptor, ...rest: []) => {
      if (file !== folder) return real(file, ...rest);
      fs.rmSync(folder);
      return failing("ENOENT");
    });
    new Lock(path).release();
  });
});

function codeOf(call: () => unknown): unknown {
  try {
    call();
    return "ok";
  } catch (error) {
    return (error as { code?: string }).code;
  }
}
