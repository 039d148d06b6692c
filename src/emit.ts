/**
 * The one way in which events leave.
 *
 * Invariants: a listener that throws reaches neither the session nor the socket; an `error` that nobody listens to is
 * a process warning and does not end the process; what is no listener, or listens to what never comes, is refused as any
 * wrong argument is.
 */
import { EventEmitter } from "node:events";
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

/** Those methods of an emitter that take a listener. */
const TAKERS = [
  "on",
  "once",
  "off",
  "addListener",
  "removeListener",
  "prependListener",
  "prependOnceListener",
] as const;

/** The events of every client. */
export const CLIENT_EVENTS = ["connect", "disconnect", "reconnecting", "error"];
/** What the platform's emitter tells of itself. */
const OWN = ["newListener", "removeListener"];

type EmitterClass = new <T extends Record<keyof T, unknown[]>>(
  owner: string,
  events: readonly string[],
  meant?: Record<string, string>,
) => EventEmitter<T>;

function emitterClass(): EmitterClass {
  class Emitter<T extends Record<keyof T, unknown[]>> extends EventEmitter<T> {
    /** `meant`: what to call in place of an event that other clients have. */
    constructor(owner: string, events: readonly string[], meant: Record<string, string> = {}) {
      super();
      const refuse = (name: string | symbol): void => {
        if (typeof name === "symbol" || events.includes(name) || OWN.includes(name)) return;
        const instead = Object.hasOwn(meant, name) ? `call ${meant[name]}` : `there are: ${events.join(", ")}`;
        // Whatever a caller without types hands over.
        const shown = typeof name === "string" ? JSON.stringify(name).slice(0, 60) : `that is a ${typeof name}`;
        throw new HubwireError("ERR_INVALID_ARGUMENT", `${owner} has no event ${shown}; ${instead}`);
      };
      super.on("newListener" as never, refuse as never);
    }
  }
  for (const name of TAKERS) {
    const method = EventEmitter.prototype[name];
    const value = function (this: EventEmitter, event: string | symbol, listener: () => void): EventEmitter {
      if (typeof listener !== "function") {
        throw new HubwireError("ERR_INVALID_ARGUMENT", `the listener given to ${name} must be a function`);
      }
      return method.call(this, event, listener);
    };
    Object.defineProperty(Emitter.prototype, name, { value, writable: true, configurable: true });
  }
  return Emitter;
}

/**
 * The platform's emitter, but that what is no listener and an event that does not exist
 * are ERR_INVALID_ARGUMENT (policy 2).
 */
export const Emitter = /* @__PURE__ */ emitterClass();
