/** Property bags through Microsoft's SDK both ways, in real messages over TLS; and what it gets wrong. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Packet } from "../../src/codec/index.js";
import { decodeProperties, encodeProperties } from "../../src/hub/index.js";
import { seeded, type Random } from "../support/random.js";
import { startRecordingPeer, type RecordingPeer, type Script } from "./support/recording-peer.js";
import { Message, sdkDevice, type SdkDeviceClient, type SdkMessage } from "./support/sdk.js";

const ROUNDS = 300;
const CONNECTION_STRING = "HostName=localhost;DeviceId=d1;SharedAccessKey=c2VjcmV0IGtleSBvZiBhIGRldmljZQ==";
const TELEMETRY = "devices/d1/messages/events/";
const CLOUD_TO_DEVICE = "devices/d1/messages/devicebound/";

/** Every kind of character: delimiters, escapes, spaces, controls, each length of UTF-8, odd code points. */
const CHARACTERS = [
  ..."abcXYZ019-._~&=/#+%?$@!'()*,:;<>[]{}|\\^`\" \t\n\r",
  ...["\u0000", "\u0001", "\u007f", "\u0080", "é", "ß", "\u07ff", "\u0800", "€", "日"],
  ...["\u200b", "\u202e", "\u2028"],
  ...["\ufeff", "\ufffd", "\uffff", "😀", "\u{1f468}\u200d\u{1f469}", "\u{10ffff}", "%20", "%zz", "%25", "$."],
];
const WORDS = ["__proto__", "constructor", "toString", "hasOwnProperty", "null", "undefined", "true", "iothub-ack "];

function text(random: Random): string {
  if (random.below(12) === 0) return random.pick(WORDS);
  return Array.from({ length: random.below(13) }, () => random.pick(CHARACTERS)).join("");
}

function properties(random: Random): Map<string, string> {
  return new Map(Array.from({ length: random.below(12) }, () => [text(random), text(random)]));
}

let peer: RecordingPeer;
beforeAll(async () => {
  peer = await startRecordingPeer();
});
afterAll(() => peer.close());

const silent: Script = () => {};

/** Runs `use` with a connected client of the SDK; resolves to what the client sent. */
async function withSdk(script: Script, use: (client: SdkDeviceClient) => Promise<void>): Promise<Packet[]> {
  return peer.record(script, async () => {
    const client = await sdkDevice(CONNECTION_STRING, peer);
    await client.open();
    try {
      await use(client);
    } finally {
      await client.close();
    }
  });
}

function message(bag: Iterable<readonly [string, unknown]>): SdkMessage {
  const made = new Message("x");
  for (const [name, value] of bag) made.properties.add(name, value as string);
  return made;
}

/** The bags of the telemetry in a recording. */
function bags(packets: readonly Packet[]): string[] {
  return packets.flatMap((packet) => (packet.type === "publish" ? [packet.topic.slice(TELEMETRY.length)] : []));
}

/** Sends each bag to the SDK as a C2D message; resolves to the messages as the SDK delivers them. */
async function deliver(sent: readonly string[]): Promise<SdkMessage[]> {
  const got: SdkMessage[] = [];
  const script: Script = (packet, send) => {
    if (packet.type !== "subscribe") return;
    sent.forEach((bag, index) =>
      send({ type: "publish", topic: CLOUD_TO_DEVICE + bag, qos: 1, packetId: index + 1, payload: "x" }),
    );
  };
  await withSdk(script, async (client) => {
    await new Promise<void>((resolve) => {
      client.on("message", (message: SdkMessage) => {
        got.push(message);
        if (got.length === sent.length) resolve();
      });
    });
  });
  return got;
}

function entries(message: SdkMessage): unknown[] {
  return message.properties.propertyList.map(({ key, value }) => [key, value]);
}

