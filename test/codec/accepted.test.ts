/**
 * What the standard allows or asks for, one statement after the other: the positive side of
 * `malformed.test.ts`.
 */
import { expect, test } from "vitest";
import { MAX_PACKET_SIZE, PacketWriter, decode, type Packet, type PacketInit } from "../../src/codec/index.js";
import { ascii, concat, hex, read, toHex, encode } from "./support.js";

const topicOf = (digits: string): string => {
  const bytes = hex(digits);
  const packet = decode(concat(Uint8Array.of(0x30, bytes.length + 2, 0, bytes.length), bytes));
  return packet.type === "publish" ? packet.topic : "";
};

test("every well-formed string, and the edges of each length [MQTT-1.5.3-1 +] [MQTT-3.3.2-1 +]", () => {
  const edges = "\u0001\u007f\u0080\u07ff\u0800\ud7ff\ue000\ufffd\uffff\u{10000}\u{10ffff}";
  expect(topicOf("01 7f c280 dfbf e0a080 ed9fbf ee8080 efbfbd efbfbf f0908080 f48fbfbf")).toBe(edges);
  expect(toHex(encode({ type: "publish", topic: edges }))).toBe(
    "301f001d017fc280dfbfe0a080ed9fbfee8080efbfbdefbfbff0908080f48fbfbf",
  );
});

test("U+0001 and control characters are no U+0000 [MQTT-1.5.3-2 +] [MQTT-4.7.3-2 +]", () => {
  expect(topicOf("01 1f 7f")).toBe("\u0001\u001f\u007f");
  expect(toHex(encode({ type: "publish", topic: "\u0001" }))).toBe("3003000101");
});

test("a byte order mark is a character anywhere [MQTT-1.5.3-3 +] [MQTT-4.7.3-4 +]", () => {
  expect(topicOf("efbbbf")).toBe("\ufeff");
  expect(topicOf("efbbbf 61 efbbbf")).toBe("\ufeffa\ufeff");
  expect(toHex(encode({ type: "publish", topic: "\ufeffa" }))).toBe("30060004efbbbf61");
});

test("a topic with a byte order mark is another than the one without [MQTT-1.5.3-3 -]", () => {
  const { packets } = read([hex("30 03 0001 61  30 06 0004 efbbbf61  30 03 0001 61  30 06 0004 efbbbf61")]);
  expect(packets.map((packet) => packet.type === "publish" && packet.topic)).toEqual(["a", "\ufeffa", "a", "\ufeffa"]);
});

test("composed and decomposed forms stay what they are [MQTT-4.7.3-4 -]", () => {
  expect(topicOf("c3a9")).toBe("\u00e9");
  expect(topicOf("65cc81")).toBe("e\u0301");
});

test("fixed header flags are what the table says [MQTT-2.2.2-1 +] [MQTT-2.2.2-2 +]", () => {
  const first = (packet: PacketInit) => encode(packet)[0]?.toString(16);
  expect(first({ type: "connect", clientId: "c" })).toBe("10");
  expect(first({ type: "connack", returnCode: 0 })).toBe("20");
  expect(first({ type: "puback", packetId: 1 })).toBe("40");
  expect(first({ type: "pubrec", packetId: 1 })).toBe("50");
  expect(first({ type: "pubcomp", packetId: 1 })).toBe("70");
  expect(first({ type: "suback", packetId: 1, returnCodes: [0] })).toBe("90");
  expect(first({ type: "unsuback", packetId: 1 })).toBe("b0");
  expect(first({ type: "pingreq" })).toBe("c0");
  expect(first({ type: "pingresp" })).toBe("d0");
});

test("PUBREL, SUBSCRIBE, UNSUBSCRIBE carry 0010 [MQTT-3.6.1-1 +] [MQTT-3.8.1-1 +] [MQTT-3.10.1-1 +]", () => {
  expect(toHex(encode({ type: "pubrel", packetId: 1 }))).toBe("62020001");
  expect(toHex(encode({ type: "subscribe", packetId: 1, subscriptions: [{ topicFilter: "a" }] }))).toBe(
    "8206000100016100",
  );
  expect(toHex(encode({ type: "unsubscribe", packetId: 1, topicFilters: ["a"] }))).toBe("a205000100" + "0161");
});

