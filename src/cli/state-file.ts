/**
 * The file in which a hub outlives its process: `--state`.
 *
 * Invariants: the file is whole at any time, whenever the process is killed; it is for its owner alone; what it cannot
 * be made of is left as it is and told. What is saved is at most `DELAY` older than the hub.
 */
import { existsSync, readFileSync } from "node:fs";
import type { HubEmulator, HubState } from "../emulator/index.js";
import { type Clock, setAlarm } from "../clock.js";
import { Failure } from "./command.js";
import { writeFileSafely } from "./files.js";

/** ms: twins may change a hundred times a second, a disk is not to be synchronized as often. */
const DELAY = 100;
/** ms until a save that failed is tried again. */
const RETRY = 1_000;

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