describe("property bags with Microsoft's SDK", () => {
  it(`come back from our own reading of our own writing, ${ROUNDS * 10} times`, () => {
    const random = seeded(10);
    for (let round = 0; round < ROUNDS * 10; round++) {
      const bag = new Map<string, string | null>(properties(random));
      if (random.below(2)) bag.set("n" + text(random), null);
      expect([...decodeProperties(encodeProperties(bag))]).toEqual([...bag]);
    }
  });

  it(`written by the SDK are read by us with every character, ${ROUNDS} times`, async () => {
    const random = seeded(11);
    const sent = Array.from({ length: ROUNDS }, () => properties(random));
    const packets = await withSdk(silent, async (client) => {
      for (const bag of sent) await client.sendEvent(message(bag));
    });
    expect(bags(packets).map((bag) => [...decodeProperties(bag)])).toEqual(sent.map((bag) => [...bag]));
  });

  it(`written by us are read by the SDK with every character, ${ROUNDS} times`, async () => {
    const random = seeded(12);
    const sent = Array.from({ length: ROUNDS }, () => properties(random)).filter((bag) => bag.size > 0);
    const got = await deliver(sent.map(encodeProperties));
    expect(got.map(entries)).toEqual(sent.map((bag) => [...bag]));
  });

  it("differ in five escapes that the SDK leaves out and the hub wants", async () => {
    const bag: [string, string][] = [["!'()*", "a!b'c(d)e*f"]];
    const packets = await withSdk(silent, async (client) => void (await client.sendEvent(message(bag))));
    expect(bags(packets)).toEqual(["!'()*=a!b'c(d)e*f"]);
    expect(encodeProperties(new Map(bag))).toBe("%21%27%28%29%2A=a%21b%27c%28d%29e%2Af");
  });
});

describe("what the SDK gets wrong in property bags, and we do not", () => {
  it("writes null and undefined as words", async () => {
    const packets = await withSdk(silent, async (client) => {
      await client.sendEvent(
        message([
          ["a", null],
          ["b", undefined],
          ["c", ""],
        ]),
      );
    });
    expect(bags(packets)).toEqual(["a=null&b=undefined&c="]);
    expect(
      encodeProperties(
        new Map([
          ["a", null],
          ["c", ""],
        ]),
      ),
    ).toBe("a&c=");
  });

  it("reads a property without a value as the word undefined", async () => {
    const [got] = await deliver(["a&b=&c=1"]);
    expect(entries(got as SdkMessage)).toEqual([
      ["a", "undefined"],
      ["b", ""],
      ["c", "1"],
    ]);
    expect([...decodeProperties("a&b=&c=1")]).toEqual([
      ["a", null],
      ["b", ""],
      ["c", "1"],
    ]);
  });

  it("cuts a value at its second equals sign", async () => {
    const [got] = await deliver(["key=YWJj=ZA=="]);
    expect(entries(got as SdkMessage)).toEqual([["key", "YWJj"]]);
    expect([...decodeProperties("key=YWJj=ZA==")]).toEqual([["key", "YWJj=ZA=="]]);
  });

  it("drops two names without a word", async () => {
    const bag: [string, string][] = [
      ["Authorization", "a"],
      ["iothub-to", "b"],
      ["other", "c"],
    ];
    const packets = await withSdk(silent, async (client) => void (await client.sendEvent(message(bag))));
    expect(bags(packets)).toEqual(["other=c"]);
    const [got] = await deliver([encodeProperties(new Map(bag))]);
    expect(entries(got as SdkMessage)).toEqual([["other", "c"]]);
    expect([...decodeProperties(encodeProperties(new Map(bag)))]).toEqual(bag);
  });

  it("takes lone surrogates up to the point of sending, where it throws a bare URIError", async () => {
    await withSdk(silent, async (client) => {
      await expect(client.sendEvent(message([["a", "\ud800"]]))).rejects.toThrow(URIError);
    });
    expect(() => encodeProperties(new Map([["a", "\ud800"]]))).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
  });
});
