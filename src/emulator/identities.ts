/**
 * The identities of the hub as its owner handles them: devices, modules, connection strings, shared access policies.
 *
 * Invariant: what is created, changed and removed here is what `admitDevice` looks at; every change is told (`changed`).
 */
import { checkValue } from "../check.js";
import { HubwireError } from "../errors.js";
import { createSelfSigned } from "./certificates.js";
import { Device } from "./device.js";
import type { HubContext } from "./events.js";
import type { Faults } from "./faults.js";
import {
  authenticationOf,
  authenticationOptions,
  checkedKey,
  randomKey,
  Registry,
  type Authentication,
  type IdentityOptions,
  type Policy,
} from "./registry.js";
import type { IdentityState } from "./state.js";

/** A device or module. What does not apply to its kind of authentication is undefined. */
export interface CreatedIdentity {
  /** The device, or the one that the module is of. */
  deviceId: string;
  /** undefined for a device. */
  moduleId: string | undefined;
  /** Names the hub's host; a port other than 8883 is given beside it. */
  connectionString: string;
  /** base64. Secret. */
  primaryKey: string | undefined;
  /** base64. Secret. */
  secondaryKey: string | undefined;
  /** With `x509: true`: the certificate and key that were made (PEM). */
  certificate: string | undefined;
  /** PEM (PKCS #8). Secret. */
  key: string | undefined;
}

/** What createDevice and createModule take. */
export interface CreateOptions extends IdentityOptions {
  /** Makes a self-signed client certificate and registers its thumbprint. */
  x509?: boolean | undefined;
}

/** What a connection string is made of besides the identity. */
export interface ConnectionStringOptions {
  /** Of this module in place of the device. */
  moduleId?: string | undefined;
  /** Uses this shared access policy's key in place of the identity's. */
  keyName?: string | undefined;
  /** Named as the host to dial in place of the hub. */
  gatewayHostName?: string | undefined;
}

const POLICIES_WITHOUT_DEVICE_CONNECT = ["service", "registryRead", "registryReadWrite"];

const randomPolicies = (): Readonly<Record<string, string>> => ({
  iothubowner: randomKey(),
  device: randomKey(),
  service: randomKey(),
});

export class Identities {
  readonly registry = new Registry<Device>();
  readonly policies = new Map<string, Policy>();
  readonly #context: HubContext;
  readonly #hostName: string;
  readonly #faults: Faults;

  /** Throws ERR_INVALID_ARGUMENT for a policy's key that is not base64. */
  constructor(
    context: HubContext,
    hostName: string,
    faults: Faults,
    policies: Readonly<Record<string, string>> = randomPolicies(),
  ) {
    this.#context = context;
    this.#hostName = hostName;
    this.#faults = faults;
    for (const [keyName, key] of Object.entries(policies)) {
      const deviceConnect = !POLICIES_WITHOUT_DEVICE_CONNECT.includes(keyName);
      this.policies.set(keyName, { keyName, primaryKey: checkedKey(key), deviceConnect });
    }
  }

  create(deviceId: string, moduleId: string | undefined, { x509, ...options }: CreateOptions): CreatedIdentity {
    for (const id of [deviceId, moduleId ?? ""]) checkValue(id, "string", "a device or module id");
    const own = x509 === true ? createSelfSigned({ commonName: deviceId, client: true }) : undefined;
    const credentials = own === undefined ? options : { ...options, thumbprint: own.thumbprint };
    const device = new Device(this.#context, {
      deviceId,
      moduleId,
      authentication: authenticationOf(credentials),
      enabled: options.enabled ?? true,
      ownCertificate: own && { certificate: own.certificate, key: own.key },
      faults: this.#faults,
    });
    this.registry.add(device);
    this.#changed();
    return this.#described(device);
  }

  /** A device that the provisioning service assigned: made, or given other credentials. */
  provision(deviceId: string, authentication: Authentication): void {
    const found = this.registry.find(deviceId);
    if (found !== undefined) found.authentication = authentication;
    else {
      const init = { deviceId, moduleId: undefined, authentication, enabled: true, faults: this.#faults };
      this.registry.add(new Device(this.#context, init));
    }
    this.#changed();
  }

  update(device: Device, changes: IdentityOptions): void {
    const { enabled, ...credentials } = changes;
    if (Object.values(credentials).some((value) => value !== undefined)) {
      device.authentication = authenticationOf(credentials);
    }
    if (enabled !== undefined) device.enabled = enabled;
    if (enabled === false) for (const each of this.#withModules(device)) each.disconnect("disabled");
    this.#changed();
  }

  remove(device: Device): void {
    for (const each of this.#withModules(device)) {
      this.registry.remove(each);
      each.close("disabled", new HubwireError("ERR_DEVICE_NOT_FOUND", "the device was removed"));
    }
    this.#changed();
  }

  connectionString(deviceId: string, options: ConnectionStringOptions): string {
    const { authentication } = this.registry.get(deviceId, options.moduleId);
    const parts = [`HostName=${this.#hostName}`, `DeviceId=${deviceId}`];
    if (options.moduleId !== undefined) parts.push(`ModuleId=${options.moduleId}`);
    if (options.gatewayHostName !== undefined) parts.push(`GatewayHostName=${options.gatewayHostName}`);
    if (options.keyName !== undefined) {
      const policy = this.policies.get(options.keyName);
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

  list(): CreatedIdentity[] {
    return [...this.registry.values()].map((device) => this.#described(device));
  }

  /** The faults of who connects under `clientId`: its own, or the hub's where it is unknown. */
  faultsOf(clientId: string): Faults {
    const [deviceId = "", moduleId] = clientId.split("/");
    return this.registry.find(deviceId, moduleId)?.faults ?? this.#faults;
  }

  /** Everything, as `restore` takes it again. */
  export(): IdentityState[] {
    return [...this.registry.values()].map((device) => ({
      deviceId: device.deviceId,
      ...(device.moduleId === undefined ? {} : { moduleId: device.moduleId }),
      generationId: device.generationId,
      enabled: device.enabled,
      credentials: authenticationOptions(device.authentication),
      ...(device.ownCertificate === undefined ? {} : { ownCertificate: device.ownCertificate }),
      twin: device.twin.export(),
    }));
  }

  restore(states: readonly IdentityState[]): void {
    for (const { deviceId, moduleId, generationId, enabled, credentials, ownCertificate, twin } of states) {
      if (moduleId !== undefined) this.registry.get(deviceId);
      const authentication = authenticationOf(credentials);
      const more = { generationId, ownCertificate, twin, faults: this.#faults };
      this.registry.add(new Device(this.#context, { deviceId, moduleId, authentication, enabled, ...more }));
    }
  }

  #described(device: Device): CreatedIdentity {
    const { deviceId, moduleId, authentication, ownCertificate } = device;
    const keys = authentication.type === "symmetric" ? authentication : undefined;
    return {
      deviceId,
      moduleId,
      connectionString: this.connectionString(deviceId, { moduleId }),
      primaryKey: keys?.primaryKey,
      secondaryKey: keys?.secondaryKey,
      certificate: ownCertificate?.certificate,
      key: ownCertificate?.key,
    };
  }

  #withModules(device: Device): Device[] {
    return device.moduleId === undefined ? [device, ...this.registry.modulesOf(device.deviceId)] : [device];
  }

  #changed(): void {
    this.#context.events.emit("changed");
  }
}
