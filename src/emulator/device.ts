/**
 * One device or module at the hub: its MQTT session, its messages, its twin and its methods.
 *
 * Invariants: at most one link is attached, the newest; subscriptions and packet identifiers live as long as
 * the MQTT session does, the queue and the twin as long as the identity; only the device's own topics are
 * taken.
 */
import { matchTopic } from "../codec/index.js";
import type { ConnectPacket, QoS, Will } from "../codec/index.js";
import { HubwireError } from "../errors.js";
import { decodeProperties, splitProperties, type SystemProperties } from "../wire/property-bag.js";
import {
  cloudToDeviceTopic,
  DESIRED_FILTER,
  desiredTopic,
  identityPath,
  inputTopic,
  METHODS_FILTER,
  methodTopic,
  parseOutbound,
  TWIN_RESPONSES_FILTER,
  twinResponseTopic,
} from "../wire/topics.js";
import { CloudQueue, messageBytes, type CloudMessage, type CloudOutcome, type SendOptions } from "./cloud-queue.js";
import type { ConnectedEvent, HubContext, Source, TelemetryMessage } from "./events.js";
import { violation, type CloseReason, type Endpoint, type Link } from "./link.js";
import { MethodCalls } from "./methods.js";
import type { Authentication, IdentityRecord } from "./registry.js";
import { TwinDocument, type JsonObject } from "./twin.js";

const REFUSED = 0x80;
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** What a telemetry topic says, kept because a device mostly sends to one topic. */
interface ParsedTopic {
  topic: string;
  properties: Map<string, string | null>;
  systemProperties: SystemProperties;
  /** What the properties count towards the size of the message. */
  bytes: number;
}

export class Device implements IdentityRecord, Endpoint {
  readonly deviceId: string;
  readonly moduleId: string | undefined;
  authentication: Authentication;
  enabled: boolean;
  readonly twin: TwinDocument;
  readonly methods: MethodCalls;
  readonly #context: HubContext;
  readonly #queue: CloudQueue;
  /** Granted QoS by topic filter. */
  readonly #subscriptions = new Map<string, number>();
  /** What a filter may begin with. */
  readonly #filterPrefixes: readonly string[];
  #link: Link | undefined;
  /** Whether the MQTT session outlives its connection. */
  #persistent = false;
  #lastTopic: ParsedTopic | undefined;
  #connectedEvent: ConnectedEvent | undefined;

