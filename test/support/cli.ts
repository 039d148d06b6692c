/** Runs the built `hubwire` command as a user does, and collects all that it printed. */
import { spawn, type ChildProcess } from "node:child_process";
import { resolve } from "node:path";

const main = resolve(import.meta.dirname, "../../dist/cli/main.js");

export interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface RunningCommand {
  readonly process: ChildProcess;
  readonly outcome: Promise<Outcome>;
  /** What was printed until now. */
  stdout(): string;
  /** Resolves with the first match in standard output or standard error; rejects when the command ends before. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
}

/** Starts a command; the environment has no connection string but one that is given. */
export function start(args: readonly string[], environment: Record<string, string> = {}): RunningCommand {
  const { IOTHUB_DEVICE_CONNECTION_STRING: _none, ...inherited } = process.env;
  const child = spawn(process.execPath, [main, ...args], { env: { ...inherited, ...environment } });
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  const collect = () => watchers.forEach((watcher) => watcher());
  child.stdout.on("data", (chunk: Buffer) => ((stdout += chunk.toString()), collect()));
  child.stderr.on("data", (chunk: Buffer) => ((stderr += chunk.toString()), collect()));
  const outcome = new Promise<Outcome>((done, failed) => {
    child.on("error", failed);
    child.on("close", (status) => done({ status, stdout, stderr }));
  });
  return {
    process: child,
    outcome,
    stdout: () => stdout,
    printed: (pattern) =>
      new Promise((found, failed) => {
        const look = () => {
          const match = pattern.exec(stdout) ?? pattern.exec(stderr);
          if (match === null) return;
          watchers.delete(look);
          found(match);
        };
        watchers.add(look);
        look();
        void outcome.then((end) => failed(new Error(`ended without printing ${pattern}: ${JSON.stringify(end)}`)));
      }),
  };
}

/** Runs a command to its end with nothing, or the given text, on standard input. */
export function run(args: readonly string[], environment: Record<string, string> = {}, input = ""): Promise<Outcome> {
  const command = start(args, environment);
  command.process.stdin?.end(input);
  return command.outcome;
}
