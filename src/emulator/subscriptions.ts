/**
 * The subscriptions of one MQTT session: which filters the hub knows, and what they receive.
 *
 * The filters are those of "Use MQTT to communicate with IoT Hub" (for devices and for modules), of "Understand and
 * invoke direct methods" (one method by itself), and `devices/+/messages/devicebound/#` of Microsoft's embedded C SDK.
 *
 * Invariant: a filter that is not among them is never kept.
 */
import { matchTopic } from "../codec/index.js";
import { DESIRED_FILTER, identityPath, METHODS_FILTER, TWIN_RESPONSES_FILTER } from "../wire/topics.js";

const METHOD_FILTER = /^\$iothub\/methods\/POST\/[^+#/]+\/#$/;

export class Subscriptions {
  readonly #own: string;
  readonly #filters: readonly string[];
  /** Granted QoS by topic filter. */
  readonly #granted = new Map<string, number>();

  constructor(deviceId: string, moduleId: string | undefined) {
    this.#own = identityPath(deviceId, moduleId);
    const messages = `${this.#own}/messages/devicebound/#`;
    this.#filters =
      moduleId === undefined
        ? [messages, "devices/+/messages/devicebound/#"]
        : [messages, `${this.#own}/#`, `${this.#own}/inputs/#`];
  }

  get size(): number {
    return this.#granted.size;
  }

  has(topicFilter: string): boolean {
    return this.#granted.has(topicFilter);
  }

  /** Why the hub knows no such filter; undefined where it does. */
  objection(topicFilter: string, apiVersion: string | undefined): string | undefined {
    if (this.#filters.includes(topicFilter)) return undefined;
    const ofHub =
      [METHODS_FILTER, TWIN_RESPONSES_FILTER, DESIRED_FILTER].includes(topicFilter) || METHOD_FILTER.test(topicFilter);
    if (ofHub) return apiVersion === undefined ? "twin and methods need an api-version in the user name" : undefined;
    return this.#isInput(topicFilter) ? undefined : "the hub knows no such topic filter";
  }

  add(topicFilter: string, qos: number): void {
    this.#granted.set(topicFilter, qos);
  }

  delete(topicFilter: string): boolean {
    return this.#granted.delete(topicFilter);
  }

  clear(): void {
    this.#granted.clear();
  }

  /** The highest QoS with which `topic` is wanted; undefined where nobody subscribed to it. */
  qosOf(topic: string): number | undefined {
    let granted: number | undefined;
    for (const [topicFilter, qos] of this.#granted) {
      if ((granted === undefined || qos > granted) && matchTopic(topicFilter, topic)) granted = qos;
    }
    return granted;
  }

  /** One input of a module. */
  #isInput(topicFilter: string): boolean {
    const prefix = `${this.#own}/inputs/`;
    return (
      this.#own.includes("/modules/") &&
      topicFilter.startsWith(prefix) &&
      /^[^+#/]+\/#$/.test(topicFilter.slice(prefix.length))
    );
  }
}