test("DISCONNECT carries no flags [MQTT-3.14.1-1 +]", () => {
  expect(toHex(encode({ type: "disconnect" }))).toBe("e000");
});

test.each([1, 255, 256, 65_535])("packet identifier %i, both ways [MQTT-2.3.1-1 +]", (packetId) => {
  const packets: Packet[] = [
    { type: "publish", topic: "a", payload: hex(""), qos: 1, retain: false, dup: false, packetId },
    { type: "puback", packetId },
    { type: "unsuback", packetId },
    { type: "subscribe", packetId, subscriptions: [{ topicFilter: "a", qos: 1 }] },
    { type: "suback", packetId, returnCodes: [1] },
  ];
  for (const packet of packets) expect(decode(encode(packet))).toStrictEqual(packet);
});

test("PUBLISH of QoS 0 has no packet identifier [MQTT-2.3.1-5 +] [MQTT-3.3.1-2 +] [MQTT-4.3.1-1 +]", () => {
  expect(toHex(encode({ type: "publish", topic: "a", payload: "\0\u0001" }))).toBe("3005000161" + "0001");
  expect(decode(hex("30 05 0001 61 0001"))).toStrictEqual({
    type: "publish",
    topic: "a",
    payload: hex("0001"),
    qos: 0,
    retain: false,
    dup: false,
  });
});

test("QoS 0, 1 and 2 of a PUBLISH [MQTT-3.3.1-4 +]", () => {
  for (const qos of [0, 1, 2] as const) {
    const packet = { type: "publish", topic: "a", qos, ...(qos && { packetId: 9 }) } as const;
    expect(encode(packet)[0]).toBe(0x30 + 2 * qos);
    expect(decode(encode(packet))).toMatchObject({ qos });
  }
});

test("a topic name without wildcards; $ and / are characters [MQTT-3.3.2-2 +] [MQTT-4.7.1-1 +]", () => {
  for (const topic of ["/", "//", "a b", "$iothub/x", "$", "*", "\"'", "a/", "/a", ",\u002a\u0022\u0024"]) {
    expect(decode(encode({ type: "publish", topic }))).toMatchObject({ topic });
  }
});

test("one character is enough, 65,535 bytes are not too many [MQTT-4.7.3-1 +] [MQTT-4.7.3-3 +]", () => {
  for (const topic of ["a", "a".repeat(65_535), "é".repeat(32_767)]) {
    expect(decode(encode({ type: "publish", topic }))).toMatchObject({ topic });
    const subscribe = {
      type: "subscribe",
      packetId: 1,
      subscriptions: [{ topicFilter: topic, qos: 0 }],
    } as const;
    expect(decode(encode(subscribe))).toStrictEqual(subscribe);
  }
});

test("wildcards of a filter: whole levels, # last [MQTT-4.7.1-2 +] [MQTT-4.7.1-3 +] [MQTT-3.8.3-1 +]", () => {
  const topicFilters = ["#", "+", "/#", "/+", "+/", "a/#", "+/+/#", "a/+/b", "é/+", "/", "$x/#"];
  const packet = { type: "unsubscribe", packetId: 1, topicFilters } as const;
  expect(decode(encode(packet))).toStrictEqual(packet);
  const subscriptions = topicFilters.map((topicFilter) => ({ topicFilter, qos: 1 as const }));
  const subscribe = { type: "subscribe", packetId: 1, subscriptions } as const;
  expect(decode(encode(subscribe))).toStrictEqual(subscribe);
});

test("UNSUBSCRIBE packs its filters one after the other [MQTT-3.10.3-1 +] [MQTT-3.10.3-2 +]", () => {
  expect(toHex(encode({ type: "unsubscribe", packetId: 1, topicFilters: ["a", "bc"] }))).toBe(
    "a2090001" + "000161" + "00026263",
  );
});

test("SUBSCRIBE with one filter, and each QoS [MQTT-3.8.3-3 +] [MQTT-3-8.3-4 +]", () => {
  for (const qos of [0, 1, 2] as const) {
    const packet = { type: "subscribe", packetId: 1, subscriptions: [{ topicFilter: "a", qos }] } as const;
    expect(toHex(encode(packet))).toBe(`82060001000161${"0"}${qos}`);
    expect(decode(encode(packet))).toStrictEqual(packet);
  }
});

