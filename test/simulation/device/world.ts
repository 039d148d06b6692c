/** The world of one run of a DeviceClient: the real one, the network, and the hub behind it. */
import { aside } from "../quiet.js";
import { createSasToken, type DeviceClient } from "../../../src/hub/index.js";
import { seeded } from "../../support/random.js";
import { Arrivals } from "../arrivals.js";
import { Broker } from "../broker.js";
import { Calls, newFacts } from "../calls.js";
import { Deliveries } from "../deliveries.js";
import { Network, PEACE } from "../network.js";
import { Report } from "../report.js";
import { Scheduler } from "../scheduler.js";
import { code, type DeviceSubject } from "../subject.js";
import { DEVICE, HOST, Hub, KEY } from "./hub.js";
import type { AnyOp, DeviceOp, DeviceProgram, HubOp, HubWorldOp } from "./program.js";
import { DeviceRules } from "./rules.js";
import { Secrets } from "./secrets.js";
import { DeviceUser } from "./user.js";

const USER_OPS: readonly string[] = [
  "connect",
  "telemetry",
  "messages",
  "iterate",
  "method",
  "twin",
  "report",
  "desired",
  "abort",
  "close",
] satisfies DeviceOp["do"][];

/** What disturbs nothing. */
const CALM: readonly string[] = ["patch", "call", "message"] satisfies HubOp["do"][];

export class DeviceWorld {
  readonly scheduler = new Scheduler();
  readonly report: Report;
  readonly program: DeviceProgram;
  readonly client: DeviceClient;
  readonly user: DeviceUser;
  readonly broker: Broker;
  readonly network: Network;
  readonly hub: Hub;
  readonly calls: Calls;
  readonly deliveries: Deliveries;
  readonly arrivals: Arrivals;
  readonly errors: Secrets;
  /** Telemetry of which the device was told that it has left. */
  readonly promised = new Set<number>();
  readonly facts = newFacts(
    () => 0,
    () => 0,
  );
  faults = 0;
  #sasFailures = 0;
  /** The device told on this connection that a subscription was refused, or not answered. */
  #isDoubtful = false;

  constructor(program: DeviceProgram, subject: DeviceSubject, tracing: boolean) {
    this.program = program;
    const { options } = program;
    const { scheduler, facts } = this;
    const report = (this.report = new Report(tracing, () => scheduler.now()));
    this.errors = new Secrets(report);
    this.broker = new Broker(scheduler);
    this.hub = new Hub(this.broker, scheduler, report);
    this.calls = new Calls(report, scheduler, facts, new DeviceRules(scheduler, options, facts, this.hub));
    this.calls.onError = (error) => this.errors.look(error);
    this.deliveries = new Deliveries(report, scheduler, options);
    this.arrivals = new Arrivals(report, options);
    this.network = new Network(scheduler, report, this.broker, (line) =>
      this.deliveries.opened(line, this.client.metrics.bytesReceived),
    );
    this.network.disturb({ do: "line", ...PEACE, pieces: [], latency: options.latency });
    this.client = this.#makeClient(subject);
    this.user = new DeviceUser(this);
    this.hub.onAnswer = (...values) => this.#answered(...values);
    this.broker.observer = {
      arrived: (id, packet, session, first) => {
        if (packet.topic.startsWith("devices/")) this.arrivals.arrived(id, packet, session, first);
        else this.hub.arrived(packet);
      },
      sending: (copy, line, end) => this.deliveries.sending(copy, line, end),
      acknowledged: (copy, line) => this.deliveries.acknowledged(copy, line),
      refused: (filter) => {
        facts.refusedFilters.add(filter);
        if (filter === this.user.sub.filter) this.user.sub.live = false;
      },
      connecting: (packet, line) => this.hub.connecting(packet, line),
      misbehaved: (line) => this.deliveries.misbehaved(line),
      violated: (text) => report.fail(text),
    };
    this.#listen();
  }

  #makeClient({ DeviceClient }: DeviceSubject): DeviceClient {
    const { options, seed } = this.program;
    const { queue, store: _store, proof, tokenLifetime, latency: _latency, ...plain } = options;
    const identity =
      proof === "key"
        ? { hostName: HOST, deviceId: DEVICE, sharedAccessKey: KEY, tokenLifetime }
        : { hostName: HOST, deviceId: DEVICE, sas: () => this.#token(tokenLifetime) };
    return new DeviceClient(identity, {
      ...plain,
      protocol: "mqtt",
      offlineQueue: queue,
      clock: this.scheduler,
      random: seeded(seed ^ 0x5eed).next,
      createConnection: () => this.network.dial(),
    });
  }

