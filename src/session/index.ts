export { Asking, Publication, SUBACK, UNSUBACK } from "./exchange.js";
export { SessionStore } from "./journal.js";
export { Route } from "./route.js";
export { Session } from "./session.js";
export type { SessionState } from "./session.js";
export type {
  ConnectOptions,
  Direction,
  Message,
  QueueOverflow,
  SessionEvent,
  SessionMetrics,
  SessionOptions,
  SessionSink,
  Trace,
} from "./types.js";