test("SUBACK: the four return codes, in order, one a filter [MQTT-3.9.3-2 +] [MQTT-3.8.4-5 +]", () => {
  const packet = { type: "suback", packetId: 1, returnCodes: [0x80, 2, 1, 0] } as const;
  expect(toHex(encode(packet))).toBe("9006000180020100");
  expect(decode(encode(packet))).toStrictEqual(packet);
});

test("CONNACK: every code from 0 to 5, session present only with 0 [MQTT-3.2.2-4 +]", () => {
  for (let returnCode = 0; returnCode <= 5; returnCode++) {
    expect(decode(encode({ type: "connack", returnCode }))).toEqual({
      type: "connack",
      sessionPresent: false,
      returnCode,
    });
  }
  expect(toHex(encode({ type: "connack", returnCode: 0, sessionPresent: true }))).toBe("20020100");
});

test("CONNECT: MQTT, level 4, reserved flag 0 [MQTT-3.1.2-1 +] [MQTT-3.1.2-2 +] [MQTT-3.1.2-3 +]", () => {
  expect(toHex(encode({ type: "connect", clientId: "c" }))).toBe(
    "100d" + "00044d515454" + "04" + "02" + "003c" + "000163",
  );
});

test("CONNECT without a will [MQTT-3.1.2-11 +] [MQTT-3.1.2-13 +] [MQTT-3.1.2-15 +]", () => {
  expect(encode({ type: "connect", clientId: "c" })[9]! & 0b0011_1100).toBe(0);
});

test("CONNECT with a will: its flags and fields [MQTT-3.1.2-9 +] [MQTT-3.1.2-14 +] [MQTT-3.1.3-10 +]", () => {
  for (const qos of [0, 1, 2] as const) {
    for (const retain of [false, true]) {
      const will = { topic: "é", payload: hex("ff"), qos, retain };
      const bytes = encode({ type: "connect", clientId: "c", will });
      expect(bytes[9]).toBe(0b110 | (qos << 3) | (retain ? 0x20 : 0));
      expect(toHex(bytes.subarray(15))).toBe("0002c3a9" + "0001ff");
      expect(decode(bytes)).toMatchObject({ will });
    }
  }
});

test("CONNECT without user name and password [MQTT-3.1.2-18 +] [MQTT-3.1.2-20 +] [MQTT-3.1.2-22 +]", () => {
  const packet = decode(encode({ type: "connect", clientId: "c" }));
  expect(packet).toStrictEqual({ type: "connect", clientId: "c", cleanSession: true, keepAlive: 60 });
});

test("CONNECT with them; the password is bytes [MQTT-3.1.2-19 +] [MQTT-3.1.2-21 +] [MQTT-3.1.3-11 +]", () => {
  const bytes = encode({ type: "connect", clientId: "c", username: "ü", password: hex("00ff") });
  expect(bytes[9]).toBe(0xc2);
  expect(toHex(bytes.subarray(15))).toBe("0002c3bc" + "000200ff");
  expect(decode(bytes)).toMatchObject({ username: "ü", password: hex("00ff") });
});

test("CONNECT: fields in order, client id first [MQTT-3.1.3-1 +] [MQTT-3.1.3-3 +] [MQTT-3.1.3-4 +]", () => {
  const will = { topic: "w", payload: "m" };
  const bytes = encode({ type: "connect", clientId: "ï", will, username: "u", password: "p" });
  expect(toHex(bytes.subarray(12))).toBe("0002c3af" + "000177" + "00016d" + "000175" + "000170");
});

test("CONNECT with an empty client id and a clean session [MQTT-3.1.3-7 +]", () => {
  expect(decode(encode({ type: "connect", clientId: "" }))).toMatchObject({
    clientId: "",
    cleanSession: true,
  });
  expect(decode(encode({ type: "connect", clientId: "x", cleanSession: false }))).toMatchObject({
    cleanSession: false,
  });
});

test("a password or will message may be empty, and any bytes, of 65,535 at most", () => {
  for (const password of [hex(""), new Uint8Array(65_535).fill(0xff)]) {
    // Compared as buffers: the matchers take seconds for arrays of this size.
    const withPassword = decode(encode({ type: "connect", clientId: "c", username: "", password }));
    expect(Buffer.compare((withPassword.type === "connect" && withPassword.password) || hex(""), password)).toBe(0);
    const will = { topic: "t", payload: password };
    const withWill = decode(encode({ type: "connect", clientId: "c", will }));
    expect(withWill).toMatchObject({ will: { topic: "t" } });
    expect(Buffer.compare((withWill.type === "connect" && withWill.will?.payload) || hex("00"), password)).toBe(0);
  }
});

