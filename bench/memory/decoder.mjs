// What a decoder keeps after so many different topics: `decoder.mjs COUNT`. Prints bytes.
import { used } from "../suite/used.mjs";
import { Decoder, encode } from "../../dist/codec/index.js";

const count = +process.argv[2];
const ignore = () => {};
const handler = { get: () => ignore };
const decoder = new Decoder(new Proxy({}, handler), {});
const other = new Decoder(new Proxy({}, handler), {});
const packet = (index) =>
  encode({ type: "publish", topic: `devices/d/messages/devicebound/%24.mid=${index}`, payload: "x" });
// The same work is done once by a decoder of its own, so that what the program itself needs is there already.
for (let i = 0; i < 20_000; i++) other.push(packet(i));
decoder.push(packet(0));
const before = await used();
for (let i = 0; i < count; i++) decoder.push(packet(i));
const after = await used();
// Both are still needed here.
decoder.push(packet(0));
other.push(packet(0));
console.log(JSON.stringify(after - before));
