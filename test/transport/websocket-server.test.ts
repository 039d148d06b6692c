/** A server's side of MQTT over WebSocket: whatever a client sends, cut anywhere. */
import { describe, expect, test } from "vitest";
import { encodeFrame } from "../../src/transport/websocket-frames.js";
import { upgradeRequest } from "../../src/transport/websocket-handshake.js";
import { WebSocketServer } from "../../src/transport/websocket-server.js";
import { bytes } from "../support/peer.js";

const REQUEST = Buffer.from(upgradeRequest("h", "/mqtt", "dGhlIHNhbXBsZSBub25jZQ=="));

function serve() {
  const seen = { data: "", written: Buffer.alloc(0), over: undefined as string | undefined };
  const server = new WebSocketServer("/mqtt", () => 784_111_777_000, {
    received: (piece) => (seen.data += Buffer.from(piece).toString("latin1")),
    write: (piece) => (seen.written = Buffer.concat([seen.written, piece])),
    over: (piece) => {
      expect(seen.over).toBeUndefined();
      seen.over = Buffer.from(piece).toString("latin1");
    },
  });
  return { server, seen };
}

const hex = (text: string | undefined): string => Buffer.from(text ?? "", "latin1").toString("hex");

test("upgrade and frames, cut at every place", () => {
  const all = Buffer.concat([
    REQUEST,
    encodeFrame(2, [Buffer.from("ab")], 7),
    encodeFrame(9, [Buffer.from("p")], 9),
    encodeFrame(2, [Buffer.from("c")], 8),
  ]);
  for (let at = 0; at <= all.length; at++) {
    const { server, seen } = serve();
    server.push(all.subarray(0, at));
    server.push(all.subarray(at));
    expect(seen.data).toBe("abc");
    expect(seen.over).toBeUndefined();
    const text = seen.written.toString("latin1");
    expect(text).toMatch(/^HTTP\/1\.1 101 /);
    expect(hex(text.slice(text.indexOf("\r\n\r\n") + 4))).toBe("8a0170");
  }
});

test("every answer in HTTP carries the time", () => {
  for (const request of [REQUEST, Buffer.from("GET / HTTP/1.1\r\n\r\n")]) {
    const { server, seen } = serve();
    server.push(request);
    const answer = seen.over ?? seen.written.toString("latin1");
    expect(answer).toMatch(/^HTTP\/1\.1 \d+ [ \w]+\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n/);
  }
});

test("its own frames are not masked", () => {
  const { server } = serve();
  expect(server.frame([bytes("d0"), bytes("00")])).toEqual(bytes("82 02 d0 00"));
});

test("of many pings in a chunk the newest is answered", () => {
  const { server, seen } = serve();
  server.push(REQUEST);
  const before = seen.written.length;
  server.push(Buffer.concat(["a", "b", "c"].map((text) => encodeFrame(9, [Buffer.from(text)], 1))));
  expect(seen.written.subarray(before)).toEqual(bytes("8a 01 63"));
});

describe("the end", () => {
  test("a close is answered, and nothing behind it is taken", () => {
    const { server, seen } = serve();
    server.push(Buffer.concat([REQUEST, encodeFrame(8, [bytes("03 e8")], 1), encodeFrame(2, [Buffer.from("x")], 1)]));
    server.push(encodeFrame(2, [Buffer.from("y")], 1));
    expect(seen.data).toBe("");
    expect(hex(seen.over)).toBe("880203e8");
    server.close();
  });

  test("its own close", () => {
    const { server, seen } = serve();
    server.push(REQUEST);
    server.close();
    expect(hex(seen.over)).toBe("880203e8");
  });

  test("a close before the upgrade is an answer in HTTP", () => {
    const { server, seen } = serve();
    server.push(REQUEST.subarray(0, 20));
    server.close();
    expect(seen.over).toMatch(/^HTTP\/1\.1 503 /);
  });

  test.each([
    ["a text frame [MQTT-6.0.0-1 -]", encodeFrame(1, [Buffer.from("x")], 1), "880203eb"],
    ["a frame that is not masked", encodeFrame(2, [Buffer.from("x")]), "880203ea"],
  ])("%s", (_what, frame, expected) => {
    const { server, seen } = serve();
    server.push(
      Buffer.concat([REQUEST, encodeFrame(2, [Buffer.from("a")], 1), frame, encodeFrame(2, [Buffer.from("b")], 1)]),
    );
    expect(seen.data).toBe("a");
    expect(hex(seen.over)).toBe(expected);
    server.push(encodeFrame(2, [Buffer.from("c")], 1));
    expect(seen.data).toBe("a");
  });
});

describe("a request", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["that is none", Buffer.from("GARBAGE\r\n\r\n"), /^HTTP\/1\.1 400 /],
    ["with a broken field", Buffer.from("GET /mqtt HTTP/1.1\r\nnothing\r\n\r\n"), /^HTTP\/1\.1 400 /],
    ["for another path", Buffer.from(REQUEST.toString().replace("/mqtt", "/x")), /^HTTP\/1\.1 404 /],
  ])("%s is answered and the connection ended", (_what, request, expected) => {
    const { server, seen } = serve();
    server.push(request);
    expect(seen.over).toMatch(expected);
    server.push(REQUEST);
    expect(seen.written).toHaveLength(0);
  });

  test("that does not end is refused at 8 KiB", () => {
    const { server, seen } = serve();
    let sent = 0;
    server.push(Buffer.from("GET /mqtt HTTP/1.1\r\nA: "));
    for (; seen.over === undefined; sent += 100) server.push(Buffer.alloc(100, "a"));
    expect(seen.over).toMatch(/^HTTP\/1\.1 400 /);
    expect(sent).toBeLessThan(8_400);
  });
});
