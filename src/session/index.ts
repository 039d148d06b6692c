export { Session } from "./session.js";
export type { SessionState } from "./session.js";
export type * from "./types.js";
