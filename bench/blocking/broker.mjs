// A broker that takes everything and acknowledges no message, so that all of them wait. A process of its own; at "cut" it
// destroys its connections, and at "lose" it does so and has forgotten the session afterwards.
import { createServer } from "node:net";
import { encode, PacketReader } from "../../dist/codec/index.js";

const sockets = new Set();
let sessionPresent = false;

const server = createServer((socket) => {
  sockets.add(socket);
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("close", () => sockets.delete(socket));
  const reader = new PacketReader((packet) => {
    const { type, packetId } = packet;
    if (type === "connect") {
      socket.write(encode({ type: "connack", sessionPresent: sessionPresent && !packet.cleanSession, returnCode: 0 }));
      sessionPresent = true;
    } else if (type === "subscribe") {
      socket.write(encode({ type: "suback", packetId, returnCodes: packet.subscriptions.map(({ qos }) => qos) }));
    } else if (type === "unsubscribe") socket.write(encode({ type: "unsuback", packetId }));
    else if (type === "pingreq") socket.write(encode({ type: "pingresp" }));
  });
  socket.on("data", (chunk) => reader.push(chunk));
});
server.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("message", (order) => {
  if (order === "lose") sessionPresent = false;
  for (const socket of sockets) socket.destroy();
});
process.on("disconnect", () => process.exit());
