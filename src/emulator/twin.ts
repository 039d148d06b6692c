/**
 * A device twin: desired and reported properties and tags, with versions and merge rules.
 *
 * Invariants: a section changes only by a whole valid patch, and its version grows by one with each; what
 * goes in and out is copied, so nobody outside holds a part of the document. `__proto__` is a name like any
 * other.
 */
import { HubwireError } from "../errors.js";
import type { Limits } from "./limits.js";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

/** A twin as the service sees it. */
export interface Twin {
  deviceId: string;
  moduleId?: string;
  tags: JsonObject;
  /**
   * `desired.$version` is there as well, not enumerable, so that the object compares as the properties alone.
   */
  desired: JsonObject;
  /** As `desired`. */
  reported: JsonObject;
  desiredVersion: number;
  reportedVersion: number;
  /** `desired` and `reported` once more, where the service's own API has them; not enumerable. */
  readonly properties?: { readonly desired: JsonObject; readonly reported: JsonObject };
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Assigning to `__proto__` would set the prototype. */
function setOwn(target: JsonObject, name: string, value: Json): void {
  Object.defineProperty(target, name, { value, writable: true, enumerable: true, configurable: true });
}

const copy = (value: JsonObject): JsonObject => JSON.parse(JSON.stringify(value)) as JsonObject;

/** `patch` over `target`: objects merge, null deletes, everything else, arrays included, replaces. */
function merged(target: JsonObject, patch: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [name, value] of Object.entries(target)) setOwn(result, name, value);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) {
      delete result[name];
    } else if (isObject(value)) {
      const old = Object.hasOwn(result, name) ? result[name] : undefined;
      setOwn(result, name, merged(isObject(old) ? old : {}, value));
    } else {
      setOwn(result, name, value);
    }
  }
  return result;
}

/** The first thing about `value` that IoT Hub refuses in a twin, or undefined. */
function objection(value: Json, limits: Limits, depth: number): string | undefined {
  if (typeof value === "string") {
    return Buffer.byteLength(value) > limits.twinStringBytes
      ? `a string over ${limits.twinStringBytes} bytes`
      : undefined;
  }
  if (typeof value === "number") {
    return Number.isInteger(value) && Math.abs(value) > limits.twinInteger ? "an integer beyond 2^52" : undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (depth > limits.twinDepth) return `more than ${limits.twinDepth} levels`;
  for (const [name, member] of Object.entries(value)) {
    const found =
      (Array.isArray(value) ? undefined : nameObjection(name, limits)) ?? objection(member, limits, depth + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function nameObjection(name: string, limits: Limits): string | undefined {
  if (name === "") return "an empty name";
  if (Buffer.byteLength(name) > limits.twinKeyBytes) return `a name over ${limits.twinKeyBytes} bytes`;
  // C0 and C1 control characters, full stop, dollar sign, space.
  return /[\x00-\x1f\x7f-\x9f.$ ]/.test(name) ? "a name with a control character, '.', '$' or space" : undefined;
}

/** A twin's state; versions start at 1. */
export class TwinDocument {
  readonly #limits: Limits;
  #tags: JsonObject = {};
  #desired: JsonObject = {};
  #reported: JsonObject = {};
  #desiredVersion = 1;
  #reportedVersion = 1;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /**
   * Merges `patch` and returns the new version. Throws ERR_LIMIT or ERR_INVALID_ARGUMENT and changes nothing.
   */
  patchDesired(patch: unknown): { version: number; patch: JsonObject } {
    const own = this.#checked(patch);
    this.#desired = this.#within(merged(this.#desired, own), this.#limits.propertiesBytes);
    return { version: ++this.#desiredVersion, patch: own };
  }

  /** As `patchDesired`, for what the device reports. */
  patchReported(patch: unknown): { version: number; patch: JsonObject } {
    const own = this.#checked(patch);
    this.#reported = this.#within(merged(this.#reported, own), this.#limits.propertiesBytes);
    return { version: ++this.#reportedVersion, patch: own };
  }

  /** Merges tags, which the device never sees. */
  patchTags(patch: unknown): void {
    this.#tags = this.#within(merged(this.#tags, this.#checked(patch)), this.#limits.tagsBytes);
  }

  /** What the device gets: `{"desired":{…,"$version":n},"reported":{…,"$version":n}}`. */
  toDevice(): string {
    return JSON.stringify({
      desired: { ...this.#desired, $version: this.#desiredVersion },
      reported: { ...this.#reported, $version: this.#reportedVersion },
    });
  }

  /** A copy for the service side. */
  snapshot(source: { deviceId: string; moduleId?: string }): Twin {
    const section = (properties: JsonObject, version: number): JsonObject =>
      Object.defineProperty(copy(properties), "$version", { value: version, enumerable: false });
    const desired = section(this.#desired, this.#desiredVersion);
    const reported = section(this.#reported, this.#reportedVersion);
    const twin: Twin = {
      ...source,
      tags: copy(this.#tags),
      desired,
      reported,
      desiredVersion: this.#desiredVersion,
      reportedVersion: this.#reportedVersion,
    };
    return Object.defineProperty(twin, "properties", { value: { desired, reported } });
  }

  #checked(patch: unknown): JsonObject {
    let own: unknown;
    try {
      own = JSON.parse(JSON.stringify(patch));
    } catch (cause) {
      throw new HubwireError("ERR_INVALID_ARGUMENT", "a twin patch must be JSON", { cause });
    }
    if (!isObject(own)) throw new HubwireError("ERR_INVALID_ARGUMENT", "a twin patch must be a JSON object");
    // A patch that a device read from the twin and sends back carries the version.
    delete own["$version"];
    const found = objection(own, this.#limits, 1);
    if (found !== undefined) throw new HubwireError("ERR_LIMIT", `a twin must not hold ${found}`, { status: 400 });
    return own;
  }

  #within(section: JsonObject, maximum: number): JsonObject {
    const size = Buffer.byteLength(JSON.stringify(section));
    if (size > maximum) {
      throw new HubwireError("ERR_LIMIT", `a twin section of ${size} bytes is over the ${maximum} allowed`, {
        status: 413,
      });
    }
    return section;
  }
}
