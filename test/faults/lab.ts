/**
 * One exchange of a few messages between our client and a real broker through a `FaultProxy`, and what must
 * be true of it whatever the proxy did.
 *
 * Invariants: a scenario is decided by its description alone; time decides only how long a failure takes. It
 * is over when every call has settled, every message has arrived and a last message has gone all the way
 * behind them, so that a late duplicate would have been seen.
 */
import { encode } from "../../src/codec/index.js";
import { HubwireError, MqttClient, type Message } from "../../src/client/index.js";
import { createAuthority } from "../../src/emulator/certificates.js";
import { upgradeRequest } from "../../src/transport/websocket-handshake.js";
import { inOrder, Mosquitto } from "../support/mosquitto.js";
import { soon } from "../support/peer.js";
import { FaultProxy, faultKinds, type Direction, type Fault } from "./proxy.js";
import { seeded } from "../support/random.js";

/** `out`: the client publishes; `in`: it receives. */
export type Flow = "out" | "in";

export interface Scenario {
  flow: Flow;
  qos: 1 | 2;
  cleanSession: boolean;
  plan: readonly Fault[];
}

/**
 * `application`: the proxy ends TLS and counts MQTT bytes. `wire`: it sees the bytes of TLS only. `websocket`: it ends TLS
 * and counts the bytes of the upgrade and of frames.
 */
export type Counting = "application" | "wire" | "websocket";

/** Messages in an exchange. */
const COUNT = 2;
const PATIENCE = 25_000;
const FENCE = "end";
const NUMBER = 1_000_000;

export const describeScenario = ({ flow, qos, cleanSession, plan }: Scenario): string =>
  `${flow} qos${qos} clean${+cleanSession} ` +
  plan.map(({ kind, direction, offset }) => `${kind}:${direction}:${offset}`).join(" ");

/** The bytes that pass each way in an exchange that nothing disturbs. */
export function exchangeLength(flow: Flow, qos: 1 | 2, cleanSession: boolean): Record<Direction, number> {
  const one = encode({ type: "publish", topic: topicOf(0), payload: "0", qos, packetId: 1 });
  const publish = COUNT * one.length;
  const connect = encode({ type: "connect", clientId: clientIdOf(0), cleanSession, keepAlive: 1 }).length;
  const acknowledgements = COUNT * 4 * (qos === 2 ? 2 : 1);
  const releases = COUNT * (qos === 2 ? 4 : 0);
  if (flow === "out") return { up: connect + publish + releases, down: 4 + acknowledgements };
  const subscriptions = [{ topicFilter: topicOf(0), qos }];
  const subscribe = encode({ type: "subscribe", packetId: 1, subscriptions }).length;
  return { up: connect + subscribe + acknowledgements, down: 4 + 5 + publish + releases };
}

/**
 * The bytes that pass through a WebSocket at most: the upgrade (mosquitto's answer is 130 bytes long), and at worst a frame
 * a packet, 6 bytes longer than its payload upwards and 2 downwards.
 */
export function webSocketLength(flow: Flow, qos: 1 | 2, cleanSession: boolean): Record<Direction, number> {
  const { up, down } = exchangeLength(flow, qos, cleanSession);
  const packets = 1 + COUNT * qos;
  return { up: UPGRADE.up + up + 6 * (packets + 1), down: UPGRADE.down + down + 2 * (packets + 1) };
}

const UPGRADE = { up: upgradeRequest("127.0.0.1:12345", "/mqtt", "x".repeat(24)).length, down: 130 };

/** A scenario for each fault at each byte, both ways. */
export function* everyByte(
  flow: Flow,
  qos: 1 | 2,
  cleanSession: boolean,
  length = exchangeLength(flow, qos, cleanSession),
): Iterable<Scenario> {
  for (const kind of faultKinds) {
    for (const direction of ["up", "down"] as const) {
      for (let offset = 0; offset <= length[direction]; offset++) {
        yield { flow, qos, cleanSession, plan: [{ kind, direction, offset }] };
      }
    }
  }
}

/** The scenario of a seed: up to four connections in a row are spoilt, at any byte. */
export function scenarioOf(seed: number, counting: Counting): Scenario {
  const { next, below, pick } = seeded(seed);
  const flow = pick(["out", "in"] as const);
  const qos = pick([1, 2] as const);
  const cleanSession = next() < 0.25;
  const length = exchangeLength(flow, qos, cleanSession);
  const plan = Array.from({ length: 1 + below(4) }, (): Fault => {
    const direction = pick(["up", "down"] as const);
    // A TLS 1.3 handshake and its tickets are about 2,000 bytes down and 700 up.
    const bound = counting === "application" ? length[direction] + 1 : direction === "up" ? 1_500 : 3_000;
    return { kind: pick(faultKinds), direction, offset: below(bound) };
  });
  return { flow, qos, cleanSession, plan };
}

