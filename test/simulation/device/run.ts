/** One run of a DeviceClient: the program, then peace; see `../run.ts`. */
import { type Outcome, played } from "../outcome.js";
import type { DeviceSubject } from "../subject.js";
import type { DeviceProgram } from "./program.js";
import { isSame } from "./json.js";
import { DeviceWorld } from "./world.js";

/** ms of peace in which everything has to come to rest. */
const PEACE = 45 * 60_000;

export async function runDevice(program: DeviceProgram, subject: DeviceSubject, tracing = false): Promise<Outcome> {
  const world = new DeviceWorld(program, subject, tracing);
  const { scheduler, report } = world;
  await played(world, program.steps, () => peace(world));
  if (world.failed()) {
    void world.client.close({ force: true });
    for (const line of world.network.lines) line.end.destroy();
    await scheduler.settle();
  }
  return {
    fault: report.fault,
    steps: scheduler.steps,
    faults: world.faults + world.broker.faults.count + world.hub.count,
    calls: world.calls.count,
    delivered: world.deliveries.delivered,
    trace: report.lines,
  };
}

async function until(world: DeviceWorld, done: () => boolean, what: () => string, most = PEACE): Promise<void> {
  const { scheduler, report } = world;
  if (world.failed()) return;
  const began = scheduler.now();
  await scheduler.advance(began + most, world.rested, () => world.failed() || done());
  if (!done()) report.fail(`waited ${Math.round((scheduler.now() - began) / 1_000)} s of peace for ${what()}`);
}

async function peace(world: DeviceWorld): Promise<void> {
  const { scheduler, report, user, facts, program, client } = world;
  world.heal();
  await scheduler.advance(scheduler.now() + 2_000, world.rested, world.failed);
  if (!facts.closeAsked) {
    await drained(world);
    if (world.failed()) return;
    // What still waits for an answer that was lost makes the client connect anew (policy 11).
    await scheduler.advance(
      scheduler.now() + (facts.isCalm ? 0 : 3 * program.options.operationTimeout + 2_000),
      world.rested,
      world.failed,
    );
    await granted(world);
    await redelivered(world);
    await probed(world);
    if (world.failed()) return;
    void user.close(false);
  }
  await until(
    world,
    () => facts.closed,
    () => "close() to resolve",
  );
  if (world.failed()) return;
  await scheduler.settle();
  for (const call of world.calls.pending) report.fail(`${call.name} ${call.id} is pending after close()`);
  await scheduler.advance(scheduler.now() + 120_000, world.rested, world.failed);
  report.check(scheduler.timers === 0, () => `${scheduler.timers} timers are left after close()`);
  report.check(user.iterators === 0, () => "an iteration goes on after close()");
  const open = world.network.lines.filter(({ end }) => !end.destroyed).length;
  report.check(open === 0, () => `${open} connections are left open after close()`);
  void user.telemetry(1, 10);
  void user.twin();
  await scheduler.settle();
  report.check(world.calls.pending.size === 0, () => "a call after close() is pending");
  report.check(!client.connected, () => "connected after close()");
}

/** Connected, and nothing waits. Whoever was refused, or gave up, is called again by the user. */
async function drained(world: DeviceWorld): Promise<void> {
  const { client, calls, user, broker, deliveries, facts, program } = world;
  const waiting = (): string => {
    const { inflight, queued } = client.metrics;
    if (!client.connected) {
      // Without `reconnect` it is the user's to call again.
      const isAsked = [...calls.pending].some(({ name }) => name === "connect");
      if (!program.options.reconnect && !isAsked) void user.connect(60_000);
      return "a connection";
    }
    for (const call of calls.pending) return `${call.name} ${call.id} to settle`;
    if (inflight || queued) return `the window to empty: ${inflight} in flight, ${queued} queued`;
    if (deliveries.isBusy) return "a handler";
    for (const copy of broker.session.outbox) {
      if (copy.qos > 0 && user.sub.live && !deliveries.isRefused(copy))
        return `the acknowledgement of message ${copy.id}`;
    }
    for (const [id, times] of user.called) {
      if (facts.isCalm && world.hub.calls.get(id)!.answers < times) return `the answer to call ${id}`;
    }
    return "";
  };
  const isLost = facts.connects === 0 || !program.options.reconnect || facts.refusedFilters.size > 0;
  for (let attempts = 0; attempts < 5; attempts++) {
    if (!isLost && attempts === 0 && client.connected) break;
    let settled: boolean | undefined;
    void user.connect(60_000).then((done) => (settled = done));
    await until(
      world,
      () => settled !== undefined,
      () => "connect() to settle",
    );
    if (settled || world.failed()) break;
  }
  await until(world, () => waiting() === "", waiting);
  if (!facts.isCalm || world.failed()) return;
  for (const id of world.promised) {
    const times = world.arrivals.times.get(id) ?? 0;
    world.report.check(times === 1, () => `telemetry ${id} arrived ${times} times, and nothing was wrong`);
  }
}

