/**
 * The world of one run: the real client, the simulated network and server around it, and those who judge.
 *
 * Invariants: everything random comes from the program's seed; whatever the world does to the client is an operation of
 * the program, or the peace at its end.
 */
import type { Duplex } from "node:stream";
import type { MqttClient, MqttClientOptions } from "../../src/client/index.js";
import { encode } from "../../src/codec/index.js";
import { seeded } from "../support/random.js";
import { Arrivals } from "./arrivals.js";
import { Broker } from "./broker.js";
import { Calls, type Facts } from "./calls.js";
import { Deliveries } from "./deliveries.js";
import { Limits } from "./limits.js";
import { type Conditions, Line } from "./line.js";
import type { Op, Program, UserOp, WorldOp } from "./program.js";
import { Report } from "./report.js";
import { Scheduler } from "./scheduler.js";
import { MemoryStore } from "./store.js";
import type { Subject } from "./subject.js";
import { User } from "./user.js";

export const PEACE: Conditions = { latency: 5, rate: Infinity, capacity: 1e6, pieces: [] };

const USER_OPS: readonly string[] = [
  "connect",
  "publish",
  "subscribe",
  "unsubscribe",
  "end",
  "loop",
  "next",
  "return",
  "abort",
  "reconnect",
  "close",
  "listen",
] satisfies UserOp["do"][];

/** What delays no answer. */
const CALM: readonly string[] = ["send", "stray", "hoard", "downgrade", "refuse"] satisfies WorldOp["do"][];

/** What is no MQTT, or not what a server may send. */
const GARBAGE: readonly Uint8Array[] = [
  Uint8Array.of(0x00, 0x00),
  Uint8Array.of(0xf0, 0x00),
  Uint8Array.of(0x10, 0x02, 0x00, 0x00),
  Uint8Array.of(0x36, 0x05, 0x00, 0x01, 0x61, 0x00, 0x01),
  Uint8Array.of(0x32, 0x05, 0x00, 0x01, 0x61, 0x00, 0x00),
  Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0xff, 0x01),
  Uint8Array.of(0x20, 0x02, 0x00, 0x00),
  Uint8Array.of(0x40, 0x03, 0x00, 0x01, 0x02),
];

const failure = (code: string): Error => Object.assign(new Error("the simulated network"), { code });

export class World {
  readonly scheduler = new Scheduler();
  readonly report: Report;
  readonly program: Program;
  readonly client: MqttClient;
  readonly user: User;
  readonly broker: Broker;
  readonly calls: Calls;
  readonly deliveries: Deliveries;
  readonly arrivals: Arrivals;
  readonly limits: Limits;
  readonly lines: Line[] = [];
  readonly facts: Facts = {
    connects: 0,
    closeAsked: false,
    closed: false,
    refusedIdentity: false,
    refusedFilters: new Set(),
    storeFailed: false,
    limit: Infinity,
    isCalm: true,
    closings: () => (this.broker.faults.closedOnPublish > 0 ? this.broker.faults.closed : 0),
    sessionsLost: 0,
  };
  /** What the network and the server did wrong. */
  faults = 0;
  readonly #store: MemoryStore | undefined;
  #conditions: Conditions = PEACE;
  #dials: { how: "refuse" | "never" | "late" | "throw"; times: number }[] = [];
  #downUntil = 0;
  /** Bytes of the largest message of the user. */
  readonly largest: number;

  constructor(program: Program, subject: Subject, tracing: boolean) {
    this.program = program;
    const { options } = program;
    this.largest = program.steps.reduce(
      (most, { op }) => Math.max(most, op.do === "publish" ? op.size * op.times : 0),
      0,
    );
    this.report = new Report(tracing, () => this.scheduler.now());
    this.calls = new Calls(this.report, this.scheduler, options, this.facts);
    this.deliveries = new Deliveries(this.report, this.scheduler, options);
    this.arrivals = new Arrivals(this.report, options);
    this.#store = options.store ? new MemoryStore(this.facts) : undefined;
    this.client = this.#makeClient(subject);
    this.limits = new Limits(this);
    this.user = new User(this.client, this.scheduler, this.report, this.facts, this, (op) => this.perform(op));
    this.user.onRead = (payload) => this.limits.read(payload);
    this.user.onEvent = (event, error) => this.limits.event(event, error);
    this.broker = new Broker(this.scheduler);
    this.broker.observer = {
      arrived: (...values) => this.arrivals.arrived(...values),
      sending: (copy, line, end) => this.deliveries.sending(copy, line, end),
      acknowledged: (copy, line) => this.deliveries.acknowledged(copy, line),
      refused: (filter) => this.user.refused(filter),
      misbehaved: (line) => this.deliveries.misbehaved(line),
      violated: (text) => this.report.fail(text),
    };
  }

  #makeClient({ MqttClient }: Subject): MqttClient {
    const { options, seed } = this.program;
    const { queue, store: _store, handlerTimeout, ...plain } = options;
    const all: MqttClientOptions = {
      ...plain,
      protocol: "mqtt",
      clientId: "simulated",
      offlineQueue: queue,
      clock: this.scheduler,
      random: seeded(seed ^ 0x5eed).next,
      createConnection: () => this.#dial(),
      ...(this.#store && { store: this.#store as never }),
    };
    try {
      return new MqttClient({ ...all, handlerTimeout } as MqttClientOptions);
    } catch {
      return new MqttClient(all);
    }
  }