  constructor(
    context: HubContext,
    identity: {
      deviceId: string;
      moduleId: string | undefined;
      authentication: Authentication;
      enabled: boolean;
    },
  ) {
    this.#context = context;
    this.deviceId = identity.deviceId;
    this.moduleId = identity.moduleId;
    this.authentication = identity.authentication;
    this.enabled = identity.enabled;
    this.twin = new TwinDocument(context.limits);
    this.methods = new MethodCalls(
      context,
      () => this.connected,
      (name, requestId, body) => this.#send(methodTopic(name, requestId), body),
    );
    this.#queue = new CloudQueue(context.clock, context.limits, (message, outcome) => this.#settled(message, outcome));
    const own = identityPath(this.deviceId, this.moduleId);
    this.#filterPrefixes = [
      ...[METHODS_FILTER, TWIN_RESPONSES_FILTER, DESIRED_FILTER].map((filter) => filter.slice(0, -1)),
      `${own}/messages/devicebound/`,
      ...(this.moduleId === undefined ? [] : [`${own}/inputs/`]),
    ];
  }

  get connected(): boolean {
    return this.#link !== undefined;
  }

  /** Messages that wait for the device. */
  get pendingMessages(): number {
    return this.#queue.size;
  }

  /**
   * Takes a new connection, closing the one before (MQTT-3.1.4-2). Returns whether the session was present.
   */
  attach(link: Link, connect: ConnectPacket, details: Partial<ConnectedEvent>): boolean {
    this.#link?.close("takeover");
    const sessionPresent = !connect.cleanSession && this.#persistent;
    if (!sessionPresent) this.#forgetSession();
    // The hub takes a clean session to mean that old messages are unwanted as well.
    if (connect.cleanSession) this.#queue.purge();
    this.#persistent = !connect.cleanSession;
    this.#link = link;
    const { clientId, cleanSession, keepAlive, username = "" } = connect;
    this.#connectedEvent = {
      ...this.source(),
      clientId,
      cleanSession,
      sessionPresent,
      keepAlive,
      username,
      ...details,
    };
    return sessionPresent;
  }

  /** Ends the connection, if there is one. */
  disconnect(reason: CloseReason, abruptly = false): void {
    this.#link?.close(reason, undefined, abruptly);
  }

  /** Ends the connection and everything that waits. */
  close(reason: CloseReason, error: HubwireError): void {
    this.disconnect(reason, true);
    this.methods.close(error);
    this.#queue.purge();
  }

  /** Queues a message for the device and sends what can be sent. Throws as `CloudQueue.add`. */
  enqueue(body: Uint8Array | string, options: SendOptions): { messageId: string; completion: Promise<CloudOutcome> } {
    const { deviceId, moduleId } = this;
    const { inputName } = options;
    if ((moduleId === undefined) !== (inputName === undefined) || inputName?.includes("/")) {
      const rule = "inputName goes with a module, which needs it, and has no slash";
      throw new HubwireError("ERR_INVALID_ARGUMENT", rule);
    }
    const topic = (bag: string): string =>
      moduleId === undefined || inputName === undefined
        ? cloudToDeviceTopic(deviceId, bag)
        : inputTopic(deviceId, moduleId, inputName, bag);
    // The address as the service writes it: the topic without the bag.
    const defaultTo = `/${topic("").slice(0, -1)}`;
    let onOutcome: (outcome: CloudOutcome) => void = () => {};
    const completion = new Promise<CloudOutcome>((resolve) => (onOutcome = resolve));
    const { messageId } = this.#queue.add({ body, options, defaultTo, topic, onOutcome });
    this.#deliver();
    return { messageId, completion };
  }

  purge(): void {
    this.#queue.purge();
  }

  /** Tells the device of a change of its desired properties, if it listens. */
  notifyDesired(patch: object, version: number): void {
    this.#send(desiredTopic(version), JSON.stringify({ ...patch, $version: version }));
  }

  started(): void {
    if (this.#connectedEvent !== undefined) this.#context.events.emit("connected", this.#connectedEvent);
    this.#deliver();
    this.methods.ready();
  }

  subscribe(topicFilter: string, qos: QoS): number {
    const known = this.#subscriptions.has(topicFilter);
    const allowed =
      this.#filterPrefixes.some((prefix) => topicFilter.startsWith(prefix)) &&
      (known || this.#subscriptions.size < this.#context.limits.subscriptions);
    const returnCode = allowed ? Math.min(qos, 1) : REFUSED;
    if (allowed) this.#subscriptions.set(topicFilter, returnCode);
    this.#context.events.emit("subscribed", { ...this.source(), topicFilter, returnCode });
    return returnCode;
  }

  subscribed(): void {
    this.#deliver();
    this.methods.ready();
  }

  unsubscribe(topicFilter: string): void {
    this.#subscriptions.delete(topicFilter);
  }

  acknowledged(packetId: number): void {
    this.#queue.acknowledge(packetId);
    // What waited for a free packet identifier.
    this.#deliver();
  }

  publish(topic: string, payload: Uint8Array, qos: QoS, retain: boolean, dup: boolean): void {
    if (topic === this.#lastTopic?.topic) return this.#telemetry(this.#lastTopic, payload, qos, retain, dup, false);
    const parsed = parseOutbound(topic);
    switch (parsed?.kind) {
      case "telemetry":
        this.#lastTopic = this.#telemetryTopic(topic);
        return this.#telemetry(this.#lastTopic, payload, qos, retain, dup, false);
      case "twin-get":
        return this.#twinGet(parsed.requestId ?? "");
      case "reported":
        return this.#reported(parsed.requestId ?? "", payload);
      case "method-response":
        if (this.#context.faults.methodResponses) {
          this.methods.respond(parsed.status, parsed.requestId, Uint8Array.from(payload));
        }
        return;
      default:
        throw violation("a PUBLISH to a topic that the device may not publish to");
    }
  }

  closed(reason: CloseReason, error: HubwireError | undefined, will: Will | undefined): void {
    this.#link = undefined;
    this.#queue.connectionLost();
    if (!this.#persistent) this.#forgetSession();
    if (will !== undefined) {
      this.#telemetry(this.#telemetryTopic(will.topic), will.payload, will.qos, will.retain, false, true);
    }
    this.#context.events.emit("disconnected", {
      ...this.source(),
      reason,
      ...(error === undefined ? {} : { error }),
    });
  }

  /**
   * Throws a violation unless `will` is one that the hub can publish: telemetry of the device, at most QoS 1.
   */
  checkWill(will: Will): void {
    const { bytes } = this.#telemetryTopic(will.topic);
    if (will.qos === 2) throw violation("IoT Hub takes no QoS 2 will");
    if (will.payload.length + bytes > this.#context.limits.telemetryBytes) throw violation("the will is too large");
  }

  /** Names of this identity, for events. */
  source(): Source {
    return this.moduleId === undefined
      ? { deviceId: this.deviceId }
      : { deviceId: this.deviceId, moduleId: this.moduleId };
  }

  #forgetSession(): void {
    this.#subscriptions.clear();
    this.#queue.sessionLost();
  }

  /** Sends with QoS 0, as the hub does for all but messages; false where nobody is subscribed. */
  #send(topic: string, body: Uint8Array | string): boolean {
    const link = this.#link;
    if (link === undefined || this.#grantedQos(topic) === undefined) return false;
    link.publish(topic, body, 0, false, 0);
    return true;
  }

  #grantedQos(topic: string): number | undefined {
    let granted: number | undefined;
    for (const [topicFilter, qos] of this.#subscriptions) {
      if ((granted === undefined || qos > granted) && matchTopic(topicFilter, topic)) granted = qos;
    }
    return granted;
  }

  /** Sends every message that is not on its way already and that a subscription wants. */
  #deliver(): void {
    const link = this.#link;
    if (link === undefined || !link.isOpen || this.#queue.size === 0) return;
    this.#queue.deliver((message) => {
      const qos = this.#grantedQos(message.topic);
      if (qos === undefined) return "wait";
      if (qos === 0) {
        link.publish(message.topic, message.payload, 0, false, 0);
        return "complete";
      }
      // MQTT-4.4.0-1: in a session that survived, the same identifier and DUP.
      const again = message.packetId !== 0;
      if (!again && !this.#queue.identify(message)) return "wait";
      link.publish(message.topic, message.payload, 1, again, message.packetId);
      return "sent";
    });
  }

  /** Throws a violation unless `topic` is the device's own telemetry topic. */
  #telemetryTopic(topic: string): ParsedTopic {
    const parsed = parseOutbound(topic);
    if (parsed?.kind !== "telemetry" || parsed.deviceId !== this.deviceId || parsed.moduleId !== this.moduleId) {
      throw violation("a message to a topic that is not the device's own");
    }
    // Some SDKs end the topic of a module's output with a slash; one that is meant is escaped.
    const properties = decodeProperties(parsed.bag.replace(/\/$/, ""));
    const bytes = messageBytes(new Uint8Array(0), properties);
    return { topic, systemProperties: splitProperties(properties), properties, bytes };
  }

  #telemetry(parsed: ParsedTopic, payload: Uint8Array, qos: QoS, retain: boolean, dup: boolean, isWill: boolean): void {
    const size = payload.length + parsed.bytes;
    if (size > this.#context.limits.telemetryBytes) {
      throw violation(`a message of ${size} bytes is over the ${this.#context.limits.telemetryBytes} allowed`);
    }
    const { events, clock } = this.#context;
    if (events.listenerCount("telemetry") === 0) return;
    const properties = new Map(parsed.properties);
    // The hub stores nothing; it only tells that the flag was set.
    if (retain) properties.set("mqtt-retain", "true");
    if (isWill) properties.set("iothub-MessageType", "Will");
    const message: TelemetryMessage = {
      deviceId: this.deviceId,
      payload,
      properties,
      systemProperties: { ...parsed.systemProperties },
      enqueuedTime: new Date(clock.wallTime()),
      topic: parsed.topic,
      qos,
      dup,
    };
    if (this.moduleId !== undefined) message.moduleId = this.moduleId;
    if (parsed.systemProperties.outputName !== undefined) message.outputName = parsed.systemProperties.outputName;
    events.emit("telemetry", message);
  }

  #twinGet(requestId: string): void {
    if (this.#twinFault(requestId)) return;
    if (requestId === "") this.#twinError(400, requestId, "the request has no $rid");
    else this.#send(twinResponseTopic(200, requestId), this.twin.toDevice());
  }

  #reported(requestId: string, payload: Uint8Array): void {
    if (this.#twinFault(requestId)) return;
    if (requestId === "") return this.#twinError(400, requestId, "the request has no $rid");
    let accepted: { version: number; patch: JsonObject };
    try {
      accepted = this.twin.patchReported(parseJson(payload));
    } catch (error) {
      if (!(error instanceof HubwireError)) throw error;
      return this.#twinError(error.status ?? 400, requestId, error.message);
    }
    this.#send(twinResponseTopic(204, requestId, accepted.version), "");
    this.#context.events.emit("reportedProperties", { ...this.source(), ...accepted });
  }

  /** Answers as the fault `twin` asks; returns whether one is set. */
  #twinFault(requestId: string): boolean {
    const { twin } = this.#context.faults;
    if (typeof twin === "number") this.#twinError(twin, requestId, "the fault `twin` is set");
    return twin !== undefined;
  }

  #twinError(status: number, requestId: string, message: string): void {
    this.#send(twinResponseTopic(status, requestId), JSON.stringify({ errorCode: status, message }));
  }

  #settled(message: CloudMessage, outcome: CloudOutcome): void {
    const completion = {
      ...this.source(),
      messageId: message.messageId,
      outcome,
      deliveryCount: message.deliveryCount,
      completedTime: new Date(this.#context.clock.wallTime()),
    };
    this.#context.events.emit("completed", completion);
    const wanted = outcome === "Success" ? "positive" : "negative";
    if (message.ack === "full" || message.ack === wanted) this.#context.events.emit("feedback", { ...completion });
  }
}

function parseJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(strictUtf8.decode(payload));
  } catch (cause) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "the body is not JSON", { cause });
  }
}
