/**
 * HubEmulator: IoT Hub and its provisioning service in the process, for development and tests.
 *
 * Invariants: it listens on loopback alone unless told otherwise; keys and certificates are made at start and
 * kept in memory; after `close` no socket is open, no timer runs and no promise of its is pending.
 */
import { EventEmitter } from "node:events";
import type { X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import type { ConnectPacket } from "../codec/index.js";
import { HubwireError } from "../errors.js";
import { admitDevice } from "./admission.js";
import { createAuthority, createSelfSigned, type Authority } from "./certificates.js";
import { backgroundClock, type Clock } from "../clock.js";
import type { CloudOutcome, SendOptions } from "./cloud-queue.js";
import { Device } from "./device.js";
import type { HubContext, HubEvents } from "./events.js";
import { Faults } from "./faults.js";
import { defaultLimits, type Limits } from "./limits.js";
import { Link, type LinkOwner, type Verdict } from "./link.js";
import type { InvokeOptions, MethodResponse } from "./methods.js";
import {
  parseProvisioningUsername,
  ProvisioningService,
  type Enrollment,
  type EnrollmentOptions,
  type ProvisioningOptions,
} from "./provisioning.js";
import {
  authenticationOf,
  checkedKey,
  randomKey,
  Registry,
  type Authentication,
  type IdentityOptions,
  type Policy,
} from "./registry.js";
import { couple, Server } from "./server.js";
import type { Twin } from "./twin.js";

/** PEM; `certificate` may be followed by intermediates. */
interface ServerCertificate {
  certificate: string;
  key: string;
}

export interface HubOptions {
  /** 0, the default, takes any free port. */
  port?: number | undefined;
  /** The one address to listen on. Default: both loopback addresses, 127.0.0.1 and ::1. */
  host?: string | undefined;
  /** What devices call the hub: in connection strings, user names and SAS tokens. Default: "localhost". */
  hostName?: string | undefined;
  /** Further host names or addresses by which devices dial or name the hub. */
  alternativeNames?: readonly string[] | undefined;
  /** Signs the server's certificate. Default: a new one. */
  authority?: Authority | undefined;
  /** The server's certificate and key (PEM) in place of one made at start. */
  certificate?: ServerCertificate | undefined;
  /**
   * Keys of shared access policies, base64, by name. Default: random keys for "iothubowner", "device" and
   * "service". As at a real hub, "service" and the "registry…" policies may not speak for devices.
   */
  policies?: Readonly<Record<string, string>> | undefined;
  limits?: Partial<Limits> | undefined;
  provisioning?: ProvisioningOptions | undefined;
  clock?: Clock | undefined;
}

/** A new device or module. What does not apply to its kind of authentication is undefined. */
export interface CreatedIdentity {
  deviceId: string;
  moduleId: string | undefined;
  /** Names the hub's host; a port other than 8883 is given beside it. */
  connectionString: string;
  primaryKey: string | undefined;
  secondaryKey: string | undefined;
  /** With `x509: true`: the certificate and key that were made (PEM). */
  certificate: string | undefined;
  key: string | undefined;
}

/** What createDevice and createModule take. */
export interface CreateOptions extends IdentityOptions {
  /** Makes a self-signed client certificate and registers its thumbprint. */
  x509?: boolean | undefined;
}

/** What a connection string is made of besides the identity. */
export interface ConnectionStringOptions {
  moduleId?: string | undefined;
  /** Uses this shared access policy's key in place of the identity's. */
  keyName?: string | undefined;
  gatewayHostName?: string | undefined;
}

/** A message that was queued. */
export interface SentMessage {
  messageId: string;
  /**
   * How it ends: PUBACK, expiry, too many deliveries, or purge (clean session, removal, close of the hub).
   */
  completion: Promise<CloudOutcome>;
}

interface ModuleOption {
  moduleId?: string | undefined;
}

const asyncDispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

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
  "clock",
] satisfies (keyof HubOptions)[];

/** A misspelt option that is silently ignored costs more time than an error. */
function checkOptions(options: object): void {
  if (typeof options !== "object" || options === null) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "the options must be an object");
  }
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown === undefined) return;
  throw new HubwireError("ERR_INVALID_ARGUMENT", `unknown option ${unknown}; there are: ${OPTIONS.join(", ")}`);
}

