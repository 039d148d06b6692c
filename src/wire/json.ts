/**
 * JSON as it is written for the hub, and by it.
 *
 * Invariant: what a value says is in its text. JSON would say {} for a Map, an Error or a promise, and null for NaN and a
 * date that is none: an empty reading, and in a twin a property that is deleted.
 */
import { invalid } from "../check.js";
import { HubwireError } from "../errors.js";

/** As `Object.prototype.toString` names it, also where it is of another realm, as everything is in Jest. */
const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

/** What JSON writes as {} because it does not look into it. */
const isEmptied = (value: unknown): boolean =>
  typeof value === "object" &&
  value !== null &&
  !/^(Object|Array|Number|String|Boolean)$/.test(tagOf(value)) &&
  Object.keys(value).length === 0;

/** For `JSON.stringify`: throws ERR_INVALID_ARGUMENT for what would be written as something else, or with `whole` left out. */
const refuseLost = (whole: boolean) =>
  function (this: Record<string, unknown>, name: string, value: unknown): unknown {
    const given = tagOf(this[name]);
    const isLost =
      (typeof value === "number" && !Number.isFinite(value)) ||
      (value === null && given === "Date") ||
      isEmptied(value) ||
      (whole && /^(function|symbol)$/.test(typeof value));
    if (!isLost) return value;
    const what = typeof value === "number" ? value : `a ${given}`;
    throw invalid(`JSON cannot say ${what}${name && `, which ${JSON.stringify(name)} is`}`);
  };

/**
 * The JSON text of `value`; `what` it is, for errors. Throws ERR_INVALID_ARGUMENT for what JSON cannot say, in any part of
 * it; with `whole` also for functions and symbols, which JSON leaves out.
 */
export function encodeJson(value: unknown, what: string, whole = false): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value, whole ? refuseLost(true) : undefined);
    // Looked at part by part only where something may be lost, because that takes several times as long.
    if (!whole && json !== undefined && /null|\{\}/.test(json)) json = JSON.stringify(value, refuseLost(false));
  } catch (cause) {
    const why = cause instanceof HubwireError ? `: ${cause.message}` : "";
    throw invalid(`${what} cannot be written as JSON${why}`, { cause });
  }
  if (json !== undefined) return json;
  throw invalid(`${what} is missing, or no JSON value; text, bytes or a JSON value can be sent`);
}
