/** The opening handshake of RFC 6455 and the HTTP below it: what either side sends, and what it refuses. */
import { describe, expect, test } from "vitest";
import { HttpFault, HttpHeadReader, responseReader, type HttpHead } from "../../src/transport/http.js";
import { acceptKey, authority, upgradeFault, upgradeRequest } from "../../src/transport/websocket-handshake.js";
import { answerUpgrade } from "../../src/transport/websocket-server.js";

/** RFC 6455, section 1.3. */
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const request = (text: string): HttpHead => {
  const head = new HttpHeadReader([""], 8_192).push(Buffer.from(text, "latin1"));
  if (!head) throw new Error("the head is not whole");
  return head;
};

const response = (text: string): HttpHead => {
  const head = responseReader().push(Buffer.from(text, "latin1"));
  if (!head) throw new Error("the head is not whole");
  return head;
};

const accepted = (changes: Record<string, string | undefined> = {}): string => {
  const fields = {
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Accept": ACCEPT,
    "Sec-WebSocket-Protocol": "mqtt",
    ...changes,
  };
  const lines = Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]));
  return `HTTP/1.1 101 Switching Protocols\r\n${lines.join("\r\n")}\r\n\r\n`;
};

test("the accept key of RFC 6455, section 1.3", () => expect(acceptKey(KEY)).toBe(ACCEPT));

test("authorities", () => {
  expect(authority("example.com", 443, 443)).toBe("example.com");
  expect(authority("example.com", 8443, 443)).toBe("example.com:8443");
  expect(authority("::1", 443, 443)).toBe("[::1]");
});

