/**
 * Judges what no single call shows: memory held, connections left open or given up, silence that is not noticed, messages
 * that nobody asked for.
 */
import "./quiet.js";
import type { ClientMetrics } from "../../src/client/index.js";
import { DOUBTS } from "./faults.js";
import type { Line } from "./line.js";
import type { ClientEvent } from "./program.js";
import { code } from "./subject.js";
import type { World } from "./world.js";

/** Bytes of output that may wait in the stream behind a peer that doesn't read, besides one message of the user's own. */
const OUTPUT = 1_048_576;
/** Bytes that may be read while the answers to them can't be written. */
const INPUT_WHILE_BLOCKED = 1_048_576;
/** Memory that messages may pin: in busy handlers with requests pending, and in mailboxes without. */
const PINNED = 80 * 1_048_576;
const PINNED_UNREAD = 6 * 1_048_576;
const SLACK = 1_000;
/** How long a connection that is being left may take over its last bytes, ms. */
const LINGER = 5_000;
/** Bytes a ms of a line that is slow and still one to wait for. */
const SLOW_LINE = 65;
/** Bytes that the systems of both ends hold at most of what was sent. */
const UNDER_WAY = 4 * 1_048_576;
/** Messages that wait when looks at a paused connection end, at the least: the bound, and as much that looks brought. */
const LOOKED = 2_048;
/** Calls and rounds of loops that a step may cost, whatever waits, and as many more for each packet, call and message. */
const WORK = 1_500;
const WORK_EACH = 100;
/** Rounds for what is in flight and nobody waits for any more, each: a look at deadlines passes it by. */
const WORK_INFLIGHT = 5;
/** SUBSCRIBE and UNSUBSCRIBE that may be out at one time. */
const REQUESTS = 512;
/** Messages that wait for the socket as they came, and are packed when the connection ends. */
const UNPACKED = 1_024;

/** A server that reads nothing and sends what wants answers. */
interface Siege {
  line: Line;
  /** ms, when it reads again. */
  until: number;
  /** Bytes that the client had received before. */
  received: number;
  /** Bytes that the network had taken from the client before. */
  taken: number;
}

export class Limits {
  readonly #world: World;
  #connected = false;
  /** The work of the client up to the last step, and what had happened when the counters were last looked at. */
  #work = globalThis.hubwireWork;
  #happened = 0;
  #undelivered = 0;
  #inflight = 0;
  #queued = 0;
  #chunks = 0;
  /** Requests and messages that a lost connection was carrying. */
  #moved = 0;
  /** Messages that the server may not have released when a connection came or went. */
  #known = 0;
  #ends = 0;
  /** The one that the client is connected by. */
  #line: Line | undefined;
  /** The one that was opened last, and the bytes that the client had sent before. */
  #opened: Line | undefined;
  #sentBefore = 0;
  /** Those that it had received before. */
  #receivedBefore = 0;
  #siege: Siege | undefined;
  /** Strays on their way, and whether the client ever told of one. */
  readonly #strays: { line: Line; end: number; wasRead: boolean }[] = [];
  #told = false;
  /** Memory of what loops read at one time, while nothing was asked of the server. */
  #isHoarding = false;
  #readAt = 0;
  /** Of the messages that waited before, those not read yet: what comes in after them does not wait beside them. */
  #readLeft = 0;
  #read = new Set<ArrayBufferLike>();

  constructor(world: World) {
    this.#world = world;
  }

