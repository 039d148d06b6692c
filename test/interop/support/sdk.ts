/**
 * Microsoft's SDK for devices, as published: nothing of it is patched, stubbed or subclassed here.
 *
 * How it is pointed at a loopback hub: the SDK dials `mqtts://{GatewayHostName or HostName}`, and the MQTT
 * client below reads that as a URL, so a `GatewayHostName=localhost:{port}` in the connection string names
 * any free port, while user name and token keep the hub's own `HostName`. So the tests need neither port
 * 8883 nor an entry in a hosts file, and their files may run side by side. With an X.509 certificate the SDK
 * overlooks `GatewayHostName`; there its authentication provider is given the same by hand. The certificate
 * authority goes in through `setOptions({ ca })`. The provisioning client takes `host:port` as its host, but
 * offers no way to name an authority; its transport therefore gets the SDK's own `MqttBase` with the
 * authority set.
 */
import type { Agent } from "node:https";
import { createRequire } from "node:module";
import type { Client as DeviceClientType, ModuleClient as ModuleClientType } from "azure-iot-device";

// CommonJS whose exports Node cannot list for `import { … }`.
const require = createRequire(import.meta.url);
const device = require("azure-iot-device") as typeof import("azure-iot-device");
const deviceMqtt = require("azure-iot-device-mqtt") as typeof import("azure-iot-device-mqtt");
const provisioning = require("azure-iot-provisioning-device") as typeof import("azure-iot-provisioning-device");
const provisioningMqtt =
  require("azure-iot-provisioning-device-mqtt") as typeof import("azure-iot-provisioning-device-mqtt");
// The transport's own copy, which npm may keep below it.
const { MqttBase } = createRequire(require.resolve("azure-iot-provisioning-device-mqtt"))("azure-iot-mqtt-base") as {
  MqttBase: new () => { setOptions(options: { ca: string }): void };
};
export const { SymmetricKeySecurityClient } =
  require("azure-iot-security-symmetric-key") as typeof import("azure-iot-security-symmetric-key");
const common = require("azure-iot-common") as typeof import("azure-iot-common");

export const { Message } = device;
export const { SharedAccessSignature, encodeUriComponentStrict } = common;
export type SdkDeviceClient = DeviceClientType;
export type SdkModuleClient = ModuleClientType;
export type SdkMessage = InstanceType<typeof device.Message>;

/** Where a client of the SDK is to connect. */
export interface Target {
  port: number;
  /** PEM. */
  caCertificate: string;
}

/** The connection string with the port that the SDK has no other place for. */
export function withPort(connectionString: string, port: number): string {
  const dialled = /;GatewayHostName=([^;]*)/.exec(connectionString) ?? /HostName=([^;]*)/.exec(connectionString);
  return `${connectionString.replace(/;GatewayHostName=[^;]*/, "")};GatewayHostName=${dialled?.[1]}:${port}`;
}

/** What may be set on a client besides its authority. */
export interface SdkOptions {
  modelId?: string;
  productInfo?: string;
  tokenRenewal?: { tokenValidTimeInSeconds: number; tokenRenewalMarginInSeconds: number };
}

/** A device client of the SDK, not connected. A failure is final; else the SDK retries for four minutes. */
export async function sdkDevice(
  connectionString: string,
  target: Target,
  options: SdkOptions = {},
): Promise<SdkDeviceClient> {
  const client = device.Client.fromConnectionString(withPort(connectionString, target.port), deviceMqtt.Mqtt);
  client.setRetryPolicy(new common.NoRetry());
  await client.setOptions({ ca: target.caCertificate, ...options });
  return client;
}

/**
 * A device client of the SDK over WebSocket, not connected. It always dials port 443; the agent, which the SDK takes for
 * proxies, sends it to another.
 */
export async function sdkWebSocketDevice(connectionString: string, ca: string, agent: Agent): Promise<SdkDeviceClient> {
  const client = device.Client.fromConnectionString(connectionString, deviceMqtt.MqttWs);
  client.setRetryPolicy(new common.NoRetry());
  await client.setOptions({ ca, mqtt: { webSocketAgent: agent } });
  return client;
}

/** A device client of the SDK that authenticates with a certificate (PEM), not yet connected. */
export async function sdkX509Device(
  identity: { hostName: string; deviceId: string; cert: string; key: string },
  target: Target,
): Promise<SdkDeviceClient> {
  const { hostName, deviceId, cert, key } = identity;
  const provider = new device.X509AuthenticationProvider({
    host: hostName,
    gatewayHostName: `${hostName}:${target.port}`,
    deviceId,
    x509: { cert, key },
  });
  const client = device.Client.fromAuthenticationProvider(provider, deviceMqtt.Mqtt);
  client.setRetryPolicy(new common.NoRetry());
  await client.setOptions({ ca: target.caCertificate });
  return client;
}

/** A module client of the SDK, not yet connected. */
export async function sdkModule(
  connectionString: string,
  target: Target,
  options: SdkOptions = {},
): Promise<SdkModuleClient> {
  const client = device.ModuleClient.fromConnectionString(withPort(connectionString, target.port), deviceMqtt.Mqtt);
  client.setRetryPolicy(new common.NoRetry());
  await client.setOptions({ ca: target.caCertificate, ...options });
  return client;
}

/** Registers with a provisioning service by key or certificate; resolves to the SDK's registration state. */
export async function sdkProvision(
  target: Target,
  registration: {
    host: string;
    idScope: string;
    registrationId: string;
    proof: string | { cert: string; key: string };
    payload?: object;
  },
): Promise<{ assignedHub: string; deviceId: string }> {
  const { host, idScope, registrationId, proof, payload } = registration;
  const base = new MqttBase();
  base.setOptions({ ca: target.caCertificate });
  const security =
    typeof proof === "string"
      ? new SymmetricKeySecurityClient(registrationId, proof)
      : {
          getRegistrationId: () => registrationId,
          getCertificate: (callback: (error: null, certificate: typeof proof) => void) => callback(null, proof),
        };
  const client = provisioning.ProvisioningDeviceClient.create(
    `${host}:${target.port}`,
    idScope,
    // The published types of these packages disagree with each other's copies; the objects do not.
    new provisioningMqtt.Mqtt(base as never),
    security as never,
  );
  if (payload !== undefined) client.setProvisioningPayload(payload);
  const state = await client.register();
  if (state === undefined) throw new Error("the SDK registered without a result");
  return state as { assignedHub: string; deviceId: string };
}
