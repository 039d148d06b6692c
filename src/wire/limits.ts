/** The quotas of IoT Hub that both sides know, in one place because Microsoft changes them now and then. Sizes in bytes. */
export const HUB_LIMITS = {
  /** Body, values of system properties, names and values of application properties. */
  telemetry: 256 * 1024,
  /** Characters of a message id. */
  messageId: 128,
  /** A direct method's request and response, each. */
  method: 128 * 1024,
  /** The reported properties, and the desired ones, each, counted by `twinSize`. */
  twin: 32 * 1024,
  /** The tags of a twin, counted in the same way. */
  tags: 8 * 1024,
  /** Objects and arrays within each other; the section itself is no level. */
  twinDepth: 10,
  twinString: 4 * 1024,
  twinKey: 1024,
  /** Integers of a twin lie between these. */
  twinMinInteger: -(2 ** 52),
  twinMaxInteger: 2 ** 52 - 1,
  /** Seconds: the hub drops a connection at 1.5 times its keep alive, and at 1,767 s in any case. */
  keepAlive: 1177,
  /** Sends a second that an S1 hub takes from one unit before it queues, then refuses. */
  sendRate: 100,
};
