/** What fuzzing takes from inside; the package does not ship it. */
export { HttpFault, responseReader } from "./http.js";
export { encodeFrame, FrameFault, FrameReader } from "./websocket-frames.js";
export { WebSocketServer } from "./websocket-server.js";