/** All of one length, so that every scenario of a kind has the same bytes at the same offsets. */
const topicOf = (number: number): string => `f/${NUMBER + number}`;
const clientIdOf = (number: number): string => `f${NUMBER + number}`;

export class Lab {
  readonly #counting: Counting;
  readonly #broker: Mosquitto;
  readonly #director: MqttClient;
  readonly #identity: { key: string; cert: string };
  readonly #ca: string;
  /** Topic to what arrived on it at the director, in order. */
  readonly #seen = new Map<string, Inbox>();
  #number = 0;

  private constructor(
    counting: Counting,
    broker: Mosquitto,
    director: MqttClient,
    ca: string,
    identity: { key: string; cert: string },
  ) {
    this.#counting = counting;
    this.#broker = broker;
    this.#director = director;
    this.#ca = ca;
    this.#identity = identity;
  }

  /** Starts a broker and the director: a client that publishes and receives without faults. */
  static async start(counting: Counting): Promise<Lab> {
    const authority = createAuthority();
    const { chain, key } = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });
    const config = [...inOrder, "set_tcp_nodelay true"];
    const broker = await Mosquitto.start({ tls: counting === "wire", webSocket: counting === "websocket", config });
    const ca = counting === "wire" ? broker.ca : authority.certificate;
    const director = new MqttClient({
      host: "127.0.0.1",
      port: broker.port,
      protocol: counting === "wire" ? "mqtts" : "mqtt",
      tls: { ca },
      clientId: "director",
    });
    const lab = new Lab(counting, broker, director, ca, { key, cert: chain });
    try {
      await director.connect();
      await director.subscribe("f/#", { qos: 2 }, (message) => lab.#seen.get(message.topic)?.put(message));
    } catch (error) {
      await lab.stop();
      throw error;
    }
    return lab;
  }

  async stop(): Promise<void> {
    await this.#director.close({ force: true });
    await this.#broker.stop();
  }

  /** Runs the scenarios, `width` at a time; returns what was wrong, a line each with the scenario first. */
  async runAll(
    scenarios: Iterable<Scenario>,
    width = this.#counting === "websocket" ? 16 : 64,
  ): Promise<{ count: number; problems: string[] }> {
    const problems: string[] = [];
    const iterator = scenarios[Symbol.iterator]();
    let count = 0;
    const worker = async (): Promise<void> => {
      for (let next = iterator.next(); !next.done; next = iterator.next()) {
        count++;
        problems.push(...(await this.run(next.value)));
      }
    };
    await Promise.all(Array.from({ length: width }, worker));
    return { count, problems };
  }

  async run(scenario: Scenario): Promise<string[]> {
    const number = this.#number++;
    const topic = topicOf(number);
    const problems: string[] = [];
    const proxy = await FaultProxy.listen({
      target: this.#counting === "websocket" ? this.#broker.webSocketPort : this.#broker.port,
      plan: scenario.plan,
      ...(this.#counting !== "wire" && { tls: this.#identity }),
    });
    const client = new MqttClient({
      host: "127.0.0.1",
      port: proxy.port,
      protocol: this.#counting === "websocket" ? "wss" : "mqtts",
      tls: { ca: this.#ca },
      clientId: clientIdOf(number),
      cleanSession: scenario.cleanSession,
      keepAlive: 1,
      // mosquitto serves WebSockets every 100 ms.
      connectTimeout: this.#counting === "websocket" ? 5_000 : 1_500,
      operationTimeout: PATIENCE,
      reconnect: { minDelay: 2, maxDelay: 50 },
      random: seeded(number).next,
    });
    client.on("error", (error) => {
      if (error.code !== "ERR_TAKEOVER") problems.push(`error event ${error.code}: ${error.message}`);
    });
    const progress: Progress = { stage: "connecting", unsettled: 0 };
    try {
      const work = scenario.flow === "out" ? this.#out : this.#in;
      const over = work.call(this, scenario, topic, client, proxy, problems, progress);
      await soon(over, "the end of it", PATIENCE);
      await client.close();
    } catch (error) {
      problems.push(`${error} while ${progress.stage}; ${JSON.stringify(client.metrics)}`);
    } finally {
      await client.close({ force: true });
      await proxy.close();
      this.#seen.delete(topic);
    }
    if (progress.unsettled > 0) problems.push(`${progress.unsettled} calls never settled`);
    return problems.map((problem) => `${describeScenario(scenario)}: ${problem}`);
  }

  async #out(
    scenario: Scenario,
    topic: string,
    client: MqttClient,
    proxy: FaultProxy,
    problems: string[],
    progress: Progress,
  ): Promise<void> {
    const { qos } = scenario;
    const inbox = new Inbox();
    this.#seen.set(topic, inbox);
    await connect(client);
    progress.stage = "publishing";
    progress.unsettled = COUNT;
    const outcomes = await Promise.all(
      Array.from({ length: COUNT }, (_, index) =>
        client
          .publish(topic, String(index), { qos })
          .then(
            () => "done",
            (error: unknown) => codeOf(error),
          )
          .finally(() => progress.unsettled--),
      ),
    );
    if (this.#counting === "application") {
      progress.stage = "waiting for the fault";
      await proxy.fired;
    }
    progress.stage = "waiting for the fence";
    await this.#director.publish(topic, FENCE, { qos: 2 });
    await inbox.until(() => inbox.has(FENCE));
    const arrived = inbox.payloads.filter((payload) => payload !== FENCE);
    outcomes.forEach((outcome, index) => {
      // Policy 6: exactly once cannot be promised when the session is gone.
      const excused = qos === 2 && scenario.cleanSession && outcome === "ERR_SESSION_LOST";
      if (outcome !== "done" && !excused) problems.push(`message ${index} was rejected: ${outcome}`);
      if (outcome === "done" && !arrived.includes(String(index))) problems.push(`message ${index} was lost`);
    });
    problems.push(...wrong(arrived, qos));
  }

  async #in(
    scenario: Scenario,
    topic: string,
    client: MqttClient,
    proxy: FaultProxy,
    problems: string[],
    progress: Progress,
  ): Promise<void> {
    const { qos, cleanSession } = scenario;
    const inbox = new Inbox();
    await connect(client);
    progress.stage = "subscribing";
    await client.subscribe(topic, { qos }, (message) => inbox.put(message));
    progress.stage = "waiting for the director";
    await Promise.all(
      Array.from({ length: COUNT }, (_, index) => this.#director.publish(topic, String(index), { qos })),
    );
    if (this.#counting === "application") {
      progress.stage = "waiting for the fault";
      await proxy.fired;
    }
    if (!cleanSession) {
      progress.stage = "waiting for the messages";
      await inbox.until(() => new Set(inbox.payloads).size === COUNT);
    }
    proxy.heal();
    progress.stage = "waiting for the fence";
    progress.unsettled = 1;
    // From the client itself: behind the restored subscription and behind what the broker sends again.
    await client.publish(topic, FENCE, { qos: 1 }).finally(() => progress.unsettled--);
    await inbox.until(() => inbox.has(FENCE));
    const arrived = inbox.payloads.filter((payload) => payload !== FENCE);
    // A clean session promises nothing about what came while it was down.
    problems.push(...wrong(arrived, qos, cleanSession));
  }
}

