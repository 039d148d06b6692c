/**
 * The Device Provisioning Service on the hub's own port: enrolments, registration, and polling for its
 * result.
 *
 * Invariants: a registration is assigned at most once per operation; a device reaches only the operations of
 * its own registration id. Every session is clean, nothing of a connection outlives it.
 */
import { randomUUID, type X509Certificate } from "node:crypto";
import { matchTopic } from "../codec/index.js";
import type { ConnectPacket, QoS } from "../codec/index.js";
import { deriveGroupKey, verifySasToken } from "../wire/sas.js";
import { parseOutbound, PROVISIONING_FILTER, provisioningResponseTopic } from "../wire/topics.js";
import { NOT_AUTHORIZED } from "./admission.js";
import type { HubContext } from "./events.js";
import { violation, type Endpoint, type Link, type Verdict } from "./link.js";
import { authenticationOf, certificateObjection, type Authentication, type IdentityOptions } from "./registry.js";

export interface ProvisioningOptions {
  /** Default: "0ne00000000". */
  idScope?: string | undefined;
  /** What a device is told to wait before it polls, seconds. Default: 1. */
  retryAfter?: number | undefined;
  /** How many polls it takes until the device is assigned. Default: 1. */
  polls?: number | undefined;
}

/** What an enrolment's `allocate` is asked. */
export interface AllocationRequest {
  registrationId: string;
  /** What the device sent along. */
  payload: unknown;
}

export interface EnrollmentOptions extends Omit<IdentityOptions, "enabled"> {
  /** Default: the registration id. */
  deviceId?: string | undefined;
  /** The hub to name as the assigned one. Default: this one. */
  assignedHub?: string | undefined;
  /** Sent to the device with the result. */
  payload?: unknown;
  /** false: registrations end with the status "disabled". */
  enabled?: boolean | undefined;
  /** Chooses afresh at every registration; what it throws makes the registration fail. */
  allocate?:
    ((request: AllocationRequest) => { deviceId?: string; assignedHub?: string; payload?: unknown }) | undefined;
}

/** An enrolment as the caller sees it; the keys are undefined with X.509. */
export interface Enrollment {
  idScope: string;
  primaryKey: string | undefined;
  secondaryKey: string | undefined;
}

interface EnrollmentRecord {
  readonly authentication: Authentication;
  readonly options: EnrollmentOptions;
}

/** What a device proved to be when it connected. */
interface Registrant {
  readonly registrationId: string;
  readonly record: EnrollmentRecord;
  /** What the device is known by at the hub from now on. */
  readonly authentication: Authentication;
}

interface Operation {
  readonly registrationId: string;
  pollsLeft: number;
  readonly result: object;
}

/** Makes or updates the device in the hub's registry. */
export type Assign = (deviceId: string, authentication: Authentication) => void;

const USERNAME = /^([^/]+)\/registrations\/([^/]+)\/\??api-version=[\d-]+/;

/** The names in a provisioning user name, or undefined for any other user name. */
export function parseProvisioningUsername(username: string): { idScope: string; registrationId: string } | undefined {
  const found = USERNAME.exec(username);
  return found === null ? undefined : { idScope: found[1] as string, registrationId: found[2] as string };
}

export class ProvisioningService {
  readonly idScope: string;
  readonly #context: HubContext;
  readonly #retryAfter: number;
  readonly #polls: number;
  readonly #hubName: string;
  readonly #assign: Assign;
  readonly #individuals = new Map<string, EnrollmentRecord>();
  readonly #groups: EnrollmentRecord[] = [];
  readonly #operations = new Map<string, Operation>();

  constructor(context: HubContext, hubName: string, options: ProvisioningOptions, assign: Assign) {
    this.#context = context;
    this.#hubName = hubName;
    this.#assign = assign;
    this.idScope = options.idScope ?? "0ne00000000";
    this.#retryAfter = options.retryAfter ?? 1;
    this.#polls = options.polls ?? 1;
  }

  get retryAfter(): number {
    return this.#retryAfter;
  }

  enroll(registrationId: string, options: EnrollmentOptions): Enrollment {
    const record = { authentication: authenticationOf(options), options };
    this.#individuals.set(registrationId, record);
    return this.#enrollment(record);
  }

