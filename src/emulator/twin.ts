/**
 * A device twin: desired and reported properties and tags, with versions, times and merge rules, as "Understand and use
 * device twins in IoT Hub" has them.
 *
 * Invariants: a section changes only by a whole valid patch or document, and its version grows by one with each; what
 * goes in and out is copied, so nobody outside holds a part of the document. `__proto__` is a name like any
 * other.
 */
import { HubwireError } from "../errors.js";
import { encodeJson } from "../wire/json.js";
import { twinObjection, twinSize } from "../wire/twin-limits.js";
import { HUB_LIMITS } from "../wire/limits.js";
import type { Limits } from "./limits.js";

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
/** A JSON object. */
export type JsonObject = { [name: string]: Json };

/** A section of a twin with what the hub adds to it, `$metadata` and `$version`. */
export type TwinSection = JsonObject;

/** A twin as the service sees it. */
export interface Twin {
  /** The device, or the one that the module is of. */
  deviceId: string;
  /** Absent for a device. */
  moduleId?: string;
  /** What the service notes about the device, which never sees it. */
  tags: JsonObject;
  /**
   * `desired.$version` and `desired.$metadata` are there as well, not enumerable, so that the object compares as the
   * properties alone.
   */
  desired: JsonObject;
  /** As `desired`. */
  reported: JsonObject;
  /** `$version` of the desired properties. */
  desiredVersion: number;
  /** `$version` of the reported properties. */
  reportedVersion: number;
  /** `desired` and `reported` as in the service's own document, `$metadata` and `$version` among them; not enumerable. */
  readonly properties?: {
    /** What the service wants of the device. */
    readonly desired: TwinSection;
    /** What the device reports. */
    readonly reported: TwinSection;
  };
  /** Changes with every change of the twin; what `etag` of a conditional update is compared with. Not enumerable. */
  readonly etag?: string;
  /** Of the twin as a whole. Not enumerable. */
  readonly version?: number;
  /** Not enumerable, as all that follows. */
  readonly connectionState?: "Connected" | "Disconnected";
  /** ISO 8601; the beginning of the year 1 before any. */
  readonly lastActivityTime?: string;
  /** Whether it may connect. */
  readonly status?: "enabled" | "disabled";
  /** How it proves who it is: a SAS token, or a certificate known by thumbprint or by its authority. */
  readonly authenticationType?: "sas" | "selfSigned" | "certificateAuthority";
  /** With a certificate known by thumbprint: upper-case hexadecimal digits. */
  readonly x509Thumbprint?: {
    /** SHA-256 or SHA-1, as it was registered; null where there is none. */
    readonly primaryThumbprint: string | null;
    /** A second one, likewise. */
    readonly secondaryThumbprint: string | null;
  };
  /** Cloud-to-device messages that wait. */
  readonly cloudToDeviceMessageCount?: number;
}

/** What the twin document shows of its identity. */
export type IdentityProperties = Pick<
  Twin,
  | "connectionState"
  | "lastActivityTime"
  | "status"
  | "authenticationType"
  | "x509Thumbprint"
  | "cloudToDeviceMessageCount"
>;

/** A section as it is kept and exported. */
export interface SectionState {
  /** The document, without `$metadata` and `$version`. */
  properties: JsonObject;
  /** Grows by one with each change. */
  version: number;
  /** When what was changed: `$metadata` as the hub shows it, times in ISO 8601. */
  metadata: JsonObject;
}

/** A twin as `exportState` writes it. */
export interface TwinState {
  /** What the service notes about the device. */
  tags: JsonObject;
  /** What the service wants of the device. */
  desired: SectionState;
  /** What the device reports. */
  reported: SectionState;
  /** Of the twin as a whole; grows by one with each change of any part. */
  version: number;
}

/** A change of a section that was taken. */
export interface AcceptedPatch {
  version: number;
  patch: JsonObject;
}

const LAST_UPDATED = "$lastUpdated";

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Assigning to `__proto__` would set the prototype. */
function setOwn(target: JsonObject, name: string, value: Json): void {
  Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

const getOwn = (target: JsonObject, name: string): Json | undefined =>
  Object.hasOwn(target, name) ? target[name] : undefined;

const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** `patch` over `target`: objects merge, null deletes, everything else, arrays included, replaces. */
function merged(target: JsonObject, patch: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [name, value] of Object.entries(target)) setOwn(result, name, value);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) {
      delete result[name];
    } else if (isObject(value)) {
      const old = getOwn(result, name);
      setOwn(result, name, merged(isObject(old) ? old : {}, value));
    } else {
      setOwn(result, name, value);
    }
  }
  return result;
}

/** The times of `merged`: every object on the way to a change was updated, what was deleted is gone. */
function mergedMetadata(target: JsonObject, patch: JsonObject, time: string): JsonObject {
  const result: JsonObject = {};
  for (const [name, value] of Object.entries(target)) if (name !== LAST_UPDATED) setOwn(result, name, value);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) {
      delete result[name];
    } else {
      const old = getOwn(target, name);
      const inner = isObject(value) ? mergedMetadata(isObject(old) ? old : {}, value, time) : { [LAST_UPDATED]: time };
      setOwn(result, name, inner);
    }
  }
  result[LAST_UPDATED] = time;
  return result;
}

/** The patch that makes `wanted` of `old`: all of `wanted`, and null for what is gone. */
function replacement(old: JsonObject, wanted: JsonObject): JsonObject {
  const patch: JsonObject = {};
  for (const name of Object.keys(old)) if (!Object.hasOwn(wanted, name)) setOwn(patch, name, null);
  for (const [name, value] of Object.entries(wanted)) {
    const before = getOwn(old, name);
    setOwn(patch, name, isObject(value) && isObject(before) ? replacement(before, value) : value);
  }
  return patch;
}