  /**
   * A peer that says nothing any more is found out within two intervals, and what a slow line needs for what was sent; or
   * one more where reading is paused, for a look may bring what came before the peer was gone.
   */
  opened(line: Line): void {
    const { scheduler, program, report, client } = this.#world;
    this.#opened = line;
    this.#sentBefore = client.metrics.bytesSent;
    this.#receivedBefore = client.metrics.bytesReceived;
    const { keepAlive, connectTimeout } = program.options;
    if (keepAlive === 0) return;
    const before = this.#sentBefore;
    const look = (): void => {
      if (line.over || line.left) return;
      const { deadSince } = line;
      const now = scheduler.now();
      const underWay = Math.min(UNDER_WAY, client.metrics.bytesSent - before);
      const intervals = client.metrics.undelivered > 0 ? 3_000 : 2_000;
      const lingering = client.state === "leaving" ? LINGER : 0;
      const patience = Math.max(intervals * keepAlive + underWay / SLOW_LINE, connectTimeout, lingering) + SLACK;
      if (deadSince < Infinity && now >= deadSince + patience) {
        // Looks had brought so much that there was no room for more: the operating system is to notice.
        if (client.metrics.undelivered >= LOOKED) return;
        report.fail(`the peer is gone since ${deadSince.toFixed(0)} ms, and the client has not noticed`);
      }
      scheduler.after(deadSince < Infinity ? deadSince + patience - now : patience, look);
    };
    scheduler.after(SLACK, look);
  }

