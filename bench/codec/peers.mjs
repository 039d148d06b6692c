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

/**
 * No decoder, but what any decoder to objects has to ask of the platform at least: it is told where the fields are, and makes
 * the string of each topic, the view of each payload and the object.
 */
export const floor = {
  name: "string and view alone",
  make(consume) {
    let places;
    return (bytes) => {
      places ??= placesOf(bytes);
      for (let i = 0; i < places.length; i += 4) {
        const topicEnd = places[i + 1];
        if (topicEnd === 0) {
          consume({ type: "puback", packetId: places[i] }.packetId);
          continue;
        }
        const topic = bytes.utf8Slice(places[i], topicEnd);
        const payload = new Uint8Array(bytes.buffer, bytes.byteOffset + places[i + 2], places[i + 3]);
        const packet = { type: "publish", topic, payload, qos: 1, retain: false, dup: false, packetId: 1 };
        consume(packet.topic.length + packet.payload.length + packet.qos);
      }
    };
  },
};

/** Of each packet four numbers: where its topic begins and ends, where its payload begins, and how long that is. */
function placesOf(bytes) {
  const places = [];
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at];
    let length = 0;
    let shift = 0;
    do {
      length |= (bytes[++at] & 0x7f) << shift;
      shift += 7;
    } while (bytes[at] > 0x7f);
    const next = ++at + length;
    if (first >> 4 === 3) {
      const topicEnd = at + 2 + bytes.readUInt16BE(at);
      const payload = topicEnd + (first & 6 ? 2 : 0);
      places.push(at + 2, topicEnd, payload, next - payload);
    } else places.push(1, 0, 0, 0);
    at = next;
  }
  return Int32Array.from(places);
}

/** All that decode a corpus in one of our two forms: `reader` makes objects, as the others do, `sink` hands over fields. */
export const decoders = (form) => {
  const of = { reader: readerOf, sink: sinkOf }[form];
  return [
    of("hubwire", hubwire),
    ...otherCodecs.map(([name, codec]) => of(name, codec)),
    mqttPacketPeer,
    u8Peer,
    ...(form === "reader" ? [floor] : []),
  ];
};
