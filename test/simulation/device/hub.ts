/**
 * The hub behind the broker: tokens, twin, direct methods, messages to the device; as IoT Hub does it, and, where the
 * program says so, as it sometimes does.
 *
 * Invariant: what the hub knows is here, and so is what it said and was told, so that it can be held against what the
 * device made of it.
 */
import type { ConnectPacket, PublishPacket } from "../../../src/codec/types.js";
import { parseSasToken } from "../../../src/wire/sas.js";
import * as topics from "../../../src/wire/topics.js";
import type { Broker } from "../broker.js";
import type { Line } from "../line.js";
import type { Report } from "../report.js";
import type { Scheduler } from "../scheduler.js";
import { type Json, merge } from "./json.js";
import type { HubOp } from "./program.js";

export const HOST = "simulated.azure-devices.net";
export const DEVICE = "simulated";
/** What no error may show. */
export const KEY = "c2ltdWxhdGVkIHNlY3JldCBrZXkgb2YgdGhlIGRldmljZQ==";

interface Call {
  name: string;
  /** Copies of it that were sent. */
  sent: number;
  answers: number;
  /** The body was JSON. */
  isJson: boolean;
}

type Answering = Extract<HubOp, { do: "twin answer" }>;
type Notifying = Extract<HubOp, { do: "notify" }>;

export class Hub {
  desired: Json = {};
  version = 1;
  /** Each state of the desired properties since the device was made. */
  history = new Map<number, Json>([[1, {}]]);
  /** How often the device was made anew. */
  epoch = 0;
  reported: Json = {};
  /** Versions that an update led to, by the name that it sets. */
  readonly updates = new Map<string, number[]>();
  readonly calls = new Map<string, Call>();
  /** Statuses of twin answers that were no success, and whether some were malformed. */
  readonly statuses = new Set<number>();
  malformed = false;
  count = 0;
  readonly #broker: Broker;
  readonly #scheduler: Scheduler;
  readonly #report: Report;
  #reportedVersion = 1;
  #answering: Answering[] = [];
  #notifying: Notifying[] = [];
  #lastCall = 0;

  constructor(broker: Broker, scheduler: Scheduler, report: Report) {
    this.#broker = broker;
    this.#scheduler = scheduler;
    this.#report = report;
  }

