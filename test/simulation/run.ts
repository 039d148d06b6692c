/**
 * One run: the program, then peace. In peace everything that waits has to end well, and the client, its windows and
 * subscriptions work as on the first day; at last it is closed, and nothing may be left over.
 */
import { aside } from "./quiet.js";
import type { Copy } from "./broker.js";
import { type Outcome, played } from "./outcome.js";
import type { Program } from "./program.js";
import type { Subject } from "./subject.js";
import { World } from "./world.js";

/** ms of peace in which everything has to come to rest: ten minutes are the longest patience (policy 11). */
const PEACE = 45 * 60_000;
/** Events in which they have to. */
const EVENTS = 40_000;

export async function run(program: Program, subject: Subject, tracing = false): Promise<Outcome> {
  const world = new World(program, subject, tracing);
  const { scheduler, report } = world;
  await played(world, program.steps, () => peace(world));
  if (world.failed()) await abandon(world);
  return {
    fault: report.fault,
    steps: scheduler.steps,
    faults: world.faults + world.broker.faults.count,
    calls: world.calls.count,
    delivered: world.deliveries.delivered,
    trace: report.lines,
  };
}

/** Leaves nothing behind that the next run could hear. */
async function abandon(world: World): Promise<void> {
  void world.client.close({ force: true });
  for (const line of world.lines) line.end.destroy();
  await world.scheduler.settle();
}

async function peace(world: World): Promise<void> {
  const { scheduler, report, user, client, facts, program } = world;
  world.heal();
  // What is on its way yet.
  await scheduler.advance(scheduler.now() + 2_000, world.rested, world.failed);
  if (!facts.closeAsked) {
    await reconnected(world);
    await drained(world);
    if (!program.options.cleanSession) await redelivered(world);
    await probed(world);
    if (!world.failed()) {
      world.limits.concluded();
      const before = scheduler.now();
      lastWords(world);
      void user.close(false);
      await until(world, () => facts.closed, "close() to resolve");
      const took = scheduler.now() - before;
      report.check(took <= 1_000, () => `close() took ${took.toFixed(0)} ms with nothing left to send`);
    }
  } else await until(world, () => facts.closed, "close() to resolve");
  if (world.failed()) return;
  await scheduler.settle();
  for (const call of world.calls.pending) report.fail(`${call.name} ${call.id} is pending after close()`);
  // Whatever still has its time must find nobody.
  await scheduler.advance(scheduler.now() + 120_000, world.rested, world.failed);
  report.check(scheduler.timers === 0, () => `${scheduler.timers} timers are left after close()`);
  const open = world.lines.filter(({ end }) => !end.destroyed).length;
  report.check(open === 0, () => `${open} connections are left open after close()`);
  void user.publish("up/late", 1, 10);
  await scheduler.settle();
  report.check(world.calls.pending.size === 0, () => "a call after close() is pending");
  report.check(!client.connected, () => "connected after close()");
}

/** QoS 0 messages that nobody waits for must not hold up the end, not even behind a line that is full for a moment. */
function lastWords({ program, broker, user, client }: World): void {
  for (let i = 0; i < program.seed % 4; i++) void user.publish("up/end", 0, 10);
  const { line } = broker;
  const { queue } = program.options;
  if (program.seed % 4 !== 3 || !line || !queue || !queue.qos0 || queue.maxBytes < 1e6 || queue.maxCount < 10) return;
  line.conditions = { ...line.conditions, capacity: 0 };
  line.stall("up", 300);
  for (let i = 0; i < 4 && client.connected; i++) void user.publish("up/end", 0, 200_000);
}

/** Advances until `done` says so; it is a fault when that takes too long. */
async function until(world: World, done: () => boolean, what: string | (() => string), most = PEACE): Promise<void> {
  const { scheduler, report } = world;
  const began = scheduler.now();
  const last = scheduler.steps + EVENTS;
  await scheduler.advance(began + most, world.rested, () => world.failed() || aside(done) || scheduler.steps > last);
  if (!done())
    report.fail(
      `waited ${Math.round((scheduler.now() - began) / 1_000)} s of peace for ${typeof what === "string" ? what : what()}`,
    );
}

async function reconnected(world: World): Promise<void> {
  const { client, facts, program, user } = world;
  if (client.connected) return;
  // A client that was accepted once comes back by itself (policy 5).
  const again = facts.connects === 0 || !program.options.reconnect;
  for (let attempts = 0; again && attempts < 5 && !client.connected; attempts++) {
    let settled = false;
    void user.connect(60_000).then(() => (settled = true));
    await until(world, () => settled, "connect() to settle");
  }
  await until(world, () => client.connected, "a connection");
}

