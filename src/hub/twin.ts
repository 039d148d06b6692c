/**
 * The device's side of its twin.
 *
 * Invariants: every request settles once: by the hub's answer, its deadline, its signal or the end of the client. A
 * request that had no answer when the connection went is sent again on the next, which is safe because both kinds
 * may be repeated. Changes of desired properties reach the handler in the order of their versions, each at most once;
 * what happened without a connection reaches it as one patch.
 */
import { abortable } from "../abort.js";
import { setAlarm } from "../clock.js";
import { HubwireError } from "../errors.js";
import { asHubwireError, isJsonObject, type JsonObject, type Link, parseObject, textOf } from "./link.js";
import { HUB_LIMITS } from "../wire/limits.js";
import { twinObjection, twinSize } from "../wire/twin-limits.js";
import { DESIRED_FILTER, reportedTopic, TWIN_RESPONSES_FILTER, twinGetTopic } from "../wire/topics.js";

/** JSON of a twin's section, as the hub keeps it. */
export interface TwinProperties {
  /** Grows by one with each change. */
  $version: number;
  [name: string]: unknown;
}

/** A device's or module's twin, as the hub sends it. */
export interface Twin {
  desired: TwinProperties;
  reported: TwinProperties;
}

/**
 * Called with what changed (null: deleted) and the version that it led to; the next call waits until the returned
 * promise has settled.
 */
export type DesiredHandler = (patch: Record<string, unknown>, version: number) => void | Promise<void>;

/** A value that is no own property is no property: `__proto__` and `constructor` are data like others. */
const own = (object: JsonObject, name: string): unknown => (Object.hasOwn(object, name) ? object[name] : undefined);

/** `patch` over `target`: objects merge, null deletes, all else replaces. */
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

/** The patch that makes `after` of `before`. */
export function patchBetween(before: JsonObject, after: JsonObject): JsonObject {
  const patch: [string, unknown][] = [];
  for (const [name, value] of Object.entries(after)) {
    const old = own(before, name);
    if (isJsonObject(old) && isJsonObject(value)) {
      const inner = patchBetween(old, value);
      if (Object.keys(inner).length > 0) patch.push([name, inner]);
    } else if (JSON.stringify(old) !== JSON.stringify(value)) patch.push([name, value]);
  }
  for (const name of Object.keys(before)) if (!Object.hasOwn(after, name)) patch.push([name, null]);
  return Object.fromEntries(patch);
}

const overLimit = (what: string): HubwireError =>
  new HubwireError("ERR_LIMIT", `the hub takes no reported properties with ${what}`);

/** The JSON of a patch that the hub will take. Throws ERR_LIMIT, or ERR_INVALID_ARGUMENT for what is not JSON. */
export function encodeReported(patch: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(patch, (_name, value: unknown) => {
      // JSON would write null, which deletes the property, or leave the property out without a word.
      if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError("not a finite number");
      if (typeof value === "function" || typeof value === "symbol") throw new TypeError(`a ${typeof value}`);
      return value;
    });
  } catch (cause) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "the reported properties cannot be written as JSON", { cause });
  }
  if (!json?.startsWith("{")) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "the reported properties must be an object");
  }
  const section = JSON.parse(json) as JsonObject;
  const objection = twinObjection(section, json);
  if (objection !== undefined) throw overLimit(objection);
  const size = twinSize(section);
  if (size > HUB_LIMITS.twin) throw overLimit(`${size} bytes, which is over ${HUB_LIMITS.twin}`);
  return json;
}

/** An answer with a status outside 200 to 299, as an error. */
export function hubStatusError(status: number, what: string, body: Uint8Array): HubwireError {
  const throttled = status === 429;
  // The hub's own words, within bounds, quoted so that they cannot forge a line of a log.
  const said = body.length > 0 ? `: ${JSON.stringify(textOf(body.subarray(0, 300)))}` : "";
  return new HubwireError(
    throttled ? "ERR_THROTTLED" : "ERR_HUB_STATUS",
    `the hub answered ${what} with status ${status}${throttled ? " (throttled; try later)" : ""}${said}`,
    { status, retryable: throttled || status >= 500 },
  );
}

interface Answer {
  version: number | undefined;
  body: Uint8Array;
}

interface Request {
  what: string;
  topic: string;
  payload: string;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
  /** The answer can arrive: its topic is subscribed to. */
  ready: boolean;
  /** It is on its way out: it may wait there for the next connection by itself. */
  leaving: boolean;
}

export class TwinClient {
  readonly #link: Link;
  readonly #requests = new Map<string, Request>();
  #lastRequestId = 0;
  #handler: DesiredHandler | undefined;
  /** Calls of the handler, one after the other. */
  #calls: Promise<void> = Promise.resolve();
  /** The desired properties as the user knows them. */
  #known: { version: number; properties: JsonObject } | undefined;
  /** Changes that came while the twin was being read; undefined while it is not. */
  #changes: { version: number; patch: JsonObject }[] | undefined;

  constructor(link: Link) {
    this.#link = link;
  }

