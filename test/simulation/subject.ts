/** The client under test: the sources as they are, or a copy with a fault put in. */
import type { MqttClient } from "../../src/client/index.js";
import type { DeviceClient } from "../../src/hub/index.js";

export interface Subject {
  MqttClient: typeof MqttClient;
}

export interface DeviceSubject {
  DeviceClient: typeof DeviceClient;
}

/** A store that holds its records in memory, and fails when it is told to. It has the methods of a SessionStore. */
export interface FailingStore {
  failures: number;
  failed: boolean;
}

export const code = (error: unknown): string => String((error as { code?: unknown } | undefined)?.code ?? error);