  /** The return code: the token has to be this device's, and good. The connection ends with it. */
  connecting({ username, password }: ConnectPacket, line: Line): number {
    if (!username?.startsWith(`${HOST}/${DEVICE}/`) || password === undefined) return 5;
    const { resource, expiry } = parseSasToken(Buffer.from(password).toString());
    const left = expiry * 1_000 - this.#scheduler.wallTime();
    if (resource !== `${HOST}/devices/${DEVICE}` || left <= 0) return 5;
    this.#scheduler.after(left, () => {
      if (this.#broker.line !== line) return;
      this.#report.log("the token has expired");
      this.#broker.drop();
    });
    return 0;
  }

  /** Does what the service or the program wants; false: nothing of the hub's. */
  perform(op: HubOp): boolean {
    switch (op.do) {
      case "patch":
        for (let i = 0; i < op.times; i++) this.#change();
        return true;
      case "recreate":
        this.#broker.drop();
        this.epoch++;
        this.desired = {};
        this.version = 0;
        this.history = new Map();
        this.#change();
        return true;
      case "call":
        this.call(op.name, op.copies, op.isJson);
        return true;
      case "message":
        for (let i = 0; i < op.times; i++) this.message(op.size);
        return true;
      case "notify":
        this.#notifying.push({ ...op });
        return true;
      case "twin answer":
        this.#answering.push({ ...op });
        return true;
      default:
        return false;
    }
  }

  /** The hub behaves from now on. */
  heal(): void {
    this.#answering = [];
    this.#notifying = [];
  }

  message(size: number): ReturnType<Broker["publish"]> {
    return this.#broker.publish(topics.cloudToDeviceTopic(DEVICE, "%24.to=x"), 1, size);
  }

  /** The id of the call, where the device was there to be called. */
  call(name: string, copies = 1, isJson = true): string | undefined {
    const id = (++this.#lastCall).toString(16);
    const body = Buffer.from(isJson ? JSON.stringify({ call: id }) : "{no JSON");
    let sent = 0;
    for (let i = 0; i < copies; i++) {
      if (this.#broker.offer(topics.methodTopic(name, id), 0, () => body)) sent++;
    }
    this.#report.log(`the service calls ${name} (${id}), ${sent} copies`);
    if (sent === 0) return undefined;
    this.calls.set(id, { name, sent, answers: 0, isJson });
    return id;
  }

  #change(): void {
    const number = this.version + 1;
    const name = `p${number % 4}`;
    const patch: Json = { [name]: number % 5 === 0 ? null : number % 3 === 0 ? { at: number, e: this.epoch } : number };
    this.desired = merge(this.desired, patch);
    this.version = number;
    this.history.set(number, this.desired);
    this.#report.log(`desired version ${number}: ${JSON.stringify(patch)}`);
    const armed = take(this.#notifying);
    if (armed) this.count++;
    if (armed?.how === "lose") return;
    const send = (): unknown =>
      this.#broker.offer(topics.desiredTopic(number), 0, () => bytes({ ...patch, $version: number }));
    if (armed?.how === "malformed") {
      this.malformed = true;
      this.#broker.offer(topics.desiredTopic(number).replace(/\?.*/, ""), 0, () => Buffer.from("[1, 2"));
      return;
    }
    if (armed?.how === "delay") return void this.#scheduler.after(armed.ms, send);
    send();
    if (armed?.how === "repeat") send();
  }

  /** A message of the device's. */
  arrived({ topic, payload }: PublishPacket): void {
    const parsed = topics.parseOutbound(topic);
    const text = Buffer.from(payload).toString();
    switch (parsed?.kind) {
      case "twin-get":
        return this.#answer(parsed.requestId, 200, undefined, () => ({
          desired: { ...this.desired, $version: this.version },
          reported: { ...this.reported, $version: this.#reportedVersion },
        }));
      case "reported": {
        const armed = this.#answering.find(({ times }) => times > 0);
        // What is refused is not done.
        if (armed?.how !== "status") this.#update(JSON.parse(text) as Json);
        return this.#answer(parsed.requestId, 204, this.#reportedVersion, () => undefined);
      }
      case "method-response":
        return this.#answered(parsed.requestId ?? "", parsed.status, text);
      default:
        this.#report.fail(`the hub got what it does not know: ${topic}`);
    }
  }

  #update(patch: Json): void {
    this.reported = merge(this.reported, patch);
    this.#reportedVersion++;
    for (const name of Object.keys(patch)) {
      this.updates.set(name, [...(this.updates.get(name) ?? []), this.#reportedVersion]);
    }
  }

  #answer(requestId = "", status: number, version: number | undefined, body: () => Json | undefined): void {
    const armed = take(this.#answering);
    if (armed) this.count++;
    const how = armed?.how;
    if (how === "lose") return;
    if (how === "status") {
      const refused = [400, 429, 500][requestId.length % 3]!;
      this.statuses.add(refused);
      return this.#say(topics.twinResponseTopic(refused, requestId), Buffer.from("no"));
    }
    if (how === "malformed") {
      this.malformed = true;
      return this.#say(topics.twinResponseTopic(status, requestId, version), Buffer.from("[no JSON"));
    }
    if (how === "foreign") this.#say(topics.twinResponseTopic(status, "zz9", 77), bytes({ desired: {}, reported: {} }));
    const answer = bytes(body());
    const send = (): void => this.#say(topics.twinResponseTopic(status, requestId, version), answer);
    if (how === "delay") return void this.#scheduler.after(armed!.ms, send);
    send();
    if (how === "repeat") send();
  }

  #say(topic: string, payload: Uint8Array): void {
    this.#broker.offer(topic, 0, () => payload);
  }

  #answered(id: string, status: number, text: string): void {
    const call = this.calls.get(id);
    this.#report.log(`the device answers call ${id} with ${status}: ${text}`);
    if (call === undefined) return this.#report.fail(`the device answers call ${id}, which nobody made`);
    call.answers++;
    this.#report.check(call.answers <= call.sent, () => `call ${id} was answered ${call.answers} times`);
    this.onAnswer(id, status, text);
  }

  /** For those who judge. */
  onAnswer: (id: string, status: number, text: string) => void = () => {};
}

function take<T extends { times: number }>(armed: readonly T[]): T | undefined {
  const found = armed.find(({ times }) => times > 0);
  if (found) found.times--;
  return found;
}

const bytes = (value: Json | undefined): Uint8Array => Buffer.from(value === undefined ? "" : JSON.stringify(value));
