/**
 * What a hub is started with, checked.
 *
 * Invariant: a misspelt option, or a value that cannot be meant, is an error: one that is silently ignored costs more time.
 */
import type { Clock } from "../clock.js";
import { HubwireError } from "../errors.js";
import { createAuthority, restoreAuthority, type Authority } from "./certificates.js";
import type { Limits } from "./limits.js";
import type { ProvisioningOptions } from "./provisioning.js";
import { checkState, type HubState } from "./state.js";

/** PEM; `certificate` may be followed by intermediates. */
export interface ServerCertificate {
  certificate: string;
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
  provisioning?: ProvisioningOptions | undefined;
  /** What `exportState` returned before: the same authority, policies, identities with their twins, and enrolments. */
  state?: HubState | undefined;
  /** Default: the process's own, with timers that don't keep the process alive. */
  clock?: Clock | undefined;
}

const OPTIONS: readonly string[] = [
  "port",
  "host",
  "hostName",
  "alternativeNames",
  "authority",
  "certificate",
  "policies",
  "limits",
  "provisioning",
  "state",
  "clock",
] satisfies (keyof HubOptions)[];

/** Throws ERR_INVALID_ARGUMENT for an unknown option and for what cannot be meant. */
export function checkOptions(options: HubOptions): void {
  if (typeof options !== "object" || options === null) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "the options must be an object");
  }
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown !== undefined) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", `unknown option ${unknown}; there are: ${OPTIONS.join(", ")}`);
  }
  for (const name of ["host", "hostName"] as const) {
    const value: unknown = options[name];
    // Node takes an empty host for every interface.
    if (value !== undefined && (typeof value !== "string" || value.trim() === "")) {
      const meant = name === "host" ? "the address to listen on" : "what devices call the hub";
      throw new HubwireError("ERR_INVALID_ARGUMENT", `${name} must be a string and not empty: ${meant}`);
    }
  }
  const { port = 0, state } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "port must be a whole number from 0 to 65535");
  }
  if (state !== undefined) checkState(state);
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
  readonly hostName: string;
  /** All names, the host name first. */
  readonly names: readonly string[];
  readonly authority: Authority;
  readonly server: ServerCertificate;
}

/** Throws ERR_INVALID_ARGUMENT. */
export function setUp(options: HubOptions): Setup {
  checkOptions(options);
  const { alternativeNames = [], host, state } = options;
  const hostName = options.hostName ?? state?.hostName ?? "localhost";
  const names = [
    ...new Set([hostName, "localhost", "127.0.0.1", "::1", ...(host === undefined ? [] : [host]), ...alternativeNames]),
  ];
  const kept = state && restoreAuthority(state.authority.certificate, state.authority.privateKey);
  const authority = options.authority ?? kept ?? createAuthority();
  return { hostName, names, authority, server: options.certificate ?? issueFor(authority, hostName, names) };
}
