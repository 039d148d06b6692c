/**
 * Merge patches, as twins use them: objects merge, null deletes, all else replaces.
 *
 * Invariants: what is given is not changed; a value that is no own property is no property, and no name is assigned:
 * `__proto__` and `constructor` are data like others. Of a patch, only arrays are shared with what comes out.
 */
import { isJsonObject, type JsonObject } from "./json.js";

const own = (object: JsonObject, name: string): unknown => (Object.hasOwn(object, name) ? object[name] : undefined);

/** `patch` over `target`. Over `{}`, it is `patch` without its nulls. */
export function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const result = new Map(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    const old = own(target, name);
    if (value === null) result.delete(name);
    else result.set(name, isJsonObject(value) ? mergePatch(isJsonObject(old) ? old : {}, value) : value);
  }
  // Not by assignment, which would set a prototype.
  return Object.fromEntries(result);
}

/** The patch that makes `after` of `before`; undefined where they are equal. */
export function patchBetween(before: JsonObject, after: JsonObject): JsonObject | undefined {
  const patch: [string, unknown][] = [];
  for (const [name, value] of Object.entries(after)) {
    const old = own(before, name);
    if (isJsonObject(old) && isJsonObject(value)) {
      const inner = patchBetween(old, value);
      if (inner) patch.push([name, inner]);
    } else if (JSON.stringify(old) !== JSON.stringify(value)) patch.push([name, value]);
  }
  for (const name of Object.keys(before)) if (!Object.hasOwn(after, name)) patch.push([name, null]);
  return patch.length > 0 ? Object.fromEntries(patch) : undefined;
}
