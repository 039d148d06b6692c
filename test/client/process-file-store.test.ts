/** Two stores never have one file: other threads, copies of the package, processes, containers and names of the file. */
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { rolldown } from "rolldown";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { FileStore } from "../../src/client/file-store.js";

const program = resolve(import.meta.dirname, "store-holder.mjs");
const linux = process.platform === "linux";
const container = ["--pid", "--fork", "--mount-proc", "--kill-child", "--user", "--map-root-user"];
/** Whether this system lets us make process namespaces, as containers are. */
const containers = linux && spawnSync("unshare", [...container, "true"]).status === 0;

let built: string;
let folder: string;
let path: string;
const running: (ChildProcess | Worker)[] = [];

beforeAll(async () => {
  built = mkdtempSync(join(tmpdir(), "hubwire-store-built-"));
  const bundle = await rolldown({
    input: resolve(import.meta.dirname, "../../src/client/file-store.ts"),
    external: /^node:/,
    platform: "node",
    resolve: { extensionAlias: { ".js": [".ts"] } },
  });
  for (const name of ["one.mjs", "two.mjs"]) await bundle.write({ file: join(built, name), format: "esm" });
  await bundle.close();
});
afterAll(() => rmSync(built, { recursive: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hubwire-store-"));
  path = join(folder, "session");
});
afterEach(async () => {
  for (const one of running.splice(0)) {
    if (one instanceof Worker) await one.terminate();
    else await kill(one);
  }
  rmSync(folder, { recursive: true });
});

const inUse = expect.stringMatching(/^ERR_STORE: the store is in use by process \d+$/);
const storeError = expect.objectContaining({ code: "ERR_STORE" });

async function ready<T extends ChildProcess | Worker>(one: T): Promise<T> {
  running.push(one);
  expect((await once(one, "message"))[0]).toBe("ready");
  return one;
}

const startProcess = (file = path): Promise<ChildProcess> => ready(fork(program, [join(built, "one.mjs"), file]));
const startThread = (): Promise<Worker> => ready(new Worker(program, { argv: [join(built, "one.mjs"), path] }));
const startContainer = (): Promise<ChildProcess> =>
  ready(
    spawn("unshare", [...container, process.execPath, program, join(built, "one.mjs"), path], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    }),
  );

async function tell(one: ChildProcess | Worker, order: "open" | "close", at = 0): Promise<string> {
  const answer = once(one, "message");
  if (one instanceof Worker) one.postMessage({ order, at });
  else one.send({ order, at });
  return (await answer)[0] as string;
}

/** Ends a process as it is, and waits until it has ended, in a container too. */
async function kill(one: ChildProcess): Promise<void> {
  if (one.exitCode !== null || one.signalCode !== null) return;
  const over = [once(one, "exit"), ...(one.connected ? [once(one, "disconnect")] : [])];
  one.kill("SIGKILL");
  await Promise.all(over);
}

