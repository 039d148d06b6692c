/**
 * A session with a recording sink, a hand-driven clock and a peer that speaks in packets or literal bytes.
 *
 * Invariant: `sent()` decodes with the strict codec, so a session that wrote a malformed packet fails its
 * test.
 */
import { PacketReader, encode } from "../../src/codec/index.js";
import type { Packet, PacketInit, QoS } from "../../src/codec/types.js";
import { HubwireError } from "../../src/errors.js";
import { Asking, Publication, Route, Session, SessionStore, SUBACK, UNSUBACK } from "../../src/session/index.js";
import type { ConnectOptions, Message, SessionOptions } from "../../src/session/index.js";

export interface Settled {
  request: string;
  code: string | undefined;
  returnCodes: readonly number[] | undefined;
}

export interface Delivery extends Message {
  deliveryId: number;
  text: string;
}

class NamedPublication extends Publication {
  name = "";
}

class NamedAsking extends Asking<Route> {
  name = "";
}

/** A session whose requests have names. */
export class NamedSession extends Session<NamedPublication, NamedAsking, Route> {
  readonly requests = new Map<string, NamedPublication | NamedAsking>();
  /** Told of QoS 0 that was written at once. */
  onWritten: (name: string) => void = () => {};

  send(topic: string, payload: Uint8Array | string, qos: QoS, retain: boolean, name: string, now: number): void {
    const publication = new NamedPublication(topic, payload, qos, retain);
    publication.name = name;
    if (this.publish(publication, now)) this.onWritten(name);
    else this.requests.set(name, publication);
  }

  subscribe(subscriptions: readonly { topicFilter: string; qos: QoS }[], name: string, now: number): void {
    const routes = subscriptions.map(({ topicFilter, qos }) => new Route(topicFilter, qos));
    this.#begin(
      new NamedAsking(
        SUBACK,
        subscriptions.map(({ topicFilter }) => topicFilter),
        subscriptions.map(({ qos }) => qos),
        routes,
      ),
      name,
      now,
    );
  }

  unsubscribe(topicFilters: readonly string[], name: string, now: number): void {
    const routes = topicFilters.flatMap((topicFilter) => this.routesToEnd(topicFilter) ?? []);
    this.#begin(new NamedAsking(UNSUBACK, topicFilters, [], routes), name, now);
  }

  #begin(asking: NamedAsking, name: string, now: number): void {
    asking.name = name;
    this.ask(asking, now);
    this.requests.set(name, asking);
  }

  cancelNamed(name: string, error: HubwireError, now: number): void {
    const request = this.requests.get(name);
    if (request) this.cancel([request], error, now);
  }
}

type Overrides = Partial<Omit<SessionOptions, "queue">> & { queue?: Partial<SessionOptions["queue"]> };

export class Harness {
  now = 1_000;
  settled: Settled[] = [];
  deliveries: Delivery[] = [];
  /** Topics of messages for which there was a subscription in this session. */
  late: string[] = [];
  failures: HubwireError[] = [];
  refused: string[] = [];
  abandoned: string[] = [];
  connections: boolean[] = [];
  drained = 0;
  wantsWrite = 0;
  deadlineChanges = 0;
  /** Acknowledge each delivery inside `deliver`. */
  autoAcknowledge = true;
  onDeliver: ((delivery: Delivery) => void) | undefined;
  readonly session: NamedSession;
  downgraded: string[] = [];
  looks = 0;
  readonly connectOptions: ConnectOptions = { clientId: "c", cleanSession: false, keepAlive: 0 };
  #reader = this.#newReader();
  #packets: Packet[] = [];

  constructor(overrides: Overrides = {}) {
    const { queue, ...rest } = overrides;
    this.session = new NamedSession(
      {
        wantsWrite: () => void this.wantsWrite++,
        deliver: (message, deliveryId, routes) => {
          if (!routes) this.late.push(message.topic);
          const delivery = { ...message, deliveryId, text: Buffer.from(message.payload).toString() };
          this.deliveries.push(delivery);
          this.onDeliver?.(delivery);
          if (this.autoAcknowledge && deliveryId) this.session.acknowledge(deliveryId, this.now);
        },
        settle: ({ name }, error, returnCodes) =>
          void this.settled.push({ request: name, code: error?.code, returnCodes }),
        settleAll: (requests, error) => {
          for (const { name } of requests)
            this.settled.push({ request: name, code: error.code, returnCodes: undefined });
        },
        deadlineChanged: () => void this.deadlineChanges++,
      },
      {
        maxPacketSize: 1_000_000,
        maxInflight: 100,
        poisonDetection: true,
        operationTimeout: 30_000,
        queue: { maxCount: 1_000, maxBytes: 100_000, maxAge: 600_000, overflow: "reject", qos0: true, ...queue },
        ...rest,
      },
    );
    this.session.onWritten = (request) => void this.settled.push({ request, code: undefined, returnCodes: undefined });
  }

