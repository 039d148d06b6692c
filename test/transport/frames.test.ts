/** Frames of RFC 6455, by literal bytes, then cut at every place. */
import { describe, expect, test } from "vitest";
import { closePayload, encodeFrame, FrameFault, FrameReader } from "../../src/transport/websocket-frames.js";
import { bytes } from "../support/peer.js";

interface Seen {
  data: string;
  pieces: number;
  pings: string[];
  closes: string[];
}

/** Feeds a reader; what it throws is `fault`. */
function read(masked: boolean, chunks: readonly Uint8Array[]): Seen & { fault: FrameFault | undefined } {
  const seen: Seen = { data: "", pieces: 0, pings: [], closes: [] };
  const reader = new FrameReader(masked, {
    data: (piece) => {
      seen.data += Buffer.from(piece).toString("hex");
      seen.pieces++;
    },
    ping: (payload) => seen.pings.push(Buffer.from(payload).toString("hex")),
    close: (code, reason) => seen.closes.push(`${code} ${reason}`),
  });
  try {
    for (const chunk of chunks) reader.push(chunk);
  } catch (error) {
    expect(error).toBeInstanceOf(FrameFault);
    expect(() => reader.push(bytes("82 00"))).toThrow(error as FrameFault);
    return { ...seen, fault: error as FrameFault };
  }
  return { ...seen, fault: undefined };
}

const oneByOne = (all: Uint8Array): Uint8Array[] => Array.from(all, (_, at) => all.subarray(at, at + 1));

/** The same whole, byte by byte, and cut at every place. */
function* everyCut(all: Uint8Array): Iterable<Uint8Array[]> {
  yield [all];
  yield oneByOne(all);
  for (let at = 0; at <= all.length; at++) yield [all.subarray(0, at), all.subarray(at)];
}

const zeros = (length: number): string => "00".repeat(length);

describe("from a server", () => {
  test.each<[string, string, Partial<Seen>]>([
    ["one frame, one packet [MQTT-6.0.0-1 +]", "82 02 d0 00", { data: "d000" }],
    ["several packets in a frame [MQTT-6.0.0-2 +]", "82 06 d0 00 40 02 00 01", { data: "d00040020001" }],
    ["a packet over several frames [MQTT-6.0.0-2 +]", "82 01 40 82 03 02 00 01", { data: "40020001" }],
    [
      "where a message ends is not where a packet ends [MQTT-6.0.0-2 -]",
      "02 01 40 00 00 80 03 02 00 01",
      { data: "40020001" },
    ],
    ["an empty message", "82 00", { data: "" }],
    ["a ping inside a message", "02 01 d0 89 03 61 62 63 80 01 00", { data: "d000", pings: ["616263"] }],
    ["a pong that nobody asked for", "8a 01 00 82 01 d0", { data: "d0" }],
    ["a ping without payload", "89 00", { pings: [""] }],
    ["126 bytes", `82 7e 00 7e ${zeros(126)}`, { data: zeros(126) }],
    ["a close without a code", "88 00", { closes: ["1005 "] }],
    ["a close with code and reason", "82 01 d0 88 05 03 e9 62 79 65", { data: "d0", closes: ["1001 bye"] }],
    ["what follows a close is nothing", "88 02 03 e8 82 01 d0 81 00", { closes: ["1000 "] }],
    ["codes of applications", "88 02 0f a0", { closes: ["4000 "] }],
  ])("%s", (_what, hex, expected) => {
    for (const chunks of everyCut(bytes(hex))) {
      const { pieces: _pieces, fault, ...seen } = read(false, chunks);
      expect(fault).toBeUndefined();
      expect(seen).toEqual({ data: "", pings: [], closes: [], ...expected });
    }
  });

  test.each<[string, string, number, string, string?]>([
    ["a text frame [MQTT-6.0.0-1 -]", "82 01 d0 81 01 61", 1003, "d0", "MQTT-6.0.0-1"],
    ["a text message in parts [MQTT-6.0.0-1 -]", "01 01 61", 1003, "", "MQTT-6.0.0-1"],
    ["a masked frame", "82 81 01 02 03 04 d1", 1002, ""],
    ["a continuation of nothing", "80 01 d0", 1002, ""],
    ["a message inside another", "02 01 d0 82 01 00", 1002, "d0"],
    ["RSV1: an extension that was not agreed on", "c2 01 d0", 1002, ""],
    ["RSV2", "a2 01 d0", 1002, ""],
    ["RSV3", "92 01 d0", 1002, ""],
    ["an unknown data frame", "83 00", 1002, ""],
    ["an unknown control frame", "8b 00", 1002, ""],
    ["a ping in parts", "09 01 61", 1002, ""],
    ["a ping over 125 bytes", `89 7e 00 7e ${zeros(126)}`, 1002, ""],
    ["a length of 5 in the form of 16 bits", "82 7e 00 05", 1002, ""],
    ["a length of 126 in the form of 64 bits", "82 7f 00 00 00 00 00 00 00 7e", 1002, ""],
    ["a length of 2^53", "82 7f 00 20 00 00 00 00 00 00", 1009, ""],
    ["a length of 2^63", "82 7f 80 00 00 00 00 00 00 00", 1009, ""],
    ["a close of one byte", "88 01 03", 1002, ""],
    ["a close with a code that must not be sent", "88 02 03 ed", 1002, ""],
    ["a close with code 999", "88 02 03 e7", 1002, ""],
    ["a close with code 2999", "88 02 0b b7", 1002, ""],
    ["a close with a reason that is not UTF-8", "88 03 03 e8 ff", 1007, ""],
  ])("refuses %s, after what came before", (_what, hex, closeCode, data, statement) => {
    for (const chunks of everyCut(bytes(hex))) {
      const { fault, ...seen } = read(false, chunks);
      expect(fault).toMatchObject({ closeCode, statement });
      expect(seen).toMatchObject({ data, pings: [], closes: [] });
    }
  });

  test("a header that is wrong is refused at its first wrong byte", () => {
    expect(read(false, [bytes("81")]).fault).toBeUndefined();
    expect(read(false, [bytes("81 01")]).fault?.closeCode).toBe(1003);
  });

  test("what one chunk brings is one piece, and a view of the chunk where it is whole", () => {
    const whole = bytes("82 03 01 02 03");
    let view: Uint8Array | undefined;
    new FrameReader(false, { data: (piece) => (view = piece), ping: () => {}, close: () => {} }).push(whole);
    expect(view?.buffer).toBe(whole.buffer);
    const many = bytes("82 01 01 89 01 70 82 02 02 03 82 01 04");
    const before = Buffer.from(many);
    expect(read(false, [many])).toMatchObject({ data: "01020304", pieces: 1, pings: ["70"] });
    expect(many).toEqual(before);
  });

  test("takes no memory for a length that is only claimed", () => {
    const claimed = bytes("82 7f 00 1f ff ff ff ff ff ff 01 02");
    expect(read(false, [claimed])).toMatchObject({ data: "0102", fault: undefined });
  });
});

