// The packet streams that the decoders are fed with. Made by a few lines of its own, with no codec involved.

/** A small seeded generator (xorshift32): the same streams in every run. */
export function random(seed) {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function packet(first, ...parts) {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const length = [];
  let left = body.length;
  do {
    length.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    left >>>= 7;
  } while (left > 0);
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

const word = (value) => [value >> 8, value & 0xff];
const text = (value) => [...word(Buffer.byteLength(value)), ...Buffer.from(value)];
const identifier = (i) => 1 + (i % 65_535);

export const publish = (topic, payload, qos = 0, id = 1) =>
  packet(0x30 | (qos << 1), text(topic), qos === 0 ? [] : word(id), payload);

/** About 230 bytes, as the hub sends it. */
export const c2dTopic =
  "devices/thermostat-0042/messages/devicebound/%24.mid=2f1c1b4e-9d53-4c53-9b7e-6a0e35b6a1f2" +
  "&%24.to=%2Fdevices%2Fthermostat-0042%2Fmessages%2FdeviceBound&%24.ct=application%2Fjson&%24.ce=utf-8" +
  "&iothub-ack=full&command=set-point&zone=living%20room";
const c2dPayload = Buffer.from(JSON.stringify({ setPoint: 21.5, unit: "celsius", until: "2026-01-01T06:00:00Z" }));

const telemetryTopic = (i) =>
  `devices/thermostat-${String(i).padStart(4, "0")}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8`;
const telemetryPayload = Buffer.from(
  JSON.stringify({ temperature: 21.43, humidity: 48.2, pressure: 1013.25, battery: 3.61, sequence: 123456 }),
);

/** Eight hexadecimal digits after another, as in a GUID; never the same twice. */
const guid = (i, pick) => {
  const hex = (digits) =>
    pick(2 ** 30)
      .toString(16)
      .padStart(8, "0")
      .slice(-digits);
  return `${i.toString(16).padStart(8, "0")}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(8)}${hex(4)}`;
};

const ownC2d = (i, pick) =>
  publish(c2dTopic.replace("2f1c1b4e-9d53-4c53-9b7e-6a0e35b6a1f2", guid(i, pick)), c2dPayload, 1, identifier(i));
const methodNames = ["setInterval", "reboot", "readLog", "startFirmwareUpdate"];
const methodCall = (i, pick) =>
  publish(`$iothub/methods/POST/${methodNames[pick(4)]}/?$rid=${i.toString(16)}`, '{"seconds":30}');
const twinAnswer = (i, pick) =>
  pick(8) === 0
    ? publish(
        `$iothub/twin/res/200/?$rid=${i.toString(16)}`,
        '{"desired":{"interval":30,"$version":7},"reported":{"$version":9}}',
      )
    : publish(`$iothub/twin/res/204/?$rid=${i.toString(16)}&$version=${i + 10}`, "");
const desiredPatch = (i) =>
  publish(`$iothub/twin/PATCH/properties/desired/?$version=${i + 2}`, `{"interval":30,"$version":${i + 2}}`);
const moduleInput = (i, pick) =>
  publish(
    `devices/edge-0007/modules/filter/inputs/${pick(2) ? "temperature" : "alerts"}/%24.mid=${guid(i, pick)}` +
      "&%24.cdid=edge-0007&%24.cmid=sensor&%24.ct=application%2Fjson&%24.ce=utf-8",
    telemetryPayload,
    1,
    identifier(i),
  );
const puback = (i) => packet(0x40, word(identifier(i)));

/** Each makes packet number `i` of its stream. What a hub sends gives almost every message a topic of its own. */
const hub = {
  "C2D, $.mid of its own": ownC2d,
  "method calls, $rid of its own": methodCall,
  "twin answers, $rid of its own": twinAnswer,
  "module inputs, $.mid of its own": moduleInput,
  "a device's day": (i, pick) => {
    const kind = pick(32);
    if (kind < 20) return puback(i);
    if (kind < 24) return ownC2d(i, pick);
    if (kind < 27) return methodCall(i, pick);
    if (kind < 30) return twinAnswer(i, pick);
    return kind === 30 ? desiredPatch(i) : packet(0xd0);
  },
};

const repeated = {
  "12-byte QoS 0": (i) => publish("t/01", [i, i >> 8, i >> 16, 0]),
  "20 sensors": (i, pick) => publish(`building-2/room-${101 + pick(20)}/temperature`, "21.43"),
  "C2D, one topic": (i) => publish(c2dTopic, c2dPayload, 1, identifier(i)),
  "C2D, methods, PUBACK, PINGRESP": (i) => {
    switch (i % 8) {
      case 0:
        return publish(`$iothub/methods/POST/setInterval/?$rid=${i.toString(16)}`, '{"seconds":30}');
      case 3:
        return publish(c2dTopic, c2dPayload, 1, identifier(i));
      case 7:
        return packet(0xd0);
      default:
        return puback(i);
    }
  },
};

const others = {
  PUBACK: puback,
  // What a hub receives, from more devices than any cache here has room for.
  "telemetry, 1,000 topics": (i, pick) => publish(telemetryTopic(pick(1000)), telemetryPayload, 1, identifier(i)),
};

/** The names of the corpora: topics that come again, what an IoT hub sends, and the rest. */
export const groups = {
  "repeated topics": Object.keys(repeated),
  "a hub's topics": Object.keys(hub),
  others: Object.keys(others),
};
export const corpora = Object.values(groups).flat();

const makers = { ...repeated, ...hub, ...others };

/** `count` packets of a corpus in one piece. */
export function stream(corpus, count) {
  const pick = random(7);
  const packets = [];
  for (let i = 0; i < count; i++) packets.push(makers[corpus](i, pick));
  return Buffer.concat(packets);
}

/** `bytes` cut in pieces of `size`, each with memory of its own as a socket delivers it; 0 is one piece. */
export function chunks(bytes, size) {
  const step = size || bytes.length;
  const pieces = [];
  for (let at = 0; at < bytes.length; at += step) {
    const piece = Buffer.allocUnsafeSlow(Math.min(step, bytes.length - at));
    bytes.copy(piece, 0, at);
    pieces.push(piece);
  }
  return pieces;
}
