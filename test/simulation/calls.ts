/**
 * Judges the user's calls: each settles once, in its time, and with an error only where that error is true.
 *
 * Invariant: a bound here is one that the documentation states, plus a second for timers that round.
 */
import { DOUBTS } from "./faults.js";
import type { Report } from "./report.js";
import type { ProgramOptions } from "./program.js";
import type { Scheduler } from "./scheduler.js";
import { code } from "./subject.js";

export type CallName =
  | "connect"
  | "publish"
  | "subscribe"
  | "unsubscribe"
  | "end"
  | "reconnect"
  | "close"
  | "next"
  // Of a device only.
  | "listen"
  | "twin"
  | "report";

/** What is right for a client of its kind. */
export interface CallRules {
  /** ms within which a call must have ended; Infinity: it need not. */
  bound(call: Call): number;
  /** Why it cannot have ended with that code; empty where it can. */
  untrue(call: Call, code: string): string;
}

export interface Call {
  id: number;
  name: CallName;
  at: number;
  settled: boolean;
  /** Connections that had been accepted before it. */
  connects: number;
  /** The code of the error that it ended with; empty where it went well. */
  code: string;
  qos: number;
  size: number;
  poison: boolean;
  /** The arguments are wrong. */
  wrong: boolean;
  signal: AbortSignal | undefined;
  timeout: number | undefined;
  force: boolean;
}

/** What is true of the world; what an error says is held against it. */
export interface Facts {
  /** Connections that the client said were accepted. */
  connects: number;
  closeAsked: boolean;
  closed: boolean;
  /** The server closed, or refused, because of what it found in CONNECT. */
  refusedIdentity: boolean;
  /** The server refused a subscription. */
  refusedFilters: Set<string>;
  storeFailed: boolean;
  /** The least payload that the server ever closed on. */
  limit: number;
  /** Accepted connections that the client did not end, where the server closed some on a PUBLISH, whichever it was. */
  endings: () => number;
  /** The same where it closed some on a SUBSCRIBE or UNSUBSCRIBE. */
  requestEndings: () => number;
  /** Nothing has been wrong with the network or the server so far, nothing that an answer could be late for. */
  isCalm: boolean;
  /** A session ended while messages were on their way. */
  sessionsLost: number;
}

/** At the begin of a run. */
export const newFacts = (endings: () => number, requestEndings: () => number): Facts => ({
  connects: 0,
  closeAsked: false,
  closed: false,
  refusedIdentity: false,
  refusedFilters: new Set(),
  storeFailed: false,
  limit: Infinity,
  isCalm: true,
  endings,
  requestEndings,
  sessionsLost: 0,
});

const SLACK = 1_000;
/** ms that DISCONNECT may take to leave, and the peer then to close. */
const LEAVING = 5_250;
const DEFAULT_CONNECT = 30_000;
const DEFAULT_DRAIN = 5_000;
const DEFAULT_AGE = 600_000;
/** What a call may end with because the client gave up, or because `reconnect` is off. */
const CONNECTION =
  /^ERR_(CONNECTION_|UNREACHABLE|CONNECT_TIMEOUT|NOT_CONNECTED|KEEP_ALIVE|SERVER_UNAVAILABLE|BAD_CRED|NOT_AUTH|IDENTIFIER|PROTOCOL|MALFORMED|TAKEOVER|ABORTED|TIMEOUT|DNS|STORE|PACKET_TOO)/;

export class Calls {
  readonly pending = new Set<Call>();
  readonly #report: Report;
  readonly #scheduler: Scheduler;
  readonly #facts: Facts;
  readonly #rules: CallRules;
  count = 0;
  /** Calls that were made, and those that have ended. */
  steps = 0;

  constructor(report: Report, scheduler: Scheduler, facts: Facts, rules: CallRules) {
    this.#report = report;
    this.#scheduler = scheduler;
    this.#facts = facts;
    this.#rules = rules;
  }

  /** Starts a call and judges its end. */
  make<T>(details: Partial<Call> & { id: number; name: CallName }, start: () => Promise<T>): Promise<T | undefined> {
    const call: Call = {
      at: this.#scheduler.now(),
      settled: false,
      connects: this.#facts.connects,
      code: "",
      qos: 0,
      size: 0,
      poison: false,
      wrong: false,
      signal: undefined,
      timeout: undefined,
      force: false,
      ...details,
    };
    this.count++;
    this.steps++;
    this.#scheduler.touch();
    this.pending.add(call);
    const label = this.#label(call);
    this.#report.log(`call ${label}`);
    const bound = this.#rules.bound(call);
    if (bound < Infinity) {
      this.#scheduler.after(bound, () =>
        this.#report.check(call.settled, () => `${label} is not settled after ${bound} ms`),
      );
    }
    let promise: Promise<T>;
    try {
      promise = start();
    } catch (error) {
      this.#report.fail(`${label} threw ${code(error)} instead of rejecting`);
      return Promise.resolve(undefined);
    }
    return promise.then(
      (value) => {
        this.#ended(call, "");
        return value;
      },
      (error: unknown) => {
        this.onError(error);
        this.#ended(call, code(error));
        return undefined;
      },
    );
  }

  /** For those who judge errors. */
  onError: (error: unknown) => void = () => {};

  #label({ id, name, qos, poison }: Call): string {
    return `${name} ${id}${name === "publish" ? ` (QoS ${qos}${poison ? ", poison" : ""})` : ""}`;
  }

  #ended(call: Call, text: string): void {
    this.#scheduler.touch();
    this.steps++;
    call.settled = true;
    call.code = text;
    this.pending.delete(call);
    this.#report.log(`${this.#label(call)} ${text === "" ? "is done" : `ended with ${text}`}`);
    if (text === "") return;
    if (!/^ERR_[A-Z_]+$/.test(text))
      return this.#report.fail(`${this.#label(call)} ended with no HubwireError: ${text}`);
    const reason = this.#rules.untrue(call, text);
    if (reason !== "") this.#report.fail(`${this.#label(call)} ended with ${text}, but ${reason}`);
  }
}

