/**
 * The quotas of IoT Hub and of the provisioning service that Microsoft changes now and then, in one place.
 *
 * The pages: "Reference - IoT Hub quotas and throttling" (rates of one S1 unit, sizes), "Understand cloud-to-device
 * messaging", "Understand and use device twins", "Use MQTT to communicate with IoT Hub", and "IoT Hub Device Provisioning
 * Service limits".
 *
 * Invariant: no other file of the emulator holds such a number. Sizes are bytes, durations milliseconds.
 */
import { HubwireError } from "../errors.js";
import { HUB_LIMITS } from "../wire/limits.js";

/** The quotas of an S1 hub with one unit, and what no page gives a number for. */
export const defaultLimits = {
  /** Telemetry: body, values of system properties, names and values of application properties. */
  telemetryBytes: HUB_LIMITS.telemetry,
  /** A cloud-to-device message, counted in the same way. */
  cloudToDeviceBytes: 64 * 1024,
  /** Cloud-to-device messages waiting for one device. */
  cloudToDevicePending: 50,
  /** How long a cloud-to-device message waits where its sender names no expiry. */
  cloudToDeviceLifetime: 3_600_000,
  /** The latest expiry that a sender may name, from now. */
  cloudToDeviceMaxLifetime: 48 * 3_600_000,
  /** A cloud-to-device message that was sent and not acknowledged comes again after this. */
  cloudToDeviceLock: 60_000,
  /** A direct method's request and response, each. */
  methodBytes: HUB_LIMITS.method,
  /** The desired properties of a twin, and the reported ones, each, counted as the hub counts. */
  propertiesBytes: HUB_LIMITS.twin,
  /** The tags of a twin, counted in the same way. */
  tagsBytes: HUB_LIMITS.tags,
  /** Nested objects and arrays in a twin. */
  twinDepth: HUB_LIMITS.twinDepth,
  /** A string of a twin. */
  twinStringBytes: HUB_LIMITS.twinString,
  /** A name in a twin. */
  twinKeyBytes: HUB_LIMITS.twinKey,
  /** Subscriptions that a device has at a time. */
  subscriptions: 5,
  /** A connection without a packet is closed after 1.5 times its keep alive, and after this at the latest. */
  silence: 1_767_000,
  /** From the connection to CONNECT. */
  connectTimeout: 30_000,
  /** How much a device's clock may be behind: a token is good, and its connection lives, this long after its end. */
  clockSkew: 300_000,
  /**
   * How long a method call waits for a connected device's SUBSCRIBE, where the caller sets no other time. A
   * real hub is far away; one in the same process is always faster than the device.
   */
  subscribeGrace: 2_000,
  /** A direct method's response, where the caller sets no other deadline. */
  methodTimeout: 30_000,
  /** The body of a request to the provisioning service. */
  provisioningBytes: 96 * 1024,
  /** Registrations that the provisioning service keeps for polls; the oldest are forgotten. */
  provisioningOperations: 10_000,

  /** false: nothing is throttled. The rates below are those of one S1 unit; Infinity lifts one of them. */
  throttling: true,
  /** New connections. */
  connectionsPerSecond: 100,
  /** Device-to-cloud sends. */
  sendsPerSecond: HUB_LIMITS.sendRate,
  /** Calls of `sendToDevice`: a hundred a minute. */
  cloudToDeviceSendsPerSecond: 100 / 60,
  /** Bytes of direct methods; each call counts as whole meters. */
  methodBytesPerSecond: 160 * 1024,
  /** A meter. */
  methodMeterBytes: 4 * 1024,
  /** Reads of twins by devices. */
  twinReadsPerSecond: 100,
  /** Patches of reported properties. */
  twinUpdatesPerSecond: 50,
  /** Of the provisioning service. */
  registrationsPerSecond: 1000 / 60,
  /** Of one device at the provisioning service, within ten seconds; what is over is answered 429 at once. */
  pollsPerTenSeconds: 5,
  /**
   * Traffic shaping: for so long a rate may be exceeded, and everything passes at once: the page's "first minute or two".
   * A pause of some seconds, and the time starts anew.
   */
  shapingAfter: 120_000,
  /** Then operations are delayed to the rate, by this at most; what is more is refused. The page has no number. */
  shapingQueue: 10_000,
  /** What all delayed messages may take. */
  queueBytes: 16 * 1024 * 1024,
  /** So many requests of one connection answered 429, and it is closed. The page has no number. */
  refusals: 100,
};

/** The quotas of a hub; see `defaultLimits` for each. */
export type Limits = typeof defaultLimits;

/** The limits of a hub: the defaults, changed by `changes`. Throws ERR_INVALID_ARGUMENT for an unknown name or no number. */
export function limitsOf(changes: Partial<Limits> = {}): Limits {
  for (const [name, value] of Object.entries(changes)) {
    const standard = (defaultLimits as Record<string, number | boolean>)[name];
    if (standard === undefined) throw new HubwireError("ERR_INVALID_ARGUMENT", `there is no limit ${name}`);
    if (value === undefined) continue;
    const fits = typeof value === typeof standard && (typeof value === "boolean" || Number(value) >= 0);
    if (!fits)
      throw new HubwireError("ERR_INVALID_ARGUMENT", `the limit ${name} must be a ${typeof standard}, 0 or more`);
  }
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  return { ...defaultLimits, ...Object.fromEntries(given) };
}
