/** Must be imported first. What Node prints of a warning is in the simulation's report. */
process.removeAllListeners("warning");
/** Half of the time of a run would go into stack traces that nobody reads. */
Error.stackTraceLimit = 0;

declare global {
  /** What the client has done so far: calls of its functions and rounds of its loops, where they are counted (count.mjs). */
  var hubwireWork: number;
}
globalThis.hubwireWork = 0;

/** What a judge reads of the client is no work of the client's. */
export function aside<T>(read: () => T): T {
  const before = globalThis.hubwireWork;
  try {
    return read();
  } finally {
    globalThis.hubwireWork = before;
  }
}
