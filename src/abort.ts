/**
 * AbortSignals, the one way in which a caller ends its waiting.
 *
 * Invariants: a signal is checked before it is used, so that one that is none is ERR_INVALID_ARGUMENT; one listener a
 * signal is enough, however many calls and clients share it, so that Node has no leak to warn of.
 */
import { attempt, invalid } from "./check.js";
import { HubwireError } from "./errors.js";

/** The error of a call that its signal ended. */
export const aborted = (signal: AbortSignal): HubwireError =>
  new HubwireError("ERR_ABORTED", "aborted by its signal", { cause: signal.reason });

/** Throws ERR_INVALID_ARGUMENT where `signal` is there and is no AbortSignal. */
export function checkSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal === undefined) return;
  if (!attempt(() => isSignal(signal), false)) throw invalid("signal must be an AbortSignal");
}

/** By its parts, because another copy of the class, e.g. a polyfill's, does as well. */
function isSignal(signal: unknown): boolean {
  const { aborted, addEventListener, removeEventListener } = (signal ?? {}) as Partial<AbortSignal>;
  return (
    typeof aborted === "boolean" && typeof addEventListener === "function" && typeof removeEventListener === "function"
  );
}

/** Throws ERR_INVALID_ARGUMENT where `signal` is none, ERR_ABORTED where it is aborted already. */
export function throwIfAborted(signal: unknown): void {
  checkSignal(signal);
  if (signal?.aborted) throw aborted(signal);
}

interface Shared {
  readonly listeners: Set<() => void>;
  readonly heard: () => void;
}

/** Signals that are listened to: a program may give one to all its calls and clients. */
const shared = new WeakMap<AbortSignal, Shared>();

/** Calls `listener` when `signal` is aborted. Throws ERR_INVALID_ARGUMENT for one of a caller's own that cannot do that. */
export function listenTo(signal: AbortSignal, listener: () => void): void {
  const known = shared.get(signal);
  if (known) return void known.listeners.add(listener);
  const listeners = new Set([listener]);
  const heard = (): void => {
    shared.delete(signal);
    for (const each of listeners) each();
  };
  try {
    signal.addEventListener("abort", heard, { once: true });
  } catch {
    throw invalid("signal must be an AbortSignal: its addEventListener failed");
  }
  shared.set(signal, { listeners, heard });
}

/** Ends what `listenTo` began. */
export function unlisten(signal: AbortSignal, listener: () => void): void {
  const known = shared.get(signal);
  if (!known) return;
  known.listeners.delete(listener);
  if (known.listeners.size > 0) return;
  shared.delete(signal);
  try {
    signal.removeEventListener("abort", known.heard);
  } catch {
    // The fault of a signal of the caller's own. The call is over, so its listener finds nothing to end.
  }
}

/** Runs `operation` unless and until `signal` is aborted, which rejects with ERR_ABORTED. */
export function abortable<T>(signal: AbortSignal | undefined, operation: Promise<T>): Promise<T> {
  if (!signal) return operation;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(aborted(signal));
    listenTo(signal, abort);
    operation.then(resolve, reject).finally(() => unlisten(signal, abort));
    if (signal.aborted) abort();
  });
}
