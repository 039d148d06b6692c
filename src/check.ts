/**
 * The one way to look at what a caller hands over.
 *
 * Invariants: an unknown option is an error, because a misspelt one that is silently ignored is found out in production;
 * each option is read once, so that what was checked is what is used; whatever is wrong, a getter that throws included,
 * leaves as ERR_INVALID_ARGUMENT, which names the option and never quotes a value: it may be a secret.
 */
import { type ErrorDetails, HubwireError } from "./errors.js";

/** A type as `typeof` names it (several: `string|object`; null is `null`; `any`), or the bounds of a number. */
export type Rule = string | readonly [least: number, most: number];

/** The options that there are. */
export type Rules = { readonly [name: string]: Rule };

/** The error of a wrong argument. */
export const invalid = (text: string, details?: ErrorDetails): HubwireError =>
  new HubwireError("ERR_INVALID_ARGUMENT", text, details);

/** What `ask` returns, or `otherwise` where it throws: a caller's object may throw whatever it is asked. */
export function attempt<T>(ask: () => T, otherwise: T): T {
  try {
    return ask();
  } catch {
    return otherwise;
  }
}

/** What `ask` returns. Where it throws, the error is `invalid(text)`, without a cause, which may quote what was given. */
export function orInvalid<T>(ask: () => T, text: string): T {
  try {
    return ask();
  } catch {
    throw invalid(text);
  }
}

const typeName = (value: unknown): string => (value === null ? "null" : typeof value);

/** A copy without what is undefined. */
export const defined = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;

/** A copy of `options`, each read once, of any name. Throws ERR_INVALID_ARGUMENT where that is not possible. */
export function readOptions<T extends object>(options: T | undefined, what: string): T {
  if (options === undefined) return {} as T;
  try {
    // As fast as a copy can be, where nothing is inherited.
    if (Object.getPrototypeOf(options) === Object.prototype) return { ...options };
  } catch {
    // One of them throws: which?
  }
  // A revoked proxy throws when it is asked, and when it is read.
  if (typeof options !== "object" || options === null || attempt(() => Array.isArray(options), false)) {
    throw invalid(`the options of ${what} must be an object`);
  }
  return readEach(options, what);
}

function readEach<T extends object>(options: T, what: string): T {
  const copy: Record<string, unknown> = {};
  let name: string | undefined;
  try {
    for (name in options) {
      const value = (options as Record<string, unknown>)[name];
      // Assigning would set the prototype.
      if (name === "__proto__") Object.defineProperty(copy, name, { value, enumerable: true });
      else copy[name] = value;
    }
  } catch {
    throw invalid(
      name === undefined ? `the options of ${what} cannot be read` : `option ${name} of ${what} cannot be read`,
    );
  }
  return copy as T;
}

/**
 * A copy of `options` that keeps to `rules`; undefined has none. `what` they are the options of, e.g. "publish". A number
 * is a whole one where its upper bound is finite, and never NaN. Throws ERR_INVALID_ARGUMENT.
 */
export function checkOptions<T extends object>(options: T | undefined, rules: Rules, what: string): T {
  const copy = readOptions(options, what) as Record<string, unknown>;
  for (const name in copy) {
    const value = copy[name];
    const rule = rules[name];
    // What is right is passed in the first line.
    if (typeof value === rule && value !== null) continue;
    if (typeof rule !== "string" && !Array.isArray(rule)) throw unknownOption(name, rules, what);
    if (value !== undefined) checkValue(value, rule as Rule, `option ${name} of ${what}`);
  }
  return copy as T;
}

function unknownOption(name: string, rules: Rules, what: string): HubwireError {
  const names = Object.keys(rules);
  const meant = names.find((known) => known.toLowerCase() === name.toLowerCase());
  const hint = meant === undefined ? `there are: ${names.join(", ")}` : `is ${meant} meant?`;
  return invalid(`unknown option ${JSON.stringify(name).slice(0, 60)} of ${what}; ${hint}`);
}

/** Throws ERR_INVALID_ARGUMENT where `value` is not as `rule` says; `what` it is, e.g. "the topic". */
export function checkValue(value: unknown, rule: Rule, what: string): void {
  if (typeof rule === "string") {
    const type = typeName(value);
    if (type === rule || rule === "any" || rule.split("|").includes(type)) return;
    throw invalid(`${what} must be a ${rule.replaceAll("|", " or ")}, not ${type}`);
  }
  const [least, most] = rule;
  const fine = typeof value === "number" && value >= least && value <= most;
  if (!fine || (most < Infinity && !Number.isInteger(value))) {
    throw invalid(`${what} must be a ${most < Infinity ? "whole " : ""}number from ${least} to ${most}`);
  }
}
