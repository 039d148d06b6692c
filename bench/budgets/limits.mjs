// The limits that continuous integration holds. A limit is only ever lowered, or raised by a commit that says why.

/** Bytes, minified and gzipped by esbuild, with all that is loaded later. */
export const size = {
  codec: 6500,
  MqttClient: 18_000,
  DeviceClient: 27_000,
  encode: 4500,
  createSasToken: 4000,
  parseConnectionString: 4000,
  HubwireError: 4000,
};

/** Parts of what importing MQTT.js takes, over node:tls, for the device client. */
export const importing = { time: 0.1, heap: 0.2 };

export const memory = {
  /** Bytes of a message that waits, over its payload. */
  queued: 450,
  /** KiB that a decoder keeps after a million topics. */
  decoder: 64,
  /** Resident memory of an idle connection, times that of a bare TLS socket. */
  idle: 1.25,
};
