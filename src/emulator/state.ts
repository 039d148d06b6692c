/**
 * What makes a hub the same hub when it starts again: `exportState`, and the option `state`.
 *
 * It holds private keys: it belongs into a file that only its owner reads. Left out are connections, sessions, messages
 * that wait, faults, and what is code (an enrolment's `allocate`).
 *
 * Invariant: a state is JSON; one that is not whole is refused before anything is made of it.
 */
import { HubwireError } from "../errors.js";
import type { IdentityOptions, OwnCertificate } from "./registry.js";
import type { TwinState } from "./twin.js";

/** A device or module. */
export interface IdentityState {
  /** The device, or the one that the module is of. */
  deviceId: string;
  /** Absent for a device. */
  moduleId?: string;
  /** Tells devices apart that had the same id one after the other. */
  generationId: string;
  /** Whether it may connect. */
  enabled: boolean;
  /** Keys, thumbprints or authorities. */
  credentials: IdentityOptions;
  /** With `x509: true`: what was made for it. Secret. */
  ownCertificate?: OwnCertificate;
  /** Its twin, with versions and times. */
  twin: TwinState;
}

/** An enrolment, or with no registration id a group of them. */
export interface EnrollmentState {
  /** As it was enrolled; absent for a group. */
  registrationId?: string;
  /** Whether it may register. */
  enabled: boolean;
  /** Keys, thumbprints or authorities. Secret. */
  credentials: IdentityOptions;
  /** The device that it becomes; absent: the registration id. */
  deviceId?: string;
  /** Host name of the hub to name; absent: this one. */
  assignedHub?: string;
  /** Sent to the device with the result, JSON. */
  payload?: unknown;
}

/** Everything of a hub that outlives it. Secret. */
export interface HubState {
  /** Of this format. */
  version: 1;
  /** What devices call the hub. */
  hostName: string;
  /** What signs its certificates. */
  authority: {
    /** PEM. */
    certificate: string;
    /** PEM, PKCS #8. Secret. */
    privateKey: string;
  };
  /** Shared access policies: keys by name. */
  policies: Record<string, string>;
  /** Of the provisioning service. */
  idScope: string;
  /** Devices and modules. */
  identities: IdentityState[];
  /** Individual ones and groups. */
  enrollments: EnrollmentState[];
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
const isText = (value: unknown): boolean => typeof value === "string";

/** Throws ERR_INVALID_ARGUMENT, without a secret, for what `exportState` did not make. */
export function checkState(state: unknown): asserts state is HubState {
  const refuse = (what: string): never => {
    throw new HubwireError("ERR_INVALID_ARGUMENT", `the state ${what}`);
  };
  if (!isObject(state)) return refuse("is no object");
  if (state["version"] !== 1) return refuse("has another version than 1");
  if (!isText(state["hostName"]) || !isText(state["idScope"])) return refuse("has no hostName or idScope");
  const { authority, policies, identities, enrollments } = state;
  if (!isObject(authority) || !isText(authority["certificate"]) || !isText(authority["privateKey"])) {
    return refuse("has no authority");
  }
  if (!isObject(policies) || !Object.values(policies).every(isText)) return refuse("has no policies");
  if (!Array.isArray(identities) || !identities.every(isIdentity)) return refuse("has an identity that is not whole");
  const whole = (each: unknown): boolean => isObject(each) && isObject(each["credentials"]);
  if (!Array.isArray(enrollments) || !enrollments.every(whole)) return refuse("has an enrolment that is not whole");
}

function isIdentity(each: unknown): boolean {
  if (!isObject(each) || !isText(each["deviceId"]) || !isText(each["generationId"])) return false;
  const { twin } = each;
  return (
    isObject(each["credentials"]) &&
    isObject(twin) &&
    isObject(twin["tags"]) &&
    isSection(twin["desired"]) &&
    isSection(twin["reported"])
  );
}

function isSection(section: unknown): boolean {
  if (!isObject(section) || !Number.isSafeInteger(section["version"])) return false;
  return isObject(section["properties"]) && isObject(section["metadata"]);
}
