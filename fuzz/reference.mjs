// What MQTT 3.1.1 says of a stream of bytes, as a check of what a decoder said: it walks the bytes, allocates nothing and
// shares nothing with src/. The oracle of test/codec, which is ten times slower, checks it in turn.

export const COMPLETE = "complete";
export const INCOMPLETE = "incomplete";
export const MALFORMED = "malformed";

const TYPES = ["", "connect", "connack", "publish", "puback", "pubrec", "pubrel", "pubcomp", "subscribe"].concat([
  "suback",
  "unsubscribe",
  "unsuback",
  "pingreq",
  "pingresp",
  "disconnect",
  "",
]);

let bytes;
let at;
let end;
/** Whether the bytes break the standard; whether the packet says what they say. */
let bad;
let right;

/**
 * How the stream ends: COMPLETE, INCOMPLETE or MALFORMED. Throws where `packets` are not exactly the packets before
 * that, with payloads that are views of `stream`.
 */
export function outcome(stream, packets) {
  bytes = stream;
  let found = COMPLETE;
  let count = 0;
  for (let next = 0; next < stream.length;) {
    const size = sizeAt(stream, next);
    if (size <= 0 || next + size > stream.length) {
      found = size < 0 ? MALFORMED : INCOMPLETE;
      break;
    }
    at = next + 1;
    while (stream[at++] > 127);
    end = next + size;
    bad = false;
    right = true;
    const packet = packets[count];
    body(stream[next], packet ?? {});
    if (bad || at !== end) {
      found = MALFORMED;
      break;
    }
    if (!right || packet === undefined) throw new Error(`packet ${count} at byte ${next}: ${JSON.stringify(packet)}`);
    count++;
    next = end;
  }
  if (packets.length !== count) throw new Error(`${packets.length} packets, not ${count}`);
  return found;
}

/** Section 2.2: the size of the packet at `start`; 0 where the header is incomplete, -1 where it is illegal. */
export function sizeAt(stream, start) {
  const type = stream[start] >> 4;
  const flags = stream[start] & 15;
  if (type === 0 || type === 15) return -1;
  if (type === 3 && ((flags & 6) === 6 || flags === 8 || flags === 9)) return -1;
  if (type !== 3 && flags !== (type === 6 || type === 8 || type === 10 ? 2 : 0)) return -1;
  let length = 0;
  for (let digits = 0, weight = 1; ; weight *= 128) {
    if (digits === 4) return -1;
    if (start + ++digits >= stream.length) return 0;
    const digit = stream[start + digits];
    length += (digit & 127) * weight;
    if (digit > 127) continue;
    if (type > 11 && length !== 0) return -1;
    if ((type === 2 || (type > 3 && type < 8) || type === 11) && length !== 2) return -1;
    return 1 + digits + length;
  }
}

/** Whether a stream of legal headers ends where a packet does. */
export function endsWhole(stream) {
  let next = 0;
  while (next < stream.length) {
    const size = sizeAt(stream, next);
    if (size <= 0) return false;
    next += size;
  }
  return next === stream.length;
}

function keys(packet, expected) {
  for (const _key in packet) expected--;
  if (expected !== 0) right = false;
}

function is(value, expected) {
  if (value !== expected) right = false;
}

function number(size) {
  let value = 0;
  for (let i = 0; i < size; i++) value = value * 256 + (at + i < end ? bytes[at + i] : 0);
  at += size;
  if (at > end) bad = true;
  return value;
}

function identifier(packet) {
  const id = number(2);
  if (id === 0) bad = true;
  is(packet.packetId, id);
}

const SMALLEST = [0, 0x80, 0x800, 0x10000];

/** Section 1.5.3; `given` is the decoder's string, compared in UTF-16 code units. Returns where the bytes begin. */
function text(given = "") {
  const length = number(2);
  const start = at;
  const stop = at + length;
  if (stop > end) bad = true;
  let unit = 0;
  while (at < stop && !bad) {
    let code = bytes[at++];
    const more = code < 0x80 ? 0 : code < 0xc0 ? 9 : code < 0xe0 ? 1 : code < 0xf0 ? 2 : code < 0xf8 ? 3 : 9;
    if (at + more > stop) bad = true;
    if (more > 0) code &= 0x3f >> more;
    for (let i = 0; i < more && !bad; i++) {
      const next = bytes[at++];
      if (next >> 6 !== 2) bad = true;
      code = code * 64 + (next & 63);
    }
    if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) bad = true;
    if (more > 0 && code < SMALLEST[more]) bad = true;
    if (code < 0x10000) is(given.charCodeAt(unit++), code);
    else {
      is(given.charCodeAt(unit++), 0xd800 + ((code - 0x10000) >> 10));
      is(given.charCodeAt(unit++), 0xdc00 + ((code - 0x10000) & 0x3ff));
    }
  }
  if (unit !== given.length) right = false;
  return start;
}

