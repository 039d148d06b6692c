// One contender of one row of decode.mjs: one form, one corpus, one chunk size, one peer; it takes turns as it is told.
import { parseArgs } from "node:util";
import { chunks, stream } from "./corpora.mjs";
import { decoders, floor } from "./peers.mjs";
import { answerTurns, lengths } from "./turns.mjs";

const { values } = parseArgs({
  options: {
    form: { type: "string" },
    corpus: { type: "string" },
    size: { type: "string" },
    packets: { type: "string" },
    ...lengths,
    peer: { type: "string" },
  },
});
const { name, make } = decoders(values.form).find((peer) => peer.name === values.peer);
const count = Number(values.packets);
/** The floor knows where the packets are: for it there are no chunks. */
const size = values.peer === floor.name ? 0 : Number(values.size);
const pieces = chunks(stream(values.corpus, count), size);

let handled = 0;
let total = 0;
const feed = make((value) => {
  handled++;
  total = (total + value) | 0;
});
const pass = () => {
  for (const piece of pieces) feed(piece);
};
pass();
// Some peers lose a packet now and then at the edge of a chunk; ours may not.
const perPass = handled;
if (perPass !== count) {
  const message = `${name}: ${perPass} packets of ${count}`;
  if (name === "hubwire") throw new Error(message);
  console.error(message);
}
answerTurns(pass, perPass, values);
