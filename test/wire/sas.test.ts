/** SAS tokens: published vectors, strict reading, and the hub's check. */
import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  createSasToken,
  deriveGroupKey,
  parseSasToken,
  sasScope,
  signSasToken,
  verifySasToken,
} from "../../src/wire/sas.js";
import { seeded } from "../support/random.js";

// From the tests of Microsoft's command line for IoT.
const KEY = "+XLy+MVZ+aTeOnVzN2kLeB16O+kSxmz6g3rS6fAf6rw=";
const HUB = "iot-hub-for-test.azure-devices.net";
const DEVICE = { hostName: HUB, deviceId: "iot-device-for-test" };
const TOKEN =
  "SharedAccessSignature sr=iot-hub-for-test.azure-devices.net%2Fdevices%2Fiot-device-for-test" +
  "&sig=SIumZ1ACqqPJZ2okHDlW9MSYKykEpqsQY3z6FMOICd4%3D&se=1471940363";

describe("published vectors", () => {
  test("a device's token", () => expect(createSasToken({ ...DEVICE, key: KEY, expiry: 1471940363 })).toBe(TOKEN));

  test("a policy's token for the whole hub", () =>
    expect(signSasToken(HUB, KEY, 1471940363, "iothubowner")).toBe(
      `SharedAccessSignature sr=${HUB}&sig=770sPjjYxRYpNz8%2FhEN7XR5XU5KDGYGTinSP8YyeTXw%3D&se=1471940363&skn=iothubowner`,
    ));

  test("a device's key in an enrolment group", () =>
    expect(
      deriveGroupKey(
        "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==",
        "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6",
      ),
    ).toBe("Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc="));
});

