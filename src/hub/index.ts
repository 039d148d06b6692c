/** `hubwire`: a device or module of Azure IoT Hub, over MQTT 3.1.1. */
import { MqttClient } from "../client/client.js";
import { checkX509 } from "./credentials.js";
import { isRefusal } from "./explain.js";
import { parseObject } from "./json.js";
import { encodeJson } from "../wire/json.js";
import type { ProvisioningOptions, ProvisioningResult } from "./provisioning.js";
export { HubwireError } from "../errors.js";
export type { ErrorCode, ErrorDetails, ErrorKind } from "../errors.js";
export { parseConnectionString } from "../wire/connection-string.js";
export type { ConnectionString } from "../wire/connection-string.js";
export type { DeviceOptions, X509 } from "./credentials.js";
export { DeviceClient } from "./device-client.js";
export type { TelemetryMessage } from "./batch.js";
export type { ConnectOptions } from "./connection.js";
export type { ConnectEvent, ReconnectingEvent } from "../client/api.js";

export type { HubMessage, MessageHandler } from "./inbox.js";
export type { MethodHandler, MethodOptions, MethodRequest, MethodResponse } from "./methods.js";
export type { DeviceClientOptions, DeviceEvents, StoreIdentity, TelemetryWill } from "./options.js";
export { decodeProperties, encodeProperties } from "../wire/property-bag.js";
export type { PropertiesInit, SystemProperties } from "../wire/property-bag.js";
export type { ProvisioningOptions, ProvisioningResult } from "./provisioning.js";
export { createSasToken, deriveGroupKey, parseSasToken } from "../wire/sas.js";
export type { SasIdentity, SasToken } from "../wire/sas.js";
export type { TelemetryBody, TelemetryOptions } from "./telemetry.js";
export type { DesiredHandler, ReportedUpdate, Twin, TwinProperties } from "./twin.js";

/**
 * Registers a device with the Device Provisioning Service, which says what hub it belongs to. Rejects with
 * ERR_PROVISIONING, which carries the service's `status`, where the service refuses; with ERR_TIMEOUT, ERR_ABORTED,
 * ERR_INVALID_ARGUMENT; and as `MqttClient.connect` does.
 */
export async function provisionDevice(options: ProvisioningOptions): Promise<ProvisioningResult> {
  // A device needs it once, most programs never.
  const { register } = await import("./provisioning.js");
  return register(options, { MqttClient, checkX509, isRefusal, parseObject, encodeJson });
}
