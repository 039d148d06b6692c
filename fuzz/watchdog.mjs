// Ends a run that does not end: a thread of its own looks whether the number of the run still changes. The input is
// copied to where that thread can read it, because the one that hangs answers nothing any more.
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Worker, isMainThread, workerData } from "node:worker_threads";

/** Of a longer input the beginning is kept. */
const MOST = 1 << 20;
const [RUN, LENGTH, NEVER] = [0, 1, 2];
const IDLE = -1;
const HEAD = 16;
const NAME = 64;

let control;
let bytes;
let label;

/** Uses the watchdog that `start` returned, in another thread. */
export function adopt(buffer) {
  control = new Int32Array(buffer, 0, HEAD / 4);
  label = new Uint8Array(buffer, HEAD, NAME);
  bytes = new Uint8Array(buffer, HEAD + NAME, MOST);
}

/**
 * Watches this process: a run that takes longer than `seconds` ends it, after its input was written to `folder`. Returns
 * what another thread may `adopt`; of the two only one may run at a time.
 */
export function start(seconds, folder) {
  const buffer = new SharedArrayBuffer(HEAD + NAME + MOST);
  adopt(buffer);
  control[LENGTH] = IDLE;
  new Worker(new URL(import.meta.url), { workerData: { watch: { buffer, seconds, folder } } }).unref();
  return buffer;
}

/** The runs from now on are those of that target. */
export function watched(name) {
  label.fill(0);
  Buffer.from(name).copy(label);
}

/** A run with `input` begins, and the one before has ended. */
export function begin(input) {
  if (control === undefined) return;
  const length = Math.min(input.length, MOST);
  bytes.set(length === input.length ? input : input.subarray(0, length));
  Atomics.store(control, LENGTH, length);
  Atomics.add(control, RUN, 1);
}

/** Nothing runs until the next `begin`. */
export function idle() {
  if (control !== undefined) Atomics.store(control, LENGTH, IDLE);
}

function watch({ buffer, seconds, folder }) {
  adopt(buffer);
  for (;;) {
    const run = Atomics.load(control, RUN);
    Atomics.wait(control, NEVER, 0, 1000 * seconds);
    const length = Atomics.load(control, LENGTH);
    if (length === IDLE || Atomics.load(control, RUN) !== run) continue;
    const input = Buffer.from(bytes.subarray(0, length));
    const name = Buffer.from(label).toString().replaceAll("\0", "");
    const file = `${name}-hangs-${createHash("sha256").update(input).digest("hex").slice(0, 12)}.bin`;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, file), input);
    writeSync(2, `${name}: HANGS for over ${seconds} s on ${length} bytes; written to ${join(folder, file)}\n`);
    process.kill(process.pid, "SIGKILL");
  }
}

if (!isMainThread && workerData?.watch !== undefined) watch(workerData.watch);