  async #token(lifetime: number): Promise<string> {
    this.scheduler.touch();
    if (this.#sasFailures > 0) {
      this.#sasFailures--;
      throw new Error(`no token with ${KEY}`);
    }
    const expiry = Math.ceil((this.scheduler.wallTime() + lifetime) / 1_000);
    return createSasToken({ hostName: HOST, deviceId: DEVICE, key: KEY, expiry });
  }

  #listen(): void {
    const { client, report, facts } = this;
    let isUp = false;
    const heard = (event: string, error?: unknown): void => {
      this.scheduler.touch();
      report.log(`event ${event}${error === undefined ? "" : ` ${code(error)}`}`);
      if (error !== undefined) this.errors.look(error);
      report.check(!facts.closed, () => `event ${event} after close() had resolved`);
      if (event === "connect" || event === "disconnect") {
        report.check(isUp === (event === "disconnect"), () => `event ${event} twice`);
        isUp = event === "connect";
      }
    };
    client.on("connect", () => {
      facts.connects++;
      this.#isDoubtful = false;
      heard("connect");
      this.user.readOn();
    });
    client.on("disconnect", (error) => {
      heard("disconnect", error);
      const isPlanned = error === undefined || !facts.isCalm;
      report.check(isPlanned, () => `the connection ended with ${code(error)}, and nothing was wrong with it`);
    });
    client.on("reconnecting", ({ error }) => heard("reconnecting", error));
    client.on("error", (error) => {
      // A message that nobody has read for so long is given up like one whose handler does not end.
      const isGivenUp = error.message.includes("has not settled within");
      this.#isDoubtful ||= isGivenUp || /TIMEOUT|REFUSED|UNEXPECTED/.test(code(error));
      heard("error", error);
    });
  }

  /** The answer to a method has to be that of its handler. */
  #answered(id: string, status: number, text: string): void {
    const { report, user, hub } = this;
    const call = hub.calls.get(id)!;
    const called = user.called.get(id) ?? 0;
    const wasHandled = called > 0 ? [200, 500, 504] : call.isJson ? [501] : [400, 501];
    report.check(
      wasHandled.includes(status),
      () => `call ${id} was answered with ${status}, its handler ran ${called} times`,
    );
    report.check(called === 0 || call.answers <= called, () => `call ${id} was answered ${call.answers} times`);
    if (status === 200)
      report.check(text === JSON.stringify({ call: id }), () => `call ${id} got another's answer: ${text}`);
    if (status === 504) {
      const late = this.scheduler.now() >= (user.running.get(id) ?? Infinity);
      report.check(late, () => `call ${id} was answered with 504 before its time`);
    }
  }

  perform(op: AnyOp): void {
    if (USER_OPS.includes(op.do)) return this.user.perform(op as DeviceOp);
    this.faults++;
    this.facts.isCalm &&= CALM.includes(op.do);
    this.report.log(`world ${JSON.stringify(op)}`);
    if (this.hub.perform(op as HubOp)) return;
    if (op.do === "sas") {
      this.#sasFailures = op.times;
      return;
    }
    this.#disturb(op as HubWorldOp);
  }

  #disturb(op: HubWorldOp): void {
    const { broker, facts } = this;
    if (this.network.disturb(op)) return;
    if (op.do === "forget") {
      broker.drop();
      broker.forget();
      facts.sessionsLost++;
      return;
    }
    if (op.do === "connack") facts.refusedIdentity = true;
    if (op.do === "close on") this.arrivals.unordered = true;
    // A second CONNACK is no MQTT.
    if (op.do === "answer" && op.how === "repeat" && op.type === "connack") return;
    broker.faults.arm(op);
  }

  heal(): void {
    this.report.log("peace");
    this.broker.faults.heal();
    this.hub.heal();
    this.#sasFailures = 0;
    this.network.heal();
    this.user.makePeace();
  }

  /** Whatever was refused has been asked for again. */
  trust(): void {
    this.#isDoubtful = false;
    this.rested();
  }

  readonly rested = (): void => {
    const { sub } = this.user;
    const isGranted = this.client.connected && this.broker.session.filters.has(sub.filter);
    const isGood = isGranted && !this.#isDoubtful && this.user.isReading;
    sub.live = isGood && !this.facts.closeAsked;
    this.deliveries.rested(() => aside(() => this.client.metrics.bytesReceived));
    const { queued, inflight, undelivered, undeliveredBytes } = this.client.metrics;
    const { maxInflight, queue } = this.program.options;
    this.report.check(inflight <= maxInflight, () => `${inflight} messages in flight`);
    this.report.check(!queue || queued <= queue.maxCount + maxInflight, () => `${queued} messages queued`);
    this.report.check(undelivered < 2_000 && undeliveredBytes < 6e6, () => `${undelivered} messages wait for the user`);
  };

  readonly failed = (): boolean => this.report.fault !== undefined;
}
