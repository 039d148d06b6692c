/**
 * A closed world for the session: user, network and server, small enough to explore every order of their
 * steps.
 *
 * Invariants that are checked at each step (the words in quotes are what a violation says):
 * - a request is settled once, and with success only when the server has the message;
 * - a QoS 2 message reaches the server's application at most once, ever, and the user at most once a session;
 * - messages reach the application in the order of `publish`;
 * - a packet identifier is given to one exchange at a time; a re-send has DUP 1 and the same identifier, a
 *   first send DUP 0; no PUBLISH follows the PUBREL of its message;
 * - PUBACK and PUBREC leave in the order of arrival, on the connection of the arrival, after `acknowledge`;
 * - what was cancelled before it was sent is never sent;
 * - the strict codec can read all that the session writes.
 * From any state, a fair continuation (`complete`) settles everything and loses nothing.
 */
import { Decoder, PacketReader, encode } from "../../src/codec/index.js";
import type { Packet, PacketInit, QoS } from "../../src/codec/types.js";
import { HubwireError } from "../../src/errors.js";
import type { OpenSession } from "./open-session.js";
import { transplant } from "./transplant.js";

export class Violation extends Error {}

function check(condition: unknown, text: string): asserts condition {
  if (!condition) throw new Violation(text);
}

export interface Scenario {
  /**
   * QoS of the messages that the user publishes, in order; each topic is its own, the payload is the index.
   */
  publishes: readonly QoS[];
  /** QoS of the messages that the server sends, in order. */
  sends: readonly QoS[];
  cleanSession: boolean;
  maxInflight: number;
  maxInflightQos2?: number;
  subscribe?: boolean;
  store?: boolean;
  /** How often each may happen. */
  cuts: number;
  forgets: number;
  cancels: number;
  kills?: number;
  refusals?: number;
  stalls?: number;
}

interface Sent {
  /** Identifier of the message while the session must remember it; 0 otherwise. */
  id: number;
  /** Number of the session (counted by losses) and connection in which it was first sent. */
  connection: number;
  released: boolean;
  /** A PUBLISH of it was ever written. */
  ever: boolean;
}

interface Outgoing {
  message: number;
  id: number;
  phase: "publish" | "release";
}

/** A PUBLISH that came on this connection; `id` is -1 once its delivery was refused. */
interface Arrival {
  message: number;
  qos: QoS;
  deliveryId: number;
  acknowledged: boolean;
  id: number;
}

interface Data {
  connection: number;
  up: boolean;
  accepted: boolean;
  toServer: Packet[];
  toClient: PacketInit[];
  published: number;
  results: string[];
  cancelled: boolean[];
  /** The message's own process was killed, so nobody is told. */
  orphaned: boolean[];
  /**
   * Killed inside `publish`, which did not return: both are right, to have the message and not to have it.
   */
  maybe: boolean[];
  /** Killed between recording a PUBLISH as sent and sending it: it then comes with DUP 1 the first time. */
  died: boolean;
  sent: Sent[];
  subscription: "" | "asked" | "ok";
  subscribeId: number;
  pending: { deliveryId: number; message: number }[];
  arrivals: Arrival[];
  acknowledged: boolean[];
  refused: boolean[];
  delivered: number[];
  writable: boolean;
  // the server
  serverSession: boolean;
  serverKnown: number[];
  serverSubscribed: boolean;
  serverOut: Outgoing[];
  serverSent: number;
  serverNextId: number;
  log: number[];
  sessionsLost: number;
  /**
   * A new session began and the client did not hear of it, because the connection was lost with the CONNACK
   * in it; the next one says that the session is present. Then nobody can tell which QoS 2 identifiers mean
   * what: exactly once is beyond MQTT 3.1.1, and only the rest is checked.
   */
  unnoticed: boolean;
  cuts: number;
  forgets: number;
  cancels: number;
  kills: number;
  refusals: number;
  stalls: number;
}

/** The opened session's `SessionStore` with its records in a map. */
type Store = { records: Map<number, Uint8Array>; __lastKey: number; __keys: Map<object, object>; left: number };

