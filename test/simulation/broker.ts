/**
 * The server: MQTT 3.1.1 as a broker should do it, and, where the program says so, as one should not.
 *
 * Invariants: what the server knows of a client is in its `Session`; what it does wrong is in `Faults`; each message that it
 * sends to the client is a `Copy`, known by the number in its payload.
 */
import { PacketReader, encode, matchTopic } from "../../src/codec/index.js";
import type { ConnectPacket, Packet, PacketInit, PublishPacket, QoS } from "../../src/codec/types.js";
import { DOUBTS, Faults } from "./faults.js";
import type { Line, ServerEnd } from "./line.js";
import { messageId, isPoison, payloadOf } from "./payload.js";
import type { Answer } from "./program.js";
import type { Scheduler } from "./scheduler.js";

/** A message on its way from the server to the client. */
export interface Copy {
  readonly id: number;
  readonly topic: string;
  readonly qos: QoS;
  readonly payload: Uint8Array;
  packetId: number;
  state: "queued" | "sent" | "received" | "done";
  transmissions: number;
}

export class Session {
  readonly filters = new Map<string, QoS>();
  /** Not finished, oldest first. */
  outbox = new Set<Copy>();
  /** QoS 2 identifiers of the client's that are not released. */
  readonly known = new Set<number>();
  /** Messages of the client's by identifier, from PUBLISH to the last acknowledgement that was sent. */
  readonly taken = new Map<number, number>();
  /** The line on which the client is told that this session is a new one, and the bytes on it up to that. */
  beginning: { line: Line; end: number } | undefined;
  #lastId = 0;

  /** Whether the client knows that this session is a new one. */
  get isAnnounced(): boolean {
    return this.beginning !== undefined && this.beginning.line.consumed >= this.beginning.end;
  }

  nextId(): number {
    this.#lastId = (this.#lastId % 65_535) + 1;
    return this.#lastId;
  }
}

/** What the broker tells those who judge. */
export interface BrokerObserver {
  /** A PUBLISH of the client's arrived; `first`: the server takes it as a new message. */
  arrived(id: number, packet: PublishPacket, session: Session, first: boolean): void;
  /** The server sends a message on `line`, up to `end` bytes of what it sent there. */
  sending(copy: Copy, line: Line, end: number): void;
  /** PUBACK or PUBREC: the client has taken a message. */
  acknowledged(copy: Copy, line: Line): void;
  /** The server refused this filter. */
  refused(filter: string): void;
  /** The return code for a CONNECT, where nothing else is wrong with it. */
  connecting?(packet: ConnectPacket, line: Line): number;
  /** What follows on this line is no MQTT any more. */
  misbehaved(line: Line): void;
  violated(text: string): void;
}

/** Bytes of a CONNACK. */
const CONNACK = 4;

/** Filters of shared subscriptions match by what stands behind the group. */
export const matches = (filter: string, topic: string): boolean =>
  matchTopic(filter.replace(/^\$share\/[^/]+\//, ""), topic);

class BrokerConnection implements ServerEnd {
  readonly line: Line;
  accepted = false;
  session: Session | undefined;
  readonly #broker: Broker;
  readonly #reader: PacketReader;

  constructor(line: Line, broker: Broker) {
    this.line = line;
    this.#broker = broker;
    this.#reader = new PacketReader((packet) => this.line.server === this && broker.take(this, packet));
  }

  received(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes);
    } catch (error) {
      this.#broker.observer.violated(`the server got what is no MQTT: ${String(error)}`);
    }
  }

  closed(): void {
    this.#broker.gone(this);
  }
}

export class Broker {
  readonly faults = new Faults();
  session = new Session();
  observer!: BrokerObserver;
  /** Sessions forgotten while the client may have counted on them. */
  forgotten = 0;
  /** Accepted connections that ended, and the client had not left them. */
  ended = 0;
  readonly #scheduler: Scheduler;
  #connection: BrokerConnection | undefined;
  #exists = false;
  #lastCopy = 0;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  accept(line: Line): void {
    line.server = new BrokerConnection(line, this);
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** The line of the client that is connected. */
  get line(): Line | undefined {
    return this.#connection?.line;
  }

