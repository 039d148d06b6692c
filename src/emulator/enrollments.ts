/**
 * The enrolments of the provisioning service: who may register, and how a registration id proves itself.
 *
 * "Symmetric key attestation": the policy of a token is called `registration`; tokens without one are taken too, as
 * Microsoft's Python SDK and embedded C samples send them. The case of a registration id does not count.
 *
 * Invariant: an individual enrolment goes before every group; what a device proved is decided at CONNECT.
 */
import type { X509Certificate } from "node:crypto";
import { checkValue, invalid } from "../check.js";
import { encodeJson } from "../wire/json.js";
import { deriveGroupKey, verifySasToken } from "../wire/sas.js";
import {
  authenticationOf,
  authenticationOptions,
  certificateObjection,
  type Authentication,
  type IdentityOptions,
} from "./registry.js";
import type { EnrollmentState } from "./state.js";

/** What an enrolment's `allocate` is asked. */
export interface AllocationRequest {
  /** As the device wrote it. */
  registrationId: string;
  /** What the device sent along. */
  payload: unknown;
}

/** What an enrolment's `allocate` decides; what it leaves out is as the enrolment says. */
export interface Allocation {
  /** The device's id at the hub. */
  deviceId?: string;
  /** Host name of the hub that the device is told to connect to. */
  assignedHub?: string;
  /** Sent to the device with the result, as JSON. */
  payload?: unknown;
}

/** How a registration id, or a group of them, is enrolled. */
export interface EnrollmentOptions extends Omit<IdentityOptions, "enabled"> {
  /** Default: the registration id. */
  deviceId?: string | undefined;
  /** The hub to name as the assigned one. Default: this one. */
  assignedHub?: string | undefined;
  /** Sent to the device with the result. */
  payload?: unknown;
  /** false: registrations end with the status "disabled". */
  enabled?: boolean | undefined;
  /** Chooses afresh at every registration; what it throws makes the registration fail. Not part of an exported state. */
  allocate?: ((request: AllocationRequest) => Allocation) | undefined;
}

/** An enrolment as the caller sees it; the keys are undefined with X.509. */
export interface Enrollment {
  /** Of this provisioning service. */
  idScope: string;
  /** undefined for a group. */
  registrationId: string | undefined;
  /** base64: the device's key, or the group's, of which its devices' are derived. Secret. */
  primaryKey: string | undefined;
  /** As `primaryKey`. */
  secondaryKey: string | undefined;
}

export interface EnrollmentRecord {
  readonly registrationId: string | undefined;
  readonly authentication: Authentication;
  readonly options: EnrollmentOptions;
}

/** What a device proved to be when it connected. */
export interface Registrant {
  readonly registrationId: string;
  readonly record: EnrollmentRecord;
  /** What the device is known by at the hub from now on. */
  readonly authentication: Authentication;
}

/** What a device shows at CONNECT. */
export interface Credentials {
  /** The SAS token, where there is one. */
  readonly password: string | undefined;
  readonly certificate: X509Certificate | undefined;
  /** The service's clock, where it counts, and how far tokens may be behind it; ms. */
  readonly wallTime: number;
  readonly clockSkew: number;
}

/** By "Device Provisioning Service: terminology" (registration ID). */
const REGISTRATION_ID = /^[\w.:-]{0,127}[A-Za-z0-9-]$/;

/** Throws ERR_INVALID_ARGUMENT for what cannot be sent to the device with the result. */
export function checkPayload(payload: unknown): void {
  if (payload !== undefined) encodeJson(payload, "an enrolment's payload");
}

export class Enrollments {
  readonly #idScope: string;
  readonly #onChange: () => void;
  readonly #individuals = new Map<string, EnrollmentRecord>();
  readonly #groups: EnrollmentRecord[] = [];

  constructor(idScope: string, onChange: () => void) {
    this.#idScope = idScope;
    this.#onChange = onChange;
  }

  /** Enrols one registration id, or with null a group. Throws ERR_INVALID_ARGUMENT. */
  add(registrationId: string | null, options: EnrollmentOptions): Enrollment {
    checkValue(registrationId, "string|null", "the registration id");
    if (registrationId !== null && !REGISTRATION_ID.test(registrationId)) {
      throw invalid("a registration id has 1 to 128 of A-Z a-z 0-9 - . _ : and ends with a letter, digit or dash");
    }
    checkPayload(options.payload);
    const record = { registrationId: registrationId ?? undefined, authentication: authenticationOf(options), options };
    if (registrationId === null) this.#groups.push(record);
    else this.#individuals.set(registrationId.toLowerCase(), record);
    this.#onChange();
    return this.#described(record);
  }

  list(): Enrollment[] {
    return [...this.#individuals.values(), ...this.#groups].map((record) => this.#described(record));
  }

  /** Who the device is, or the status that it is answered with: 401 for wrong credentials, 404 for no enrolment. */
  prove(registrationId: string, credentials: Credentials): Registrant | 401 | 404 {
    const individual = this.#individuals.get(registrationId.toLowerCase());
    if (individual !== undefined) {
      return this.#prove(registrationId, individual, individual.authentication, credentials) ?? 401;
    }
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
      const registrant = this.#prove(registrationId, group, own, credentials);
      if (registrant !== undefined) return registrant;
    }
    return this.#groups.length > 0 ? 401 : 404;
  }

  /** Everything but code, as `restore` takes it again. */
  export(): EnrollmentState[] {
    return [...this.#individuals.values(), ...this.#groups].map(({ registrationId, authentication, options }) => ({
      ...(registrationId === undefined ? {} : { registrationId }),
      enabled: options.enabled ?? true,
      credentials: authenticationOptions(authentication),
      ...(options.deviceId === undefined ? {} : { deviceId: options.deviceId }),
      ...(options.assignedHub === undefined ? {} : { assignedHub: options.assignedHub }),
      ...(options.payload === undefined ? {} : { payload: options.payload }),
    }));
  }

  restore(states: readonly EnrollmentState[]): void {
    for (const { registrationId, credentials, ...options } of states) {
      this.add(registrationId ?? null, { ...credentials, ...options });
    }
  }

  #described({ registrationId, authentication }: EnrollmentRecord): Enrollment {
    const keys = authentication.type === "symmetric" ? authentication : undefined;
    return {
      idScope: this.#idScope,
      registrationId,
      primaryKey: keys?.primaryKey,
      secondaryKey: keys?.secondaryKey,
    };
  }

  #prove(
    registrationId: string,
    record: EnrollmentRecord,
    authentication: Authentication,
    { password, certificate, wallTime, clockSkew }: Credentials,
  ): Registrant | undefined {
    if (authentication.type === "symmetric") {
      const refused = verifySasToken(password ?? "", {
        scope: `${this.#idScope}/registrations/${registrationId}`,
        ignoreCase: true,
        now: wallTime - clockSkew,
        keys: (keyName) =>
          keyName === undefined || keyName === "registration"
            ? [authentication.primaryKey, authentication.secondaryKey]
            : [],
      });
      return refused === undefined ? { registrationId, record, authentication } : undefined;
    }
    if (certificate === undefined || password !== undefined) return undefined;
    if (certificateObjection(certificate, authentication, registrationId, wallTime) !== undefined) return undefined;
    const thumbprints = [certificate.fingerprint256.replaceAll(":", "")];
    return { registrationId, record, authentication: { type: "thumbprint", thumbprints } };
  }
}
