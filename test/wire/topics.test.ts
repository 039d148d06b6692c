/** Every topic of the hub and of the provisioning service, written and read. */
import { describe, expect, test } from "vitest";
import * as topics from "../../src/wire/topics.js";
import { seeded } from "../support/random.js";

const { parseInbound, parseOutbound } = topics;

describe("written", () => {
  test.each([
    [topics.telemetryTopic("d"), "devices/d/messages/events/"],
    [topics.telemetryTopic("d", undefined, "a=1"), "devices/d/messages/events/a=1"],
    [topics.telemetryTopic("d", "m", "%24.on=o"), "devices/d/modules/m/messages/events/%24.on=o"],
    [topics.cloudToDeviceTopic("d", "#"), "devices/d/messages/devicebound/#"],
    [topics.inputsFilter("d", "m"), "devices/d/modules/m/inputs/#"],
    [topics.inputTopic("d", "m", "in", "a=1"), "devices/d/modules/m/inputs/in/a=1"],
    [topics.methodTopic("reboot", "7f"), "$iothub/methods/POST/reboot/?$rid=7f"],
    [topics.methodResponseTopic(200, "7f"), "$iothub/methods/res/200/?$rid=7f"],
    [topics.twinGetTopic("1"), "$iothub/twin/GET/?$rid=1"],
    [topics.reportedTopic("2"), "$iothub/twin/PATCH/properties/reported/?$rid=2"],
    [topics.twinResponseTopic(204, "2", 5), "$iothub/twin/res/204/?$rid=2&$version=5"],
    [topics.twinResponseTopic(200, "2"), "$iothub/twin/res/200/?$rid=2"],
    [topics.desiredTopic(9), "$iothub/twin/PATCH/properties/desired/?$version=9"],
    [topics.registerTopic("1"), "$dps/registrations/PUT/iotdps-register/?$rid=1"],
    [topics.operationTopic("2", "op"), "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=op"],
    [topics.provisioningResponseTopic(202, "1", 3), "$dps/registrations/res/202/?$rid=1&retry-after=3"],
    [topics.provisioningResponseTopic(200, "1"), "$dps/registrations/res/200/?$rid=1"],
    // As they are, never percent-encoded.
    [topics.telemetryTopic("dev:1%20@x", "m'(1)"), "devices/dev:1%20@x/modules/m'(1)/messages/events/"],
  ])("%s", (topic, expected) => expect(topic).toBe(expected));
});

test("over WebSocket the hub has a path", () => {
  const path = { path: "/$iothub/websocket" };
  expect(topics.webSocketPath("wss")).toEqual(path);
  expect(topics.webSocketPath("ws")).toEqual(path);
  for (const protocol of ["mqtts", "mqtt", undefined]) expect(topics.webSocketPath(protocol)).toEqual({});
});

