/**
 * The file in which a hub outlives its process: `--state`.
 *
 * Invariants: the file is whole at any time, whenever the process is killed; it is for its owner and for one process alone;
 * what it cannot be made of is left as it is and told. What is saved is at most `DELAY` older than the hub.
 */
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Lock } from "../client/store/lock.js";
import type { HubEmulator, HubState } from "../emulator/index.js";
import { type Clock, setAlarm } from "../clock.js";
import { HubwireError } from "../errors.js";
import { Failure } from "./command.js";
import { writeFileSafely } from "./files.js";

/** ms: twins may change a hundred times a second, a disk is not to be synchronized as often. */
const DELAY = 100;
/** ms until a save that failed is tried again. */
const RETRY = 1_000;

/**
 * Keeps other processes off the file until what it returns is called. A lock that a dead process left is no obstacle. Throws
 * Failure, which does not name the path.
 */
export function lockState(path: string): () => void {
  try {
    const exists = existsSync(path);
    // A pipe or device is nobody's.
    if (exists && !statSync(path).isFile()) return () => {};
    const lock = new Lock(exists ? realpathSync(path) : join(realpathSync(dirname(path)), basename(path)));
    return () => lock.release();
  } catch (error) {
    const [, pid] = /by process (\d+)/.exec(error instanceof HubwireError ? error.message : "") ?? [];
    const { code } = ((error as Error).cause ?? error) as { code?: string };
    throw new Failure(
      pid === undefined
        ? `--state: the file cannot be locked (${code ?? "unknown"})`
        : `--state: the file is in use by process ${pid}; if that is none, remove what is named like the file with .lock behind`,
    );
  }
}

/** Reads the state that a file holds; undefined where there is no file yet. Throws Failure, which does not name the path. */
export function readState(path: string): HubState | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, "utf8")) as HubState;
  } catch (error) {
    // A parser's text would quote the file, which holds keys.
    const why = (error as { code?: string }).code ?? "it is no JSON";
    throw new Failure(`--state: the file cannot be used (${why}); it is left as it is`);
  }
}

/** Keeps a file in step with a hub. */
export class StateFile {
  readonly #path: string;
  readonly #hub: HubEmulator;
  readonly #clock: Clock;
  readonly #failed: (failure: Failure) => void;
  #dirty = false;
  #cancel: () => void = () => {};

  /** `failed` is told of a save that nobody waited for; it is tried again. */
  constructor(path: string, hub: HubEmulator, clock: Clock, failed: (failure: Failure) => void) {
    this.#path = path;
    this.#hub = hub;
    this.#clock = clock;
    this.#failed = failed;
    hub.on("changed", () => {
      if (!this.#dirty) this.#later(DELAY);
    });
  }

  /** Saves now. Throws Failure. */
  save(): void {
    this.#later(RETRY);
    writeFileSafely("state", this.#path, `${JSON.stringify(this.#hub.exportState(), null, 1)}\n`, 0o600);
    this.#dirty = false;
    this.#cancel();
  }

  /** Saves now what is not saved yet. Throws Failure. */
  flush(): void {
    if (this.#dirty) this.save();
  }

  /** As `flush`, for the last time. */
  close(): void {
    try {
      this.flush();
    } finally {
      this.#cancel();
    }
  }

  #later(delay: number): void {
    this.#dirty = true;
    this.#cancel();
    this.#cancel = setAlarm(this.#clock, delay, () => {
      try {
        this.save();
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        this.#failed(failure);
      }
    });
  }
}
