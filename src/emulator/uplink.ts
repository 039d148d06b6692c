/**
 * What one device or module publishes: telemetry, twin requests, answers to methods; at the rate that the quotas allow.
 *
 * Invariants: what is throttled is done in the order in which it came, and acknowledged in that order; it is done even
 * where the connection is gone meanwhile, because the hub had accepted it.
 */
import type { QoS, Will } from "../codec/index.js";
import { HubwireError } from "../errors.js";
import { parseOutbound, type OutboundTopic } from "../wire/topics.js";
import type { ConnectedEvent, HubContext, Source, Stamps } from "./events.js";
import type { Faults } from "./faults.js";
import { violation, type Link } from "./link.js";
import type { MethodCalls } from "./methods.js";
import { checkSize, readTelemetryTopic, telemetryMessage, type TelemetryTopic } from "./telemetry.js";
import { Lane, type Operation, type ThrottleOutcome } from "./throttle.js";
import type { TwinRequests } from "./twin-requests.js";

/** Who publishes. */
export interface Publisher {
  readonly deviceId: string;
  readonly moduleId: string | undefined;
  readonly generationId: string;
  readonly faults: Faults;
  readonly methods: MethodCalls;
  source(): Source;
}

/** How a device proved who it is: what the stamps of its messages say. */
export interface Proof {
  readonly scope: "hub" | "device" | "module";
  readonly type: "sas" | "x509";
}

/** What a delayed twin request is counted as, besides its body. */
const REQUEST_BYTES = 200;

export class Uplink {
  readonly #context: HubContext;
  readonly #publisher: Publisher;
  readonly #twinRequests: TwinRequests;
  readonly #lane: Lane;
  #link: Link | undefined;
  #apiVersion: string | undefined;
  #stamps: Stamps;
  #lastTopic: TelemetryTopic | undefined;
  /** Requests of this connection that were answered 429. */
  #refusals = 0;

  constructor(context: HubContext, publisher: Publisher, twinRequests: TwinRequests) {
    this.#context = context;
    this.#publisher = publisher;
    this.#twinRequests = twinRequests;
    this.#lane = new Lane(context.clock, context.throttles);
    this.#stamps = this.#makeStamps({ scope: "device", type: "sas" }, undefined);
  }

  /** A new connection, and what its CONNECT said. */
  connected(link: Link, proof: Proof, { apiVersion, modelId }: Partial<ConnectedEvent>): void {
    this.#link = link;
    this.#apiVersion = apiVersion;
    this.#refusals = 0;
    this.#stamps = this.#makeStamps(proof, modelId);
  }

