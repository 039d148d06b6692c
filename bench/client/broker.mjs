// A broker that does nothing but answer, so that the clients are what is measured: it acknowledges each packet in
// one write a chunk and keeps nothing. It runs in a process of its own and shares no code with any client.
import { createServer as createTlsServer } from "node:tls";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import { createAuthority } from "../../dist/emulator/index.js";

const PUBLISH = 3;
const PUBREL = 6;
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

/** Calls back with each chunk's answers; returns what takes the chunks. */
function answering(write) {
  const out = Buffer.allocUnsafe(4 << 16);
  let used = 0;
  const answer = (type, high, low) => {
    out[used++] = type;
    out[used++] = 2;
    out[used++] = high;
    out[used++] = low;
  };
  const push = framer((type, flags, bytes, start) => {
    if (type === PUBLISH) {
      const qos = (flags >> 1) & 3;
      const id = start + 2 + bytes.readUInt16BE(start);
      if (qos > 0) answer(qos === 1 ? 0x40 : 0x50, bytes[id], bytes[id + 1]);
    } else if (type === PUBREL) answer(0x70, bytes[start], bytes[start + 1]);
    else if (type === 1) answer(0x20, 0, 0);
    else if (type === PINGREQ) ((out[used++] = 0xd0), (out[used++] = 0));
    else if (type === SUBSCRIBE) {
      out.set([0x90, 3, bytes[start], bytes[start + 1], 1], used);
      used += 5;
    }
  });
  return (chunk) => {
    push(chunk);
    if (used > 0) write(Buffer.from(out.subarray(0, used)));
    used = 0;
  };
}

function serve(socket) {
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on(
    "data",
    answering((bytes) => socket.write(bytes)),
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