  event(event: ClientEvent, error: unknown): void {
    const { report, program, scheduler, arrivals, calls, user, deliveries } = this.#world;
    if (event === "connect") {
      report.check(!this.#connected, () => "a connect event while connected");
      this.#connected = true;
      this.#line = this.#world.broker.line;
      // Subscriptions are restored, many in a packet; what was in flight is sent again, or waits again.
      this.#moved += user.subs.size + this.#inflight;
      this.#known = deliveries.delivered;
    }
    // A connection that this side ended before it told of it had been accepted all the same.
    if (event === "reconnecting") this.#moved += Math.min(UNPACKED, this.#queued);
    this.#told ||= code(error) === "ERR_UNEXPECTED_MESSAGE";
    if (event !== "disconnect") return;
    this.#known = deliveries.delivered;
    // What was on its way on this connection is to be sent on the next, subscriptions that were being restored among it; a
    // client that closes ends them.
    this.#moved = this.#inflight + Math.min(UNPACKED, this.#queued) + user.subs.size;
    for (const { name } of calls.pending) this.#moved += +/subscribe|end/.test(name);
    report.check(this.#connected, () => "a disconnect event while not connected");
    this.#connected = false;
    // A message that may be the cause of so many ends is held back, and others overtake it (policy 12).
    arrivals.unordered ||= ++this.#ends >= DOUBTS;
    const line = this.#line;
    if (code(error) !== "ERR_KEEP_ALIVE_TIMEOUT" || line === undefined) return;
    const quiet = scheduler.now() - line.progressAt;
    const least = program.options.keepAlive * 400;
    report.check(quiet >= least, () => `keep alive ended a connection on which bytes moved ${quiet.toFixed(0)} ms ago`);
  }

  /** The server reads nothing, and sends what wants answers. */
  besieged(line: Line): void {
    const { scheduler, client } = this.#world;
    const { bytesReceived: received } = client.metrics;
    this.#siege = { line, until: scheduler.now() + 20_000, received, taken: line.taken };
  }

  /** The server sends a message that nobody asked for, up to `end`. */
  strayed(line: Line, end: number): void {
    this.#strays.push({ line, end, wasRead: false });
  }

  /** The server sends what nobody reads for now. */
  hoarded(): void {
    this.#isHoarding = true;
  }

  /** A loop read a message. */
  read({ buffer }: Uint8Array): void {
    const now = this.#world.scheduler.now();
    if (now !== this.#readAt) {
      this.#read.clear();
      this.#readLeft = this.#undelivered;
    }
    this.#readAt = now;
    if (!this.#isHoarding || this.#readLeft-- <= 0) return;
    this.#read.add(buffer);
    let pinned = 0;
    for (const { byteLength } of this.#read) pinned += byteLength;
    this.#world.report.check(pinned <= PINNED_UNREAD, () => `messages that waited unread pinned ${pinned} bytes`);
  }

  rested(): void {
    const { report, user, calls } = this.#world;
    let pinned = 0;
    for (const buffer of user.held.keys()) pinned += buffer.byteLength;
    report.check(pinned <= PINNED, () => `messages in busy handlers pin ${pinned} bytes`);
    // While requests wait for their answers more may be taken in: they come behind it.
    if (this.#isHoarding) for (const { name } of calls.pending) this.#isHoarding &&= name === "next";
    const { metrics } = this.#world.client;
    // What is thrown away with a connection was not read.
    for (const stray of this.#strays) {
      stray.wasRead ||= stray.line === this.#opened && metrics.bytesReceived - this.#receivedBefore >= stray.end;
    }
    this.#weigh(metrics);
    this.#count(metrics);
    if (this.#siege) this.#look(this.#siege);
  }

  /** No step does work in proportion to all that waits (policy 14). */
  #weigh({ packetsSent, packetsReceived, undelivered, inflight, queued }: ClientMetrics): void {
    const { calls, deliveries, report, lines } = this.#world;
    const work = globalThis.hubwireWork - this.#work;
    this.#work = globalThis.hubwireWork;
    const happened = packetsSent + packetsReceived + calls.steps + deliveries.delivered;
    // Messages that nobody will read any more, and handlers that take too long, are let go of together.
    const released = Math.max(this.#undelivered, undelivered);
    // However small, a chunk has to be looked at.
    let seen = 0;
    for (const line of lines) seen += line.chunks;
    const chunks = seen - this.#chunks;
    const passed = WORK_INFLIGHT * (REQUESTS + Math.max(this.#inflight, inflight) + this.#known);
    const most = WORK + passed + WORK_EACH * (happened - this.#happened + released + chunks + this.#moved);
    this.#chunks = seen;
    this.#moved = this.#known = 0;
    this.#inflight = inflight;
    this.#queued = queued;
    this.#happened = happened;
    this.#undelivered = undelivered;
    report.check(work <= most, () => `a step took ${work} calls and rounds, and what happened in it is worth ${most}`);
  }

  #count({ queued, queuedBytes, inflight, bytesSent }: ClientMetrics): void {
    const { program, report, lines } = this.#world;
    const { queue, maxInflight } = program.options;
    const line = lines.at(-1);
    if (line && !line.over && this.#opened === line) {
      const waiting = bytesSent - this.#sentBefore - line.taken;
      const most = OUTPUT + this.#world.atOnce;
      report.check(waiting <= most, () => `${waiting} bytes of output wait`);
    }
    if (queue) {
      const most = queue.maxCount + maxInflight;
      report.check(queued <= most, () => `${queued} messages queued, the bound is ${queue.maxCount}`);
      const room = queue.maxBytes + maxInflight * 500_000;
      report.check(queuedBytes <= room, () => `${queuedBytes} bytes queued, the bound is ${queue.maxBytes}`);
    }
    report.check(inflight <= maxInflight, () => `${inflight} messages in flight`);
    report.check(queued >= 0 && queuedBytes >= 0 && inflight >= 0, () => "a counter is negative");
  }

  #look({ line, until, received, taken }: Siege): void {
    const { client, report, scheduler } = this.#world;
    // After DISCONNECT what comes is read and thrown away: no answer to it is made.
    if (line.over || scheduler.now() >= until || client.state !== "connected") {
      this.#siege = undefined;
      return;
    }
    // A line that widened meanwhile takes answers, each as long as what it answers.
    const read = client.metrics.bytesReceived - received - (line.taken - taken);
    report.check(read <= INPUT_WHILE_BLOCKED, () => `${read} bytes were read while the answers could not be written`);
  }

  /** Peace: nothing of the siege is left, and strays have been told of. */
  peace(): void {
    this.#siege = undefined;
  }

  /** At the end: a message that matched nothing was not swallowed. */
  concluded(): void {
    const { report, user } = this.#world;
    const mayMatch = [...user.subs.values()].some(({ filter }) => filter === "#");
    if (mayMatch || this.#told) return;
    const { deliveries } = this.#world;
    const stray = this.#strays.find(({ line, wasRead }) => wasRead && !deliveries.isUnreliable(line));
    report.check(stray === undefined, () => "a message that nobody had asked for was swallowed without a word");
  }
}
