/**
 * The user of a DeviceClient: makes the calls, is the handlers, and tells those who judge.
 */
import type { DeviceClient, HubMessage, MethodRequest, MethodResponse } from "../../../src/hub/index.js";
import { messageId, payloadOf } from "../payload.js";
import type { Handler } from "../program.js";
import type { Sub } from "../deliveries.js";
import { Signals } from "../signals.js";
import { code } from "../subject.js";
import { DEVICE } from "./hub.js";
import { isSame, type Json, merge } from "./json.js";
import type { DeviceOp, MethodStyle } from "./program.js";
import type { DeviceWorld } from "./world.js";

export class DeviceUser {
  /** All messages to the device: whoever takes them. */
  readonly sub: Sub = {
    id: 1,
    filter: `devices/${DEVICE}/messages/devicebound/#`,
    handler: undefined,
    live: false,
    over: false,
  };
  readonly methods = new Map<string, MethodStyle>();
  /** Calls of methods that handlers are busy with: until when an answer of theirs counts. */
  readonly running = new Map<string, number>();
  /** How often each call reached a handler. */
  readonly called = new Map<string, number>();
  /** The desired properties as the handlers were told of them. */
  model: Json = {};
  isListening = false;
  iterators = 0;
  /** Messages were asked for. */
  isReading = false;
  readonly #world: DeviceWorld;
  readonly #client: DeviceClient;
  readonly #signals = new Signals();
  #messages = 0;
  #toldVersion = 0;
  /** What the handlers were told is the hub's document, or was once. */
  #isKnown = false;
  #toldEpoch = 0;
  #fair = false;
  #lastId = 0;

  constructor(world: DeviceWorld) {
    this.#world = world;
    this.#client = world.client;
  }

