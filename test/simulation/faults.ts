/** What the server is to do wrong, and how often it has. */
import type { PacketType } from "../../src/codec/types.js";
import type { Answer, WorldOp } from "./program.js";

/** Connections that end on one message or request before that is accused of it (policy 12). */
export const DOUBTS = 5;

interface Armed {
  how: "lose" | "repeat" | "delay";
  type: Answer;
  times: number;
  ms: number;
}

export class Faults {
  /** How often something went wrong by intention. */
  count = 0;
  closedOnPublish = 0;
  /** On SUBSCRIBE or UNSUBSCRIBE. */
  closedOnRequest = 0;
  /** The largest payload that the server takes. */
  limit = Infinity;
  downgrades = false;
  /** Whether it ever answered QoS 2 with PUBACK. */
  downgraded = false;
  #armed: Armed[] = [];
  #closing: { type: PacketType; times: number }[] = [];
  #connacks: { code: number; times: number }[] = [];
  #refusals = 0;
  #pubrecs = 0;
  #takeovers: { times: number; ms: number }[] = [];

  arm(op: WorldOp): void {
    if (op.do === "answer") this.#armed.push({ how: op.how, type: op.type, times: op.times, ms: op.ms });
    else if (op.do === "close on") this.#closing.push({ type: op.type, times: op.times });
    else if (op.do === "connack") this.#connacks.push({ code: op.code, times: op.times });
    else if (op.do === "refuse") this.#refusals += op.times;
    else if (op.do === "pubrec") this.#pubrecs++;
    else if (op.do === "takeover") this.#takeovers.push({ times: op.times, ms: op.ms });
    else if (op.do === "limit") this.limit = op.size;
    else if (op.do === "downgrade") this.downgrades = this.downgraded = true;
  }

  /** The server behaves from now on. */
  heal(): void {
    this.#armed = [];
    this.#closing = [];
    this.#connacks = [];
    this.#takeovers = [];
    this.#refusals = this.#pubrecs = 0;
    this.limit = Infinity;
    this.downgrades = false;
  }

  /** How often, and how late, an answer leaves. */
  answering(type: Answer): { times: number; ms: number } {
    const armed = this.#use(this.#armed, type);
    if (armed === undefined) return { times: 1, ms: 0 };
    if (armed.how === "lose") return { times: 0, ms: 0 };
    return armed.how === "repeat" ? { times: 2, ms: 0 } : { times: 1, ms: armed.ms };
  }

  closesOn(type: PacketType): boolean {
    if (this.#use(this.#closing, type) === undefined) return false;
    if (type === "publish") this.closedOnPublish++;
    if (type === "subscribe" || type === "unsubscribe") this.closedOnRequest++;
    return true;
  }

  connackCode(): number {
    const next = this.#connacks.find(({ times }) => times > 0);
    if (next === undefined) return 0;
    next.times--;
    this.count++;
    return next.code;
  }

  refuses(): boolean {
    return this.#refusals > 0 && this.#happened(this.#refusals--);
  }

  answersWithPubrec(): boolean {
    return this.#pubrecs > 0 && this.#happened(this.#pubrecs--);
  }

  /** ms after which an accepted connection is closed; undefined: it is not. */
  takesOver(): number | undefined {
    const next = this.#takeovers.find(({ times }) => times > 0);
    if (next === undefined) return undefined;
    next.times--;
    this.count++;
    return next.ms;
  }

  #use<T extends { type: string; times: number }>(list: readonly T[], type: string): T | undefined {
    const found = list.find((item) => item.type === type && item.times > 0);
    if (found === undefined) return undefined;
    found.times--;
    this.count++;
    return found;
  }

  #happened(_left: number): true {
    this.count++;
    return true;
  }
}