/** What is right for an MqttClient. */
export class ClientRules implements CallRules {
  readonly #scheduler: Scheduler;
  readonly #options: ProgramOptions;
  readonly #facts: Facts;

  constructor(scheduler: Scheduler, options: ProgramOptions, facts: Facts) {
    this.#scheduler = scheduler;
    this.#options = options;
    this.#facts = facts;
  }

  get #maxAge(): number {
    return this.#options.queue ? this.#options.queue.maxAge : DEFAULT_AGE;
  }

  bound({ name, timeout, force }: Call): number {
    const { operationTimeout, connectTimeout } = this.#options;
    switch (name) {
      case "connect":
        return Math.max(timeout ?? DEFAULT_CONNECT, connectTimeout) + SLACK;
      case "reconnect":
        return (timeout ?? DEFAULT_DRAIN) + LEAVING + Math.max(DEFAULT_CONNECT, connectTimeout) + SLACK;
      case "close":
        return force ? SLACK : operationTimeout + LEAVING + SLACK;
      case "next":
        return Infinity;
      default:
        return this.#maxAge + 2 * operationTimeout + SLACK;
    }
  }

  untrue(call: Call, text: string): string {
    const { queue, reconnect, operationTimeout, cleanSession, store } = this.#options;
    const facts = this.#facts;
    const lasted = this.#scheduler.now() - call.at;
    const gaveUp = !reconnect || facts.connects === 0;
    if (text === "ERR_ABORTED" && call.signal?.aborted) return "";
    if (text === "ERR_INVALID_ARGUMENT") return call.wrong ? "" : "the arguments are right";
    if (text === "ERR_CLOSED") return facts.closeAsked ? "" : "nobody closed the client";
    if (
      text === "ERR_TIMEOUT" &&
      facts.isCalm &&
      facts.connects > 0 &&
      call.connects > 0 &&
      !/connect/.test(call.name)
    ) {
      return "the server has answered everything";
    }
    if (text === "ERR_STORE") return facts.storeFailed ? "" : "the store never failed";
    if (call.name === "connect" || call.name === "reconnect") {
      if (!CONNECTION.test(text)) return "that is no reason for it";
      if (facts.refusedIdentity || !reconnect) return "";
      const timeout = call.timeout ?? (call.name === "connect" ? DEFAULT_CONNECT : 0);
      return lasted >= timeout - 51 ? "" : `only ${lasted} ms had passed, and the network may come back`;
    }
    switch (text) {
      case "ERR_QUEUE_FULL":
        return queue && queue.maxCount >= 1_000 && queue.maxBytes > 1e6 ? "the queue has room" : "";
      case "ERR_MESSAGE_EXPIRED":
        return lasted >= this.#maxAge - 1 ? "" : `only ${lasted} ms had passed`;
      case "ERR_TIMEOUT":
        // SUBSCRIBE and UNSUBSCRIBE wait for a connection as long as messages do.
        return lasted >= Math.min(operationTimeout, call.name === "publish" ? Infinity : this.#maxAge) - 1 ||
          gaveUp ||
          (call.name === "publish" && call.qos === 0 && !(queue && queue.qos0))
          ? ""
          : `only ${lasted} ms had passed`;
      case "ERR_NOT_CONNECTED":
        return !queue || queue.maxCount === 0 || (!queue.qos0 && call.qos === 0) || gaveUp
          ? ""
          : "the client has to wait for a connection";
      case "ERR_SESSION_LOST":
        return call.qos === 2 && (cleanSession || facts.sessionsLost > 0) ? "" : "no session was lost";
      case "ERR_MESSAGE_REFUSED":
        return call.poison || call.size > facts.limit || facts.endings() > DOUBTS
          ? ""
          : "the message is none that the server refuses";
      case "ERR_SUBSCRIBE_REFUSED":
        return facts.refusedFilters.size > 0 || facts.requestEndings() > DOUBTS ? "" : "the server refused none";
      default:
        if (store && facts.storeFailed) return "";
        // It was on its way when the connection was lost, and must not wait for the next.
        if (call.name === "publish" && call.qos === 0 && !(queue && queue.qos0) && CONNECTION.test(text)) return "";
        return this.#lost(gaveUp, text);
    }
  }

  #lost(gaveUp: boolean, text: string): string {
    return gaveUp && CONNECTION.test(text) ? "" : "that is no reason for it";
  }
}
