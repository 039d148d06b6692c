/**
 * The topic filters that are subscribed to, and where their messages go.
 *
 * Invariants: a route that is not `ended` is in the list of its filter, and no other is; a filter without routes is
 * forgotten; lists are replaced and never changed, so that one may be walked while handlers subscribe and unsubscribe.
 * A shared subscription (`$share/{group}/{filter}`, `$queue/{filter}`) matches what stands behind its prefix: the
 * messages' topics have none.
 */
import { matchTopic } from "../codec/index.js";
import type { QoS } from "../codec/types.js";
import { insert, members, newList, unlink, walk } from "./list.js";
import type { Route } from "./route.js";
import { TopicTree } from "./topic-tree.js";

/** Filters that ended of which late messages are expected. */
const FORMER = 64;

const SHARED = /^(\$share\/[^/]+|\$queue)\/(?=.)/;

/** One topic filter. */
export class Filter<R extends Route> {
  readonly topicFilter: string;
  /** Without the prefix of a shared subscription. */
  readonly matched: string;
  /** The server has it. */
  granted = false;
  /** In order, so that one that ends is not searched for among all. */
  readonly #members = newList();
  #routes: readonly R[] | undefined;
  /** How many of them want its messages beyond what is under way, by QoS: there may be thousands. */
  readonly #wanting = [0, 0, 0];

  constructor(topicFilter: string) {
    const matched = topicFilter.replace(SHARED, "");
    this.topicFilter = topicFilter;
    this.matched = matched;
  }

  get isEmpty(): boolean {
    return this.#members.next === this.#members;
  }

  /** Its routes now; a list that is never changed. */
  get routes(): readonly R[] {
    return (this.#routes ??= members<R>(this.#members));
  }

  add(route: R): void {
    insert(route, this.#members);
    this.#routes = undefined;
    this.count(route, 1);
  }

  remove(route: R): void {
    unlink(route);
    this.#routes = undefined;
    this.count(route, -1);
  }

  /** One of its routes wants messages from now on, or no more (-1); one that is `ending` counts for nothing. */
  count({ state, qos }: R, change: 1 | -1): void {
    if (state !== "ending") this.#wanting[qos]! += change;
  }

  /** The highest QoS that its routes want messages with, but for `except`; -1: none wants any. */
  wantedQos(except?: R): number {
    let qos = 2;
    while (qos >= 0 && this.#wanting[qos]! <= +(except?.qos === qos && except.state !== "ending")) qos--;
    return qos;
  }

  [Symbol.iterator](): Iterator<R> {
    return walk<R>(this.#members)[Symbol.iterator]();
  }

  /** Whether `test` holds for one of its routes. */
  some(test: (route: R) => boolean): boolean {
    for (let link = this.#members.next; link !== this.#members; link = link.next) if (test(link as R)) return true;
    return false;
  }
}

export class Filters<R extends Route> {
  readonly #filters = new Map<string, Filter<R>>();
  readonly #tree = new TopicTree<readonly Filter<R>[]>();
  /** Filters that ended a short time ago; made when one does. */
  #former: Set<string> | undefined;
  #count = 0;
  /** The routes of the topic that came last: it often comes again. */
  #lastTopic: string | undefined;
  #lastRoutes: readonly R[] = [];

  get(topicFilter: string): Filter<R> | undefined {
    return this.#filters.get(topicFilter);
  }

  /** Those that the server has and that somebody still wants, in the order in which they came. */
  *wanted(): Iterable<Filter<R>> {
    for (const filter of this.#filters.values()) if (filter.granted && isWanted(filter)) yield filter;
  }

  *routes(): Iterable<R> {
    for (const filter of this.#filters.values()) yield* filter;
  }

  add(route: R): void {
    this.#lastTopic = undefined;
    route.order = this.#count++;
    const { topicFilter } = route;
    let filter = this.#filters.get(topicFilter);
    if (!filter) {
      const added = (filter = new Filter<R>(topicFilter));
      this.#filters.set(topicFilter, added);
      this.#former?.delete(topicFilter);
      this.#tree.change(added.matched, (others = []) => [...others, added]);
    }
    filter.add(route);
  }

  /** A request is to end the route. */
  ending(route: R): void {
    if (route.state === "ended") return;
    route.endings++;
    this.#filters.get(route.topicFilter)?.count(route, -1);
    route.state = "ending";
  }

  /** One of the requests that were to end it does not. */
  notEnding(route: R): void {
    if (--route.endings > 0 || route.state !== "ending") return;
    route.state = "granted";
    this.#filters.get(route.topicFilter)?.count(route, 1);
  }

  /** The route has ended. */
  remove(route: R): void {
    if (route.state === "ended") return;
    this.#lastTopic = undefined;
    const { topicFilter } = route;
    const filter = this.#filters.get(topicFilter);
    filter?.remove(route);
    route.state = "ended";
    if (!filter?.isEmpty) return;
    this.#filters.delete(topicFilter);
    this.#tree.change(filter.matched, (others = []) => {
      const left = others.filter((other) => other !== filter);
      return left.length > 0 ? left : undefined;
    });
    const former = (this.#former ??= new Set()).add(topicFilter);
    if (former.size > FORMER) for (const oldest of former) return void former.delete(oldest);
  }

  /** Where messages of `topic` go. */
  match(topic: string): readonly R[] {
    if (topic === this.#lastTopic) return this.#lastRoutes;
    this.#lastTopic = topic;
    const found = this.#tree.match(topic);
    const [first] = found;
    if (found.length === 1 && first!.length === 1) return (this.#lastRoutes = first![0]!.routes);
    const routes = found.flatMap((filters) => filters.flatMap((filter) => filter.routes));
    return (this.#lastRoutes = routes.sort((one, other) => one.order - other.order));
  }

  /** Whether a message of `topic` may still come of a subscription that has ended. */
  wasSubscribed(topic: string): boolean {
    for (const filter of this.#former ?? []) if (matchTopic(filter.replace(SHARED, ""), topic)) return true;
    return false;
  }

  forgetFormer(): void {
    this.#former = undefined;
  }
}

/**
 * The highest QoS that anybody wants the filter's messages with, `asked` or more: a server knows one for each filter, and
 * takes the last (MQTT-3.8.4-3).
 */
export function wantedQos<R extends Route>(filter: Filter<R> | undefined, asked: QoS): QoS {
  return Math.max(asked, filter?.wantedQos() ?? 0) as QoS;
}

/** Whether somebody but `except` wants the messages of the filter beyond what is under way. */
export function isWanted<R extends Route>(filter: Filter<R> | undefined, except?: R): boolean {
  return !!filter && filter.wantedQos(except) >= 0;
}
