/**
 * The Device Provisioning Service on the hub's own port: registration, and polling for its result ("Communicate with DPS
 * using the MQTT protocol", "Troubleshooting with Azure IoT Hub Device Provisioning Service").
 *
 * Invariants: a registration is assigned at most once per operation; a device reaches only the operations of
 * its own registration id, of which a bounded number is kept. Every session is clean, nothing of a connection outlives
 * it. A wrong key is told after CONNECT, in answer to the first request; a wrong certificate by CONNACK.
 */
import { randomUUID } from "node:crypto";
import type { ConnectPacket, QoS } from "../codec/index.js";
import { parseOutbound, PROVISIONING_FILTER, provisioningResponseTopic } from "../wire/topics.js";
import { BAD_USERNAME_OR_PASSWORD, NOT_AUTHORIZED } from "./admission.js";
import { checkPayload, type EnrollmentOptions, Enrollments, type Registrant } from "./enrollments.js";
import type { HubContext } from "./events.js";
import type { Faults } from "./faults.js";
import { violation, type Endpoint, type Link, type Verdict } from "./link.js";
import type { Authentication } from "./registry.js";
import { Lane, type Throttle } from "./throttle.js";

/** How the provisioning service behaves. */
export interface ProvisioningOptions {
  /** Default: "0ne00000000". */
  idScope?: string | undefined;
  /** What a device is told to wait before it polls, seconds. Default: 1. */
  retryAfter?: number | undefined;
  /** How many polls it takes until the device is assigned. Default: 1. */
  polls?: number | undefined;
}

interface Operation {
  readonly registrationId: string;
  pollsLeft: number;
  readonly result: object;
}

/** What a device is answered. */
interface Answer {
  readonly status: number;
  readonly body: object;
}

/** Makes or updates the device in the hub's registry. */
export type Assign = (deviceId: string, authentication: Authentication) => void;

const USERNAME = /^([^/]+)\/registrations\/([^/]+)\/\??api-version=([\w-]+)/;

/** The versions of the service's device API that exist. */
const API_VERSIONS: ReadonlySet<string> = new Set([
  "2017-08-31-preview",
  "2017-11-15",
  "2018-04-01",
  "2018-09-01-preview",
  "2018-11-01",
  "2019-03-31",
  "2021-06-01",
  "2021-10-01",
]);

/** The names in a provisioning user name. */
export interface ProvisioningNames {
  readonly idScope: string;
  readonly registrationId: string;
  readonly apiVersion: string;
}

/** Reads a provisioning user name; undefined for any other. */
export function parseProvisioningUsername(username: string): ProvisioningNames | undefined {
  const found = USERNAME.exec(username);
  if (found === null) return undefined;
  const [, idScope = "", registrationId = "", apiVersion = ""] = found;
  return { idScope, registrationId, apiVersion };
}

export class ProvisioningService {
  readonly idScope: string;
  readonly enrollments: Enrollments;
  readonly #context: HubContext;
  readonly #retryAfter: number;
  readonly #polls: number;
  readonly #hubName: string;
  readonly #assign: Assign;
  readonly #operations = new Map<string, Operation>();

  constructor(context: HubContext, hubName: string, options: ProvisioningOptions, assign: Assign) {
    this.#context = context;
    this.#hubName = hubName;
    this.#assign = assign;
    this.idScope = options.idScope ?? "0ne00000000";
    this.#retryAfter = options.retryAfter ?? 1;
    this.#polls = options.polls ?? 1;
    this.enrollments = new Enrollments(this.idScope, () => context.events.emit("changed"));
  }

  get retryAfter(): number {
    return this.#retryAfter;
  }