/** A document for what it says, without the members that are null. */
const withoutNulls = (document: JsonObject): JsonObject => merged({}, document);

/** A twin's state; versions start at 1. */
export class TwinDocument {
  readonly #limits: Limits;
  readonly #now: () => number;
  readonly #onChange: () => void;
  #tags: JsonObject = {};
  #desired: SectionState;
  #reported: SectionState;
  #version = 1;

  /** `now` tells the time of changes, ms since the epoch; `onChange` is called after each. */
  constructor(limits: Limits, now: () => number = () => 0, onChange: () => void = () => {}, state?: TwinState) {
    this.#limits = limits;
    this.#now = now;
    this.#onChange = onChange;
    const fresh = (): SectionState => ({ properties: {}, version: 1, metadata: { [LAST_UPDATED]: this.#time() } });
    this.#desired = state === undefined ? fresh() : copy(state.desired);
    this.#reported = state === undefined ? fresh() : copy(state.reported);
    if (state === undefined) return;
    this.#tags = copy(state.tags);
    this.#version = state.version;
  }

  get etag(): string {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(this.#version));
    return bytes.toString("base64");
  }

  /**
   * Merges `patch` and returns the new version. Throws ERR_LIMIT or ERR_INVALID_ARGUMENT and changes nothing.
   */
  patchDesired(patch: unknown): AcceptedPatch {
    return this.#apply(this.#desired, this.#checked(patch));
  }

  /** Replaces the desired properties by `document`; the returned patch is what the device is told, null for what is gone. */
  replaceDesired(document: unknown): AcceptedPatch {
    const wanted = withoutNulls(this.#checked(document));
    return this.#apply(this.#desired, replacement(this.#desired.properties, wanted));
  }

  /** As `patchDesired`, for what the device reports; `text` is the patch as it was sent. */
  patchReported(patch: unknown, text?: string): AcceptedPatch {
    return this.#apply(this.#reported, this.#checked(patch, text));
  }

  /** Merges tags, which the device never sees. */
  patchTags(patch: unknown): void {
    this.#setTags(merged(this.#tags, this.#checked(patch)));
  }

  /** Replaces the tags by `document`. */
  replaceTags(document: unknown): void {
    this.#setTags(withoutNulls(this.#checked(document)));
  }

  /** What the device gets: `{"desired":{…,"$version":n},"reported":{…,"$version":n}}`. */
  toDevice(): string {
    return JSON.stringify({
      desired: { ...this.#desired.properties, $version: this.#desired.version },
      reported: { ...this.#reported.properties, $version: this.#reported.version },
    });
  }

  /** A copy for the service side. */
  snapshot(source: { deviceId: string; moduleId?: string }, identity: IdentityProperties = {}): Twin {
    const whole = ({ properties, metadata, version }: SectionState): TwinSection =>
      copy({ ...properties, $metadata: metadata, $version: version });
    const plain = ({ properties, metadata, version }: SectionState): JsonObject =>
      Object.defineProperties(copy(properties), {
        $metadata: { value: copy(metadata) },
        $version: { value: version },
      });
    const twin: Twin = {
      ...source,
      tags: copy(this.#tags),
      desired: plain(this.#desired),
      reported: plain(this.#reported),
      desiredVersion: this.#desired.version,
      reportedVersion: this.#reported.version,
    };
    const more = {
      properties: { desired: whole(this.#desired), reported: whole(this.#reported) },
      etag: this.etag,
      version: this.#version,
      ...identity,
    };
    for (const [name, value] of Object.entries(more)) Object.defineProperty(twin, name, { value });
    return twin;
  }

  /** Everything, as the constructor takes it again. */
  export(): TwinState {
    return copy({
      tags: this.#tags,
      desired: this.#desired,
      reported: this.#reported,
      version: this.#version,
    });
  }

  #time(): string {
    return new Date(this.#now()).toISOString();
  }

  #apply(section: SectionState, patch: JsonObject): AcceptedPatch {
    section.properties = this.#within(merged(section.properties, patch), this.#limits.propertiesBytes);
    section.metadata = mergedMetadata(section.metadata, patch, this.#time());
    section.version++;
    this.#changed();
    return { version: section.version, patch };
  }

  #setTags(tags: JsonObject): void {
    this.#tags = this.#within(tags, this.#limits.tagsBytes);
    this.#changed();
  }

  #changed(): void {
    this.#version++;
    this.#onChange();
  }

  #checked(patch: unknown, text?: string): JsonObject {
    const own: unknown = JSON.parse(text ?? encodeJson(patch, "a twin patch", true));
    if (!isObject(own)) throw new HubwireError("ERR_INVALID_ARGUMENT", "a twin patch must be a JSON object");
    // A patch of what was read from the twin and is sent back carries what the hub added.
    delete own["$version"];
    delete own["$metadata"];
    const { twinDepth, twinStringBytes: twinString, twinKeyBytes: twinKey } = this.#limits;
    const limits = { ...HUB_LIMITS, twinDepth, twinString, twinKey };
    const found = twinObjection(own, text ?? JSON.stringify(own), limits);
    if (found !== undefined) throw new HubwireError("ERR_LIMIT", `a twin must not hold ${found}`, { status: 400 });
    return own;
  }

  #within(section: JsonObject, maximum: number): JsonObject {
    const size = twinSize(section);
    if (size > maximum) {
      throw new HubwireError("ERR_LIMIT", `a twin section of ${size} bytes is over the ${maximum} allowed`, {
        status: 400,
      });
    }
    return section;
  }
}
