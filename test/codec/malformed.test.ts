/**
 * What the standard calls malformed, one case a line: refused by the decoder with the statement that it
 * breaks, whole and byte by byte; and the same thing refused by the encoder where a packet object can say it.
 */
import { describe, expect, test } from "vitest";
import { Decoder, PacketWriter, decode, type PacketInit } from "../../src/codec/index.js";
import { cut, hex, read, refusal, toHex, encode } from "./support.js";

const connect = "0004 4d515454 04";

/**
 * Title with the statement's tag, bytes, and the statement named by the error (none has a number where left
 * out).
 */
const inbound: readonly (readonly [title: string, digits: string, statement?: string])[] = [
  // Fixed header (sections 2.2.1 to 2.2.3)
  ["packet type 0", "00 00"],
  ["packet type 15", "f0 00"],
  ["CONNECT with flags [MQTT-2.2.2-1 -] [MQTT-2.2.2-2 -]", `11 0c ${connect} 02 0000 0000`, "MQTT-2.2.2-2"],
  ["CONNACK with flags", "21 02 00 00", "MQTT-2.2.2-2"],
  ["PUBACK with flags", "42 02 0001", "MQTT-2.2.2-2"],
  ["PUBREC with flags", "51 02 0001", "MQTT-2.2.2-2"],
  ["PUBREL without its flags [MQTT-3.6.1-1 -]", "60 02 0001", "MQTT-3.6.1-1"],
  ["PUBREL with another flag", "63 02 0001", "MQTT-3.6.1-1"],
  ["PUBCOMP with flags", "78 02 0001", "MQTT-2.2.2-2"],
  ["SUBSCRIBE without its flags [MQTT-3.8.1-1 -]", "80 06 0001 0001 61 00", "MQTT-3.8.1-1"],
  ["SUBACK with flags", "92 03 0001 00", "MQTT-2.2.2-2"],
  ["UNSUBSCRIBE without its flags [MQTT-3.10.1-1 -]", "a0 05 0001 0001 61", "MQTT-3.10.1-1"],
  ["UNSUBACK with flags", "b1 02 0001", "MQTT-2.2.2-2"],
  ["PINGREQ with flags", "c1 00", "MQTT-2.2.2-2"],
  ["PINGRESP with flags", "d4 00", "MQTT-2.2.2-2"],
  ["DISCONNECT with flags [MQTT-3.14.1-1 -]", "e2 00", "MQTT-3.14.1-1"],
  ["PUBLISH of QoS 3 [MQTT-3.3.1-4 -]", "36 05 0001 61 0001", "MQTT-3.3.1-4"],
  ["PUBLISH of QoS 3, retained", "37 05 0001 61 0001", "MQTT-3.3.1-4"],
  ["PUBLISH of QoS 3, DUP", "3e 05 0001 61 0001", "MQTT-3.3.1-4"],
  ["PUBLISH of QoS 0 with DUP [MQTT-3.3.1-2 -] [MQTT-4.3.1-1 -]", "38 03 0001 61", "MQTT-3.3.1-2"],
  ["PUBLISH of QoS 0 with DUP, retained", "39 03 0001 61", "MQTT-3.3.1-2"],
  ["remaining length of five bytes", "30 ff ff ff ff 01"],
  ["remaining length of five bytes that mean 0", "c0 80 80 80 80 00"],
  ["PINGREQ with a byte", "c0 01 00"],
  ["PINGRESP with a byte", "d0 01 00"],
  ["DISCONNECT with a byte", "e0 01 00"],
  // Packet identifiers (section 2.3.1)
  ["PUBLISH of QoS 1 with packet identifier 0 [MQTT-2.3.1-1 -]", "32 05 0001 61 0000", "MQTT-2.3.1-1"],
  ["PUBLISH of QoS 2 with packet identifier 0", "34 05 0001 61 0000", "MQTT-2.3.1-1"],
  ["PUBACK with packet identifier 0", "40 02 0000", "MQTT-2.3.1-1"],
  ["PUBREC with packet identifier 0", "50 02 0000", "MQTT-2.3.1-1"],
  ["PUBREL with packet identifier 0", "62 02 0000", "MQTT-2.3.1-1"],
  ["PUBCOMP with packet identifier 0", "70 02 0000", "MQTT-2.3.1-1"],
  ["SUBSCRIBE with packet identifier 0", "82 06 0000 0001 61 00", "MQTT-2.3.1-1"],
  ["SUBACK with packet identifier 0", "90 03 0000 00", "MQTT-2.3.1-1"],
  ["UNSUBSCRIBE with packet identifier 0", "a2 05 0000 0001 61", "MQTT-2.3.1-1"],
  ["UNSUBACK with packet identifier 0", "b0 02 0000", "MQTT-2.3.1-1"],
  ["PUBACK without identifier", "40 00"],
  ["PUBACK with one byte", "40 01 01"],
  ["PUBACK with three bytes", "40 03 0001 00"],
  ["PUBREC with three bytes", "50 03 0001 00"],
  ["PUBREL with three bytes", "62 03 0001 00"],
  ["PUBREL without identifier", "62 00"],
  ["PUBCOMP with three bytes", "70 03 0001 00"],
  ["UNSUBACK with three bytes", "b0 03 0001 00"],
  ["UNSUBACK without identifier", "b0 00"],
  // Strings (section 1.5.3)
  ["a lone continuation byte [MQTT-1.5.3-1 -] [MQTT-3.3.2-1 -]", "30 03 0001 80", "MQTT-1.5.3-1"],
  ["the overlong slash c0 af", "30 04 0002 c0af", "MQTT-1.5.3-1"],
  ["the overlong U+0000 c0 80", "30 04 0002 c080", "MQTT-1.5.3-1"],
  ["the overlong c1 bf", "30 04 0002 c1bf", "MQTT-1.5.3-1"],
  ["the overlong e0 9f bf", "30 05 0003 e09fbf", "MQTT-1.5.3-1"],
  ["the overlong f0 8f bf bf", "30 06 0004 f08fbfbf", "MQTT-1.5.3-1"],
  ["the surrogate ed a0 80", "30 05 0003 eda080", "MQTT-1.5.3-1"],
  ["the surrogate ed bf bf", "30 05 0003 edbfbf", "MQTT-1.5.3-1"],
  ["a pair of surrogates", "30 08 0006 eda080edb080", "MQTT-1.5.3-1"],
  ["f4 90 80 80, above U+10FFFF", "30 06 0004 f4908080", "MQTT-1.5.3-1"],
  ["f5", "30 06 0004 f5808080", "MQTT-1.5.3-1"],
  ["ff", "30 03 0001 ff", "MQTT-1.5.3-1"],
  ["a string that ends inside a character of two bytes", "30 03 0001 c3", "MQTT-1.5.3-1"],
  ["a string that ends inside a character of three bytes", "30 04 0002 e282", "MQTT-1.5.3-1"],
  ["a string that ends inside a character, the payload going on with it", "30 05 0002 f09f 98", "MQTT-1.5.3-1"],
  ["a character whose second byte is none", "30 04 0002 c341", "MQTT-1.5.3-1"],
  ["7f as a second byte", "30 04 0002 c27f", "MQTT-1.5.3-1"],
  ["c0 as a second byte", "30 04 0002 c2c0", "MQTT-1.5.3-1"],
  ["7f as a third byte", "30 05 0003 e2827f", "MQTT-1.5.3-1"],
  ["c0 as a third byte", "30 05 0003 e282c0", "MQTT-1.5.3-1"],
  ["a character whose third byte is none", "30 05 0003 e28241", "MQTT-1.5.3-1"],
  ["a character whose fourth byte is none", "30 06 0004 f09f9841", "MQTT-1.5.3-1"],
  ["U+0000 in a topic name [MQTT-1.5.3-2 -] [MQTT-4.7.3-2 -]", "30 05 0003 610062", "MQTT-1.5.3-2"],
  ["U+0000 alone", "30 03 0001 00", "MQTT-1.5.3-2"],
  ["U+0000 last of eight", "30 0a 0008 6162636465666700", "MQTT-1.5.3-2"],
  ["ill-formed UTF-8 in a topic filter [MQTT-3.8.3-1 -]", "82 06 0001 0001 ff 00", "MQTT-1.5.3-1"],
  ["ill-formed UTF-8 in an UNSUBSCRIBE [MQTT-3.10.3-1 -]", "a2 05 0001 0001 ff", "MQTT-1.5.3-1"],
  ["U+0000 in a topic filter", "82 07 0001 0002 6100 00", "MQTT-1.5.3-2"],
  ["ill-formed client id [MQTT-3.1.3-4 -]", `10 0d ${connect} 02 0000 0001 ff`, "MQTT-1.5.3-1"],
  ["ill-formed will topic [MQTT-3.1.3-10 -]", `10 12 ${connect} 06 0000 0001 61 0001 ff 0000`, "MQTT-1.5.3-1"],
  ["ill-formed user name [MQTT-3.1.3-11 -]", `10 10 ${connect} 82 0000 0001 61 0001 ff`, "MQTT-1.5.3-1"],
  // PUBLISH (section 3.3)
  ["an empty topic name [MQTT-4.7.3-1 -]", "30 02 0000", "MQTT-4.7.3-1"],
  ["an empty topic name with payload", "30 03 0000 61", "MQTT-4.7.3-1"],
  ["a + in a topic name [MQTT-3.3.2-2 -] [MQTT-4.7.1-1 -]", "30 05 0003 612f2b", "MQTT-3.3.2-2"],
  ["a # in a topic name", "30 05 0003 612f23", "MQTT-3.3.2-2"],
  ["a + inside a level of a topic name", "30 08 0006 612b62636465", "MQTT-3.3.2-2"],
  ["a # after characters of two bytes", "30 07 0005 c3a9c3a923", "MQTT-3.3.2-2"],
  ["PUBLISH without a topic's length", "30 00"],
  ["PUBLISH with half a topic's length", "30 01 00"],
  ["a topic longer than the packet", "30 04 0003 6162"],
  ["a topic far longer than the packet", "30 03 ffff 61"],
  ["PUBLISH of QoS 1 without a packet identifier", "32 03 0001 61"],
  ["PUBLISH of QoS 1 with half a packet identifier", "32 04 0001 61 00"],
  // CONNECT (section 3.1)
  ["protocol name MQIsdp [MQTT-3.1.2-1 -]", "10 0e 0006 4d5149736470 04 02 0000 0000", "MQTT-3.1.2-1"],
  ["protocol name mqtt", "10 0c 0004 6d717474 04 02 0000 0000", "MQTT-3.1.2-1"],
  ["protocol level 3 [MQTT-3.1.2-2 -]", "10 0c 0004 4d515454 03 02 0000 0000", "MQTT-3.1.2-2"],
  ["protocol level 5", "10 0c 0004 4d515454 05 02 0000 0000", "MQTT-3.1.2-2"],
  ["the reserved connect flag [MQTT-3.1.2-3 -]", `10 0c ${connect} 03 0000 0000`, "MQTT-3.1.2-3"],
  ["will QoS without a will [MQTT-3.1.2-13 -] [MQTT-3.1.2-11 -]", `10 0c ${connect} 0a 0000 0000`, "MQTT-3.1.2-13"],
  ["will QoS 2 without a will", `10 0c ${connect} 12 0000 0000`, "MQTT-3.1.2-13"],
  ["will retain without a will [MQTT-3.1.2-15 -]", `10 0c ${connect} 22 0000 0000`, "MQTT-3.1.2-15"],
  ["will QoS 3 [MQTT-3.1.2-14 -]", `10 12 ${connect} 1e 0000 0001 61 0001 74 0000`, "MQTT-3.1.2-14"],
  ["a password without user name [MQTT-3.1.2-22 -]", `10 0f ${connect} 42 0000 0001 61 0000`, "MQTT-3.1.2-22"],
  ["an empty client id with a kept session [MQTT-3.1.3-7 -]", `10 0c ${connect} 00 0000 0000`, "MQTT-3.1.3-7"],
  ["no client id [MQTT-3.1.3-3 -]", `10 0a ${connect} 02 0000`],
  ["a will flag without will fields [MQTT-3.1.2-9 -]", `10 0d ${connect} 06 0000 0001 61`],
  ["a will topic without a message", `10 10 ${connect} 06 0000 0001 61 0001 74`],
  ["a user name flag without user name [MQTT-3.1.2-19 -]", `10 0d ${connect} 82 0000 0001 61`],
  ["a user name without its flag [MQTT-3.1.2-18 -]", `10 10 ${connect} 02 0000 0001 61 0001 75`],
  ["a password flag without password [MQTT-3.1.2-21 -]", `10 10 ${connect} c2 0000 0001 61 0001 75`],
  ["a password without its flag [MQTT-3.1.2-20 -]", `10 13 ${connect} 82 0000 0001 61 0001 75 0001 70`],
  ["the will before the client id [MQTT-3.1.3-1 -]", `10 12 ${connect} 06 0000 0001 74 0000 0001 61`, "MQTT-4.7.3-1"],
  ["a wildcard in a will topic", `10 12 ${connect} 06 0000 0001 61 0001 23 0000`, "MQTT-3.3.2-2"],
  ["an empty will topic", `10 11 ${connect} 06 0000 0001 61 0000 0000`, "MQTT-4.7.3-1"],
  ["CONNECT of nothing", "10 00"],
  ["CONNECT cut in its keep alive", `10 09 ${connect} 02 00`],
  ["a will message longer than the packet", `10 13 ${connect} 06 0000 0001 61 0001 74 0002 00`],
  // CONNACK (section 3.2)
  ["session present with a refusal [MQTT-3.2.2-4 -]", "20 02 01 05", "MQTT-3.2.2-4"],
  ["reserved CONNACK flags", "20 02 02 00"],
  ["the highest reserved CONNACK flag", "20 02 80 00"],
  ["CONNACK return code 6", "20 02 00 06"],
  ["CONNACK return code 255", "20 02 00 ff"],
  ["CONNACK without its fields", "20 00"],
  ["CONNACK with one byte", "20 01 00"],
  ["CONNACK with three bytes", "20 03 00 00 00"],
  // SUBSCRIBE and UNSUBSCRIBE (sections 3.8, 3.10, 4.7)
  ["SUBSCRIBE without filters [MQTT-3.8.3-3 -]", "82 02 0001", "MQTT-3.8.3-3"],
  ["UNSUBSCRIBE without filters [MQTT-3.10.3-2 -]", "a2 02 0001", "MQTT-3.10.3-2"],
  ["a requested QoS of 3 [MQTT-3-8.3-4 -]", "82 06 0001 0001 61 03", "MQTT-3-8.3-4"],
  ["reserved bits beside a requested QoS", "82 06 0001 0001 61 81", "MQTT-3-8.3-4"],
  ["SUBSCRIBE without its last QoS", "82 05 0001 0001 61"],
  ["SUBSCRIBE without its second QoS", "82 0a 0001 0001 61 00 0002 6162"],
  ["SUBSCRIBE of half a packet identifier", "82 01 00"],
  ["SUBSCRIBE of nothing", "82 00"],
  ["UNSUBSCRIBE of nothing", "a2 00"],
  ["a filter longer than the packet", "82 06 0001 0009 61 00"],
  ["UNSUBSCRIBE with a byte too many", "a2 06 0001 0001 61 00"],
  ["an empty filter", "82 05 0001 0000 00", "MQTT-4.7.3-1"],
  ["an empty filter in an UNSUBSCRIBE", "a2 04 0001 0000", "MQTT-4.7.3-1"],
  ["# inside a level [MQTT-4.7.1-2 -]", "82 07 0001 0002 6123 00", "MQTT-4.7.1-2"],
  ["# before the end", "82 08 0001 0003 232f61 00", "MQTT-4.7.1-2"],
  ["# twice", "82 07 0001 0002 2323 00", "MQTT-4.7.1-2"],
  ["+ after a character [MQTT-4.7.1-3 -]", "82 07 0001 0002 612b 00", "MQTT-4.7.1-3"],
  ["+ before a character", "82 07 0001 0002 2b61 00", "MQTT-4.7.1-3"],
  ["+ inside a level of an UNSUBSCRIBE", "a2 07 0001 0003 612b62", "MQTT-4.7.1-3"],
  // SUBACK (section 3.9)
  ["SUBACK without return codes [MQTT-3.8.4-5 -]", "90 02 0001", "MQTT-3.8.4-5"],
  ["SUBACK return code 3 [MQTT-3.9.3-2 -]", "90 03 0001 03", "MQTT-3.9.3-2"],
  ["SUBACK return code 129", "90 04 0001 00 81", "MQTT-3.9.3-2"],
  ["SUBACK return code 127", "90 03 0001 7f", "MQTT-3.9.3-2"],
  ["SUBACK of half a packet identifier", "90 01 00"],
  ["SUBACK of nothing", "90 00"],
];

