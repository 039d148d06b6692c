// The decoders that are compared, each fed what suits it best. `make` returns the function that takes the
// stream's chunks in order; `consume` gets a number that depends on every field a user reads.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import mqttPacket from "mqtt-packet";
import { mqtt_pkt_ctx } from "u8-mqtt-packet";
import { mqtt_opts_v4 } from "u8-mqtt-packet/esm/codec_v4_full.js";
import { builds, load } from "../suite/dist.mjs";

const folder = resolve(import.meta.dirname, "..");
export const hubwire = await load("codec/index.js");
/** The codecs of other builds (--build of the runner), by the name of their row. */
export const otherCodecs = await Promise.all(
  Object.entries(builds).map(async ([name, dist]) => [name, await load("codec/index.js", dist)]),
);

const version = (name) => JSON.parse(readFileSync(resolve(folder, `node_modules/${name}/package.json`))).version;
export const versions =
  `mqtt-packet ${version("mqtt-packet")}, u8-mqtt-packet ${version("u8-mqtt-packet")}, ` +
  `Node ${process.version}, ${process.arch}`;
export { mqttPacket };

export const readerOf = (name, { PacketReader }) => ({
  name,
  make(consume) {
    const target = new PacketReader((packet) => {
      if (packet.type === "publish") consume(packet.topic.length + packet.payload.length + packet.qos);
      else consume(packet.packetId ?? 1);
    });
    return (chunk) => target.push(chunk);
  },
});
export const reader = readerOf("PacketReader", hubwire);

export const sinkOf = (name, { Decoder }) => ({
  name,
  make(consume) {
    const target = new Decoder({
      publish: (topic, _bytes, start, end, qos) => consume(topic.length + end - start + qos),
      puback: (packetId) => consume(packetId),
      pingresp: () => consume(1),
    });
    return (chunk) => target.push(chunk);
  },
});
export const sink = sinkOf("Decoder", hubwire);

export const mqttPacketPeer = {
  name: "mqtt-packet",
  make(consume) {
    const target = mqttPacket.parser({ protocolVersion: 4 });
    target.on("error", (error) => {
      throw error;
    });
    target.on("packet", (packet) => {
      if (packet.cmd === "publish") consume(packet.topic.length + packet.payload.length + packet.qos);
      else consume(packet.messageId ?? 1);
    });
    return (chunk) => target.parse(chunk);
  },
};

export const u8Peer = {
  name: "u8-mqtt-packet",
  make(consume) {
    const { decode } = mqtt_pkt_ctx(4, mqtt_opts_v4).mqtt_stream();
    return (chunk) => {
      for (const packet of decode(chunk)) {
        if (packet.topic !== undefined) consume(packet.topic.length + packet.payload.length + packet.qos);
        else consume(packet.pkt_id ?? 1);
      }
    };
  },
};
