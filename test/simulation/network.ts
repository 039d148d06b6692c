/** The network between the client and the server: attempts at connections, the lines that come of them, and their faults. */
import type { Duplex } from "node:stream";
import type { Broker } from "./broker.js";
import { type Conditions, Line } from "./line.js";
import type { WorldOp } from "./program.js";
import type { Report } from "./report.js";
import type { Scheduler } from "./scheduler.js";

export const PEACE: Conditions = { latency: 5, rate: Infinity, capacity: 1e6, pieces: [] };

const failure = (code: string): Error => Object.assign(new Error("the simulated network"), { code });

export class Network {
  readonly lines: Line[] = [];
  readonly #scheduler: Scheduler;
  readonly #report: Report;
  readonly #broker: Broker;
  readonly #opened: (line: Line) => void;
  #conditions: Conditions = PEACE;
  #dials: { how: "refuse" | "never" | "late" | "throw"; times: number }[] = [];
  #downUntil = 0;

  /** `opened` hears of each line before the client has it. */
  constructor(scheduler: Scheduler, report: Report, broker: Broker, opened: (line: Line) => void) {
    this.#scheduler = scheduler;
    this.#report = report;
    this.#broker = broker;
    this.#opened = opened;
  }

  /** Does what the network is told to; false: it was nothing of the network's. */
  disturb(op: WorldOp): boolean {
    const broker = this.#broker;
    const { line } = broker;
    switch (op.do) {
      case "cut":
        if (op.how === "end") broker.drop();
        else if (op.how === "reset") line?.reset();
        else this.lines.at(-1)?.vanish();
        return true;
      case "cut after":
        line?.breakAfter(op.way, op.bytes);
        return true;
      case "stall":
        this.lines.at(-1)?.stall(op.way, op.ms);
        return true;
      case "line":
        this.#conditions = op;
        if (line) line.conditions = op;
        return true;
      case "dial":
        this.#dials.push({ how: op.how, times: op.times });
        return true;
      case "down":
        broker.drop();
        this.#downUntil = this.#scheduler.now() + op.ms;
        return true;
      default:
        return false;
    }
  }

  /** `createConnection` of the client. */
  dial(): Duplex | Promise<Duplex> {
    const scheduler = this.#scheduler;
    scheduler.touch();
    const next = this.#dials.find(({ times }) => times > 0);
    const down = scheduler.now() < this.#downUntil;
    const how = down ? "refuse" : next?.how;
    if (next && !down) next.times--;
    this.#report.log(`connection attempt${how ? `: ${how}` : ""}`);
    if (how === "throw") throw failure("EACCES");
    if (how === "never") return new Promise(() => {});
    return new Promise((resolve, reject) => {
      const { latency } = this.#conditions;
      scheduler.after(how === "late" ? 15_000 : latency, () => {
        scheduler.touch();
        if (how === "refuse") return reject(failure("ECONNREFUSED"));
        const line = new Line(scheduler, this.#conditions);
        this.lines.push(line);
        this.#broker.accept(line);
        this.#opened(line);
        resolve(line.end);
      });
    });
  }

  /** Everything is well from now on; what was wrong is mended. */
  heal(): void {
    this.#conditions = PEACE;
    this.#dials = [];
    this.#downUntil = 0;
    for (const line of this.lines) line.heal(PEACE);
  }
}
