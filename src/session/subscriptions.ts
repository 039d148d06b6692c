/**
 * SUBSCRIBE and UNSUBSCRIBE, and what came of them.
 *
 * Invariants:
 * - An asking is in `#unsent` or, with a packet identifier of this connection, in `#sent`; both in order of the calls, so
 *   that the server comes to what the user said last.
 * - An answer acts on the routes that its request was made with, and on no others: those are asked for anew by a later
 *   request, which the server answers later.
 * - What the server may have and nobody wants is ended by an UNSUBSCRIBE of the session's own.
 */
import type { QoS } from "../codec/types.js";
import { HubwireError } from "../errors.js";
import { Asking, OwnAsking, SUBACK, UNSUBACK } from "./exchange.js";
import { Filters, isWanted, wantedQos } from "./filters.js";
import { insert, type Link, members, newList, unlink } from "./list.js";
import type { SessionParts } from "./parts.js";
import { refused } from "./refusals.js";
import type { Route } from "./route.js";
import type { Suspect } from "./suspect.js";

/**
 * Topic filters that are out at one time: what one step sends, and the answers that may come in one chunk, stay few. Each
 * takes some ten microseconds to be written and checked.
 */
const WINDOW = 512;
/** Bytes that requests may take while they wait, where messages may take less. */
const LEAST = 1024 * 1024;
/** What a request takes besides its topic filters, with its promises and its subscription, bytes. */
const REQUEST = 1_500;
/** Filters in one SUBSCRIBE when subscriptions are restored; some servers accept no more. */
const RESTORE_BATCH = 8;

export class Subscriptions<R extends Route> {
  readonly filters = new Filters<R>();
  /** Askings that the end of a drain waits for. */
  awaited = 0;
  /** The memory that they take, bytes. */
  #bytes = 0;
  /** The topic filters of those in `#sent`. */
  #out = 0;
  #isOpen = false;
  readonly #parts: SessionParts;
  readonly #unsent = newList();
  readonly #sent = newList();
  readonly #suspect: Suspect;

  constructor(parts: SessionParts, suspect: Suspect) {
    this.#parts = parts;
    this.#suspect = suspect;
  }

  /** When the oldest unanswered request was sent, ms; Infinity without one. */
  get oldestSentAt(): number {
    return this.#sent.next === this.#sent ? Infinity : (this.#sent.next as Asking<R>).sentAt;
  }

  /**
   * The routes that an UNSUBSCRIBE would end: all of the filter, those included that an earlier one is to end, or `only`
   * that one; undefined where others want the filter's messages, so that the server need not hear of it.
   */
  routesToEnd(topicFilter: string, only: R | undefined): readonly R[] | undefined {
    const filter = this.filters.get(topicFilter);
    if (!only) return filter?.routes ?? [];
    return isWanted(filter, only) ? undefined : [only];
  }