  /** Takes the cold events. */
  events(): this {
    for (let event = this.session.takeEvent(); event; event = this.session.takeEvent()) {
      if (event.type === "accepted") this.connections.push(event.sessionPresent);
      else if (event.type === "failed") this.failures.push(event.error);
      else if (event.type === "refused") this.refused.push(event.topicFilter);
      else if (event.type === "abandoned") this.abandoned.push(event.error.code);
      else if (event.type === "downgraded") this.downgraded.push(event.error.code);
      else if (event.type === "look") this.looks++;
      else if (event.type === "drained") this.drained++;
      else throw new Error(`an event that nobody knows: ${JSON.stringify(event)}`);
    }
    return this;
  }

  #newReader(): PacketReader {
    return new PacketReader((packet) => this.#packets.push(packet));
  }

  /** Opens a connection, without an answer yet. */
  open(options: Partial<ConnectOptions> = {}): this {
    this.#reader = this.#newReader();
    this.#packets = [];
    this.session.open({ ...this.connectOptions, ...options }, this.now);
    return this;
  }

  /** Opens a connection that the server accepts; the output up to and including CONNECT is consumed. */
  connect(sessionPresent = false, options: Partial<ConnectOptions> = {}): this {
    this.open(options).sent();
    return this.feed({ type: "connack", returnCode: 0, sessionPresent });
  }

  /** Connects again after the transport went away. */
  reconnect(sessionPresent: boolean, options: Partial<ConnectOptions> = {}): this {
    this.lose();
    return this.connect(sessionPresent, options);
  }

  lose(): this {
    this.session.lost(new HubwireError("ERR_CONNECTION_LOST", "cut"), this.now);
    return this.events();
  }

  feed(...packets: PacketInit[]): this {
    return this.feedBytes(Buffer.concat(packets.map((packet) => encode(packet))));
  }

  feedBytes(bytes: Uint8Array | readonly number[]): this {
    this.session.receive(Uint8Array.from(bytes), this.now);
    return this.events();
  }

  /** What the session wrote since the last call, decoded. */
  sent(): Packet[] {
    for (const chunk of this.session.takeOutput()) this.#reader.push(chunk);
    const packets = this.#packets;
    this.#packets = [];
    return packets;
  }

  /** The same in short: `publish#1 dup q1 text`, `puback#2`, `pingreq`. */
  sentLines(): string[] {
    return this.sent().map(describePacket);
  }

  /** The same as literal bytes. */
  sentBytes(): number[] {
    return [...Buffer.concat(this.session.takeOutput())];
  }

  publish(request: string, qos: QoS = 1, topic = "t"): this {
    this.session.send(topic, request, qos, false, request, this.now);
    return this.events();
  }

  /** Advances the clock to each deadline in turn, up to `ms` from now. */
  advance(ms: number): this {
    const end = this.now + ms;
    for (let due = this.session.nextDeadline(); due <= end; due = this.session.nextDeadline()) {
      this.now = Math.max(this.now, due);
      this.session.tick(this.now);
      this.events();
    }
    this.now = end;
    return this;
  }

  /** `request:ok` or `request:CODE`, in the order of settling. */
  results(): string[] {
    return this.settled.map(({ request, code }) => `${request}:${code ?? "ok"}`);
  }
}

export function describePacket(packet: Packet): string {
  if (packet.type === "publish") {
    const id = packet.packetId === undefined ? "" : `#${packet.packetId}`;
    const text = Buffer.from(packet.payload).toString();
    return `publish${id}${packet.dup ? " dup" : ""} q${packet.qos} ${text}`;
  }
  return "packetId" in packet ? `${packet.type}#${packet.packetId}` : packet.type;
}

/** A store in memory that outlives its session, as a file outlives its process. */
export class MemoryStore extends SessionStore {
  readonly records = new Map<number, Uint8Array>();
  closed = 0;
  /** Throws from `put` and `remove` while set. */
  failing: HubwireError | undefined;

  override load(): Iterable<readonly [number, Uint8Array]> {
    return [...this.records];
  }
  override put(key: number, record: Uint8Array): void {
    if (this.failing) throw this.failing;
    this.records.set(key, record.slice());
  }
  override remove(key: number): void {
    if (this.failing) throw this.failing;
    this.records.delete(key);
  }
  override close(): void {
    this.closed++;
  }
}