describe("the client's request", () => {
  test("offers mqtt and nothing else, and no extension [MQTT-6.0.0-3 +]", () => {
    expect(upgradeRequest("example.com", "/mqtt?a=b", KEY).split("\r\n")).toEqual([
      "GET /mqtt?a=b HTTP/1.1",
      "Host: example.com",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Key: ${KEY}`,
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Protocol: mqtt",
      "",
      "",
    ]);
  });

  test("is accepted by the server's side", () => {
    const { accepted: fine, response: text } = answerUpgrade(request(upgradeRequest("h", "/mqtt", KEY)), "/mqtt");
    expect(fine).toBe(true);
    expect(upgradeFault(response(text), KEY, "h")).toBeUndefined();
  });
});

describe("the server's answer", () => {
  test("is accepted, in any letters [MQTT-6.0.0-4 +]", () => {
    expect(upgradeFault(response(accepted()), KEY, "h")).toBeUndefined();
    const other = { Upgrade: "WebSocket", Connection: "keep-alive, upgrade" };
    expect(upgradeFault(response(accepted(other)), KEY, "h")).toBeUndefined();
  });

  test.each<[string, string, RegExp]>([
    ["no subprotocol [MQTT-6.0.0-4 -]", accepted({ "Sec-WebSocket-Protocol": undefined }), /subprotocol mqtt/],
    ["another subprotocol [MQTT-6.0.0-4 -]", accepted({ "Sec-WebSocket-Protocol": "mqttv3.1" }), /subprotocol mqtt/],
    ["two subprotocols", accepted({ "Sec-WebSocket-Protocol": "mqtt, mqtt" }), /subprotocol mqtt/],
    ["no accept key", accepted({ "Sec-WebSocket-Accept": undefined }), /Accept/],
    ["a wrong accept key", accepted({ "Sec-WebSocket-Accept": ACCEPT.toLowerCase() }), /Accept/],
    ["an extension", accepted({ "Sec-WebSocket-Extensions": "permessage-deflate" }), /extension/],
    ["another upgrade", accepted({ Upgrade: "h2c" }), /another upgrade/],
    ["no connection field", accepted({ Connection: undefined }), /another upgrade/],
    ["a status of two digits", "HTTP/1.1 10\r\n\r\n", /not HTTP/],
  ])("%s is refused for good", (_what, text, expected) => {
    const fault = upgradeFault(response(text), KEY, "h");
    expect(fault).toMatchObject({ code: "ERR_WEBSOCKET", retryable: false });
    expect(fault?.message).toMatch(expected);
  });

  test.each<[number, string, boolean, RegExp]>([
    [404, "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<html>", false, /404 Not Found: check option path/],
    [401, "HTTP/1.1 401 Unauthorized\r\n\r\n", false, /401/],
    [200, "HTTP/1.1 200 OK\r\n\r\n<html>", false, /200 OK/],
    [
      302,
      "HTTP/1.1 302 Found\r\nLocation: https://u:p@login.example/x?token=abc\r\n\r\n",
      false,
      /points to .*login.example\/x$/,
    ],
    [503, "HTTP/1.1 503 Service Unavailable\r\n\r\n", true, /503/],
    [429, "HTTP/1.1 429 \r\n\r\n", true, /429/],
  ])("%i is told with its status", (status, text, retryable, expected) => {
    const fault = upgradeFault(response(text), KEY, "h");
    expect(fault).toMatchObject({ code: "ERR_WEBSOCKET", status, retryable });
    expect(fault?.message).toMatch(expected);
    expect(fault?.message).not.toMatch(/abc|u:p/);
  });

  test("its text is printable in the error", () => {
    expect(upgradeFault(response("HTTP/1.1 418 \x1b[31mtea\x00\r\n\r\n"), KEY, "h")?.message).toContain("?[31mtea?");
  });
});

describe("the server's side refuses", () => {
  const good = upgradeRequest("h", "/mqtt", KEY);

  test.each<[string, string, RegExp]>([
    ["another path", good.replace("/mqtt", "/other"), /^HTTP\/1\.1 404 /],
    ["another method", good.replace("GET", "POST"), /^HTTP\/1\.1 405 [^]*Allow: GET/],
    ["HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0"), /^HTTP\/1\.1 505 /],
    ["a request without upgrade", good.replace("Upgrade: websocket\r\n", ""), /^HTTP\/1\.1 426 /],
    ["another version", good.replace("Version: 13", "Version: 8"), /^HTTP\/1\.1 426 [^]*Sec-WebSocket-Version: 13/],
    ["a short key", good.replace(KEY, "abc="), /^HTTP\/1\.1 400 /],
    ["no key", good.replace(`Sec-WebSocket-Key: ${KEY}\r\n`, ""), /^HTTP\/1\.1 400 /],
    ["no host", good.replace("Host: h\r\n", ""), /^HTTP\/1\.1 400 /],
    ["no subprotocol mqtt [MQTT-6.0.0-3 -]", good.replace("Protocol: mqtt", "Protocol: amqp"), /^HTTP\/1\.1 400 /],
  ])("%s", (_what, text, expected) => {
    const answer = answerUpgrade(request(text), "/mqtt");
    expect(answer.accepted).toBe(false);
    expect(answer.response).toMatch(expected);
    expect(answer.response).toMatch(/Content-Length: 0\r\nConnection: close\r\n\r\n$/);
  });

  test("not a query, nor one of several subprotocols, nor any path where all are served", () => {
    expect(answerUpgrade(request(good.replace("/mqtt", "/mqtt?iothub-no-client-cert=true")), "/mqtt").accepted).toBe(
      true,
    );
    expect(answerUpgrade(request(good.replace("Protocol: mqtt", "Protocol: amqp, mqtt")), "/mqtt").accepted).toBe(true);
    expect(answerUpgrade(request(good), undefined).accepted).toBe(true);
  });
});

describe("a head of HTTP", () => {
  const text = "HTTP/1.1 200 OK\r\nA: 1\r\na:2 \r\nB:\r\n\r\nrest";

  test("arrives cut anywhere", () => {
    const all = Buffer.from(text);
    for (let at = 0; at <= all.length; at++) {
      const reader = responseReader();
      const first = reader.push(all.subarray(0, at));
      const head = first ?? reader.push(all.subarray(at));
      expect([...(head?.fields ?? [])]).toEqual([
        ["a", "1, 2"],
        ["b", ""],
      ]);
      const rest = Buffer.concat([head?.rest ?? Buffer.alloc(0), first ? all.subarray(at) : Buffer.alloc(0)]);
      expect(rest.toString()).toBe("rest");
    }
    const byByte = responseReader();
    const heads = Array.from(all.subarray(0, -4), (_, at) => byByte.push(all.subarray(at, at + 1))).filter(Boolean);
    expect(heads).toHaveLength(1);
    expect(heads[0]?.rest).toHaveLength(0);
  });

  test.each(["\x20\x02\x00\x00", "SSH-2.0-x\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1x", "\x15\x03\x01"])(
    "%j is none, at its first wrong byte",
    (wrong) => {
      expect(() => responseReader().push(Buffer.from(wrong, "latin1"))).toThrow(HttpFault);
    },
  );

  test.each([
    "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
    "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
  ])("a line that is no field is refused: %j", (wrong) =>
    expect(() => responseReader().push(Buffer.from(wrong))).toThrow(HttpFault),
  );

  test("is bounded, in one piece and in many", () => {
    const long = `HTTP/1.1 200 OK\r\nA: ${"x".repeat(20_000)}`;
    expect(() => responseReader().push(Buffer.from(`${long}\r\n\r\n`))).toThrow(HttpFault);
    const reader = responseReader();
    let pushed = 0;
    expect(() => {
      for (const piece of long.match(/.{1,100}/gs) ?? []) {
        reader.push(Buffer.from(piece));
        pushed += piece.length;
      }
    }).toThrow(HttpFault);
    expect(pushed).toBeLessThan(16_500);
  });
});
