/**
 * Copies the state of one object graph into another of the same shape, between two calls.
 *
 * Invariant: objects that both graphs have already keep their identity and their functions, which hold on to them; what
 * only the source has (members of lists) is made anew with its class; typed arrays and maps are copied, payloads shared.
 */
const SHARED = new Set(["content"]);
/** Each side has its own already, or its caller makes it. */
const SKIPPED = new Set(["__decoder", "__writer", "__journal", "options", "__options"]);

type Graph = Record<string, unknown>;

/** Returns what stands for what. */
export function transplant(from: object, to: object): Map<object, object> {
  const made = new Map<object, object>();
  copyInto(from as Graph, to as Graph, made, new Set());
  return made;
}

function copyInto(from: Graph, to: Graph, made: Map<object, object>, taken: Set<object>): void {
  made.set(from, to);
  taken.add(to);
  for (const name of Object.keys(from)) {
    if (SKIPPED.has(name)) continue;
    const value = from[name];
    to[name] = SHARED.has(name) ? value : counterpart(value, to[name], made, taken);
  }
}

/** What stands for `value` on the other side, where `present` is now. */
function counterpart(value: unknown, present: unknown, made: Map<object, object>, taken: Set<object>): unknown {
  if (typeof value === "function") return present;
  if (typeof value !== "object" || value === null) return value;
  const known = made.get(value);
  if (known) return known;
  if (ArrayBuffer.isView(value)) return (value as Uint16Array).slice();
  if (Array.isArray(value)) {
    const list: unknown[] = [];
    made.set(value, list);
    for (const item of value) list.push(counterpart(item, undefined, made, taken));
    return list;
  }
  if (value instanceof Map) {
    const map = new Map<unknown, unknown>();
    made.set(value, map);
    for (const [key, item] of value) map.set(key, counterpart(item, undefined, made, taken));
    return map;
  }
  if (value instanceof Set) return new Set(value);
  // A list's empty head points to itself: what is there already may stand for another.
  const isFree = typeof present === "object" && present !== null && !taken.has(present);
  const target = isFree ? present : (Object.create(Object.getPrototypeOf(value) as object) as object);
  copyInto(value as Graph, target as Graph, made, taken);
  return target;
}
