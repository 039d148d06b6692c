/**
 * One device or module at the hub: its MQTT session, its messages, its twin and its methods.
 *
 * Invariants: at most one link is attached, the newest; subscriptions and packet identifiers live as long as
 * the MQTT session does, the queue and the twin as long as the identity; only the device's own topics are
 * taken.
 */
import { randomUUID } from "node:crypto";
import type { ConnectPacket, QoS, Will } from "../codec/index.js";
import { HubwireError } from "../errors.js";
import { cloudToDeviceTopic, desiredTopic, inputTopic, methodTopic } from "../wire/topics.js";
import { CloudQueue, type CloudMessage, type CloudOutcome, type SendOptions } from "./cloud-queue.js";
import type { ConnectedEvent, HubContext, Source } from "./events.js";
import { Faults } from "./faults.js";
import { violation, type CloseReason, type Endpoint, type Link } from "./link.js";
import { MethodCalls } from "./methods.js";
import type { Authentication, IdentityRecord, OwnCertificate } from "./registry.js";
import { Subscriptions } from "./subscriptions.js";
import { TwinRequests } from "./twin-requests.js";
import { TwinDocument, type Twin, type TwinState } from "./twin.js";
import { Uplink, type Proof } from "./uplink.js";

const REFUSED = 0x80;

/** What a device is made of. */
export interface DeviceInit {
  readonly deviceId: string;
  readonly moduleId: string | undefined;
  readonly authentication: Authentication;
  readonly enabled: boolean;
  readonly ownCertificate?: OwnCertificate | undefined;
  /** Where the device comes from an exported state. */
  readonly generationId?: string | undefined;
  readonly twin?: TwinState | undefined;
  /** The hub's own faults. */
  readonly faults: Faults;
}

export class Device implements IdentityRecord, Endpoint {
  readonly deviceId: string;
  readonly moduleId: string | undefined;
  /** Tells a device from another one that had its name before. */
  readonly generationId: string;
  readonly ownCertificate: OwnCertificate | undefined;
  authentication: Authentication;
  enabled: boolean;
  readonly faults: Faults;
  readonly twin: TwinDocument;
  readonly methods: MethodCalls;
  readonly #context: HubContext;
  readonly #queue: CloudQueue;
  readonly #subscriptions: Subscriptions;
  readonly #uplink: Uplink;
  #link: Link | undefined;
  /** Whether the MQTT session outlives its connection. */
  #persistent = false;
  #connectedEvent: ConnectedEvent | undefined;
  /** ms since the epoch. */
  #lastActivity: number | undefined;