  async get(signal?: AbortSignal): Promise<Twin> {
    const twin = await this.#read(signal);
    // Where there is no handler yet, this is what it will hear changes of.
    if (!this.#handler) this.#known = knownOf(twin);
    return twin;
  }

  async update(patch: unknown, signal?: AbortSignal): Promise<{ version: number | undefined }> {
    const { version } = await this.#request("a twin patch", reportedTopic, encodeReported(patch), signal);
    return { version };
  }

  async onDesired(handler: DesiredHandler): Promise<void> {
    this.#handler = handler;
    await this.#link.subscribe(DESIRED_FILTER, 0);
    if (this.#link.connected()) void this.#synchronize();
  }

  /** A connection is up: asks again for what had no answer, and for what was missed. */
  connected(): void {
    for (const request of this.#requests.values()) this.#send(request);
    if (this.#handler) void this.#synchronize();
  }

  close(error: HubwireError): void {
    for (const request of [...this.#requests.values()]) request.reject(error);
  }

  /** An answer to a request; one that nobody waits for any more is passed over. */
  answered(requestId: string | undefined, status: number, version: number | undefined, body: Uint8Array): void {
    const request = this.#requests.get(requestId ?? "");
    if (status >= 200 && status < 300) request?.resolve({ version, body });
    else request?.reject(hubStatusError(status, request.what, body));
  }

  /** The hub tells of a change. */
  changed(version: number | undefined, body: Uint8Array): void {
    const patch = parseObject(body);
    const number = version ?? patch?.["$version"];
    if (!patch || typeof number !== "number") {
      const message = "a change of desired properties without JSON object or version was ignored";
      return this.#link.report(new HubwireError("ERR_PROTOCOL_VIOLATION", message));
    }
    delete patch["$version"];
    if (this.#changes) this.#changes.push({ version: number, patch });
    // While the first read is under way there is nothing to wait for: whatever comes is news.
    if (!this.#changes || !this.#known) this.#deliver(number, patch);
  }

  /** Passes a change on unless it is known. */
  #deliver(version: number, patch: JsonObject): void {
    const known = this.#known;
    if (known) {
      if (version <= known.version) return;
      this.#known = { version, properties: mergePatch(known.properties, patch) };
    }
    const handler = this.#handler;
    if (!handler) return;
    this.#calls = this.#calls
      .then(() => handler(patch, version))
      .catch((error: unknown) => this.#link.report(asHubwireError(error, "the handler of desired properties failed")));
  }

  /** Reads the twin; tells the handler what it does not know yet, then what came meanwhile. */
  async #synchronize(): Promise<void> {
    if (this.#changes) return;
    this.#changes = [];
    try {
      const twin = knownOf(await this.#read());
      if (!this.#known) this.#known = twin;
      else if (twin.version > this.#known.version) {
        const patch = patchBetween(this.#known.properties, twin.properties);
        this.#deliver(twin.version, patch);
        this.#known = twin;
      }
    } catch (error) {
      this.#link.report(asHubwireError(error, "the twin could not be read"));
    }
    const changes = this.#changes;
    this.#changes = undefined;
    for (const { version, patch } of changes) this.#deliver(version, patch);
  }

  async #read(signal?: AbortSignal): Promise<Twin> {
    const { body } = await this.#request("a twin read", twinGetTopic, "", signal);
    const twin = parseObject(body);
    if (!isJsonObject(twin?.["desired"]) || !isJsonObject(twin["reported"])) {
      throw new HubwireError("ERR_PROTOCOL_VIOLATION", "the hub's twin is not JSON with desired and reported");
    }
    return twin as unknown as Twin;
  }

  #request(
    what: string,
    topicOf: (requestId: string) => string,
    payload: string,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const id = (++this.#lastRequestId).toString(36);
    let cancel: () => void;
    const answer = new Promise<Answer>((resolve, reject) => {
      const request: Request = { what, topic: topicOf(id), payload, resolve, reject, ready: false, leaving: false };
      this.#requests.set(id, request);
      cancel = setAlarm(this.#link.clock, this.#link.timeout, () =>
        reject(new HubwireError("ERR_TIMEOUT", `the hub did not answer ${what} within ${this.#link.timeout} ms`)),
      );
      this.#link.subscribe(TWIN_RESPONSES_FILTER, 0).then(() => {
        request.ready = true;
        this.#send(request);
      }, reject);
    });
    return abortable(signal, answer).finally(() => {
      cancel();
      this.#requests.delete(id);
    });
  }

  #send(request: Request): void {
    if (!request.ready || request.leaving || !this.#link.connected()) return;
    request.leaving = true;
    this.#link
      .publish(request.topic, request.payload)
      // A lost connection is no answer: the next one asks again.
      .catch((error: HubwireError) => error.retryable || request.reject(error))
      .finally(() => (request.leaving = false));
  }
}

function knownOf(twin: Twin): { version: number; properties: JsonObject } {
  const { $version, ...properties } = twin.desired;
  return { version: Number($version) || 0, properties };
}
