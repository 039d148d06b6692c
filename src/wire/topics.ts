/**
 * Every topic of IoT Hub and of the provisioning service: how it is written, and how it is read.
 *
 * Invariants: names of devices, modules and methods and request ids go in as they are, never percent-encoded; a
 * parser takes any text, never throws, and returns undefined for what is not one of its topics. The device reads
 * with `parseInbound`, the hub's side with `parseOutbound`; a bundle of the client carries only the first.
 */

/** Where the hub and the provisioning service take MQTT over WebSocket: an option beside that protocol. */
export const webSocketPath = (protocol: string | undefined): { path?: string } =>
  protocol === "wss" || protocol === "ws" ? { path: "/$iothub/websocket" } : {};

/** Subscribed for direct methods. */
export const METHODS_FILTER = "$iothub/methods/POST/#";
/** Subscribed for answers to twin requests. */
export const TWIN_RESPONSES_FILTER = "$iothub/twin/res/#";
/** Subscribed for changes of desired properties. */
export const DESIRED_FILTER = "$iothub/twin/PATCH/properties/desired/#";
/** Subscribed for answers of the provisioning service. */
export const PROVISIONING_FILTER = "$dps/registrations/res/#";

const METHODS = "$iothub/methods/POST/";
const METHOD_RESPONSES = "$iothub/methods/res/";
const TWIN_RESPONSES = "$iothub/twin/res/";
const TWIN_GET = "$iothub/twin/GET/";
const REPORTED = "$iothub/twin/PATCH/properties/reported/";
const DESIRED = "$iothub/twin/PATCH/properties/desired/";
const PROVISIONING_RESPONSES = "$dps/registrations/res/";
const REGISTER = "$dps/registrations/PUT/iotdps-register/";
const OPERATION = "$dps/registrations/GET/iotdps-get-operationstatus/";

/** `devices/{d}` or `devices/{d}/modules/{m}`: the start of the topics and of the SAS scope behind the host. */
export const identityPath = (deviceId: string, moduleId?: string): string =>
  `devices/${deviceId}${moduleId === undefined ? "" : `/modules/${moduleId}`}`;

/** Telemetry, and the will; `bag` is an encoded property bag. */
export const telemetryTopic = (deviceId: string, moduleId?: string, bag = ""): string =>
  `${identityPath(deviceId, moduleId)}/messages/events/${bag}`;

/** Cloud-to-device messages of a device; `#` for `bag` makes the filter. */
export const cloudToDeviceTopic = (deviceId: string, bag: string): string =>
  `${identityPath(deviceId)}/messages/devicebound/${bag}`;

/** All inputs of a module. */
export const inputsFilter = (deviceId: string, moduleId: string): string =>
  `${identityPath(deviceId, moduleId)}/inputs/#`;

/** A message to one input of a module. */
export const inputTopic = (deviceId: string, moduleId: string, inputName: string, bag: string): string =>
  `${identityPath(deviceId, moduleId)}/inputs/${inputName}/${bag}`;

/** A direct method's call. */
export const methodTopic = (methodName: string, requestId: string): string =>
  `${METHODS}${methodName}/?$rid=${requestId}`;

/** A direct method's answer. */
export const methodResponseTopic = (status: number, requestId: string): string =>
  `${METHOD_RESPONSES}${status}/?$rid=${requestId}`;

/** Asks for the twin; the payload is empty. */
export const twinGetTopic = (requestId: string): string => `${TWIN_GET}?$rid=${requestId}`;

/** Patches the reported properties. */
export const reportedTopic = (requestId: string): string => `${REPORTED}?$rid=${requestId}`;

/** The answer to a twin request; `version` of the reported properties, after a patch. */
export const twinResponseTopic = (status: number, requestId: string, version?: number): string =>
  `${TWIN_RESPONSES}${status}/?$rid=${requestId}${version === undefined ? "" : `&$version=${version}`}`;

/** A change of the desired properties. */
export const desiredTopic = (version: number): string => `${DESIRED}?$version=${version}`;

/** Registers with the provisioning service. */
export const registerTopic = (requestId: string): string => `${REGISTER}?$rid=${requestId}`;

/** Asks the provisioning service how the registration is getting on. */
export const operationTopic = (requestId: string, operationId: string): string =>
  `${OPERATION}?$rid=${requestId}&operationId=${operationId}`;

/** The provisioning service's answer; `retryAfter` in seconds. */
export const provisioningResponseTopic = (status: number, requestId: string, retryAfter?: number): string =>
  `${PROVISIONING_RESPONSES}${status}/?$rid=${requestId}` +
  (retryAfter === undefined ? "" : `&retry-after=${retryAfter}`);