  constructor(context: HubContext, init: DeviceInit) {
    const { clock, limits } = context;
    this.#context = context;
    this.deviceId = init.deviceId;
    this.moduleId = init.moduleId;
    this.generationId = init.generationId ?? randomUUID();
    this.ownCertificate = init.ownCertificate;
    this.authentication = init.authentication;
    this.enabled = init.enabled;
    this.faults = new Faults(() => this.#link?.faultsChanged(), init.faults);
    const changed = (): boolean => context.events.emit("changed");
    this.twin = new TwinDocument(limits, () => clock.wallTime(), changed, init.twin);
    this.methods = new MethodCalls(
      context,
      () => this.connected,
      (name, requestId, body) => this.#send(methodTopic(name, requestId), body),
    );
    this.#queue = new CloudQueue(
      clock,
      limits,
      (message, outcome) => this.#settled(message, outcome),
      () => this.#deliver(),
    );
    this.#subscriptions = new Subscriptions(this.deviceId, this.moduleId);
    const twinRequests = new TwinRequests(context, this.faults, this.source(), this.twin, (topic, body) =>
      this.#send(topic, body),
    );
    this.#uplink = new Uplink(context, this, twinRequests);
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
  attach(link: Link, connect: ConnectPacket, proof: Proof, details: Partial<ConnectedEvent>): boolean {
    this.#link?.close("takeover");
    const sessionPresent = !connect.cleanSession && this.#persistent;
    if (!sessionPresent) this.#forgetSession();
    // The hub takes a clean session to mean that old messages are unwanted as well.
    if (connect.cleanSession) this.#queue.purge();
    this.#persistent = !connect.cleanSession;
    this.#link = link;
    this.#uplink.connected(link, proof, details);
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
    this.#uplink.clear();
    this.methods.close(error);
    this.#queue.purge();
  }

  /** Queues a message for the device and sends what can be sent. Throws as `CloudQueue.add`. */
  enqueue(body: Uint8Array | string, options: SendOptions): { messageId: string; completion: Promise<CloudOutcome> } {
    const { deviceId, moduleId } = this;
    const { inputName } = options;
    if ((moduleId === undefined) !== (inputName === undefined) || inputName?.includes("/") || inputName === "") {
      const rule = "inputName goes with a module, which needs it, and has a character or more, and no slash";
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

  /** The twin as the service sees it. */
  twinSnapshot(): Twin {
    const { authentication } = this;
    const [primaryThumbprint = null, secondaryThumbprint = null] =
      authentication.type === "thumbprint" ? authentication.thumbprints : [];
    return this.twin.snapshot(this.source(), {
      connectionState: this.connected ? "Connected" : "Disconnected",
      lastActivityTime:
        this.#lastActivity === undefined ? "0001-01-01T00:00:00Z" : new Date(this.#lastActivity).toISOString(),
      status: this.enabled ? "enabled" : "disabled",
      authenticationType: AUTHENTICATION_TYPES[authentication.type],
      x509Thumbprint: { primaryThumbprint, secondaryThumbprint },
      cloudToDeviceMessageCount: this.pendingMessages,
    });
  }

  started(): void {
    this.#active();
    if (this.#connectedEvent !== undefined) this.#context.events.emit("connected", this.#connectedEvent);
    this.#deliver();
    this.methods.ready();
  }

  subscribe(topicFilter: string, qos: QoS): number {
    const { limits, events } = this.#context;
    const known = this.#subscriptions.has(topicFilter);
    const tooMany = `a device has at most ${limits.subscriptions} subscriptions at a time`;
    const objection =
      this.#subscriptions.objection(topicFilter, this.#connectedEvent?.apiVersion) ??
      (known || this.#subscriptions.size < limits.subscriptions ? undefined : tooMany);
    if (objection !== undefined) {
      events.emit("subscribed", { ...this.source(), topicFilter, returnCode: REFUSED, reason: objection });
      // "The hub only supports the documented topic names and topic filters": the connection ends.
      throw violation(`a SUBSCRIBE to ${JSON.stringify(topicFilter.slice(0, 200))}: ${objection}`);
    }
    const returnCode = Math.min(qos, 1);
    this.#subscriptions.add(topicFilter, returnCode);
    events.emit("subscribed", { ...this.source(), topicFilter, returnCode });
    return returnCode;
  }

  subscribed(): void {
    this.#deliver();
    this.methods.ready();
  }

  unsubscribe(topicFilter: string): void {
    if (!this.#subscriptions.delete(topicFilter)) return;
    this.#context.events.emit("unsubscribed", { ...this.source(), topicFilter });
  }

  acknowledged(packetId: number): void {
    this.#queue.acknowledge(packetId);
    // What waited for a free packet identifier.
    this.#deliver();
  }

  publish(topic: string, payload: Uint8Array, qos: QoS, retain: boolean, dup: boolean, packetId: number): boolean {
    this.#active();
    return this.#uplink.publish(topic, payload, qos, retain, dup, packetId);
  }

  closed(reason: CloseReason, error: HubwireError | undefined, will: Will | undefined): void {
    this.#link = undefined;
    this.#queue.connectionLost();
    if (!this.#persistent) this.#forgetSession();
    if (will !== undefined) this.#uplink.publishWill(will);
    this.#context.events.emit("disconnected", {
      ...this.source(),
      reason,
      ...(error === undefined ? {} : { error }),
    });
  }

  /** Names of this identity, for events. */
  source(): Source {
    return this.moduleId === undefined
      ? { deviceId: this.deviceId }
      : { deviceId: this.deviceId, moduleId: this.moduleId };
  }

  #active(): void {
    this.#lastActivity = this.#context.clock.wallTime();
  }

  #forgetSession(): void {
    this.#subscriptions.clear();
    this.#queue.sessionLost();
  }

  /** Sends with QoS 0, as the hub does for all but messages; false where nobody is subscribed. */
  #send(topic: string, body: Uint8Array | string): boolean {
    const link = this.#link;
    if (link === undefined || this.#subscriptions.qosOf(topic) === undefined) return false;
    link.publish(topic, body, 0, false, 0);
    return true;
  }

  /** Sends every message that is not on its way already and that a subscription wants. */
  #deliver(): void {
    const link = this.#link;
    if (link === undefined || !link.isOpen || this.#queue.size === 0) return;
    this.#queue.deliver((message) => {
      const qos = this.#subscriptions.qosOf(message.topic);
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

  #settled(message: CloudMessage, outcome: CloudOutcome): void {
    const completedTime = new Date(this.#context.clock.wallTime());
    const { messageId, deliveryCount, ack } = message;
    const completion = { ...this.source(), messageId, outcome, deliveryCount, completedTime };
    this.#context.events.emit("completed", completion);
    const wanted = outcome === "Success" ? "positive" : "negative";
    if (ack !== "full" && ack !== wanted) return;
    this.#context.events.emit("feedback", {
      ...completion,
      originalMessageId: messageId,
      enqueuedTimeUtc: completedTime.toISOString(),
      statusCode: outcome,
      description: outcome,
      deviceGenerationId: this.generationId,
    });
  }
}

const AUTHENTICATION_TYPES = {
  symmetric: "sas",
  thumbprint: "selfSigned",
  authority: "certificateAuthority",
} as const satisfies Record<Authentication["type"], string>;
