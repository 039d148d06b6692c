/**
 * The one way in which events leave.
 *
 * Invariants: a listener that throws reaches neither the session nor the socket; an `error` that nobody listens to is
 * a process warning and does not end the process.
 */
import type { EventEmitter } from "node:events";
import { HubwireError } from "./errors.js";

/** Emits `event`; a listener's own error becomes an `error` event, or a warning where that fails too. */
export function emitSafely(emitter: EventEmitter, event: string, ...values: readonly unknown[]): void {
  try {
    if (event === "error" && emitter.listenerCount("error") === 0) process.emitWarning(values[0] as Error);
    else emitter.emit(event, ...values);
  } catch (cause) {
    const error = new HubwireError("ERR_HANDLER", `a listener of "${event}" failed`, { cause });
    if (event === "error") process.emitWarning(error);
    else emitSafely(emitter, "error", error);
  }
}
