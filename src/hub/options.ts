/** The options and events of a DeviceClient. */
import type { ConnectEvent, ReconnectingEvent } from "../client/api.js";
import type { MqttClientOptions } from "../client/options.js";
import type { HubwireError } from "../errors.js";
import type { SessionStore } from "../session/types.js";
import type { DeviceOptions } from "./credentials.js";
import type { TelemetryBody, TelemetryOptions } from "./telemetry.js";

/** The telemetry that the hub takes when the connection ends without `close()`. */
export interface TelemetryWill extends TelemetryOptions {
  /** Its body, sent as `sendTelemetry` sends one. */
  payload: TelemetryBody;
}

/** Whose messages a store keeps. */
export interface StoreIdentity {
  /** The hub's name. */
  hostName: string;
  /** The device, or the one that a module is of. */
  deviceId: string;
  /** undefined for a device. */
  moduleId?: string | undefined;
}

/**
 * How to connect, and what of the identity a connection string does not say; durations in ms. What the hub prescribes
 * (client id, user name, password) cannot be set here.
 */
export interface DeviceClientOptions
  extends
    Omit<MqttClientOptions, "clientId" | "username" | "password" | "credentials" | "will" | "store">,
    Omit<DeviceOptions, "hostName" | "deviceId"> {
  /** Dialled in place of the hub or gateway, e.g. a tunnel; the certificate must still be for their name. */
  host?: string | undefined;
  /** Telemetry that the hub takes in this device's place when the connection ends without `close()`. */
  will?: TelemetryWill | undefined;
  /**
   * Asked when the hub refuses the identity, e.g. because the device was moved: returns the new one, as
   * `provisionDevice` finds it. What was queued for the old hub is rejected (ERR_SESSION_LOST); where the identity is the
   * old one, nothing is, and the client goes on trying. One that has not settled within `handlerTimeout` is given up (ERR_HANDLER),
   * and asked again at the next refusal.
   */
  reprovision?: ((error: HubwireError) => string | DeviceOptions | Promise<string | DeviceOptions>) | undefined;
  /**
   * Keeps telemetry beyond the life of the process. Beside `reprovision` it must be a function that opens a store of
   * its own for each identity, because what was stored for one hub cannot be sent to another.
   */
  store?: SessionStore | ((identity: StoreIdentity) => SessionStore) | undefined;
  /** Handlers of direct methods that run at a time; a call on top of them is answered with status 429. Default 1,000. */
  maxMethodCalls?: number | undefined;
}

/** The events of a `DeviceClient`. */
export interface DeviceEvents {
  /** CONNACK came. `sessionPresent`: the hub had kept the session. */
  connect: [ConnectEvent];
  /** undefined: as planned, by `close()` or a renewal. */
  disconnect: [error: HubwireError | undefined];
  /** The `attempt`-th since the last connection follows in `delay` ms. */
  reconnecting: [ReconnectingEvent];
  /** What belongs to no call. */
  error: [error: HubwireError];
}
