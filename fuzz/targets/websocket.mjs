// WebSocket frames of either side, and the head of an HTTP answer, against slow references that see the whole input at
// once: however it is cut, the same data, pings and close come out, or the same fault behind the same data, and no chunk
// is written to. A server's side is fed the same frames behind its upgrade, and says the same.
//
// The first byte of an input says what the rest is: 0 frames of a server, 1 frames of a client, 2 an HTTP answer.
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { equal } from "../codec.mjs";

const dist = process.env.HUBWIRE_DIST ?? resolve(import.meta.dirname, "../../dist");
const { encodeFrame, FrameFault, FrameReader, HttpFault, responseReader, WebSocketServer } = await import(
  pathToFileURL(resolve(dist, "transport/index.js")).href
);

export const coverage = /\/dist\/shared\/.*(websocket|http|transport|emulator)/;

const bytesOf = (text) => new Uint8Array(Buffer.from(text, "latin1"));
const joined = (parts) => new Uint8Array(Buffer.concat(parts));

const REQUEST = bytesOf(
  "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
);

export const words = [
  "\r\n\r\n",
  "\r\n",
  "\n\n",
  "HTTP/1.1 101 Switching Protocols\r\n",
  "HTTP/1.0 200\r\n",
  "Upgrade: websocket\r\n",
  ": ",
  "\x82\x7e\x00\x7e",
  "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
  "\x88\x02\x03\xe8",
  "\x89\x00",
  "\x02\x01a",
  "\x80\x01b",
  "\x82\xfe\x00\x7e\x01\x02\x03\x04",
].map(bytesOf);

export const seeds = [
  "\x00\x82\x02\xd0\x00",
  "\x01\x82\x81\x01\x02\x03\x04\x61",
  "\x02HTTP/1.1 101 x\r\nA: b\r\n\r\n",
].map(bytesOf);

const LENGTHS = [0, 1, 2, 5, 124, 125, 126, 127, 200];

/** Frames as a peer would send them, now and then with a byte of their header changed. */
export function generate(random) {
  const kind = random(8) === 0 ? 2 : random(2);
  if (kind === 2) {
    const lines = Array.from({ length: random(4) }, () => `F${random(3)}: ${"v".repeat(random(9))}\r\n`);
    return bytesOf(`\x02HTTP/1.${random(2)} ${100 + random(500)} text\r\n${lines.join("")}\r\nrest`);
  }
  const parts = [Uint8Array.of(kind)];
  for (let count = random(6); count > 0; count--) {
    const opcode = [0, 2, 2, 2, 8, 9, 10][random(7)];
    const payload = new Uint8Array(LENGTHS[random(LENGTHS.length)]).map(() => random(256));
    const frame = encodeFrame(opcode, [payload], kind === 1 ? random(0x7fffffff) : undefined);
    if (random(4) === 0) frame[0] ^= 0x80;
    if (random(16) === 0) frame[random(2)] ^= 1 << random(8);
    parts.push(frame);
  }
  return joined(parts);
}

const CLOSED = new Set([1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014]);

/** What RFC 6455 says of the frames in `all`: data as one piece, control frames, and the code of a breach. */
function reference(all, masked) {
  const data = [];
  const said = [];
  let inside = false;
  let at = 0;
  const end = (fault) => ({ data: Buffer.concat(data).toString("hex"), said, fault });
  while (at + 2 <= all.length) {
    const [first, second] = [all[at], all[at + 1]];
    const opcode = first & 15;
    const final = first >= 0x80;
    const control = opcode >= 8;
    if (first & 0x70 || second >= 0x80 !== masked) return end(1002);
    if (control && (opcode > 10 || !final || (second & 0x7f) > 125)) return end(1002);
    if (!control && opcode === 1) return end(1003);
    if (!control && (opcode > 2 || (opcode === 0) !== inside)) return end(1002);
    let length = BigInt(second & 0x7f);
    const extended = length === 126n ? 2 : length === 127n ? 8 : 0;
    const header = 2 + extended + (masked ? 4 : 0);
    if (at + header > all.length) break;
    if (extended > 0) {
      length = BigInt(`0x${Buffer.from(all.subarray(at + 2, at + 2 + extended)).toString("hex")}`);
      if (length < (extended === 2 ? 126n : 65_536n)) return end(1002);
      if (length > BigInt(Number.MAX_SAFE_INTEGER)) return end(1009);
    }
    const start = at + header;
    const there = BigInt(all.length - start) < length ? all.length - start : Number(length);
    const payload = Array.from(all.subarray(start, start + there), (byte, i) =>
      masked ? byte ^ all[start - 4 + (i & 3)] : byte,
    );
    if (!control) {
      inside = !final;
      data.push(Buffer.from(payload));
    }
    if (BigInt(there) < length) break;
    if (opcode === 9) said.push(`ping ${Buffer.from(payload).toString("hex")}`);
    if (opcode === 8) {
      const code = payload.length === 0 ? 1005 : payload.length === 1 ? 0 : payload[0] * 256 + payload[1];
      if (payload.length > 0 && !CLOSED.has(code) && !(code >= 3000 && code < 5000)) return end(1002);
      const reason = Buffer.from(payload.slice(2));
      if (!Buffer.from(reason.toString("utf8")).equals(reason)) return end(1007);
      said.push(`close ${code} ${reason.toString("utf8")}`);
      return end(undefined);
    }
    at = start + there;
  }
  return end(undefined);
}

