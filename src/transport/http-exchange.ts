/** One HTTP request on a stream, and the head of its answer; loaded only with what asks in HTTP. */
import type { Duplex } from "node:stream";
import { type HttpFault, type HttpHead, isInterim, responseReader } from "./http.js";
import { waitOn } from "./streams.js";

/**
 * Sends an HTTP request and resolves with the head of the answer; the stream is paused behind it. Rejects as `opened`
 * does, and with HttpFault.
 */
export function exchange(stream: Duplex, request: string, signal: AbortSignal): Promise<HttpHead> {
  let reader = responseReader();
  return waitOn(stream, signal, (done, fail) => {
    const onData = (chunk: Uint8Array): void => {
      try {
        let head = reader.push(chunk);
        while (head !== undefined && isInterim(head)) {
          reader = responseReader();
          head = reader.push(head.rest);
        }
        if (head === undefined) return;
        stream.pause();
        done(head);
      } catch (error) {
        fail(error as HttpFault);
      }
    };
    stream.on("data", onData);
    stream.write(request);
    return () => stream.off("data", onData);
  });
}
