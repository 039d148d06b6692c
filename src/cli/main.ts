#!/usr/bin/env node
/**
 * The process of the `hubwire` command: its streams, its signals, its exit status.
 *
 * Invariants: the first SIGINT or SIGTERM asks the command to finish what is in flight and end, the second ends it at
 * once; a reader of standard output that goes away (`hubwire listen | head`) ends it as the first signal does, and is
 * no failure.
 */
import { systemClock } from "../clock.js";
import { cli } from "./cli.js";
import { Input } from "./input.js";
import { BROKEN_PIPE, remark } from "./io.js";

const stop = new AbortController();
let broken = false;

const io = {
  input: new Input(() => process.stdin, stop.signal),
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  clock: systemClock,
  stop: stop.signal,
};

const INTERRUPTED = 130;
const interrupt = (): void => {
  if (stop.signal.aborted) process.exit(INTERRUPTED);
  stop.abort();
};
process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
// There is nobody left to tell.
process.stderr.on("error", () => {});
process.stdout.on("error", ({ code }: NodeJS.ErrnoException) => {
  broken = true;
  process.exitCode = code === "EPIPE" ? 0 : 1;
  if (code !== "EPIPE") remark(io, `standard output cannot be written (${code ?? "unknown"})`);
  stop.abort(code === "EPIPE" ? BROKEN_PIPE : undefined);
});

const status = await cli(process.argv.slice(2), io);
if (!broken) process.exitCode = status;
