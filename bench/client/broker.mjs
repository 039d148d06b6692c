// A broker that does nothing but answer, so that the clients are what is measured: it acknowledges each packet in
// one write a chunk and keeps nothing. It runs in a process of its own and shares no code with any client.
import { createServer as createTlsServer } from "node:tls";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import { createAuthority } from "../../dist/emulator/index.js";

const PUBLISH = 3;
const PUBACK = 4;
const PUBREC = 5;
const PUBREL = 6;
const PUBCOMP = 7;
const SUBSCRIBE = 8;
const PINGREQ = 12;

/** Finds whole packets in a stream; calls back with the type, the flags and the body's place. */
function framer(onPacket) {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (;;) {
      let length = 0;
      let shift = 0;
      let head = at + 1;
      let byte = 0x80;
      while (byte & 0x80) {
        if (head >= bytes.length) break;
        byte = bytes[head++];
        length |= (byte & 0x7f) << shift;
        shift += 7;
      }
      if (byte & 0x80 || head + length > bytes.length) break;
      onPacket(bytes[at] >> 4, bytes[at] & 15, bytes, head, head + length);
      at = head + length;
    }
    rest = bytes.subarray(at);
  };
}

/**
 * Sends a client what it ordered by a PUBLISH to "order" with { qos, count, window, payloadBytes }: that many messages,
 * QoS 1 and 2 with at most `window` unfinished. The packets are made beforehand, a ring of `window` identifiers.
 */
function delivery(socket, { qos, count, window, payloadBytes }) {
  const topic = Buffer.from("devices/thermostat-1/messages/devicebound/%24.mid=1&%24.ct=application%2Fjson");
  const body = 2 + topic.length + (qos > 0 ? 2 : 0) + payloadBytes;
  const length = [];
  for (let left = body; left > 0; left >>>= 7) length.push((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
  const head = Buffer.from([0x30 | (qos << 1), ...length, topic.length >> 8, topic.length & 0xff, ...topic]);
  const size = head.length + body - 2 - topic.length;
  const ring = Buffer.alloc(size * window, "x");
  for (let i = 0; i < window; i++) {
    head.copy(ring, i * size);
    if (qos > 0) ring.writeUInt16BE(i + 1, i * size + head.length);
  }
  let sent = 0;
  let finished = 0;
  const send = () => {
    let room = Math.min(count - sent, qos === 0 ? window : window - (sent - finished));
    while (room > 0) {
      const at = sent % window;
      const some = Math.min(room, window - at);
      const free = socket.write(ring.subarray(at * size, (at + some) * size));
      sent += some;
      room = qos === 0 ? Math.min(window, count - sent) : room - some;
      if (qos === 0 && !free) return void socket.once("drain", send);
    }
  };
  send();
  return (packets) => {
    finished += packets;
    if (packets > 0) send();
    return qos === 0 || finished === count;
  };
}

/** Calls back with each chunk's answers; returns what takes the chunks. */
function answering(write, socket) {
  let finished = 0;
  let ordered;
  let deliver = () => true;
  const out = Buffer.allocUnsafe(4 << 16);
  let used = 0;
  const answer = (type, high, low) => {
    out[used++] = type;
    out[used++] = 2;
    out[used++] = high;
    out[used++] = low;
  };
  const push = framer((type, flags, bytes, start, end) => {
    if (type === PUBLISH) {
      const qos = (flags >> 1) & 3;
      const id = start + 2 + bytes.readUInt16BE(start);
      if (qos > 0) answer(qos === 1 ? 0x40 : 0x50, bytes[id], bytes[id + 1]);
      const order = id - start === 7 && bytes.toString("latin1", start + 2, id);
      if (order === "order") ordered = JSON.parse(bytes.toString("utf8", id + (qos > 0 ? 2 : 0), end));
      if (order === "close") socket.destroy();
    } else if (type === PUBACK || type === PUBCOMP) finished++;
    else if (type === PUBREC) answer(0x62, bytes[start], bytes[start + 1]);
    else if (type === PUBREL) answer(0x70, bytes[start], bytes[start + 1]);
    else if (type === 1) answer(0x20, 0, 0);
    else if (type === PINGREQ) ((out[used++] = 0xd0), (out[used++] = 0));
    else if (type === SUBSCRIBE) {
      out.set([0x90, 3, bytes[start], bytes[start + 1], 2], used);
      used += 5;
    }
  });
  return (chunk) => {
    push(chunk);
    if (used > 0) write(Buffer.from(out.subarray(0, used)));
    used = 0;
    // Identifiers come again: the next order waits until the one before is finished.
    const free = deliver(finished);
    finished = 0;
    if (!free || ordered === undefined) return;
    deliver = delivery(socket, ordered);
    ordered = undefined;
  };
}

function serve(socket) {
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on(
    "data",
    answering((bytes) => socket.write(bytes), socket),
  );
}

/** The same through a WebSocket, which the package `ws` serves. */
async function serveWebSockets(https) {
  const { WebSocketServer } = await import("ws");
  const server = new WebSocketServer({ server: https, handleProtocols: () => "mqtt" });
  server.on("connection", (socket) => {
    socket.on("error", () => socket.terminate());
    socket.on(
      "message",
      answering((bytes) => socket.send(bytes)),
    );
  });
}

const authority = createAuthority();
const { certificate, key } = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });
const secure = createTlsServer({ cert: certificate, key }, serve);
const plain = createServer(serve);
const webSocket = createHttpsServer({ cert: certificate, key, noDelay: true });
await serveWebSockets(webSocket);
for (const server of [secure, plain, webSocket]) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
}
const [tls, tcp, wss] = [secure, plain, webSocket].map((server) => server.address().port);
process.send({ tls, tcp, wss, ca: authority.certificate });
process.on("disconnect", () => process.exit());
