/**
 * Checking without encoding: `encode` of support.ts holds every packet of the other tests against
 * `checkPacket`; here is what they do not reach.
 */
import { expect, test } from "vitest";
import {
  MAX_PACKET_SIZE,
  checkPacket,
  checkPublish,
  encode,
  type PacketInit,
  type QoS,
} from "../../src/codec/index.js";
import { publishSize } from "../../src/codec/check.js";
import { checkSendable } from "../../src/codec/sendable.js";
import { refusal } from "./support.js";

test("a PUBLISH that is refused is refused with the same words as when it is encoded", () => {
  const bad: Parameters<typeof checkPublish>[] = [
    ["", "", 0, false],
    ["a/#", "", 0, false],
    ["\ud800", "", 0, false],
    ["a\0", "", 0, false],
    ["a".repeat(65_536), "", 0, false],
    [undefined as never, "", 0, false],
    ["a", "", 3 as QoS, false],
    ["a", "", "1" as never, false],
    ["a", "", undefined as never, false],
    ["a", "", 0, 1 as never],
    ["a", "", 1, undefined as never],
    ["a", "\udc00", 0, false],
    ["a", [1] as never, 0, false],
    ["a", new Uint16Array(2) as never, 0, false],
    ["a", null as never, 2, false],
    // Of two faults, the one that encoding finds first.
    ["#", 5 as never, 7 as QoS, 1 as never],
    ["a", 5 as never, 7 as QoS, 1 as never],
  ];
  for (const [topic, payload, qos, retain] of bad) {
    const packet = { type: "publish", topic, payload, qos, retain, packetId: qos === 0 ? undefined : 1 } as PacketInit;
    // What is left out has a default in an object, and none in arguments.
    if (qos === undefined || retain === undefined) {
      expect(refusal(() => checkPublish(topic, payload, qos, retain)).code).toBe("ERR_INVALID_PACKET");
    } else {
      expect(refusal(() => checkPublish(topic, payload, qos, retain))).toEqual(refusal(() => encode(packet)));
    }
  }
});

test("the largest packet that there can be, and one byte more", () => {
  const payload = new Uint8Array(MAX_PACKET_SIZE - 8);
  expect(checkPublish("a", payload, 0, false)).toBe(MAX_PACKET_SIZE);
  expect(publishSize("a", payload.length, 0)).toBe(MAX_PACKET_SIZE);
  for (const action of [
    () => checkPublish("a", payload, 1, false),
    () => checkPublish("ab", payload, 0, false),
    () => publishSize("a", payload.length, 2),
  ]) {
    expect(refusal(action)).toMatchObject({
      code: "ERR_INVALID_PACKET",
      message: "packet is over 268435460 bytes",
    });
  }
});

test("the size at each step of the remaining length", () => {
  for (const [remaining, size] of [
    [127, 129],
    [128, 131],
    [16_383, 16_386],
    [16_384, 16_388],
    [2_097_151, 2_097_155],
    [2_097_152, 2_097_157],
  ] as const) {
    expect(checkPublish("é", new Uint8Array(remaining - 4), 0, true)).toBe(size);
    expect(publishSize("é", remaining - 6, 2)).toBe(size);
  }
});

test("checking a packet reads each field once", () => {
  const reads: string[] = [];
  const watched = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, key) {
        reads.push(String(key));
        const value = Reflect.get(object, key) as unknown;
        return typeof value === "object" && value !== null && !Array.isArray(value) ? watched(value) : value;
      },
    });
  const packets: PacketInit[] = [
    { type: "connect", clientId: "c", username: "u", password: "p", will: { topic: "t", payload: "x" } },
    { type: "publish", topic: "t", payload: "p", qos: 1, retain: true, dup: true, packetId: 1 },
    { type: "pubrel", packetId: 1 },
    { type: "suback", packetId: 1, returnCodes: [0] },
  ];
  for (const packet of packets) {
    reads.length = 0;
    checkPacket(watched(packet));
    expect(reads.length).toBe(new Set(reads).size);
  }
});

test("what one should not send is told apart from what one may (section 1.5.3)", () => {
  const fine = [
    "",
    "a/+/#",
    " ~\u00a0",
    "\ufdcf\ufdf0\ufffd",
    "é€😀",
    "\u{1fffd}\u{20000}\u{10fffd}",
    "\ud83e\udffe",
    "\ue000",
  ];
  for (const text of fine) expect(() => checkSendable(text, "topic")).not.toThrow();
  const planes = Array.from({ length: 17 }, (_, plane) => plane * 0x10000);
  const bad = [
    "\u0001",
    "\u001f",
    "\n",
    "\u007f",
    "\u009f",
    ...[0xfdd0, 0xfdef, ...planes.flatMap((plane) => [plane + 0xfffe, plane + 0xffff])].map((code) =>
      String.fromCodePoint(code),
    ),
  ];
  for (const text of bad) {
    for (const place of [text, `a/${text}`, `${text}/a`, `😀${text}é`]) {
      const error = refusal(() => checkSendable(place, "topicFilter"));
      expect(error.code).toBe("ERR_INVALID_ARGUMENT");
      expect(error.message).toContain("topicFilter has a control character");
    }
    // The codec itself says what the standard says.
    expect(encode({ type: "publish", topic: text }).length).toBeGreaterThan(4);
  }
});
