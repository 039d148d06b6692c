/**
 * The doctor's steps as they are taken: bounded, timed and told.
 *
 * Invariant: a step settles within its time, or at once when the command is to stop, and is told once.
 */
import { setAlarm } from "../clock.js";
import { HubwireError } from "../errors.js";
import { type Io, said } from "./io.js";
import { json } from "./output.js";

export type Outcome = "ok" | "warning" | "failed" | "skipped";

/** What a step found; an error beside a value is an objection to it. */
export interface Found<T> {
  readonly value?: T;
  readonly error?: HubwireError;
}

const COLOURS: Readonly<Record<Outcome, number>> = { ok: 32, warning: 33, failed: 31, skipped: 2 };

export class Checkup {
  readonly #io: Io;
  readonly #json: boolean;
  readonly #timeout: number;

  /** `timeout` in ms, of each step. */
  constructor(io: Io, asJson: boolean, timeout: number) {
    this.#io = io;
    this.#json = asJson;
    this.#timeout = timeout;
  }

  /** ms since the epoch. */
  get now(): number {
    return this.#io.clock.wallTime();
  }

  /**
   * Takes a step. `describe` says what was found, `object` what is wrong with it; a failure is told as `failing`. Rejects
   * only when the command is to stop.
   */
  async step<T>(
    name: string,
    action: (signal: AbortSignal) => Promise<T>,
    describe: (value: T) => string,
    failing: Outcome = "failed",
    object: (value: T) => HubwireError | undefined = () => undefined,
  ): Promise<Found<T>> {
    const { clock, stop } = this.#io;
    const limit = new AbortController();
    const late = new HubwireError("ERR_CONNECT_TIMEOUT", `no answer within ${this.#timeout / 1000} s`);
    const cancel = setAlarm(clock, this.#timeout, () => limit.abort(late));
    const abort = (): void => limit.abort(new HubwireError("ERR_ABORTED", "interrupted"));
    stop.addEventListener("abort", abort, { once: true });
    if (stop.aborted) abort();
    const began = clock.now();
    try {
      const value = await action(limit.signal);
      const error = object(value);
      const text = error ? `${describe(value)}: ${said(error)}` : describe(value);
      this.note(name, error ? failing : "ok", text, clock.now() - began, error?.code);
      return error ? { value, error } : { value };
    } catch (thrown) {
      if (stop.aborted) throw limit.signal.reason;
      const error = limit.signal.aborted ? late : thrown;
      if (!(error instanceof HubwireError)) throw error;
      this.note(name, failing, said(error), clock.now() - began, error.code);
      return { error };
    } finally {
      cancel();
      stop.removeEventListener("abort", abort);
    }
  }

  /** Tells of a step. */
  note(name: string, outcome: Outcome, text: string, ms?: number, code?: string): void {
    if (this.#json) {
      const time = ms === undefined ? {} : { ms: Math.round(ms * 10) / 10 };
      this.#line(json({ type: "step", name, outcome, ...time, text, ...(code !== undefined && { code }) }));
      return;
    }
    const time = ms === undefined ? "" : `${ms.toFixed(0)} ms`;
    this.#line(`${name.padEnd(18)} ${this.#paint(COLOURS[outcome], outcome.padEnd(7))} ${time.padStart(8)}  ${text}`);
  }

  /** Tells the verdict. */
  conclude(works: boolean, advice: readonly string[]): void {
    if (this.#json) return this.#line(json({ type: "verdict", works, advice }));
    this.#line("");
    this.#line(
      this.#paint(
        works ? COLOURS.ok : COLOURS.failed,
        works ? "The device can talk to its hub." : "The device cannot talk to its hub this way.",
      ),
    );
    for (const each of advice) this.#line(`- ${each}`);
  }

  #line(text: string): void {
    this.#io.stdout.write(`${text}\n`);
  }

  #paint(code: number, text: string): string {
    const { stdout, env } = this.#io;
    return stdout.isTTY && !env["NO_COLOR"] ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}
