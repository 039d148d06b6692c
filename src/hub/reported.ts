/** Reported properties on their way out: only what the hub takes, checked before it is sent. */
import { invalid } from "../check.js";
import { HubwireError } from "../errors.js";
import { HUB_LIMITS } from "../wire/limits.js";
import { twinObjection, twinSize } from "../wire/twin-limits.js";
import { isEmptiedByJson, type JsonObject } from "./json.js";

/** The JSON of a patch that the hub will take. Throws ERR_LIMIT, or ERR_INVALID_ARGUMENT for what is not JSON. */
export function encodeReported(patch: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(patch, function (this: JsonObject, name, value: unknown) {
      // JSON would write null, which deletes the property, or leave the property out without a word.
      if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError("not a finite number");
      if (value === null && this[name] instanceof Date) throw new TypeError("not a valid Date");
      if (typeof value === "function" || typeof value === "symbol") throw new TypeError(`a ${typeof value}`);
      if (isEmptiedByJson(value)) throw new TypeError("a Map, Set or Promise");
      return value;
    });
  } catch (cause) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "the reported properties cannot be written as JSON", { cause });
  }
  if (!json?.startsWith("{")) throw invalid("the reported properties must be an object");
  const section = JSON.parse(json) as JsonObject;
  const objection = twinObjection(section, json);
  if (objection !== undefined) throw overLimit(objection);
  const size = twinSize(section);
  if (size > HUB_LIMITS.twin) throw overLimit(`${size} bytes, which is over ${HUB_LIMITS.twin}`);
  return json;
}

const overLimit = (what: string): HubwireError =>
  new HubwireError("ERR_LIMIT", `the hub takes no reported properties with ${what}`);
