/**
 * Judges what arrives at the server: each message as often as its QoS says, in order, under an identifier that is free,
 * within the window.
 */
import type { PublishPacket } from "../../src/codec/types.js";
import type { Session } from "./broker.js";
import type { ProgramOptions } from "./program.js";
import type { Report } from "./report.js";

export class Arrivals {
  /** How often the server took each message as a new one. */
  readonly times = new Map<number, number>();
  /** QoS 2 may arrive twice: the server broke the rules for it. */
  lenient = false;
  /** Messages may overtake one that was held back. */
  unordered = false;
  /** The session that last took each QoS 2 message as a new one. */
  readonly #sessions = new Map<number, Session>();
  /** QoS 2 messages that arrived twice, because the client could not know that the server had lost the first. */
  readonly #repeated = new Set<number>();
  readonly #report: Report;
  readonly #options: ProgramOptions;
  /** The newest message of each QoS that arrived. */
  readonly #newest = [0, 0, 0];

  constructor(report: Report, options: ProgramOptions) {
    this.#report = report;
    this.#options = options;
  }

  arrived(id: number, { topic, qos, packetId = 0, dup }: PublishPacket, session: Session, first: boolean): void {
    this.#report.check(!topic.includes("\u0001"), () => "a topic with a control character arrived");
    this.#report.log(`server gets message ${id} (QoS ${qos}${dup ? ", DUP" : ""}${qos ? `, id ${packetId}` : ""})`);
    const before = this.times.get(id) ?? 0;
    if (qos > 0) {
      const other = session.taken.get(packetId);
      this.#report.check(
        other === undefined || other === id,
        () => `message ${id} has identifier ${packetId}, which message ${other} still has`,
      );
      const inflight = session.taken.size + +!session.taken.has(packetId);
      this.#report.check(
        inflight <= this.#options.maxInflight,
        () => `${inflight} messages on their way, maxInflight is ${this.#options.maxInflight}`,
      );
    }
    if (!first) return;
    this.times.set(id, before + 1);
    const isRepeat = qos === 2 && this.#isRepeat(id, session);
    if (isRepeat) this.#repeated.add(id);
    if (before > 0) {
      const isFair = qos === 1 || isRepeat || (qos === 2 && this.lenient);
      this.#report.check(isFair, () => `message ${id} (QoS ${qos}) arrived twice`);
      return;
    }
    this.#report.check(
      this.unordered || id > this.#newest[qos]!,
      () => `message ${id} (QoS ${qos}) arrived after message ${this.#newest[qos]}`,
    );
    this.#newest[qos] = Math.max(this.#newest[qos]!, id);
  }

  /**
   * Whether the client has to send it again, and the server can't know it (MQTT-4.4.0-1): the session is another than the
   * one that took it, and of the CONNACK that told so nothing arrived.
   */
  #isRepeat(id: number, session: Session): boolean {
    const last = this.#sessions.get(id);
    this.#sessions.set(id, session);
    return last !== undefined && last !== session && !session.isAnnounced;
  }

  /** `publish` resolved. */
  completed(id: number, qos: number): void {
    if (qos === 0) return;
    const times = this.times.get(id) ?? 0;
    this.#report.check(
      times > 0 && (qos === 1 || this.lenient || times === 1 || this.#repeated.has(id)),
      () => `publish ${id} (QoS ${qos}) resolved, and the message arrived ${times} times`,
    );
  }

  /** `publish` rejected with an error that says that the message was never sent. */
  refused(id: number, text: string): void {
    const unsent = text === "ERR_QUEUE_FULL" && this.#options.queue && this.#options.queue.overflow === "reject";
    if (unsent)
      this.#report.check(!this.times.has(id), () => `publish ${id} ended with ${text}, and the message arrived`);
  }
}
