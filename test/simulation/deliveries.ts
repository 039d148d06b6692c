/**
 * Judges the messages to the user: none to a live subscription is lost or doubled against its QoS, none is acknowledged
 * before its handler is done, acknowledgements keep the order of arrival.
 *
 * A subscription is live from the moment at which `subscribe` resolved to the moment at which somebody asked for its end:
 * in between, each message that the server sent first is owed to it. Before and after, it may get messages and need not.
 */
import type { Copy } from "./broker.js";
import { matches } from "./broker.js";
import type { Line } from "./line.js";
import type { Handler, ProgramOptions } from "./program.js";
import type { Report } from "./report.js";
import type { Scheduler } from "./scheduler.js";

/** A subscription of the user's, as far as those who judge are concerned. */
export interface Sub {
  readonly id: number;
  readonly filter: string;
  readonly handler: Handler | undefined;
  /** `subscribe` has resolved, and nobody asked for its end. */
  live: boolean;
  /** `unsubscribe` has resolved: its handler gets nothing any more. */
  over: boolean;
}

interface Start {
  at: number;
}

interface Got {
  times: number;
  /** Handlers that failed with it, and that took too long. */
  failures: number;
  late: number;
  /** When the handlers began that are not done: one, and those that took too long. */
  starts: Set<Start>;
  /** The one that began last. */
  last: Start;
  outcome: "" | "taken" | "failed";
  /** When the last handler was done, ms. */
  doneAt: number;
}

interface Sending {
  copy: Copy;
  owed: Sub[];
  end: number;
  number: number;
}

export class Deliveries {
  readonly subs: Sub[] = [];
  delivered = 0;
  readonly #report: Report;
  readonly #scheduler: Scheduler;
  readonly #options: ProgramOptions;
  readonly #copies = new Map<
    number,
    { copy: Copy; owed: Sub[]; got: Map<Sub, Got>; lastNumber: number; sentAt: number }
  >();
  /** QoS 0 messages on their way, by line. */
  readonly #underWay = new Map<Line, Sending[]>();
  /** Order of transmission of what the client has to acknowledge, by line. */
  readonly #order = new Map<Line, Map<Copy, number>>();
  readonly #lastAcknowledged = new Map<Line, number>();
  readonly #busy = new Set<Got>();
  readonly #unreliable = new Set<Line>();
  /** Bytes that the client had received when a line was opened. */
  readonly #before = new Map<Line, number>();
  #number = 0;

  constructor(report: Report, scheduler: Scheduler, options: ProgramOptions) {
    this.#report = report;
    this.#scheduler = scheduler;
    this.#options = options;
  }

  isUnreliable(line: Line): boolean {
    return this.#unreliable.has(line);
  }

  opened(line: Line, received: number): void {
    this.#before.set(line, received);
  }

  /** The line carries what is no MQTT: what follows is owed to nobody. */
  misbehaved(line: Line): void {
    this.#unreliable.add(line);
  }

