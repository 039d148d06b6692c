/**
 * What a hub is started with, checked.
 *
 * Invariant: a misspelt option, or a value that cannot be meant, is an error: one that is silently ignored costs more time.
 */
import { attempt, checkOptions, checkValue, invalid, type Rule, type Rules } from "../check.js";
import type { Clock } from "../clock.js";
import { checkTexts, createAuthority, restoreAuthority, type Authority } from "./certificates.js";
import type { Limits } from "./limits.js";
import type { ProvisioningOptions } from "./provisioning.js";
import { checkState, type HubState } from "./state.js";

/** PEM; `certificate` may be followed by intermediates. */
export interface ServerCertificate {
  /** The server's own certificate first, PEM. */
  certificate: string;
  /** Its private key, PEM. */
  key: string;
}

/** What `HubEmulator.start` takes. */
export interface HubOptions {
  /** 0, the default, takes any free port. */
  port?: number | undefined;
  /** The one address to listen on. Default: both loopback addresses, 127.0.0.1 and ::1. */
  host?: string | undefined;
  /** What devices call the hub: in connection strings, user names and SAS tokens. Default: "localhost". */
  hostName?: string | undefined;
  /** Further host names or addresses by which devices dial or name the hub. */
  alternativeNames?: readonly string[] | undefined;
  /** Signs the server's certificate. Default: that of `state`, or a new one. */
  authority?: Authority | undefined;
  /** The server's certificate and key (PEM) in place of one made at start. */
  certificate?: ServerCertificate | undefined;
  /**
   * Keys of shared access policies, base64, by name. Default: those of `state`, or random keys for "iothubowner", "device"
   * and "service". As at a real hub, "service" and the "registry…" policies may not speak for devices.
   */
  policies?: Readonly<Record<string, string>> | undefined;
  /** Quotas that differ from those of an S1 hub; `{ throttling: false }` lifts every rate. */
  limits?: Partial<Limits> | undefined;
  /** How the provisioning service behaves. */
  provisioning?: ProvisioningOptions | undefined;
  /** What `exportState` returned before: the same authority, policies, identities with their twins, and enrolments. */
  state?: HubState | undefined;
  /** Default: the process's own, with timers that don't keep the process alive. */
  clock?: Clock | undefined;
}

/** Names a module of the device. */
export interface ModuleOption {
  /** The module; without it the device itself is meant. */
  moduleId?: string | undefined;
}

/** How a twin is updated. */
export interface TwinUpdateOptions extends ModuleOption {
  /** The twin must still have this etag; ERR_HUB_STATUS, status 412, otherwise. */
  etag?: string | undefined;
}

const OPTIONS: Rules = {
  port: [0, 65_535],
  host: "string",
  hostName: "string",
  alternativeNames: "object",
  authority: "object",
  certificate: "object",
  policies: "object",
  limits: "object",
  provisioning: "object",
  state: "object",
  clock: "object",
} satisfies Record<keyof HubOptions, Rule>;

const PROVISIONING: Rules = { idScope: "string", retryAfter: [0, Infinity], polls: [1, 2 ** 31] };

const CREDENTIALS: Rules = {
  primaryKey: "string",
  secondaryKey: "string",
  thumbprint: "string|object",
  certificateAuthority: "string|object",
  enabled: "boolean",
};
const MODULE: Rules = { moduleId: "string" };
const TWIN: Rules = { moduleId: "string", etag: "string" };

