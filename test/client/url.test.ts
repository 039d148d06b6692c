/** Addresses as URLs, and where an address is written wrongly: what to write is said, and no password is quoted. */
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { MqttClient, type MqttClientOptions, type ReconnectOptions } from "../../src/client/index.js";
import { resolveAddress } from "../../src/client/address.js";
import { resolveOptions } from "../../src/client/options.js";
import { parseUrl, withUrl } from "../../src/client/url.js";

function thrownBy(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("a name with other letters than ASCII's is looked up and verified as DNS and certificates know it", () => {
  const hostOf = (host: string): string => resolveAddress({ host }).host;
  expect(hostOf("b\u00fccher.example")).toBe("xn--bcher-kva.example");
  expect(hostOf("B\u00fccher\u3002example")).toBe("xn--bcher-kva.example");
  expect(hostOf("Broker_1.example")).toBe("Broker_1.example");
  expect(() => hostOf("a\u2100b")).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
});

test("a delay without an end is a day at most", () => {
  const delays = (reconnect: ReconnectOptions): unknown =>
    resolveOptions({ host: "h", reconnect }, undefined).reconnect;
  expect(delays({ maxDelay: Infinity })).toEqual({ minDelay: 1_000, maxDelay: 86_400_000 });
  expect(delays({ minDelay: Infinity })).toEqual({ minDelay: 86_400_000, maxDelay: 86_400_000 });
  expect(delays({ minDelay: 9e4 })).toEqual({ minDelay: 9e4, maxDelay: 9e4 });
});

describe("a URL", () => {
  test.each([
    ["mqtts://broker.example", { protocol: "mqtts", host: "broker.example" }],
    ["mqtt://127.0.0.1:1884", { protocol: "mqtt", host: "127.0.0.1", port: 1884 }],
    ["MQTT://broker", { protocol: "mqtt", host: "broker" }],
    [
      "mqtts://me:s%40crt%2F@broker:8884/",
      { protocol: "mqtts", host: "broker", port: 8884, username: "me", password: "s@crt/" },
    ],
    ["mqtts://me:secret@broker/path", { protocol: "mqtts", host: "broker", username: "me", password: "secret" }],
    ["mqtts://[::1]:8883", { protocol: "mqtts", host: "::1", port: 8883 }],
    ["ws://broker", { protocol: "ws", host: "broker" }],
    ["wss://broker/$iothub/websocket?x=y", { protocol: "wss", host: "broker", path: "/$iothub/websocket?x=y" }],
    [
      "wss://u:p@broker:8443/mqtt",
      { protocol: "wss", host: "broker", port: 8443, path: "/mqtt", username: "u", password: "p" },
    ],
  ])("%s", (text, expected) => {
    expect(parseUrl(text)).toEqual(expected);
    expect(parseUrl(new URL(text))).toEqual(expected);
  });

  test.each<[string, RegExp]>([
    ["tcp://u:hush@broker", /tcp is called mqtt here/],
    ["ssl://u:hush@broker", /ssl is called mqtts here/],
    ["tls://u:hush@broker", /tls is called mqtts here/],
    ["https://u:hush@broker", /https is called wss here/],
    ["http://u:hush@broker", /http is called ws here/],
    ["ftp://u:hush@broker", /must be one of mqtts, mqtt, wss, ws/],
    ["constructor://u:hush@broker", /must be one of/],
    ["broker.example", /cannot be read: write "mqtts:\/\/host"/],
    ["u:hush@broker:1883", /must be one of/],
    ["", /cannot be read/],
    ["mqtts://", /no host|cannot be read/],
    ["mqtts://u:hush%zz@broker", /%25/],
    ["mqtts://u:hush@broker:99999", /cannot be read/],
    ["mqtts://u:hush@broker?qos=1", /second argument/],
    ["wss://u:hush@broker/a#b", /%23/],
  ])("%s says what to write", (text, expected) => {
    const error = thrownBy(() => parseUrl(text));
    expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT", message: expect.stringMatching(expected) as string });
    expect(inspect(error, { depth: 9 })).not.toContain("hush");
  });

  test("and options beside it", () => {
    expect(withUrl("mqtts://broker", { clientId: "c", port: undefined })).toEqual({
      protocol: "mqtts",
      host: "broker",
      clientId: "c",
    });
    expect(thrownBy(() => withUrl("mqtts://u:hush@broker", { password: "other" }))).toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
      message: "option password is in the URL too: give it in one place",
    });
    expect(thrownBy(() => withUrl("mqtts://broker", null as unknown as object))).toMatchObject({
      code: "ERR_INVALID_ARGUMENT",
    });
  });
});

describe("an address in the options", () => {
  test.each<[Partial<MqttClientOptions>, RegExp]>([
    [{ host: "mqtts://u:hush@broker" }, /host is a URL: write new MqttClient/],
    [{ host: "broker:1883" }, /ends with a port/],
    [{ host: "broker/path" }, /alone/],
    [{ host: "u:hush@broker" }, /alone/],
    [{ host: "[::1]" }, /alone/],
    [{ host: "bro ker" }, /alone/],
    [{ host: "broker\r\nX: y" }, /alone/],
    [{ host: "" }, /host is missing/],
    [{ host: "b", protocol: "https" as "wss" }, /one of mqtts, mqtt, wss, ws/],
    [{ host: "b", protocol: "toString" as "wss" }, /one of mqtts, mqtt, wss, ws/],
    [{ host: "b", path: "/mqtt" }, /for protocol wss and ws/],
    [{ host: "b", protocol: "wss", path: "mqtt" }, /begin with \//],
    [{ host: "b", protocol: "wss", path: "/a b" }, /escaped/],
    [{ host: "b", protocol: "wss", path: "/a\r\nX: y" }, /escaped/],
    [{ host: "b", protocol: "wss", path: "/a#b" }, /escaped/],
    [{ host: "b", proxy: "proxy:3128" }, /http:\/\/host:port/],
    [{ host: "b", proxy: "socks5://u:hush@proxy" }, /http:\/\/host:port/],
    [{ host: "b", proxy: "http://proxy", createConnection: () => null as never }, /exclude/],
  ])("%o is refused", (options, expected) => {
    const error = thrownBy(() => new MqttClient(options as MqttClientOptions));
    expect(error).toMatchObject({ code: "ERR_INVALID_ARGUMENT", message: expect.stringMatching(expected) as string });
    expect(inspect(error, { depth: 9 })).not.toContain("hush");
  });
});