describe("two stores never have one file", () => {
  test("in one thread, from two copies of the package", async () => {
    const copies = ["one.mjs", "two.mjs"].map((name) => import(pathToFileURL(join(built, name)).href));
    const [one, two] = (await Promise.all(copies)) as { FileStore: typeof FileStore }[];
    const store = new one!.FileStore(path);
    expect(() => new two!.FileStore(path)).toThrow(storeError);
    expect(() => new FileStore(path)).toThrow(storeError);
    store.close();
    new two!.FileStore(path).close();
    expect(readdirSync(folder)).toEqual(["session"]);
  });

  test("in two threads; a thread that was ended holds nothing", async () => {
    const [one, two] = [await startThread(), await startThread()];
    expect(await tell(one, "open")).toBe("done");
    expect(await tell(two, "open")).toEqual(inUse);
    expect(() => new FileStore(path)).toThrow(storeError);
    await one.terminate();
    expect(await tell(two, "open")).toBe("done");
    expect(await tell(two, "close")).toBe("done");
    expect(readdirSync(folder)).toEqual(["session"]);
  });

  test("in two processes; what a killed one left is taken over, while it is a zombie too", async () => {
    const [one, two] = [await startProcess(), await startProcess()];
    expect(await tell(one, "open")).toBe("done");
    expect(await tell(two, "open")).toEqual(inUse);
    await kill(one);
    expect(await tell(two, "open")).toBe("done");
    expect(() => new FileStore(path)).toThrow(storeError);
    // Its parent, this process, can't have waited for it yet.
    two.kill("SIGKILL");
    const slept = new Int32Array(new SharedArrayBuffer(4));
    let store: FileStore | undefined;
    for (let tries = 0; !store && tries < 1_000; tries++) {
      Atomics.wait(slept, 0, 0, 10);
      try {
        store = new FileStore(path);
      } catch (error) {
        expect(error).toEqual(storeError);
      }
    }
    expect(store).toBeDefined();
    store?.close();
    expect(readdirSync(folder)).toEqual(["session"]);
  });

  test("by two names: a link to the file, to its folder, to a file that isn't there yet, another spelling", () => {
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere);
    symlinkSync(folder, join(elsewhere, "folder"));
    symlinkSync("folder/session", join(elsewhere, "relative"));
    symlinkSync(path, join(elsewhere, "absolute"));
    const names = ["folder/session", "relative", "absolute", "../session"].map((name) => join(elsewhere, name));
    // The first goes by a link that leads to nothing.
    const store = new FileStore(names[1]!);
    for (const name of [path, ...names]) expect(() => new FileStore(name), name).toThrow(storeError);
    store.put(1, Uint8Array.of(1));
    store.close();
    for (const name of [path, ...names]) {
      const again = new FileStore(name);
      expect([...again.load()].length).toBe(1);
      expect(() => new FileStore(path)).toThrow(storeError);
      again.close();
    }
    expect(readdirSync(folder)).toEqual(["elsewhere", "session"]);
  });

  test("by a second hard link, which is refused", () => {
    const store = new FileStore(path);
    linkSync(path, join(folder, "other"));
    expect(() => new FileStore(join(folder, "other"))).toThrow(storeError);
    store.close();
    expect(() => new FileStore(path)).toThrow(expect.objectContaining({ message: expect.stringContaining("2 names") }));
    rmSync(join(folder, "other"));
    new FileStore(path).close();
  });

  test.each(["nothing", "a dead process", "version 0.1.0"])(
    "of four that start in one moment one gets it; left over: %s",
    async (what) => {
      const starters = await Promise.all(Array.from({ length: 4 }, () => startProcess()));
      let entry = "";
      if (what === "a dead process") {
        const dead = await startProcess();
        expect(await tell(dead, "open")).toBe("done");
        await kill(dead);
        entry = readdirSync(`${path}.lock`)[0] as string;
        rmSync(`${path}.lock`, { recursive: true });
      }
      for (let round = 0; round < 50; round++) {
        if (entry) {
          mkdirSync(`${path}.lock`);
          writeFileSync(join(`${path}.lock`, entry), "");
        } else if (what !== "nothing") writeFileSync(`${path}.lock`, "4194000 12345");
        const at = Date.now() + 5;
        const answers = await Promise.all(starters.map((one) => tell(one, "open", at)));
        expect(answers.filter((answer) => answer === "done").length, answers.join("\n")).toBe(1);
        for (const answer of answers) if (answer !== "done") expect(answer).toEqual(inUse);
        expect(await Promise.all(starters.map((one) => tell(one, "close")))).toEqual(Array(4).fill("done"));
        expect(readdirSync(folder)).toEqual(["session"]);
      }
    },
  );

  test.runIf(containers)("in two containers, in which both have one number; a killed one holds nothing", async () => {
    const [one, two] = [await startContainer(), await startContainer()];
    expect(await tell(one, "open")).toBe("done");
    expect(readdirSync(`${path}.lock`)[0]).toMatch(/^1\./);
    expect(await tell(two, "open")).toBe(`ERR_STORE: the store is in use by process 1`);
    expect(() => new FileStore(path)).toThrow(storeError);
    await kill(one);
    expect(await tell(two, "open")).toBe("done");
    await kill(two);
    // Started anew: a container of its own again.
    const three = await startContainer();
    expect(await tell(three, "open")).toBe("done");
    expect(await tell(three, "close")).toBe("done");
    expect(readdirSync(folder)).toEqual(["session"]);
  });

  test.runIf(containers)("where nothing tells whether the holder lives, the error says what to remove", async () => {
    const store = new FileStore(path);
    const one = await startContainer();
    const answer = await tell(one, "open");
    expect(answer).toMatch(new RegExp(`^ERR_STORE: the store may be in use by process ${process.pid} `));
    expect(answer).toContain(`remove ${path}.lock`);
    store.close();
    expect(await tell(one, "open")).toBe("done");
  });

  test.runIf(linux)("left by another start of the machine it is taken over; by nobody we know it is not", () => {
    const lock = `${path}.lock`;
    new FileStore(path);
    const [pid, thread, start, , space, token] = (readdirSync(lock)[0] as string).split(".");
    rmSync(lock, { recursive: true });
    mkdirSync(lock);
    writeFileSync(join(lock, [pid, thread, start, "0123456789abcdef0123456789abcdef", space, token].join(".")), "");
    new FileStore(path).close();
    expect(existsSync(lock)).toBe(false);

    for (const name of ["something", "1.2.3", ".1.1.1.1.1", `1.-.1.-.-.${token}`]) {
      mkdirSync(lock);
      writeFileSync(join(lock, name), "");
      expect(() => new FileStore(path), name).toThrow(
        expect.objectContaining({ message: expect.stringContaining(`remove ${lock}`) }),
      );
      rmSync(lock, { recursive: true });
    }
    writeFileSync(lock, "");
    expect(() => new FileStore(path)).toThrow(storeError);
    rmSync(lock);
    // What was made for a lock that wasn't got is gone.
    expect(readdirSync(folder)).toEqual(["session"]);
  });

  test("a copy of the file is a store of its own", () => {
    const store = new FileStore(path);
    store.put(7, Uint8Array.of(7));
    copyFileSync(path, join(folder, "copy"));
    const copy = new FileStore(join(folder, "copy"));
    expect([...copy.load()]).toEqual([[7, Buffer.of(7)]]);
    copy.close();
    store.close();
  });
});