/** The options of each call of a hub that takes some. */
const CALLS = {
  createDevice: { ...CREDENTIALS, x509: "boolean" },
  createModule: { ...CREDENTIALS, x509: "boolean" },
  updateDevice: CREDENTIALS,
  connectionString: { moduleId: "string", keyName: "string", gatewayHostName: "string" },
  telemetry: { deviceId: "string", moduleId: "string", capacity: [1, 2 ** 31], signal: "object" },
  sendToDevice: {
    moduleId: "string",
    inputName: "string",
    properties: "object",
    messageId: "string",
    correlationId: "string",
    userId: "string",
    to: "string",
    contentType: "string",
    contentEncoding: "string",
    expiry: "number|object",
    ack: "string",
  },
  invokeMethod: { moduleId: "string", connectTimeout: [0, Infinity], responseTimeout: [0, Infinity] },
  updateDesiredProperties: TWIN,
  replaceDesiredProperties: TWIN,
  updateTags: TWIN,
  replaceTags: TWIN,
  createEnrollment: {
    ...CREDENTIALS,
    deviceId: "string",
    assignedHub: "string",
    payload: "any",
    allocate: "function",
  },
  disconnectDevice: { moduleId: "string", abruptly: "boolean" },
  module: MODULE,
} as const satisfies Record<string, Rules>;

/** A copy of a call's options. Throws ERR_INVALID_ARGUMENT for an unknown one, and for one of a wrong type. */
export function optionsOf<T extends object>(call: keyof typeof CALLS, options: T): T {
  return checkOptions(options, CALLS[call], call === "module" ? "a call" : call);
}

/** Throws ERR_INVALID_ARGUMENT, `text`, for what has no such method. */
export function checkMethod(value: unknown, name: string, text: string): void {
  if (attempt(() => typeof (value as Record<string, unknown>)[name] !== "function", true)) throw invalid(text);
}

/** Throws ERR_INVALID_ARGUMENT: where one is missing, TLS would do without a certificate, and fail at each client. */
export function checkCertificate({ certificate, key }: ServerCertificate): void {
  checkValue(certificate, "string", "the certificate (PEM)");
  checkValue(key, "string", "the certificate's key (PEM)");
}

/** Throws ERR_INVALID_ARGUMENT for an unknown option and for what cannot be meant. */
function checkHubOptions(given: HubOptions): HubOptions {
  const options = checkOptions(given, OPTIONS, "HubEmulator.start");
  for (const name of ["host", "hostName"] as const) {
    // Node takes an empty host for every interface.
    if (options[name]?.trim() !== "") continue;
    throw invalid(`option ${name} of HubEmulator.start must not be empty; 0.0.0.0 listens on every interface`);
  }
  checkTexts(options.alternativeNames, "alternativeNames of HubEmulator.start");
  if (options.authority !== undefined) {
    const rule = "option authority of HubEmulator.start must be of createAuthority or restoreAuthority";
    checkMethod(options.authority, "issue", rule);
  }
  if (options.certificate !== undefined) checkCertificate(options.certificate);
  if (options.state !== undefined) checkState(options.state);
  checkOptions(options.provisioning, PROVISIONING, "provisioning");
  return options;
}

const isAddress = (name: string): boolean => name.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(name);

/** The server's certificate, for every name by which a device may dial. */
export function issueFor(authority: Authority, commonName: string, names: readonly string[]): ServerCertificate {
  const { chain, key } = authority.issue({
    commonName,
    dnsNames: names.filter((name) => !isAddress(name)),
    ipAddresses: names.filter(isAddress),
  });
  return { certificate: chain, key };
}

/** What the options leave to be found: names, authority, certificate. */
export interface Setup {
  /** Checked. */
  readonly options: HubOptions;
  readonly hostName: string;
  /** All names, the host name first. */
  readonly names: readonly string[];
  readonly authority: Authority;
  readonly server: ServerCertificate;
}

/** Throws ERR_INVALID_ARGUMENT. */
export function setUp(given: HubOptions): Setup {
  const options = checkHubOptions(given);
  const { alternativeNames = [], host, state } = options;
  const hostName = options.hostName ?? state?.hostName ?? "localhost";
  const names = [
    ...new Set([hostName, "localhost", "127.0.0.1", "::1", ...(host === undefined ? [] : [host]), ...alternativeNames]),
  ];
  const kept = state && restoreAuthority(state.authority.certificate, state.authority.privateKey);
  const authority = options.authority ?? kept ?? createAuthority();
  return { options, hostName, names, authority, server: options.certificate ?? issueFor(authority, hostName, names) };
}
