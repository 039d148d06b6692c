/**
 * Property bags: `name=value&…`, the text behind the last slash of a telemetry, C2D or input topic.
 *
 * Invariants: encoding escapes every byte outside RFC 3986 "unreserved" and throws only HubwireError; decoding
 * takes any text, is linear in its length and never throws. A bag is a Map, so `__proto__` is a name like others.
 */
import { invalid } from "../check.js";
import { HubwireError } from "../errors.js";

/** What may be given where properties are asked for: a Map, or a plain object's own enumerable properties. */
export type PropertiesInit = ReadonlyMap<string, string | null> | { readonly [name: string]: string | null };

const UNRESERVED = /^[\w.~-]*$/;

/** Percent-encodes the UTF-8 form of `text`, all but RFC 3986 unreserved characters; `what` names it in the error. */
export function percentEncode(text: string, what = "text"): string {
  // Stryker disable next-line ConditionalExpression: speed only.
  if (UNRESERVED.test(text)) return text;
  try {
    return encodeURIComponent(text).replace(
      /[!'()*]/g,
      (character) => "%" + character.charCodeAt(0).toString(16).toUpperCase(),
    );
  } catch {
    // Text with half a surrogate pair has no UTF-8 form. The text is not echoed: it may be a secret.
    throw invalid(`${what} has a lone surrogate, which UTF-8 cannot carry`);
  }
}

/** Which ASCII characters are letters, digits or one of `_.-`. */
const PLAIN = /* @__PURE__ */ Uint8Array.from({ length: 128 }, (_, unit) => +/[\w.-]/.test(String.fromCharCode(unit)));
/** Characters of a string that no engine keeps as a piece of a longer one. */
const SHORT = 12;

/** Whether a text that is not long has nothing to escape, nor anything that a message id may not have. */
export function isPlain(text: string): boolean {
  const { length } = text;
  if (length > LONGEST_KEPT) return false;
  for (let i = 0; i < length; i++) if (PLAIN[text.charCodeAt(i)] !== 1) return false;
  return true;
}

/** Texts that came twice, escaped, at the slot of a few of their characters: names and most values of a device repeat. */
const SLOTS = 128;
const LONGEST_KEPT = 64;
const kept: (Kept | undefined)[] = /* @__PURE__ */ new Array(SLOTS).fill(undefined);
/** What a text that was seen once looked like: nothing of it is kept yet. */
const seen = /* @__PURE__ */ new Int32Array(SLOTS);

interface Kept {
  readonly text: string;
  readonly escaped: string;
  /** Bytes of the text in UTF-8. */
  readonly size: number;
}

// Of the text that `percentEncodeAgain` had last: its bytes in UTF-8, and what is kept of it.
let encodedSize = 0;
let encodedKept: Kept | undefined;

/** As `percentEncode`, for texts that may come again. */
function percentEncodeAgain(text: string, what: string): string {
  const { length } = text;
  encodedKept = undefined;
  // Stryker disable all: what is kept, and where, is a matter of speed.
  if (length > LONGEST_KEPT || length === 0) return percentEncodeSized(text, what);
  // Counters and times, which never come again, differ at their end.
  let mark = Math.imul(length, 33) + text.charCodeAt(0);
  mark = Math.imul(mark, 33) + text.charCodeAt(length >> 1);
  if (length > 2) mark = Math.imul(mark, 33) + text.charCodeAt(length - 3);
  if (length > 1) mark = Math.imul(mark, 33) + text.charCodeAt(length - 2);
  mark = (Math.imul(mark, 33) + text.charCodeAt(length - 1)) | 0;
  const slot = (mark ^ (mark >>> 7) ^ (mark >>> 14)) & (SLOTS - 1);
  const found = kept[slot];
  // Stryker restore all
  // Stryker disable next-line ConditionalExpression,EqualityOperator,BlockStatement: as above.
  if (found?.text === text) {
    encodedSize = found.size;
    encodedKept = found;
    return found.escaped;
  }
  const escaped = percentEncodeSized(text, what);
  // A copy of the text: it may be a piece of one that is much longer.
  // Stryker disable next-line ConditionalExpression,EqualityOperator,BlockStatement: as above.
  if (seen[slot] === mark) {
    const copy = decodeURIComponent(escaped);
    // Stryker disable next-line ObjectLiteral: as above.
    kept[slot] = encodedKept = { text: copy, escaped: escaped === text ? copy : escaped, size: encodedSize };
  }
  seen[slot] = mark;
  return escaped;
}

function percentEncodeSized(text: string, what: string): string {
  const escaped = isPlain(text) ? text : percentEncode(text, what);
  encodedSize = escaped === text ? text.length : Buffer.byteLength(text);
  return escaped;
}

/** Undoes percent-encoding; text with an escape that is broken, or not UTF-8, comes back as it is. */
export function percentDecode(text: string): string {
  // Most names and values hold no escape, and the look is much cheaper than the call.
  // Stryker disable next-line ConditionalExpression: speed only.
  if (text.indexOf("%") < 0) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The entries of either form of properties. */
export function propertyEntries(properties: PropertiesInit): Iterable<[string, string | null]> {
  if (typeof properties !== "object" || properties === null) throw invalid("properties must be an object or a Map");
  return properties instanceof Map
    ? properties
    : Object.entries(properties as { readonly [name: string]: string | null });
}

const DOLLAR = 0x24;

/** A name as it is written, and the value that it had twice in a row: most of what a device says of its messages repeats. */
export class BagKey {
  /** `&name=`, escaped. */
  readonly key: string;
  /** The name, and its bytes in UTF-8 as far as they count. */
  readonly name: string;
  readonly size: number;
  /** The last value that may come again. */
  private last: string | undefined;
  /** That of which `text` is `&name=value`. */
  value: string | undefined;
  text = "";
  valueSize = 0;

  constructor(key: string, name = "", size = 0) {
    this.key = key;
    this.name = name;
    this.size = size;
  }

  /** The value came, and may be kept. */
  had(value: string, escaped: string, size: number): void {
    if (this.last === value) {
      // A string of pieces would be walked through each time.
      this.text = Buffer.from(this.key + escaped).toString("latin1");
      this.value = value;
      this.valueSize = size;
    }
    this.last = value;
  }
}

/** The names that stood last at the first places of a bag. */
const keys: (BagKey | undefined)[] = /* @__PURE__ */ new Array(16).fill(undefined);

/** The key of a name that does not stand at that place. */
function newKey(name: string, place: number): BagKey {
  const escaped = percentEncodeAgain(name, "a property name");
  const key = new BagKey(`&${escaped}=`, encodedKept?.text, encodedSize);
  if (encodedKept !== undefined && place < keys.length && name.charCodeAt(0) !== DOLLAR) keys[place] = key;
  return key;
}

/** A bag that is being written, and its size: bytes of what was added in UTF-8, without what escapes add. */
export class BagWriter {
  text: string;
  size = 0;
  /** A name began with `$`, as the hub's own do. */
  hasSystemName = false;
  private isEmpty = true;
  private place = 0;

  /** `start` is what stands before the bag, e.g. the rest of a topic. */
  constructor(start = "") {
    this.text = start;
  }

  /** Adds an application's property. Throws as `encodeProperties` does. */
  add(name: string, value: string | null): void {
    const place = this.place++;
    let key = place < keys.length ? keys[place] : undefined;
    if (key === undefined || key.name !== name) {
      if (name === "" && value === null) throw invalid("a property without a name needs a value");
      if (name.charCodeAt(0) === DOLLAR) this.hasSystemName = true;
      key = newKey(name, place);
    }
    if (value !== null && typeof value !== "string") {
      throw invalid(`property ${JSON.stringify(name)} must be a string or null, not ${typeof value}`);
    }
    this.size += key.size;
    if (value === null) this.write(key.key.slice(0, -1));
    else this.addValue(key, value);
  }

  /** Adds a property; of a system property the value alone counts. */
  addValue(key: BagKey, value: string): void {
    if (key.value === value) {
      this.write(key.text);
      this.size += key.valueSize;
      return;
    }
    let escaped = value;
    if (value.length <= SHORT && isPlain(value)) {
      this.size += value.length;
      key.had(value, value, value.length);
    } else {
      escaped = percentEncodeAgain(value, "a property value");
      this.size += encodedSize;
      if (encodedKept !== undefined) key.had(encodedKept.text, escaped, encodedSize);
    }
    this.write(key.key);
    this.text += escaped;
  }

  /** The same of a value that never comes again. */
  addOnce(key: BagKey, value: string): void {
    this.write(key.key);
    this.text += percentEncodeSized(value, "a property value");
    this.size += encodedSize;
  }

  private write(text: string): void {
    this.text += this.isEmpty ? text.slice(1) : text;
    this.isEmpty = false;
  }

  /** Adds all of them, in their order. */
  addAll(properties: PropertiesInit): void {
    if (typeof properties !== "object" || properties === null) {
      throw invalid("properties must be an object or a Map");
    }
    try {
      if (properties instanceof Map) for (const [name, value] of properties) this.add(checkName(name), value);
      else {
        const own = properties as { readonly [name: string]: string | null };
        // Twice as fast as over the array of its keys.
        for (const name in own) if (hasOwn.call(own, name)) this.add(name, own[name] as string | null);
      }
    } catch (error) {
      if (error instanceof HubwireError) throw error;
      // Of a getter or iterator of the caller's.
      throw invalid("the properties cannot be read");
    }
  }
}

const { hasOwnProperty: hasOwn } = Object.prototype;

function checkName(name: unknown): string {
  if (typeof name === "string") return name;
  throw invalid(`the name of a property must be a string, not ${typeof name}`);
}

/**
 * Writes a property bag, in the order of `properties`: `name=value` joined by `&`; null is written as the name
 * alone. Throws ERR_INVALID_ARGUMENT for a value that is neither string nor null, for a lone surrogate, and for
 * an empty name with a null value, which has no written form.
 */
export function encodeProperties(properties: PropertiesInit): string {
  const bag = new BagWriter();
  bag.addAll(properties);
  return bag.text;
}

/**
 * Reads a property bag: a leading `?` is passed over, `name` alone is null, `name=` is the empty string, a second
 * `=` belongs to the value, a broken escape keeps the raw text, the last of two equal names counts. No text makes it
 * throw; anything but text is ERR_INVALID_ARGUMENT.
 */
export function decodeProperties(bag: string): Map<string, string | null> {
  if (typeof bag !== "string") throw invalid("a property bag is a string");
  const properties = new Map<string, string | null>();
  let start = bag.startsWith("?") ? 1 : 0;
  let equals = -1;
  // Stryker disable next-line EqualityOperator: at its end there is nothing to find.
  while (start < bag.length) {
    let end = bag.indexOf("&", start);
    if (end < 0) end = bag.length;
    // Looked for only once it was passed: names that stand alone must not search the rest of the bag each.
    // Stryker disable next-line ConditionalExpression,EqualityOperator: it would be found where it was.
    if (equals < start) equals = bag.indexOf("=", start);
    if (equals < 0) equals = Infinity;
    // Stryker disable next-line EqualityOperator: no place holds both characters.
    if (equals < end)
      properties.set(percentDecode(bag.slice(start, equals)), percentDecode(bag.slice(equals + 1, end)));
    else if (end > start) properties.set(percentDecode(bag.slice(start, end)), null);
    start = end + 1;
  }
  return properties;
}

/** The hub's own properties of a message: our name, and the name on the wire. */
export const SYSTEM_PROPERTIES = {
  messageId: "$.mid",
  correlationId: "$.cid",
  userId: "$.uid",
  to: "$.to",
  expiry: "$.exp",
  contentType: "$.ct",
  contentEncoding: "$.ce",
  outputName: "$.on",
  subject: "$.sub",
  interfaceId: "$.ifid",
  creationTime: "$.ctime",
  // C2D only: which feedback the service asked for.
  ack: "iothub-ack",
  // Module inputs only: who sent it.
  connectionDeviceId: "$.cdid",
  connectionModuleId: "$.cmid",
} as const satisfies { [name in keyof SystemProperties]-?: string };

/** System properties that are present, as text. */
export interface SystemProperties {
  /** For request and reply, and to tell messages apart. */
  messageId?: string;
  /** The id of the message that this one answers, by custom. */
  correlationId?: string;
  /** Who it comes from. */
  userId?: string;
  /** Where it goes to. */
  to?: string;
  /** When it is worth nothing any more; ISO 8601, UTC. */
  expiry?: string;
  /** E.g. `application/json`. */
  contentType?: string;
  /** E.g. `utf-8`. */
  contentEncoding?: string;
  /** The output of a module that it was sent to. */
  outputName?: string;
  /** The component of a Plug and Play device (`dt-subject`). */
  subject?: string;
  /** The interface of a Plug and Play device. */
  interfaceId?: string;
  /** When the data came about; ISO 8601, UTC. */
  creationTime?: string;
  /** Cloud to device: the feedback that the service asked for, `none`, `positive`, `negative` or `full`. */
  ack?: string;
  /** Module inputs: the device that sent it. */
  connectionDeviceId?: string;
  /** Module inputs: the module that sent it. */
  connectionModuleId?: string;
}

const BY_WIRE_NAME = /* @__PURE__ */ new Map<string, keyof SystemProperties>(
  /* @__PURE__ */ Object.entries(SYSTEM_PROPERTIES).map(([name, wire]) => [wire, name as keyof SystemProperties]),
);

/** Takes the system properties out of a decoded bag; what is left in `properties` is the application's. */
export function splitProperties(properties: Map<string, string | null>): SystemProperties {
  const system: SystemProperties = {};
  for (const [wire, value] of properties) {
    const name = BY_WIRE_NAME.get(wire);
    if (name) {
      system[name] = value ?? "";
      properties.delete(wire);
    }
  }
  return system;
}