function newStore(SessionStore: any, records = new Map<number, Uint8Array>()): Store {
  const store = new SessionStore();
  store.records = records;
  store.load = () => [...records];
  // Writes that still reach the disk before the process dies.
  store.left = Infinity;
  store.put = (key: number, record: Uint8Array) => void (store.left-- > 0 && records.set(key, record));
  store.remove = (key: number) => void (store.left-- > 0 && records.delete(key));
  store.close = () => {};
  return store;
}

const LOST = new HubwireError("ERR_CONNECTION_LOST", "cut");
const ABORTED = new HubwireError("ERR_ABORTED", "cancelled");
const SUBSCRIBE = 100;
const LISTS = ["__queue", "__held", "__again", "__sent", "__released", "__unsent"];

/** A request of the session with the number of its message. */
interface Named {
  number: number;
}

function copy<T>(value: T): T {
  if (Array.isArray(value)) return value.map(copy) as T;
  if (value instanceof Uint8Array) return value;
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const key in value) result[key] = copy(value[key]);
  return result as T;
}

export class World {
  data: Data;
  session: any;
  store: Store | undefined;
  readonly #opened: OpenSession;
  readonly #scenario: Scenario;

  constructor(opened: OpenSession, scenario: Scenario, from?: World) {
    this.#opened = opened;
    this.#scenario = scenario;
    if (from) {
      // The packets in flight are never changed in place, so they are shared.
      const { toServer, toClient, ...rest } = from.data;
      this.data = { ...copy(rest), toServer: toServer.slice(), toClient: toClient.slice() };
      if (from.store) {
        this.store = newStore(opened.SessionStore, new Map(from.store.records));
        this.store.__lastKey = from.store.__lastKey;
      }
      this.#newSession();
      this.#copySession(from);
      return;
    }
    const { publishes, sends, cuts, forgets, cancels, kills = 0, refusals = 0, stalls = 0 } = scenario;
    this.data = {
      connection: 0,
      up: false,
      accepted: false,
      toServer: [],
      toClient: [],
      published: 0,
      results: publishes.map(() => ""),
      cancelled: publishes.map(() => false),
      orphaned: publishes.map(() => false),
      maybe: publishes.map(() => false),
      died: false,
      sent: publishes.map(() => ({ id: 0, connection: 0, released: false, ever: false })),
      subscription: "",
      subscribeId: 0,
      pending: [],
      arrivals: [],
      acknowledged: sends.map(() => false),
      refused: sends.map(() => false),
      delivered: sends.map(() => 0),
      writable: true,
      serverSession: false,
      serverKnown: [],
      serverSubscribed: false,
      serverOut: [],
      serverSent: 0,
      serverNextId: 1,
      log: [],
      sessionsLost: 0,
      unnoticed: false,
      cuts,
      forgets,
      cancels,
      kills,
      refusals,
      stalls,
    };
    if (scenario.store) this.store = newStore(opened.SessionStore);
    this.#newSession();
  }