  perform(op: DeviceOp): void {
    switch (op.do) {
      case "connect":
        return void this.connect(op.timeout, this.#signals.of(op.signal));
      case "telemetry":
        for (let i = 0; i < op.times; i++) void this.telemetry(op.qos, op.size, this.#signals.of(op.signal));
        return;
      case "messages":
        return void this.#takeMessages(op.handler);
      case "iterate":
        return void this.iterate(op.take, op.ms);
      case "method":
        return void this.method(op.name, op.handler);
      case "twin":
        return void this.twin(this.#signals.of(op.signal));
      case "report":
        return void this.report(this.#signals.of(op.signal));
      case "desired":
        return void this.desired(op.style, op.ms);
      case "abort":
        this.#world.scheduler.touch();
        return this.#signals.abort(op.signal);
      case "close":
        return void this.close(op.force);
    }
  }

  /** Handlers take what comes from now on, and whoever reads goes on. */
  makePeace(): void {
    this.#fair = true;
    this.readOn();
  }

  /** In peace whoever reads goes on. */
  readOn(): void {
    const isReader = this.isReading && this.sub.handler === undefined && !this.#world.facts.closeAsked;
    if (this.#fair && isReader && this.iterators === 0) void this.iterate(Infinity, 0);
  }

  connect(timeout?: number, signal?: AbortSignal): Promise<boolean> {
    const options = { ...(signal && { signal }), ...(timeout !== undefined && { timeout }) };
    return this.#world.calls
      .make({ id: ++this.#lastId, name: "connect", timeout, signal }, () =>
        this.#client.connect(options).then(() => true),
      )
      .then((done) => done === true);
  }

  async telemetry(qos: 0 | 1 | 2, size: number, signal?: AbortSignal): Promise<boolean> {
    const id = ++this.#lastId;
    const { arrivals } = this.#world;
    const wrong = qos === 2;
    const send = (): Promise<boolean> =>
      this.#client.sendTelemetry(payloadOf(id, size, false), { qos: qos as 1, ...(signal && { signal }) }).then(
        () => {
          arrivals.completed(id, qos);
          this.#world.promised.add(id);
          return true;
        },
        (error: unknown) => {
          arrivals.refused(id, code(error));
          throw error;
        },
      );
    return (await this.#world.calls.make({ id, name: "publish", qos, size, signal, wrong }, send)) === true;
  }

  async #takeMessages(handler: Handler): Promise<void> {
    const { calls, deliveries } = this.#world;
    const wrong = this.sub.handler !== undefined || this.iterators > 0;
    if (!wrong) {
      this.isReading = true;
      Object.assign(this.sub, { handler });
      if (!deliveries.subs.includes(this.sub)) deliveries.subs.push(this.sub);
    }
    await calls.make({ id: ++this.#lastId, name: "listen", wrong }, () =>
      this.#client.messages((message) => this.#handle(message)),
    );
  }

  #handle({ payload, dup }: HubMessage): void | Promise<void> {
    const { scheduler, report, deliveries, facts } = this.#world;
    const { style, ms = 0, every = 1 } = this.sub.handler!;
    scheduler.touch();
    report.check(!facts.closed, () => "a message came after close() had resolved");
    const id = messageId(payload);
    const finish = deliveries.received(this.sub, id, dup);
    const fails = (style === "fail" || style === "reject") && ++this.#messages % every === 0 && !this.#fair;
    const end = (): void => {
      scheduler.touch();
      finish(!fails);
    };
    if (style === "never" && !this.#fair) return new Promise(() => {});
    if (style === "fail" && fails) {
      end();
      throw new Error("the handler failed");
    }
    if (style !== "wait" && style !== "reject") return end();
    return new Promise((resolve, reject) => {
      scheduler.after(this.#fair ? 0 : ms, () => {
        end();
        if (fails) reject(new Error("the handler failed"));
        else resolve();
      });
    });
  }

  async iterate(take: number, ms: number): Promise<void> {
    const { scheduler, report, deliveries } = this.#world;
    if (this.sub.handler !== undefined) return;
    if (!deliveries.subs.includes(this.sub)) deliveries.subs.push(this.sub);
    scheduler.touch();
    this.iterators++;
    this.isReading = true;
    let taken = 0;
    try {
      for await (const { payload, dup } of this.#client.messages()) {
        scheduler.touch();
        const id = messageId(payload);
        const finish = deliveries.received(this.sub, id, dup);
        if (ms > 0 && !this.#fair)
          await new Promise<void>((done) => scheduler.after(ms, () => (scheduler.touch(), done())));
        finish(true);
        if (++taken >= take && !this.#fair) break;
      }
    } catch (error) {
      report.log(`an iteration ended with ${code(error)}`);
      this.#world.errors.look(error);
    }
    scheduler.touch();
    this.iterators--;
    report.log(`an iteration is left after ${taken} messages`);
    if (this.#client.connected) this.readOn();
  }

  async method(name: string, style: MethodStyle): Promise<void> {
    this.methods.set(name, style);
    await this.#world.calls.make({ id: ++this.#lastId, name: "listen" }, () =>
      this.#client.onMethod(name, (request) => this.#called(style, request)),
    );
  }

  #called(
    { style, ms }: MethodStyle,
    { payload, requestId: id }: MethodRequest,
  ): Promise<MethodResponse> | MethodResponse {
    const { scheduler, report, facts, program } = this.#world;
    scheduler.touch();
    const now = scheduler.now();
    report.log(`a method is called (${id})`);
    report.check((payload as Json)["call"] === id, () => `call ${id} came with the body of another`);
    report.check(!facts.closed, () => "a method was called after close() had resolved");
    report.check(!((this.running.get(id) ?? 0) > now), () => `call ${id} came to a handler that is busy with it`);
    this.called.set(id, (this.called.get(id) ?? 0) + 1);
    const answer = { status: 200, payload: { call: id } };
    if (this.#fair) return answer;
    if (style === "fail") throw new Error("the method failed");
    if (style === "bad") return { call: id } as MethodResponse;
    if (style === "return") return answer;
    const busy = style === "never" ? Infinity : ms;
    this.running.set(id, now + Math.min(busy, program.options.operationTimeout));
    return new Promise((resolve) => {
      if (busy < Infinity) scheduler.after(ms, () => (scheduler.touch(), resolve(answer)));
    });
  }

  async twin(signal?: AbortSignal): Promise<boolean> {
    const { hub, report, calls } = this.#world;
    const { version: since, epoch } = hub;
    const got = await calls.make({ id: ++this.#lastId, name: "twin", signal }, () =>
      this.#client.getTwin(signal && { signal }),
    );
    if (got === undefined) return false;
    const { $version, ...desired } = got.desired;
    if (epoch === hub.epoch) {
      report.check($version >= since, () => `getTwin told version ${$version}, and the call began at ${since}`);
      report.check(isSame(desired, hub.history.get($version)), () => `getTwin told what version ${$version} never was`);
    }
    if (!this.isListening) {
      this.model = desired;
      this.#isKnown = true;
    }
    return true;
  }

  async report(signal?: AbortSignal): Promise<boolean> {
    const { hub, report, calls } = this.#world;
    const id = ++this.#lastId;
    const name = `r${id}`;
    const done = await calls.make({ id, name: "report", signal }, () =>
      this.#client.updateReportedProperties({ [name]: id }, signal && { signal }),
    );
    if (done === undefined) return false;
    const versions = hub.updates.get(name);
    report.check(
      versions !== undefined && versions.includes(done.version ?? 0),
      () => `update ${id} led to version ${done.version}, and the hub says ${versions?.join(", ") ?? "there was none"}`,
    );
    return true;
  }

  async desired(style: "return" | "wait" | "fail", ms: number): Promise<void> {
    this.isListening = true;
    await this.#world.calls.make({ id: ++this.#lastId, name: "listen" }, () =>
      this.#client.onDesiredProperties((patch, version) => this.#told(patch, version, style, ms)),
    );
  }

  #told(patch: Json, version: number, style: "return" | "wait" | "fail", ms: number): void | Promise<void> {
    const { scheduler, report, hub, facts } = this.#world;
    scheduler.touch();
    report.log(`the device is told version ${version}: ${JSON.stringify(patch)}`);
    report.check(!facts.closed, () => "desired properties were told after close() had resolved");
    this.model = merge(this.model, patch);
    if (this.#toldEpoch === hub.epoch && hub.epoch === 0) {
      const isVersion = isSame(this.model, hub.history.get(version));
      // A change that comes before the document was ever read is told at once, and the rest when it is.
      const isNewer = version > this.#toldVersion || (version === this.#toldVersion && !this.#isKnown);
      report.check(isNewer, () => `version ${version} was told after ${this.#toldVersion}`);
      report.check(isVersion || !this.#isKnown, () => `what was told is not version ${version}`);
      this.#isKnown ||= isVersion;
    }
    this.#toldEpoch = hub.epoch;
    this.#toldVersion = version;
    if (this.#fair || style === "return") return;
    if (style === "fail") throw new Error("the handler failed");
    return new Promise((resolve) => scheduler.after(ms, () => (scheduler.touch(), resolve())));
  }

  close(force: boolean): Promise<unknown> {
    const { facts, calls } = this.#world;
    facts.closeAsked = true;
    this.sub.live = false;
    const closed = calls.make({ id: ++this.#lastId, name: "close", force }, () => this.#client.close({ force }));
    return closed.then(() => (facts.closed = true));
  }
}
