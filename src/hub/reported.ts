/** Reported properties on their way out: only what the hub takes, checked before it is sent. */
import { invalid } from "../check.js";
import { HubwireError } from "../errors.js";
import { encodeJson } from "../wire/json.js";
import { HUB_LIMITS } from "../wire/limits.js";
import { twinObjection, twinSize } from "../wire/twin-limits.js";
import type { JsonObject } from "./json.js";

/** The JSON of a patch that the hub will take. Throws ERR_LIMIT, or ERR_INVALID_ARGUMENT for what is not JSON. */
export function encodeReported(patch: unknown): string {
  const json = encodeJson(patch, "the reported properties", true);
  if (!json.startsWith("{")) throw invalid("the reported properties must be an object");
  const section = JSON.parse(json) as JsonObject;
  const objection = twinObjection(section, json);
  if (objection !== undefined) throw overLimit(objection);
  const size = twinSize(section);
  if (size > HUB_LIMITS.twin) throw overLimit(`${size} bytes, which is over ${HUB_LIMITS.twin}`);
  return json;
}

const overLimit = (what: string): HubwireError =>
  new HubwireError("ERR_LIMIT", `the hub takes no reported properties with ${what}`);
