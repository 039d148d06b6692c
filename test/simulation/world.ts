/**
 * The world of one run: the real client, the simulated network and server around it, and those who judge.
 *
 * Invariants: everything random comes from the program's seed; whatever the world does to the client is an operation of
 * the program, or the peace at its end.
 */
import { aside } from "./quiet.js";
import type { MqttClient, MqttClientOptions } from "../../src/client/index.js";
import { encode } from "../../src/codec/index.js";
import { seeded } from "../support/random.js";
import { Arrivals } from "./arrivals.js";
import { Broker } from "./broker.js";
import { Calls, ClientRules, newFacts } from "./calls.js";
import { Deliveries } from "./deliveries.js";
import { Limits } from "./limits.js";
import type { Line } from "./line.js";
import { Network } from "./network.js";
import type { Op, Program, UserOp, WorldOp } from "./program.js";
import { Report } from "./report.js";
import { Scheduler } from "./scheduler.js";
import { MemoryStore } from "./store.js";
import type { Subject } from "./subject.js";
import { User } from "./user.js";

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
  "rest",
  "pile",
  "crowd",
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
  readonly network: Network;
  readonly facts = newFacts(
    () => (this.broker.faults.closedOnPublish > 0 ? this.broker.ended : 0),
    () => (this.broker.faults.closedOnRequest > 0 ? this.broker.ended : 0),
  );
  /** What the network and the server did wrong. */
  faults = 0;
  readonly #store: MemoryStore | undefined;
  /** Bytes that may be written at once besides: the largest message. */
  readonly atOnce: number;

  constructor(program: Program, subject: Subject, tracing: boolean) {
    this.program = program;
    const { options } = program;
    this.atOnce = program.steps.reduce((most, { op }) => (op.do === "publish" ? Math.max(most, op.size) : most), 0);
    this.report = new Report(tracing, () => this.scheduler.now());
    const rules = new ClientRules(this.scheduler, options, this.facts);
    this.calls = new Calls(this.report, this.scheduler, this.facts, rules);
    this.deliveries = new Deliveries(this.report, this.scheduler, options);
    this.arrivals = new Arrivals(this.report, options);
    this.#store = options.store ? new MemoryStore(this.facts) : undefined;
    this.broker = new Broker(this.scheduler);
    this.network = new Network(this.scheduler, this.report, this.broker, (line) => this.#opened(line));
    this.client = this.#makeClient(subject);
    this.limits = new Limits(this);
    this.user = new User(this.client, this.scheduler, this.report, this.facts, this, (op) => this.perform(op));
    this.user.onRead = (payload) => this.limits.read(payload);
    this.user.onEvent = (event, error) => this.limits.event(event, error);
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
      createConnection: () => this.network.dial(),
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
    if (this.network.disturb(op)) return;
    switch (op.do) {
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

  get lines(): readonly Line[] {
    return this.network.lines;
  }

  #opened(line: Line): void {
    if (this.#unreliable) this.deliveries.misbehaved(line);
    this.limits.opened(line);
    this.deliveries.opened(line, this.client.metrics.bytesReceived);
  }

  /** Everything is well from now on; what was wrong is mended. */
  heal(): void {
    this.report.log("peace");
    this.broker.faults.heal();
    if (this.#store) this.#store.failures = 0;
    this.network.heal();
    this.limits.peace();
    this.user.makePeace();
  }

  /** After each step, when the process is at rest. */
  readonly rested = (): void => {
    this.deliveries.rested(() => aside(() => this.client.metrics.bytesReceived));
    this.limits.rested();
  };

  readonly failed = (): boolean => this.report.fault !== undefined;
}