  /** Checks a CONNECT to the service; `faults` are those of the device that it registers as. */
  admit(link: Link, connect: ConnectPacket, names: ProvisioningNames, faults: Faults): Verdict {
    const { idScope, registrationId, apiVersion } = names;
    const refusal = (returnCode: number, reason: string): Verdict => ({ returnCode, reason });
    if (!API_VERSIONS.has(apiVersion)) {
      return refusal(BAD_USERNAME_OR_PASSWORD, "the user name's api-version does not exist; 2019-03-31 does");
    }
    if (idScope !== this.idScope) return refusal(NOT_AUTHORIZED, "the id scope is another one");
    if (connect.clientId !== registrationId) {
      return refusal(NOT_AUTHORIZED, "the client identifier must be the registration id");
    }
    const { clock, limits } = this.#context;
    const proved = this.enrollments.prove(registrationId, {
      password: connect.password === undefined ? undefined : Buffer.from(connect.password).toString("utf8"),
      certificate: link.certificate,
      wallTime: clock.wallTime() + faults.get("clockOffset"),
      clockSkew: limits.clockSkew,
    });
    if (typeof proved === "number" && connect.password === undefined) {
      return refusal(NOT_AUTHORIZED, `no enrolment accepts ${registrationId} with these credentials`);
    }
    const session = new ProvisioningSession(this, this.#context, link, registrationId, proved, faults);
    return { endpoint: session, sessionPresent: false, expiry: Infinity };
  }

  /** Begins a registration; returns the operation's id. */
  register(registrant: Registrant, payload: unknown): string {
    const operationId = `4.${randomUUID()}`;
    this.#operations.set(operationId, {
      registrationId: registrant.registrationId,
      pollsLeft: this.#polls,
      result: this.#register(registrant, payload),
    });
    if (this.#operations.size > this.#context.limits.provisioningOperations) {
      const [oldest = ""] = this.#operations.keys();
      this.#operations.delete(oldest);
    }
    return operationId;
  }

  /** The state of an operation as the device is told it, and its status. */
  poll(registrationId: string, operationId: string): Answer {
    const operation = this.#operations.get(operationId);
    if (operation?.registrationId !== registrationId) {
      return this.failure(404, 404_201, "there is no such operation");
    }
    operation.pollsLeft--;
    return operation.pollsLeft > 0
      ? { status: 202, body: { operationId, status: "assigning" } }
      : { status: 200, body: { operationId, ...operation.result } };
  }

  /** An error as the service writes it. */
  failure(status: number, errorCode: number, message: string): Answer {
    const timestampUtc = new Date(this.#context.clock.wallTime()).toISOString();
    return { status, body: { errorCode, trackingId: randomUUID(), message, timestampUtc } };
  }

  #register({ registrationId, record, authentication }: Registrant, payload: unknown): object {
    const { options } = record;
    const now = new Date(this.#context.clock.wallTime()).toISOString();
    const state = { registrationId, createdDateTimeUtc: now, lastUpdatedDateTimeUtc: now };
    if (options.enabled === false) {
      return { status: "disabled", registrationState: { ...state, status: "disabled" } };
    }
    let chosen: EnrollmentOptions;
    let deviceId: string;
    try {
      chosen = { ...options, ...options.allocate?.({ registrationId, payload }) };
      checkPayload(chosen.payload);
      // A registration id knows no case: one enrolment is one device, whatever case it comes in.
      deviceId = chosen.deviceId ?? record.registrationId ?? registrationId;
      if (chosen.assignedHub === undefined) this.#assign(deviceId, authentication);
    } catch (error) {
      const errorMessage = error instanceof Error ? error.message : String(error);
      const failed = { ...state, status: "failed", errorCode: 400_207, errorMessage };
      return { status: "failed", registrationState: failed };
    }
    // What a listener throws is no failure of the registration.
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
  }
}

/** One connection to the service. */
class ProvisioningSession implements Endpoint {
  readonly #service: ProvisioningService;
  readonly #context: HubContext;
  readonly #link: Link;
  readonly #registrationId: string;
  readonly #proved: Registrant | 401 | 404;
  readonly #faults: Faults;
  readonly #lane: Lane;
  readonly #polls: Throttle;
  /** Of the one filter that there is; undefined without a subscription. */
  #grantedQos: number | undefined;
  #lastPacketId = 0;
  #refusals = 0;

  constructor(
    service: ProvisioningService,
    context: HubContext,
    link: Link,
    registrationId: string,
    proved: Registrant | 401 | 404,
    faults: Faults,
  ) {
    this.#service = service;
    this.#context = context;
    this.#link = link;
    this.#registrationId = registrationId;
    this.#proved = proved;
    this.#faults = faults;
    this.#lane = new Lane(context.clock, context.throttles);
    this.#polls = context.throttles.polls();
  }

  subscribe(topicFilter: string, qos: QoS): number {
    if (topicFilter !== PROVISIONING_FILTER) {
      throw violation(
        `a SUBSCRIBE to ${JSON.stringify(topicFilter.slice(0, 200))}: DPS knows ${PROVISIONING_FILTER} alone`,
      );
    }
    this.#grantedQos = Math.min(qos, 1);
    return this.#grantedQos;
  }