describe("createSasToken", () => {
  test("a module, odd characters, a policy, a fraction of a second", () => {
    const token = createSasToken({
      hostName: "h",
      deviceId: "d 1!",
      moduleId: "m*",
      key: KEY,
      expiry: 99.9,
      keyName: "p&q",
    });
    const resource = "h%2Fdevices%2Fd%201%21%2Fmodules%2Fm%2A";
    const signature = createHmac("sha256", Buffer.from(KEY, "base64")).update(`${resource}\n99`).digest("base64");
    expect(token).toBe(`SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signature)}&se=99&skn=p%26q`);
  });

  test.each(["", "not base64", "abc", "YWJj\n", "-_-_", undefined])("the key %j is refused, not echoed", (key) => {
    expect(() => createSasToken({ ...DEVICE, key: key as string, expiry: 1 })).toThrow(
      expect.objectContaining({ code: "ERR_SAS_TOKEN", message: "the key is not base64" }),
    );
  });

  test.each([undefined, null, { hostName: "" }, { deviceId: "" }, { deviceId: 5 }, { moduleId: "" }, { keyName: "" }])(
    "for %j: refused",
    (wrong) => {
      const options = wrong && { ...DEVICE, key: KEY, expiry: 1, ...wrong };
      expect(() => createSasToken(options as never)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
    },
  );

  test("expiries from 1970 to 5138", () => {
    for (const expiry of [0, 99_999_999_999])
      expect(createSasToken({ ...DEVICE, key: KEY, expiry })).toMatch(new RegExp(`&se=${expiry}$`));
  });

  test.each([Number.NaN, -1, 1e11, Infinity, Date.now(), "soon", undefined])("the expiry %s is refused", (expiry) => {
    expect(() => createSasToken({ ...DEVICE, key: KEY, expiry: expiry as number })).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
  });
});

test.each(["", "\ud800", "\udfffa", "a\ud800", 5])("no key of a group is for the registration id %j", (id) => {
  expect(() => deriveGroupKey(KEY, id as string)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
});

describe("parseSasToken", () => {
  test("fields in any order, escapes in either case, + is itself", () => {
    expect(parseSasToken("SharedAccessSignature se=5&skn=a%20b+c&sig=x%2by%3D+&sr=h%2fdevices%2Fd")).toEqual({
      resource: "h/devices/d",
      encodedResource: "h%2fdevices%2Fd",
      signature: "x+y=+",
      expiry: 5,
      keyName: "a b+c",
    });
    expect(parseSasToken(TOKEN)).toEqual({
      resource: sasScope(DEVICE),
      encodedResource: `${HUB}%2Fdevices%2Fiot-device-for-test`,
      signature: "SIumZ1ACqqPJZ2okHDlW9MSYKykEpqsQY3z6FMOICd4=",
      expiry: 1471940363,
    });
  });

  test("an empty skn, with which Microsoft's C SDK ends a token of a device's own key, is none", () => {
    expect(parseSasToken(`${TOKEN}&skn=`)).toEqual(parseSasToken(TOKEN));
    expect(() => parseSasToken(`${TOKEN}&skn=&skn=`)).toThrow("has two skn fields");
  });

  const secret = "c2VjcmV0";
  test.each([
    ["no prefix", `sr=h&sig=${secret}&se=5`],
    ["other case of the prefix", `sharedaccesssignature sr=h&sig=${secret}&se=5`],
    ["no sr", `SharedAccessSignature sig=${secret}&se=5`],
    ["no sig", "SharedAccessSignature sr=h&se=5"],
    ["no se", `SharedAccessSignature sr=h&sig=${secret}`],
    ["se of letters", `SharedAccessSignature sr=h&sig=${secret}&se=x5`],
    ["se with a fraction", `SharedAccessSignature sr=h&sig=${secret}&se=5.5`],
    ["se below zero", `SharedAccessSignature sr=h&sig=${secret}&se=-5`],
    ["se in hexadecimal", `SharedAccessSignature sr=h&sig=${secret}&se=0x5`],
    ["an unknown field", `SharedAccessSignature sr=h&sig=${secret}&se=5&x=${secret}`],
    ["a field that begins like another", `SharedAccessSignature srx=h&sr=h&sig=${secret}&se=5`],
    ["a field that ends like another", `SharedAccessSignature xsr=h&sr=h&sig=${secret}&se=5`],
    ["a field of a mangled signature", `SharedAccessSignature sr=h&sig=a&${secret}=&se=5`],
    ["a field that objects have", `SharedAccessSignature sr=h&sig=${secret}&se=5&constructor=1`],
    ["two sr", `SharedAccessSignature sr=h&sr=h&sig=${secret}&se=5`],
    ["two se", `SharedAccessSignature sr=h&sig=${secret}&se=5&se=5`],
    ["an empty sig", "SharedAccessSignature sr=h&sig=&se=5"],
    ["an empty field", `SharedAccessSignature sr=h&sig=${secret}&se=5&`],
    ["a field without =", `SharedAccessSignature sr&sig=${secret}&se=5`],
    ["nothing", ""],
    ["no text", undefined],
  ])("%s is refused, not echoed", (_what, token) => {
    let thrown: unknown;
    try {
      parseSasToken(token as string);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ name: "HubwireError", code: "ERR_SAS_TOKEN" });
    expect(String(thrown)).not.toContain(secret);
  });

  test("any text is read or refused", () => {
    const { below, text } = seeded(5);
    for (let round = 0; round < 3000; round++) {
      const token = "SharedAccessSignature " + text(below(40), "srigenk=&%20+5");
      try {
        parseSasToken(token);
      } catch (error) {
        expect(error).toMatchObject({ code: "ERR_SAS_TOKEN" });
      }
    }
  });
});

describe("verifySasToken", () => {
  const scope = sasScope(DEVICE);
  const now = 1471940362_999;
  const check = (token: string, over: object = {}) => verifySasToken(token, { keys: [KEY], scope, now, ...over });
  const other = Buffer.alloc(32, 1).toString("base64");

  test("accepts either key until the expiry", () => {
    expect(check(TOKEN)).toBeUndefined();
    expect(check(TOKEN, { keys: [other, KEY] })).toBeUndefined();
    expect(check(TOKEN, { now: 1471940363_000 })).toBe("expired");
  });

  test("the signature is over the escapes as they were sent", () => {
    const resource = scope.replaceAll("/", "%2f");
    const signature = createHmac("sha256", Buffer.from(KEY, "base64"))
      .update(`${resource}\n1471940363`)
      .digest("base64");
    expect(
      check(`SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signature)}&se=1471940363`),
    ).toBeUndefined();
    expect(check(TOKEN.replaceAll("%2F", "%2f"))).toBe("signature");
  });

  test("refuses what is not for this device", () => {
    expect(check("garbage")).toBe("malformed");
    expect(check(TOKEN, { keys: [other] })).toBe("signature");
    expect(check(TOKEN, { keys: [] })).toBe("signature");
    expect(check(TOKEN.replace("%3D&", "&"))).toBe("signature");
    expect(check(TOKEN, { scope: scope + "2" })).toBe("scope");
    expect(check(TOKEN, { scope: scope + "/modules/m" })).toBe("scope");
    expect(check(TOKEN, { scope: scope.replace("iot-device", "IOT-device") })).toBe("scope");
    expect(check(TOKEN, { scope: scope.replace(HUB, HUB.toUpperCase()) })).toBeUndefined();
  });

  test("the case of all the scope does not count where that is asked for", () => {
    const upper = { scope: scope.toUpperCase() };
    expect(check(TOKEN, upper)).toBe("scope");
    expect(check(TOKEN, { ...upper, ignoreCase: true })).toBeUndefined();
    expect(check(TOKEN, { scope: scope + "2", ignoreCase: true })).toBe("scope");
  });

  test("a policy's token covers what lies below its resource", () => {
    const keys = (name: string | undefined) => (name === "device" ? [KEY] : []);
    const policy = (resource: string) => signSasToken(resource, KEY, 1471940363, "device");
    expect(check(policy(HUB), { keys })).toBeUndefined();
    expect(check(policy(scope), { keys, scope: `${scope}/modules/m` })).toBeUndefined();
    expect(check(policy("iot-hub"), { keys })).toBe("scope");
    expect(check(TOKEN, { keys })).toBe("signature");
  });
});