/** The same from the reader, fed as `cuts` says. */
function outcome(all, masked, cuts) {
  const data = [];
  const said = [];
  const reader = new FrameReader(masked, {
    data: (piece) => data.push(Buffer.from(piece)),
    ping: (payload) => said.push(`ping ${Buffer.from(payload).toString("hex")}`),
    close: (code, reason) => said.push(`close ${code} ${reason}`),
  });
  let fault;
  try {
    for (const chunk of pieces(all, cuts)) reader.push(chunk);
  } catch (error) {
    if (!(error instanceof FrameFault)) throw error;
    fault = error.closeCode;
  }
  return { data: Buffer.concat(data).toString("hex"), said, fault };
}

/** Pieces of sizes that follow from the input, or of `cuts` bytes each; none is written to. */
function* pieces(all, cuts) {
  let state = all.length;
  for (let at = 0; at < all.length;) {
    state = (Math.imul(state, 75) + all[at] + 74) & 0xffff;
    const chunk = all.slice(at, at + (cuts || 1 + (state % 9)));
    const before = Buffer.from(chunk);
    yield chunk;
    if (!before.equals(chunk)) throw new Error("a chunk was written to");
    at += chunk.length;
  }
}

/** What a server's side says to the frames behind its upgrade. */
function serverOutcome(all, cuts) {
  const data = [];
  let over;
  const server = new WebSocketServer(undefined, () => 0, {
    received: (piece) => data.push(Buffer.from(piece)),
    write: () => {},
    over: (bytes) => (over = Buffer.from(bytes).toString("hex")),
  });
  for (const chunk of pieces(joined([REQUEST, all]), cuts)) server.push(chunk);
  return { data: Buffer.concat(data).toString("hex"), over };
}

/** The head of an HTTP answer, or how it is refused. */
function headOutcome(all, cuts) {
  const reader = responseReader();
  let read = 0;
  try {
    for (const chunk of pieces(all, cuts)) {
      read += chunk.length;
      const head = reader.push(chunk);
      if (head) return { firstLine: head.firstLine, fields: [...head.fields], end: read - head.rest.length };
    }
  } catch (error) {
    if (!(error instanceof HttpFault)) throw error;
    return { refused: true };
  }
  return {};
}

function headReference(all) {
  const text = Buffer.from(all).toString("latin1");
  const start = text.slice(0, 16);
  const begins = "HTTP/1.".startsWith(start.slice(0, 7)) && /^.{0,7}$|^HTTP\/1\.[01](?: .*)?$/s.test(start);
  if (!begins) return { refused: true };
  const [ending] = /\r?\n\r?\n/.exec(text) ?? [];
  if (ending === undefined) return {};
  const at = text.indexOf(ending);
  const [firstLine, ...lines] = text.slice(0, at).split(/\r?\n/);
  const fields = new Map();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    if (colon < 1 || /[^!#$%&'*+\-.^_`|~\w]/.test(name)) return { refused: true };
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    if (/[\r\n\u2028\u2029]/.test(value)) return { refused: true };
    fields.set(name, fields.has(name) ? `${fields.get(name)}, ${value}` : value);
  }
  return { firstLine, fields: [...fields], end: at + ending.length };
}

export function run(input) {
  const all = input.slice(1);
  if (input[0] === 2) {
    const expected = headReference(all);
    for (const cuts of [all.length || 1, 1, 0]) equal(headOutcome(all, cuts), expected, `head, cut by ${cuts}`);
    return;
  }
  const masked = input[0] === 1;
  const expected = reference(all, masked);
  for (const cuts of [all.length || 1, 1, 0]) equal(outcome(all, masked, cuts), expected, `frames, cut by ${cuts}`);
  if (!masked) return;
  const close = expected.said.some((item) => item.startsWith("close")) ? 1000 : expected.fault;
  const over = close === undefined ? undefined : `8802${close.toString(16).padStart(4, "0")}`;
  for (const cuts of [all.length + REQUEST.length, 0]) {
    equal(serverOutcome(all, cuts), { data: expected.data, over }, `a server's side, cut by ${cuts}`);
  }
}
