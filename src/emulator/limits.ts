/**
 * The quotas of IoT Hub that Microsoft changes now and then, in one place.
 *
 * Invariant: no other file of the emulator holds such a number. Sizes are bytes, durations milliseconds.
 */
export const defaultLimits = {
  /** Telemetry: body, values of system properties, names and values of application properties. */
  telemetryBytes: 256 * 1024,
  /** A cloud-to-device message, counted in the same way. */
  cloudToDeviceBytes: 64 * 1024,
  /** Cloud-to-device messages waiting for one device. */
  cloudToDevicePending: 50,
  /** How long a cloud-to-device message waits where its sender names no expiry, and at most: 48 hours. */
  cloudToDeviceLifetime: 48 * 3_600_000,
  /** Deliveries without PUBACK before a cloud-to-device message is given up. */
  cloudToDeviceDeliveries: 10,
  /** A direct method's request and response, each. */
  methodBytes: 128 * 1024,
  /** The desired properties of a twin, and the reported ones, each, as JSON. */
  propertiesBytes: 32 * 1024,
  tagsBytes: 8 * 1024,
  /** Nested objects in a twin. */
  twinDepth: 10,
  twinStringBytes: 4 * 1024,
  twinKeyBytes: 1024,
  /** Integers in a twin lie within plus and minus this. */
  twinInteger: 2 ** 52,
  /** Subscriptions of one connection. */
  subscriptions: 50,
  /** A connection without a packet is closed after 1.5 times its keep alive, and after this at the latest. */
  silence: 1_767_000,
  /** From the connection to CONNECT. */
  connectTimeout: 30_000,
  /**
   * How long a method call waits for a connected device's SUBSCRIBE, where the caller sets no other time. A
   * real hub is far away; one in the same process is always faster than the device.
   */
  subscribeGrace: 2_000,
  /** A direct method's response, where the caller sets no other deadline. */
  methodTimeout: 30_000,
};

export type Limits = typeof defaultLimits;