describe("the decoder refuses", () => {
  const cases = inbound.map(([title, digits, statement]) => ({ title, digits, statement }));
  test.each(cases)("$title", ({ digits, statement }) => {
    const bytes = hex(digits);
    const error = refusal(() => decode(bytes));
    expect(error.code).toBe("ERR_MALFORMED_PACKET");
    expect(error.statement).toBe(statement);
    expect(error.message).toContain(statement ?? "");
    // The stream decoder: the packet before is delivered; the error is the same however the bytes arrive.
    const stream = hex(`d0 00 ${digits} d0 00`);
    const whole = read([stream]);
    expect(whole.packets).toEqual([{ type: "pingresp" }]);
    expect(whole.error).toEqual({ code: error.code, statement, message: error.message });
    for (let size = 1; size < stream.length; size++) expect(read(cut(stream, size))).toEqual(whole);
    // A sink without methods checks as strictly.
    expect(refusal(() => new Decoder({}).push(bytes)).message).toBe(error.message);
  });

  test("no case is listed twice", () => {
    expect(new Set(inbound.map(([, digits]) => toHex(hex(digits)))).size).toBe(inbound.length);
  });
});

const publish = { type: "publish", topic: "a" } as const;
const session = { type: "connect", clientId: "a" } as const;
const subscribe = (topicFilter: unknown, qos?: unknown) =>
  ({ type: "subscribe", packetId: 1, subscriptions: [{ topicFilter, qos }] }) as PacketInit;
