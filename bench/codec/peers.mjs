// The decoders that are compared, each fed what suits it best. `make` returns the function that takes the
// stream's chunks in order; `consume` gets a number that depends on every field a user reads.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import mqttPacket from "mqtt-packet";
import { mqtt_pkt_ctx } from "u8-mqtt-packet";
import { mqtt_opts_v4 } from "u8-mqtt-packet/esm/codec_v4_full.js";

const folder = resolve(import.meta.dirname, "..");
/** Where the built codec is; HUBWIRE_DIST compares another build. */
const dist = process.env.HUBWIRE_DIST ?? resolve(folder, "../dist");
export const hubwire = await import(pathToFileURL(resolve(dist, "codec/index.js")).href);

const version = (name) => JSON.parse(readFileSync(resolve(folder, `node_modules/${name}/package.json`))).version;
export const versions =
  `mqtt-packet ${version("mqtt-packet")}, u8-mqtt-packet ${version("u8-mqtt-packet")}, ` +
  `Node ${process.version}, ${process.arch}`;
export { mqttPacket };

export const reader = {
  name: "PacketReader",
  make(consume) {
    const target = new hubwire.PacketReader((packet) => {
      if (packet.type === "publish") consume(packet.topic.length + packet.payload.length + packet.qos);
      else consume(packet.packetId ?? 1);
    });
    return (chunk) => target.push(chunk);
  },
};

export const sink = {
  name: "Decoder",
  make(consume) {
    const target = new hubwire.Decoder({
      publish: (topic, _bytes, start, end, qos) => consume(topic.length + end - start + qos),
      puback: (packetId) => consume(packetId),
      pingresp: () => consume(1),
    });
    return (chunk) => target.push(chunk);
  },
};

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
