/**
 * Where the messages of one subscription go: what the session has to know of it. The owner makes them, with fields of
 * its own.
 */
import type { QoS } from "../codec/types.js";
import type { Link } from "./list.js";

/**
 * `asked`: SUBACK is to come. `granted`. `ending`: UNSUBSCRIBE is asked for; what is under way still belongs here
 * (MQTT-3.10.4-3). `ended`: no message comes any more.
 */
export type RouteState = "asked" | "granted" | "ending" | "ended";

export class Route implements Link {
  prev: Link = undefined!;
  next: Link = undefined!;
  readonly topicFilter: string;
  /** The highest QoS that was asked for. */
  readonly qos: QoS;
  state: RouteState = "asked";
  /** Requests under way that are to end it. */
  endings = 0;
  /** Earlier subscriptions get a message first. */
  order = 0;

  constructor(topicFilter: string, qos: QoS) {
    this.topicFilter = topicFilter;
    this.qos = qos;
  }
}