const will = (fields: object) => ({ ...session, will: { topic: "t", payload: "", ...fields } }) as PacketInit;

/** Title, packet, statement. */
const outbound: readonly (readonly [title: string, packet: unknown, statement?: string])[] = [
  ["a lone high surrogate", { ...publish, topic: "a\ud800" }, "MQTT-1.5.3-1"],
  ["a lone low surrogate", { ...publish, topic: "\udc00a" }, "MQTT-1.5.3-1"],
  ["surrogates in the wrong order", { ...publish, topic: "\udc00\ud800" }, "MQTT-1.5.3-1"],
  ["a high surrogate before a pair", { ...publish, topic: "\ud800\ud83d\ude00" }, "MQTT-1.5.3-1"],
  ["a lone surrogate in a payload string", { ...publish, payload: "\ud800" }, "MQTT-1.5.3-1"],
  ["a lone surrogate in a filter", subscribe("\ud800"), "MQTT-1.5.3-1"],
  [
    "a lone surrogate in an UNSUBSCRIBE",
    { type: "unsubscribe", packetId: 1, topicFilters: ["\udfff"] },
    "MQTT-1.5.3-1",
  ],
  ["a lone surrogate in a client id", { ...session, clientId: "\udbff" }, "MQTT-1.5.3-1"],
  ["a lone surrogate in a user name", { ...session, username: "\ud800" }, "MQTT-1.5.3-1"],
  ["a lone surrogate in a password string", { ...session, username: "u", password: "\ud800" }, "MQTT-1.5.3-1"],
  ["a lone surrogate in a will topic", will({ topic: "\ud800" }), "MQTT-1.5.3-1"],
  ["U+0000 in a topic name", { ...publish, topic: "a\0" }, "MQTT-1.5.3-2"],
  ["U+0000 in a filter", subscribe("a\0"), "MQTT-1.5.3-2"],
  ["U+0000 in a client id", { ...session, clientId: "\0" }, "MQTT-1.5.3-2"],
  ["U+0000 in a user name", { ...session, username: "u\0" }, "MQTT-1.5.3-2"],
  ["U+0000 in a will topic", will({ topic: "\0" }), "MQTT-1.5.3-2"],
  ["a topic of 65,536 bytes [MQTT-4.7.3-3 -]", { ...publish, topic: "a".repeat(65_536) }, "MQTT-4.7.3-3"],
  ["a topic of 65,536 bytes, 32,768 characters", { ...publish, topic: "é".repeat(32_768) }, "MQTT-4.7.3-3"],
  ["a filter of 65,536 bytes", subscribe("a".repeat(65_536)), "MQTT-4.7.3-3"],
  ["a client id of 65,536 bytes", { ...session, clientId: "a".repeat(65_536) }, "MQTT-4.7.3-3"],
  ["a user name of 65,536 bytes", { ...session, username: "a".repeat(65_536) }, "MQTT-4.7.3-3"],
  ["a password of 65,536 bytes", { ...session, username: "u", password: new Uint8Array(65_536) }],
  ["a will message of 65,536 bytes", will({ payload: new Uint8Array(65_536) })],
  ["an empty topic name", { ...publish, topic: "" }, "MQTT-4.7.3-1"],
  ["a + in a topic name", { ...publish, topic: "a/+" }, "MQTT-3.3.2-2"],
  ["a # in a topic name", { ...publish, topic: "#" }, "MQTT-3.3.2-2"],
  ["DUP with QoS 0", { ...publish, dup: true }, "MQTT-3.3.1-2"],
  ["QoS 3", { ...publish, qos: 3, packetId: 1 }, "MQTT-3.3.1-4"],
  ["QoS -1", { ...publish, qos: -1, packetId: 1 }, "MQTT-3.3.1-4"],
  ["QoS 0.5", { ...publish, qos: 0.5, packetId: 1 }, "MQTT-3.3.1-4"],
  ["QoS as a string", { ...publish, qos: "1", packetId: 1 }, "MQTT-3.3.1-4"],
  ["packet identifier with QoS 0 [MQTT-2.3.1-5 -]", { ...publish, packetId: 1 }, "MQTT-2.3.1-5"],
  ["packet identifier 0 with QoS 1", { ...publish, qos: 1, packetId: 0 }, "MQTT-2.3.1-1"],
  ["no packet identifier with QoS 1", { ...publish, qos: 1 }],
  ["packet identifier 65,536", { ...publish, qos: 1, packetId: 65_536 }],
  ["packet identifier -1", { type: "puback", packetId: -1 }],
  ["packet identifier 1.5", { type: "pubrec", packetId: 1.5 }],
  ["packet identifier NaN", { type: "pubrel", packetId: NaN }],
  ["packet identifier as a string", { type: "pubcomp", packetId: "1" }],
  ["packet identifier as a bigint", { type: "unsuback", packetId: 1n }],
  ["PUBACK with packet identifier 0", { type: "puback", packetId: 0 }, "MQTT-2.3.1-1"],
  ["PUBREC with packet identifier 0", { type: "pubrec", packetId: 0 }, "MQTT-2.3.1-1"],
  ["PUBREL with packet identifier 0", { type: "pubrel", packetId: 0 }, "MQTT-2.3.1-1"],
  ["PUBCOMP with packet identifier 0", { type: "pubcomp", packetId: 0 }, "MQTT-2.3.1-1"],
  ["UNSUBACK with packet identifier 0", { type: "unsuback", packetId: 0 }, "MQTT-2.3.1-1"],
  ["SUBACK with packet identifier 0", { type: "suback", packetId: 0, returnCodes: [0] }, "MQTT-2.3.1-1"],
  ["SUBSCRIBE with packet identifier 0", { ...subscribe("a"), packetId: 0 }, "MQTT-2.3.1-1"],
  ["UNSUBSCRIBE with packet identifier 0", { type: "unsubscribe", packetId: 0, topicFilters: ["a"] }, "MQTT-2.3.1-1"],
  ["SUBSCRIBE without filters", { type: "subscribe", packetId: 1, subscriptions: [] }, "MQTT-3.8.3-3"],
  ["UNSUBSCRIBE without filters", { type: "unsubscribe", packetId: 1, topicFilters: [] }, "MQTT-3.10.3-2"],
  ["SUBACK without return codes", { type: "suback", packetId: 1, returnCodes: [] }, "MQTT-3.8.4-5"],
  ["SUBACK return code 3", { type: "suback", packetId: 1, returnCodes: [0, 3] }, "MQTT-3.9.3-2"],
  ["SUBACK return code 256", { type: "suback", packetId: 1, returnCodes: [256] }, "MQTT-3.9.3-2"],
  ["a requested QoS of 3", subscribe("a", 3), "MQTT-3-8.3-4"],
  ["a requested QoS of 256", subscribe("a", 256), "MQTT-3-8.3-4"],
  ["a requested QoS of -1", subscribe("a", -1), "MQTT-3-8.3-4"],
  ["a string for a list of filters", { type: "unsubscribe", packetId: 1, topicFilters: "ab" }],
  ["bytes for a list of return codes", { type: "suback", packetId: 1, returnCodes: Uint8Array.of(0) }],
  ["a Set for a list of filters", { type: "unsubscribe", packetId: 1, topicFilters: new Set(["a"]) }],
  ["an empty filter", subscribe(""), "MQTT-4.7.3-1"],
  ["# inside a level", subscribe("a#"), "MQTT-4.7.1-2"],
  ["# before the end", subscribe("#/a"), "MQTT-4.7.1-2"],
  ["+ beside a character", subscribe("a/+b"), "MQTT-4.7.1-3"],
  [
    "+ beside a character in an UNSUBSCRIBE",
    { type: "unsubscribe", packetId: 1, topicFilters: ["a+"] },
    "MQTT-4.7.1-3",
  ],
  ["session present with a refusal", { type: "connack", sessionPresent: true, returnCode: 1 }, "MQTT-3.2.2-4"],
  ["CONNACK return code 6", { type: "connack", returnCode: 6 }],
  ["CONNACK return code -1", { type: "connack", returnCode: -1 }],
  ["CONNACK without a return code", { type: "connack" }],
  ["an empty client id with a kept session", { ...session, clientId: "", cleanSession: false }, "MQTT-3.1.3-7"],
  ["a password without user name", { ...session, password: "p" }, "MQTT-3.1.2-22"],
  ["will QoS 3", will({ qos: 3 }), "MQTT-3.1.2-14"],
  ["a will whose retain is no boolean", will({ retain: 1 })],
  ["will QoS 4", will({ qos: 4 }), "MQTT-3.1.2-14"],
  ["will QoS -1", will({ qos: -1 }), "MQTT-3.1.2-14"],
  ["will QoS 1.5", will({ qos: 1.5 }), "MQTT-3.1.2-14"],
  ["a wildcard in a will topic", will({ topic: "a/#" }), "MQTT-3.3.2-2"],
  ["an empty will topic", will({ topic: "" }), "MQTT-4.7.3-1"],
  ["a will without topic", will({ topic: undefined })],
  ["a will without payload", will({ payload: undefined })],
  ["keep alive 65,536", { ...session, keepAlive: 65_536 }],
  ["keep alive -1", { ...session, keepAlive: -1 }],
  ["keep alive 0.5", { ...session, keepAlive: 0.5 }],
];

