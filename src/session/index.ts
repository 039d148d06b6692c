export { SessionStore } from "./journal.js";
export { Session } from "./session.js";
export type { SessionState } from "./session.js";
export type {
  ConnectOptions,
  Direction,
  Message,
  QueueOverflow,
  SessionMetrics,
  SessionOptions,
  SessionSink,
  Trace,
} from "./types.js";