  sending(copy: Copy, line: Line, end: number): void {
    const number = ++this.#number;
    let known = this.#copies.get(copy.id);
    if (known === undefined) {
      const owed = this.subs.filter((sub) => sub.live && matches(sub.filter, copy.topic));
      this.#copies.set(copy.id, (known = { copy, owed, got: new Map(), lastNumber: 0, sentAt: 0 }));
    }
    known.lastNumber = number;
    known.sentAt = this.#scheduler.now();
    if (copy.qos === 0) entry(this.#underWay, line, () => []).push({ copy, owed: known.owed, end, number });
    else entry(this.#order, line, () => new Map<Copy, number>()).set(copy, number);
  }

  /** A handler is called with a message, or an iterator handed it out. To be called when that is done with it. */
  received(sub: Sub, id: number, dup: boolean): (taken: boolean) => void {
    this.delivered++;
    const known = this.#copies.get(id);
    if (known === undefined) {
      this.#report.fail(`subscription ${sub.id} got message ${id}, which nobody sent`);
      return () => {};
    }
    const { copy, lastNumber } = known;
    this.#report.log(`subscription ${sub.id} gets message ${id} (QoS ${copy.qos}${dup ? ", DUP" : ""})`);
    this.#report.check(matches(sub.filter, copy.topic), () => `message ${id} on ${copy.topic} went to ${sub.filter}`);
    if (sub.over && sub.handler)
      this.#report.fail(`subscription ${sub.id} got message ${id} after unsubscribe had resolved`);
    const start = { at: this.#scheduler.now() };
    const got = entry(known.got, sub, () => ({
      times: 0,
      failures: 0,
      late: 0,
      starts: new Set<Start>(),
      last: start,
      outcome: "" as const,
      doneAt: Infinity,
    }));
    got.times++;
    got.starts.add((got.last = start));
    this.#busy.add(got);
    got.outcome = "";
    let failures = 0;
    for (const other of known.got.values()) failures += other.failures + other.late + this.#lateOf(other);
    const most = copy.qos === 2 ? 1 + failures : copy.transmissions;
    this.#report.check(
      got.times <= most,
      () => `subscription ${sub.id} got message ${id} (QoS ${copy.qos}) ${got.times} times`,
    );
    if (sub.handler && sub.handler.style === "return") {
      const newest = this.#newest.get(sub) ?? 0;
      this.#report.check(lastNumber >= newest, () => `subscription ${sub.id} got message ${id} out of order`);
      this.#newest.set(sub, Math.max(newest, lastNumber));
    }
    return (taken) => this.#finished(got, start, taken);
  }

  #finished(got: Got, start: Start, taken: boolean): void {
    got.starts.delete(start);
    if (got.starts.size === 0) this.#busy.delete(got);
    if (this.#isLate(start)) return void got.late++;
    got.outcome = taken ? "taken" : "failed";
    got.doneAt = this.#scheduler.now();
    if (!taken) got.failures++;
  }

  readonly #newest = new Map<Sub, number>();

  /** PUBACK or PUBREC of a message arrived at the server. */
  acknowledged(copy: Copy, line: Line): void {
    const { cleanSession } = this.#options;
    const known = this.#copies.get(copy.id);
    const number = this.#order.get(line)?.get(copy);
    if (known === undefined || number === undefined) return;
    const last = this.#lastAcknowledged.get(line) ?? 0;
    this.#report.check(number > last, () => `message ${copy.id} was acknowledged out of order`);
    this.#lastAcknowledged.set(line, number);
    for (const sub of known.owed) {
      if (!sub.live) continue;
      const got = known.got.get(sub);
      const what = `message ${copy.id} (QoS ${copy.qos})`;
      if (got === undefined) {
        return this.#report.fail(`${what} was acknowledged, and subscription ${sub.id} to ${sub.filter} never got it`);
      }
      if (sub.handler === undefined) continue;
      // One that works on an earlier transmission is not waited for.
      if (got.starts.has(got.last) && !this.#isLate(got.last)) {
        this.#report.fail(`${what} was acknowledged while the handler of subscription ${sub.id} was still busy`);
      }
      if (got.outcome === "failed" && !cleanSession) {
        this.#report.fail(`${what} was acknowledged, and the handler of subscription ${sub.id} had failed`);
      }
    }
  }

  /** The process is at rest: what the client has taken in must have been delivered. `received`: bytes, on all lines. */
  rested(received: () => number): void {
    for (const [line, list] of this.#underWay) {
      if (list.length === 0 && !line.over) continue;
      const consumed = received() - this.#before.get(line)!;
      while (list.length > 0 && list[0]!.end <= consumed) {
        const { copy, owed } = list.shift()!;
        if (this.#unreliable.has(line) || line.left) continue;
        for (const sub of owed) {
          if (!sub.live || sub.handler === undefined) continue;
          this.#report.check(
            this.#copies.get(copy.id)!.got.has(sub),
            () => `message ${copy.id} (QoS 0) was read, and subscription ${sub.id} to ${sub.filter} never got it`,
          );
        }
      }
      if (line.over) this.#underWay.delete(line);
    }
  }

  /** Whether every live subscription that it is owed to got this message. */
  missing(copy: Copy): Sub | undefined {
    const known = this.#copies.get(copy.id);
    return known?.owed.find((sub) => sub.live && !known.got.has(sub));
  }

  /** Whether some handler is at work and has time left: it may well hold up what came after its message. */
  get isBusy(): boolean {
    for (const got of this.#busy) {
      if (this.#isAtWork(got)) return true;
      this.#busy.delete(got);
    }
    return false;
  }

  /** Whether a handler has failed with, or took too long over, a message that the server therefore still has. */
  isRefused(copy: Copy): boolean {
    const all = [...(this.#copies.get(copy.id)?.got.values() ?? [])];
    const isBusy = all.some((got) => this.#isAtWork(got));
    return !isBusy && all.some((got) => got.failures + got.late + this.#lateOf(got) > 0);
  }

  /** Whether all who got it were done with it in time, so that it must be acknowledged when those before it are. */
  isTaken(copy: Copy): boolean {
    const { got, sentAt } = this.#copies.get(copy.id)!;
    const last = sentAt + this.#options.handlerTimeout;
    return got.size > 0 && [...got.values()].every(({ outcome, doneAt }) => outcome === "taken" && doneAt < last);
  }

  #isLate({ at }: Start): boolean {
    return this.#scheduler.now() - at >= this.#options.handlerTimeout;
  }

  /** Handlers that have taken too long and are not done. */
  #lateOf({ starts }: Got): number {
    return [...starts].filter((start) => this.#isLate(start)).length;
  }

  /** Whether a handler is at work and has time left. */
  #isAtWork(got: Got): boolean {
    return this.#lateOf(got) < got.starts.size;
  }
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