  enrollGroup(options: EnrollmentOptions): Enrollment {
    const record = { authentication: authenticationOf(options), options };
    this.#groups.push(record);
    return this.#enrollment(record);
  }

  /** Checks a CONNECT to the service. */
  admit(link: Link, connect: ConnectPacket, idScope: string, registrationId: string): Verdict {
    if (idScope !== this.idScope) return { returnCode: NOT_AUTHORIZED, reason: "the id scope is another one" };
    if (connect.clientId !== registrationId) {
      return { returnCode: NOT_AUTHORIZED, reason: "the client identifier must be the registration id" };
    }
    const individual = this.#individuals.get(registrationId);
    const registrant =
      individual !== undefined
        ? this.#prove(registrationId, individual, individual.authentication, link, connect)
        : this.#proveByGroup(registrationId, link, connect);
    return registrant === undefined
      ? {
          returnCode: NOT_AUTHORIZED,
          reason: `no enrolment accepts ${registrationId} with these credentials`,
        }
      : {
          endpoint: new ProvisioningSession(this, link, registrant),
          sessionPresent: false,
          expiry: Infinity,
        };
  }

  /** Begins a registration; returns the operation's id. */
  register(registrant: Registrant, payload: unknown): string {
    const operationId = `4.${randomUUID()}`;
    this.#operations.set(operationId, {
      registrationId: registrant.registrationId,
      pollsLeft: this.#polls,
      result: this.#register(registrant, payload),
    });
    return operationId;
  }

  /** The state of an operation as the device is told it, and its status. */
  poll(registrationId: string, operationId: string): { status: number; body: object } {
    const operation = this.#operations.get(operationId);
    if (operation?.registrationId !== registrationId) return failure(404, 404_201, "there is no such operation");
    operation.pollsLeft--;
    return operation.pollsLeft > 0
      ? { status: 202, body: { operationId, status: "assigning" } }
      : { status: 200, body: { operationId, ...operation.result } };
  }

  /** The status that the fault `provisioning` asks for. */
  get fault(): number | undefined {
    return this.#context.faults.provisioning;
  }

  #enrollment({ authentication }: EnrollmentRecord): Enrollment {
    const keys = authentication.type === "symmetric" ? authentication : undefined;
    return { idScope: this.idScope, primaryKey: keys?.primaryKey, secondaryKey: keys?.secondaryKey };
  }

  #proveByGroup(registrationId: string, link: Link, connect: ConnectPacket): Registrant | undefined {
    for (const group of this.#groups) {
      const { authentication } = group;
      const own: Authentication =
        authentication.type !== "symmetric"
          ? authentication
          : {
              type: "symmetric",
              primaryKey: deriveGroupKey(authentication.primaryKey, registrationId),
              secondaryKey: deriveGroupKey(authentication.secondaryKey, registrationId),
            };
      const registrant = this.#prove(registrationId, group, own, link, connect);
      if (registrant !== undefined) return registrant;
    }
    return undefined;
  }

  #prove(
    registrationId: string,
    record: EnrollmentRecord,
    authentication: Authentication,
    link: Link,
    connect: ConnectPacket,
  ): Registrant | undefined {
    const now = this.#context.clock.wallTime();
    if (authentication.type === "symmetric") {
      const refused = verifySasToken(Buffer.from(connect.password ?? "").toString("utf8"), {
        scope: `${this.idScope}/registrations/${registrationId}`,
        now,
        keys: (keyName) => (keyName === "registration" ? [authentication.primaryKey, authentication.secondaryKey] : []),
      });
      return refused === undefined ? { registrationId, record, authentication } : undefined;
    }
    const certificate: X509Certificate | undefined = link.certificate;
    if (certificate === undefined || connect.password !== undefined) return undefined;
    if (certificateObjection(certificate, authentication, registrationId, now) !== undefined) return undefined;
    const thumbprints = [certificate.fingerprint256.replaceAll(":", "")];
    return { registrationId, record, authentication: { type: "thumbprint", thumbprints } };
  }

  #register({ registrationId, record, authentication }: Registrant, payload: unknown): object {
    const { options } = record;
    const now = new Date(this.#context.clock.wallTime()).toISOString();
    const state = { registrationId, createdDateTimeUtc: now, lastUpdatedDateTimeUtc: now };
    if (options.enabled === false) {
      return { status: "disabled", registrationState: { ...state, status: "disabled" } };
    }
    try {
      const chosen = { ...options, ...options.allocate?.({ registrationId, payload }) };
      const deviceId = chosen.deviceId ?? registrationId;
      if (chosen.assignedHub === undefined) this.#assign(deviceId, authentication);
      const event = { registrationId, deviceId };
      this.#context.events.emit("registered", payload === undefined ? event : { ...event, payload });
      return {
        status: "assigned",
        registrationState: {
          ...state,
          assignedHub: chosen.assignedHub ?? this.#hubName,
          deviceId,
          status: "assigned",
          substatus: "initialAssignment",
          etag: randomUUID(),
          ...(chosen.payload === undefined ? {} : { payload: chosen.payload }),
        },
      };
    } catch (error) {
      const errorMessage = error instanceof Error ? error.message : String(error);
      const failed = { ...state, status: "failed", errorCode: 400_207, errorMessage };
      return { status: "failed", registrationState: failed };
    }
  }
}