async function drained(world: World): Promise<void> {
  const { client, calls, user, broker, deliveries, scheduler, program, facts } = world;
  const waiting = (): string => {
    const { inflight, queued, queuedBytes } = client.metrics;
    if (!client.connected) {
      // Without `reconnect` it is the user's to call again.
      const asked = [...calls.pending].some(({ name }) => name === "connect");
      if (!program.options.reconnect && !asked) void user.connect(60_000);
      return "a connection";
    }
    for (const call of calls.pending) if (call.name !== "next") return `${call.name} ${call.id} to settle`;
    if (inflight || queued || queuedBytes) return `the window to empty: ${inflight} in flight, ${queued} queued`;
    if (!broker.connected) return "the server to accept a connection";
    if (deliveries.isBusy) return "a handler";
    for (const copy of broker.session.outbox) {
      // Nobody sends a PUBREL again that the server has lost.
      if (copy.state === "received") continue;
      if (program.options.cleanSession || !deliveries.isRefused(copy))
        return `the acknowledgement of message ${copy.id}`;
    }
    return "";
  };
  await until(world, () => waiting() === "", waiting);
  if (world.failed()) return;
  // What still waits for an answer that was lost makes the client connect anew (policy 11).
  const sick = 3 * program.options.operationTimeout + 2_000;
  await scheduler.advance(scheduler.now() + (facts.isCalm ? 0 : sick), world.rested, world.failed);
}

/** What a handler has refused comes again with the next connection, and is taken. */
async function redelivered(world: World): Promise<void> {
  const { broker, client, deliveries, scheduler } = world;
  if (broker.session.outbox.size === 0 || world.failed()) return;
  if (!world.program.options.reconnect) return;
  const copies = [...broker.session.outbox];
  broker.drop();
  await scheduler.settle();
  await until(world, () => client.connected && broker.session.outbox.size === 0, "refused messages to be taken");
  for (const copy of copies) {
    const sub = deliveries.missing(copy);
    if (sub) world.report.fail(`message ${copy.id} was never delivered to subscription ${sub.id}`);
  }
}

/** So many messages of each QoS arrive: the window is free. */
async function published(world: World, times: number, most: number): Promise<void> {
  const { user, client, facts, program } = world;
  const { queue } = program.options;
  const isRoomy = queue && queue.maxCount > 100 && queue.maxBytes > 10_000;
  for (let tries = 0; ; tries++) {
    await reconnected(world);
    const { connects } = facts;
    let arrived = 0;
    let ended = 0;
    let sent = 0;
    for (const qos of [0, 1, 2] as const) {
      for (let i = 0; i < times; i++) {
        sent++;
        void user.publish("up/probe", qos, 10).then((ok) => {
          ended++;
          arrived += +ok;
        });
        if (!isRoomy) await until(world, () => ended === sent, "a message of the peace to be acknowledged", most);
      }
    }
    await until(world, () => ended === sent, "messages of the peace to be acknowledged", most);
    // Once more where a connection that was still sick was made anew meanwhile.
    if (arrived === sent || world.failed()) return;
    if ((facts.connects === connects && client.connected) || tries > 5)
      return world.report.fail("a message of the peace was not acknowledged");
  }
}

/** The client works: every live subscription gets messages, every QoS goes out, a new subscription is granted. */
async function probed(world: World): Promise<void> {
  const { user, broker, program, report, deliveries } = world;
  if (world.failed()) return;
  const { operationTimeout, maxInflight } = program.options;
  // The longest that a handler may take comes on top.
  const most = operationTimeout + 10_000;
  await published(world, Math.min(maxInflight, 3) + 1, most);
  const probe = user.newSub();
  let granted = false;
  void user.subscribe(probe, "probe/#", 2, { style: "return" }).then((own) => (granted = own.live));
  await until(world, () => granted, "a new subscription", most);
  if (world.failed()) return;
  const copies: Copy[] = [];
  for (const own of user.subs.values()) {
    if (!own.live) continue;
    const topic = own.filter
      .replace(/^\$share\/[^/]+\//, "")
      .replaceAll("+", "x")
      .replace("#", "x");
    const before = copies.length;
    for (const qos of [0, 1, 2] as const) {
      const copy = broker.publish(topic, qos, 10);
      if (copy) copies.push(copy);
    }
    report.check(copies.length > before, () => `the server knows nothing of subscription ${own.id} to ${own.filter}`);
  }
  await until(
    world,
    () => copies.every((copy) => !deliveries.missing(copy)),
    "messages of the peace to be delivered",
    most,
  );
  const acknowledged = (): boolean => copies.every(({ qos, state }) => qos === 0 || state === "done");
  await until(world, acknowledged, "their acknowledgements", most);
  let gone = false;
  void user.unsubscribe("probe/#").then(() => (gone = true));
  await until(world, () => gone, "unsubscribe", most);
}
