/**
 * Makes a failing program smaller: first steps go, in halves, quarters and one by one; then what is left of them becomes
 * simpler. Each smaller program has to fail in the same way.
 */
import { type AnyProgram, type Handler, PLAIN, type ProgramOptions } from "./program.js";

type Step = AnyProgram["steps"][number];

/** A fault without its numbers: what makes it the same in a smaller program. */
export const kindOf = (fault: string): string =>
  fault
    .replace(/^at [\d.]+ ms: /, "")
    .replaceAll(/[\d.]+/g, "N")
    .replaceAll(/\b(to|on) [a$#+][^ ,]*/g, "$1 F")
    .split("\n")[0]!;

/** `fails`: whether the program fails in the way that is wanted. At most `most` runs. */
export async function shrink<P extends AnyProgram>(
  program: P,
  fails: (program: P) => Promise<boolean>,
  most = 800,
): Promise<P> {
  let best = program;
  let runs = 0;
  const attempt = async (candidate: AnyProgram): Promise<boolean> => {
    if (runs++ >= most || !(await fails(candidate as P))) return false;
    best = candidate as P;
    return true;
  };
  for (let before = Infinity; before > size(best) && runs < most;) {
    before = size(best);
    await fewer(() => best, attempt);
    await simpler(() => best, attempt);
  }
  return best;
}

type Attempt = (candidate: AnyProgram) => Promise<boolean>;

const size = ({ steps, options }: AnyProgram): number => JSON.stringify(steps).length + JSON.stringify(options).length;

async function fewer(best: () => AnyProgram, attempt: Attempt): Promise<void> {
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

async function simpler(best: () => AnyProgram, attempt: Attempt): Promise<void> {
  for (let index = 0; index < best().steps.length; index++) {
    for (const change of CHANGES) {
      const step = best().steps[index]!;
      const changed = change(step);
      if (changed === undefined) continue;
      const steps = best().steps.map((other) => (other === step ? changed : other));
      await attempt({ ...best(), steps });
    }
  }
  for (const [name, value] of Object.entries(PLAIN)) {
    const { options } = best();
    if (JSON.stringify(options[name as keyof ProgramOptions]) === JSON.stringify(value)) continue;
    await attempt({ ...best(), options: { ...options, [name]: value } });
  }
}

type Change = (step: Step) => Step | undefined;

const set =
  (name: string, value: unknown): Change =>
  ({ after, op }) =>
    name in op && (op as Record<string, unknown>)[name] !== value ? { after, op: { ...op, [name]: value } } : undefined;

const without =
  (name: string): Change =>
  ({ after, op }) => {
    if (!(name in op)) return undefined;
    const { [name]: _gone, ...rest } = op as Record<string, unknown> & Step["op"];
    return { after, op: rest as Step["op"] };
  };

const handlerOf = (op: Step["op"]): Handler | undefined => (op as { handler?: Handler }).handler;

const CHANGES: readonly Change[] = [
  ({ after, op }) => (after > 0 ? { after: 0, op } : undefined),
  ({ after, op }) => (after > 100 ? { after: 100, op } : undefined),
  ({ after, op }) => {
    const handler = handlerOf(op);
    if (handler === undefined || handler.style === "return") return undefined;
    return { after, op: { ...op, handler: { ...handler, style: "return" } } as Step["op"] };
  },
  ({ after, op }) => {
    const handler = handlerOf(op);
    if (!handler?.inside) return undefined;
    const { inside: _gone, ...rest } = handler;
    return { after, op: { ...op, handler: rest } as Step["op"] };
  },
  without("signal"),
  without("timeout"),
  set("times", 1),
  set("size", 10),
  set("qos", 0),
  set("qos", 1),
  set("nth", 1),
  set("copies", 1),
];