const isAddress = (name: string): boolean => name.includes(":") || /^\d+\.\d+\.\d+\.\d+$/.test(name);

const POLICIES_WITHOUT_DEVICE_CONNECT = ["service", "registryRead", "registryReadWrite"];

const randomPolicies = (): Readonly<Record<string, string>> => ({
  iothubowner: randomKey(),
  device: randomKey(),
  service: randomKey(),
});

/** The server's certificate, for every name by which a device may dial. */
function issueFor(authority: Authority, commonName: string, names: readonly string[]): ServerCertificate {
  const { chain, key } = authority.issue({
    commonName,
    dnsNames: names.filter((name) => !isAddress(name)),
    ipAddresses: names.filter(isAddress),
  });
  return { certificate: chain, key };
}

export class HubEmulator extends EventEmitter<HubEvents> {
  /** What devices call the hub. */
  readonly hostName: string;
  /** PEM: what devices must trust. */
  readonly caCertificate: string;
  /** What goes wrong on purpose. */
  readonly faults = new Faults(() => this.#links.forEach((link) => link.releaseAcknowledgements()));
  readonly #context: HubContext;
  readonly #registry = new Registry<Device>();
  readonly #policies = new Map<string, Policy>();
  readonly #provisioning: ProvisioningService;
  readonly #links = new Set<Link>();
  readonly #linkOwner: LinkOwner;
  #server: Server | undefined;
  #closed = false;

  /** Starts a hub. Rejects with ERR_INVALID_ARGUMENT where it cannot listen, or an option is wrong. */
  static async start(options: HubOptions = {}): Promise<HubEmulator> {
    checkOptions(options);
    const { hostName = "localhost", alternativeNames = [], host } = options;
    if (host !== undefined && typeof host !== "string") {
      throw new HubwireError("ERR_INVALID_ARGUMENT", "host must be a string: the address to listen on");
    }
    const names = [
      ...new Set([hostName, "localhost", "127.0.0.1", "::1", ...(host ? [host] : []), ...alternativeNames]),
    ];
    const authority = options.authority ?? createAuthority();
    const { certificate, key } = options.certificate ?? issueFor(authority, hostName, names);
    const hub = new HubEmulator(options, names, authority.certificate);
    hub.#server = await Server.listen({
      hosts: host === undefined ? ["127.0.0.1", "::1"] : [host],
      port: options.port ?? 0,
      certificate,
      key,
      onStream: (stream, peer) => hub.#accept(stream, peer),
    });
    return hub;
  }

  /** Use `start`. */
  constructor(options: HubOptions, names: readonly string[], caCertificate: string) {
    super();
    this.hostName = options.hostName ?? "localhost";
    this.caCertificate = caCertificate;
    const limits = { ...defaultLimits, ...options.limits };
    this.#context = { clock: options.clock ?? backgroundClock, limits, faults: this.faults, events: this };
    for (const [keyName, key] of Object.entries(options.policies ?? randomPolicies())) {
      const deviceConnect = !POLICIES_WITHOUT_DEVICE_CONNECT.includes(keyName);
      this.#policies.set(keyName, { keyName, primaryKey: checkedKey(key), deviceConnect });
    }
    const hostNames = new Set(names.map((name) => name.toLowerCase()));
    const admission = {
      context: this.#context,
      registry: this.#registry,
      policies: this.#policies,
      hostNames,
    };
    this.#linkOwner = {
      clock: this.#context.clock,
      limits,
      faults: this.faults,
      admit: (link, connect) => this.#admit(link, connect, () => admitDevice(admission, link, connect)),
      refused: ({ clientId }, returnCode, reason) => this.emit("refused", { clientId, returnCode, reason }),
      violated: ({ clientId }, error) => this.emit("violation", { clientId, error }),
      closed: (link) => this.#links.delete(link),
    };
    this.#provisioning = new ProvisioningService(
      this.#context,
      this.hostName,
      options.provisioning ?? {},
      (deviceId, authentication) => {
        this.#provision(deviceId, authentication);
      },
    );
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  /** Of the provisioning service. */
  get idScope(): string {
    return this.#provisioning.idScope;
  }

  // Identities.

  /** Registers a device. Throws ERR_INVALID_ARGUMENT for a bad or taken id, or a bad key. */
  createDevice(deviceId: string, options: CreateOptions = {}): CreatedIdentity {
    return this.#create(deviceId, undefined, options);
  }

  /** Registers a module of a device that exists; throws ERR_DEVICE_NOT_FOUND otherwise. */
  createModule(deviceId: string, moduleId: string, options: CreateOptions = {}): CreatedIdentity {
    this.#registry.get(deviceId);
    return this.#create(deviceId, moduleId, options);
  }

  /**
   * Enables or disables a device or module, or gives it other credentials; a disabled one is disconnected.
   */
  updateDevice(deviceId: string, changes: IdentityOptions, { moduleId }: ModuleOption = {}): void {
    const device = this.#registry.get(deviceId, moduleId);
    const { enabled, ...credentials } = changes;
    if (Object.values(credentials).some((value) => value !== undefined)) {
      device.authentication = authenticationOf(credentials);
    }
    if (enabled === undefined) return;
    device.enabled = enabled;
    if (!enabled) for (const each of this.#withModules(device)) each.disconnect("disabled");
  }

  /** Removes a device with its modules, or one module; what waits for it is given up. */
  removeDevice(deviceId: string, { moduleId }: ModuleOption = {}): void {
    for (const each of this.#withModules(this.#registry.get(deviceId, moduleId))) {
      this.#registry.remove(each);
      each.close("disabled", new HubwireError("ERR_DEVICE_NOT_FOUND", "the device was removed"));
    }
  }

  /** Writes a connection string for an identity that exists. */
  connectionString(deviceId: string, options: ConnectionStringOptions = {}): string {
    const { authentication } = this.#registry.get(deviceId, options.moduleId);
    const parts = [`HostName=${this.hostName}`, `DeviceId=${deviceId}`];
    if (options.moduleId !== undefined) parts.push(`ModuleId=${options.moduleId}`);
    if (options.gatewayHostName !== undefined) parts.push(`GatewayHostName=${options.gatewayHostName}`);
    if (options.keyName !== undefined) {
      const policy = this.#policies.get(options.keyName);
      if (policy === undefined) {
        throw new HubwireError("ERR_INVALID_ARGUMENT", `there is no policy ${options.keyName}`);
      }
      parts.push(`SharedAccessKeyName=${policy.keyName}`, `SharedAccessKey=${policy.primaryKey}`);
    } else if (authentication.type === "symmetric") {
      parts.push(`SharedAccessKey=${authentication.primaryKey}`);
    } else {
      parts.push("x509=true");
    }
    return parts.join(";");
  }

  /** Whether a device or module is connected now. */
  isConnected(deviceId: string, { moduleId }: ModuleOption = {}): boolean {
    return this.#registry.get(deviceId, moduleId).connected;
  }

  // The service side.

  /**
   * Queues a message for a device, or for the input `inputName` of its module; resolves when it is queued. It
   * stays queued until the device acknowledges it. Rejects with ERR_DEVICE_NOT_FOUND, ERR_QUEUE_FULL (50
   * wait), ERR_LIMIT (64 KB) or ERR_INVALID_ARGUMENT.
   */
  async sendToDevice(deviceId: string, body: Uint8Array | string, options: SendOptions = {}): Promise<SentMessage> {
    this.#ensureOpen();
    return this.#registry.get(deviceId, options.moduleId).enqueue(body, options);
  }

  /** How many messages wait for a device, sent and unacknowledged ones included. */
  pendingMessages(deviceId: string, { moduleId }: ModuleOption = {}): number {
    return this.#registry.get(deviceId, moduleId).pendingMessages;
  }

  /** Gives up every message that waits for a device. */
  purgeMessages(deviceId: string, { moduleId }: ModuleOption = {}): void {
    this.#registry.get(deviceId, moduleId).purge();
  }

  /**
   * Invokes a direct method; `payload` is any JSON value, or a Uint8Array to send as it is. Resolves with
   * whatever status the device answers. Rejects with ERR_DEVICE_NOT_FOUND, ERR_DEVICE_OFFLINE (not connected,
   * or not subscribed to methods, within `connectTimeout`), ERR_TIMEOUT, ERR_LIMIT (128 KB) or ERR_CLOSED.
   */
  async invokeMethod(
    deviceId: string,
    name: string,
    payload?: unknown,
    options: InvokeOptions = {},
  ): Promise<MethodResponse> {
    this.#ensureOpen();
    return this.#registry.get(deviceId, options.moduleId).methods.invoke(name, payload, options);
  }

  /** A copy of a twin. Throws ERR_DEVICE_NOT_FOUND. */
  twin(deviceId: string, { moduleId }: ModuleOption = {}): Twin {
    const device = this.#registry.get(deviceId, moduleId);
    return device.twin.snapshot(device.source());
  }

  /**
   * Merges `patch` into the desired properties (null deletes), tells the device if it listens, and returns
   * the new version. Throws ERR_DEVICE_NOT_FOUND, ERR_LIMIT or ERR_INVALID_ARGUMENT.
   */
  updateDesiredProperties(deviceId: string, patch: object, { moduleId }: ModuleOption = {}): number {
    const device = this.#registry.get(deviceId, moduleId);
    const accepted = device.twin.patchDesired(patch);
    device.notifyDesired(accepted.patch, accepted.version);
    return accepted.version;
  }

  /** Merges tags, which devices never see. Throws as `updateDesiredProperties`. */
  updateTags(deviceId: string, patch: object, { moduleId }: ModuleOption = {}): void {
    this.#registry.get(deviceId, moduleId).twin.patchTags(patch);
  }

  // Provisioning.

  /** Enrols one registration id: with keys, a thumbprint or an authority. */
  createEnrollment(registrationId: string, options: EnrollmentOptions = {}): Enrollment {
    return this.#provisioning.enroll(registrationId, options);
  }

  /** Enrols every registration id that proves the group's key or authority. */
  createEnrollmentGroup(options: EnrollmentOptions = {}): Enrollment {
    return this.#provisioning.enrollGroup(options);
  }

  // Connections.

  /** Closes a device's connection, if there is one: what the device sees is an unexplained close. */
  disconnectDevice(deviceId: string, { moduleId, abruptly }: ModuleOption & { abruptly?: boolean } = {}): void {
    this.#registry.get(deviceId, moduleId).disconnect("hub", abruptly);
  }

  /** Serves a client on any stream, without TLS: the other end of a pair, or a plain socket. */
  accept(stream: Duplex): void {
    this.#accept(stream, undefined);
  }

  /** Closes every connection, rejects every pending method and frees the port. May be called again. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      const error = new HubwireError("ERR_CLOSED", "the hub is closed");
      for (const device of this.#registry.values()) device.close("hub", error);
      for (const link of this.#links) link.close("hub", undefined, true);
    }
    await this.#server?.close();
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  #create(deviceId: string, moduleId: string | undefined, { x509, ...options }: CreateOptions): CreatedIdentity {
    const own = x509 === true ? createSelfSigned({ commonName: deviceId, client: true }) : undefined;
    const credentials = own === undefined ? options : { ...options, thumbprint: own.thumbprint };
    const authentication = authenticationOf(credentials);
    this.#registry.add(
      new Device(this.#context, { deviceId, moduleId, authentication, enabled: options.enabled ?? true }),
    );
    const keys = authentication.type === "symmetric" ? authentication : undefined;
    return {
      deviceId,
      moduleId,
      connectionString: this.connectionString(deviceId, { moduleId }),
      primaryKey: keys?.primaryKey,
      secondaryKey: keys?.secondaryKey,
      certificate: own?.certificate,
      key: own?.key,
    };
  }

  #provision(deviceId: string, authentication: Authentication): void {
    const device = this.#registry.find(deviceId);
    if (device !== undefined) device.authentication = authentication;
    else
      this.#registry.add(new Device(this.#context, { deviceId, moduleId: undefined, authentication, enabled: true }));
  }

  #withModules(device: Device): Device[] {
    return device.moduleId === undefined ? [device, ...this.#registry.modulesOf(device.deviceId)] : [device];
  }

  #admit(link: Link, connect: ConnectPacket, admit: () => Verdict): Verdict {
    const names = parseProvisioningUsername(connect.username ?? "");
    return names === undefined ? admit() : this.#provisioning.admit(link, connect, names.idScope, names.registrationId);
  }

  #accept(stream: Duplex, certificate: X509Certificate | undefined): void {
    if (this.#closed) {
      stream.destroy();
      return;
    }
    couple(stream, certificate, (transport) => {
      const link = new Link(this.#linkOwner, transport);
      this.#links.add(link);
      return link;
    });
  }

  #ensureOpen(): void {
    if (this.#closed) throw new HubwireError("ERR_CLOSED", "the hub is closed");
  }
}
