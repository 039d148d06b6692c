/** What a run found: the first fault, and what happened, for those who want to read it. */
export class Report {
  /** The first thing that was wrong; what follows from it is not looked at. */
  fault: string | undefined;
  readonly lines: string[] = [];
  readonly #tracing: boolean;
  readonly #now: () => number;

  constructor(tracing: boolean, now: () => number) {
    this.#tracing = tracing;
    this.#now = now;
  }

  fail(text: string): void {
    if (this.fault !== undefined) return;
    this.fault = `at ${this.#now().toFixed(0)} ms: ${text}`;
    this.log(`FAULT ${text}`);
  }

  check(condition: boolean, text: () => string): void {
    if (!condition) this.fail(text());
  }

  log(text: string): void {
    if (this.#tracing) this.lines.push(`${this.#now().toFixed(0).padStart(8)}  ${text}`);
  }
}