  unsubscribe(topicFilter: string): void {
    if (topicFilter === PROVISIONING_FILTER) this.#grantedQos = undefined;
  }

  publish(topic: string, payload: Uint8Array): boolean {
    const parsed = parseOutbound(topic);
    const requestId = parsed?.kind === "register" || parsed?.kind === "operation" ? parsed.requestId : undefined;
    if (requestId === undefined) throw violation("the provisioning service takes registrations and polls with a $rid");
    const fault = this.#faults.strike("provisioning");
    if (fault !== undefined) {
      this.#answer(requestId, this.#service.failure(fault, fault * 1000, "the fault `provisioning` is set"));
    } else if (this.#proved === 401) {
      this.#answer(requestId, this.#service.failure(401, 401_002, "Unauthorized"));
    } else if (this.#proved === 404) {
      this.#answer(requestId, this.#service.failure(404, 404_201, "there is no such enrolment"));
    } else if (parsed?.kind === "operation") {
      const { operationId = "" } = parsed;
      if (this.#polls.admit(this.#context.clock.now()) === Infinity) this.#refuse(requestId, "poll");
      else this.#answer(requestId, this.#service.poll(this.#registrationId, operationId));
    } else {
      this.#onRegister(requestId, this.#proved, payload);
    }
    return true;
  }

  closed(): void {
    this.#lane.clear();
  }

  #onRegister(requestId: string, registrant: Registrant, payload: Uint8Array): void {
    const { throttles, limits } = this.#context;
    if (payload.length > limits.provisioningBytes) {
      return this.#answer(
        requestId,
        this.#service.failure(400, 400_004, `the body is over ${limits.provisioningBytes} bytes`),
      );
    }
    const body = readBody(payload);
    if (body === undefined) {
      return this.#answer(requestId, this.#service.failure(400, 400_004, "the body is not a JSON object"));
    }
    const { registrationId = this.#registrationId } = body;
    if (String(registrationId).toLowerCase() !== this.#registrationId.toLowerCase()) {
      return this.#answer(requestId, this.#service.failure(401, 401_002, "Unauthorized"));
    }
    const run = (): void => {
      const operationId = this.#service.register(registrant, body.payload);
      this.#answer(requestId, { status: 202, body: { operationId, status: "assigning" } });
    };
    const delay = throttles.admit("registration");
    if (delay === 0 && this.#lane.isEmpty) run();
    else if (delay === Infinity || !this.#lane.add(delay, payload.length, run)) this.#refuse(requestId, "registration");
    else this.#context.events.emit("throttled", { operation: "registration", outcome: "delayed" });
  }

  #refuse(requestId: string, operation: "poll" | "registration"): void {
    this.#context.events.emit("throttled", { deviceId: this.#registrationId, operation, outcome: "refused" });
    this.#answer(requestId, this.#service.failure(429, 429_001, "too many requests"));
    if (++this.#refusals < this.#context.limits.refusals) return;
    this.#context.events.emit("throttled", { deviceId: this.#registrationId, operation, outcome: "closed" });
    this.#link.close("throttled");
  }

  #answer(requestId: string, { status, body }: Answer): void {
    const qos = this.#grantedQos;
    if (qos === undefined) return;
    const retryAfter = status === 202 || status === 429 ? this.#service.retryAfter : undefined;
    const topic = provisioningResponseTopic(status, requestId, retryAfter);
    if (qos === 1) this.#lastPacketId = (this.#lastPacketId % 65_535) + 1;
    this.#link.publish(topic, JSON.stringify(body), qos as QoS, false, qos === 1 ? this.#lastPacketId : 0);
  }

  // Nothing of a session here waits for these.
  started(): void {}
  subscribed(): void {}
  acknowledged(): void {}
}

/** The body of a registration; an empty one says nothing more than the user name did. undefined for what is no object. */
function readBody(payload: Uint8Array): { registrationId?: unknown; payload?: unknown } | undefined {
  if (payload.length === 0) return {};
  try {
    const body: unknown = JSON.parse(Buffer.from(payload).toString("utf8"));
    return typeof body === "object" && body !== null && !Array.isArray(body) ? body : undefined;
  } catch {
    return undefined;
  }
}
