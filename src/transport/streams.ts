/**
 * Waiting on a stream that is not open yet.
 *
 * Invariants: each wait ends: with what was waited for, with the stream's failure or end, or with the signal; a stream
 * that failed or came too late is destroyed, and its later errors are heard.
 */
import type { Duplex } from "node:stream";
import { builtin } from "../builtin.js";
import { begin } from "./failures.js";

const ignored = (): void => {};

/** From now on a failure of the stream, whoever else hears it, does not end the process. */
export function quieten(stream: Duplex): void {
  // One function for all: a closure would keep alive what the attempt needed.
  if (!stream.listeners("error").includes(ignored)) stream.on("error", ignored);
}

/** Ends a wait. `error` undefined: the stream has ended. */
type Fail = (error?: unknown) => void;

/** Waits until `start`, which is given both outcomes and returns what stops it, has called one of them. */
export function waitOn<T>(
  stream: Duplex,
  signal: AbortSignal,
  start: (done: (value: T) => void, fail: Fail) => () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      stopStep();
      signal.removeEventListener("abort", abort);
      stream.off("error", fail).off("end", ended).off("close", ended);
    };
    const fail: Fail = (error) => {
      stop();
      stream.destroy();
      reject(error as Error);
    };
    const ended = (): void => fail(stream.errored ?? undefined);
    const abort = (): void => fail(signal.reason);
    quieten(stream);
    stream.once("error", fail).once("end", ended).once("close", ended);
    signal.addEventListener("abort", abort, { once: true });
    const stopStep = start((value) => {
      stop();
      resolve(value);
    }, fail);
    if (signal.aborted) abort();
    else if (stream.destroyed) ended();
  });
}

/** Resolves when `event` has happened. Rejects with the stream's error, or undefined where it just ended. */
export function opened(stream: Duplex, event: "connect" | "secureConnect", signal: AbortSignal): Promise<void> {
  // Output leaves in batches of the client's own making; Nagle's algorithm would only delay them.
  (stream as { setNoDelay?: (on: boolean) => void }).setNoDelay?.(true);
  // A stream that is none of `node:net`, or was connected before.
  if (event === "connect" && !(stream as { connecting?: boolean }).connecting && !stream.destroyed) {
    quieten(stream);
    return signal.aborted ? Promise.reject(signal.reason as Error) : Promise.resolve();
  }
  return waitOn(stream, signal, (done) => {
    const happened = (): void => done(undefined);
    stream.once(event, happened);
    return () => stream.off(event, happened);
  });
}

/** A TCP connection. Rejects as `opened` does. */
export async function connectTcp(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
  const socket = begin(() => builtin("net").connect({ host, port }));
  await opened(socket, "connect", signal);
  return socket;
}