describe("read by a device", () => {
  test.each([
    ["devices/d/messages/devicebound/", { kind: "cloud-to-device", deviceId: "d", bag: "" }],
    ["devices/d/messages/devicebound/a=1/2&b", { kind: "cloud-to-device", deviceId: "d", bag: "a=1/2&b" }],
    [
      "devices/dev/modules/mod/inputs/in/a=1",
      { kind: "input", deviceId: "dev", moduleId: "mod", inputName: "in", bag: "a=1" },
    ],
    ["devices/dev/messages/devicebound/", { kind: "cloud-to-device", deviceId: "dev", bag: "" }],
    ["devices/d/modules/m/inputs/in/a=1", { kind: "input", deviceId: "d", moduleId: "m", inputName: "in", bag: "a=1" }],
    ["devices/d/modules/m/inputs/in", { kind: "input", deviceId: "d", moduleId: "m", inputName: "in", bag: "" }],
    ["$iothub/methods/POST/reboot/?$rid=7f", { kind: "method", methodName: "reboot", requestId: "7f" }],
    ["$iothub/methods/POST/reboot/?x=1&$rid=a%20b", { kind: "method", methodName: "reboot", requestId: "a%20b" }],
    ["$iothub/methods/POST/reboot/?$rid=", { kind: "method", methodName: "reboot", requestId: undefined }],
    ["$iothub/methods/POST/reboot/?", { kind: "method", methodName: "reboot", requestId: undefined }],
    ["$iothub/methods/POST/a/b?/?$rid=1", { kind: "method", methodName: "a/b?", requestId: "1" }],
    ["$iothub/twin/res/200/?$rid=1", { kind: "twin-response", status: 200, requestId: "1", version: undefined }],
    ["$iothub/twin/res/204/?$rid=1&$version=5", { kind: "twin-response", status: 204, requestId: "1", version: 5 }],
    [
      "$iothub/twin/res/204/?$version=-5",
      { kind: "twin-response", status: 204, requestId: undefined, version: undefined },
    ],
    ["$iothub/twin/PATCH/properties/desired/?$version=9", { kind: "desired", version: 9 }],
    ["$iothub/twin/PATCH/properties/desired/?$version=123456789012345", { kind: "desired", version: 123456789012345 }],
    ["$iothub/twin/PATCH/properties/desired/?$version=1234567890123456", { kind: "desired", version: undefined }],
    ["$iothub/twin/PATCH/properties/desired/?$version=12x", { kind: "desired", version: undefined }],
    ["$iothub/twin/PATCH/properties/desired/?", { kind: "desired", version: undefined }],
    ["$iothub/twin/PATCH/properties/desired/?$version=x", { kind: "desired", version: undefined }],
    [
      "$dps/registrations/res/202/?$rid=1&retry-after=3",
      { kind: "provisioning-response", status: 202, requestId: "1", retryAfter: 3 },
    ],
  ])("%s", (topic, expected) => expect(parseInbound(topic)).toEqual(expected));

  test.each([
    "",
    "/",
    "devices/d/messages/events/",
    "devices//messages/devicebound/",
    "devices/d/messages/devicebound",
    "devices/d/messages/devicebound2/",
    "my/devices/d/messages/devicebound/",
    "my/$iothub/twin/res/200/?$rid=1",
    "$iothub/methods/POST/",
    "$iothub/methods/POST/reboot",
    "$iothub/methods/POST//?$rid=1",
    "$iothub/methods/POST/?$rid=1",
    "$iothub/twin/res/2x0/?$rid=1",
    "$iothub/twin/res/",
    "$dps/registrations/res/9999/?$rid=1",
  ])("%j is none", (topic) => expect(parseInbound(topic)).toBeUndefined());
});

describe("read by the hub", () => {
  test.each([
    ["devices/d/messages/events/a=1", { kind: "telemetry", deviceId: "d", moduleId: undefined, bag: "a=1" }],
    [
      "devices/dev/modules/mod/messages/events/a/b",
      { kind: "telemetry", deviceId: "dev", moduleId: "mod", bag: "a/b" },
    ],
    ["devices/d/messages/events", { kind: "telemetry", deviceId: "d", moduleId: undefined, bag: "" }],
    ["devices/d/modules/m/messages/events/", { kind: "telemetry", deviceId: "d", moduleId: "m", bag: "" }],
    ["$iothub/methods/res/-1/?$rid=7", { kind: "method-response", status: -1, requestId: "7" }],
    ["$iothub/methods/res/0/?$rid=7", { kind: "method-response", status: 0, requestId: "7" }],
    ["$iothub/methods/res/2147483647/?$rid=7", { kind: "method-response", status: 2147483647, requestId: "7" }],
    ["$iothub/twin/GET/?$rid=1", { kind: "twin-get", requestId: "1" }],
    ["$iothub/twin/PATCH/properties/reported/?$rid=1", { kind: "reported", requestId: "1" }],
    ["$dps/registrations/PUT/iotdps-register/?$rid=1", { kind: "register", requestId: "1" }],
    [
      "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=4.x",
      { kind: "operation", requestId: "1", operationId: "4.x" },
    ],
  ])("%s", (topic, expected) => expect(parseOutbound(topic)).toEqual(expected));

  test.each([
    "",
    "devices/d/messages",
    "devices/d/messages/eventsx",
    "my/devices/d/messages/events/",
    ...["ok", "x200", "x/0", "01", "12345678901"].map((status) => `$iothub/methods/res/${status}/?$rid=1`),
  ])("%j is none", (topic) => expect(parseOutbound(topic)).toBeUndefined());
});

test("any text is read without an exception", () => {
  const { below, text } = seeded(3);
  const starts = ["$iothub/methods/POST/", "$iothub/twin/res/200", "devices/d/", "$dps/registrations/res/", ""];
  for (let round = 0; round < 5000; round++) {
    const topic = (starts[below(starts.length)] as string) + text(below(30), "/?$&=ridversion0129devicsmogunbh");
    expect(() => [parseInbound(topic), parseOutbound(topic)]).not.toThrow();
  }
});
