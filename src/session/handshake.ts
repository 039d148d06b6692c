/**
 * CONNECT and CONNACK: what was asked for, and what the answer says of the session.
 *
 * Invariants: where the CONNACK of one connection was never seen, the server may have lost the session and begun another,
 * which it then reports as present on the next; that one is in doubt. Where the server had none, and this side failed
 * before it had followed, the one that it has since then is not the one that is remembered here.
 */
import { refusedConnection, violation } from "./refusals.js";

export class Handshake {
  #cleanSession = true;
  /** The last CONNECT got its CONNACK. */
  #isAnswered = false;
  /** The one before it did not. */
  #isDoubtful = true;
  /** The server began a new session, and this side has not followed. */
  #isBehind = false;

  sent(cleanSession: boolean): void {
    this.#cleanSession = cleanSession;
    this.#isDoubtful = !this.#isAnswered;
    this.#isAnswered = false;
  }

  /** Whether the session that the server has may be another than the one that is remembered. */
  get isDoubtful(): boolean {
    return this.#isDoubtful;
  }

  /** CONNACK: whether the server has the session that is remembered. Throws what a refusal means, and ERR_PROTOCOL_VIOLATION. */
  answered(sessionPresent: boolean, returnCode: number): boolean {
    // A refused CONNECT changes no session.
    this.#isAnswered = !returnCode || !this.#isDoubtful;
    if (returnCode) throw refusedConnection(returnCode);
    if (sessionPresent && this.#cleanSession) {
      throw violation("session present after CleanSession 1", "MQTT-3.2.2-1");
    }
    this.#isBehind ||= !sessionPresent;
    return !this.#isBehind;
  }

  /** All that is remembered is as the CONNACK says. */
  followed(): void {
    this.#isBehind = false;
  }
}
