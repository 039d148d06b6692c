// Any text is read as a topic or as none, and what is read is written as the same topic where it has one written form.
import { equal, same } from "../codec.mjs";
import { bytesOf, hub, ofWords, textOf } from "../hub.mjs";

export const coverage = /\/dist\/hub\//;
export const seeds = [
  "devices/d/messages/devicebound/a=1",
  "devices/d/modules/m/inputs/in/a=1",
  "devices/d/modules/m/messages/events/",
  "$iothub/methods/POST/reboot/?$rid=1",
  "$iothub/methods/res/200/?$rid=1",
  "$iothub/twin/res/204/?$rid=1&$version=5",
  "$iothub/twin/PATCH/properties/desired/?$version=5",
  "$dps/registrations/res/202/?$rid=1&retry-after=3",
  "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=2",
].map(bytesOf);
export const words = [
  "devices/",
  "d/",
  "modules/",
  "messages/",
  "devicebound/",
  "events/",
  "inputs/",
  "$iothub/",
  "twin/",
]
  .concat([
    "methods/",
    "POST/",
    "res/",
    "200/",
    "?",
    "$rid=",
    "1",
    "&",
    "$version=",
    "retry-after=",
    "$dps/registrations/",
  ])
  .concat(["PATCH/properties/", "desired/", "reported/", "GET/", "é", "/", "\0", "-", "0/"])
  .map(bytesOf);
export const generate = ofWords(words, 12);

const PARSERS = [hub.parseInbound, hub.parseOutbound];

/** The written form of what was read; undefined where several are read alike. */
function written(topic) {
  switch (topic.kind) {
    case "cloud-to-device":
      return hub.cloudToDeviceTopic(topic.deviceId, topic.bag);
    case "telemetry":
      return hub.telemetryTopic(topic.deviceId, topic.moduleId, topic.bag);
    case "input":
      return hub.inputTopic(topic.deviceId, topic.moduleId, topic.inputName, topic.bag);
    case "method":
      return topic.requestId && hub.methodTopic(topic.methodName, topic.requestId);
    case "method-response":
      return topic.requestId && hub.methodResponseTopic(topic.status, topic.requestId);
    case "twin-response":
      return topic.requestId && hub.twinResponseTopic(topic.status, topic.requestId, topic.version);
    case "desired":
      return topic.version && hub.desiredTopic(topic.version);
    case "provisioning-response":
      return topic.requestId && hub.provisioningResponseTopic(topic.status, topic.requestId, topic.retryAfter);
    default:
      return undefined;
  }
}

export function run(input) {
  const text = textOf(input);
  for (const parse of PARSERS) {
    const topic = parse(text);
    const again = topic && written(topic);
    if (again && !same(parse(again), topic)) equal(parse(again), topic, "read again");
  }
}
