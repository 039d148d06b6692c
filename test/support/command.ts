/** Runs a command line in this process, with streams, an environment and signals of the test's own. */
import { once } from "node:events";
import { PassThrough, Writable } from "node:stream";
import { type Clock, systemClock } from "../../src/clock.js";
import { cli } from "../../src/cli/cli.js";
import { Input } from "../../src/cli/input.js";

export interface Surroundings {
  env?: Record<string, string>;
  /** Standard input, to its end; left out: it stays open, for `type`. */
  input?: string | Uint8Array;
  /** Whether the three streams are a terminal. */
  terminal?: boolean;
  clock?: Clock;
}

class Printed extends Writable {
  text = "";
  readonly isTTY: boolean;

  constructor(isTTY: boolean) {
    super({ decodeStrings: true });
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    this.emit("printed");
    done();
  }
}

/** A command that runs. */
export class Running {
  readonly stdout: Printed;
  readonly stderr: Printed;
  readonly status: Promise<number>;
  readonly #stop = new AbortController();
  readonly #stdin = new PassThrough();

  constructor(args: readonly string[], { env = {}, input, terminal = false, clock = systemClock }: Surroundings = {}) {
    this.stdout = new Printed(terminal);
    this.stderr = new Printed(terminal);
    const stdin = Object.assign(this.#stdin, { isTTY: terminal });
    if (input !== undefined) stdin.end(input);
    this.status = cli(args, {
      input: new Input(() => stdin, this.#stop.signal),
      stdout: this.stdout,
      stderr: this.stderr,
      env,
      clock,
      stop: this.#stop.signal,
    });
  }

  /** What SIGINT does. */
  interrupt(): void {
    this.#stop.abort();
  }

  /** Writes a line to standard input. */
  type(line: string): void {
    this.#stdin.write(`${line}\n`);
  }

  /** Everything printed, as JSON documents. */
  get records(): Record<string, any>[] {
    return this.stdout.text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, any>);
  }

  /** Resolves with the first match in what is printed; rejects when the command ends without it. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    let over = false;
    const ended = this.status.then(() => (over = true));
    for (;;) {
      const match = pattern.exec(this.stdout.text) ?? pattern.exec(this.stderr.text);
      if (match !== null) return match;
      if (over) throw new Error(`ended without printing ${pattern}: ${this.stdout.text}${this.stderr.text}`);
      await Promise.race([once(this.stdout, "printed"), once(this.stderr, "printed"), ended]);
    }
  }

  /** Resolves with the first record that holds all of `fields`. */
  async record(fields: Record<string, unknown>): Promise<Record<string, any>> {
    const wanted = Object.entries(fields);
    for (;;) {
      const found = this.records.find((each) => wanted.every(([name, value]) => each[name] === value));
      if (found !== undefined) return found;
      const before = this.stdout.text.length;
      const ended = await Promise.race([once(this.stdout, "printed").then(() => false), this.status.then(() => true)]);
      if (ended && this.stdout.text.length === before) {
        throw new Error(`ended without ${JSON.stringify(fields)}: ${this.stdout.text}${this.stderr.text}`);
      }
    }
  }
}

/** Runs a command line to its end. */
export async function runHere(
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<{ status: number; stdout: string; stderr: string }> {
  const running = new Running(args, { input: "", ...surroundings });
  const status = await running.status;
  return { status, stdout: running.stdout.text, stderr: running.stderr.text };
}
