// As much of vitest as the tests of the codec use: runs them in order and ends the process at the first
// failure.
import { isDeepStrictEqual } from "node:util";

const queue = [];

function register(title, ...rest) {
  queue.push([title, rest.at(-1)]);
}
register.each =
  (cases) =>
  (title, ...rest) => {
    for (const item of cases) register(title, () => rest.at(-1)(...(Array.isArray(item) ? item : [item])));
  };
export const test = register;

export function describe(_title, body) {
  body();
}
describe.each = (cases) => (_title, body) => {
  for (const item of cases) body(item);
};

/** Runs what was registered since the last call. */
export async function finish() {
  for (const [title, body] of queue.splice(0)) {
    try {
      await body();
    } catch (error) {
      console.error(title, error);
      process.exit(1);
    }
  }
}

const partial = (actual, expected) =>
  typeof expected === "object" && expected !== null && !ArrayBuffer.isView(expected) && !Array.isArray(expected)
    ? Object.keys(expected).every((key) => actual !== null && partial(actual?.[key], expected[key]))
    : alike(actual, expected);

const clean = (value) =>
  Array.isArray(value)
    ? value.map(clean)
    : value && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype
      ? Object.fromEntries(
          Object.entries(value)
            .filter(([, field]) => field !== undefined)
            .map(([k, v]) => [k, clean(v)]),
        )
      : value;
const alike = (a, b) => isDeepStrictEqual(clean(a), clean(b));

function thrown(action) {
  try {
    action();
  } catch (error) {
    return { error };
  }
  return undefined;
}

const matchers = {
  toBe: (a, b) => Object.is(a, b),
  toEqual: alike,
  toStrictEqual: isDeepStrictEqual,
  toMatchObject: partial,
  toBeInstanceOf: (a, b) => a instanceof b,
  toContain: (a, b) => a.includes(b),
  toBeLessThan: (a, b) => a < b,
  toBeLessThanOrEqual: (a, b) => a <= b,
  toBeGreaterThan: (a, b) => a > b,
  toThrow: (action, expected) => {
    const outcome = thrown(action);
    if (outcome === undefined || expected === undefined) return outcome !== undefined;
    if (expected instanceof RegExp) return expected.test(outcome.error.message);
    return expected.partial ? partial(outcome.error, expected.partial) : outcome.error === expected;
  },
};

export function expect(actual) {
  const made = { not: {} };
  for (const [name, matches] of Object.entries(matchers)) {
    const check = (wanted) => (expected) => {
      if (matches(actual, expected) !== wanted) throw new Error(`${name} ${wanted ? "" : "not "}as expected`);
    };
    made[name] = check(true);
    made.not[name] = check(false);
  }
  return made;
}
expect.objectContaining = (fields) => ({ partial: fields });
