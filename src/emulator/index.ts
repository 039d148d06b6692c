/**
 * `hubwire/emulator`: IoT Hub in the process, for development and tests. README.md beside this file is its guide, with the
 * table of what it does as the real hub does it, and what it leaves out.
 */
export { HubwireError, type ErrorCode, type ErrorDetails, type ErrorKind } from "../errors.js";
export {
  createAuthority,
  createSelfSigned,
  restoreAuthority,
  type Authority,
  type CertificateOptions,
  type IssuedCertificate,
} from "./certificates.js";
export type { Clock } from "../clock.js";
export type { Acknowledgement, CloudCompletion, CloudOutcome, SendOptions } from "./cloud-queue.js";
export type { Allocation, AllocationRequest, Enrollment, EnrollmentOptions } from "./enrollments.js";
export type {
  ConnectedEvent,
  DisconnectedEvent,
  FeedbackEvent,
  HubEvents,
  RefusedEvent,
  RegisteredEvent,
  ReportedEvent,
  Stamps,
  SubscribedEvent,
  TelemetryMessage,
  ThrottledEvent,
  TwinRefusedEvent,
  UnsubscribedEvent,
  ViolationEvent,
} from "./events.js";
export type { Faults, FaultSettings } from "./faults.js";
export { HubEmulator, type SentMessage } from "./hub.js";
export type { ConnectionStringOptions, CreatedIdentity, CreateOptions } from "./identities.js";
export { defaultLimits, type Limits } from "./limits.js";
export type { CloseReason } from "./link.js";
export type { InvokeOptions, MethodResponse } from "./methods.js";
export type { HubOptions, ModuleOption, ServerCertificate, TwinUpdateOptions } from "./options.js";
export type { ProvisioningOptions } from "./provisioning.js";
export type { IdentityOptions, OwnCertificate } from "./registry.js";
export type { EnrollmentState, HubState, IdentityState } from "./state.js";
export type { TelemetryOptions } from "./telemetry-stream.js";
export type { Operation, ThrottleOutcome } from "./throttle.js";
export type { Json, JsonObject, SectionState, Twin, TwinState } from "./twin.js";
