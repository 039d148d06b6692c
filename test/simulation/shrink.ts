/**
 * Makes a failing program smaller: first steps go, in halves, quarters and one by one; then what is left of them becomes
 * simpler. Each smaller program has to fail in the same way.
 */
import type { Op, Program, ProgramOptions, Step } from "./program.js";

/** A fault without its numbers: what makes it the same in a smaller program. */
export const kindOf = (fault: string): string =>
  fault
    .replace(/^at [\d.]+ ms: /, "")
    .replaceAll(/[\d.]+/g, "N")
    .replaceAll(/\b(to|on) [a$#+][^ ,]*/g, "$1 F")
    .split("\n")[0]!;

const SIMPLE: Partial<ProgramOptions> = {
  cleanSession: true,
  keepAlive: 0,
  maxInflight: 1_000,
  connectTimeout: 10_000,
  operationTimeout: 10_000,
  handlerTimeout: 300_000,
  reconnect: { minDelay: 10, maxDelay: 100 },
  queue: { maxCount: 100_000, maxBytes: 16_777_216, maxAge: 600_000, overflow: "reject", qos0: true },
  store: false,
};

/** `fails`: whether the program fails in the way that is wanted. At most `most` runs. */
export async function shrink(
  program: Program,
  fails: (program: Program) => Promise<boolean>,
  most = 800,
): Promise<Program> {
  let best = program;
  let runs = 0;
  const attempt = async (candidate: Program): Promise<boolean> => {
    if (runs++ >= most || !(await fails(candidate))) return false;
    best = candidate;
    return true;
  };
  for (let before = Infinity; before > size(best) && runs < most;) {
    before = size(best);
    await fewer(() => best, attempt);
    await simpler(() => best, attempt);
  }
  return best;
}

type Attempt = (candidate: Program) => Promise<boolean>;

const size = ({ steps, options }: Program): number => JSON.stringify(steps).length + JSON.stringify(options).length;

async function fewer(best: () => Program, attempt: Attempt): Promise<void> {
  for (let part = Math.ceil(best().steps.length / 2); part >= 1; part = part === 1 ? 0 : Math.ceil(part / 2)) {
    for (let start = 0; start < best().steps.length;) {
      const { steps } = best();
      const removed = steps.slice(start, start + part);
      const rest = steps.slice(start + part);
      const gap = removed.reduce((sum, { after }) => sum + after, 0);
      const [next, ...others] = rest;
      const kept = next ? [{ ...next, after: next.after + gap }, ...others] : rest;
      const gone = await attempt({ ...best(), steps: [...steps.slice(0, start), ...kept] });
      if (!gone && !(gap > 0 && (await attempt({ ...best(), steps: [...steps.slice(0, start), ...rest] }))))
        start += part;
    }
  }
}

async function simpler(best: () => Program, attempt: Attempt): Promise<void> {
  for (let index = 0; index < best().steps.length; index++) {
    for (const change of CHANGES) {
      const step = best().steps[index]!;
      const changed = change(step);
      if (changed === undefined) continue;
      const steps = best().steps.map((other) => (other === step ? changed : other));
      await attempt({ ...best(), steps });
    }
  }
  for (const [name, value] of Object.entries(SIMPLE)) {
    const { options } = best();
    if (JSON.stringify(options[name as keyof ProgramOptions]) === JSON.stringify(value)) continue;
    await attempt({ ...best(), options: { ...options, [name]: value } });
  }
}

type Change = (step: Step) => Step | undefined;

const set =
  (name: string, value: unknown): Change =>
  ({ after, op }) =>
    name in op && (op as Record<string, unknown>)[name] !== value
      ? { after, op: { ...op, [name]: value } as Op }
      : undefined;

const without =
  (name: string): Change =>
  ({ after, op }) => {
    if (!(name in op)) return undefined;
    const { [name]: _gone, ...rest } = op as Record<string, unknown>;
    return { after, op: rest as unknown as Op };
  };

const CHANGES: readonly Change[] = [
  ({ after, op }) => (after > 0 ? { after: 0, op } : undefined),
  ({ after, op }) => (after > 100 ? { after: 100, op } : undefined),
  ({ after, op }) =>
    "handler" in op && op.handler && op.handler.style !== "return"
      ? { after, op: { ...op, handler: { ...op.handler, style: "return" } } }
      : undefined,
  ({ after, op }) => {
    if (!("handler" in op) || !op.handler?.inside) return undefined;
    const { inside: _gone, ...handler } = op.handler;
    return { after, op: { ...op, handler } };
  },
  without("signal"),
  without("timeout"),
  set("times", 1),
  set("size", 10),
  set("qos", 0),
  set("qos", 1),
  set("nth", 1),
];
