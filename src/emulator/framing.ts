/**
 * MQTT bare or in a WebSocket on one port: told apart by the first byte.
 *
 * Invariant: a client that asks for a WebSocket hears HTTP, all others hear MQTT and nothing else.
 */
import { FIRST_BYTE, WebSocketServer } from "../transport/websocket-server.js";

/** Where devices find MQTT over WebSocket. */
const PATH = "/$iothub/websocket";

/** What lies on both sides of the framing. */
export interface FramingOwner {
  /** MQTT bytes of the client. */
  received(bytes: Uint8Array): void;
  write(bytes: Uint8Array): void;
  /** The framing's last bytes are written: the stream is to be ended. */
  over(): void;
}

export class ServerFraming {
  readonly #owner: FramingOwner;
  readonly #now: () => number;
  #webSocket: WebSocketServer | undefined;
  #begun = false;

  /** `now`: ms since the epoch. */
  constructor(owner: FramingOwner, now: () => number) {
    this.#owner = owner;
    this.#now = now;
  }

  /** Bytes of the client. */
  push(chunk: Uint8Array): void {
    const owner = this.#owner;
    if (!this.#begun && chunk[0] === FIRST_BYTE) {
      this.#webSocket = new WebSocketServer(PATH, this.#now, {
        received: (bytes) => owner.received(bytes),
        write: (bytes) => owner.write(bytes),
        over: (bytes) => {
          owner.write(bytes);
          owner.over();
        },
      });
    }
    this.#begun ||= chunk.length > 0;
    if (this.#webSocket === undefined) owner.received(chunk);
    else this.#webSocket.push(chunk);
  }

  /** What is to be written for MQTT's chunks. */
  wrap(chunks: readonly Uint8Array[]): readonly Uint8Array[] {
    return this.#webSocket === undefined ? chunks : [this.#webSocket.frame(chunks)];
  }

  /** Says goodbye, and calls `over` then; false where MQTT needs none. */
  close(): boolean {
    this.#webSocket?.close();
    return this.#webSocket !== undefined;
  }
}
