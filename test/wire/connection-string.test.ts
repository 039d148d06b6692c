/** Connection strings: what is read, what is refused and how it is said, and that no secret is repeated. */
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { parseConnectionString } from "../../src/wire/connection-string.js";
import { seeded } from "../support/random.js";

const KEY = "c2VjcmV0LWtleS1mb3ItdGVzdHM=";
const SAS = "SharedAccessSignature sr=h%2Fdevices%2Fd&sig=c2VjcmV0c2ln&se=99";

describe("accepted", () => {
  test.each([
    [
      `HostName=my-hub.azure-devices.net;DeviceId=d;SharedAccessKey=${KEY}`,
      { hostName: "my-hub.azure-devices.net", deviceId: "d", sharedAccessKey: KEY },
    ],
    [
      `SharedAccessKey=${KEY};ModuleId=m;GatewayHostName=edge1;SharedAccessKeyName=device;DeviceId=d;HostName=h.azure-devices.cn;`,
      {
        hostName: "h.azure-devices.cn",
        deviceId: "d",
        moduleId: "m",
        gatewayHostName: "edge1",
        sharedAccessKey: KEY,
        sharedAccessKeyName: "device",
      },
    ],
    [
      `HostName=h;DeviceId=d;SharedAccessSignature=${SAS}`,
      { hostName: "h", deviceId: "d", sharedAccessSignature: SAS },
    ],
    ["HostName=h;DeviceId=d;x509=true", { hostName: "h", deviceId: "d", x509: true }],
    ["HostName=h;DeviceId=d;x509=True", { hostName: "h", deviceId: "d", x509: true }],
    [`HostName=h;DeviceId=d;x509=false;SharedAccessKey=${KEY}`, { hostName: "h", deviceId: "d", sharedAccessKey: KEY }],
    ["HostName=h;DeviceId=a=b%20(c)@:,'!;x509=true\n", { hostName: "h", deviceId: "a=b%20(c)@:,'!", x509: true }],
    ["HostName=127.0.0.1;DeviceId=d", { hostName: "127.0.0.1", deviceId: "d" }],
  ])("%s", (text, expected) => {
    const parsed = parseConnectionString(text);
    expect(parsed).toEqual(expected);
    // What is not in the text is no member either, so that it may be spread into options.
    expect(Object.keys(parsed).sort()).toEqual(Object.keys(expected).sort());
  });
});

describe("refused, with what to do, without the value", () => {
  test.each([
    ["", /string is empty/],
    ["garbage", /part 1/],
    [" \n", /string is empty/],
    [`DeviceId=d;SharedAccessKey=${KEY}`, /HostName is missing/],
    [`HostName=h;SharedAccessKey=${KEY}`, /DeviceId is missing$/],
    [`HostName=h;SharedAccessKeyName=iothubowner;SharedAccessKey=${KEY}`, /service's connection string/],
    [`Endpoint=sb://x/;SharedAccessKeyName=s;SharedAccessKey=${KEY}`, /Event Hubs/],
    [`hostname=h;DeviceId=d;SharedAccessKey=${KEY}`, /part 1 .* HostName written otherwise/],
    [`HostName=h; DeviceId=d;SharedAccessKey=${KEY}`, /part 2 .* DeviceId written otherwise/],
    [`HostName=h;DeviceId=d;Key=${KEY}`, /part 3 .* no known name/],
    [`HostName=h;DeviceId=d;${KEY}`, /part 3/],
    [`HostName=h;DeviceId=d;SharedAccessKey=${KEY};DeviceId=d`, /DeviceId is there twice/],
    ["HostName=h;DeviceId=d;SharedAccessKey=", /SharedAccessKey is empty/],
    ["HostName=;DeviceId=d", /HostName is empty/],
    [`HostName=h;;DeviceId=d;SharedAccessKey=${KEY}`, /part 2/],
    [`HostName=h;DeviceId=d;SharedAccessKey=${KEY.slice(0, -1)}`, /not base64/],
    [`HostName=h;DeviceId=d;SharedAccessKey=${KEY} `.replace("LW", "L "), /not base64/],
    [`HostName=h;DeviceId=d;SharedAccessKey=${KEY};SharedAccessSignature=${SAS}`, /only one/],
    [`HostName=h;DeviceId=d;SharedAccessKey=${KEY};x509=true`, /only one/],
    ["HostName=h;DeviceId=d;x509=yes", /true or false/],
    ["HostName=h;DeviceId=d;x509=untrue", /true or false/],
    ["HostName=h;DeviceId=d;x509=true1", /true or false/],
    ["HostName=h;DeviceId=d;SharedAccessKeyName=device", /needs a SharedAccessKey/],
    [`HostName=h;DeviceId=d;SharedAccessSignature=${KEY}`, /SharedAccessSignature/],
    [`HostName=https://h;DeviceId=d;SharedAccessKey=${KEY}`, /without scheme/],
    [`HostName=h:8883;DeviceId=d;SharedAccessKey=${KEY}`, /without scheme, port/],
    [`HostName=h;DeviceId=a/b;SharedAccessKey=${KEY}`, /device or module id/],
    [`HostName=h;DeviceId=a#;SharedAccessKey=${KEY}`, /device or module id/],
    [`HostName=h;DeviceId=d;ModuleId=+;SharedAccessKey=${KEY}`, /device or module id/],
    [`HostName=h;DeviceId=${"x".repeat(129)};SharedAccessKey=${KEY}`, /128/],
    ...['"', "'", "`", '  "'].map((quote): [string, RegExp] => [`${quote}HostName=h;DeviceId=d"`, /in quotes/]),
    [undefined, /environment variable/],
    [5, /not a string$/],
  ])("%s", (text, message) => {
    let thrown: unknown;
    try {
      parseConnectionString(text as string);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({
      name: "HubwireError",
      code: "ERR_CONNECTION_STRING",
      message: expect.stringMatching(message),
    });
    expect(inspect(thrown)).not.toContain(KEY.slice(0, 12));
  });
});

test("printing what was read shows no secret, and copying it keeps it", () => {
  const parsed = parseConnectionString(`HostName=h;DeviceId=d;SharedAccessKey=${KEY}`);
  expect(inspect({ parsed }, { depth: 5, showHidden: true })).not.toContain(KEY);
  expect(inspect(parsed)).toContain("hostName: 'h'");
  expect({ ...parsed }.sharedAccessKey).toBe(KEY);
  expect(inspect(parsed)).not.toContain("sharedAccessSignature");
  const signed = inspect(parseConnectionString(`HostName=h;DeviceId=d;SharedAccessSignature=${SAS}`));
  expect(signed).toContain("sharedAccessSignature: '[secret]'");
  expect(signed).not.toContain("sharedAccessKey");
});

test("any text is read or refused", () => {
  const { below, text } = seeded(11);
  const parts = [
    "HostName=",
    "DeviceId=",
    "ModuleId=",
    "SharedAccessKey=",
    "x509=",
    "SharedAccessSignature=",
    ";",
    "=",
    "h",
    "YQ==",
  ];
  for (let round = 0; round < 3000; round++) {
    const candidate = Array.from(
      { length: below(12) },
      () => parts[below(parts.length)] + text(below(3), ";=a\0é"),
    ).join("");
    try {
      expect(parseConnectionString(candidate).hostName).toBeTypeOf("string");
    } catch (error) {
      expect(error).toMatchObject({ code: "ERR_CONNECTION_STRING" });
    }
  }
});
