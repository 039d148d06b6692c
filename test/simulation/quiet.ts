/** What Node prints of a warning is in the simulation's report; must be imported first. */
process.removeAllListeners("warning");