interface Progress {
  stage: string;
  unsettled: number;
}

/** The messages of one topic in the order of their arrival. */
class Inbox {
  readonly payloads: string[] = [];
  #changed: (() => void) | undefined;

  put(message: Message): void {
    this.payloads.push(Buffer.from(message.payload).toString());
    this.#changed?.();
  }

  has(payload: string): boolean {
    return this.payloads.includes(payload);
  }

  async until(satisfied: () => boolean): Promise<void> {
    while (!satisfied()) await new Promise<void>((resolve) => (this.#changed = resolve));
  }
}

const codeOf = (error: unknown): string => (error instanceof HubwireError ? error.code : String(error));

/** Connects however often it takes: a first connection that the proxy spoils is rightly rejected in time. */
async function connect(client: MqttClient): Promise<void> {
  for (;;) {
    try {
      return await client.connect();
    } catch (error) {
      if (!(error instanceof HubwireError) || !error.retryable) throw error;
    }
  }
}

/** What is wrong with the arrival of messages 0, 1, 2, ...; `gaps` are allowed, and always at the end. */
export function wrong(arrived: readonly string[], qos: 1 | 2, gaps = false): string[] {
  const problems: string[] = [];
  let last = -1;
  let highest = -1;
  for (const payload of arrived) {
    const number = Number(payload);
    // MQTT-4.6.0-6: 0 1 0 1 2 may be, 0 2 1 may not, and 0 1 2 0 2 neither.
    if (number > last + 1 && !gaps) problems.push("order");
    if (number <= highest && qos === 2) problems.push("duplicate");
    last = number;
    highest = Math.max(highest, number);
  }
  return problems.map((problem) => `${problem}: ${arrived.join(" ")}`);
}