const failure = (status: number, errorCode: number, message: string): { status: number; body: object } => ({
  status,
  body: { errorCode, message, trackingId: randomUUID() },
});

/** One connection to the service. */
class ProvisioningSession implements Endpoint {
  readonly #service: ProvisioningService;
  readonly #link: Link;
  readonly #registrant: Registrant;
  readonly #subscriptions = new Set<string>();

  constructor(service: ProvisioningService, link: Link, registrant: Registrant) {
    this.#service = service;
    this.#link = link;
    this.#registrant = registrant;
  }

  subscribe(topicFilter: string, qos: QoS): number {
    if (!topicFilter.startsWith(PROVISIONING_FILTER.slice(0, -1))) return 0x80;
    this.#subscriptions.add(topicFilter);
    return Math.min(qos, 1);
  }

  unsubscribe(topicFilter: string): void {
    this.#subscriptions.delete(topicFilter);
  }

  publish(topic: string, payload: Uint8Array): void {
    const parsed = parseOutbound(topic);
    const requestId = parsed?.kind === "register" || parsed?.kind === "operation" ? parsed.requestId : undefined;
    if (requestId === undefined) throw violation("the provisioning service takes registrations and polls with a $rid");
    const { fault } = this.#service;
    if (fault !== undefined) this.#answer(requestId, failure(fault, fault * 1000, "the fault `provisioning` is set"));
    else if (parsed?.kind === "operation") {
      this.#answer(requestId, this.#service.poll(this.#registrant.registrationId, parsed.operationId ?? ""));
    } else {
      this.#register(requestId, payload);
    }
  }

  #register(requestId: string, payload: Uint8Array): void {
    let body: { registrationId?: unknown; payload?: unknown } | null;
    try {
      body = JSON.parse(Buffer.from(payload).toString("utf8")) as typeof body;
    } catch {
      body = null;
    }
    if (typeof body !== "object" || body === null) {
      return this.#answer(requestId, failure(400, 400_004, "the body is not a JSON object"));
    }
    if (body.registrationId !== this.#registrant.registrationId) {
      return this.#answer(requestId, failure(401, 401_002, "the registration id is not the one connected"));
    }
    const operationId = this.#service.register(this.#registrant, body.payload);
    this.#answer(requestId, { status: 202, body: { operationId, status: "assigning" } });
  }

  #answer(requestId: string, { status, body }: { status: number; body: object }): void {
    const retryAfter = status === 202 || status === 429 ? this.#service.retryAfter : undefined;
    const topic = provisioningResponseTopic(status, requestId, retryAfter);
    for (const topicFilter of this.#subscriptions) {
      if (matchTopic(topicFilter, topic)) return this.#link.publish(topic, JSON.stringify(body), 0, false, 0);
    }
  }

  // Nothing of a session here waits for these.
  started(): void {}
  subscribed(): void {}
  acknowledged(): void {}
  closed(): void {}
}
