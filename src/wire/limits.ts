/** The quotas of IoT Hub that a device meets, in one place because Microsoft changes them now and then. Sizes in bytes. */
export const HUB_LIMITS = {
  /** Body, values of system properties, names and values of application properties. */
  telemetry: 256 * 1024,
  /** The response of a direct method. */
  method: 128 * 1024,
  /** The reported properties, as JSON. */
  twin: 32 * 1024,
  twinDepth: 10,
  twinString: 4 * 1024,
  twinKey: 1024,
  twinInteger: 2 ** 52,
  /** Seconds: the hub drops a connection at 1.5 times its keep alive, and at 1,767 s in any case. */
  keepAlive: 1177,
  /** Sends a second that an S1 hub takes from one unit before it queues, then refuses. */
  sendRate: 100,
};
