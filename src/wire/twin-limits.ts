/**
 * What IoT Hub takes in a twin and as a message id, and how it counts a twin's size; for both sides.
 *
 * The rules are those of "Understand and use device twins in IoT Hub" (formats, size) and "Create and read IoT Hub
 * messages" (message ids). The pages leave open what arrays are, which IoT Edge's own check answers: a level like an
 * object, and null nowhere inside (the hub's error 400004).
 *
 * Invariants: a text is looked at as it is written, because only there is 1e20 no integer; nothing here goes deeper than
 * the limit, however deep what it is given; a patch of which `twinSize` is over the limit makes every document larger
 * than that, so that a device may refuse it without knowing the document.
 */
import { HUB_LIMITS } from "./limits.js";

type JsonObject = { readonly [name: string]: unknown };

/** What may be set otherwise, as the emulator's limits may. */
export type TwinLimits = Pick<
  typeof HUB_LIMITS,
  "twinDepth" | "twinString" | "twinKey" | "twinMinInteger" | "twinMaxInteger"
>;

/** C0, DEL and C1, which do not count, and which no key may hold. */
const CONTROL = /[\0-\x1f\x7f-\x9f]/g;
const FORBIDDEN_IN_KEY = /[\0-\x1f\x7f-\x9f.$ ]/;
/** A string, or a number with what makes it none that is an integer. */
const STRINGS_AND_NUMBERS = /"(?:[^"\\]|\\.)*"|-?\d+([.eE][-+.\deE]*)?/g;

/**
 * The first thing that IoT Hub refuses in a section of a twin, or in a patch of one; undefined where it takes it.
 * `json` is the text of `section`; at the top level and inside objects null is a deletion, which a patch may hold.
 */
export function twinObjection(section: JsonObject, json: string, limits: TwinLimits = HUB_LIMITS): string | undefined {
  return objectionToMembers(section, 0, false, limits) ?? objectionToIntegers(json, limits);
}

function objectionToMembers(
  container: object,
  depth: number,
  inArray: boolean,
  limits: TwinLimits,
): string | undefined {
  if (depth > limits.twinDepth) return `more than ${limits.twinDepth} levels of objects and arrays`;
  const isArray = Array.isArray(container);
  for (const [name, value] of Object.entries(container)) {
    const found =
      (isArray ? undefined : objectionToKey(name, limits)) ??
      objectionToValue(value, depth, inArray || isArray, limits);
    if (found !== undefined) return found;
  }
  return undefined;
}

function objectionToKey(key: string, { twinKey }: TwinLimits): string | undefined {
  if (key === "") return "an empty name";
  if (Buffer.byteLength(key) > twinKey) return `a name over ${twinKey} bytes`;
  return FORBIDDEN_IN_KEY.test(key) ? "a name with a control character, '.', '$' or space" : undefined;
}

function objectionToValue(value: unknown, depth: number, inArray: boolean, limits: TwinLimits): string | undefined {
  if (value === null) return inArray ? "null inside an array" : undefined;
  if (typeof value === "object") return objectionToMembers(value, depth + 1, inArray, limits);
  if (typeof value !== "string" || Buffer.byteLength(value) <= limits.twinString) return undefined;
  return `a string over ${limits.twinString} bytes`;
}

function objectionToIntegers(json: string, { twinMinInteger, twinMaxInteger }: TwinLimits): string | undefined {
  for (const [token, fraction] of json.matchAll(STRINGS_AND_NUMBERS)) {
    // Stryker disable next-line MethodExpression: a token that begins with a quote also ends with one.
    if (fraction !== undefined || token.startsWith('"')) continue;
    // Doubles are exact at both bounds and beyond them by one.
    if (Number(token) < twinMinInteger || Number(token) > twinMaxInteger) {
      return `an integer outside ${twinMinInteger} to ${twinMaxInteger} (send it as a string)`;
    }
  }
  return undefined;
}

/**
 * The size of a section that keeps to the limits, as the hub counts: keys and strings in UTF-8 without control
 * characters, 8 for a number, 4 for a boolean, nothing for JSON's punctuation and for what a null deletes.
 */
export function twinSize(value: unknown): number {
  if (typeof value === "string") return Buffer.byteLength(value.replace(CONTROL, ""));
  if (typeof value === "number") return 8;
  if (typeof value === "boolean") return 4;
  let size = 0;
  if (Array.isArray(value)) for (const member of value) size += twinSize(member);
  else {
    for (const [key, member] of Object.entries(value ?? {})) {
      if (member !== null) size += twinSize(key) + twinSize(member);
    }
  }
  return size;
}

/** Why IoT Hub takes no such message id; undefined where it does. */
export function messageIdObjection(messageId: string): string | undefined {
  const { messageId: most } = HUB_LIMITS;
  if (messageId.length > most) return `a message id has at most ${most} characters`;
  if (/^[\w\-:.+%#*?!(),=@;$']*$/.test(messageId)) return undefined;
  return "a message id has only ASCII letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '";
}
