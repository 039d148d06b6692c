/**
 * From an endpoint to a stream on which MQTT can flow: the caller's own connection, a tunnel through a proxy, or TCP;
 * above it TLS and WebSocket, where the protocol says so.
 *
 * Invariants: nothing is sent in the clear unless the protocol is `mqtt` or `ws`; whatever fails or comes too late is
 * destroyed, with an ear for its errors; what is thrown is a HubwireError.
 */
import type { Duplex } from "node:stream";
import { HubwireError } from "../errors.js";
import type { Endpoint } from "./endpoint.js";
import { explainFailure, type Stage } from "./failures.js";
import { connectTcp, opened, quieten } from "./streams.js";
import { secure } from "./tls.js";
import type { TlsSessions } from "./tls-sessions.js";
import type { WebSocketFraming } from "./websocket-client.js";

/** A stream that is ready for MQTT, in frames or bare. */
export interface Line {
  readonly stream: Duplex;
  readonly framing: WebSocketFraming | undefined;
  /** To be called once the peer has answered: the TLS session may be resumed. */
  readonly proven: (() => void) | undefined;
}

/** Connects. `signal` ends it, and destroys what has been made. @throws HubwireError */
export async function dial(endpoint: Endpoint, sessions: TlsSessions, signal: AbortSignal): Promise<Line> {
  const { host, port, protocol, createConnection, proxy } = endpoint;
  const name = createConnection ? "the connection" : `${host}:${port}`;
  const secured = protocol === "mqtts" || protocol === "wss";
  let stage: Stage = "dial";
  let stream: Duplex | undefined;
  let proven: (() => void) | undefined;
  try {
    if (createConnection) stream = await callersConnection(endpoint, signal);
    else if (proxy !== undefined) stream = await (await import("./proxy.js")).throughProxy(endpoint, signal);
    if (secured) {
      stage = "handshake";
      const made = secure(host, port, endpoint.tls, stream, sessions);
      stream = made.socket;
      proven = made.proven;
      await opened(stream, "secureConnect", signal);
    } else if (stream) await opened(stream, "connect", signal);
    else stream = await connectTcp(host, port, signal);
    if (protocol === "mqtts" || protocol === "mqtt") return { stream, framing: undefined, proven };
    stage = "open";
    const { openWebSocket } = await import("./websocket-client.js");
    return { stream, framing: await openWebSocket(stream, endpoint, name, signal), proven };
  } catch (error) {
    stream?.destroy();
    throw explainFailure(error, name, stage);
  }
}

/** The caller's stream. After an abort nobody waits for it, and it is destroyed when it comes. */
function callersConnection({ host, port, createConnection }: Endpoint, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error));
    const take = (stream: Duplex): void => {
      if (![stream?.pipe, stream?.write, stream?.destroy].every((method) => typeof method === "function")) {
        throw new HubwireError("ERR_UNREACHABLE", "createConnection gave no Duplex, and no promise of one");
      }
      // Whoever uses it next listens too; until then, and after that, a failure must not end the process.
      quieten(stream);
      if (signal.aborted) stream.destroy();
      else resolve(stream);
    };
    // What it throws at once is a rejection too.
    new Promise<Duplex>((made) => made(createConnection?.({ host, port, signal }) as Duplex | Promise<Duplex>))
      .then(take)
      .catch(reject);
  });
}
