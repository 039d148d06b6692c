/** What came of a run, and what the process said meanwhile. */
import type { Report } from "./report.js";
import type { Scheduler } from "./scheduler.js";

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
async function watched(report: Report, play: () => Promise<void>): Promise<void> {
  warnings = [];
  try {
    await play();
  } catch (error) {
    report.fail(`the simulation failed: ${error instanceof Error ? error.stack : String(error)}`);
  }
  if (warnings.length > 0) report.fail(warnings.join("; "));
}

/** What a program is played in. */
interface Stage<Op> {
  readonly scheduler: Scheduler;
  readonly report: Report;
  readonly rested: () => void;
  readonly failed: () => boolean;
  perform(op: Op): void;
}

/** Plays the steps of a program at their times, and then peace. */
export function played<Op>(
  world: Stage<Op>,
  steps: readonly { after: number; op: Op }[],
  peace: () => Promise<void>,
): Promise<void> {
  const { scheduler, report } = world;
  return watched(report, async () => {
    for (const { after, op } of steps) {
      await scheduler.advance(scheduler.now() + after, world.rested, world.failed);
      if (world.failed()) break;
      world.perform(op);
      await scheduler.settle();
      world.rested();
    }
    if (!world.failed()) await peace();
  });
}
