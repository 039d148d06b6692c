/**
 * A server's side of MQTT over WebSocket: the upgrade, then frames.
 *
 * Invariants: sans-IO; a request is bounded before it is whole; nothing is delivered before the upgrade was answered, and
 * nothing behind a close or a breach; of the pings in one chunk only the newest is answered, so a flood of them costs its
 * sender more than it gets.
 */
import { hasToken, HttpFault, type HttpHead, HttpHeadReader } from "./http.js";
import { BINARY, CLOSE, closePayload, encodeFrame, FrameFault, FrameReader, NORMAL, PONG } from "./websocket-frames.js";
import { acceptKey, SUBPROTOCOL } from "./websocket-handshake.js";

/** The first byte of a client that wants a WebSocket; MQTT's first is 0x10. */
export const FIRST_BYTE = 0x47;

/** Bytes of a request's head. */
const HEAD_LIMIT = 8 * 1024;

/** What the server's side tells its owner. */
export interface WebSocketServerSink {
  /** MQTT bytes of the client; the receiver's to keep. */
  received(bytes: Uint8Array): void;
  /** To be sent at once. */
  write(bytes: Uint8Array): void;
  /** The last of it: to be sent, and the stream closed behind it. */
  over(bytes: Uint8Array): void;
}

export class WebSocketServer {
  readonly #path: string | undefined;
  readonly #now: () => number;
  readonly #sink: WebSocketServerSink;
  readonly #request = new HttpHeadReader(["GET "], HEAD_LIMIT);
  readonly #reader: FrameReader;
  #phase: "request" | "open" | "over" = "request";
  #pong: Uint8Array | undefined;

  /** `path`: the only one that is served; undefined serves all. `now`: ms since the epoch, for the answer's Date. */
  constructor(path: string | undefined, now: () => number, sink: WebSocketServerSink) {
    this.#path = path;
    this.#now = now;
    this.#sink = sink;
    this.#reader = new FrameReader(true, {
      data: (bytes) => {
        // The owner may have ended it for what came before in the same chunk.
        if (this.#phase === "open") sink.received(bytes);
      },
      ping: (payload) => (this.#pong = encodeFrame(PONG, [payload])),
      close: () => this.#end(NORMAL),
    });
  }

  /** Bytes of the client, the first of which is FIRST_BYTE. */
  push(chunk: Uint8Array): void {
    if (this.#phase === "over") return;
    const frames = this.#phase === "request" ? this.#upgrade(chunk) : chunk;
    if (frames === undefined || frames.length === 0) return;
    try {
      this.#reader.push(frames);
    } catch (fault) {
      if (!(fault instanceof FrameFault)) throw fault;
      this.#end(fault.closeCode);
    }
    if (this.#pong && this.#phase === "open") this.#sink.write(this.#pong);
    this.#pong = undefined;
  }

  /** A frame of what leaves together. */
  frame(chunks: readonly Uint8Array[]): Uint8Array {
    return encodeFrame(BINARY, chunks);
  }

  /** Ends it in good order; before the upgrade there is nobody to say goodbye to. */
  close(): void {
    if (this.#phase === "request") this.#answer(refusal(503, "Service Unavailable"));
    else this.#end(NORMAL);
  }

  /** The client's request; returns what came behind it once it is whole. */
  #upgrade(chunk: Uint8Array): Uint8Array | undefined {
    try {
      const head = this.#request.push(chunk);
      if (head === undefined) return undefined;
      this.#answer(answerUpgrade(head, this.#path));
      return this.#phase === "open" ? head.rest : undefined;
    } catch (fault) {
      if (!(fault instanceof HttpFault)) throw fault;
      this.#answer(refusal(400, "Bad Request"));
      return undefined;
    }
  }

  #answer({ accepted, response }: UpgradeAnswer): void {
    this.#phase = accepted ? "open" : "over";
    const date = `\r\nDate: ${new Date(this.#now()).toUTCString()}\r\n`;
    const bytes = Buffer.from(response.replace("\r\n", date), "latin1");
    if (accepted) this.#sink.write(bytes);
    else this.#sink.over(bytes);
  }

  #end(code: number): void {
    if (this.#phase !== "open") return;
    this.#phase = "over";
    this.#sink.over(encodeFrame(CLOSE, [closePayload(code)]));
  }
}

/** A server's answer; with `accepted` frames follow, without it the end of the connection. */
interface UpgradeAnswer {
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