  perform(op: Op): void {
    // What a server sends to a session that ends with this connection is nobody's.
    if (op.do === "reconnect" && this.broker.line) this.deliveries.misbehaved(this.broker.line);
    if (op.do === "publish" && op.poison) this.facts.isCalm = false;
    if (USER_OPS.includes(op.do)) return this.user.perform(op as UserOp);
    this.faults++;
    this.facts.isCalm &&= CALM.includes(op.do);
    this.report.log(`world ${JSON.stringify(op)}`);
    this.#disturb(op as WorldOp);
  }

  #disturb(op: WorldOp): void {
    const { broker, facts } = this;
    const { line } = broker;
    switch (op.do) {
      case "cut":
        return op.how === "end" ? broker.drop() : op.how === "reset" ? line?.reset() : this.lines.at(-1)?.vanish();
      case "cut after":
        return line?.breakAfter(op.way, op.bytes);
      case "stall":
        return this.lines.at(-1)?.stall(op.way, op.ms);
      case "line":
        this.#conditions = op;
        if (line) line.conditions = op;
        return;
      case "dial":
        this.#dials.push({ how: op.how, times: op.times });
        return;
      case "down":
        broker.drop();
        this.#downUntil = this.scheduler.now() + op.ms;
        return;
      case "forget":
        broker.drop();
        broker.forget();
        facts.sessionsLost++;
        return;
      case "send":
        for (let i = 0; i < op.times; i++) broker.publish(op.topic, op.qos, op.size);
        return;
      case "unknown":
        return this.#unknown(op.type, op.times);
      case "garbage":
        if (line) this.deliveries.misbehaved(line);
        return broker.raw(GARBAGE[op.which % GARBAGE.length]!);
      case "stray":
        if (!this.client.connected) return;
        broker.send("stray/x", 10);
        if (line) this.limits.strayed(line, line.sent);
        return;
      case "siege":
        if (!line) return;
        line.stall("up", 20_000);
        line.conditions = { ...line.conditions, capacity: 0 };
        this.limits.besieged(line);
        return this.#unknown("pubrel", op.times);
      case "hoard":
        this.limits.hoarded();
        for (let i = 0; i < op.times; i++) {
          broker.send("hoard/small", 10);
          broker.send("hoard/large", 64_000);
        }
        return;
      case "store":
        if (this.#store) this.#store.failures = op.times;
        return;
      case "connack":
        facts.refusedIdentity = true;
        return broker.faults.arm(op);
      case "answer":
        // A second CONNACK is no MQTT.
        if (op.type === "connack" && op.how === "repeat") this.#unreliable = true;
        return broker.faults.arm(op);
      case "downgrade":
        this.arrivals.lenient = true;
        return broker.faults.arm(op);
      case "close on":
      case "limit":
        if (op.do === "limit") facts.limit = Math.min(facts.limit, op.size);
        this.arrivals.unordered = true;
        return broker.faults.arm(op);
      default:
        return broker.faults.arm(op);
    }
  }

  /** Lines on which the server may break the rules at any time. */
  #unreliable = false;

  #unknown(type: string, times: number): void {
    if (type === "pingresp" || type === "connack") return;
    const packetId = 60_000;
    const packet =
      type === "suback" ? encode({ type, packetId, returnCodes: [0] }) : encode({ type: type as "puback", packetId });
    this.broker.raw(times === 1 ? packet : Buffer.alloc(times * packet.length, packet));
  }

  #dial(): Duplex | Promise<Duplex> {
    const { scheduler } = this;
    scheduler.touch();
    const next = this.#dials.find(({ times }) => times > 0);
    const down = scheduler.now() < this.#downUntil;
    const how = down ? "refuse" : next?.how;
    if (next && !down) next.times--;
    this.report.log(`connection attempt${how ? `: ${how}` : ""}`);
    if (how === "throw") throw failure("EACCES");
    if (how === "never") return new Promise(() => {});
    return new Promise((resolve, reject) => {
      const { latency } = this.#conditions;
      scheduler.after(how === "late" ? 15_000 : latency, () => {
        scheduler.touch();
        if (how === "refuse") return reject(failure("ECONNREFUSED"));
        const line = new Line(scheduler, this.#conditions);
        this.lines.push(line);
        if (this.#unreliable) this.deliveries.misbehaved(line);
        this.broker.accept(line);
        this.limits.opened(line);
        this.deliveries.opened(line, this.client.metrics.bytesReceived);
        resolve(line.end);
      });
    });
  }

  /** Everything is well from now on; what was wrong is mended. */
  heal(): void {
    this.report.log("peace");
    this.#conditions = PEACE;
    this.#dials = [];
    this.#downUntil = 0;
    this.broker.faults.heal();
    if (this.#store) this.#store.failures = 0;
    for (const line of this.lines) line.heal(PEACE);
    this.limits.peace();
    this.user.makePeace();
  }

  /** After each step, when the process is at rest. */
  readonly rested = (): void => {
    this.deliveries.rested(() => this.client.metrics.bytesReceived);
    this.limits.rested();
  };

  readonly failed = (): boolean => this.report.fault !== undefined;
}