  /** Throws ERR_QUEUE_FULL, and has taken nothing then. */
  ask(asking: Asking<R>): void {
    const { time, options } = this.#parts;
    const bytes = this.#bytes + memoryOf(asking);
    if (bytes > Math.max(options.queue.maxBytes, LEAST)) {
      throw new HubwireError("ERR_QUEUE_FULL", "too many requests wait for the server's answers");
    }
    this.#bytes = bytes;
    asking.acceptedAt = Math.floor(time.now);
    for (const route of asking.subscriptions) {
      if (asking.awaits === SUBACK) this.filters.add(route);
      else this.filters.ending(route);
    }
    insert(asking, this.#unsent);
    this.awaited++;
    // Stryker disable next-line ArithmeticOperator: a look that comes too early finds when it should have been.
    time.schedule(asking.acceptedAt + options.queue.maxAge);
    this.sendAll();
  }

  /** Sends what is not sent on this connection, as far as there are identifiers. */
  sendAll(): void {
    const { ids, output, time, options } = this.#parts;
    while (this.#isOpen && this.#out < WINDOW && this.#unsent.next !== this.#unsent) {
      const asking = this.#unsent.next as Asking<R>;
      // Policy 12: what the user asks for waits while somebody is under suspicion; what the session asks for does not.
      if ((!(asking instanceof OwnAsking) && this.#suspect.holds(asking)) || !ids.take(asking)) return;
      const { topicFilters, packetId } = asking;
      output.packet(
        asking.awaits === SUBACK
          ? { type: "subscribe", packetId, subscriptions: this.#wanted(asking) }
          : { type: "unsubscribe", packetId, topicFilters },
        time.now,
      );
      asking.sentAt = Math.floor(time.now);
      asking.wasSent = true;
      this.#suspect.sent(asking, time);
      unlink(asking);
      insert(asking, this.#sent);
      this.#out += topicFilters.length;
      // Stryker disable next-line ArithmeticOperator: as above.
      time.schedule(asking.sentAt + options.operationTimeout);
    }
  }

  #wanted({ topicFilters, qos }: Asking<R>): { topicFilter: string; qos: QoS }[] {
    return topicFilters.map((topicFilter, index) => ({
      topicFilter,
      qos: wantedQos(this.filters.get(topicFilter), qos[index] ?? 0),
    }));
  }

  // ---- the server's answers

  /** SUBACK: one return code a filter, in their order (MQTT-3.9.3-1). */
  granted(asking: Asking<R>, returnCodes: readonly number[]): void {
    this.#remove(asking);
    asking.topicFilters.forEach((topicFilter, index) => {
      if (returnCodes[index]! > 2) this.#refused(asking, topicFilter, index);
      else this.#accepted(asking, topicFilter, index);
    });
    this.#settle(asking, undefined, returnCodes);
    this.sendAll();
  }

  #accepted(asking: Asking<R>, topicFilter: string, index: number): void {
    const route = asking.subscriptions[index];
    if (route?.state === "asked") route.state = "granted";
    const filter = this.filters.get(topicFilter);
    if (filter) filter.granted = true;
    if (!isWanted(filter)) this.#endUnwanted(topicFilter);
  }

  #refused(asking: Asking<R>, topicFilter: string, index: number): void {
    if (!(asking instanceof OwnAsking)) return this.filters.remove(asking.subscriptions[index]!);
    const filter = this.filters.get(topicFilter);
    const routes = filter?.routes.filter(({ state }) => state === "granted") ?? [];
    if (filter) filter.granted = false;
    for (const route of routes) this.filters.remove(route);
    if (routes.length > 0) this.#parts.event({ type: "refused", topicFilter, routes });
  }

  /** UNSUBACK. */
  ended(asking: Asking<R>): void {
    this.#remove(asking);
    for (const topicFilter of asking.topicFilters) {
      const filter = this.filters.get(topicFilter);
      // Whoever wants it now has asked for it behind this UNSUBSCRIBE.
      if (filter) filter.granted = filter.some(({ state }) => state === "granted");
    }
    for (const route of asking.subscriptions) this.filters.remove(route);
    this.#settle(asking, undefined);
    this.sendAll();
  }

  // ---- the end of a request

  /**
   * Nobody waits for the answer any more. What was asked for is not wanted any more either, and what was to end has
   * ended as far as the user is concerned; only an UNSUBSCRIBE that was never sent has not happened.
   */
  giveUp(asking: Asking<R>, error: HubwireError): void {
    if (asking.settled) return;
    const { awaits, subscriptions, wasSent } = asking;
    // What is out keeps its identifier; an UNSUBSCRIBE that went out on an earlier connection still has to be heard.
    if (!asking.packetId && (awaits === SUBACK || !wasSent)) this.#remove(asking);
    for (const route of subscriptions) {
      if (awaits === SUBACK || wasSent) this.filters.remove(route);
      else this.filters.notEnding(route);
    }
    this.#settle(asking, error);
    if (awaits !== SUBACK || !wasSent) return;
    for (const topicFilter of asking.topicFilters) {
      if (!isWanted(this.filters.get(topicFilter))) this.#endUnwanted(topicFilter);
    }
  }

  giveUpAll(error: HubwireError): void {
    for (const list of [this.#sent, this.#unsent]) {
      for (const asking of members<Asking<R>>(list)) if (!(asking instanceof OwnAsking)) this.giveUp(asking, error);
    }
  }

  /** The server may have a subscription that nobody wants; nobody waits for its end. */
  #endUnwanted(topicFilter: string): void {
    for (const list of [this.#unsent, this.#sent]) {
      const last = list.prev as Asking<R>;
      if (last !== (list as Link) && last.awaits === UNSUBACK && last.topicFilters.includes(topicFilter)) return;
    }
    // Stryker disable next-line ArrayDeclaration: UNSUBSCRIBE has no QoS.
    insert(new OwnAsking<R>(UNSUBACK, [topicFilter], [], []), this.#unsent);
    this.sendAll();
  }

  #remove(asking: Asking<R>): void {
    unlink(asking);
    if (asking.packetId) this.#out -= asking.topicFilters.length;
    this.#parts.ids.release(asking);
  }

  #settle(asking: Asking<R>, error: HubwireError | undefined, returnCodes?: readonly number[]): void {
    if (asking.settled) return;
    asking.settled = true;
    if (asking === this.#suspect.accused) this.#suspect.clear();
    if (asking instanceof OwnAsking) return;
    this.awaited--;
    this.#bytes -= memoryOf(asking);
    this.#parts.settle(asking, error, returnCodes);
  }

  // ---- connections

  /** CONNACK. `isKept`: the server has all that it granted. */
  opened(sessionPresent: boolean, isKept: boolean): void {
    this.#isOpen = true;
    if (!sessionPresent) this.filters.forgetFormer();
    for (const asking of members<Asking<R>>(this.#unsent)) {
      // Subscriptions are restored anew; and a new session has nothing that would have to end.
      const isOver = asking instanceof OwnAsking && (asking.awaits === SUBACK ? !isKept : !sessionPresent);
      if (isOver || (asking.settled && !sessionPresent)) unlink(asking);
    }
    if (!isKept) this.#restore();
    this.sendAll();
  }

  #restore(): void {
    const first = this.#unsent.next;
    const wanted = [...this.filters.wanted()];
    for (let at = 0; at < wanted.length; at += RESTORE_BATCH) {
      const some = wanted.slice(at, at + RESTORE_BATCH);
      const topicFilters = some.map(({ topicFilter }) => topicFilter);
      insert(new OwnAsking<R>(SUBACK, topicFilters, [], []), first);
    }
  }

  /** The connection is gone: everything is asked again under a new identifier, in the same order. Returns the user's oldest. */
  lost(): Asking<R> | undefined {
    this.#isOpen = false;
    let oldest: Asking<R> | undefined;
    const first = this.#unsent.next;
    for (const asking of members<Asking<R>>(this.#sent)) {
      if (this.#wasHeard(asking)) {
        this.ended(asking);
        continue;
      }
      this.#remove(asking);
      // Nobody wants what it asked for; an UNSUBSCRIBE still has to reach a server that kept the session.
      if (!asking.settled || asking.awaits === UNSUBACK) insert(asking, first);
      if (!asking.settled && !(asking instanceof OwnAsking)) oldest ??= asking;
    }
    return oldest;
  }

  /** Policy 12. The server has not granted it, and is not to hear of it again. */
  condemn(asking: Asking<R>): void {
    asking.wasSent = false;
    this.giveUp(asking, refused("ERR_SUBSCRIBE_REFUSED"));
  }

  /** The server came to this UNSUBSCRIBE, for it has granted what was asked for behind it: it must not be sent again. */
  #wasHeard({ awaits, topicFilters }: Asking<R>): boolean {
    if (awaits !== UNSUBACK) return false;
    return topicFilters.every((topicFilter) => this.filters.get(topicFilter)?.some(({ state }) => state === "granted"));
  }

  end(error: HubwireError): void {
    for (const list of [this.#sent, this.#unsent]) {
      const all = members<Asking<R>>(list);
      list.next = list.prev = list;
      for (const asking of all) this.#settle(asking, error);
    }
  }

  // ---- time

  /** Gives up what has waited for too long. Throws ERR_TIMEOUT where the server does not restore subscriptions. */
  tick(): void {
    const { time, options } = this.#parts;
    this.#expire(this.#sent, (asking) => asking.sentAt + options.operationTimeout);
    this.#expire(this.#unsent, (asking) => asking.acceptedAt + options.queue.maxAge);
    for (let link = this.#sent.next; link !== this.#sent; link = link.next) {
      const asking = link as Asking<R>;
      if (!(asking instanceof OwnAsking) || asking.awaits !== SUBACK) continue;
      if (time.isDue(asking.sentAt + options.operationTimeout)) {
        throw new HubwireError("ERR_TIMEOUT", "no SUBACK on restoring (MQTT-3.8.4-1)");
      }
      return;
    }
  }

  #expire(list: Link, dueAt: (asking: Asking<R>) => number): void {
    let error: HubwireError | undefined;
    for (let link = list.next; link !== list;) {
      const asking = link as Asking<R>;
      link = link.next;
      if (asking.settled || asking instanceof OwnAsking) continue;
      if (!this.#parts.time.isDue(dueAt(asking))) return;
      this.giveUp(asking, (error ??= new HubwireError("ERR_TIMEOUT", "no answer from the server in time")));
    }
  }
}

/** Bytes that a request takes while it waits. */
function memoryOf({ topicFilters }: Asking<Route>): number {
  let bytes = REQUEST;
  for (const { length } of topicFilters) bytes += 2 * length;
  return bytes;
}
