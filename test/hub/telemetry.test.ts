/** Telemetry: on the wire, at the hub, and what is refused before it is sent. */
import { describe, expect, test } from "vitest";
import type { TelemetryMessage } from "../../src/emulator/index.js";
import { encodeTelemetry } from "../../src/hub/telemetry.js";
import { laboratory, next } from "./lab.js";

const lab = laboratory();
const identity = "devices/d/messages/events/";

describe("encodeTelemetry", () => {
  test.each([
    ["text", "text", ""],
    [new Uint8Array([1, 2]), new Uint8Array([1, 2]), ""],
    [Uint16Array.of(0x201), new Uint8Array([1, 2]), ""],
    [new Uint8Array([1, 2]).buffer, new Uint8Array([1, 2]), ""],
    [{ t: 21.5 }, '{"t":21.5}', "%24.ct=application%2Fjson&%24.ce=utf-8"],
    [[1, null], "[1,null]", "%24.ct=application%2Fjson&%24.ce=utf-8"],
    [7, "7", "%24.ct=application%2Fjson&%24.ce=utf-8"],
  ])("the body %j", (body, payload, bag) => {
    const encoded = encodeTelemetry(identity, body, {});
    expect(encoded.payload).toEqual(payload);
    expect(encoded.topic).toBe(`devices/d/messages/events/${bag}`);
    expect(encoded.qos).toBe(1);
  });

  test("every property", () => {
    const time = new Date("2024-01-02T03:04:05.678Z");
    const { topic, size } = encodeTelemetry("devices/d/modules/m/messages/events/", "x", {
      properties: { own: "1 2", none: null },
      messageId: "mid",
      correlationId: "cid",
      userId: "uid",
      to: "to",
      expiry: time,
      contentType: "text/plain",
      contentEncoding: "utf-8",
      outputName: "out",
      subject: "component",
      interfaceId: "if",
      creationTime: "2024-01-02T03:04:05Z",
      qos: 0,
    });
    expect(topic).toBe(
      "devices/d/modules/m/messages/events/%24.mid=mid&%24.cid=cid&%24.uid=uid&%24.to=to" +
        "&%24.exp=2024-01-02T03%3A04%3A05.678Z&%24.ct=text%2Fplain&%24.ce=utf-8&%24.on=out&%24.sub=component" +
        "&%24.ifid=if&%24.ctime=2024-01-02T03%3A04%3A05Z&own=1%202&none",
    );
    // 1 of the body; 3+3+3+2+24+10+5+3+9+2+20 of values of system properties; 3+3+4 of the application's.
    expect(size).toBe(1 + 84 + 10);
  });

  test("what comes again is written and counted again", () => {
    for (let i = 0; i < 20; i++) {
      const { topic, size } = encodeTelemetry(identity, "x", {
        properties: { alert: "false", room: `room ${i & 3}`, unit: "°C", sequence: `${i}` },
        messageId: `${i}`,
        contentType: "application/json",
        contentEncoding: "utf-8",
      });
      const n = `${i}`;
      expect(topic).toBe(
        `${identity}%24.mid=${n}&%24.ct=application%2Fjson&%24.ce=utf-8&alert=false&room=room%20${i & 3}&unit=%C2%B0C&sequence=${n}`,
      );
      // Of the body, of system properties the values, of the application's names and values.
      expect(size).toBe(1 + n.length + 16 + 5 + 10 + 10 + 7 + 8 + n.length);
    }
  });

  test("what is left out, given beside the options, or said of a body by who sends it", () => {
    const { signal } = new AbortController();
    expect(encodeTelemetry(identity, "x", undefined)).toEqual({
      topic: identity,
      payload: "x",
      qos: 1,
      retain: false,
      signal: undefined,
      size: 1,
    });
    expect(encodeTelemetry(identity, "x", { qos: 0, retain: true, signal })).toMatchObject({
      qos: 0,
      retain: true,
      signal,
    });
    expect(encodeTelemetry(identity, "x", {}, "out").topic).toBe(`${identity}%24.on=out`);
    const own = { contentType: "application/x", contentEncoding: "utf-16" };
    expect(encodeTelemetry(identity, {}, own).topic).toBe(`${identity}%24.ct=application%2Fx&%24.ce=utf-16`);
  });

  test("a name of the hub's own as a property, where no option says it", () => {
    for (const properties of [{ "$.mid": "a", "$.x": "y" }, new Map(Object.entries({ "$.mid": "a", "$.x": "y" }))]) {
      expect(encodeTelemetry(identity, "x", { properties, correlationId: "c" }).topic).toBe(
        `${identity}%24.cid=c&%24.mid=a&%24.x=y`,
      );
      expect(() => encodeTelemetry(identity, "x", { properties, messageId: "b" })).toThrow(
        '"$.mid" is given as an option and as a property',
      );
    }
  });

  test("a message id of 128 characters, and not one more", () => {
    expect(encodeTelemetry(identity, "x", { messageId: "m".repeat(128) }).size).toBe(129);
    const refused = (messageId: string): unknown => {
      try {
        return encodeTelemetry(identity, "x", { messageId });
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect([refused("m".repeat(129)), refused("a b"), refused("ä"), refused("m".repeat(70) + " ")]).toEqual([
      "ERR_LIMIT",
      "ERR_INVALID_ARGUMENT",
      "ERR_INVALID_ARGUMENT",
      "ERR_INVALID_ARGUMENT",
    ]);
  });

  test("a body that can't be read says why", () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(() => encodeTelemetry(identity, proxy, {})).toThrow(
      expect.objectContaining({
        code: "ERR_INVALID_ARGUMENT",
        message: "the body cannot be read",
        cause: expect.any(TypeError),
      }),
    );
    expect(() => encodeTelemetry(identity, "x", { expiry: {} as never })).toThrow(/expiry .* string or a valid Date/);
    expect(() => encodeTelemetry(identity, "x", { signal: {} as never })).toThrow(/signal/);
  });

  test("256 KiB, all counted, and not a byte more", () => {
    const room = 256 * 1024;
    expect(encodeTelemetry(identity, Buffer.alloc(room), {}).size).toBe(room);
    expect(encodeTelemetry(identity, Buffer.alloc(room - 9), { properties: { ä: "ö" }, messageId: "12345" }).size).toBe(
      room,
    );
    const limit = expect.objectContaining({ code: "ERR_LIMIT", retryable: false });
    expect(() => encodeTelemetry(identity, Buffer.alloc(room + 1), {})).toThrow(limit);
    expect(() =>
      encodeTelemetry(identity, Buffer.alloc(room - 9), { properties: { ä: "öo" }, messageId: "12345" }),
    ).toThrow(limit);
    expect(() => encodeTelemetry(identity, "ü".repeat(room / 2 + 1), {})).toThrow(limit);
  });

  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  test.each<[string, unknown, object]>([
    ["QoS 2", "x", { qos: 2 }],
    ["no body", undefined, {}],
    ["a function", () => {}, {}],
    ["a cycle", cycle, {}],
    ["a reading that is NaN", { temperature: Number.NaN }, {}],
    ["a Map within", { a: [new Map([[1, 2]])] }, {}],
    ["a number as message id", "x", { messageId: 7 }],
    ["an invalid date", "x", { expiry: new Date(Number.NaN) }],
    ["a property that is a number", "x", { properties: { a: 1 } }],
    ["a lone surrogate", "x", { messageId: "\ud800" }],
    ["a property said twice", "x", { messageId: "a", properties: { "$.mid": "b" } }],
  ])("%s is refused, as often as it comes", (_what, body, options) => {
    for (let i = 0; i < 4; i++) {
      expect(() => encodeTelemetry(identity, body, options)).toThrow(
        expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
      );
    }
  });
});

describe("at the hub", () => {
  test.each([0, 1] as const)("QoS %i arrives with all it has", async (qos) => {
    const device = await lab.device(`telemetry-${qos}`);
    const arrived = next<TelemetryMessage>(lab.hub, "telemetry");
    await device.sendTelemetry("hällo", {
      qos,
      properties: new Map([
        ["Küche 1", "&=/#+%"],
        ["none", null],
        ["empty", ""],
        ["__proto__", "data"],
      ]),
      messageId: "m-1",
      contentType: "text/plain",
    });
    const message = await arrived;
    expect(message).toMatchObject({ deviceId: `telemetry-${qos}`, qos, dup: false });
    expect(Buffer.from(message.payload).toString()).toBe("hällo");
    expect([...message.properties]).toEqual([
      ["Küche 1", "&=/#+%"],
      ["none", null],
      ["empty", ""],
      ["__proto__", "data"],
    ]);
    expect(message.systemProperties).toEqual({ messageId: "m-1", contentType: "text/plain" });
  });

  test("retain becomes a property", async () => {
    const device = await lab.device("retain");
    const arrived = next<TelemetryMessage>(lab.hub, "telemetry");
    await device.sendTelemetry("x", { retain: true });
    expect([...(await arrived).properties]).toEqual([["mqtt-retain", "true"]]);
  });

  test("a batch arrives in order, and each message has its own outcome", async () => {
    const device = await lab.device("batch");
    const bodies: string[] = [];
    const count = (message: TelemetryMessage) => bodies.push(Buffer.from(message.payload).toString());
    lab.hub.on("telemetry", count);
    const outcomes = await device.sendTelemetryBatch(
      (function* () {
        for (let index = 0; index < 3000; index++) {
          yield index === 7 ? { body: "x".repeat(300_000) } : { body: `${index}`, properties: { index: `${index}` } };
        }
      })(),
    );
    lab.hub.off("telemetry", count);
    expect(outcomes).toHaveLength(3000);
    expect(outcomes.filter(({ status }) => status === "rejected")).toEqual([outcomes[7]]);
    expect(outcomes[7]).toMatchObject({ reason: { code: "ERR_LIMIT" } });
    expect(bodies).toEqual(Array.from({ length: 3000 }, (_, index) => `${index}`).filter((_, index) => index !== 7));
    expect(await device.sendTelemetryBatch([])).toEqual([]);
  });

  test("a will, when the connection breaks and only then", async () => {
    const { connectionString } = lab.hub.createDevice("will");
    const will = { payload: { gone: true }, properties: { reason: "lost" }, messageId: "last" };
    const polite = lab.client(connectionString, { will, reconnect: false });
    const wills: TelemetryMessage[] = [];
    lab.hub.on("telemetry", (message) => wills.push(message));
    await polite.connect();
    await polite.close();
    const rude = lab.client(connectionString, { will, reconnect: false });
    await rude.connect();
    const arrived = next<TelemetryMessage>(lab.hub, "telemetry");
    lab.hub.disconnectDevice("will", { abruptly: true });
    const message = await arrived;
    expect(Buffer.from(message.payload).toString()).toBe('{"gone":true}');
    expect(message.properties.get("reason")).toBe("lost");
    expect(message.properties.get("iothub-MessageType")).toBe("Will");
    expect(message.systemProperties).toMatchObject({ messageId: "last", contentType: "application/json" });
    expect(wills).toHaveLength(1);
    lab.hub.removeAllListeners("telemetry");
  });

  test("an aborted message is ERR_ABORTED", async () => {
    const device = await lab.device("aborted");
    lab.hub.faults.puback = "hold";
    const abort = new AbortController();
    const sending = device.sendTelemetry("x", { signal: abort.signal });
    abort.abort();
    await expect(sending).rejects.toMatchObject({ code: "ERR_ABORTED" });
  });
});
