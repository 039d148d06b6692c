/**
 * The opening handshake of RFC 6455, section 4, as a client needs it; the subprotocol is `mqtt` and there are no extensions.
 *
 * Invariants: sans-IO; a client goes on only after an answer that proves that the server understood (section 4.1) and
 * chose `mqtt` (MQTT-6.0.0-4); what a server says instead is told with its status.
 */
import { createHash } from "node:crypto";
import { HubwireError } from "../errors.js";
import { hasToken, type HttpHead, isPassing, printable, statusOf } from "./http.js";

export const SUBPROTOCOL = "mqtt";
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
