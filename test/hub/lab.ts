/** A hub and devices for one test file; whatever a test leaves open is closed after it. */
import { once } from "node:events";
import { afterAll, afterEach, beforeAll } from "vitest";
import { HubEmulator, type HubOptions } from "../../src/emulator/index.js";
import type { HubwireError } from "../../src/errors.js";
import { DeviceClient, type DeviceClientOptions, type DeviceOptions } from "../../src/hub/index.js";
import { soon } from "../support/peer.js";

export interface Lab {
  readonly hub: HubEmulator;
  /** A client of the hub, not connected; its `error` events are kept in `errors`. */
  client(identity: string | DeviceOptions, options?: DeviceClientOptions): DeviceClient & { errors: HubwireError[] };
  /** A connected client of a new device. */
  device(deviceId: string, options?: DeviceClientOptions): Promise<DeviceClient & { errors: HubwireError[] }>;
}

export function laboratory(options: HubOptions = {}): Lab {
  let hub: HubEmulator;
  let clients: DeviceClient[] = [];
  beforeAll(async () => {
    hub = await HubEmulator.start(options);
  });
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.close({ force: true })));
    clients = [];
    Object.assign(hub.faults, {
      connack: 0,
      pingresp: true,
      twin: undefined,
      methodResponses: true,
      provisioning: undefined,
      puback: "send",
    });
  });
  afterAll(() => hub.close());
  return {
    get hub() {
      return hub;
    },
    client(identity, clientOptions) {
      const client = new DeviceClient(identity, {
        port: hub.port,
        tls: { ca: hub.caCertificate },
        reconnect: { minDelay: 1, maxDelay: 50 },
        ...clientOptions,
      });
      const errors: HubwireError[] = [];
      client.on("error", (error) => errors.push(error));
      clients.push(client);
      return Object.assign(client, { errors });
    },
    async device(deviceId, clientOptions) {
      const client = this.client(hub.createDevice(deviceId).connectionString, clientOptions);
      await client.connect();
      return client;
    },
  };
}

/** The next event of that name, or a failure that says which one did not come. */
export async function next<T = unknown>(emitter: DeviceClient | HubEmulator, event: string): Promise<T> {
  const [value] = (await soon(once(emitter, event), `the event "${event}"`)) as [T];
  return value;
}

/** Resolves when `condition` holds, looked at after each turn of the event loop. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  let given = false;
  const wait = async (): Promise<void> => {
    while (!condition() && !given) await new Promise((resolve) => setImmediate(resolve));
  };
  await soon(wait(), what).finally(() => (given = true));
}

export const failure = (promise: Promise<unknown>): Promise<HubwireError> =>
  promise.then(
    () => Promise.reject(new Error("it should have failed")),
    (error: HubwireError) => error,
  );
