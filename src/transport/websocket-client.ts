/**
 * The client's WebSocket (RFC 6455) above a stream; loaded only where the protocol asks for it.
 *
 * Invariants: each frame is masked with 32 bits that nobody can predict; a ping is answered once and at most one answer
 * waits; a breach by the server is answered by a close with its code, and nothing behind it is delivered.
 */
import { randomBytes, randomFillSync } from "node:crypto";
import type { Duplex } from "node:stream";
import { HubwireError } from "../errors.js";
import type { Endpoint } from "./endpoint.js";
import { HttpFault, printable } from "./http.js";
import { exchange } from "./http-exchange.js";
import { BINARY, CLOSE, closePayload, encodeFrame, FrameFault, FrameReader, NORMAL, PONG } from "./websocket-frames.js";
import { authority, upgradeFault, upgradeRequest } from "./websocket-handshake.js";

/** What a framing tells the connection above it. */
export interface FramingSink {
  /** Payload, the receiver's to keep. */
  received(bytes: Uint8Array): void;
  /** A frame of the protocol's own to be sent before long; a newer one may take its place. */
  answer(frame: Uint8Array): void;
  /** The server ended it, or broke the protocol; `frame` is to be sent before the stream is closed. */
  closed(error: HubwireError, frame: Uint8Array): void;
}

/**
 * Payload bytes of a frame at most. Many servers hand a message on when it is whole: with shorter ones they begin earlier,
 * and need less memory (`npm run bench -- websocket`: 16 KiB).
 */
const FRAME = 16 * 1024;
/** Masks are taken from the system so many at a time. */
const MASKS = 1_024;

/** Opens the WebSocket. Rejects with ERR_WEBSOCKET, which says what the server answered, or as `exchange` does. */
export async function openWebSocket(
  stream: Duplex,
  { host, port, protocol, path = "/mqtt" }: Endpoint,
  name: string,
  signal: AbortSignal,
): Promise<WebSocketFraming> {
  const key = randomBytes(16).toString("base64");
  const request = upgradeRequest(authority(host, port, protocol === "wss" ? 443 : 80), path, key);
  const fault = (text: string, retryable: boolean): HubwireError =>
    new HubwireError("ERR_WEBSOCKET", `${name} opened no WebSocket: ${text}`, { retryable });
  const head = await exchange(stream, request, signal).catch((error: unknown) => {
    if (error instanceof HttpFault) throw fault(`${error.message}: check the port, or use protocol mqtts`, false);
    if (error === undefined) throw fault("it closed the connection during the upgrade", true);
    throw error;
  });
  const refused = upgradeFault(head, key, name);
  if (refused) {
    stream.destroy();
    throw refused;
  }
  return new WebSocketFraming(head.rest);
}

export class WebSocketFraming {
  /** What came behind the server's answer. */
  readonly rest: Uint8Array;
  readonly #masks = new Uint32Array(MASKS);
  #nextMask = MASKS;
  #reader: FrameReader | undefined;
  #sink: FramingSink | undefined;

  constructor(rest: Uint8Array) {
    this.rest = rest;
  }

  /** To be called once, before `push`. */
  attach(sink: FramingSink): void {
    this.#sink = sink;
    this.#reader = new FrameReader(false, {
      data: (bytes) => sink.received(bytes),
      ping: (payload) => sink.answer(this.#frame(PONG, [payload])),
      close: (code, reason) => {
        const said = `WebSocket close ${code}${reason && `: ${printable(reason, 123)}`}`;
        const error = new HubwireError("ERR_CONNECTION_LOST", `the connection was closed by the peer (${said})`);
        sink.closed(error, this.goodbye());
      },
    });
  }

  /** Bytes of the server; what they mean goes to the sink. */
  push(chunk: Uint8Array): void {
    try {
      this.#reader?.push(chunk);
    } catch (fault) {
      if (!(fault instanceof FrameFault)) throw fault;
      const { message, statement, closeCode } = fault;
      const error = new HubwireError("ERR_PROTOCOL_VIOLATION", `the server sent ${message}`, { statement });
      this.#sink?.closed(error, this.goodbye(closeCode));
    }
  }

  /** Binary frames of what leaves together. */
  wrap(chunks: readonly Uint8Array[]): Uint8Array[] {
    const frames: Uint8Array[] = [];
    let parts: Uint8Array[] = [];
    let room = FRAME;
    for (let chunk of chunks) {
      for (; chunk.length >= room; room = FRAME) {
        frames.push(this.#frame(BINARY, [...parts, chunk.subarray(0, room)]));
        chunk = chunk.subarray(room);
        parts = [];
      }
      if (chunk.length > 0) parts.push(chunk);
      room -= chunk.length;
    }
    if (parts.length > 0) frames.push(this.#frame(BINARY, parts));
    return frames;
  }

  /** A close frame. */
  goodbye(code: number = NORMAL): Uint8Array {
    return this.#frame(CLOSE, [closePayload(code)]);
  }

  #frame(opcode: number, chunks: readonly Uint8Array[]): Uint8Array {
    if (this.#nextMask === MASKS) {
      randomFillSync(this.#masks);
      this.#nextMask = 0;
    }
    return encodeFrame(opcode, chunks, this.#masks[this.#nextMask++]);
  }
}