describe("the encoder refuses", () => {
  const cases = outbound.map(([title, packet, statement]) => ({ title, packet, statement }));
  test.each(cases)("$title", ({ packet, statement }) => {
    const error = refusal(() => encode(packet as PacketInit));
    expect(error.code).toBe("ERR_INVALID_PACKET");
    expect(error.statement).toBe(statement);
    const writer = new PacketWriter();
    writer.pingreq();
    expect(refusal(() => writer.packet(packet as PacketInit)).message).toBe(error.message);
    writer.pingreq();
    expect(Buffer.concat(writer.take())).toEqual(Buffer.from("c000c000", "hex"));
  });

  const nothing = [undefined, null, true, 0, 1n, "publish", Symbol("x"), () => 1];
  const objects = [{}, [], { type: "auth" }, { type: "" }, { type: 3 }, { type: "PUBLISH" }, new Map(), /x/];
  test.each([...nothing, ...objects].map((value) => [value]))("%o as a packet", (value) => {
    expect(refusal(() => encode(value as never)).code).toBe("ERR_INVALID_PACKET");
  });

  const base: readonly PacketInit[] = [
    { type: "connect", clientId: "c", username: "u", password: "p", will: { topic: "t", payload: "x" } },
    { type: "connack", sessionPresent: false, returnCode: 0 },
    { type: "publish", topic: "t", payload: "p", qos: 1, retain: true, dup: true, packetId: 1 },
    { type: "puback", packetId: 1 },
    { type: "subscribe", packetId: 1, subscriptions: [{ topicFilter: "a", qos: 1 }] },
    { type: "suback", packetId: 1, returnCodes: [0] },
    { type: "unsubscribe", packetId: 1, topicFilters: ["a"] },
  ];
  const garbage = [null, NaN, -1, 70_000, 1n, Symbol("x"), {}, [], [null], [{}], () => 1, new Date(0), "\ud800"];
  test.each(base)("a $type with a field of any wrong kind", (packet) => {
    expect(() => encode(packet)).not.toThrow();
    for (const field of Object.keys(packet)) {
      for (const value of garbage) {
        const error = refusal(() => encode({ ...packet, [field]: value } as PacketInit));
        expect(error.code, `${field}: ${typeof value}`).toBe("ERR_INVALID_PACKET");
      }
    }
  });

  test("what a getter throws, as the cause of its own error", () => {
    const cause = new RangeError("no");
    const packet = {
      type: "publish",
      get topic(): string {
        throw cause;
      },
    } as const;
    const error = refusal(() => encode(packet));
    expect([error.code, error.cause]).toEqual(["ERR_INVALID_PACKET", cause]);
  });
});