describe("from a client", () => {
  test.each<[string, string, Partial<Seen>]>([
    ["RFC 6455, section 5.7: a masked message", "82 85 37 fa 21 3d 7f 9f 4d 51 58", { data: "48656c6c6f" }],
    ["a masked ping", "89 85 37 fa 21 3d 7f 9f 4d 51 58", { pings: ["48656c6c6f"] }],
    ["two in a row", "82 81 01 02 03 04 d1 82 81 ff 00 00 00 ff", { data: "d000" }],
    ["a masked close", "88 82 01 02 03 04 02 ea", { closes: ["1000 "] }],
  ])("%s", (_what, hex, expected) => {
    for (const chunks of everyCut(bytes(hex))) {
      const { pieces: _pieces, fault, ...seen } = read(true, chunks);
      expect(fault).toBeUndefined();
      expect(seen).toEqual({ data: "", pings: [], closes: [], ...expected });
    }
  });

  test("that does not mask is refused", () => {
    for (const chunks of everyCut(bytes("82 02 d0 00"))) expect(read(true, chunks).fault?.closeCode).toBe(1002);
  });
});

describe("encoding", () => {
  test.each<[number, string]>([
    [0, "82 00"],
    [1, "82 01"],
    [125, "82 7d"],
    [126, "82 7e 00 7e"],
    [65_535, "82 7e ff ff"],
    [65_536, "82 7f 00 00 00 00 00 01 00 00"],
  ])("%i bytes begin with %s", (length, header) => {
    const frame = Buffer.from(encodeFrame(2, [new Uint8Array(length).fill(7)]));
    expect(frame.subarray(0, frame.length - length)).toEqual(bytes(header));
    expect(frame.subarray(frame.length - length)).toEqual(Buffer.alloc(length, 7));
  });

  test("every length up to 40, and those around the forms, come back from under any mask", () => {
    const lengths = [...Array.from({ length: 41 }, (_, length) => length), 125, 126, 127, 65_535, 65_536, 65_539];
    for (const length of lengths) {
      const payload = Uint8Array.from({ length }, (_, at) => at * 31);
      for (const mask of [0, 1, 0x37fa213d, 0xffffffff]) {
        const cut = Math.floor(length / 3);
        const frame = encodeFrame(2, [payload.subarray(0, cut), payload.subarray(cut)], mask);
        const { data, fault } = read(true, [frame]);
        expect(fault).toBeUndefined();
        expect(data === Buffer.from(payload).toString("hex"), `${length} bytes under ${mask}`).toBe(true);
      }
    }
  });

  test("a mask changes what is on the wire, and the caller's memory stays as it is", () => {
    const payload = bytes("00 00 00 00 00");
    const frame = Buffer.from(encodeFrame(2, [payload], 0x01020304));
    expect(frame.subarray(2, 6).toString("hex")).toBe(frame.subarray(6, 10).toString("hex"));
    expect(frame[10]).toBe(frame[2]);
    expect(payload).toEqual(Buffer.alloc(5));
  });

  test("a close carries its code", () => {
    expect(encodeFrame(8, [closePayload(1002)])).toEqual(bytes("88 02 03 ea"));
  });
});
