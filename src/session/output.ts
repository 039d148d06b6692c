/**
 * What the session has to send, and the counting of it: the one place that writes packets.
 *
 * Invariants: the owner hears of output once each time there is some; outside a connection, and after DISCONNECT
 * (MQTT-3.14.4-2), nothing is written, whoever asks for it.
 */
import { PacketWriter } from "../codec/index.js";
import type { PacketInit } from "../codec/types.js";
import type { Publication } from "./exchange.js";
import type { SessionMetrics, Trace } from "./types.js";

/** Bytes. */
const STEP = 256 * 1024;

/** The packets that are an identifier and that a client sends. */
export type Answer = "puback" | "pubrec" | "pubrel" | "pubcomp";

export class Output {
  /** Set it to see every packet; costs nothing while undefined. */
  trace: Trace | undefined = undefined;
  /** When a packet was last written, ms. */
  writtenAt = 0;
  readonly #metrics: SessionMetrics;
  readonly #owner: { wantsWrite(): void };
  #writer = new PacketWriter();
  #told = false;
  #isOpen = false;

  constructor(metrics: SessionMetrics, owner: { wantsWrite(): void }) {
    this.#metrics = metrics;
    this.#owner = owner;
  }

  /** Whether anything may be written. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Bytes that wait to be taken. */
  get byteLength(): number {
    return this.#writer.byteLength;
  }

  /** A step has written enough: what else is to be sent, which may be much, waits until this is taken (policy 14). */
  get isFull(): boolean {
    return this.byteLength >= STEP;
  }

  /** A connection begins with CONNECT. Throws ERR_INVALID_PACKET, and has written nothing then. */
  connect(packet: PacketInit & { packetId?: number }, now: number): void {
    this.#isOpen = true;
    this.packet(packet, now);
  }

  /** The connection is gone, and what was to be sent on it. */
  close(): void {
    this.#isOpen = false;
    this.take();
  }

  /** Throws ERR_INVALID_PACKET, and has written nothing then. */
  publish({ topic, payload, qos, retain, packetId }: Publication, dup: boolean, now: number): void {
    if (!this.#isOpen) return;
    // With QoS 0 it is over now, and the caller's array his own again.
    const size = this.#writer.publish(topic, payload, qos, retain, dup, packetId, qos ? undefined : Infinity);
    this.#metrics.messagesSent++;
    this.#wrote("publish", packetId, size, now, topic);
  }

  answer(type: Answer, packetId: number, now: number): void {
    if (!this.#isOpen) return;
    this.#writer[type](packetId);
    this.#wrote(type, packetId, 4, now);
  }

  pingreq(now: number): void {
    if (!this.#isOpen) return;
    this.#writer.pingreq();
    this.#wrote("pingreq", 0, 2, now);
  }

  disconnect(now: number): void {
    if (!this.#isOpen) return;
    this.#writer.disconnect();
    this.#wrote("disconnect", 0, 2, now);
    this.#isOpen = false;
  }

  /** SUBSCRIBE, UNSUBSCRIBE. Throws ERR_INVALID_PACKET, and has written nothing then. */
  packet(packet: PacketInit & { packetId?: number }, now: number): void {
    if (!this.#isOpen) return;
    const before = this.#writer.byteLength;
    this.#writer.packet(packet);
    this.#wrote(
      packet.type,
      packet.packetId ?? 0,
      this.#writer.byteLength - before,
      now,
      this.trace && filtersOf(packet),
    );
  }

  #wrote(type: string, packetId: number, size: number, now: number, topic?: string): void {
    this.#metrics.packetsSent++;
    this.writtenAt = now;
    this.trace?.("out", type, packetId, size, topic);
    if (this.#told) return;
    this.#told = true;
    this.#owner.wantsWrite();
  }

  /** All of it since the last call, in order. */
  take(): Uint8Array[] {
    this.#told = false;
    return this.#writer.take();
  }
}

/** The topic filters of SUBSCRIBE and UNSUBSCRIBE, for a trace. */
function filtersOf(packet: PacketInit): string | undefined {
  if (packet.type === "unsubscribe") return packet.topicFilters.join(" ");
  return packet.type === "subscribe" ? packet.subscriptions.map(({ topicFilter }) => topicFilter).join(" ") : undefined;
}