test("a remaining length in more bytes than it needs", () => {
  // MQTT 3.1.1 does not ask for the shortest form (section 2.2.3); MQTT 5 does.
  for (const digits of ["c0 80 00", "c0 80 80 00", "c0 80 80 80 00"]) {
    expect(decode(hex(digits))).toEqual({ type: "pingreq" });
    expect(read([hex(digits + "40 82 00 0001")]).packets).toEqual([
      { type: "pingreq" },
      { type: "puback", packetId: 1 },
    ]);
  }
});

test.each([0, 120, 121, 16_376, 16_377, 2_097_144, 2_097_145])("a payload of %i bytes, both ways", (length) => {
  const payload = new Uint8Array(length).fill(7);
  const bytes = encode({ type: "publish", topic: "topic", payload });
  const remaining = length + 7;
  const size = remaining < 128 ? 1 : remaining < 16_384 ? 2 : remaining < 2_097_152 ? 3 : 4;
  expect(bytes.length).toBe(1 + size + remaining);
  expect(new PacketWriter().publish("topic", payload, 0, false, false, 0)).toBe(bytes.length);
  const packet = decode(bytes);
  expect(packet.type === "publish" && Buffer.compare(packet.payload, payload)).toBe(0);
});

test("the largest packet that there can be, and one byte more", () => {
  const payload = new Uint8Array(MAX_PACKET_SIZE - 8);
  const bytes = encode({ type: "publish", topic: "a", payload });
  expect(bytes.length).toBe(MAX_PACKET_SIZE);
  expect(toHex(bytes.subarray(0, 8))).toBe("30ffffff7f" + "000161");
  expect(decode(bytes)).toMatchObject({ topic: "a", qos: 0 });
  expect(() => encode({ type: "publish", topic: "ab", payload })).toThrow(
    expect.objectContaining({ code: "ERR_INVALID_PACKET", message: "packet is over 268435460 bytes" }),
  );
});

test("fields that were left out take their defaults", () => {
  expect(decode(encode({ type: "connect", clientId: "c" }))).toMatchObject({
    cleanSession: true,
    keepAlive: 60,
  });
  const will = { topic: "w", payload: "m" };
  expect(decode(encode({ type: "connect", clientId: "c", will }))).toMatchObject({
    will: { topic: "w", payload: ascii("m"), qos: 0, retain: false },
  });
  const subscribe = { type: "subscribe", packetId: 1, subscriptions: [{ topicFilter: "a" }] } as const;
  expect(decode(encode(subscribe))).toMatchObject({ subscriptions: [{ topicFilter: "a", qos: 0 }] });
  expect(decode(encode({ type: "publish", topic: "t" }))).toStrictEqual({
    type: "publish",
    topic: "t",
    payload: hex(""),
    qos: 0,
    retain: false,
    dup: false,
  });
  const undefineds = {
    qos: undefined,
    retain: undefined,
    dup: undefined,
    packetId: undefined,
    payload: undefined,
  };
  expect(encode({ type: "publish", topic: "t", ...undefineds })).toEqual(encode({ type: "publish", topic: "t" }));
  expect(decode(encode({ type: "connack", returnCode: 0 }))).toMatchObject({ sessionPresent: false });
});

test("strings are taken as payload, password and will message, in UTF-8", () => {
  const text = "temperature: 21 °C 😀, and more than sixteen characters";
  const bytes = new TextEncoder().encode(text);
  expect(decode(encode({ type: "publish", topic: "t", payload: text }))).toMatchObject({ payload: bytes });
  expect(decode(encode({ type: "publish", topic: "t", payload: "plain" }))).toMatchObject({
    payload: ascii("plain"),
  });
  expect(decode(encode({ type: "publish", topic: "t", payload: "\0" }))).toMatchObject({
    payload: hex("00"),
  });
  const will = { topic: "w", payload: text };
  expect(decode(encode({ type: "connect", clientId: "c", username: "u", password: text, will }))).toMatchObject({
    password: bytes,
    will: { payload: bytes },
  });
});
