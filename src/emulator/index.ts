/** `hubwire/emulator`: IoT Hub in the process, for development and tests. */
export { HubwireError, type ErrorCode } from "../errors.js";
export {
  createAuthority,
  createSelfSigned,
  type Authority,
  type CertificateOptions,
  type IssuedCertificate,
} from "./certificates.js";
export type { Clock } from "../clock.js";
export type { Acknowledgement, CloudCompletion, CloudOutcome, SendOptions } from "./cloud-queue.js";
export type {
  ConnectedEvent,
  DisconnectedEvent,
  HubEvents,
  RefusedEvent,
  RegisteredEvent,
  ReportedEvent,
  SubscribedEvent,
  TelemetryMessage,
  ViolationEvent,
} from "./events.js";
export type { Faults } from "./faults.js";
export {
  HubEmulator,
  type ConnectionStringOptions,
  type CreatedIdentity,
  type CreateOptions,
  type HubOptions,
  type SentMessage,
} from "./hub.js";
export { defaultLimits, type Limits } from "./limits.js";
export type { CloseReason } from "./link.js";
export type { InvokeOptions, MethodResponse } from "./methods.js";
export type { AllocationRequest, Enrollment, EnrollmentOptions, ProvisioningOptions } from "./provisioning.js";
export type { IdentityOptions } from "./registry.js";
export type { Json, JsonObject, Twin } from "./twin.js";