  clone(): World {
    return new World(this.#opened, this.#scenario, this);
  }

  #newSession(): void {
    this.session = new this.#opened.Session(
      {
        wantsWrite() {},
        deadlineChanged() {},
        deliver: (message: { payload: Uint8Array; qos: QoS }, deliveryId: number) =>
          this.#onDeliver(message.payload[0]!, message.qos, deliveryId),
        settle: (request: Named, error: HubwireError | undefined) => this.#onSettle(request.number, error),
      },
      {
        maxPacketSize: 10_000,
        maxInflight: this.#scenario.maxInflight,
        operationTimeout: 1_000,
        poisonDetection: false,
        queue: { maxCount: 10, maxBytes: 100_000, maxAge: 10_000, overflow: "reject", qos0: true },
        maxInflightQos2: this.#scenario.maxInflightQos2,
        store: this.store,
      },
    );
  }

  /** A deep copy of another world's session, between two calls. */
  #copySession({ session: from, store }: World): void {
    const to = this.session;
    check(from.__parts.output.byteLength === 0, "output was left");
    const made = transplant(from, to);
    for (const [exchange, keys] of store?.__keys ?? []) this.store!.__keys.set(made.get(exchange)!, { ...keys });
    to.__decoder = from.__decoder && new Decoder(to.__packets, { maxPacketSize: 10_000 });
    for (const part of ["__outbound", "__arrivals"]) to[part].__journal = from[part].__journal && this.store;
  }

  /** The request of a message, or of the SUBSCRIBE. */
  #requestOf(number: number): Named | undefined {
    const { __outbound: outbound, __subscriptions: subscriptions } = this.session;
    for (const owner of [outbound, subscriptions]) {
      for (const name of LISTS) {
        const list = owner[name];
        for (let link = list?.next; link && link !== list; link = link.next) if (link.number === number) return link;
      }
    }
    return undefined;
  }

  #takeEvents(): void {
    for (let event = this.session.takeEvent(); event; event = this.session.takeEvent()) {
      check(event.type !== "failed", `the session failed: ${event.error?.message}`);
    }
  }

  // ---- what the user sees

  #onSettle(request: number, error: HubwireError | undefined): void {
    const { data } = this;
    if (request === SUBSCRIBE) {
      check(data.subscription === "asked", "a SUBSCRIBE was settled twice");
      check(!error && data.serverSubscribed, "a SUBSCRIBE was settled without a subscription");
      data.subscription = "ok";
      return;
    }
    const result = error?.code ?? "ok";
    check(data.results[request] === "", `message ${request} was settled twice`);
    data.results[request] = result;
    const qos = this.#scenario.publishes[request]!;
    if (result === "ok" && qos) {
      check(data.log.includes(request), `message ${request} was settled but not received`);
      data.sent[request]!.id = 0;
    } else if (result === "ERR_SESSION_LOST") {
      check(qos === 2 && data.sent[request]!.ever, `message ${request} was given up without need`);
    } else check(result === "ok" || result === "ERR_ABORTED", `message ${request} got ${result}`);
  }

  #onDeliver(message: number, qos: QoS, deliveryId: number): void {
    const { data } = this;
    check(!(qos === 2 && data.acknowledged[message]), `message ${message} was delivered after acknowledgement`);
    check(!(qos === 2 && data.delivered[message]!), `message ${message} was delivered twice`);
    data.delivered[message]!++;
    if (!deliveryId) return;
    data.pending.push({ deliveryId, message });
    data.arrivals[data.arrivals.length - 1]!.deliveryId = deliveryId;
  }

  // ---- what the session writes

  #collect(): void {
    const packets: Packet[] = [];
    const reader = new PacketReader((packet) => packets.push(packet));
    for (const chunk of this.session.takeOutput()) reader.push(chunk);
    for (const packet of packets) {
      this.#observe(packet);
      this.data.toServer.push(packet);
    }
  }

  #observe(packet: Packet): void {
    const { data } = this;
    check(data.up, `${packet.type} without a connection`);
    if (packet.type === "publish") {
      const message = packet.payload[0]!;
      const sent = data.sent[message]!;
      check(!(data.cancelled[message] && !sent.ever), `message ${message} was sent after it was cancelled`);
      if (packet.qos) {
        const id = packet.packetId!;
        check(!sent.released, `message ${message} was sent again after PUBREL`);
        const resend = sent.id !== 0;
        check(packet.dup === resend || (data.died && packet.dup), `message ${message} has DUP ${packet.dup}`);
        if (resend) {
          check(sent.id === id, `message ${message} changed its packet identifier`);
          check(sent.connection < data.connection, `message ${message} was sent twice on one connection`);
        } else {
          check(!this.#idsInUse().includes(id), `packet identifier ${id} was used twice`);
          check(!(data.cancelled[message] && sent.ever), `message ${message} was sent anew after it was cancelled`);
        }
        sent.id = id;
      }
      sent.connection = data.connection;
      sent.ever = true;
    } else if (packet.type === "pubrel") {
      const sent = data.sent.find(({ id }) => id === packet.packetId);
      if (sent) sent.released = true;
    } else if (packet.type === "subscribe") {
      check(!this.#idsInUse().includes(packet.packetId), `packet identifier ${packet.packetId} was used twice`);
      data.subscribeId = packet.packetId;
    } else if (packet.type === "puback" || packet.type === "pubrec") {
      const qos = packet.type === "puback" ? 1 : 2;
      // Refused ones never get an answer and hold up nobody.
      let arrival = data.arrivals.shift();
      while (arrival && arrival.id < 0) arrival = data.arrivals.shift();
      check(arrival && arrival.id === packet.packetId && arrival.qos === qos, `${packet.type} out of order`);
      check(data.unnoticed || arrival.acknowledged, `${packet.type} before acknowledge`);
    }
  }

  #idsInUse(): number[] {
    return [...this.data.sent.map(({ id }) => id), this.data.subscribeId].filter((id) => id > 0);
  }

  // ---- steps

  /** The names of the steps that are possible now. */
  steps(): string[] {
    const { data } = this;
    const scenario = this.#scenario;
    const steps: string[] = [];
    const died: string[] = [];
    if (data.toClient.length) steps.push("toClient");
    if (data.toServer.length) steps.push("toServer");
    if (data.published < scenario.publishes.length) steps.push("publish");
    if (scenario.subscribe && data.subscription === "") steps.push("subscribe");
    if (!data.up) steps.push("open");
    else if (data.cuts) steps.push("cut");
    if (data.forgets && !data.up && data.serverSession) steps.push("forget");
    if (data.accepted && data.serverSent < scenario.sends.length) steps.push("send");
    data.pending.forEach((_, index) => steps.push(`acknowledge ${index}`));
    if (data.refusals) data.pending.forEach((_, index) => steps.push(`refuse ${index}`));
    if (data.cancels) {
      for (let i = 0; i < data.published; i++) {
        if (data.results[i] === "" && !data.orphaned[i]) steps.push(`cancel ${i}`);
      }
    }
    if (data.kills && this.store) {
      for (const step of steps) {
        const writes = step === "toClient" ? data.toClient[0]!.type !== "connack" : /^(publish|acknowledge)/.test(step);
        if (writes) died.push(`die 1 ${step}`, `die 2 ${step}`);
      }
      steps.push("kill", ...died);
    }
    if (data.up && (data.stalls || !data.writable)) steps.push("stall");
    return steps;
  }

  apply(step: string): void {
    if (step.startsWith("die ")) {
      // The process is killed in the middle of a call, after so many writes to the store; its output never
      // leaves.
      this.store!.left = Number(step[4]);
      const inside = step.slice(6);
      this.data.died = true;
      if (inside === "publish") this.data.maybe[this.data.published] = true;
      this.#step(inside);
      this.session.takeOutput();
      this.store!.left = Infinity;
      this.#step("kill");
    } else this.#step(step);
    this.#takeEvents();
    this.#collect();
  }

  #step(step: string): void {
    const { data, session } = this;
    const [name, argument] = step.split(" ");
    const index = Number(argument);
    switch (name) {
      case "publish": {
        const i = data.published++;
        const qos = this.#scenario.publishes[i]!;
        const publication = new this.#opened.Publication("t", Uint8Array.of(i), qos, false);
        publication.number = i;
        if (session.publish(publication, 0)) this.#onSettle(i, undefined);
        break;
      }
      case "subscribe":
        data.subscription = "asked";
        {
          const { Asking, Route, SUBACK } = this.#opened;
          const asking = new Asking(SUBACK, ["f"], [2], [new Route("f", 2)]);
          asking.number = SUBSCRIBE;
          session.ask(asking, 0);
        }
        break;
      case "cancel":
        data.cancels--;
        data.cancelled[index] = true;
        session.cancel([this.#requestOf(index)], ABORTED, 0);
        check(data.results[index] === "ERR_ABORTED", "a cancelled message was not settled");
        break;
      case "acknowledge":
      case "refuse": {
        const [delivery] = data.pending.splice(index, 1);
        const ours = ({ qos, message, deliveryId }: Arrival): boolean =>
          qos === 1 ? deliveryId === delivery!.deliveryId : message === delivery!.message;
        if (name === "acknowledge") {
          data.acknowledged[delivery!.message] = true;
          for (const arrival of data.arrivals) if (ours(arrival)) arrival.acknowledged = true;
          session.acknowledge(delivery!.deliveryId, 0);
        } else {
          data.refusals--;
          data.refused[delivery!.message] = true;
          // The arrivals of this delivery are not answered; QoS 2 may then be delivered again.
          for (const arrival of data.arrivals) if (ours(arrival) && !arrival.acknowledged) arrival.id = -1;
          if (!data.acknowledged[delivery!.message]) data.delivered[delivery!.message] = 0;
          session.refuse(delivery!.deliveryId, 0);
        }
        break;
      }
      case "stall":
        data.writable = !data.writable;
        if (!data.writable) data.stalls--;
        session.writable(data.writable, 0);
        break;
      case "open":
        data.connection++;
        data.up = data.writable = true;
        session.open({ clientId: "c", cleanSession: this.#scenario.cleanSession, keepAlive: 0 }, 0);
        break;
      case "cut": {
        data.cuts--;
        // The packet under way is cut before its last byte; whatever was handed over of it must not matter.
        const next = data.toClient[0];
        if (next) session.receive(encode(next).slice(0, -1), 0);
        this.#disconnected();
        session.lost(LOST, 0);
        break;
      }
      case "kill":
        data.kills--;
        this.#disconnected();
        data.pending = [];
        // What was delivered and not acknowledged is delivered again: the handler may have died halfway.
        data.delivered = data.delivered.map((times, message) => (data.acknowledged[message] ? times : 0));
        for (let i = 0; i < data.published; i++) if (data.results[i] === "") data.orphaned[i] = true;
        if (data.subscription === "asked") data.subscription = "";
        // The next process knows only what the records tell it.
        this.store!.__lastKey = 0xffff;
        this.store!.__keys.clear();
        this.#newSession();
        break;
      case "forget":
        data.forgets--;
        this.#forget();
        break;
      case "send": {
        const message = data.serverSent++;
        const id = data.serverNextId++;
        data.serverOut.push({ message, id, phase: "publish" });
        this.#serverPublish(message, id, false);
        break;
      }
      case "toClient":
        this.#receive(data.toClient.shift()!);
        break;
      case "toServer":
        this.#serve(data.toServer.shift()!);
        break;
    }
  }

  #disconnected(): void {
    const { data } = this;
    const [first] = data.toClient;
    if (first?.type === "connack" && !first.sessionPresent && data.sessionsLost) data.unnoticed = true;
    data.up = data.accepted = false;
    data.toClient = [];
    data.toServer = [];
    data.arrivals = [];
    data.subscribeId = 0;
  }

  #receive(packet: PacketInit): void {
    const { data } = this;
    if (packet.type === "connack" && !packet.sessionPresent) {
      // The session's end: the identifiers are free, QoS 1 becomes new messages, the user may see messages
      // again.
      data.sent.forEach((sent, message) => {
        if (this.#scenario.publishes[message] === 1 || !sent.ever) sent.id = 0;
        else if (sent.id) {
          sent.id = 0;
          sent.released = true;
        }
      });
      data.delivered = data.delivered.map(() => 0);
    } else if (packet.type === "publish") {
      const payload = packet.payload as Uint8Array;
      const message = payload[0]!;
      const acknowledged = packet.qos === 2 && data.acknowledged[message]!;
      data.arrivals.push({ message, qos: packet.qos!, id: packet.packetId!, deliveryId: 0, acknowledged });
      if (packet.qos === 1) data.acknowledged[message] = false;
    } else if (packet.type === "puback" || packet.type === "pubcomp") {
      const sent = data.sent.find(({ id }) => id === packet.packetId);
      if (sent) sent.id = 0;
    } else if (packet.type === "suback") data.subscribeId = 0;
    this.session.receive(encode(packet), 0);
  }

  // ---- the server (section 4.3, method B)

  #serverPublish(message: number, id: number, dup: boolean): void {
    const qos = this.#scenario.sends[message]!;
    this.data.toClient.push({ type: "publish", topic: "s", payload: Uint8Array.of(message), qos, dup, packetId: id });
  }

  #forget(): void {
    const { data } = this;
    data.serverSession = data.serverSubscribed = false;
    data.serverKnown = [];
    data.serverOut = [];
    data.serverNextId = 1;
    data.sessionsLost++;
  }

  #serve(packet: Packet): void {
    const { data } = this;
    const reply = (answer: PacketInit): void => void data.toClient.push(answer);
    switch (packet.type) {
      case "connect":
        if (packet.cleanSession && data.serverSession) this.#forget();
        reply({ type: "connack", sessionPresent: data.serverSession, returnCode: 0 });
        data.serverSession = data.accepted = true;
        for (const { message, id, phase } of data.serverOut) {
          if (phase === "publish") this.#serverPublish(message, id, true);
          else reply({ type: "pubrel", packetId: id });
        }
        break;
      case "publish": {
        const packetId = packet.packetId ?? 0;
        const message = packet.payload[0]!;
        if (packet.qos < 2 || !data.serverKnown.includes(packetId)) {
          if (packet.qos === 2) {
            check(data.unnoticed || !data.log.includes(message), `message ${message} was received twice`);
            data.serverKnown.push(packetId);
          }
          if (!data.log.includes(message)) {
            check(
              data.log.every((earlier) => earlier < message),
              `message ${message} came out of order`,
            );
            data.log.push(message);
          }
        }
        if (packet.qos) reply({ type: packet.qos === 1 ? "puback" : "pubrec", packetId });
        break;
      }
      case "pubrel":
        data.serverKnown = data.serverKnown.filter((id) => id !== packet.packetId);
        reply({ type: "pubcomp", packetId: packet.packetId });
        break;
      case "subscribe":
        data.serverSubscribed = true;
        reply({ type: "suback", packetId: packet.packetId, returnCodes: [2] });
        break;
      case "puback":
      case "pubcomp": {
        const done = data.serverOut.find(({ id }) => id === packet.packetId);
        if (done)
          check(
            data.unnoticed || data.acknowledged[done.message],
            `message ${done.message} was lost on its way to the user`,
          );
        data.serverOut = data.serverOut.filter((out) => out !== done);
        break;
      }
      case "pubrec":
        for (const out of data.serverOut) if (out.id === packet.packetId) out.phase = "release";
        reply({ type: "pubrel", packetId: packet.packetId });
        break;
    }
  }

  // ---- judging

  /** Lets everything that is under way end well, and checks that nothing is left over. Changes this world. */
  complete(): void {
    const { data, session } = this;
    const scenario = this.#scenario;
    for (let n = 0; ; n++) {
      check(n < 500, "no end in sight");
      if (data.up && !data.writable) this.apply("stall");
      else if (!data.up) this.apply("open");
      else if (data.toServer.length) this.apply("toServer");
      else if (data.toClient.length) this.apply("toClient");
      else if (data.pending.length) this.apply("acknowledge 0");
      else if (data.serverOut.length && data.refusals < (scenario.refusals ?? 0)) {
        // A refused message comes again with the next connection; the others must not have waited for it.
        check(
          data.serverOut.every(({ message }) => data.refused[message]),
          "an acknowledgement was held up",
        );
        data.cuts++;
        this.apply("cut");
      } else break;
    }
    for (let i = 0; i < data.published; i++) {
      const qos = scenario.publishes[i]!;
      const result = data.results[i]!;
      if (data.orphaned[i] && !data.cancelled[i]) {
        const mayBeLost = !qos || data.maybe[i] || (qos === 2 && data.sessionsLost > 0);
        check(mayBeLost || data.log.includes(i), `message ${i} was accepted and lost`);
      } else check(result !== "", `message ${i} was never settled`);
      if (result === "ERR_SESSION_LOST") check(data.sessionsLost > 0, `message ${i}: no session was lost`);
    }
    check(session.metrics.inflight === 0 && session.metrics.queued === 0, "messages are left over");
    const { __ring: ring, __free: free, __holders: holders } = session.__parts.ids;
    check(
      holders.every((exchange: unknown) => exchange === undefined),
      "an identifier is left taken",
    );
    check(ring.length === 0 || free === ring.length - 1, "an identifier was lost");
    check(data.unnoticed || !session.__arrivals.__inbound.__known?.size, "a QoS 2 identifier is left over");
    check(data.serverOut.length === 0 && data.serverKnown.length === 0, "the server still waits");
    check(data.unnoticed || !this.store?.records.size, "records are left over");
    if (data.subscription) check(data.subscription === "ok" && data.serverSubscribed, "a subscription was lost");
  }

  /** Everything that a later step can depend on, with identifiers renamed in order of appearance. */
  digest(): string {
    const { data, session } = this;
    const names = new Map<number, number>();
    const name = (id: number): number => {
      if (id <= 0) return id;
      let short = names.get(id);
      if (!short) names.set(id, (short = names.size + 1));
      return short;
    };
    const {
      __outbound: outbound,
      __subscriptions: subscriptions,
      __handshake: handshake,
      __answers: answers,
    } = session;
    let text =
      `${session.__state}${+handshake.__cleanSession}${+outbound.isWritable}${+session.__isRestored}` +
      `${+handshake.__isAnswered}${+handshake.__isDoubtful}${+handshake.__isBehind}${+answers.__isDowngraded}${outbound.awaited}${subscriptions.awaited}`;
    for (const owner of [outbound, subscriptions]) {
      for (const list of LISTS) {
        if (!owner[list]) continue;
        text += "|";
        for (let link = owner[list].next; link !== owner[list]; link = link.next) {
          text += `${link.number},${link.payload?.[0]},${link.awaits},${name(link.packetId)},${+link.settled};`;
        }
      }
    }
    for (const filter of subscriptions.filters.__filters.values()) {
      text += `|${filter.topicFilter}${+filter.granted}${filter.routes.map((route: any) => route.state)}`;
    }
    const place = (deliveryId: number): number =>
      deliveryId && data.pending.findIndex((pending) => pending.deliveryId === deliveryId) + 1;
    {
      const { __inbound: inbound } = session.__arrivals;
      const { __slots: slots, __head: head, __base: base, __known: known = new Map() } = inbound;
      // The server's identifiers are as they are; they count up with its messages.
      text += "|" + slots.slice(head).join() + "|";
      for (const [id, deliveryId] of known) text += `${id}=${place(deliveryId)}${inbound.__isDoubtful(deliveryId)},`;
      for (const { deliveryId, message } of data.pending)
        text += `;${message}@${Math.max(-1, deliveryId - base - head)}`;
    }
    for (const record of this.store?.records.values() ?? []) {
      text += `/${record[0]},${record[0] === 4 ? record[2] : name(record[2]!)},${record[3] ?? 0},${record[7] ?? 0}`;
    }
    text += "|" + data.toServer.map((packet) => shorten(packet, SERVERS_TO_SERVER, name)).join();
    text += "|" + data.toClient.map((packet) => shorten(packet, SERVERS_TO_CLIENT, name)).join();
    text +=
      "|" +
      data.sent
        .map(({ id, connection, released, ever }) => `${name(id)}${connection === data.connection}${released}${ever}`)
        .join();
    text +=
      `|${data.up}${data.accepted}${data.published}${data.results}${data.cancelled}${data.orphaned}${data.maybe}${data.died}` +
      `|${data.subscription}${name(data.subscribeId)}|${data.acknowledged}${data.refused}${data.delivered}${data.writable}` +
      `|${data.serverSession}${data.serverKnown.map(name)}${data.serverSubscribed}${data.serverSent}${data.log}` +
      `|${data.sessionsLost > 0}${data.unnoticed}${data.cuts},${data.forgets},${data.cancels},${data.kills},${data.refusals},${data.stalls}`;
    for (const { message, id, phase } of data.serverOut) text += `o${message},${id}${phase}`;
    for (const { message, id, acknowledged, deliveryId } of data.arrivals)
      text += `a${message},${id},${acknowledged}@${place(deliveryId)}`;
    return text;
  }
}

/** A packet in the digest's terms; `own` are the types whose identifiers the server chose. */
function shorten(packet: PacketInit, own: readonly string[], name: (id: number) => number): string {
  const id = ("packetId" in packet && packet.packetId) || 0;
  const short = own.includes(packet.type) ? id : name(id);
  if (packet.type === "publish") return `P${(packet.payload as Uint8Array)[0]}${packet.dup}${short}`;
  return packet.type === "connack" ? `C${packet.sessionPresent}` : packet.type + short;
}

const SERVERS_TO_SERVER = ["puback", "pubrec", "pubcomp"];
const SERVERS_TO_CLIENT = ["publish", "pubrel"];
