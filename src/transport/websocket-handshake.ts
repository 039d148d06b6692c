/**
 * The opening handshake of RFC 6455, section 4, for both sides; the subprotocol is `mqtt` and there are no extensions.
 *
 * Invariants: sans-IO; a client goes on only after an answer that proves that the server understood (section 4.1) and
 * chose `mqtt` (MQTT-6.0.0-4); what a server says instead is told with its status.
 */
import { createHash } from "node:crypto";
import { HubwireError } from "../errors.js";
import { hasToken, type HttpHead, printable, statusOf } from "./http.js";

const SUBPROTOCOL = "mqtt";
/** Section 1.3. */
const KEY_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** What a server answers to `key`. */
export const acceptKey = (key: string): string =>
  createHash("sha1")
    .update(key + KEY_SUFFIX)
    .digest("base64");

/** The authority of a URL: an IPv6 address in brackets, and the port unless it is the usual one. */
export const authority = (host: string, port: number, usual: number | undefined): string =>
  (host.includes(":") ? `[${host}]` : host) + (port === usual ? "" : `:${port}`);

/** A client's request; `key` is 16 random bytes in base64. MQTT-6.0.0-3. */
export function upgradeRequest(host: string, path: string, key: string): string {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${key}`,
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  ];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Whether the same request may be answered otherwise later. */
export const isPassing = (status: number): boolean => status >= 500 || status === 408 || status === 429;

/** What is wrong with the server's answer; undefined where nothing is. */
export function upgradeFault(head: HttpHead, key: string, name: string): HubwireError | undefined {
  const answer = statusOf(head);
  const fault = (text: string, details = {}): HubwireError =>
    new HubwireError("ERR_WEBSOCKET", `${name} opened no WebSocket: ${text}`, details);
  if (!answer) return fault("what it answered is not HTTP");
  const { status, text } = answer;
  if (status !== 101) {
    const hint = `it answered ${status}${text && ` ${text}`}${ADVICE[status] ?? DEFAULT_ADVICE}${redirection(head)}`;
    return fault(hint, { status, retryable: isPassing(status) });
  }
  if (!hasToken(head, "upgrade", "websocket") || !hasToken(head, "connection", "upgrade")) {
    return fault("it answered 101 to another upgrade");
  }
  if (head.fields.get("sec-websocket-accept") !== acceptKey(key)) return fault("its Sec-WebSocket-Accept is wrong");
  if (head.fields.get("sec-websocket-extensions")) return fault("it chose an extension that was not offered");
  if (head.fields.get("sec-websocket-protocol") !== SUBPROTOCOL) {
    return fault(`it did not choose the subprotocol ${SUBPROTOCOL}`, { statement: "MQTT-6.0.0-4" });
  }
  return undefined;
}

const DEFAULT_ADVICE = ": check path and port";
const ADVICE: Readonly<Record<number, string>> = {
  401: ": it wants credentials in HTTP",
  403: ": it forbids it",
  404: ": check option path",
  426: ": it wants another version of HTTP or WebSocket",
  429: ": too many connections; later it may go",
  503: ": it is not available; later it may be",
};

/** Where a redirection leads, without a query, which may hold a secret. */
function redirection(head: HttpHead): string {
  const location = head.fields.get("location");
  if (location === undefined) return "";
  const bare = location.replace(/[?#].*/s, "").replace(/\/\/[^/]*@/, "//");
  return `, and points to ${printable(bare, 120)}`;
}

/** A server's answer; with `accepted` frames follow, without it the end of the connection. */
export interface UpgradeAnswer {
  readonly accepted: boolean;
  readonly response: string;
}

/** A server's answer to a request for `path`, or for any path where it is undefined. */
export function answerUpgrade(head: HttpHead, path: string | undefined): UpgradeAnswer {
  const [method, target = "", version] = head.firstLine.split(" ");
  if (version !== "HTTP/1.1") return refusal(505, "HTTP Version Not Supported");
  if (method !== "GET") return refusal(405, "Method Not Allowed", ["Allow: GET"]);
  if (path !== undefined && target.split("?")[0] !== path) return refusal(404, "Not Found");
  const upgrade = hasToken(head, "upgrade", "websocket") && hasToken(head, "connection", "upgrade");
  if (!upgrade) return refusal(426, "Upgrade Required", ["Upgrade: websocket", "Connection: Upgrade"]);
  if (head.fields.get("sec-websocket-version") !== "13") {
    return refusal(426, "Upgrade Required", ["Sec-WebSocket-Version: 13"]);
  }
  const key = head.fields.get("sec-websocket-key") ?? "";
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key) || !head.fields.has("host")) return refusal(400, "Bad Request");
  // MQTT-6.0.0-3, -4.
  if (!hasToken(head, "sec-websocket-protocol", SUBPROTOCOL)) return refusal(400, "Bad Request");
  const lines = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptKey(key)}`,
    `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  ];
  return { accepted: true, response: `${lines.join("\r\n")}\r\n\r\n` };
}

/** The answer to what is no upgrade at all. */
export function refusal(status: number, text: string, fields: readonly string[] = []): UpgradeAnswer {
  const lines = [`HTTP/1.1 ${status} ${text}`, ...fields, "Content-Length: 0", "Connection: close"];
  return { accepted: false, response: `${lines.join("\r\n")}\r\n\r\n` };
}
