/** Packets and their exact bytes, written by hand from chapter 3 of the standard. */
import type { Packet } from "../../src/codec/index.js";
import { ascii, hex } from "./support.js";

export interface Vector {
  name: string;
  bytes: Uint8Array;
  packet: Packet;
}

const vector = (name: string, packet: Packet, digits: string): Vector => ({
  name,
  bytes: hex(digits),
  packet,
});

const long = "x".repeat(130);
const longHex = "78".repeat(130);

export const vectors: readonly Vector[] = [
  vector(
    "CONNECT, the least",
    { type: "connect", clientId: "", cleanSession: true, keepAlive: 0 },
    "10 0c" + // type and flags, remaining length
      "0004 4d515454" + // "MQTT"
      "04" + // level
      "02" + // CleanSession
      "0000" + // keep alive
      "0000", // client id
  ),
  vector(
    "CONNECT with everything",
    {
      type: "connect",
      clientId: "dev-1",
      cleanSession: false,
      keepAlive: 1177,
      will: { topic: "w/t", payload: hex("00ff"), qos: 2, retain: true },
      username: "é",
      password: hex("0001fe"),
    },
    "10 23" +
      "0004 4d515454 04" +
      "f4" + // user name, password, will retain, will QoS 2, will
      "0499" + // 1177 s
      "0005 6465762d31" + // client id
      "0003 772f74" + // will topic
      "0002 00ff" + // will message
      "0002 c3a9" + // user name
      "0003 0001fe", // password
  ),
  vector(
    "CONNECT with a will of QoS 1 and no message",
    {
      type: "connect",
      clientId: "a",
      cleanSession: true,
      keepAlive: 65_535,
      will: { topic: "t", payload: hex(""), qos: 1, retain: false },
    },
    "10 12 0004 4d515454 04 0e ffff 0001 61 0001 74 0000",
  ),
  vector(
    "CONNECT with an empty user name",
    { type: "connect", clientId: "a", cleanSession: true, keepAlive: 60, username: "" },
    "10 0f 0004 4d515454 04 82 003c 0001 61 0000",
  ),
  vector("CONNACK, accepted", { type: "connack", sessionPresent: false, returnCode: 0 }, "20 02 00 00"),
  vector("CONNACK, session present", { type: "connack", sessionPresent: true, returnCode: 0 }, "20 02 01 00"),
  vector("CONNACK, not authorised", { type: "connack", sessionPresent: false, returnCode: 5 }, "20 02 00 05"),
  vector(
    "PUBLISH QoS 0",
    { type: "publish", topic: "a/b", payload: ascii("hi"), qos: 0, retain: false, dup: false },
    "30 07 0003 612f62 6869",
  ),
  vector(
    "PUBLISH QoS 0 retained, without payload",
    { type: "publish", topic: "a", payload: hex(""), qos: 0, retain: true, dup: false },
    "31 03 0001 61",
  ),
  vector(
    "PUBLISH QoS 1",
    { type: "publish", topic: "a/b", payload: hex("00ff"), qos: 1, retain: false, dup: false, packetId: 10 },
    "32 09 0003 612f62 000a 00ff",
  ),
  vector(
    "PUBLISH QoS 1 again, retained",
    { type: "publish", topic: "a", payload: hex(""), qos: 1, retain: true, dup: true, packetId: 65_535 },
    "3b 05 0001 61 ffff",
  ),
  vector(
    "PUBLISH QoS 2",
    {
      type: "publish",
      topic: "devices/d/",
      payload: hex("01"),
      qos: 2,
      retain: false,
      dup: false,
      packetId: 256,
    },
    "34 0f 000a 646576696365732f642f 0100 01",
  ),
  vector(
    "PUBLISH QoS 2 again",
    { type: "publish", topic: "/", payload: hex("02"), qos: 2, retain: false, dup: true, packetId: 1 },
    "3c 06 0001 2f 0001 02",
  ),
  vector(
    "PUBLISH QoS 2 again, retained",
    { type: "publish", topic: "$", payload: hex(""), qos: 2, retain: true, dup: true, packetId: 2 },
    "3d 05 0001 24 0002",
  ),
  vector(
    "PUBLISH with a two-byte remaining length",
    { type: "publish", topic: long, payload: ascii(long), qos: 0, retain: false, dup: false },
    `30 8602 0082 ${longHex} ${longHex}`,
  ),
  vector(
    "PUBLISH with characters of two, three and four bytes",
    { type: "publish", topic: "é/€/😀/\u{10ffff}", payload: hex(""), qos: 0, retain: false, dup: false },
    "30 12 0010 c3a9 2f e282ac 2f f09f9880 2f f48fbfbf",
  ),
  vector("PUBACK", { type: "puback", packetId: 1 }, "40 02 0001"),
  vector("PUBREC", { type: "pubrec", packetId: 0x1234 }, "50 02 1234"),
  vector("PUBREL", { type: "pubrel", packetId: 0x00ff }, "62 02 00ff"),
  vector("PUBCOMP", { type: "pubcomp", packetId: 0xff00 }, "70 02 ff00"),
  vector(
    "SUBSCRIBE",
    {
      type: "subscribe",
      packetId: 2,
      subscriptions: [
        { topicFilter: "a/#", qos: 0 },
        { topicFilter: "+/b", qos: 1 },
        { topicFilter: "#", qos: 2 },
      ],
    },
    "82 12 0002 0003 612f23 00 0003 2b2f62 01 0001 23 02",
  ),
  vector("SUBACK", { type: "suback", packetId: 2, returnCodes: [0, 1, 2, 0x80] }, "90 06 0002 00 01 02 80"),
  vector(
    "UNSUBSCRIBE",
    { type: "unsubscribe", packetId: 3, topicFilters: ["a/#", "+", "/"] },
    "a2 0d 0003 0003 612f23 0001 2b 0001 2f",
  ),
  vector("UNSUBACK", { type: "unsuback", packetId: 3 }, "b0 02 0003"),
  vector("PINGREQ", { type: "pingreq" }, "c0 00"),
  vector("PINGRESP", { type: "pingresp" }, "d0 00"),
  vector("DISCONNECT", { type: "disconnect" }, "e0 00"),
];
