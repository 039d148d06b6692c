/** Must be imported first. What Node prints of a warning is in the simulation's report. */
process.removeAllListeners("warning");
/** Half of the time of a run would go into stack traces that nobody reads. */
Error.stackTraceLimit = 0;