/** Sections 3.3.2.1 and 4.7. */
function topic(given, wild) {
  const start = text(given);
  if (start === at) bad = true;
  for (let i = start; i < at && !bad; i++) {
    const sign = String.fromCharCode(bytes[i]);
    if (sign !== "+" && sign !== "#") continue;
    const alone = (i === start || bytes[i - 1] === 0x2f) && (i + 1 === at || bytes[i + 1] === 0x2f);
    if (!wild || !alone || (sign === "#" && i + 1 !== at)) bad = true;
  }
}

/** A view of the next `length` bytes. */
function data(given, length) {
  if (at + length > end) bad = true;
  else if (!(given instanceof Uint8Array) || given.length !== length || given.buffer !== bytes.buffer) right = false;
  else if (given.byteOffset !== bytes.byteOffset + at) right = false;
  at += length;
}

function body(first, packet) {
  const type = first >> 4;
  is(packet.type, TYPES[type]);
  if (type === 1) connect(packet);
  else if (type === 2) {
    const flags = number(1);
    const code = number(1);
    if (flags > 1 || code > 5 || (flags === 1 && code > 0)) bad = true;
    keys(packet, 3);
    is(packet.sessionPresent, flags === 1);
    is(packet.returnCode, code);
  } else if (type === 3) {
    const qos = (first >> 1) & 3;
    keys(packet, qos > 0 ? 7 : 6);
    topic(packet.topic, false);
    if (qos > 0) identifier(packet);
    if (!bad) data(packet.payload, end - at);
    is(packet.qos, qos);
    is(packet.retain, (first & 1) === 1);
    is(packet.dup, first >= 0x38);
  } else if (type === 8 || type === 9 || type === 10) {
    keys(packet, 3);
    identifier(packet);
    list((type === 8 ? packet.subscriptions : type === 9 ? packet.returnCodes : packet.topicFilters) ?? [], type);
  } else if (type < 12) {
    keys(packet, 2);
    identifier(packet);
  } else keys(packet, 1);
}

function list(items, type) {
  let count = 0;
  do {
    const item = items[count++];
    if (type === 9) {
      const code = number(1);
      if (code > 2 && code !== 128) bad = true;
      is(item, code);
    } else if (type === 8) {
      keys(item, 2);
      topic(item?.topicFilter, true);
      const qos = number(1);
      if (qos > 2) bad = true;
      is(item?.qos, qos);
    } else topic(item, true);
  } while (at < end && !bad);
  is(items.length, count);
}

/** Section 3.1. */
function connect(packet) {
  text("MQTT");
  if (!right) bad = true;
  if (number(1) !== 4) bad = true;
  const flags = number(1);
  const [will, qos, username, password] = [(flags & 4) > 0, (flags >> 3) & 3, flags >= 128, (flags & 64) > 0];
  if ((flags & 1) === 1 || qos === 3 || (!will && (flags & 0x38) > 0) || (password && !username)) bad = true;
  right = packet.type === "connect";
  is(packet.keepAlive, number(2));
  is(packet.cleanSession, (flags & 2) > 0);
  const start = text(packet.clientId);
  if (start === at && (flags & 2) === 0) bad = true;
  keys(packet, 4 + will + username + password);
  if (will && !bad) {
    keys(packet.will, 4);
    topic(packet.will?.topic, false);
    const length = number(2);
    if (!bad) data(packet.will?.payload, length);
    is(packet.will?.qos, qos);
    is(packet.will?.retain, (flags & 32) > 0);
  }
  if (username && !bad) text(packet.username);
  if (password && !bad) {
    const length = number(2);
    if (!bad) data(packet.password, length);
  }
}