/** The first value of `name` in `?a=1&b=2`, raw: a request id is echoed exactly as it came. */
function queryValue(query: string, name: string): string | undefined {
  for (const pair of query.slice(query.indexOf("?") + 1).split("&")) {
    if (pair.startsWith(name + "=") && pair.length > name.length + 1) return pair.slice(name.length + 1);
  }
  return undefined;
}

function queryNumber(query: string, name: string): number | undefined {
  const text = queryValue(query, name) ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** What the hub or the provisioning service sends to a device. */
export type InboundTopic =
  | { kind: "cloud-to-device"; deviceId: string; bag: string }
  | { kind: "input"; deviceId: string; moduleId: string; inputName: string; bag: string }
  | { kind: "method"; methodName: string; requestId: string | undefined }
  | { kind: "twin-response"; status: number; requestId: string | undefined; version: number | undefined }
  | { kind: "desired"; version: number | undefined }
  | {
      kind: "provisioning-response";
      status: number;
      requestId: string | undefined;
      /** Seconds. */
      retryAfter: number | undefined;
    };

/** Reads a topic that the hub or the provisioning service sends; undefined for any other. */
export function parseInbound(topic: string): InboundTopic | undefined {
  const device = /^devices\/([^/]+)\/(?:messages\/devicebound|modules\/([^/]+)\/inputs\/([^/]+))(?:\/([^]*))?$/.exec(
    topic,
  );
  if (device) {
    const [, deviceId = "", moduleId, inputName = "", bag] = device;
    if (moduleId !== undefined) return { kind: "input", deviceId, moduleId, inputName, bag: bag ?? "" };
    return bag === undefined ? undefined : { kind: "cloud-to-device", deviceId, bag };
  }
  if (topic.startsWith(DESIRED)) return { kind: "desired", version: queryNumber(topic, "$version") };
  // The last `/?`, because nothing keeps a method's name from holding one.
  const query = topic.lastIndexOf("/?");
  const requestId = queryValue(topic.slice(query + 1), "$rid");
  if (topic.startsWith(METHODS)) {
    const methodName = topic.slice(METHODS.length, Math.max(query, 0));
    return methodName === "" ? undefined : { kind: "method", methodName, requestId };
  }
  const answer = /^\$(iothub\/twin|dps\/registrations)\/res\/([1-9]\d\d)\/\?/.exec(topic);
  if (!answer) return undefined;
  const status = Number(answer[2]);
  return answer[1] === "iothub/twin"
    ? { kind: "twin-response", status, requestId, version: queryNumber(topic, "$version") }
    : { kind: "provisioning-response", status, requestId, retryAfter: queryNumber(topic, "retry-after") };
}

/** What a device sends to the hub or to the provisioning service. */
export type OutboundTopic =
  | { kind: "telemetry"; deviceId: string; moduleId: string | undefined; bag: string }
  | { kind: "method-response"; status: number; requestId: string | undefined }
  | { kind: "twin-get" | "reported"; requestId: string | undefined }
  | { kind: "register"; requestId: string | undefined }
  | { kind: "operation"; requestId: string | undefined; operationId: string | undefined };

/** Reads a topic that a device sends; undefined for any other. */
export function parseOutbound(topic: string): OutboundTopic | undefined {
  const telemetry = /^devices\/([^/]+)(?:\/modules\/([^/]+))?\/messages\/events(?:\/([^]*))?$/.exec(topic);
  if (telemetry) {
    return {
      kind: "telemetry",
      deviceId: telemetry[1] as string,
      moduleId: telemetry[2],
      bag: telemetry[3] ?? "",
    };
  }
  if (topic.startsWith(METHOD_RESPONSES)) {
    // A status may be any integer: the handler chooses it.
    const response = /^(0|-?[1-9]\d{0,9})\/\?/.exec(topic.slice(METHOD_RESPONSES.length));
    return response
      ? { kind: "method-response", status: Number(response[1]), requestId: queryValue(topic, "$rid") }
      : undefined;
  }
  const requestId = queryValue(topic, "$rid");
  if (topic.startsWith(TWIN_GET)) return { kind: "twin-get", requestId };
  if (topic.startsWith(REPORTED)) return { kind: "reported", requestId };
  if (topic.startsWith(REGISTER)) return { kind: "register", requestId };
  if (topic.startsWith(OPERATION)) {
    return { kind: "operation", requestId, operationId: queryValue(topic, "operationId") };
  }
  return undefined;
}
