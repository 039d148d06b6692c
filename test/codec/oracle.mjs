// What MQTT 3.1.1 says of a stream of bytes: written from the standard alone, for clarity and not for speed,
// and sharing nothing with src/. Tests and fuzzers hold the codec to it.
//
// A packet is read from an array of bytes that shrinks from the front; whatever is wrong is thrown as a
// string.

const NAMES =
  "- connect connack publish puback pubrec pubrel pubcomp subscribe suback unsubscribe unsuback " +
  "pingreq pingresp disconnect -";

/** The packets of a stream, and what is wrong at its end. */
export function oracle(bytes) {
  const packets = [];
  let rest = [...bytes];
  while (rest.length > 0) {
    try {
      const header = fixedHeader(rest);
      if (header === undefined || rest.length < header.size + header.length) return { packets, end: "incomplete" };
      const body = rest.slice(header.size, header.size + header.length);
      rest = rest.slice(header.size + header.length);
      packets.push(read(header, body));
    } catch (problem) {
      if (typeof problem !== "string") throw problem;
      return { packets, end: "malformed" };
    }
  }
  return { packets, end: "complete" };
}

/** Section 2.2. Undefined where more bytes are needed to say anything. */
function fixedHeader(bytes) {
  const name = NAMES.split(" ")[Math.floor(bytes[0] / 16)];
  if (name === "-") throw "reserved packet type";
  const flags = bytes[0] % 16;
  if (name === "publish") {
    const qos = Math.floor(flags / 2) % 4;
    if (qos === 3) throw "QoS 3";
    if (qos === 0 && flags >= 8) throw "DUP with QoS 0";
  } else if (flags !== (["pubrel", "subscribe", "unsubscribe"].includes(name) ? 2 : 0)) throw "flags";

  let length = 0;
  let digits = 0;
  for (;;) {
    if (digits === 4) throw "remaining length of five bytes";
    const digit = bytes[1 + digits];
    if (digit === undefined) return undefined;
    length += (digit % 128) * 128 ** digits;
    digits++;
    if (digit < 128) break;
  }
  const two = ["connack", "puback", "pubrec", "pubrel", "pubcomp", "unsuback"];
  if (two.includes(name) && length !== 2) throw "not two bytes";
  if (["pingreq", "pingresp", "disconnect"].includes(name) && length !== 0) throw "not empty";
  return { name, flags, size: 1 + digits, length };
}

function take(body, count) {
  if (body.length < count) throw "too short";
  return body.splice(0, count);
}

function number(body, count) {
  return take(body, count).reduce((value, byte) => value * 256 + byte, 0);
}

function identifier(body) {
  const id = number(body, 2);
  if (id === 0) throw "packet identifier 0";
  return id;
}

const data = (body) => Uint8Array.from(take(body, number(body, 2)));

/** Section 1.5.3, by the platform's own strict decoder. */
function string(body) {
  let text;
  const bytes = data(body);
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw "not UTF-8";
  }
  if ([...text].includes("\0")) throw "U+0000";
  return text;
}

/** Sections 3.3.2.1 and 4.7. */
function topicName(body) {
  const topic = string(body);
  if (topic.length === 0 || /[+#]/.test(topic)) throw "topic name";
  return topic;
}

function topicFilter(body) {
  const filter = string(body);
  if (filter.length === 0) throw "empty filter";
  const levels = filter.split("/");
  levels.forEach((level, i) => {
    if (level === "#" && i < levels.length - 1) throw "# is not last";
    if (/[+#]/.test(level) && level.length > 1) throw "wildcard in a level";
  });
  return filter;
}

function read({ name, flags }, body) {
  let packet;
  switch (name) {
    case "connect":
      packet = connect(body);
      break;
    case "connack": {
      const [acknowledge, returnCode] = body.splice(0, 2);
      if (acknowledge > 1 || returnCode > 5 || (acknowledge === 1 && returnCode > 0)) throw "connack";
      packet = { type: name, sessionPresent: acknowledge === 1, returnCode };
      break;
    }
    case "publish": {
      const qos = Math.floor(flags / 2) % 4;
      const topic = topicName(body);
      const packetId = qos > 0 ? identifier(body) : undefined;
      const payload = Uint8Array.from(body.splice(0));
      packet = { type: name, topic, payload, qos, retain: flags % 2 === 1, dup: flags >= 8 };
      if (qos > 0) packet.packetId = packetId;
      break;
    }
    case "subscribe":
      packet = { type: name, packetId: identifier(body), subscriptions: [] };
      do {
        const filter = topicFilter(body);
        const qos = number(body, 1);
        if (qos > 2) throw "requested QoS";
        packet.subscriptions.push({ topicFilter: filter, qos });
      } while (body.length > 0);
      break;
    case "suback":
      packet = { type: name, packetId: identifier(body), returnCodes: [] };
      do {
        const code = number(body, 1);
        if (![0, 1, 2, 128].includes(code)) throw "return code";
        packet.returnCodes.push(code);
      } while (body.length > 0);
      break;
    case "unsubscribe":
      packet = { type: name, packetId: identifier(body), topicFilters: [] };
      do packet.topicFilters.push(topicFilter(body));
      while (body.length > 0);
      break;
    case "pingreq":
    case "pingresp":
    case "disconnect":
      packet = { type: name };
      break;
    default:
      packet = { type: name, packetId: identifier(body) };
  }
  if (body.length > 0) throw "bytes left over";
  return packet;
}

/** Section 3.1. */
function connect(body) {
  if (string(body) !== "MQTT" || number(body, 1) !== 4) throw "protocol";
  const bits = number(body, 1).toString(2).padStart(8, "0");
  const [username, password, willRetain, willQosHigh, willQosLow, will, cleanSession, reserved] = [...bits].map(Number);
  const willQos = willQosHigh * 2 + willQosLow;
  if (reserved) throw "reserved flag";
  if (willQos === 3 || (!will && (willQos > 0 || willRetain))) throw "will flags";
  if (password && !username) throw "password without user name";
  const packet = {
    type: "connect",
    clientId: "",
    cleanSession: cleanSession === 1,
    keepAlive: number(body, 2),
  };
  packet.clientId = string(body);
  if (packet.clientId === "" && !cleanSession) throw "no client id";
  if (will) packet.will = { topic: topicName(body), payload: data(body), qos: willQos, retain: willRetain === 1 };
  if (username) packet.username = string(body);
  if (password) packet.password = data(body);
  return packet;
}