  gone(connection: BrokerConnection, hasLeft = connection.line.left): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    if (!hasLeft) this.ended++;
    if (connection.accepted) for (const copy of this.session.outbox) if (copy.state === "sent") copy.state = "queued";
  }

  /** Closes the connection as a server does that ends: what it has sent arrives. */
  drop(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.gone(connection);
    connection.line.close();
  }

  forget(): void {
    this.session = new Session();
    this.#exists = false;
    this.forgotten++;
  }

  /** Publishes a message of that size to the client, if it has subscribed. */
  publish(topic: string, qos: QoS, size: number): Copy | undefined {
    return this.offer(topic, qos, (id) => payloadOf(id, size, false));
  }

  /** The same with a payload that is made of the message's number. */
  offer(topic: string, qos: QoS, payloadFor: (id: number) => Uint8Array): Copy | undefined {
    let granted = -1;
    for (const [filter, most] of this.session.filters) if (matches(filter, topic)) granted = Math.max(granted, most);
    if (granted < 0) return undefined;
    const effective = Math.min(qos, granted) as QoS;
    if (effective === 0 && this.#connection?.session === undefined) return undefined;
    const id = ++this.#lastCopy;
    const payload = payloadFor(id);
    const copy: Copy = { id, topic, qos: effective, payload, packetId: 0, state: "queued", transmissions: 0 };
    if (effective > 0) this.session.outbox.add(copy);
    if (this.#connection?.session) this.#transmit(this.#connection, copy);
    return copy;
  }

  /** Sends a message with QoS 0, whether the client has subscribed or not. */
  send(topic: string, size: number): void {
    const connection = this.#connection;
    if (connection?.session === undefined) return;
    const id = ++this.#lastCopy;
    const payload = payloadOf(id, size, false);
    this.#transmit(connection, { id, topic, qos: 0, payload, packetId: 0, state: "queued", transmissions: 0 });
  }

  /** Sends bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.#connection?.line.send(bytes);
  }

  take(connection: BrokerConnection, packet: Packet): void {
    const { faults } = this;
    if (faults.closesOn(packet.type)) {
      return packet.type === "publish" ? this.#refuse(connection, packet) : this.#close(connection);
    }
    if (packet.type === "connect") return this.#connect(connection, packet);
    const { session } = connection;
    if (session === undefined) {
      // Sent before CONNACK: allowed (section 3.1.4), and lost where the server refuses.
      if (!connection.accepted && connection.line.server === connection) return;
      return this.observer.violated(`${packet.type} without CONNECT`);
    }
    switch (packet.type) {
      case "publish":
        return this.#published(connection, session, packet);
      case "pubrel":
        session.known.delete(packet.packetId);
        return this.#answer(connection, { type: "pubcomp", packetId: packet.packetId }, () =>
          session.taken.delete(packet.packetId),
        );
      case "puback":
      case "pubrec":
      case "pubcomp":
        return this.#acknowledged(connection, session, packet.type, packet.packetId);
      case "subscribe": {
        const returnCodes: number[] = [];
        for (const { topicFilter, qos } of packet.subscriptions) {
          const refused = faults.refuses();
          if (refused) this.observer.refused(topicFilter);
          else session.filters.set(topicFilter, qos);
          returnCodes.push(refused ? 0x80 : qos);
        }
        return this.#answer(connection, { type: "suback", packetId: packet.packetId, returnCodes });
      }
      case "unsubscribe":
        for (const filter of packet.topicFilters) session.filters.delete(filter);
        return this.#answer(connection, { type: "unsuback", packetId: packet.packetId });
      case "pingreq":
        return this.#answer(connection, { type: "pingresp" });
      case "disconnect":
        this.gone(connection, true);
        return connection.line.close();
      default:
        this.observer.violated(`${packet.type} is nothing that a client sends`);
    }
  }

  #connect(connection: BrokerConnection, packet: ConnectPacket): void {
    if (connection.session) return this.observer.violated("a second CONNECT");
    // MQTT-3.1.4-2: the older connection of the same client ends.
    if (this.#connection) this.drop();
    const returnCode = this.faults.connackCode() || this.observer.connecting?.(packet, connection.line);
    if (returnCode) {
      connection.line.send(encode({ type: "connack", sessionPresent: false, returnCode }));
      return this.#close(connection);
    }
    if (packet.cleanSession) {
      this.session = new Session();
      this.#exists = false;
    }
    const sessionPresent = this.#exists;
    this.#exists = !packet.cleanSession;
    this.#connection = connection;
    connection.session = this.session;
    connection.accepted = true;
    const { session } = this;
    this.#answer(connection, { type: "connack", sessionPresent, returnCode: 0 }, () => {
      const { line } = connection;
      if (!sessionPresent) session.beginning = { line, end: line.sent + CONNACK };
    });
    for (const copy of this.session.outbox) {
      if (copy.state === "received") this.#answer(connection, { type: "pubrel", packetId: copy.packetId });
      else this.#transmit(connection, copy);
    }
    const takeover = this.faults.takesOver();
    if (takeover === 0) this.#close(connection);
    else if (takeover !== undefined) this.#scheduler.after(takeover, () => this.#close(connection));
  }

  #close(connection: BrokerConnection): void {
    this.gone(connection);
    connection.line.close();
  }

  #refuse(connection: BrokerConnection, { packetId = 0 }: PublishPacket): void {
    this.#close(connection);
    // The client may have given it up by now (policy 12), also where the server had taken it once and not said so.
    if (this.ended > DOUBTS) connection.session?.taken.delete(packetId);
  }

  #published(connection: BrokerConnection, session: Session, packet: PublishPacket): void {
    const { faults, observer } = this;
    const { qos, packetId = 0, payload } = packet;
    const id = messageId(payload);
    if (isPoison(payload) || payload.length > faults.limit) return this.#refuse(connection, packet);
    const first = qos < 2 || !session.known.has(packetId);
    observer.arrived(id, packet, session, first);
    if (qos === 0) return;
    session.taken.set(packetId, id);
    const finished = (): unknown => session.taken.delete(packetId);
    if (qos === 1 && !faults.answersWithPubrec()) {
      return this.#answer(connection, { type: "puback", packetId }, finished);
    }
    if (qos === 1) {
      observer.misbehaved(connection.line);
      return this.#answer(connection, { type: "pubrec", packetId });
    }
    if (faults.downgrades) return this.#answer(connection, { type: "puback", packetId }, finished);
    session.known.add(packetId);
    this.#answer(connection, { type: "pubrec", packetId });
  }

  #acknowledged(connection: BrokerConnection, session: Session, type: Answer, packetId: number): void {
    const copy = [...session.outbox].find((other) => other.packetId === packetId && other.state !== "queued");
    if (type === "pubrec") {
      if (copy?.state === "sent") {
        this.observer.acknowledged(copy, connection.line);
        copy.state = "received";
      }
      return this.#answer(connection, { type: "pubrel", packetId });
    }
    if (copy === undefined) return;
    if (type === "puback") {
      if (copy.qos !== 1) return this.observer.violated(`PUBACK for message ${copy.id}, which has QoS ${copy.qos}`);
      this.observer.acknowledged(copy, connection.line);
    }
    if (type === "pubcomp" && copy.state !== "received") return;
    copy.state = "done";
    session.outbox.delete(copy);
  }

  #transmit(connection: BrokerConnection, copy: Copy): void {
    const { topic, payload, qos } = copy;
    const dup = copy.transmissions > 0;
    if (qos > 0) copy.packetId ||= this.session.nextId();
    copy.transmissions++;
    copy.state = "sent";
    const bytes = encode({ type: "publish", topic, payload, qos, dup, ...(qos > 0 && { packetId: copy.packetId }) });
    this.observer.sending(copy, connection.line, connection.line.sent + bytes.length);
    connection.line.send(bytes);
  }

  /** `sent`: called when the answer is really on its way. */
  #answer(connection: BrokerConnection, packet: PacketInit, sent?: () => unknown): void {
    const plan = this.faults.answering(packet.type as Answer);
    if (plan.times === 0) return;
    const send = (): void => {
      if (this.#connection !== connection) return;
      sent?.();
      const bytes = encode(packet);
      for (let i = 0; i < plan.times; i++) connection.line.send(bytes);
    };
    if (plan.ms > 0) this.#scheduler.after(plan.ms, send);
    else send();
  }
}
