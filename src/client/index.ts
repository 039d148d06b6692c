/** `hubwire/mqtt`: an MQTT 3.1.1 client over TLS, TCP or any Duplex. */
export { HubwireError } from "../errors.js";
export type { ErrorCode, ErrorDetails, ErrorKind } from "../errors.js";
export type { QoS, Will, WillInit } from "../codec/types.js";
export type { Message, SessionMetrics } from "../session/types.js";
export { SessionStore } from "../session/journal.js";
export type { ReconnectOptions } from "./backoff.js";
export { MqttClient } from "./client.js";
export type {
  ClientEvents,
  ClientMetrics,
  ClientState,
  CloseOptions,
  ConnectCallOptions,
  ConnectEvent,
  PublishOptions,
  ReconnectingEvent,
  RenewOptions,
  SignalOptions,
  SubscribeOptions,
} from "./api.js";
export { systemClock } from "../clock.js";
export type { Clock, Timer } from "../clock.js";
export type { Credentials, MqttClientOptions, OfflineQueueOptions } from "./options.js";
export type { CreateConnectionOptions } from "../transport/endpoint.js";
export { Subscription } from "./subscription.js";
export type { MessageHandler } from "./deliveries.js";
