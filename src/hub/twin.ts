/**
 * The device's side of its twin: the document on request, patches of what it reports, changes of what it should be.
 *
 * Invariants: one handler call at a time, in the order of the versions; what of the desired properties is told is
 * decided in `desired.ts`, here it is carried out. A read for the handler that fails is an `error` event and is tried
 * again; one for a caller rejects.
 */
import { Alarm } from "../clock.js";
import { HubwireError } from "../errors.js";
import { DESIRED_FILTER, reportedTopic, TWIN_RESPONSES_FILTER, twinGetTopic } from "../wire/topics.js";
import { asHubwireError, type HubAccess, lateHandler } from "./access.js";
import { DesiredProperties } from "./desired.js";
import { isJsonObject, type JsonObject, parseObject } from "./json.js";
import { encodeReported } from "./reported.js";
import { TwinRequests } from "./twin-requests.js";

/** JSON of a twin's section, as the hub keeps it. */
export interface TwinProperties {
  /** Grows by one with each change; starts again at 1 when the device is made anew. */
  $version: number;
  [name: string]: unknown;
}

/** A device's or module's twin, as the hub sends it. */
export interface Twin {
  /** What the service wants. */
  desired: TwinProperties;
  /** What the device said last. */
  reported: TwinProperties;
}

/** What `updateReportedProperties` resolves with. */
export interface ReportedUpdate {
  /** `$version` of the reported properties after the change; undefined where the hub names none. */
  version: number | undefined;
}

/**
 * Called with what changed (null: deleted) and the version that it led to; the next call waits until the returned
 * promise has settled. The patch is the handler's to keep.
 */
export type DesiredHandler = (patch: Record<string, unknown>, version: number) => void | Promise<void>;

export class TwinClient {
  readonly #hub: HubAccess;
  readonly #requests: TwinRequests;
  readonly #desired: DesiredProperties;
  readonly #alarm: Alarm;
  #handler: DesiredHandler | undefined;
  /** Calls of the handler, one after the other. */
  #calls: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(hub: HubAccess) {
    this.#hub = hub;
    this.#requests = new TwinRequests(hub);
    this.#alarm = new Alarm(hub.clock, () => this.#desired.due());
    this.#desired = new DesiredProperties(
      {
        tell: (patch, version) => this.#tell(patch, version),
        read: () => void this.#readForHandler(),
        wake: (delay) => this.#alarm.set(hub.clock.now() + delay),
      },
      hub.random,
    );
  }

  /** What has to be subscribed to for the handler. */
  get filters(): readonly string[] {
    return this.#handler ? [DESIRED_FILTER, TWIN_RESPONSES_FILTER] : [];
  }

  async get(signal?: AbortSignal): Promise<Twin> {
    const twin = await this.#read(signal);
    const { $version, properties } = sectionOf(twin.desired);
    this.#desired.known($version, properties);
    return twin;
  }

  async update(patch: unknown, signal?: AbortSignal): Promise<ReportedUpdate> {
    const { version } = await this.#requests.ask("a twin patch", reportedTopic, encodeReported(patch), signal);
    return { version };
  }

  /** Takes the place of an earlier handler. */
  onDesired(handler: DesiredHandler): void {
    this.#handler = handler;
    this.#desired.listen();
  }

  connected(): void {
    this.#requests.connected();
    this.#desired.connected();
  }

  lost(): void {
    this.#desired.lost();
  }

  /** Another hub is asked from now on. */
  moved(): void {
    this.#desired.lost();
    this.#requests.moved();
  }

  /** The client has given up: there will be no answers until it is connected again. */
  stop(error: HubwireError): void {
    this.#desired.lost();
    this.#requests.close(error);
  }

  close(error: HubwireError): void {
    this.#closed = true;
    this.stop(error);
  }

  answered(requestId: string | undefined, status: number, version: number | undefined, body: Uint8Array): void {
    this.#requests.answered(requestId, status, version, body);
  }

  /** The hub tells of a change. */
  changed(version: number | undefined, body: Uint8Array): void {
    const section = parseObject(body);
    const number = version ?? section?.["$version"];
    if (section && typeof number === "number") {
      this.#desired.notified(number, sectionOf(section).properties);
      return;
    }
    const message = "a change of desired properties without JSON object or version: the twin is read instead";
    this.#hub.report(new HubwireError("ERR_PROTOCOL_VIOLATION", message));
    this.#desired.doubt();
  }

  #tell(patch: JsonObject, version: number): void {
    const call = async (): Promise<void> => {
      try {
        if (!this.#closed) await this.#call(patch, version);
      } catch (error) {
        this.#hub.report(asHubwireError(error, "the handler of desired properties failed"));
      }
      this.#desired.taken();
    };
    this.#calls = this.#calls.then(call);
  }

  /** A handler that never settles must not keep all later changes from it. */
  #call(patch: JsonObject, version: number): Promise<void> {
    const { busy, clock, handlerTimeout } = this.#hub;
    const late = (): HubwireError => lateHandler("the handler of desired properties", handlerTimeout);
    return busy.within(clock, handlerTimeout, this.#handler?.(patch, version), late);
  }

  async #readForHandler(): Promise<void> {
    try {
      const { desired } = await this.#read();
      const { $version, properties } = sectionOf(desired);
      this.#desired.readDone($version, properties);
    } catch (error) {
      // Of the end of a connection, other events tell.
      if (this.#hub.connected()) this.#hub.report(asHubwireError(error, "the twin could not be read"));
      this.#desired.readFailed();
    }
  }

  async #read(signal?: AbortSignal): Promise<Twin> {
    const { body } = await this.#requests.ask("a twin read", twinGetTopic, "", signal);
    const twin = parseObject(body);
    if (!isJsonObject(twin?.["desired"]) || !isJsonObject(twin["reported"])) {
      throw new HubwireError("ERR_PROTOCOL_VIOLATION", "the hub's twin is not JSON with desired and reported");
    }
    return twin as unknown as Twin;
  }
}

/** The properties themselves, without what the hub keeps beside them. */
function sectionOf(section: JsonObject): { $version: number; properties: JsonObject } {
  const { $version, $metadata: _, ...properties } = section;
  return { $version: Number($version) || 0, properties };
}