  /** As `Endpoint.publish`. */
  publish(topic: string, payload: Uint8Array, qos: QoS, retain: boolean, dup: boolean, packetId: number): boolean {
    if (topic === this.#lastTopic?.topic) return this.#onTelemetry(topic, payload, qos, retain, dup, packetId);
    const parsed = parseOutbound(topic);
    if (parsed === undefined) throw violation("a PUBLISH to a topic that the device may not publish to");
    if (parsed.kind === "telemetry") return this.#onTelemetry(topic, payload, qos, retain, dup, packetId);
    if (this.#apiVersion === undefined) {
      throw violation("twin and methods need an api-version in the user name");
    }
    return this.#onRequest(parsed, payload, qos, packetId);
  }

  publishWill(will: Will): void {
    const topic = readTelemetryTopic(will.topic, this.#publisher.deviceId, this.#publisher.moduleId);
    this.#telemetry(topic, will.payload, will.qos, will.retain, false, true);
  }

  /** Forgets what is delayed. */
  clear(): void {
    this.#lane.clear();
  }

  #makeStamps({ scope, type }: Proof, modelId: string | undefined): Stamps {
    return Object.freeze({
      "iothub-connection-device-id": this.#publisher.deviceId,
      ...(this.#publisher.moduleId === undefined ? {} : { "iothub-connection-module-id": this.#publisher.moduleId }),
      "iothub-connection-auth-generation-id": this.#publisher.generationId,
      "iothub-connection-auth-method": JSON.stringify({ scope, type, issuer: "iothub" }),
      ...(modelId === undefined ? {} : { "dt-dataschema": modelId }),
    });
  }

  #onTelemetry(topic: string, payload: Uint8Array, qos: QoS, retain: boolean, dup: boolean, packetId: number): boolean {
    if (topic !== this.#lastTopic?.topic) {
      this.#lastTopic = readTelemetryTopic(topic, this.#publisher.deviceId, this.#publisher.moduleId);
    }
    const parsed = this.#lastTopic as TelemetryTopic;
    checkSize(parsed, payload, this.#context.limits.telemetryBytes);
    const delay = this.#context.throttles.admit("send");
    if (delay === 0 && this.#lane.isEmpty) {
      this.#telemetry(parsed, payload, qos, retain, dup, false);
      return true;
    }
    // The chunk that the payload is a view of must not wait with it.
    const own = delay === Infinity ? payload : Buffer.from(payload);
    const bytes = own.length + topic.length;
    if (
      !this.#later("send", delay, bytes, qos, packetId, () => this.#telemetry(parsed, own, qos, retain, dup, false))
    ) {
      this.#cut("send");
    }
    return false;
  }

  #onRequest(
    parsed: Exclude<OutboundTopic, { kind: "telemetry" }>,
    payload: Uint8Array,
    qos: QoS,
    packetId: number,
  ): boolean {
    switch (parsed.kind) {
      case "twin-get":
        return this.#onTwin("twinRead", parsed.requestId, payload, qos, packetId, () =>
          this.#twinRequests.get(parsed.requestId),
        );
      case "reported": {
        const own = Buffer.from(payload);
        return this.#onTwin("twinUpdate", parsed.requestId, own, qos, packetId, () =>
          this.#twinRequests.patchReported(parsed.requestId, own),
        );
      }
      case "method-response":
        if (this.#publisher.faults.strike("methodResponses")) {
          this.#publisher.methods.respond(parsed.status, parsed.requestId, Uint8Array.from(payload));
        }
        return true;
      default:
        throw violation("a PUBLISH to a topic that the device may not publish to");
    }
  }

  #onTwin(
    operation: Operation,
    requestId: string | undefined,
    payload: Uint8Array,
    qos: QoS,
    packetId: number,
    run: () => void,
  ): boolean {
    const delay = this.#context.throttles.admit(operation);
    if (delay === 0 && this.#lane.isEmpty) {
      run();
      return true;
    }
    if (this.#later(operation, delay, payload.length + REQUEST_BYTES, qos, packetId, run)) return false;
    this.#throttled(operation, "refused");
    this.#twinRequests.throttled(requestId);
    if (++this.#refusals >= this.#context.limits.refusals) this.#cut(operation);
    return true;
  }

  /** Delays an operation; false where it is refused. */
  #later(operation: Operation, delay: number, bytes: number, qos: QoS, packetId: number, run: () => void): boolean {
    const link = this.#link;
    const first = this.#lane.isEmpty;
    const taken =
      delay !== Infinity &&
      this.#lane.add(delay, bytes, () => {
        try {
          run();
        } catch (error) {
          // As where nothing is delayed: a client that has no answer must not wait for one.
          link?.close("violation", violation("a listener of the hub threw"));
          throw error;
        }
        if (qos === 1) link?.acknowledge(packetId);
      });
    if (taken && first) this.#throttled(operation, "delayed");
    return taken;
  }

  #throttled(operation: Operation, outcome: ThrottleOutcome): void {
    this.#context.events.emit("throttled", { ...this.#publisher.source(), operation, outcome });
  }

  /** A device that does not stop is disconnected: over MQTT there is no other answer to a message. */
  #cut(operation: Operation): void {
    this.#throttled(operation, "closed");
    const message = "the device goes on although the quota is used up";
    this.#link?.close("throttled", new HubwireError("ERR_THROTTLED", message, { status: 429 }));
  }

  #telemetry(
    topic: TelemetryTopic,
    payload: Uint8Array,
    qos: QoS,
    retain: boolean,
    dup: boolean,
    isWill: boolean,
  ): void {
    const { events, clock } = this.#context;
    if (events.listenerCount("telemetry") === 0) return;
    const packet = { qos, retain, dup, isWill, enqueuedTime: new Date(clock.wallTime()) };
    const sender = { deviceId: this.#publisher.deviceId, moduleId: this.#publisher.moduleId, stamps: this.#stamps };
    events.emit("telemetry", telemetryMessage(sender, topic, payload, packet));
  }
}