/** The hub knows of the subscription to messages, whatever it has refused or not answered before. */
async function granted(world: DeviceWorld): Promise<void> {
  const { user, broker } = world;
  if (!user.isReading) return;
  await until(
    world,
    () => broker.session.filters.has(user.sub.filter),
    () => "the hub to know of the subscription to messages",
  );
  world.trust();
}

/** What a handler has refused comes again with the next connection, and is taken. */
async function redelivered(world: DeviceWorld): Promise<void> {
  const { broker, client, scheduler, user, deliveries } = world;
  if (!user.sub.live || world.failed()) return;
  // What was taken is acknowledged on this connection, not only when it comes again.
  await until(
    world,
    () => !client.connected || ![...broker.session.outbox].some((copy) => deliveries.isTaken(copy)),
    () => "messages that were taken to be acknowledged",
  );
  const copies = [...broker.session.outbox];
  if (copies.length === 0 || world.failed()) return;
  world.facts.isCalm = false;
  broker.drop();
  await scheduler.advance(scheduler.now() + 50, world.rested, world.failed);
  if (!world.program.options.reconnect) await works(world, "connect()", () => user.connect());
  await until(
    world,
    () => client.connected && broker.session.outbox.size === 0,
    () => "refused messages to be taken",
  );
  for (const copy of copies) {
    world.report.check(deliveries.missing(copy) === undefined, () => `message ${copy.id} was never delivered`);
  }
}

/** A call that has to go well; once more where a connection that was still sick was made anew meanwhile. */
async function works(world: DeviceWorld, what: string, call: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 5 && !world.failed(); tries++) {
    const { connects } = world.facts;
    let done: boolean | undefined;
    void call().then((ok) => (done = ok));
    await until(
      world,
      () => done !== undefined,
      () => `${what} to settle`,
    );
    if (done) return;
    if (world.facts.connects === connects && world.client.connected) break;
    await until(
      world,
      () => world.client.connected,
      () => "a connection",
    );
    // The hub hears of what is subscribed to after CONNACK, and calls no method before.
    await world.scheduler.advance(world.scheduler.now() + 50, world.rested, world.failed);
  }
  world.report.fail(`${what} did not work in peace`);
}

async function probed(world: DeviceWorld): Promise<void> {
  const { user, hub, report, client, deliveries, scheduler, broker } = world;
  await works(world, "telemetry", () => user.telemetry(1, 10));
  await works(world, "getTwin", () => user.twin());
  await works(world, "updateReportedProperties", () => user.report());
  if (!user.isListening) void user.desired("return", 0);
  hub.perform({ do: "patch", times: 1 });
  await until(
    world,
    () => isSame(user.model, hub.desired),
    () => `the handler to know ${JSON.stringify(hub.desired)}: it knows ${JSON.stringify(user.model)}`,
  );
  for (const name of user.methods.keys()) {
    await until(
      world,
      () => client.connected,
      () => "a connection",
    );
    await scheduler.advance(scheduler.now() + 50, world.rested, world.failed);
    let id: string | undefined;
    const call = async (): Promise<boolean> => {
      id = hub.call(name);
      if (id === undefined) return false;
      const { answers } = hub.calls.get(id)!;
      await new Promise<void>((done) => scheduler.after(3_000, () => (scheduler.touch(), done())));
      return hub.calls.get(id)!.answers === answers + 1;
    };
    await works(world, `method ${name}`, call);
  }
  if (!user.isReading) return;
  const copy = hub.message(10);
  report.check(copy !== undefined, () => "the hub knows nothing of the subscription to messages");
  await until(
    world,
    () => copy !== undefined && !deliveries.missing(copy) && broker.session.outbox.size === 0,
    () => "a message of the peace to be taken",
  );
}
