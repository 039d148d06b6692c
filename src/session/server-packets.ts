/**
 * What each packet from the server is for: counted, traced and handed to the part that owns what it is about.
 *
 * Invariant: nothing but CONNACK may come before CONNACK (MQTT-3.2.0-1), and nothing that only clients send at all.
 */
import { publishSize } from "../codec/check.js";
import type { PacketSink } from "../codec/types.js";
import type { Answers } from "./answers.js";
import type { Arrivals } from "./arrivals.js";
import type { Drain } from "./drain.js";
import { PUBACK, PUBCOMP, PUBREC, SUBACK, UNSUBACK } from "./exchange.js";
import type { KeepAlive } from "./keep-alive.js";
import type { Outbound } from "./outbound.js";
import type { SessionParts } from "./parts.js";
import { onlyFromClients, violation } from "./refusals.js";
import type { Route } from "./route.js";
import type { Subscriptions } from "./subscriptions.js";

export interface Recipients<S extends Route> {
  parts: SessionParts;
  outbound: Outbound;
  subscriptions: Subscriptions<S>;
  arrivals: Arrivals<S>;
  answers: Answers<S>;
  keepAlive: KeepAlive;
  drain: Drain<S>;
  isConnected(): boolean;
  connack(sessionPresent: boolean, returnCode: number): void;
}

/** The sink of a connection's decoder. */
export function serverPackets<S extends Route>(to: Recipients<S>): PacketSink {
  const { output, metrics } = to.parts;
  const { outbound, subscriptions, arrivals, answers, keepAlive, drain } = to;

  const took = (type: string, packetId: number, size: number | undefined, topic?: string): void => {
    if (!to.isConnected()) throw violation(`${type} before CONNACK`, "MQTT-3.2.0-1");
    metrics.packetsReceived++;
    output.trace?.("in", type, packetId, size!, topic);
  };
  const acknowledgement =
    (name: string, type: typeof PUBACK | typeof PUBREC | typeof PUBCOMP) => (packetId: number) => {
      took(name, packetId, 4);
      answers.ofPublication(name, packetId, type);
      // A request may have waited for an identifier.
      subscriptions.sendAll();
      drain.check();
    };

  return {
    connack: (sessionPresent, returnCode) => {
      metrics.packetsReceived++;
      output.trace?.("in", "connack", 0, 4);
      to.connack(sessionPresent, returnCode);
    },
    publish: (topic, bytes, start, end, qos, retain, dup, packetId) => {
      took("publish", packetId, output.trace && publishSize(topic, end - start, qos), topic);
      arrivals.published(topic, bytes.subarray(start, end), qos, retain, dup, packetId);
    },
    puback: acknowledgement("puback", PUBACK),
    pubrec: acknowledgement("pubrec", PUBREC),
    pubcomp: acknowledgement("pubcomp", PUBCOMP),
    pubrel: (packetId) => {
      took("pubrel", packetId, 4);
      arrivals.released(packetId);
    },
    suback: (packetId, returnCodes) => {
      took("suback", packetId, 4 + returnCodes.length);
      const asking = answers.asking("suback", packetId, SUBACK);
      if (!asking) return;
      const { length } = asking.topicFilters;
      if (length !== returnCodes.length) {
        throw violation(`SUBACK with ${returnCodes.length} codes for ${length} filters`, "MQTT-3.8.4-5");
      }
      subscriptions.granted(asking, returnCodes);
      drain.check();
    },
    unsuback: (packetId) => {
      took("unsuback", packetId, 4);
      const asking = answers.asking("unsuback", packetId, UNSUBACK);
      if (!asking) return;
      subscriptions.ended(asking);
      drain.check();
    },
    pingresp: () => {
      took("pingresp", 0, 2);
      keepAlive.pingresp();
      outbound.alive();
    },
    connect: onlyFromClients,
    subscribe: onlyFromClients,
    unsubscribe: onlyFromClients,
    pingreq: onlyFromClients,
    disconnect: onlyFromClients,
  };
}
