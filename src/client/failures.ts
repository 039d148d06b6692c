/** The errors that a client makes itself. */
import { HubwireError } from "../errors.js";

export const closedError = (): HubwireError => new HubwireError("ERR_CLOSED", "the client is closed");

export const stoppedError = (cause?: HubwireError): HubwireError =>
  new HubwireError("ERR_NOT_CONNECTED", "not connected: call connect()", cause && { cause });

/** `within`: what was over, the time of an attempt or that of the call. */
export const timeoutError = (within: string): HubwireError =>
  new HubwireError("ERR_CONNECT_TIMEOUT", `no connection within ${within}: check host, port and network`);

export const refusedError = (topicFilter: string): HubwireError =>
  new HubwireError("ERR_SUBSCRIBE_REFUSED", `the server refused the subscription to ${topicFilter}`, {
    statement: "MQTT-3.9.3-2",
  });

export const takeoverError = (cause: HubwireError): HubwireError =>
  new HubwireError("ERR_TAKEOVER", "the server keeps closing new connections: is the client id used twice?", {
    cause,
    statement: "MQTT-3.1.4-2",
  });

export const unexpectedError = (topic: string): HubwireError =>
  new HubwireError(
    "ERR_UNEXPECTED_MESSAGE",
    `a message to ${JSON.stringify(topic).slice(0, 200)} came that no subscription of this client matches; it was dropped`,
    { statement: "MQTT-3.3.2-3" },
  );

export const credentialsError = (cause: unknown): HubwireError =>
  cause instanceof HubwireError
    ? cause
    : new HubwireError("ERR_HANDLER", "the credentials callback failed", { cause, retryable: true });

/** A TLS alert or handshake record came where an MQTT server would send CONNACK. */
export const speaksTlsError = (): HubwireError =>
  new HubwireError("ERR_TLS_NOT_TLS", "the server speaks TLS there: use protocol mqtts");

/** The server closed without CONNACK. */
export const beforeConnackError = (cause: HubwireError): HubwireError =>
  new HubwireError(
    "ERR_CONNECTION_LOST",
    "the server closed the connection before CONNACK: wrong credentials or client id, another protocol " +
      "on that port, or too many connections",
    { cause, statement: "MQTT-3.1.4-1" },
  );
