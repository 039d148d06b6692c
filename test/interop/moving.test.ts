/**
 * The tables of moving: each option, event and method that the other libraries offer has a place in ours, or is among what
 * does not move. So a later version of theirs that has more is noticed.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const require = createRequire(import.meta.url);

/** The section of a guide from its heading to the next. */
function section(guide: string, heading: string): string {
  const text = readFileSync(join(resolve(import.meta.dirname, "../.."), guide), "utf8");
  const part = text.split(new RegExp(`^## ${heading}$`, "m"))[1]?.split(/^## /m)[0];
  expect(part, heading).toBeDefined();
  return part!;
}

const missing = (names: Iterable<string>, text: string): string[] =>
  [...new Set(names)].filter((name) => !new RegExp(`(?<![\\w$])${name}(?![\\w$])`).test(text));

/** What can be called on an instance, without what is private by its name. */
function methods({ prototype }: { prototype: object }): string[] {
  const names: string[] = [];
  for (
    let one = prototype;
    !Object.hasOwn(one, "addListener") && one !== Object.prototype;
    one = Object.getPrototypeOf(one)
  ) {
    names.push(...Object.getOwnPropertyNames(one));
  }
  return names.filter((name) => name !== "constructor" && !name.startsWith("_"));
}

describe("moving from MQTT.js", () => {
  const text = section("src/client/README.md", "Moving from MQTT.js");
  const folder = dirname(require.resolve("mqtt/package.json"));
  const types = readFileSync(join(folder, "build/lib/client.d.ts"), "utf8");
  const body = (start: string) => {
    const [, rest = ""] = types.split(start);
    return rest.slice(0, rest.indexOf("\n}"));
  };
  const fields = (start: string) => [...body(start).matchAll(/^ {4}(\w+)\??:/gm)].map(([, name = ""]) => name);

  test("has each option", () => {
    const names = fields("export interface IClientOptions");
    expect(names.length).toBeGreaterThan(40);
    // Of browsers; that nothing documents; that a URL says; of MQTT 5, which the guide names as a whole.
    const others =
      /^(browser|forceNative|objectMode|binary|encoding|my$|writeCache|defaultProtocol|query$|auth$|authPacket|auto\w+TopicAlias|properties|protocolId)/;
    expect(
      missing(
        names.filter((name) => !others.test(name)),
        text,
      ),
    ).toEqual([]);
  });

  test("has each event", () => {
    const names = fields("export interface MqttClientEventCallbacks");
    expect(names.length).toBeGreaterThan(8);
    expect(missing(names, text)).toEqual([]);
  });

  test("has each method", () => {
    const { MqttClient } = require("mqtt") as { MqttClient: { prototype: object } };
    // MQTT 5; what the client calls itself.
    const others = /^(handleAuth|serverProperties|keepalive|reschedulePing|sendPing|onKeepaliveTimeout|connect|noop)$/;
    const names = methods(MqttClient).filter((name) => !others.test(name));
    expect(names.length).toBeGreaterThan(8);
    expect(missing(names, text)).toEqual([]);
  });
});

describe("moving from azure-iot-device-mqtt", () => {
  const text = section("src/hub/README.md", "Moving from azure-iot-device-mqtt");
  const device = require("azure-iot-device") as Record<string, { prototype: object }>;

  test.each(["Client", "ModuleClient", "Message", "SharedAccessKeyAuthenticationProvider"])(
    "has each method of %s",
    (name) => {
      // What providers do for the client alone.
      const names = methods(device[name]!).filter((method) => !/^(getDeviceCredentials|stop)$/.test(method));
      expect(names.length).toBeGreaterThan(0);
      expect(missing(names, text)).toEqual([]);
    },
  );

  test.each(["Client", "ModuleClient"])("has each way to make a %s", (name) => {
    const names = Object.getOwnPropertyNames(device[name]).filter((one) => one.startsWith("from"));
    expect(names.length).toBeGreaterThan(2);
    expect(missing(names, text)).toEqual([]);
  });

  test("has each option", () => {
    const folder = dirname(require.resolve("azure-iot-device/package.json"));
    const types = readFileSync(join(folder, "dist/interfaces.d.ts"), "utf8");
    const body = /interface DeviceClientOptions[^{]*\{([\s\S]*?)\n\}/.exec(types)?.[1] ?? "";
    const names = [...body.matchAll(/^ {4}(\w+)\?:/gm)].map(([, name = ""]) => name);
    expect(names).toContain("tokenRenewal");
    // Of the transports that do not move.
    expect(
      missing(
        names.filter((name) => !/^(http|amqp)$/.test(name)),
        text,
      ),
    ).toEqual([]);
  });
});
