/** What came of a run, and what the process said meanwhile. */
import type { Report } from "./report.js";

export interface Outcome {
  fault: string | undefined;
  /** Events of the simulation. */
  steps: number;
  /** What the network and the server did wrong. */
  faults: number;
  /** Calls of the user's. */
  calls: number;
  /** Messages that handlers and loops got. */
  delivered: number;
  trace: string[];
}

let warnings: string[] = [];
process.on("warning", (warning) => warnings.push(`process warning: ${warning.name} ${warning.message}`));
process.on("unhandledRejection", (error) => warnings.push(`unhandled rejection: ${String(error)}`));
process.on("uncaughtException", (error) => warnings.push(`uncaught exception: ${error?.stack ?? String(error)}`));

/** Plays; what is thrown or warned of is a fault. */
export async function watched(report: Report, play: () => Promise<void>): Promise<void> {
  warnings = [];
  try {
    await play();
  } catch (error) {
    report.fail(`the simulation failed: ${error instanceof Error ? error.stack : String(error)}`);
  }
  if (warnings.length > 0) report.fail(warnings.join("; "));
}
