/**
 * HubEmulator: IoT Hub and its provisioning service in the process, for development and tests.
 *
 * Invariants: it listens on loopback alone unless told otherwise; keys and certificates are made at start, or come from
 * a state, and are kept in memory; after `close` no socket is open, no timer runs and no promise of its is pending.
 */
import { asyncDispose } from "../dispose.js";
import type { X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import type { ConnectPacket } from "../codec/index.js";
import { Emitter, emitSafely } from "../emit.js";
import { HubwireError } from "../errors.js";
import { admitDevice } from "./admission.js";
import { backgroundClock } from "./background-clock.js";
import type { CloudOutcome, SendOptions } from "./cloud-queue.js";
import type { Device } from "./device.js";
import type { Enrollment, EnrollmentOptions } from "./enrollments.js";
import { HUB_EVENTS, type HubContext, type HubEvents, type TelemetryMessage } from "./events.js";
import { Faults } from "./faults.js";
import type { Transport } from "./transport.js";
import { Identities, type ConnectionStringOptions, type CreatedIdentity, type CreateOptions } from "./identities.js";
import { limitsOf } from "./limits.js";
import { Link, type LinkOwner, type Verdict } from "./link.js";
import type { InvokeOptions, MethodResponse } from "./methods.js";
import {
  checkCertificate,
  checkMethod,
  optionsOf,
  setUp,
  type HubOptions,
  type ServerCertificate,
  type Setup,
  type ModuleOption,
  type TwinUpdateOptions,
} from "./options.js";
import { parseProvisioningUsername, ProvisioningService } from "./provisioning.js";
import type { IdentityOptions } from "./registry.js";
import { couple, Server } from "./server.js";
import type { HubState } from "./state.js";
import { TelemetryStream, type TelemetryOptions } from "./telemetry-stream.js";
import { Throttles } from "./throttle.js";
import type { AcceptedPatch, Twin } from "./twin.js";

/** A message that was queued. */
export interface SentMessage {
  /** The one given, or the one that was made. */
  messageId: string;
  /** How it ends: PUBACK, expiry, or purge (clean session, removal, close of the hub). */
  completion: Promise<CloudOutcome>;
}

/**
 * An IoT Hub with its provisioning service, in this process. Made by `HubEmulator.start`; an event emitter of `HubEvents`.
 */
export class HubEmulator extends Emitter<HubEvents> {
  /** What devices call the hub. */
  readonly hostName: string;
  /** PEM: what devices must trust. */
  readonly caCertificate: string;
  /** What goes wrong on purpose, for every device; see `faultsOf` for one. */
  readonly faults = new Faults(() => this.#links.forEach((link) => link.faultsChanged()));
  readonly #context: HubContext;
  readonly #identities: Identities;
  readonly #provisioning: ProvisioningService;
  readonly #links = new Set<Link>();
  readonly #streams = new Set<TelemetryStream>();
  readonly #linkOwner: LinkOwner;
  readonly #setup: Setup;
  #server: Server | undefined;
  #closed = false;

  /** Starts a hub. Rejects with ERR_INVALID_ARGUMENT where it cannot listen, or an option is wrong. */
  static async start(options: HubOptions = {}): Promise<HubEmulator> {
    const setup = setUp(options);
    const hub = new HubEmulator(setup);
    const { host, port = 0 } = setup.options;
    hub.#server = await Server.listen({
      hosts: host === undefined ? ["127.0.0.1", "::1"] : [host],
      port,
      ...setup.server,
      onStream: (stream, peer) => hub.#accept(stream, peer),
      onError: (cause) => {
        const message = `a listening socket failed: ${cause.message}`;
        emitSafely(hub, "error", new HubwireError("ERR_UNREACHABLE", message, { cause, retryable: true }));
      },
    });
    return hub;
  }

  private constructor(setup: Setup) {
    super("HubEmulator", HUB_EVENTS);
    const { options } = setup;
    this.setMaxListeners(0); // One is each iteration over telemetry, of which a test may have one a device.
    this.hostName = setup.hostName;
    this.caCertificate = setup.authority.certificate;
    this.#setup = setup;
    const clock = options.clock ?? backgroundClock;
    const limits = limitsOf(options.limits);
    const throttles = new Throttles(clock, limits, (operation, outcome) =>
      this.emit("throttled", { operation, outcome }),
    );
    this.#context = { clock, limits, throttles, events: this };
    const { state } = options;
    this.#identities = new Identities(this.#context, this.hostName, this.faults, options.policies ?? state?.policies);
    const admission = {
      context: this.#context,
      registry: this.#identities.registry,
      policies: this.#identities.policies,
      hostNames: new Set(setup.names.map((name) => name.toLowerCase())),
    };
    this.#linkOwner = {
      clock,
      limits,
      faultsOf: (clientId) => this.#identities.faultsOf(clientId),
      admit: (link, connect) => this.#admit(link, connect, () => admitDevice(admission, link, connect)),
      refused: ({ clientId }, returnCode, reason) => this.emit("refused", { clientId, returnCode, reason }),
      violated: ({ clientId }, error) => this.emit("violation", { clientId, error }),
      closed: (link) => this.#links.delete(link),
    };
    this.#provisioning = new ProvisioningService(
      this.#context,
      this.hostName,
      { ...options.provisioning, idScope: options.provisioning?.idScope ?? state?.idScope },
      (deviceId, authentication) => this.#identities.provision(deviceId, authentication),
    );
    if (state === undefined) return;
    this.#identities.restore(state.identities);
    this.#provisioning.enrollments.restore(state.enrollments);
  }

  /** The port that it listens on. */
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
    return this.#identities.create(deviceId, undefined, optionsOf("createDevice", options));
  }

  /** Registers a module of a device that exists; throws ERR_DEVICE_NOT_FOUND otherwise. */
  createModule(deviceId: string, moduleId: string, options: CreateOptions = {}): CreatedIdentity {
    this.#device(deviceId, {});
    return this.#identities.create(deviceId, moduleId, optionsOf("createModule", options));
  }

  /**
   * Enables or disables a device or module, or gives it other credentials; a disabled one is disconnected.
   */
  updateDevice(deviceId: string, changes: IdentityOptions, options: ModuleOption = {}): void {
    this.#identities.update(this.#device(deviceId, optionsOf("module", options)), optionsOf("updateDevice", changes));
  }

  /** Removes a device with its modules, or one module; what waits for it is given up. */
  removeDevice(deviceId: string, options: ModuleOption = {}): void {
    this.#identities.remove(this.#device(deviceId, optionsOf("module", options)));
  }

  /** Every device and module, with its secrets. */
  identities(): CreatedIdentity[] {
    return this.#identities.list();
  }

  /** Writes a connection string for an identity that exists. */
  connectionString(deviceId: string, options: ConnectionStringOptions = {}): string {
    return this.#identities.connectionString(deviceId, optionsOf("connectionString", options));
  }

  /** Whether a device or module is connected now. */
  isConnected(deviceId: string, options: ModuleOption = {}): boolean {
    return this.#device(deviceId, optionsOf("module", options)).connected;
  }

  // The service side.

  /**
   * Telemetry as an async iterator, from now on: `for await (const message of hub.telemetry())`. It ends when the loop is
   * left or the hub closes; with ERR_QUEUE_FULL when more than `capacity` messages wait, with ERR_ABORTED by `signal`.
   */
  telemetry(options: TelemetryOptions = {}): AsyncIterableIterator<TelemetryMessage> {
    this.#ensureOpen();
    const checked = optionsOf("telemetry", options);
    const stream = new TelemetryStream(this.#context, checked, (ended) => this.#streams.delete(ended));
    if (!stream.ended) this.#streams.add(stream);
    return stream;
  }

  /**
   * Queues a message for a device, or for the input `inputName` of its module; resolves when it is queued. It
   * stays queued until the device acknowledges it. Rejects with ERR_DEVICE_NOT_FOUND, ERR_QUEUE_FULL (50
   * wait), ERR_LIMIT (64 KB), ERR_THROTTLED or ERR_INVALID_ARGUMENT.
   */
  async sendToDevice(deviceId: string, body: Uint8Array | string, options: SendOptions = {}): Promise<SentMessage> {
    this.#ensureOpen();
    const checked = optionsOf("sendToDevice", options);
    this.#device(deviceId, checked);
    const turn = this.#context.throttles.cloudToDeviceSend();
    if (turn !== undefined) await turn;
    return this.#device(deviceId, checked).enqueue(body, checked);
  }

  /** How many messages wait for a device, sent and unacknowledged ones included. */
  pendingMessages(deviceId: string, options: ModuleOption = {}): number {
    return this.#device(deviceId, optionsOf("module", options)).pendingMessages;
  }

  /** Gives up every message that waits for a device. */
  purgeMessages(deviceId: string, options: ModuleOption = {}): void {
    this.#device(deviceId, optionsOf("module", options)).purge();
  }

  /**
   * Invokes a direct method; `payload` is any JSON value, a Uint8Array to send as it is, or undefined for an empty body.
   * Resolves with whatever status the device answers. Rejects with ERR_DEVICE_NOT_FOUND, ERR_DEVICE_OFFLINE (not
   * connected, or not subscribed to methods, within `connectTimeout`), ERR_TIMEOUT, ERR_HUB_STATUS (the answer is not
   * JSON), ERR_LIMIT (128 KB), ERR_THROTTLED or ERR_CLOSED.
   */
  async invokeMethod(
    deviceId: string,
    name: string,
    payload?: unknown,
    options: InvokeOptions = {},
  ): Promise<MethodResponse> {
    this.#ensureOpen();
    const checked = optionsOf("invokeMethod", options);
    return this.#device(deviceId, checked).methods.invoke(name, payload, checked);
  }

  /** A copy of a twin. Throws ERR_DEVICE_NOT_FOUND. */
  twin(deviceId: string, options: ModuleOption = {}): Twin {
    return this.#device(deviceId, optionsOf("module", options)).twinSnapshot();
  }

  /**
   * Merges `patch` into the desired properties (null deletes), tells the device if it listens, and returns
   * the new version. Throws ERR_DEVICE_NOT_FOUND, ERR_LIMIT, ERR_HUB_STATUS (412) or ERR_INVALID_ARGUMENT.
   */
  updateDesiredProperties(deviceId: string, patch: object, options: TwinUpdateOptions = {}): number {
    const checked = optionsOf("updateDesiredProperties", options);
    return this.#changeDesired(deviceId, checked, (device) => device.twin.patchDesired(patch));
  }

  /**
   * Replaces the desired properties by `document`, tells the device (null for what is gone), and returns the new version.
   * Throws as `updateDesiredProperties`.
   */
  replaceDesiredProperties(deviceId: string, document: object, options: TwinUpdateOptions = {}): number {
    const checked = optionsOf("replaceDesiredProperties", options);
    return this.#changeDesired(deviceId, checked, (device) => device.twin.replaceDesired(document));
  }

  /** Merges tags, which devices never see. Throws as `updateDesiredProperties`. */
  updateTags(deviceId: string, patch: object, options: TwinUpdateOptions = {}): void {
    this.#updateTwin(deviceId, optionsOf("updateTags", options), (device) => device.twin.patchTags(patch));
  }

  /** Replaces the tags by `document`. Throws as `updateDesiredProperties`. */
  replaceTags(deviceId: string, document: object, options: TwinUpdateOptions = {}): void {
    this.#updateTwin(deviceId, optionsOf("replaceTags", options), (device) => device.twin.replaceTags(document));
  }

  // Provisioning.

  /** Enrols one registration id: with keys, a thumbprint or an authority. Replaces one of that id. */
  createEnrollment(registrationId: string, options: EnrollmentOptions = {}): Enrollment {
    return this.#provisioning.enrollments.add(registrationId, optionsOf("createEnrollment", options));
  }

  /** Enrols every registration id that proves the group's key or authority. */
  createEnrollmentGroup(options: EnrollmentOptions = {}): Enrollment {
    return this.#provisioning.enrollments.add(null, optionsOf("createEnrollment", options));
  }

  /** Every enrolment and group, with its keys. */
  enrollments(): Enrollment[] {
    return this.#provisioning.enrollments.list();
  }

  /** What goes wrong on purpose for one device or module; what is undefined there is as in `faults`. */
  faultsOf(deviceId: string, options: ModuleOption = {}): Faults {
    return this.#device(deviceId, optionsOf("module", options)).faults;
  }

  /**
   * Shows another certificate to who connects from now on: an expired one, one for another name or of another authority;
   * without an argument the one of the start again. Throws ERR_INVALID_ARGUMENT where it is none.
   */
  useCertificate(given: ServerCertificate = this.#setup.server): void {
    try {
      checkCertificate(given);
      this.#server?.setCertificate(given.certificate, given.key);
    } catch (cause) {
      throw new HubwireError("ERR_INVALID_ARGUMENT", "not a certificate and its key (PEM)", { cause });
    }
  }

  /** Closes a device's connection, if there is one: what the device sees is an unexplained close. */
  disconnectDevice(deviceId: string, options: ModuleOption & { abruptly?: boolean } = {}): void {
    const { moduleId, abruptly } = optionsOf("disconnectDevice", options);
    this.#device(deviceId, { moduleId }).disconnect("hub", abruptly);
  }

  /** Serves a client on any stream, without TLS: the other end of a pair, or a plain socket. */
  accept(stream: Duplex): void {
    checkMethod(stream, "on", "what is to be accepted must be a Duplex");
    this.#accept(stream, undefined);
  }

  /**
   * Everything that makes a hub this one: `HubEmulator.start({ state })` starts it again with the same authority, keys,
   * ids and twins. A JSON value, which holds private keys. The event `changed` tells when it differs.
   */
  exportState(): HubState {
    const { certificate, privateKey } = this.#setup.authority;
    const policies = [...this.#identities.policies.values()].map(({ keyName, primaryKey }) => [keyName, primaryKey]);
    return {
      version: 1,
      hostName: this.hostName,
      authority: { certificate, privateKey },
      policies: Object.fromEntries(policies) as Record<string, string>,
      idScope: this.idScope,
      identities: this.#identities.export(),
      enrollments: this.#provisioning.enrollments.export(),
    };
  }

  /** Closes every connection, rejects every pending method and frees the port. May be called again. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      const error = new HubwireError("ERR_CLOSED", "the hub is closed");
      this.#context.throttles.close(error);
      for (const device of this.#identities.registry.values()) device.close("hub", error);
      for (const link of this.#links) link.close("hub", undefined, true);
      for (const stream of this.#streams) stream.end();
    }
    await this.#server?.close();
  }

  /** As `close`. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  #changeDesired(deviceId: string, options: TwinUpdateOptions, change: (device: Device) => AcceptedPatch): number {
    return this.#updateTwin(deviceId, options, (device) => {
      const { version, patch } = change(device);
      device.notifyDesired(patch, version);
      return version;
    });
  }

  #device(deviceId: string, options: ModuleOption): Device {
    return this.#identities.registry.get(deviceId, options.moduleId);
  }

  #updateTwin<T>(deviceId: string, options: TwinUpdateOptions, update: (device: Device) => T): T {
    const device = this.#device(deviceId, options);
    if (options.etag !== undefined && options.etag !== "*" && options.etag !== device.twin.etag) {
      throw new HubwireError("ERR_HUB_STATUS", "the twin has another etag: it was changed", { status: 412 });
    }
    return update(device);
  }

  #admit(link: Link, connect: ConnectPacket, admit: () => Verdict): Verdict {
    const names = parseProvisioningUsername(connect.username ?? "");
    if (names === undefined) return admit();
    return this.#provisioning.admit(link, connect, names, this.#identities.faultsOf(names.registrationId));
  }

  #accept(stream: Duplex, certificate: X509Certificate | undefined): void {
    if (this.#closed) {
      stream.destroy();
      return;
    }
    const delay = this.#context.throttles.admit("connection");
    if (delay > 0) {
      this.emit("throttled", { operation: "connection", outcome: delay === Infinity ? "refused" : "delayed" });
    }
    const { clock } = this.#context;
    const now = (): number => clock.wallTime() + this.faults.get("clockOffset");
    const connect = (transport: Transport): Link => {
      const link = new Link(this.#linkOwner, transport, delay);
      this.#links.add(link);
      return link;
    };
    couple(stream, certificate, connect, now);
  }

  #ensureOpen(): void {
    if (this.#closed) throw new HubwireError("ERR_CLOSED", "the hub is closed");
  }
}
